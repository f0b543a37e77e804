"""Promises of the whole gateway, between any client and any provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import msgspec
from hypothesis import example
from hypothesis import strategies as st

from llm_gateway.config.values import Configuration
from llm_gateway.core.translation.losses import OnUnsupported
from tests.core.translation.samples import PLAIN, SAMPLES
from tests.fuzz import reference
from tests.fuzz.documents import ANSWERS, FAILURES, STREAMS, framed
from tests.fuzz.fuzzing import fuzzed
from tests.fuzz.inputs import BROKEN, CUTS, bent, changed, hostile, pieces
from tests.fuzz.judges import ARRAY, WHOLE, check_failure, check_stream, document
from tests.fuzz.whole import Reply, Whole
from tests.memory import configuration, provider, virtual_key

PROVIDERS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "anthropic": ("anthropic", "http://anthropic.test/v1", {}),
    "gemini": ("gemini", "http://gemini.test/v1beta", {}),
    "openai": ("openai", "http://openai.test/v1", {}),
    "responses": ("openai", "http://responses.test/v1", {"apis": ("responses",)}),
    "groq": ("openai", "http://groq.test/v1", {"apis": ("chat",), "preset": "groq"}),
    "mistral": ("openai", "http://mistral.test/v1", {"apis": ("chat",), "preset": "mistral"}),
    "openrouter": ("openai", "http://openrouter.test/api/v1", {"apis": ("chat",), "preset": "openrouter"}),
}
"""Dialect, base URL, and what is peculiar."""
KEYS = {name: f"sk-real-canary-of-{name}" for name in PROVIDERS}


def configured(*names: str, policy: OnUnsupported = OnUnsupported.DEFAULT) -> Configuration:
    providers = []
    for name in names:
        dialect, base, peculiar = PROVIDERS[name]
        providers.append(provider(name, base, dialect, base_url=base, on_unsupported=policy, **peculiar))
    return configuration([virtual_key(f"vk_{name}", name, KEYS[name]) for name in names], providers)


# Requests

PATHS = {
    "chat": b"/v1/chat/completions",
    "responses": b"/v1/responses",
    "messages": b"/v1/messages",
    "gemini": b"/v1beta/models/m:generateContent",
    "gemini stream": b"/v1beta/models/m:streamGenerateContent?alt=sse",
    ARRAY: b"/v1beta/models/m:streamGenerateContent",
    "embeddings": b"/v1/embeddings",
    "gemini_embeddings": b"/v1beta/models/m:embedContent",
    "count_tokens": b"/v1/messages/count_tokens",
    "gemini_count_tokens": b"/v1beta/models/m:countTokens",
    "responses_count_tokens": b"/v1/responses/input_tokens",
}
DIALECTS = {"messages": "anthropic", "count_tokens": "anthropic"}
CONVERSATIONS = {api: [{**PLAIN[api], **one} for row in SAMPLES[api].values() for one in row] for api in PLAIN}
TEXT = {"content": {"parts": [{"text": "Hi"}]}, "outputDimensionality": 2, "taskType": "CLUSTERING", "title": "t"}
REQUESTS: Mapping[str, list[dict[str, Any]]] = {
    **CONVERSATIONS,
    "gemini stream": CONVERSATIONS["gemini"],
    ARRAY: CONVERSATIONS["gemini"],
    "embeddings": [
        {"model": "m", "input": ["Hi", "Ho"], "encoding_format": "base64", "dimensions": 2, "user": "u"},
        {"model": "m", "input": [[1, 2], [3]]},
    ],
    "gemini_embeddings": [TEXT, {"requests": [{"model": "models/m", **TEXT}]}],
    "count_tokens": CONVERSATIONS["messages"],
    "gemini_count_tokens": [*CONVERSATIONS["gemini"], {"generateContentRequest": CONVERSATIONS["gemini"][0]}],
    "responses_count_tokens": CONVERSATIONS["responses"],
}


def speaks(name: str) -> str:
    """
    :param name: of a path.
    :return: the dialect of its callers.
    """
    return "gemini" if name.startswith((ARRAY, "gemini")) else DIALECTS.get(name, "openai")


@attrs.frozen
class Ask:
    """A call to a provider of another dialect, or to one that has only one of OpenAI's two ways to talk."""

    path: str
    """By its name."""
    provider: str
    policy: OnUnsupported
    body: bytes

    def answered(self, reply: Callable[[reference.Sure], Reply]) -> reference.Answered:
        """
        :return: what becomes of it; a whole answer in the caller's own dialect.
        """
        head = b"POST %b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer vk_%b\r\nContent-Type: application/json\r\n"
        raw = head % (PATHS[self.path], self.provider.encode()) + b"Content-Length: %d\r\n\r\n" % len(self.body)
        received = Whole(configured(self.provider, policy=self.policy), reply).send([raw + self.body])
        (answer,), rest = reference.answers(received, [b"POST"])
        assert not rest, "half an answer"
        assert b"internal_error" not in received
        if answer.status >= 400:
            check_failure(self.path, document(answer.body), answer.status)
        elif self.path == ARRAY or answer.fields[b"content-type"] == b"text/event-stream":
            check_stream(self.path, answer.body)
        else:
            WHOLE[self.path](answer.body)
        return answer


FOREIGN = {"responses": ["groq"], "responses_count_tokens": ["groq"], "chat": ["responses"]}
"""Providers of the path's own dialect that do not have it."""


@st.composite
def asks(draw: st.DrawFn, paths: Iterable[str] = tuple(PATHS), *, broken: bool = False) -> Ask:
    """
    :param broken: whether its body may be anything.
    """
    path = draw(st.sampled_from(list(paths)))
    no = [speaks(path), "anthropic" if "embeddings" in path else ""]
    names = [name for name in PROVIDERS if PROVIDERS[name][0] not in no] + FOREIGN.get(path, [])
    policy = draw(st.sampled_from([OnUnsupported.DROP, *OnUnsupported]))
    good = REQUESTS[path]
    if broken:
        body = draw(hostile(st.sampled_from(good)))
    else:
        streamed = {"stream": True} if path in ("chat", "responses", "messages") and draw(st.booleans()) else {}
        body = msgspec.json.encode(draw(st.just(good[0]) | st.sampled_from(good)) | streamed)
    return Ask(path, draw(st.sampled_from(names)), policy, body)


# Answers

CALLED = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/messages": "messages",
    "/count_tokens": "count_tokens",
    "/embeddings": "embeddings",
    ":generateContent": "gemini",
    ":streamGenerateContent": "gemini",
    ":batchEmbedContents": "gemini_embeddings",
    ":countTokens": "gemini_count_tokens",
}


def called(request: reference.Sure) -> tuple[str, bool]:
    """
    :return: the provider's API that is asked, and whether for a stream.
    :raises Exception: it is asked with something that is no JSON object.
    """
    path = request.target.decode().partition("?")[0]
    api = next(api for ending, api in CALLED.items() if path.endswith(ending))
    body = document(request.body)
    assert isinstance(body, dict)
    return api, path.endswith(":streamGenerateContent") or body.get("stream") is True


FRAMINGS = st.sampled_from(["length", "chunks", "end"])
"""How a provider says where its body ends: beforehand, in chunks, or by closing the connection."""


def written(
    kind: bytes, body: bytes, *, status: int = 200, framing: str = "length", cuts: list[int] | None
) -> list[bytes]:
    """
    :return: a provider's answer in the pieces in which it is read.
    """
    fields = {"length": b"Content-Length: %d\r\n" % len(body), "chunks": b"Transfer-Encoding: chunked\r\n", "end": b""}
    head = b"HTTP/1.1 %d S\r\nContent-Type: %b\r\n%b\r\n" % (status, kind, fields[framing])
    parts = pieces(body, cuts)
    if framing == "chunks":
        parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]
    return [head, *parts]


JSON, EVENTS = b"application/json", b"text/event-stream"


def usual(request: reference.Sure) -> Reply:
    """What a provider answers that is well."""
    api, stream = called(request)
    if stream:
        return Reply(written(EVENTS, framed(api, STREAMS[api]), cuts=[]))
    return Reply(written(JSON, msgspec.json.encode(ANSWERS[api]), cuts=[]))


@fuzzed(ask=asks(broken=True))
def test_requests(ask: Ask) -> None:
    """Whatever a caller asks for: a provider gets JSON, if it gets anything, and the caller an answer or the blame."""
    assert ask.answered(usual).status < 500


KINDS = {
    "embeddings": ("embeddings", "gemini_embeddings"),
    "gemini_embeddings": ("embeddings", "gemini_embeddings"),
    "count_tokens": ("count_tokens", "gemini_count_tokens"),
    "gemini_count_tokens": ("count_tokens", "gemini_count_tokens"),
    "responses_count_tokens": ("count_tokens", "gemini_count_tokens"),
}
OF_DIALECT = {
    "openai": ("chat", "responses", "embeddings"),
    "anthropic": ("messages", "count_tokens"),
    "gemini": ("gemini", "gemini_embeddings", "gemini_count_tokens"),
}


@st.composite
def whole_answers(draw: st.DrawFn) -> tuple[Ask, list[bytes]]:
    """A call, and its provider's answer."""
    ask = draw(asks())
    apis = [api for api in OF_DIALECT[PROVIDERS[ask.provider][0]] if api in KINDS.get(ask.path, CONVERSATIONS)]
    good = st.sampled_from([*(ANSWERS[api] for api in apis), *FAILURES])
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 404, 429, 503, 529, 999]))
    kind = draw(st.sampled_from([JSON, JSON, JSON, EVENTS, b"text/html", b"\xff"]))
    return ask, written(kind, draw(hostile(good)), status=status, framing=draw(FRAMINGS), cuts=draw(CUTS))


@fuzzed(call=whole_answers(), end=st.sampled_from(["stay", "close", "reset"]))
def test_answers(call: tuple[Ask, list[bytes]], end: str) -> None:
    """Whatever a provider answers: its caller gets an answer or an error."""
    ask, answer = call
    ask.answered(lambda request: Reply(answer, end))


SSE = (
    *(b"\n", b"\n\n", b"\r\n", b"data:", b"data: [DONE]\n\n", b"event: error\n", b"event: x\n", b": c\n", b"id: \0\n"),
    *(b"retry: 1\n", b"\xef\xbb\xbf", b"data: {}\n\n", b'data: {"error":{"message":"no"}}\n\n', b"[", b"]", b","),
    *(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n', *BROKEN),
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[Ask, list[bytes]]:
    """A call whose caller may want a stream, and its provider's."""
    ask = draw(asks([path for path in PATHS if path not in KINDS]))
    apis = [api for api in OF_DIALECT[PROVIDERS[ask.provider][0]] if api in STREAMS]
    api = draw(st.sampled_from(apis))
    failure = draw(st.sampled_from([[], [], *([each] for each in FAILURES)]))
    events = draw(changed(st.just([*STREAMS[api], *failure])))
    body = framed(api, events)
    if draw(st.booleans()):
        body = draw(bent(st.just(body), SSE, most=1))
    return ask, written(EVENTS, body, framing=draw(FRAMINGS), cuts=draw(CUTS))


PLAINLY = Ask("gemini", "openai", OnUnsupported.DROP, msgspec.json.encode(PLAIN["gemini"]))


@example(call=(PLAINLY, written(EVENTS, b'data: {"choices":[{}]}\n\ndata\n\nx', cuts=[])), end="stay")
@fuzzed(call=streams(), end=st.sampled_from(["stay", "close", "reset"]))
def test_streams(call: tuple[Ask, list[bytes]], end: str) -> None:
    """Whatever a provider streams: its caller gets a stream or an answer, or an error, at its end or instead."""
    ask, stream = call
    ask.answered(lambda request: Reply(stream, end))


# Bytes

KEYS_SENT = (
    *(b"Authorization: Bearer vk_openai", b"x-api-key: vk_anthropic", b"x-goog-api-key: vk_gemini", b"X: y"),
    *(b"Authorization: Bearer vk_nobody", b"Authorization: Basic eDp5", b"api-key: vk_openai"),
)
PLACES = (
    *(*PATHS.values(), b"/chat/completions", b"/v1/models", b"/v1/files", b"/v1/files/a%2Fb?x=%20", b"/p/openai/v1/x"),
    *(b"/p/anthropic/v1/messages", b"/openai/v1/embeddings", b"/v1beta/models?key=vk_gemini", b"/health", b"/", b"*"),
)
BODIES = [b"", b"--b\r\n\r\nx\r\n--b--", b"\x00\xff" * 20, *(msgspec.json.encode(one) for one in PLAIN.values())]


@st.composite
def client_bytes(draw: st.DrawFn) -> bytes:
    """A call, or a question to the gateway itself."""
    method = draw(st.sampled_from([b"POST", b"POST", b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"]))
    lines = [b"%b %b HTTP/1.1" % (method, draw(st.sampled_from(PLACES))), b"Host: h", draw(st.sampled_from(KEYS_SENT))]
    body = draw(st.sampled_from(BODIES))
    kind = draw(st.sampled_from([JSON, JSON, b"multipart/form-data; boundary=b", b"text/plain"]))
    if body and draw(st.booleans()):
        lines += [b"Content-Type: " + kind, b"Content-Length: %d" % len(body)]
    elif body:
        lines += [b"Content-Type: " + kind, b"Transfer-Encoding: chunked"]
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return b"\r\n".join([*lines, b"", body])


CLIENT_WORDS = (
    *(*PLACES, *(key + b"\r\n" for key in KEYS_SENT)),
    *(b"Anthropic-Version: 2023-06-01\r\n", b"Expect: 100-continue\r\n", b"Accept: text/event-stream\r\n"),
    *(b"Content-Length: 5\r\n", b"Connection: close\r\n", b"Accept-Encoding: gzip\r\n", b"X-Request-Id: \xff\r\n"),
    *(b"?key=", b"%2e", b"/..", b"%2f", b"\\..", b"%00", b"Content-Encoding: gzip\r\n", b"?alt=sse"),
)


@st.composite
def provider_bytes(draw: st.DrawFn) -> bytes:
    """An answer as it may be, or with the key in it."""
    key = draw(st.sampled_from([key.encode() for key in KEYS.values()]))
    body = draw(st.sampled_from([*(framed(api, events) for api, events in STREAMS.items()), b"Bad key: " + key, b""]))
    kind = draw(st.sampled_from([JSON, EVENTS, b"text/html; charset=x", b"\xff"]))
    status = draw(st.sampled_from([200, 200, 200, 204, 304, 400, 401, 429, 503, 101, 999]))
    return b"".join(written(kind, body, status=status, framing=draw(FRAMINGS), cuts=[]))


PROVIDER_WORDS = (
    *(b"Set-Cookie: a=b\r\n", b"Connection: close\r\n", b"Retry-After: x\r\n", b"Content-Encoding: gzip\r\n"),
    *(b"Location: http://evil.test/\r\n", b"X-Gw-Error: x\r\n", b"Content-Length: 5\r\n", b"data: ", b"0\r\n\r\n"),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"X: %b\r\n" % KEYS["openai"].encode(), KEYS["openai"].encode()),
)
REPLIES = st.builds(
    lambda raw, cuts, end: Reply(pieces(raw, cuts), end),
    bent(provider_bytes(), PROVIDER_WORDS, runs=True),
    CUTS,
    st.sampled_from(["stay", "close", "reset"]),
)


@fuzzed(raw=bent(client_bytes(), CLIENT_WORDS, runs=True), cuts=CUTS, replies=st.lists(REPLIES, max_size=3))
def test_bytes(raw: bytes, cuts: list[int] | None, replies: list[Reply]) -> None:
    """
    Whatever a client sends and providers answer: each request is answered in its turn, an answer that is not whole is
    the last, and whatever is the gateway's own to say is said in JSON.
    """
    left = iter(replies)
    whole = Whole(configured("openai", "anthropic", "gemini"), lambda request: next(left, Reply([])))
    received = whole.send(pieces(raw, cuts))
    methods = [each.method for each in reference.requests(raw)]
    found, _ = reference.answers(received, [*methods, b"GET"])
    for answer in found:
        error = answer.fields.get(b"x-gw-error")
        assert error != b"internal_error"
        if error is not None and answer.body:
            assert document(answer.body)["error"]["message"]
