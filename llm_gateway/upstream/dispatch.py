"""One client's call: sent to one candidate after another, until one of them has the answer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from math import ceil
from typing import Protocol

import msgspec
from treq.client import HTTPClient
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.core import record
from llm_gateway.core.dialects import Dialect
from llm_gateway.core.faults import without_words
from llm_gateway.core.judging import failure_in_answer, failure_in_event, retry_after_s
from llm_gateway.core.routing.admission import Ticket, TicketState
from llm_gateway.core.routing.attempts import GiveUp, Retry
from llm_gateway.core.routing.breaker import Change, State
from llm_gateway.core.routing.calls import Attempt as Turn
from llm_gateway.core.routing.calls import RoutedCall, Router
from llm_gateway.core.routing.candidates import Call, Candidate, Chance
from llm_gateway.core.routing.outcomes import Outcome as Result
from llm_gateway.core.routing.outcomes import OutcomeKind, kind_of_error, kind_of_frame, kind_of_status
from llm_gateway.core.routing.plans import Route
from llm_gateway.core.routing.settings import RoutingSettings
from llm_gateway.core.translation.losses import Unsupported
from llm_gateway.errors import (
    Busy,
    CredentialLimited,
    GatewayError,
    InternalError,
    NoProvider,
    RateLimited,
    UpstreamTimeout,
)
from llm_gateway.upstream.account import Account
from llm_gateway.upstream.attempt import Attempt, Outcome, ProviderCall
from llm_gateway.upstream.prober import ProviderHealth
from llm_gateway.upstream.relay import Held
from llm_gateway.upstream.sink import Sink
from llm_gateway.upstream.watch import Watch
from llm_gateway.wire.rounds import together

_log = Logger()

_OK = Result(OutcomeKind.OK)
_FAULT = Result(OutcomeKind.FAULT)
_UNSUPPORTED = Result(OutcomeKind.UNSUPPORTED)


class Prepared(msgspec.Struct, frozen=True):
    """A call as one candidate gets it."""

    call: ProviderCall
    client: HTTPClient
    watch: Watch
    dialect: Dialect
    """The one that this provider is asked in."""
    sink: Sink
    """Where its answer goes."""
    account: Account | None = None


class Asker(Protocol):
    """The client's side of a call."""

    request_id: str

    def prepare(self, candidate: Candidate, number: int) -> Prepared:
        """
        :param number: of the attempt, from 1.
        :raises GatewayError: this candidate cannot be asked that.
        """

    def content(self, candidate: Candidate) -> None:
        """
        What the client gets is this candidate's: its answer, which begins now, or what it failed with. Nothing is sent
        again.
        """

    def over(self, outcome: Outcome) -> None:
        """It has ended, in whatever way. Called once."""


class Dispatcher:
    """Has calls sent, and keeps what all of them share: the router, and the timer of its queues."""

    def __init__(self, clock: IReactorTime, chance: Chance, on_change: Callable[[Change], None]) -> None:
        """
        :param on_change: told of every new state of a provider, model or credential.
        """
        self.clock = clock
        self._on_change = on_change
        self.router = Router(RoutingSettings(), chance, self._changed, self._wake)
        self._queued: dict[RoutedCall, Dispatch] = {}
        self._woken: deque[Dispatch] = deque()
        """Those whose turn it is; the first one is at it."""
        self._read_on: set[Attempt] = set()
        """Whose clients have left."""
        self._timer: IDelayedCall | None = None

    def use(self, settings: RoutingSettings) -> None:
        """Go by these settings from now on."""
        self.router.configure(settings, self.clock.seconds())

    def probed(self, state: ProviderHealth) -> None:
        """A probe has ended."""
        self.router.health.probed(state.name, state.error, self.clock.seconds())

    def dispatch(self, route: Route, call: Call, asker: Asker) -> Dispatch:
        """
        :return: a call that is to be ``run``.
        """
        return Dispatch(self, route, call, asker)

    def let_go(self, attempt: Attempt, ended: str) -> None:
        """
        Nobody waits for this attempt's answer any more.

        :param ended: why.
        """
        if attempt.let_go(ended, self):
            self._read_on.add(attempt)

    @property
    def reading_on(self) -> int:
        """The answers that are read only to know what they use."""
        return len(self._read_on)

    def stop_reading(self) -> None:
        """Read none of them any further."""
        for attempt in list(self._read_on):
            attempt.drop()
        self._read_on.clear()

    def content(self, attempt: Attempt) -> bool:
        """An answer begins that nobody waits for."""
        return True

    def over(self, attempt: Attempt, outcome: Outcome) -> None:
        """Such an answer has ended."""
        self._read_on.discard(attempt)

    def queued(self, routed: RoutedCall, dispatch: Dispatch) -> None:
        """It waits for a slot."""
        self._queued[routed] = dispatch
        self._set_timer()

    def left(self, routed: RoutedCall) -> None:
        """It waits no more."""
        if self._queued.pop(routed, None) is not None and not self._queued and self._timer is not None:
            timer, self._timer = self._timer, None
            timer.cancel()

    def _changed(self, change: Change) -> None:
        try:
            self._on_change(change)
        except Exception:
            # Whoever is told, the call that it came of goes on.
            _log.failure("A new state could not be told: {part}", part=str(change.part))

    def _wake(self, ticket: Ticket) -> None:
        dispatch = self._queued.get(ticket.owner)
        if dispatch is None:
            return
        self.left(ticket.owner)
        self._woken.append(dispatch)
        if len(self._woken) > 1:
            # Whoever is at it comes to this one too. A call that ends at once would let in the next from within, and
            # so on, until the stack is full.
            return
        while self._woken:
            try:
                self._woken[0].turn()
            except Exception:
                # The others do not wait for that.
                _log_fault(self._woken[0].request_id)
            self._woken.popleft()

    def _set_timer(self) -> None:
        deadline = self.router.admission.next_deadline()
        if deadline is None:
            return
        wait = max(0.0, deadline - self.clock.seconds())
        if self._timer is None:
            self._timer = self.clock.callLater(wait, self._expire)
        elif self._timer.getTime() > deadline:
            # Another provider's queue is one in which calls wait for longer.
            self._timer.reset(wait)

    def _expire(self) -> None:
        self._timer = None
        self.router.expire(self.clock.seconds())
        self._set_timer()


def log_change(change: Change) -> None:
    """Tell the operator of a new state, once."""
    part, reason = str(change.part), change.reason
    if change.after is State.CLOSED:
        _log.info("{part} is back: {reason}", part=part, reason=reason)
    elif change.after is State.HALF_OPEN:
        _log.info("{part} is tried again", part=part)
    elif change.alert:
        _log.error("{part} is left alone, and somebody has to mend it: {reason}", part=part, reason=reason)
    elif change.before is State.HALF_OPEN:
        _log.info("{part} is still left alone: {reason}", part=part, reason=reason)
    else:
        _log.warn("{part} is left alone for a while: {reason}", part=part, reason=reason)


class Dispatch:
    """
    One call. Tells its asker of the end exactly once, on every way out.

    It owns the attempts that run: one, or two while a late first answer is raced. What to do next is always the routed
    call's decision; this sends, waits and hands over.
    """

    __slots__ = (
        "_asker",
        "_clock",
        "_dispatcher",
        "_given_up",
        "_hedge_timer",
        "_last",
        "_routed",
        "_running",
        "_settled",
        "_timer",
    )

    def __init__(self, dispatcher: Dispatcher, route: Route, call: Call, asker: Asker) -> None:
        self._dispatcher = dispatcher
        self._clock = dispatcher.clock
        self._asker = asker
        self._running: list[Attempt] = []
        self._last: tuple[Outcome, Sink | None, Candidate | None] | None = None
        """The last attempt that failed, with where its answer goes and whose it is: nowhere if nobody was asked."""
        self._timer: IDelayedCall | None = None
        self._hedge_timer: IDelayedCall | None = None
        self._given_up: str | None = None
        """How the call ended, where attempts still run."""
        self._settled = False
        self._routed = dispatcher.router.call(route, call, self._clock.seconds(), self._hang_up)

    def run(self) -> None:
        """
        Send the call. That and all that follows may happen before this returns.

        :raises GatewayError: the first candidate cannot be asked that; the asker is not told.
        """
        if self._settled:
            # Before its turn came.
            return
        step = self._routed.start(self._clock.seconds())
        if isinstance(step, Turn):
            try:
                self._send(step)
            except (Unsupported, CredentialLimited) as error:
                self._cannot(step, error)
            except GatewayError:
                self._settled = True
                self._routed.leave(self._clock.seconds())
                self._let_go()
                raise
            if self._running and self._dispatcher.router.settings.hedging.after_s is not None:
                after_s = self._routed.hedge_after_s(self._clock.seconds())
                if after_s is not None:
                    self._hedge_timer = self._clock.callLater(after_s, self._hedge)
        else:
            self._go_on(step)

    def turn(self) -> None:
        """What was waited for has come: a slot, or the time."""
        self._timer = None
        if not self._settled:
            self._go_on(self._routed.turn(self._clock.seconds()))

    def leave(self) -> None:
        """The client has left: the providers' connections are closed at once and the outcome is ``client_gone``."""
        if not self._settled:
            self._give_up(Outcome(record.CLIENT_GONE))

    def stop(self, error: GatewayError) -> None:
        """End the call on the gateway's own account, as at the end of a drain."""
        begun = next((each for each in self._running if each.sink.begun), None)
        if begun is not None:
            begun.stop(error)
        elif not self._settled:
            self._give_up(Outcome(error.ended, error, unanswered=True))

    @property
    def request_id(self) -> str:
        """The gateway's own id of the call."""
        return self._asker.request_id

    @property
    def asking(self) -> bool:
        """Whether a provider has the call now."""
        return bool(self._running)

    def whole(self) -> None:
        """The sink has found that the answer is whole, although the provider has not ended it."""
        begun = next((each for each in self._running if each.turn.content_at is not None), None)
        if begun is not None:
            begun.answered()

    # From the attempts

    def content(self, attempt: Attempt) -> bool:
        """The first byte of an answer is there for the client."""
        turn: Turn = attempt.turn
        status = attempt.failed
        # An error that is too long to be held is passed on, and is still one.
        result = _OK if status is None else Result(kind_of_status(status), status)
        if not self._routed.content(turn, self._clock.seconds(), result):
            return False
        if self._hedge_timer is not None:
            self._stop_hedging()
        self._asker.content(turn.lane.candidate)
        return True

    def over(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt has ended by itself."""
        turn: Turn = attempt.turn
        self._running.remove(attempt)
        if turn.content_at is not None:
            result = _OK if outcome.error is None else _result_of(outcome, attempt)
            self._routed.ended(turn, result, self._clock.seconds())
            if not self._settled:
                self._settled = True
                self._tell(outcome)
            return
        self._last = outcome, attempt.sink, turn.lane.candidate
        step = self._routed.ended(turn, _result_of(outcome, attempt), self._clock.seconds())
        if step is not None:
            self._go_on(step)
        elif not self._running:
            self._end(outcome)

    # What to do next

    def _go_on(self, step: Turn | Ticket | Retry | GiveUp) -> None:
        if isinstance(step, Turn):
            try:
                self._send(step)
            except (Unsupported, CredentialLimited) as error:
                self._cannot(step, error)
            except GatewayError as error:
                # What an earlier one has said tells the client more than that this one could not be asked.
                self._last = self._last or (Outcome(error.ended, error, unanswered=True), None, None)
                given_up = self._routed.ended(step, _FAULT, self._clock.seconds())
                assert isinstance(given_up, GiveUp)
                self._fail(given_up)
        elif isinstance(step, Ticket):
            if step.state is TicketState.WAITING:
                self._dispatcher.queued(self._routed, self)
            else:
                # What another call did that had to make room for this one has given it its turn already.
                self.turn()
        elif isinstance(step, Retry):
            # Also when it is at once: whoever told us of the failure may still be at it.
            self._timer = self._clock.callLater(step.after_s, self.turn)
        else:
            self._fail(step)

    def _cannot(self, turn: Turn, error: Unsupported | CredentialLimited) -> None:
        """This candidate's dialect cannot say it, or its credential has no room for it; another's may."""
        self._last = self._last or (Outcome(error.ended, error, unanswered=True), None, None)
        result = _UNSUPPORTED
        if isinstance(error, CredentialLimited):
            result = Result(OutcomeKind.OVER_LIMIT, None, error.again_s)
        step = self._routed.ended(turn, result, self._clock.seconds())
        if step is not None:
            self._go_on(step)

    def _send(self, turn: Turn) -> None:
        """
        :raises GatewayError: the candidate cannot be asked that.
        """
        try:
            prepared = self._asker.prepare(turn.lane.candidate, turn.number)
        except GatewayError:
            raise
        except Exception:
            raise self._fault() from None
        attempt = Attempt(
            prepared.call,
            prepared.client,
            self._clock,
            prepared.watch,
            prepared.sink,
            prepared.dialect,
            self._asker.request_id,
            self,
            prepared.account,
        )
        attempt.turn = turn
        self._running.append(attempt)
        together(Attempt.run, attempt)

    def _fail(self, given_up: GiveUp) -> None:
        """Nobody is asked any more: tell the client what the last one said, or why nobody was asked."""
        if self._last is None:
            error = _nobody_asked(given_up)
            self._end(Outcome(error.ended, error, unanswered=True))
            return
        outcome, sink, candidate = self._last
        self._last = None
        try:
            if candidate is not None:
                # Another one may have been prepared since, or race with it.
                self._asker.content(candidate)
            if outcome.held is not None and outcome.error is None and sink is not None:
                _hand_over(outcome.held, sink)
                outcome = Outcome(outcome.ended)
        except Exception as failed:
            error = failed if isinstance(failed, GatewayError) else self._fault()
            begun = sink is not None and sink.begun
            self._end(Outcome(error.ended, error, unanswered=not begun))
            if begun and sink is not None:
                # Its client would wait for the rest.
                sink.abort()
        else:
            self._end(outcome)

    def _give_up(self, outcome: Outcome) -> None:
        """Whatever runs or waits is not wanted any more."""
        self._settled = True
        self._given_up = outcome.ended
        self._dispatcher.left(self._routed)
        self._routed.leave(self._clock.seconds())
        self._tell(outcome)

    def _end(self, outcome: Outcome) -> None:
        if not self._settled:
            self._settled = True
            self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if self._hedge_timer is not None:
            self._stop_hedging()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._last = None
        self._let_go()
        self._asker.over(outcome)

    def _let_go(self) -> None:
        # It and this hold each other, and with them the request; nothing runs any more that could be hung up.
        self._routed.hang_up = _nothing

    def _hedge(self) -> None:
        self._hedge_timer = None
        turn = self._routed.hedge(self._clock.seconds())
        if turn is not None:
            try:
                self._send(turn)
            except GatewayError:
                # The first one still runs.
                self._routed.ended(turn, _FAULT, self._clock.seconds())

    def _stop_hedging(self) -> None:
        timer, self._hedge_timer = self._hedge_timer, None
        if timer is not None:
            timer.cancel()

    def _fault(self) -> InternalError:
        _log_fault(self.request_id)
        return InternalError("The gateway failed to handle this call.")

    def _hang_up(self, turn: Turn) -> None:
        """The routed call does not want this attempt any more."""
        for attempt in self._running:
            if attempt.turn is turn:
                self._running.remove(attempt)
                self._dispatcher.let_go(attempt, self._given_up or record.SUPERSEDED)
                return


def _log_fault(request_id: str) -> None:
    failure = Failure()
    trace = without_words(failure.value, failure.getTracebackObject())
    _log.critical("A fault in the gateway broke call {id}\n{trace}", id=request_id, trace=trace)


def _nothing(_turn: Turn) -> None:
    """Is left to hang up."""


def _hand_over(held: Held, sink: Sink) -> None:
    sink.begin(held.status, held.headers)
    if held.body:
        sink.write(held.body)
    sink.finish()


def _result_of(outcome: Outcome, attempt: Attempt) -> Result:
    """What came of an attempt, in the words of the table of outcomes."""
    held, error = outcome.held, outcome.error
    if held is not None:
        dialect = attempt.dialect.name
        again_s = retry_after_s(held.headers, time.time())
        if outcome.event:
            said = failure_in_event(dialect, held.body)
            kind = kind_of_frame(None if said is None else said.kind)
        else:
            said = failure_in_answer(dialect, held.status, held.body)
            kind = kind_of_status(held.status, said.kind)
        # Without waiting, zero says, which is not the same as nothing.
        return Result(kind, held.status, said.retry_after_s if again_s is None and said is not None else again_s)
    if error is None:
        return _OK
    clock = error.clock if isinstance(error, UpstreamTimeout) else None
    return Result(kind_of_error(error.kind, clock))


def _nobody_asked(given_up: GiveUp) -> GatewayError:
    again_s = given_up.retry_after_s
    headers = None if again_s is None else {"retry-after": str(max(1, ceil(again_s)))}
    if given_up.kind is OutcomeKind.BUSY:
        return Busy("Too many calls are in flight. Send the call again later.", headers=headers)
    if given_up.kind is OutcomeKind.RATE_LIMITED:
        message = "Every credential that this call could use is over its provider's rate limit. Send it again later."
        return RateLimited(message, headers=headers)
    message = "No provider that could answer this call is available at present. Send it again later."
    return NoProvider(message, headers=headers)
