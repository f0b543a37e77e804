"""Who is calling: from the key in a request to what it opens."""

from __future__ import annotations

from typing import cast

from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from llm_gateway.core.dialects import GEMINI
from llm_gateway.errors import GatewayError, MissingKey, UnknownKey
from llm_gateway.web.answer import fault, refuse
from llm_gateway.web.context import CallContext, Operation, context_of
from llm_gateway.web.grants import Grant, GrantBook
from llm_gateway.web.live import LiveCalls

_BARE_KEY_HEADERS = (b"x-api-key", b"api-key", b"x-goog-api-key")


class AuthResource(Resource):
    """Resolves the virtual key to a grant and lets the request through to the next resource, or refuses it."""

    isLeaf = True

    def __init__(self, grants: GrantBook, live: LiveCalls, then: IResource) -> None:
        """
        :param then: renders requests whose context holds a grant.
        """
        super().__init__()
        self._grants = grants
        self._live = live
        self._then = then

    def render(self, request: Request) -> bytes | int:
        try:
            return self._let_through(request)
        except GatewayError as error:
            return refuse(request, error)
        except Exception:
            return refuse(request, fault(request, Failure()))

    def _let_through(self, request: Request) -> bytes | int:
        """
        :raises GatewayError: no key, an unknown one, or the gateway is stopping; or a provider cannot be asked.
        """
        context = context_of(request)
        self._live.refuse_while_draining()
        context.grant = self._authorise(request, context)
        context.record.key = context.grant.key.label
        context.record.provider = context.grant.key.provider
        return cast(bytes | int, self._then.render(request))

    def _authorise(self, request: Request, context: CallContext) -> Grant:
        presented = list(_presented_keys(request, context))
        for key in presented:
            grant = self._grants.find(key)
            if grant is not None:
                return grant
        if presented:
            raise UnknownKey("The virtual key is not known to this gateway.")
        places = "Authorization: Bearer, x-api-key, api-key or x-goog-api-key"
        if context.dialect is GEMINI:
            places += ", or ?key="
        status = 400 if context.operation is Operation.NATIVE else None
        if request.requestHeaders.hasHeader(b"authorization"):
            raise MissingKey('The Authorization header must be "Bearer" and a virtual key.', status=status)
        raise MissingKey(f"No virtual key was sent. Send it as {places}.", status=status)


def _presented_keys(request: Request, context: CallContext) -> list[bytes]:
    """Every key that came, best place first. Some SDKs send two, of which only one was meant for us."""
    headers = request.requestHeaders
    found = []
    for value in headers.getRawHeaders(b"authorization", ()):
        scheme, _, key = value.partition(b" ")
        if scheme.lower() == b"bearer" and key.strip():
            found.append(key.strip())
    for name in _BARE_KEY_HEADERS:
        found.extend(value.strip() for value in headers.getRawHeaders(name, ()) if value.strip())
    if context.query_key:
        found.append(context.query_key)
    return found
