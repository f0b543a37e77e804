"""What the owner of a virtual key may see of it: ``/v1/gateway/key`` and ``/v1/gateway/usage``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.core.limits.claims import Standing
from llm_gateway.core.limits.values import Measure
from llm_gateway.core.record import CLIENT_GONE
from llm_gateway.errors import BadRequest, Busy, GatewayError, InternalError
from llm_gateway.issuing.faults import BadQuestion
from llm_gateway.issuing.keeper import moment
from llm_gateway.issuing.running import InThread
from llm_gateway.ledger.queries import dollars
from llm_gateway.ledger.store import StoreError
from llm_gateway.web.admin.adding import OWN_BY, UsageReport, dimensions, rows_of, total_of
from llm_gateway.web.admin.questions import Parameters, span
from llm_gateway.web.admin.values import LimitState, OwnKey, OwnUsage
from llm_gateway.web.answer import fault, refuse, when_client_leaves
from llm_gateway.web.context import CallContext, context_of
from llm_gateway.web.grants import Grant
from llm_gateway.web.models import answer_here

__all__ = ["OwnKeyPage", "OwnUsagePage"]

MOST_AT_ONCE = 4
"""Questions to the ledger: the threads that wait for it have other things to do, too."""

_US = 1_000_000

T = TypeVar("T")

_log = Logger()


class OwnKeyPage(Resource):
    """``GET /v1/gateway/key``: what the caller's key may do, and what is left of its limits."""

    isLeaf = True

    def __init__(self, standings: Callable[[Grant], Sequence[Standing]]) -> None:
        """
        :param standings: how the limits stand that its owner may know of: those of the key and of its group.
        """
        super().__init__()
        self._standings = standings

    def render(self, request: Request) -> int:
        """
        :raises GatewayError: the query asks for something else.
        """
        context = context_of(request)
        grant = context.grant
        assert grant is not None
        _parameters(request, ())
        key = grant.key
        document = OwnKey(
            key.name,
            key.fingerprint,
            key.group,
            dict(key.labels),
            None if key.expires is None else moment(int(key.expires * _US)),
            None if key.models is None else [rule.pattern for rule in key.models.rules],
            None if key.operations is None else sorted(key.operations),
            [limit_state(each) for each in self._standings(grant)],
        )
        _answer(request, context, document)
        return NOT_DONE_YET


class OwnUsagePage(Resource):
    """``GET /v1/gateway/usage``: what the caller's key has used."""

    isLeaf = True

    def __init__(self, usage: UsageReport, in_thread: InThread, wall: Callable[[], float] = time.time) -> None:
        """
        :param wall: seconds since the epoch.
        """
        super().__init__()
        self._asking = 0
        self._usage = usage
        self._in_thread = in_thread
        self._wall = wall

    def render(self, request: Request) -> int:
        """
        :raises GatewayError: the query makes no sense.
        """
        context = context_of(request)
        grant = context.grant
        assert grant is not None
        given = _parameters(request, ("by", "since", "until"))
        try:
            by = dimensions(given.text("by"), OWN_BY, labels=False)
            since, until = span(given, self._wall())
        except BadQuestion as error:
            raise _bad(error) from None
        if self._asking >= MOST_AT_ONCE:
            raise Busy("Too many are asking for what they have used. Try again.", headers={"retry-after": "1"})
        self._asking += 1
        asking = self._in_thread(self._usage, by, since / _US, until / _US, {"key_digest": [grant.key.account]})
        when_client_leaves(request, lambda: context.settle(CLIENT_GONE))

        def shown(lines: Any) -> None:
            if not context.settled:
                document = OwnUsage(moment(since), moment(until), by, rows_of(lines, by), total_of(lines))
                _answer(request, context, document)

        # One whose client has left counts until the database has answered it, all the same: that is what it keeps busy.
        asking.addBoth(self._answered)
        asking.addCallback(shown)
        asking.addErrback(_failed, request, context)
        return NOT_DONE_YET

    def _answered(self, result: T) -> T:
        self._asking -= 1
        return result


def _failed(failure: Failure, request: Request, context: CallContext) -> None:
    if context.settled:
        return
    error: GatewayError
    if isinstance(failure.value, BadQuestion):
        error = _bad(failure.value)
    elif failure.check(StoreError):
        _log.error("The ledger cannot be asked: {error}", error=failure.value)
        error = InternalError("The ledger cannot be asked just now.", status=503, headers={"retry-after": "5"})
    else:
        error = fault(request, failure)
    refuse(request, error)


def _parameters(request: Request, known: Sequence[str]) -> Parameters:
    try:
        return Parameters(request, known)
    except BadQuestion as error:
        raise _bad(error) from None


def _bad(error: BadQuestion) -> BadRequest:
    return BadRequest(error.message, param=error.param)


def _answer(request: Request, context: CallContext, document: msgspec.Struct) -> None:
    request.setHeader(b"cache-control", b"no-store")
    answer_here(request, context, msgspec.json.encode(document) + b"\n")


def limit_state(standing: Standing) -> LimitState:
    """:return: as it is shown."""
    limit = standing.limit
    usd = limit.measure is Measure.DOLLARS
    remaining = max(0, standing.remaining)
    return LimitState(
        limit.name,
        limit.scope.value,
        dollars(limit.amount) if usd else limit.amount,
        dollars(remaining) if usd else remaining,
        None if standing.reset_s is None else round(standing.reset_s, 3),
        limit.shadow,
    )
