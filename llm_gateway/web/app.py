"""The routes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import cast

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed
from werkzeug.exceptions import NotFound as WerkzeugNotFound

from llm_gateway.core.record import OK
from llm_gateway.errors import (
    BadRequest,
    GatewayError,
    MethodNotAllowed,
    NotFound,
)
from llm_gateway.upstream.dispatch import Dispatcher
from llm_gateway.upstream.prober import HealthBoard
from llm_gateway.web.access_log import AccessLog
from llm_gateway.web.accounts import Books
from llm_gateway.web.answer import EarlyRefusal, fault, refusal
from llm_gateway.web.auth import AuthResource
from llm_gateway.web.context import Operation, context_of
from llm_gateway.web.forward import METHODS, ForwardingResource
from llm_gateway.web.front import FrontResource
from llm_gateway.web.grants import GrantBook
from llm_gateway.web.health import health_page, livez_page, readyz_page
from llm_gateway.web.live import LiveCalls
from llm_gateway.web.routes import RouteBook

_RELAYED = [method.decode("ascii") for method in METHODS]

_OWN_PAGES = frozenset({"/v1/gateway/route", "/v1/gateway/key", "/v1/gateway/usage"})
"""What the owner of a key may ask the gateway itself."""


def _strict_router() -> Klein:
    """A router that never redirects: an SDK that follows would send its key and body twice."""
    router = Klein()
    router.url_map.merge_slashes = False
    router.url_map.strict_slashes = False
    router.url_map.redirect_defaults = False
    return router


class GatewayApp:
    """Maps paths to operations; what an operation does is the resource tree's business."""

    app = _strict_router()

    def __init__(
        self,
        *,
        grants: GrantBook,
        routes: RouteBook,
        dispatcher: Dispatcher,
        live: LiveCalls,
        board: HealthBoard,
        log: AccessLog | None,
        clock: IReactorTime,
        max_body_bytes: int,
        books: Books | None = None,
        own_pages: Callable[[], tuple[IResource, IResource]] | None = None,
        admin: IResource | None = None,
    ) -> None:
        """
        :param own_pages: makes what owners of keys see of those and of their use, where that is written down.
        :param admin: the admin API, where it is to be found here.
        """
        self._live = live
        self._board = board
        self._log = log
        told = None if books is None else books.told
        self._guarded = lambda page: AuthResource(grants, live, page, told=told)
        self._relay = self._guarded(ForwardingResource(routes, dispatcher, live, max_body_bytes, books))
        self._make_own_pages = own_pages
        self._own_pages: list[IResource] = []
        self._admin = admin
        self._routes = routes
        self._dispatcher = dispatcher
        self._clock = clock
        self._front = FrontResource(self.app.resource(), self._relay, grants, clock, log)

    def resource(self) -> IResource:
        """
        :return: the root to serve, or to mount in another program's tree.
        """
        return self._front

    def early_refusal(self) -> EarlyRefusal:
        """
        :return: what a site answers to something that is no request at all.
        """
        return EarlyRefusal(self._log)

    # Calls to providers

    @app.route("/completions/chat", methods=["POST"])
    @app.route("/chat/completions", methods=["POST"])
    def native(self, request: Request) -> IResource:
        return self._operation(request, Operation.NATIVE)

    @app.route("/v1/", branch=True, methods=_RELAYED)
    @app.route("/v1beta/", branch=True, methods=_RELAYED)
    @app.route("/openai/", branch=True, methods=_RELAYED)
    def versioned(self, request: Request) -> IResource:
        path = context_of(request).record.path
        if path in _OWN_PAGES:
            raise MethodNotAllowed(f"{path} takes GET.", headers={"allow": "GET, HEAD, OPTIONS"})
        if path.startswith("/v1/gateway/"):
            # A page of the gateway's own that there is not is no provider's business.
            raise NotFound(f"There is nothing at {path}.")
        return self._operation(request, Operation.VERSIONED)

    @app.route("/responses", branch=True, methods=_RELAYED)
    @app.route("/messages", branch=True, methods=_RELAYED)
    @app.route("/models", branch=True, methods=_RELAYED)
    @app.route("/embeddings", branch=True, methods=_RELAYED)
    def unversioned(self, request: Request) -> IResource:
        return self._operation(request, Operation.ROOT)

    @app.route("/p/<provider>/", branch=True, methods=_RELAYED)
    def raw(self, request: Request, provider: str) -> IResource:
        return self._operation(request, Operation.RAW)

    def _operation(self, request: Request, operation: Operation) -> IResource:
        self._front.remember(request, operation)
        return self._relay

    # The gateway's own pages

    @app.route("/", methods=["GET"])
    def root(self, request: Request) -> bytes:
        # Coding agents ask for it at their start, to see whether anybody is there.
        return livez_page(request)

    @app.route("/v1/gateway/route", methods=["GET"])
    def route(self, request: Request) -> IResource:
        return self._explain

    # What the pages need is loaded when somebody asks: most gateways do without.

    @cached_property
    def _explain(self) -> IResource:
        from llm_gateway.web.explaining import RoutePage

        return self._guarded(RoutePage(self._routes, self._dispatcher))

    @app.route("/v1/gateway/key", methods=["GET"])
    def key(self, request: Request) -> IResource:
        return self._own_page(0)

    @app.route("/v1/gateway/usage", methods=["GET"])
    def usage(self, request: Request) -> IResource:
        return self._own_page(1)

    def _own_page(self, number: int) -> IResource:
        """
        :raises NotFound: nothing is written down here.
        """
        if self._make_own_pages is None:
            raise NotFound("This gateway does not write down what calls use.")
        if not self._own_pages:
            self._own_pages = [self._guarded(page) for page in self._make_own_pages()]
        return self._own_pages[number]

    @app.route("/admin/v1", methods=_RELAYED)
    @app.route("/admin/v1/", branch=True, methods=_RELAYED)
    def admin(self, request: Request) -> IResource:
        if self._admin is None:
            raise NotFound("The admin API is not at this address.")
        return self._admin

    @app.route("/health", methods=["GET"])
    def health(self, request: Request) -> bytes:
        return health_page(request, self._board, self._dispatcher.router, self._clock.seconds(), time.time())

    @app.route("/livez", methods=["GET"])
    def livez(self, request: Request) -> bytes:
        return livez_page(request)

    @app.route("/readyz", methods=["GET"])
    def readyz(self, request: Request) -> bytes:
        return readyz_page(request, self._live)

    # Errors of routing and of the pages become answers here; those of calls, in the relay

    @app.handle_errors(GatewayError)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        return refusal(cast(Request, request), cast(GatewayError, failure.value))

    @app.handle_errors(HTTPException)
    def not_routed(self, request: IRequest, failure: Failure) -> bytes:
        error = cast(HTTPException, failure.value)
        if request.method == b"OPTIONS" and isinstance(error, WerkzeugMethodNotAllowed):
            request.setResponseCode(204)
            request.setHeader(b"allow", _allowed(error).encode("ascii"))
            context_of(request).record.status = 204
            context_of(request).settle(OK)
            return b""
        return refusal(cast(Request, request), _from_werkzeug(request, error))

    @app.handle_errors(Exception)
    def broken(self, request: IRequest, failure: Failure) -> bytes:
        return refusal(cast(Request, request), fault(cast(Request, request), failure))


def _from_werkzeug(request: IRequest, error: HTTPException) -> GatewayError:
    path = context_of(request).record.path
    if isinstance(error, WerkzeugNotFound):
        return NotFound(f"There is nothing at {path}. Calls go to /v1/..., /p/{{provider}}/... or /chat/completions.")
    if isinstance(error, WerkzeugMethodNotAllowed):
        allowed = _allowed(error)
        return MethodNotAllowed(f"{path} takes {allowed}.", headers={"allow": allowed})
    return BadRequest(f"{error.name}.", status=error.code)


def _allowed(error: WerkzeugMethodNotAllowed) -> str:
    return ", ".join(sorted({*(error.valid_methods or ()), "OPTIONS"}))
