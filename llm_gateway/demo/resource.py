"""The demo provider's resources: whose paths there are, who may call them, and how an answer is written."""

from __future__ import annotations

import hmac
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import ClassVar

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.demo import gemini, media
from llm_gateway.demo.chat import chat_completions
from llm_gateway.demo.messages import count_tokens, messages
from llm_gateway.demo.responses import responses
from llm_gateway.demo.stream import PacedStream
from llm_gateway.demo.values import Query, Refused, Streamed, Trouble, Whole

__all__ = ["demo_resource"]

_Handler = Callable[[Query], Whole | Streamed]

# About the pace at which the large models talk.
_PACE_S = 0.03


def demo_resource(reactor: IReactorTime, real_keys: Collection[str], *, pace_s: float = _PACE_S) -> IResource:
    """
    Make the demo provider.

    :param reactor: gives the time and paces the streams.
    :param real_keys: the API keys that are accepted, each by every provider that is played. Looked at on every call, so
        the collection may change while the provider runs.
    :param pace_s: seconds between two words of a stream.
    :return: a resource with ``openai/v1/...``, ``deepseek/v1/...``, ``anthropic/v1/...`` and ``gemini/v1beta/...``
        below it.
    """
    root = _Nowhere()
    numbers = itertools.count(1)
    for name, provider in {
        "openai": _OpenAIDialect(
            "OpenAI", ("gpt-5.4-mini", "gpt-4o-mini", "text-embedding-3-small", "whisper-1", "tts-1")
        ),
        "deepseek": _OpenAIDialect("DeepSeek", ("deepseek-v4-flash", "deepseek-v4-pro")),
        "anthropic": _AnthropicDialect(("claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5-5")),
        "gemini": _GeminiDialect(("gemini-3.8-flash", "gemini-3.1-pro-preview", "gemini-embedding-001")),
    }.items():
        parent = _Nowhere()
        played = _Provider(provider, real_keys, reactor, pace_s, numbers)
        for version in provider.versions:
            parent.putChild(version.encode(), played)
        root.putChild(name.encode(), parent)
    return root


class _Dialect(ABC):
    """How one provider names its paths, takes its key and words its errors."""

    title: str
    versions: ClassVar[tuple[str, ...]] = ("v1",)
    """What its paths may begin with."""
    routes: Mapping[str, Mapping[str, _Handler]]
    """Handlers by path below the version and by method; a path that ends in a slash takes one more segment."""
    request_id_header: ClassVar[str]
    headers: ClassVar[Mapping[str, str]]
    """Sent with every answer, like the real provider's, so that a gateway can show what it keeps and what it drops."""

    @abstractmethod
    def key_of(self, request: Request) -> bytes | None: ...

    def check_headers(self, request: Request) -> None:  # noqa: B027, most dialects demand nothing
        """
        :raises Refused: a header that the dialect demands is missing.
        """

    @abstractmethod
    def error(self, refused: Refused, request_id: str) -> object:
        """Make the JSON document for an error."""


class _OpenAIDialect(_Dialect):
    request_id_header = "x-request-id"
    headers: ClassVar[Mapping[str, str]] = {
        "openai-organization": "demo-organization",
        "openai-project": "proj_demo",
        "openai-version": "2020-10-01",
        "openai-processing-ms": "1",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-reset-requests": "6ms",
        "set-cookie": "__demo_edge=1; path=/; HttpOnly",
    }

    def __init__(self, title: str, models: tuple[str, ...]) -> None:
        self.title = title
        listed = media.openai_models(models, title.lower())
        self.routes = {
            "chat/completions": {"POST": chat_completions},
            "responses": {"POST": responses},
            "embeddings": {"POST": media.embeddings},
            "audio/transcriptions": {"POST": media.transcriptions},
            "audio/speech": {"POST": media.speech},
            "files": {"POST": media.files},
            "models": {"GET": listed},
            "models/": {"GET": listed},
        }

    def key_of(self, request: Request) -> bytes | None:
        return _bearer(request)

    def error(self, refused: Refused, request_id: str) -> object:
        kind = {429: "requests", 403: "permission_error"}.get(refused.status, "invalid_request_error")
        if refused.status >= 500:
            kind = "server_error"
        return {"error": {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}}


class _AnthropicDialect(_Dialect):
    title = "Anthropic"
    request_id_header = "request-id"
    headers: ClassVar[Mapping[str, str]] = {
        "anthropic-organization-id": "00000000-0000-4000-8000-00000000demo",
        "anthropic-ratelimit-requests-limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3999",
        "anthropic-ratelimit-requests-reset": "2026-01-31T12:00:00Z",
        "set-cookie": "__demo_edge=1; path=/; HttpOnly",
    }
    _KINDS: ClassVar[Mapping[int, str]] = {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        504: "timeout_error",
        529: "overloaded_error",
    }

    def __init__(self, models: tuple[str, ...]) -> None:
        listed = media.anthropic_models(models)
        self.routes = {
            "messages": {"POST": messages},
            "messages/count_tokens": {"POST": count_tokens},
            "models": {"GET": listed},
            "models/": {"GET": listed},
        }

    def key_of(self, request: Request) -> bytes | None:
        return request.getHeader(b"x-api-key") or _bearer(request)

    def check_headers(self, request: Request) -> None:
        if not request.getHeader(b"anthropic-version"):
            raise Refused(400, "anthropic-version: header is required")

    def error(self, refused: Refused, request_id: str) -> object:
        kind = self._KINDS.get(refused.status, "api_error" if refused.status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": request_id}


class _GeminiDialect(_Dialect):
    title = "Google"
    versions = ("v1beta", "v1")
    request_id_header = "x-demo-request-id"
    """Google sends none."""
    headers: ClassVar[Mapping[str, str]] = {
        "server": "demo",
        "x-frame-options": "SAMEORIGIN",
        "set-cookie": "__demo_edge=1; path=/; HttpOnly",
    }
    _KINDS: ClassVar[Mapping[int, str]] = {
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    }

    def __init__(self, models: tuple[str, ...]) -> None:
        listed = gemini.models(models)
        self.routes = {"models": {"GET": listed}, "models/": {"GET": listed, "POST": gemini.generate}}

    def key_of(self, request: Request) -> bytes | None:
        return request.getHeader(b"x-goog-api-key") or request.args.get(b"key", [None])[0] or _bearer(request)

    def error(self, refused: Refused, request_id: str) -> object:
        # Google has no 401 for a key that is wrong.
        kind = self._KINDS.get(refused.status, "INTERNAL" if refused.status >= 500 else "INVALID_ARGUMENT")
        return {"error": {"code": refused.status, "message": refused.message, "status": kind}}


def _bearer(request: Request) -> bytes | None:
    scheme, _, key = (request.getHeader(b"authorization") or b"").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else None


class _Nowhere(Resource):
    """What is not below one of the providers; it has OpenAI's shape, for want of a better."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self

    def render(self, request: Request) -> bytes:
        paths = "/openai/v1/..., /deepseek/v1/..., /anthropic/v1/... or /gemini/v1beta/..."
        request.setResponseCode(404)
        request.setHeader(b"content-type", b"application/json")
        error = {"message": f"This is the demo provider; ask {paths}", "type": "invalid_request_error"}
        return msgspec.json.encode({"error": {**error, "param": None, "code": None}})


class _Provider(Resource):
    """One provider, at its version."""

    isLeaf = True
    _log = Logger()

    def __init__(
        self, dialect: _Dialect, keys: Collection[str], clock: IReactorTime, pace_s: float, numbers: Iterator[int]
    ) -> None:
        super().__init__()
        self._dialect = dialect
        self._keys = keys
        self._clock = clock
        self._pace_s = pace_s
        self._numbers = numbers

    def render(self, request: Request) -> int:
        number = next(self._numbers)
        request_id = f"req_demo{number:06d}"
        for name, value in self._dialect.headers.items():
            request.setHeader(name, value)
        request.setHeader(self._dialect.request_id_header, request_id)
        try:
            answer = self._answer(request, number)
        except Refused as refused:
            self._refuse(request, refused, request_id)
        except Exception:
            self._log.failure("the demo provider failed on call {number}", number=number)
            self._refuse(request, Refused(500, "The demo provider has a fault; its log says more."), request_id)
        else:
            self._write(request, answer)
        return NOT_DONE_YET

    def _answer(self, request: Request, number: int) -> Whole | Streamed:
        """
        :raises Refused: a key or header is missing, the path is unknown, or the handler refuses.
        """
        self._authorise(request)
        self._dialect.check_headers(request)
        handler, tail = self._route(request)
        assert request.content is not None
        query = Query(
            provider=self._dialect.title,
            body=request.content.read(),
            content_type=request.getHeader("content-type") or "",
            tail=tail,
            number=number,
            now_s=int(self._clock.seconds()),
            arguments={name.decode("latin-1"): values[-1].decode("latin-1") for name, values in request.args.items()},
        )
        return handler(query)

    def _authorise(self, request: Request) -> None:
        key = self._dialect.key_of(request)
        if not key:
            raise Refused(401, "No API key was sent.")
        if not any(hmac.compare_digest(key, each.encode()) for each in self._keys):
            raise Refused(401, "The API key is not one of the demo provider's.", code="invalid_api_key")

    def _route(self, request: Request) -> tuple[_Handler, str]:
        path = b"/".join(request.postpath or ()).decode("utf-8", "replace")
        tail = ""
        methods = self._dialect.routes.get(path)
        if methods is None:
            parent, _, tail = path.partition("/")
            methods = self._dialect.routes.get(f"{parent}/") if tail else None
        method, version = request.method.decode("ascii", "replace"), self._dialect.versions[0]
        if methods is None:
            raise Refused(404, f"Unknown path: {method} /{version}/{path}")
        # twisted.web leaves the body out of what it sends for HEAD.
        handler = methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(methods)
            raise Refused(
                405, f"{method} is not allowed on /{version}/{path}; use {allowed}.", headers={"allow": allowed}
            )
        return handler, tail

    def _refuse(self, request: Request, refused: Refused, request_id: str) -> None:
        request.setResponseCode(refused.status)
        for name, value in refused.headers.items():
            request.setHeader(name, value)
        self._write(request, Whole(msgspec.json.encode(self._dialect.error(refused, request_id))))

    def _write(self, request: Request, answer: Whole | Streamed) -> None:
        if isinstance(answer, Streamed):
            request.setHeader("content-type", answer.content_type)
            request.setHeader(b"cache-control", b"no-cache")
            PacedStream(request, answer.beats, self._clock, self._pace_s, answer.trouble).start()
            return
        if answer.trouble is Trouble.STALL:
            return
        request.setHeader("content-type", answer.content_type)
        request.setHeader("content-length", str(len(answer.body)))
        if answer.trouble is Trouble.MIDSTREAM:
            request.write(answer.body[: len(answer.body) // 2])
            request.loseConnection()
            return
        request.write(answer.body)
        request.finish()
