"""The admin API: who is let in, where a request goes, and how answers and errors look."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, cast

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from llm_gateway import __version__
from llm_gateway.config.values import Configuration
from llm_gateway.core.faults import without_words
from llm_gateway.core.record import CLIENT_GONE, OK, REFUSED
from llm_gateway.errors import InternalError
from llm_gateway.issuing.entries import DATABASE
from llm_gateway.issuing.faults import (
    BadQuestion,
    Broken,
    Fault,
    FilesRefused,
    NotAdmitted,
    NothingThere,
    Unavailable,
    WrongMethod,
)
from llm_gateway.issuing.keeper import By, Keeper, KeyView, Made, moment
from llm_gateway.issuing.running import InThread, RunningKeys
from llm_gateway.ledger.store import StoreError
from llm_gateway.web.admin.adding import BY, UsageReport, dimensions, rows_of, total_of
from llm_gateway.web.admin.admission import AdminKeys
from llm_gateway.web.admin.endpoints import (
    ENDPOINTS,
    FIRST_KEYS,
    LAST_AUDIT,
    MOST_AUDIT,
    MOST_KEYS,
    ORIGINS,
    STATES,
    WHERE,
    Endpoint,
)
from llm_gateway.web.admin.questions import Parameters, body_of, object_in, span, struct_in
from llm_gateway.web.admin.values import (
    AuditEntry,
    AuditPage,
    Error,
    ErrorBody,
    Health,
    KeyPage,
    LiveCalls,
    Reloaded,
    Rotation,
    Usage,
    Worker,
)
from llm_gateway.web.answer import reason, when_client_leaves
from llm_gateway.web.context import CallContext, context_of
from llm_gateway.web.live import MOST_CALLS, Elsewhere, WorkerState
from llm_gateway.web.live import LiveCalls as Live
from llm_gateway.wire.fields import fields_of

__all__ = ["PATH", "AdminApp", "AdminParts", "AdminResource"]

PATH = "/admin/v1"
US = 1_000_000

_VERSION = re.compile(r'(?:W/)?(")?([0-9]{1,18})(?(1)")')
_log = Logger()


class AdminParts(msgspec.Struct, frozen=True):
    """What the admin API works on."""

    admin_keys: AdminKeys
    keeper: Keeper
    running: RunningKeys
    live: Live
    in_thread: InThread
    """Has what waits for the database done by another thread."""
    usage: UsageReport
    reload: Callable[[], Awaitable[Sequence[str]]]
    """Read the files again, in every process, and tell what is wrong with them: nothing if they are in use now."""
    elsewhere: Callable[[], Awaitable[Elsewhere]]
    """Ask the other processes, if there are any, which calls they are answering."""
    ledger_health: Callable[[], Mapping[str, Any]]
    """What the ledger says of itself, at once."""
    clock: IReactorTime
    wall: Callable[[], float] = time.time
    """Seconds since the epoch."""


class AdminResource(Resource):
    """
    Lets whoever has an admin key through to the API, and nobody else: not even to what there is not.

    Mount it at ``/admin/v1``, whatever the path above it is; requests have a context, see ``web.front``.
    """

    isLeaf = True

    def __init__(self, parts: AdminParts) -> None:
        super().__init__()
        self._parts = parts
        self._app = AdminApp(parts).app_resource()

    def render(self, request: Request) -> bytes | int:
        context = context_of(request)
        try:
            context.record.key = f"admin:{self._admitted(request)}"
            # Where it is mounted is the gateway's business: the routes are told apart by what follows.
            below = context.path.removeprefix(PATH.encode()) if context.path.startswith(PATH.encode()) else b""
            if b"%" in below or b"//" in below:
                raise NothingThere("There is nothing at such a path: the admin API's have nothing encoded.")
            request.prepath, request.postpath = [b"admin", b"v1"], below.split(b"/")[1:]
        except Fault as fault:
            refuse(request, fault)
            return NOT_DONE_YET
        when_client_leaves(request, lambda: context.settle(CLIENT_GONE))
        return cast(int, self._app.render(request))

    def _admitted(self, request: Request) -> str:
        """
        :return: the name of the credential.
        :raises NotAdmitted: there is none, or not one that is known.
        """
        parts, challenge = self._parts, {"www-authenticate": 'Bearer realm="admin"'}
        values = fields_of(request.requestHeaders).get(b"Authorization", ())
        for value in values if len(values) == 1 else ():
            scheme, _, key = value.partition(b" ")
            name = parts.admin_keys.find(key.strip()) if scheme.lower() == b"bearer" else None
            if name is None:
                continue
            if parts.running.current.key_for(key.strip()) is not None:
                _log.error("Admin key {name} is a virtual key, too, and opens nothing", name=name)
                continue
            return name
        raise NotAdmitted("An admin key is needed: Authorization: Bearer.", headers=challenge)


def _strict_router() -> Klein:
    router = Klein()
    router.url_map.merge_slashes = False
    router.url_map.strict_slashes = False
    router.url_map.redirect_defaults = False
    return router


class AdminApp:
    """The routes of the admin API, one method for each of ``ENDPOINTS``."""

    app = _strict_router()

    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts

    def app_resource(self) -> IResource:
        """
        :return: renders admitted requests, whose ``postpath`` begins behind ``/admin/v1``.
        """
        return self.app.resource()

    # Keys

    async def list_keys(self, request: Request) -> bytes:
        given = Parameters(request, ("origin", "state", "group", "name", "after", "limit"))
        origin, state = given.choice("origin", ORIGINS), given.choice("state", STATES)
        group, name, after = given.text("group"), given.text("name"), given.text("after")
        limit = given.whole_number("limit", 1, MOST_KEYS) or FIRST_KEYS

        def wanted(key: KeyView) -> bool:
            return (
                (origin is None or key.origin == origin)
                and (state is None or key.state == state)
                and (group is None or key.entry.get("group") == group)
                and (name is None or key.name == name)
            )

        def page() -> list[KeyView]:
            return list(islice(filter(wanted, self._parts.keeper.all(after)), limit + 1))

        found = await self._in_thread(page)
        return answer(request, KeyPage(found[:limit], len(found) > limit))

    async def create_key(self, request: Request) -> bytes:
        entry, by = object_in(request), _by(request)
        made = await self._in_thread(self._parts.keeper.create, entry, by)
        await self._parts.running.refresh()
        return self._made(request, made, 201)

    async def get_key(self, request: Request, id: str) -> bytes:
        return _one(request, await self._in_thread(self._parts.keeper.get, id))

    async def edit_key(self, request: Request, id: str) -> bytes:
        patch, by, version = object_in(request), _by(request), _version(request)
        view = await self._in_thread(self._parts.keeper.edit, id, patch, by, version)
        await self._parts.running.refresh()
        return _one(request, view)

    async def delete_key(self, request: Request, id: str) -> bytes:
        by, version = _by(request), _version(request)
        await self._in_thread(self._parts.keeper.delete, id, by, version)
        await self._parts.running.refresh()
        return answer(request, None, 204)

    async def rotate_key(self, request: Request, id: str) -> bytes:
        how, by, version = struct_in(request, Rotation), _by(request), _version(request)
        made = await self._in_thread(self._parts.keeper.rotate, id, how.grace_s, by, version)
        await self._parts.running.refresh()
        return self._made(request, made, 200)

    async def revoke_key(self, request: Request, id: str) -> bytes:
        body_of(request)
        by, version = _by(request), _version(request)
        view = await self._in_thread(self._parts.keeper.revoke, id, by, version)
        await self._parts.running.refresh()
        return _one(request, view)

    @staticmethod
    def _made(request: Request, made: Made, status: int) -> bytes:
        request.setHeader(b"location", f"{PATH}/keys/{made.virtual_key.id}".encode("ascii"))
        request.setHeader(b"etag", b'"%d"' % (made.virtual_key.version or 0))
        return answer(request, made, status)

    # What was used

    async def usage(self, request: Request) -> bytes:
        given = Parameters(request, ("by", "since", "until", *WHERE))
        by = dimensions(given.text("by"), BY, labels=True)
        since, until = span(given, self._parts.wall())
        where = {name: [value] for name in WHERE if (value := given.text(name)) is not None}
        lines = await self._in_thread(self._parts.usage, by, since / US, until / US, where)
        return answer(request, Usage(moment(since), moment(until), by, rows_of(lines, by), total_of(lines)))

    # The gateway itself

    async def live_calls(self, request: Request) -> bytes:
        Parameters(request, ())
        there, live = await self._parts.elsewhere(), self._parts.live
        shown = live.listed(self._parts.wall() - self._parts.clock.seconds())
        if there.data:
            shown = sorted([*shown, *there.data], key=attrgetter("started_at"))[:MOST_CALLS]
        calls = len(live) + there.calls
        missing = [_worker(each) for each in there.missing]
        return answer(request, LiveCalls(live.worker, calls, shown, calls - len(shown), missing))

    async def reload(self, request: Request) -> bytes:
        body_of(request)
        by = _by(request)
        problems = await self._parts.reload()
        await self._in_thread(self._parts.keeper.note, by, "reload", "", {"problems": len(problems)})
        if problems:
            raise FilesRefused(f"The files cannot be used; what was read before stays in use. {' '.join(problems)}")
        await self._parts.running.refresh()
        configuration = self._parts.running.current
        return answer(request, Reloaded(True, *_counted(configuration), len(configuration.providers)))

    async def health(self, request: Request) -> bytes:
        Parameters(request, ())
        live, running = self._parts.live, self._parts.running
        configuration = running.current
        of_files, of_database = _counted(configuration)
        status = "draining" if live.draining else "ok" if running.reachable else "degraded"
        document = Health(
            status,
            __version__,
            len(live),
            live.worker,
            [_worker(each) for each in live.workers()],
            of_files,
            of_database,
            len(configuration.providers),
            running.reachable,
            dict(self._parts.ledger_health()),
        )
        return answer(request, document)

    async def audit(self, request: Request) -> bytes:
        given = Parameters(request, ("limit", "before"))
        limit = given.whole_number("limit", 1, MOST_AUDIT) or FIRST_KEYS
        before = given.whole_number("before", 0, LAST_AUDIT)
        rows = await self._in_thread(self._parts.keeper.audit, limit + 1, before)
        shown = [
            AuditEntry(
                row.id,
                moment(row.audit.at),
                row.audit.actor,
                row.audit.action,
                row.audit.subject,
                row.audit.detail,
                row.audit.request_id,
                row.audit.address,
            )
            for row in rows[:limit]
        ]
        return answer(request, AuditPage(shown, len(rows) > limit))

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await self._parts.in_thread(function, *arguments)
        except StoreError as error:
            raise Unavailable("The database cannot be used just now.", headers={"retry-after": "5"}) from error

    # Errors

    @app.handle_errors(Fault)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        fault = cast(Fault, failure.value)
        if isinstance(fault, Unavailable) and fault.__cause__ is not None:
            _log.error("The admin API's database: {error}", error=fault.__cause__)
        return refusal(cast(Request, request), fault)

    @app.handle_errors(HTTPException)
    def not_routed(self, request: IRequest, failure: Failure) -> bytes:
        error = failure.value
        if isinstance(error, WerkzeugMethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return refusal(
                cast(Request, request), WrongMethod(f"This path takes {allowed}.", headers={"allow": allowed})
            )
        return refusal(cast(Request, request), NothingThere("The admin API has nothing at this path."))

    @app.handle_errors(Exception)
    def broken(self, request: IRequest, failure: Failure) -> bytes:
        trace, request_id = without_words(failure.value, failure.getTracebackObject()), context_of(request).request_id
        _log.critical("A fault in the admin API, request {request_id}\n{trace}", request_id=request_id, trace=trace)
        return refusal(cast(Request, request), Broken("The gateway failed to do this. Its log has the details."))


def _routed(endpoint: Endpoint) -> Callable[..., Any]:
    """:return: what the router calls: with the app before the request, as with any method."""

    def handle(app: AdminApp, request: Request, **taken: str) -> Deferred[bytes]:
        method: Callable[..., Any] = getattr(app, endpoint.name)
        return Deferred.fromCoroutine(method(request, **taken))

    handle.__name__ = endpoint.name
    return handle


for _endpoint in ENDPOINTS:
    _path = re.sub(r"\{(\w+)\}", r"<\1>", _endpoint.path)
    AdminApp.app.route(_path, methods=[_endpoint.method], endpoint=_endpoint.name)(_routed(_endpoint))


# Answers


def answer(request: Request, document: msgspec.Struct | None, status: int = 200) -> bytes:
    """
    Set status and headers of what was asked for, and settle the call.

    :return: the body to write.
    """
    body = b"" if document is None else msgspec.json.encode(document) + b"\n"
    context = context_of(request)
    _head(request, context, status, body)
    if document is None:
        request.responseHeaders.removeHeader(b"content-type")
        request.responseHeaders.removeHeader(b"content-length")
        request.defaultContentType = None
    context.settle(OK)
    return b"" if request.method == b"HEAD" else body


def _one(request: Request, view: KeyView) -> bytes:
    if view.version is not None:
        request.setHeader(b"etag", b'"%d"' % view.version)
    return answer(request, view)


def refusal(request: Request, fault: Fault) -> bytes:
    """
    The same for what was not done.
    """
    body = msgspec.json.encode(ErrorBody(Error(fault.message, fault.type, fault.param, fault.kind))) + b"\n"
    context = context_of(request)
    _head(request, context, fault.status, body)
    request.setHeader(b"x-gw-error", fault.kind.encode("ascii"))
    for name, value in fault.headers.items():
        request.setHeader(name.encode("ascii"), value.encode("latin-1"))
    context.record.error = fault.kind
    context.settle(InternalError.ended if fault.status == 500 else REFUSED)
    return b"" if request.method == b"HEAD" else body


def refuse(request: Request, fault: Fault) -> None:
    """The same, written."""
    request.write(refusal(request, fault))
    request.finish()


def _head(request: Request, context: CallContext, status: int, body: bytes) -> None:
    request.setResponseCode(status, reason(status))
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    request.setHeader(b"cache-control", b"no-store")
    context.record.status = status
    context.record.bytes_out += len(body)


def _by(request: Request) -> By:
    record = context_of(request).record
    address = getattr(request.getClientAddress(), "host", None)
    return By(record.key or "", record.request_id, address)


def _version(request: Request) -> int | None:
    """
    :return: the one that ``if-match`` names; ``None`` for whichever it is.
    :raises BadQuestion: it names none that could be.
    """
    value = request.getHeader(b"if-match")
    if value is None or value.strip() == b"*":
        return None
    found = _VERSION.fullmatch(value.decode("latin-1").strip())
    if found is None:
        raise BadQuestion('if-match must be one ETag of the key, such as "3".', param="if-match")
    return int(found[2])


def _counted(configuration: Configuration) -> tuple[int, int]:
    """:return: how many keys are of the file, and how many of the database: one that was rotated is one."""
    of_database = {key.account for key in configuration.keys.values() if key.origin == DATABASE}
    return sum(key.origin != DATABASE for key in configuration.keys.values()), len(of_database)


def _worker(state: WorkerState) -> Worker:
    return Worker(state.number, state.pid, state.state, state.calls, state.restarts)
