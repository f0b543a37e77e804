"""The root of the resource tree: what every request gets before it is routed."""

from __future__ import annotations

import time
from typing import NamedTuple, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from llm_gateway.core.apis import OTHER, asked_of
from llm_gateway.core.azure import from_azure
from llm_gateway.core.dialects import DIALECTS, GEMINI, Dialect
from llm_gateway.core.paths import dialect_of, without_parameters
from llm_gateway.core.record import CallRecord, printable, timestamp
from llm_gateway.errors import BadRequest, GatewayError, NotFound
from llm_gateway.web.access_log import AccessLog
from llm_gateway.web.answer import fault, refuse
from llm_gateway.web.context import (
    AS_IS,
    UNROUTED,
    CallContext,
    Operation,
    Route,
    context_of,
    keep_context,
    new_request_id,
)
from llm_gateway.web.grants import GrantBook
from llm_gateway.wire.fields import Fields, fields_of

_VERSION_AND_KEY = (b"Anthropic-Version", b"X-Goog-Api-Key")
_TELLING = frozenset(_VERSION_AND_KEY)
"""Headers that tell a dialect where a path could be of several."""

_SHOWN = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
"""The methods of every day, as text."""


class _Told(NamedTuple):
    """What a request's head tells, apart from its key and its query."""

    dialect: Dialect
    path: bytes
    route: Route
    client_id: str | None
    shown_method: str
    shown_path: str


class FrontResource(Resource):
    """
    Gives a request its id and its context, takes a key out of its URL, and hands it to the router.

    What the router decided for a method and a path is remembered, so that the paths of every day are routed once: the
    decision depends on nothing else, and making it anew costs as much as sending the call.
    """

    isLeaf = True
    MAX_REMEMBERED = 1024
    MAX_REMEMBERED_BYTES = 128
    """A longer path is routed every time: nobody fills the memory with paths that he invents."""

    def __init__(
        self,
        router: IResource,
        relay: IResource,
        grants: GrantBook,
        clock: IReactorTime,
        log: AccessLog | None,
    ) -> None:
        """
        :param router: the Klein app's resource.
        :param relay: where the app sends every call to a provider, whatever the operation.
        """
        super().__init__()
        self._router = router
        self._relay = relay
        self._remembered: dict[tuple[bytes, bytes], Route] = {}
        self._grants = grants
        self._clock = clock
        self._log = log

    def render(self, request: Request) -> bytes | int:
        context = self._context(request)
        keep_context(request, context)
        headers = fields_of(request.responseHeaders)
        headers[b"X-Gw-Request-Id"] = [context.record.request_id.encode("ascii")]
        if b"Server" in headers:
            del headers[b"Server"]
        if context.route is not UNROUTED:
            answer: bytes | int = self._relay.render(request)
            return answer
        try:
            return self._route(request, context)
        except GatewayError as error:
            return refuse(request, error)
        except HTTPException:
            # Raised before there is a route, and so before the app's error handlers are there to catch it.
            return refuse(request, BadRequest("The Host header is not a host name."))
        except Exception:
            return refuse(request, fault(request, Failure()))

    def _route(self, request: Request, context: CallContext) -> bytes | int:
        """
        :raises GatewayError: the router would answer this one itself, and not in JSON, or read it otherwise than we do.
        """
        if not request.requestHeaders.hasHeader(b"host"):
            # The router wants one, and a Unix socket has no name to fall back on.
            request.requestHeaders.setRawHeaders(b"host", [b"localhost"])
        if not _decodable(request):
            raise BadRequest("The path and the Host header must be UTF-8.")
        path = context.path
        if not path.startswith(b"/") or path.startswith(b"//") or b"%" in path.split(b"/", 2)[1]:
            raise NotFound("There is nothing at such a path: the gateway's begin with one slash and nothing encoded.")
        return cast(bytes | int, self._router.render(request))

    def remember(self, request: Request, operation: Operation) -> None:
        """The router has sent this request to the relay, as this operation."""
        context = context_of(request)
        asked = OTHER if operation in AS_IS else asked_of(request.method, context.path)
        route = context.route = Route(operation, asked, None if operation is Operation.RAW else context.dialect)
        if len(context.path) > self.MAX_REMEMBERED_BYTES:
            return
        if len(self._remembered) >= self.MAX_REMEMBERED:
            # Paths with an id in them come once; those that matter are back at once.
            self._remembered.clear()
        if _TELLING.isdisjoint(fields_of(request.requestHeaders)):
            self._remembered[request.method, context.path] = route

    def _context(self, request: Request) -> CallContext:
        notes = getattr(request, "head_notes", None)
        told: _Told | None = None if notes is None else notes.get("told")
        query_key, query, azure = None, b"", None
        if told is None:
            path, _, query = request.uri.partition(b"?")
            if request.prepath:
                # Mounted below somebody else's root, the segments that led here are not ours.
                path = b"/" + b"/".join(path.split(b"/")[len(request.prepath) + 1 :])
            told = self._told(request, path)
            if query:
                query_key, query = self._take_key(request, query, told.dialect)
            azure = from_azure(path, query) if path.startswith(b"/openai/") else None
            if notes is not None and not (query or query_key or azure) and told.route.dialect is not None:
                notes["told"] = told
        clock = self._clock
        record = CallRecord(
            timestamp(time.time()), new_request_id(), told.client_id, method=told.shown_method, path=told.shown_path
        )
        context = CallContext(
            told.dialect, told.path, query, query_key, record, clock, clock.seconds(), self._log, told.route
        )
        context.notes = notes
        if azure is not None:
            context.path, context.query, context.model = azure.path, azure.query, azure.model
        return context

    def _told(self, request: Request, path: bytes) -> _Told:
        """What the head tells, whatever the configuration is."""
        method, headers = request.method, fields_of(request.requestHeaders)
        route = self._remembered.get((method, path), UNROUTED)
        dialect = route.dialect
        if dialect is None or not _TELLING.isdisjoint(headers):
            dialect = self._dialect(method, path, headers)
        client_id = headers.get(b"X-Request-Id")
        return _Told(
            dialect,
            path,
            route,
            None if client_id is None else printable(client_id[-1].decode("latin-1")),
            _SHOWN.get(method) or printable(method.decode("latin-1"), 16),
            # Whatever else it is may hold a key, as in http://user:key@host/.
            printable(path.decode("latin-1"), 512) if path.startswith(b"/") else "-",
        )

    def _take_key(self, request: Request, query: bytes, dialect: Dialect) -> tuple[bytes | None, bytes]:
        """
        Take a virtual key out of the query, and out of the request too: others may log its URI.

        Gemini's SDKs send it as ``key``. Elsewhere it is not looked for, but a parameter that holds a key of ours,
        whatever its name, must not travel on either.

        :return: the key, where it counts, and the rest of the query.
        """
        gemini = dialect is GEMINI
        keys: list[bytes] = []

        def holds_key(name: bytes, value: bytes) -> bool:
            if gemini and name == b"key":
                keys.append(value)
                return True
            return self._grants.find(value) is not None

        stripped = without_parameters(query, holds_key)
        if stripped == query:
            return None, query
        request.args = {}
        request.uri = request.uri.partition(b"?")[0] + (b"?" + stripped if stripped else b"")
        return (keys[0] if keys else None), stripped

    def _dialect(self, method: bytes, path: bytes, headers: Fields) -> Dialect:
        if path.startswith(b"/p/"):
            target = self._grants.targets.get(path.split(b"/", 3)[2].decode("utf-8", "replace"))
            return DIALECTS["openai"] if target is None else target.dialect
        anthropic_version, google = (name in headers for name in _VERSION_AND_KEY)
        return dialect_of(method, path, anthropic_version=anthropic_version, google=google)


def _decodable(request: Request) -> bool:
    try:
        unquote_to_bytes(request.path).decode("utf-8")
        request.getRequestHostname().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
