"""Promises of the whole gateway, between any client and any provider."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import example
from hypothesis import strategies as st

from llm_gateway.config.values import Configuration
from llm_gateway.core.translation.losses import OnUnsupported
from tests.core.translation.samples import PLAIN, SAMPLES
from tests.fuzz import reference
from tests.fuzz.documents import ANSWERS, FAILURES, STREAMS, framed
from tests.fuzz.fuzzing import fuzzed
from tests.fuzz.inputs import BROKEN, CUTS, bent, changed, hostile, pieces
from tests.fuzz.judges import ARRAY, SSE, WHOLE, check_failure, check_stream, document
from tests.fuzz.whole import Reply, Whole
from tests.memory import configuration, provider, virtual_key
from tests.wires import WIRE

Json = dict[str, Any]

PROVIDERS: Mapping[str, tuple[str, str, Json]] = {
    "anthropic": ("anthropic", "http://anthropic.test/v1", {}),
    "gemini": ("gemini", "http://gemini.test/v1beta", {}),
    "openai": ("openai", "http://openai.test/v1", {}),
    "responses": ("openai", "http://responses.test/v1", {"apis": ("responses",)}),
    "groq": ("openai", "http://groq.test/v1", {"apis": ("chat",), "preset": "groq"}),
    "mistral": ("openai", "http://mistral.test/v1", {"apis": ("chat",), "preset": "mistral"}),
    "openrouter": ("openai", "http://openrouter.test/api/v1", {"apis": ("chat",), "preset": "openrouter"}),
}
"""Dialect, base URL, and what is peculiar."""
KEYS = {name: f"sk-real-canary-of-{name:->10}" for name in PROVIDERS}


def configured(*names: str, policy: OnUnsupported = OnUnsupported.DEFAULT) -> Configuration:
    providers = []
    for name in names:
        dialect, base, peculiar = PROVIDERS[name]
        providers.append(provider(name, base, dialect, base_url=base, on_unsupported=policy, **peculiar))
    return configuration([virtual_key(f"vk_{name}", name, KEYS[name]) for name in names], providers)


# Requests


@attrs.frozen
class Path:
    """Where callers of one dialect ask for something."""

    target: bytes
    dialect: str
    apis: Mapping[str, tuple[str, ...]]
    """What a provider is asked for it, by the provider's dialect."""
    requests: list[Json]
    """A plain one, and fields that may stand beside or instead of its own."""


CONVERSATION = {"openai": ("chat", "responses"), "anthropic": ("messages",), "gemini": ("gemini",)}
EMBEDDINGS = {"openai": ("embeddings",), "gemini": ("gemini_embeddings",)}
COUNT: Mapping[str, tuple[str, ...]] = {
    "openai": (),
    "anthropic": ("count_tokens",),
    "gemini": ("gemini_count_tokens",),
}
CHAT, RESPONSES, MESSAGES, GEMINI = (
    [PLAIN[api], *(one for row in SAMPLES[api].values() for one in row)]
    for api in ("chat", "responses", "messages", "gemini")
)
TEXT = {"content": {"parts": [{"text": "Hi"}]}, "outputDimensionality": 2, "taskType": "CLUSTERING", "title": "t"}
TEXTS: list[Json] = [
    {"model": "m", "input": ["Hi", "Ho"], "encoding_format": "base64"},
    {"input": [[1, 2], [3]], "dimensions": 2, "user": "u"},
]
MODEL = b"/v1beta/models/m:"
PATHS = {
    "chat": Path(b"/v1/chat/completions", "openai", CONVERSATION, CHAT),
    "responses": Path(b"/v1/responses", "openai", CONVERSATION, RESPONSES),
    "messages": Path(b"/v1/messages", "anthropic", CONVERSATION, MESSAGES),
    "gemini": Path(MODEL + b"generateContent", "gemini", CONVERSATION, GEMINI),
    SSE: Path(MODEL + b"streamGenerateContent?alt=sse", "gemini", CONVERSATION, GEMINI),
    ARRAY: Path(MODEL + b"streamGenerateContent", "gemini", CONVERSATION, GEMINI),
    "embeddings": Path(b"/v1/embeddings", "openai", EMBEDDINGS, TEXTS),
    "embedContent": Path(MODEL + b"embedContent", "gemini", EMBEDDINGS, [TEXT]),
    "batchEmbedContents": Path(MODEL + b"batchEmbedContents", "gemini", EMBEDDINGS, [{"requests": [TEXT, TEXT]}]),
    "count_tokens": Path(b"/v1/messages/count_tokens", "anthropic", COUNT, MESSAGES),
    "countTokens": Path(MODEL + b"countTokens", "gemini", COUNT, [*GEMINI, {"generateContentRequest": GEMINI[0]}]),
    "input_tokens": Path(b"/v1/responses/input_tokens", "openai", COUNT, RESPONSES),
}
LACKED_BY = {"chat": ["responses"], "responses": ["groq"], "input_tokens": ["groq"]}
"""Providers of a path's own dialect for whom it has to be translated all the same."""


@attrs.frozen
class Ask:
    """A call to a provider that does not speak as its caller does."""

    path: str
    """By its name."""
    provider: str
    policy: OnUnsupported
    body: bytes

    def answered(self, reply: Callable[[reference.Sure], Reply]) -> reference.Answered:
        """
        :return: what becomes of it; a whole answer in the caller's own dialect.
        """
        path = PATHS[self.path]
        head = b"POST %b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer vk_%b\r\nContent-Type: application/json\r\n"
        raw = head % (path.target, self.provider.encode()) + b"Content-Length: %d\r\n\r\n" % len(self.body)
        received = Whole(configured(self.provider, policy=self.policy), reply).send([raw + self.body])
        (answer,), rest = reference.answers(received, [b"POST"])
        assert not rest, "half an answer"
        assert answer.fields.get(b"x-gw-error") != b"internal_error"
        if answer.status >= 400:
            check_failure(path.dialect, document(answer.body), answer.status)
        elif self.path == ARRAY or answer.fields[b"content-type"] == b"text/event-stream":
            check_stream(self.path, answer.body)
        else:
            WHOLE[self.path](answer.body)
        return answer


@st.composite
def asks(draw: st.DrawFn, paths: Iterable[str] = tuple(PATHS), *, broken: bool = False) -> Ask:
    """
    :param broken: whether its body may be anything.
    """
    name = draw(st.sampled_from(list(paths)))
    path = PATHS[name]
    others = [each for each, (dialect, _, _) in PROVIDERS.items() if dialect in path.apis.keys() - {path.dialect}]
    provider = draw(st.sampled_from(others + LACKED_BY.get(name, [])))
    policy = draw(st.sampled_from([OnUnsupported.DROP, *OnUnsupported]))
    more = draw(st.lists(st.sampled_from(path.requests), max_size=3))
    streamed = {"stream": True} if name in ("chat", "responses", "messages") and draw(st.booleans()) else {}
    request = st.just(functools.reduce(operator.or_, [path.requests[0], *more, streamed]))
    return Ask(name, provider, policy, draw(hostile(request) if broken else request.map(msgspec.json.encode)))


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


ENDS = st.sampled_from(["stay", "close", "reset"])
"""What it does then."""


def written(kind: bytes, body: bytes, *, status: int = 200, framing: str = "length") -> bytes:
    """
    :return: a provider's answer.
    """
    fields = {"length": b"Content-Length: %d\r\n" % len(body), "chunks": b"Transfer-Encoding: chunked\r\n", "end": b""}
    head = b"HTTP/1.1 %d S\r\nContent-Type: %b\r\n%b\r\n" % (status, kind, fields[framing])
    if framing == "chunks":
        chunks = [body[at : at + 500] for at in range(0, len(body), 500)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
    return head + body


JSON, EVENTS = b"application/json", b"text/event-stream"


def usual(request: reference.Sure) -> Reply:
    """What a provider answers that is well."""
    api, stream = called(request)
    if stream:
        return Reply([written(EVENTS, framed(api, STREAMS[api]))])
    return Reply([written(JSON, msgspec.json.encode(ANSWERS[api]))])


LATIN = PLAIN["messages"] | {"tools": [{"name": "a", "input_schema": msgspec.Raw(b'{"title":"\xe9"}')}]}


@example(ask=Ask("messages", "gemini", OnUnsupported.DROP, msgspec.json.encode(LATIN)))
@fuzzed(ask=asks(broken=True))
def test_requests(ask: Ask) -> None:
    """Whatever a caller asks for: a provider gets JSON, if it gets anything, and the caller an answer or the blame."""
    assert ask.answered(usual).status < 500


def apis_of(ask: Ask) -> tuple[str, ...]:
    """
    :return: what its provider may be asked for it.
    """
    return PATHS[ask.path].apis[PROVIDERS[ask.provider][0]]


@st.composite
def whole_answers(draw: st.DrawFn) -> tuple[Ask, bytes]:
    """A call, and its provider's answer."""
    ask = draw(asks())
    good = st.sampled_from([*(ANSWERS[api] for api in apis_of(ask)), *FAILURES])
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 404, 429, 503, 529, 999]))
    kind = draw(st.sampled_from([JSON, JSON, JSON, EVENTS, b"text/html", b"\xff"]))
    return ask, written(kind, draw(hostile(good)), status=status, framing=draw(FRAMINGS))


@fuzzed(call=whole_answers(), cuts=CUTS, end=ENDS)
def test_answers(call: tuple[Ask, bytes], cuts: list[int] | None, end: str) -> None:
    """Whatever a provider answers: its caller gets an answer or an error."""
    ask, answer = call
    ask.answered(lambda request: Reply(pieces(answer, cuts), end))


FRAMES = (
    *(b"\n", b"\n\n", b"\r\n", b"data:", b"data: [DONE]\n\n", b"event: error\n", b"event: x\n", b": c\n", b"id: \0\n"),
    *(b"retry: 1\n", b"\xef\xbb\xbf", b"data: {}\n\n", b'data: {"error":{"message":"no"}}\n\n', b"[", b"]", b","),
    *(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n', *BROKEN),
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[Ask, bytes]:
    """A call whose caller may want a stream, and its provider's."""
    ask = draw(asks(name for name, path in PATHS.items() if path.apis is CONVERSATION))
    api = draw(st.sampled_from(apis_of(ask)))
    failure = draw(st.sampled_from([[], [], *([each] for each in FAILURES)]))
    events = draw(changed(st.just([*STREAMS[api], *failure])))
    body = framed(api, events)
    if draw(st.booleans()):
        body = draw(bent(st.just(body), FRAMES, most=1))
    return ask, written(EVENTS, body, framing=draw(FRAMINGS))


PLAINLY = Ask("gemini", "openai", OnUnsupported.DROP, msgspec.json.encode(PLAIN["gemini"]))


@example(call=(PLAINLY, written(EVENTS, b'data: {"choices":[{}]}\n\ndata\n\nx')), cuts=[], end="stay")
@fuzzed(call=streams(), cuts=CUTS, end=ENDS)
def test_streams(call: tuple[Ask, bytes], cuts: list[int] | None, end: str) -> None:
    """Whatever a provider streams: its caller gets a stream or an answer, or an error, at its end or instead."""
    ask, stream = call
    ask.answered(lambda request: Reply(pieces(stream, cuts), end))


# Bytes

KEYS_SENT = (
    *(b"Authorization: Bearer vk_openai", b"x-api-key: vk_anthropic", b"x-goog-api-key: vk_gemini", b"X: y"),
    *(b"Authorization: Bearer vk_nobody", b"Authorization: Basic eDp5", b"api-key: vk_openai"),
)
PLACES = (
    *(
        *(path.target for path in PATHS.values()),
        b"/chat/completions",
        b"/v1/models",
        b"/v1/files",
        b"/v1/files/a%2Fb?x=%20",
        b"/p/openai/v1/x",
    ),
    *(b"/p/anthropic/v1/messages", b"/openai/v1/embeddings", b"/v1beta/models?key=vk_gemini", b"/health", b"/", b"*"),
)
BODIES = [b"", b"--b\r\n\r\nx\r\n--b--", b"\x00\xff" * 20, *(msgspec.json.encode(one) for one in PLAIN.values())]


KEY = b"sk-real-canary-of-whom-it-is"
"""The key of the provider that says it, and as long."""


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
    """An answer as it may be, or with :data:`KEY` in it."""
    body = draw(st.sampled_from([*(framed(api, events) for api, events in STREAMS.items()), b"Bad key: " + KEY, b""]))
    kind = draw(st.sampled_from([JSON, EVENTS, b"text/html; charset=x", b"\xff"]))
    status = draw(st.sampled_from([200, 200, 200, 204, 304, 400, 401, 429, 503, 101, 999]))
    return written(kind, body, status=status, framing=draw(FRAMINGS))


PROVIDER_WORDS = (
    *(b"Set-Cookie: a=b\r\n", b"Connection: close\r\n", b"Retry-After: x\r\n", b"Content-Encoding: gzip\r\n"),
    *(b"Location: http://evil.test/\r\n", b"X-Gw-Error: x\r\n", b"Content-Length: 5\r\n", b"data: ", b"0\r\n\r\n"),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"X: %b\r\n" % KEY, KEY),
)
REPLIES = st.tuples(bent(provider_bytes(), PROVIDER_WORDS, runs=True), CUTS, ENDS)


@pytest.mark.skipif(WIRE == "twisted", reason="this is not promised of Twisted's own HTTP")
@fuzzed(raw=bent(client_bytes(), CLIENT_WORDS, runs=True), cuts=CUTS, replies=st.lists(REPLIES, max_size=3))
def test_bytes(raw: bytes, cuts: list[int] | None, replies: list[tuple[bytes, list[int] | None, str]]) -> None:
    """
    Whatever a client sends and providers answer: each request is answered in its turn, an answer that is not whole is
    the last, and whatever is the gateway's own to say is said in JSON.
    """
    left = list(replies)

    def reply(request: reference.Sure) -> Reply:
        answer, places, end = left.pop(0) if left else (b"", [], "stay")
        (host,) = request.fields[b"host"]
        return Reply(pieces(answer.replace(KEY, KEYS[host.decode().partition(".")[0]].encode()), places), end)

    received = Whole(configured("openai", "anthropic", "gemini"), reply).send(pieces(raw, cuts))
    methods = [each.method for each in reference.requests(raw)]
    found, _ = reference.answers(received, [*methods, b"GET"])
    for answer in found:
        error = answer.fields.get(b"x-gw-error")
        assert error != b"internal_error"
        if error is not None and answer.body:
            assert document(answer.body)["error"]["message"]
