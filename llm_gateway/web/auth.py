"""Who is calling: from the key in a request to what it opens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from llm_gateway.core.dialects import GEMINI, Dialect
from llm_gateway.errors import GatewayError, KeyExpired, MissingKey, UnknownKey
from llm_gateway.web.answer import fault, refuse
from llm_gateway.web.context import CallContext, CallLimits, Operation, context_of
from llm_gateway.web.grants import Grant, GrantBook
from llm_gateway.web.live import LiveCalls
from llm_gateway.wire.fields import fields_of

_BARE_KEY_HEADERS = (b"X-Api-Key", b"Api-Key", b"X-Goog-Api-Key")


class AuthResource(Resource):
    """Resolves the virtual key to a grant and lets the request through to the next resource, or refuses it."""

    isLeaf = True

    def __init__(
        self,
        grants: GrantBook,
        live: LiveCalls,
        then: IResource,
        wall: Callable[[], float] = time.time,
        told: Callable[[Grant, Dialect], CallLimits] | None = None,
    ) -> None:
        """
        :param then: renders requests whose context holds a grant.
        :param told: what the callers of limited keys are told of their limits, in their dialect.
        :param wall: seconds since the epoch.
        """
        self._wall = wall
        super().__init__()
        self._grants = grants
        self._live = live
        self._then = then
        self._told = told

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
        grants, notes = self._grants, context.notes
        known = None if notes is None else notes.get("grant")
        if known is not None and known[0] is grants.generation:
            grant = known[1]
        else:
            grant = self._authorise(request, context)
            if notes is not None:
                notes["grant"] = grants.generation, grant
        context.grant = grant
        record = context.record
        record.key = grant.label
        expires = grant.key.expires
        if expires is not None and self._wall() >= expires:
            raise KeyExpired("This virtual key has expired. Ask the gateway's operator for another one.")
        record.provider = grant.key.provider
        if grant.limits and self._told is not None:
            # From here on: also what is refused, and answered by the gateway itself, says how they stand.
            context.account = self._told(grant, context.dialect)
        answer: bytes | int = self._then.render(request)
        return answer

    def _authorise(self, request: Request, context: CallContext) -> Grant:
        found = False
        for key in _presented_keys(request, context):
            found = True
            grant = self._grants.find(key)
            if grant is not None:
                return grant
        if found:
            raise UnknownKey("The virtual key is not known to this gateway.")
        places = "Authorization: Bearer, x-api-key, api-key or x-goog-api-key"
        if context.dialect is GEMINI:
            places += ", or ?key="
        status = 400 if context.operation is Operation.NATIVE else None
        if request.requestHeaders.hasHeader(b"authorization"):
            raise MissingKey('The Authorization header must be "Bearer" and a virtual key.', status=status)
        raise MissingKey(f"No virtual key was sent. Send it as {places}.", status=status)


def _presented_keys(request: Request, context: CallContext) -> Iterator[bytes]:
    """Every key that came, best place first. Some SDKs send two, of which only one was meant for us."""
    fields = fields_of(request.requestHeaders)
    for value in fields.get(b"Authorization", ()):
        scheme, _, key = value.partition(b" ")
        if scheme.lower() == b"bearer" and (key := key.strip()):
            yield key
    for name in _BARE_KEY_HEADERS:
        for value in fields.get(name, ()):
            if key := value.strip():
                yield key
    if context.query_key:
        yield context.query_key
