"""One call from place to place, without a client: what its asker is told, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.dialects import OPENAI
from llm_gateway.core.headers import Fields
from llm_gateway.core.routing.breaker import Change, Part, State
from llm_gateway.core.routing.candidates import Call, Candidate
from llm_gateway.core.routing.outcomes import Scope
from llm_gateway.core.routing.resolving import Resolved, ResolvedGroup
from llm_gateway.core.routing.settings import Hedging, Limits, ProviderSettings, Retries, RoutingSettings, Strategy
from llm_gateway.errors import BadRequest, BudgetExceeded, Draining, GatewayError
from llm_gateway.upstream.account import READ_ON_BYTES
from llm_gateway.upstream.attempt import ERRORS_S, Outcome, ProviderCall
from llm_gateway.upstream.client import RelayClient
from llm_gateway.upstream.dispatch import Dispatch, Dispatcher, Prepared, log_change
from llm_gateway.upstream.prober import ProviderHealth
from llm_gateway.upstream.relay import MAX_FAILED_BYTES
from llm_gateway.upstream.watch import Watch
from tests.memory import FakeAgent, FakeResponse, Sent

A, B, C = (Candidate(name, f"{name}-key", "m") for name in "abc")
STEADY = Retries(spread=False)
USUAL = RoutingSettings(retries=STEADY)
TIMEOUTS = Timeouts(first_byte_s=30, idle_s=20, total_s=90)
SSE = "text/event-stream"
SECRET = "-".join(("sk", "secret"))
"""Not as one text, which a traceback would show with its line."""
EVENT = b'data: {"choices":[]}\n\n'


class Sink:
    """What a client has got, and how it was ended."""

    def __init__(self, trouble: str | None = None) -> None:
        """
        :param trouble: the method that fails.
        """
        self.trouble = trouble
        self.then: dict[str, Callable[[], None]] = {}
        """What happens inside a method."""
        self.begun = False
        self.status = 0
        self.body = b""
        self.ended: str | None = None
        self.producer: IPushProducer | None = None

    def begin(self, status: int, headers: Fields) -> None:
        self._trip("begin")
        self.begun, self.status = True, status

    def write(self, piece: bytes) -> None:
        self._trip("write")
        self.body += piece
        self._happens("write")

    def finish(self) -> None:
        self._trip("finish")
        self.ended = "finished"
        self._happens("finish")

    def break_off(self, error: GatewayError, *, stream: bool, inside: bool) -> None:
        self._trip("break_off")
        self.ended = f"broken off: {error.kind}"
        self._happens("break_off")

    def abort(self) -> None:
        self._trip("abort")
        self.ended = "aborted"
        self._happens("abort")

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._trip("registerProducer")
        assert self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def _happens(self, where: str) -> None:
        self.then.get(where, lambda: None)()

    def _trip(self, where: str) -> None:
        if self.trouble is not None and where in self.trouble.split("+"):
            raise RuntimeError(SECRET)


class FakeAccount:
    """What is written down of one attempt."""

    def __init__(self, reads_on: bool) -> None:
        self.reads_on = reads_on
        self.status = 0
        self.body = b""
        self.told: list[tuple[str, str | None, bool]] = []
        self.stop_at = 0
        """Of bytes, where not 0: then the money is gone."""

    def answered(
        self, status: int, *, stream: bool, encoded: bool, stop: Callable[[GatewayError], None]
    ) -> Callable[[bytes], None] | None:
        assert self.told == []
        self.status = status

        def feed(piece: bytes) -> None:
            assert self.told == []
            self.body += piece
            if self.stop_at and len(self.body) >= self.stop_at:
                stop(BudgetExceeded("The money is gone."))

        return feed

    def over(self, ended: str, error: GatewayError | None, *, whole: bool) -> None:
        self.told.append((ended, None if error is None else error.kind, whole))


class Asker:
    """The client's side of a call, which writes down what it is told."""

    request_id = "id-1"

    def __init__(self, scene: Scene, trouble: str | None = None) -> None:
        self.scene = scene
        self.trouble = trouble
        self.told: list[Outcome] = []
        self.chosen: list[str] = []
        self.prepared: list[tuple[str, int]] = []
        self.sinks: list[Sink] = []
        self.refused: dict[str, Exception] = {}
        self.accounts: list[FakeAccount] = []
        self.reads_on = False
        self.stop_at = 0
        self.when_over: Callable[[], None] = lambda: None

    def prepare(self, candidate: Candidate, number: int) -> Prepared:
        if candidate.provider in self.refused:
            raise self.refused[candidate.provider]
        self.prepared.append((candidate.provider, number))
        sink = Sink(self.trouble)
        self.sinks.append(sink)
        url = f"https://{candidate.provider}.test/".encode()
        call = ProviderCall(candidate.provider, "POST", url, Headers(), None, (), self.scene.timeouts)
        account = FakeAccount(self.reads_on)
        account.stop_at = self.stop_at
        self.accounts.append(account)
        return Prepared(call, RelayClient(self.scene.agent), self.scene.watch, OPENAI, sink, account)

    def content(self, candidate: Candidate) -> None:
        self.chosen.append(candidate.provider)
        if self.trouble == "content":
            raise RuntimeError(SECRET)

    def over(self, outcome: Outcome) -> None:
        self.told.append(outcome)
        self.when_over()

    @property
    def sink(self) -> Sink:
        return self.sinks[-1]

    @property
    def outcome(self) -> Outcome:
        """It is told once."""
        (outcome,) = self.told
        return outcome


class PromptResponse(FakeResponse):
    """One whose body is there as soon as somebody takes it."""

    def __init__(self, status: int, kind: str, body: bytes) -> None:
        super().__init__(status, {"content-type": kind}, None)
        self._all = body

    def deliverBody(self, protocol: IProtocol) -> None:
        super().deliverBody(protocol)
        self.write(self._all)
        self.end()


JSON = "application/json"


class PromptAgent(FakeAgent):
    """Providers that answer before ``request`` returns."""

    def __init__(self, status: int = 200, kind: str = JSON, body: bytes = b"ok") -> None:
        """
        :param status: 0 for none: no connection.
        """
        super().__init__()
        self.answer = status, kind, body

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        answered = super().request(method, uri, headers, bodyProducer)
        if self.answer[0]:
            answered.callback(PromptResponse(*self.answer))
        else:
            answered.errback(ConnectionRefusedError())
        return answered


@attrs.define
class Scene:
    """A dispatcher with its clock, and providers played by the test."""

    settings: RoutingSettings = USUAL
    agent: FakeAgent = attrs.Factory(FakeAgent)
    timeouts: Timeouts = TIMEOUTS
    clock: Clock = attrs.Factory(Clock)
    changes: list[Change] = attrs.Factory(list)
    dispatches: list[Dispatch] = attrs.Factory(list)
    reads_on: bool = False
    dispatcher: Dispatcher = attrs.field(init=False)
    watch: Watch = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.dispatcher = Dispatcher(self.clock, lambda: 0.5, self.changes.append)
        self.dispatcher.use(self.settings)
        self.watch = Watch(self.clock, self.timeouts.first_look_s)
        _scenes.append(self)

    def ask(
        self, *candidates: Candidate, tenant: str = "t", stream: bool = False, trouble: str | None = None
    ) -> tuple[Asker, Dispatch]:
        """A call that is to be run."""
        group = ResolvedGroup("m", candidates or (A, B), (), Strategy.IN_ORDER, sticky=False)
        route = self.dispatcher.router.route(Resolved(group))
        asker = Asker(self, trouble)
        asker.reads_on = self.reads_on
        dispatch = self.dispatcher.dispatch(route, Call(tenant, stream=stream), asker)
        self.dispatches.append(dispatch)
        return asker, dispatch

    def run(self, *candidates: Candidate, **how: Any) -> tuple[Asker, Dispatch]:
        """One that has been sent."""
        asker, dispatch = self.ask(*candidates, **how)
        dispatch.run()
        return asker, dispatch

    @property
    def last(self) -> Sent:
        return self.agent.sent[-1]

    @property
    def asked(self) -> list[str]:
        return [each.url.decode()[8:9] for each in self.agent.sent]


def fails(sent: Sent, status: int = 503, body: bytes = b"{}") -> None:
    response = sent.answer(status, length=len(body))
    response.write(body)
    response.end()


def works(sent: Sent) -> None:
    fails(sent, 200, b"ok")


def streams(sent: Sent, *pieces: bytes) -> FakeResponse:
    response = sent.answer(content_type=SSE)
    for piece in pieces:
        response.write(piece)
    return response


_scenes: list[Scene] = []


@pytest.fixture(autouse=True)
def all_is_given_back() -> Iterator[None]:
    """After every test: each call and each account is told of its end once, and no slot, ticket or timer is left."""
    _scenes.clear()
    yield
    for scene in _scenes:
        for dispatch in scene.dispatches:
            dispatch.leave()
        scene.dispatcher.stop_reading()
        router = scene.dispatcher.router
        assert (router.admission.in_use, router.admission.waiting()) == (0, 0)
        assert [each for each in scene.clock.getDelayedCalls() if each.active()] == []
        assert scene.dispatcher._queued == {}
        for dispatch in scene.dispatches:
            assert isinstance(dispatch._asker, Asker)
            assert len(dispatch._asker.told) <= 1
            assert all(sink.producer is None for sink in dispatch._asker.sinks)
            assert [len(account.told) for account in dispatch._asker.accounts] == [1] * len(dispatch._asker.accounts)
    _scenes.clear()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What the log is told, as it would show it."""
    seen: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        seen.append(f"{event['log_level'].name}: {formatEvent(event)}")

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def one_slot(queue: int = 100, wait_s: float = 10.0) -> RoutingSettings:
    return RoutingSettings(retries=STEADY, providers={"a": ProviderSettings(limits=Limits(1, queue, wait_s))})


# What the asker is told


def test_end_is_told_once_after_the_answer() -> None:
    scene = Scene()
    asker, dispatch = scene.run()
    works(scene.last)
    assert (asker.outcome.ended, asker.chosen, asker.sink.body) == ("ok", ["a"], b"ok")
    dispatch.leave()
    dispatch.stop(Draining("Over."))
    dispatch.turn()
    assert len(asker.told) == 1


def test_attempts_are_numbered() -> None:
    scene = Scene()
    asker, _ = scene.run()
    for _ in range(3):
        fails(scene.last)
        scene.clock.advance(2)
    works(scene.last)
    assert asker.prepared == [("a", 1), ("b", 2), ("a", 3), ("b", 4)]
    assert asker.outcome.ended == "ok"


def test_answer_of_the_last_failure_goes_to_its_own_sink() -> None:
    scene = Scene(RoutingSettings(retries=Retries(attempts=2)))
    asker, _ = scene.run()
    fails(scene.last, 503, b"one")
    scene.clock.advance(0)
    fails(scene.last, 500, b"two")
    assert [(sink.status, sink.body, sink.ended) for sink in asker.sinks] == [(0, b"", None), (500, b"two", "finished")]
    assert asker.chosen == ["b"]
    assert (asker.outcome.ended, asker.outcome.error) == ("upstream_error", None)


@pytest.mark.parametrize("end", ["cut", "slow", "silent"])
def test_status_of_an_error_that_is_never_whole_is_enough(end: str) -> None:
    """A provider that says no has not acted on the call, whether or not it comes to the end of saying why."""
    scene = Scene()
    asker, _ = scene.run()
    response = scene.last.answer(503)
    if end == "cut":
        response.write(b"{")
        response.end(ResponseFailed([Failure(ConnectionLost())]))
    for _ in range(int(ERRORS_S)):
        if end == "slow":
            response.write(b" ")
        scene.clock.advance(1)
    assert (scene.asked, response.transport.closed) == (["a", "b"], True)
    works(scene.last)
    assert (asker.outcome.ended, asker.sink.body) == ("ok", b"ok")
    breakers = {str(each.part): (each.passed, each.failed) for each in scene.dispatcher.router.health.report(0)}
    assert (breakers["provider a"], breakers["provider a, model m"]) == ((1, 0), (0, 1))


@pytest.mark.parametrize(("end", "kind"), [("cut", "upstream_disconnected"), ("slow", "upstream_timeout")])
def test_half_an_error_is_no_answer_where_nobody_has_a_better_one(end: str, kind: str) -> None:
    scene = Scene(RoutingSettings(retries=Retries(attempts=1)))
    asker, _ = scene.run(A)
    response = scene.last.answer(400, length=100)
    response.write(b"{")
    if end == "cut":
        response.end(ResponseFailed([Failure(ConnectionLost())]))
    scene.clock.advance(ERRORS_S)
    assert asker.outcome.error is not None
    assert (asker.outcome.error.kind, asker.outcome.unanswered, asker.sink.begun) == (kind, True, False)


def test_error_that_is_too_long_to_be_held_is_held_against_its_model_all_the_same() -> None:
    scene = Scene()
    asker, _ = scene.run()
    response = scene.last.answer(500)
    response.write(b"x" * (MAX_FAILED_BYTES + 1))
    scene.clock.advance(ERRORS_S)
    response.end()
    assert (asker.sink.status, asker.outcome.ended, scene.asked) == (500, "upstream_error", ["a"])
    breakers = {str(each.part): (each.passed, each.failed) for each in scene.dispatcher.router.health.report(0)}
    assert (breakers["provider a"], breakers["provider a, model m"]) == ((1, 0), (0, 1))


@pytest.mark.parametrize("error", [BadRequest("No."), RuntimeError(SECRET)])
def test_first_place_that_cannot_be_asked_is_raised(error: Exception, logged: list[str]) -> None:
    """A fault of ours too, without its words; the asker is not told, and all is given back."""
    scene = Scene()
    asker, dispatch = scene.ask()
    asker.refused["a"] = error
    with pytest.raises(GatewayError) as caught:
        dispatch.run()
    assert caught.value.kind == ("bad_request" if isinstance(error, BadRequest) else "internal_error")
    assert SECRET not in str(caught.value) + "".join(logged)
    assert (asker.told, scene.dispatcher.router.admission.in_use) == ([], 0)
    dispatch.leave()
    assert asker.told == []


@pytest.mark.parametrize("error", [BadRequest("No."), RuntimeError(SECRET)])
def test_later_place_that_cannot_be_asked_leaves_what_the_first_one_said(error: Exception) -> None:
    scene = Scene(RoutingSettings(retries=Retries(again=0)))
    asker, _ = scene.run()
    asker.refused["b"] = error
    fails(scene.last, 503, b"one")
    scene.clock.advance(0)
    assert (asker.sink.body, asker.sink.ended, asker.chosen) == (b"one", "finished", ["a"])
    assert asker.outcome.ended == "upstream_error"


def test_place_that_cannot_be_asked_after_a_wait_in_the_queue_is_told() -> None:
    scene = Scene(one_slot())
    first, _ = scene.run(A)
    asker, _ = scene.run(A)
    asker.refused["a"] = BadRequest("No.")
    works(scene.last)
    assert first.outcome.ended == "ok"
    assert asker.outcome.error is not None
    assert (asker.outcome.error.kind, asker.outcome.unanswered) == ("bad_request", True)
    assert scene.dispatcher.router.admission.in_use == 0


# Leaving and stopping, in every state


def sending(scene: Scene) -> None:
    """Nothing has come."""


def holding(scene: Scene) -> None:
    scene.last.answer(503, length=9).write(b"half")


def waiting(scene: Scene) -> None:
    fails(scene.last)


def commenting(scene: Scene) -> None:
    streams(scene.last, b": hello\n\n")


def raced(scene: Scene) -> None:
    scene.clock.advance(3)
    assert len(scene.agent.sent) == 2


def relaying(scene: Scene) -> None:
    streams(scene.last, EVENT)


STATES = [sending, holding, waiting, commenting, raced, relaying]
RACY = RoutingSettings(retries=STEADY, hedging=Hedging(after_s=3, share=1.0))


@pytest.mark.parametrize("state", STATES)
def test_client_may_leave_at_any_time(state: Callable[[Scene], None]) -> None:
    """Every connection is closed, nothing is sent any more, and it is told once."""
    scene = Scene(RACY)
    asker, dispatch = scene.run(stream=True)
    state(scene)
    sends = len(scene.agent.sent)
    dispatch.leave()
    dispatch.leave()
    scene.clock.advance(200)
    assert len(scene.agent.sent) == sends
    assert asker.outcome.ended == "client_gone"
    assert all(each.cancelled or each.answered.called for each in scene.agent.sent)


# What is written down


def test_account_is_told_of_every_attempt_and_of_all_that_came() -> None:
    scene = Scene()
    asker, _ = scene.run()
    fails(scene.last)
    scene.clock.advance(1)
    works(scene.last)
    assert [(each.status, each.body, each.told) for each in asker.accounts] == [
        (503, b"{}", [("upstream_error", None, True)]),
        (200, b"ok", [("ok", None, True)]),
    ]


def test_account_knows_an_answer_that_broke_off() -> None:
    scene = Scene()
    asker, _ = scene.run(stream=True)
    streams(scene.last, EVENT, b"data: ha").end(ConnectionLost())
    [account] = asker.accounts
    assert account.body == EVENT + b"data: ha"
    assert account.told == [("upstream_error", "upstream_disconnected", False)]


def test_loser_of_a_race_is_told_apart_from_a_client_that_left() -> None:
    scene = Scene(RACY)
    asker, dispatch = scene.run(stream=True)
    raced(scene)
    streams(scene.last, EVENT)
    dispatch.leave()
    assert [each.told for each in asker.accounts] == [[("superseded", None, False)], [("client_gone", None, False)]]


@pytest.mark.parametrize("stop_at", [1, len(EVENT) + 1])
def test_account_may_end_a_stream(stop_at: int) -> None:
    """Before its first event as well as later; the provider is asked no more, and is not to blame."""
    scene = Scene()
    asker, dispatch = scene.ask(stream=True)
    asker.stop_at = stop_at
    dispatch.run()
    response = streams(scene.last, EVENT)
    if stop_at > 1:
        response.write(EVENT)
    [account] = asker.accounts
    assert account.told == [("over_limit", "insufficient_quota", False)]
    assert asker.outcome.ended == "over_limit"
    assert asker.sink.ended == ("broken off: insufficient_quota" if stop_at > 1 else None)
    assert response.transport.closed
    assert scene.changes == []
    assert len(scene.agent.sent) == 1


@pytest.mark.parametrize("state", [sending, holding, commenting, relaying])
def test_answer_is_read_on_for_its_account(state: Callable[[Scene], None]) -> None:
    scene = Scene(reads_on=True)
    asker, dispatch = scene.run(stream=True)
    state(scene)
    dispatch.leave()
    assert asker.outcome.ended == "client_gone"
    [account] = asker.accounts
    if state is holding:
        # An error is not billed.
        assert account.told == [("client_gone", None, False)]
        return
    assert (account.told, scene.dispatcher.reading_on) == ([], 1)
    response = scene.last.answer(content_type=SSE) if state is sending else scene.last.response
    assert response is not None
    response.write(b"data: [DONE]\n\n")
    response.end()
    assert account.told == [("client_gone", None, True)]
    assert account.body.endswith(b"data: [DONE]\n\n")
    assert scene.dispatcher.reading_on == 0
    assert asker.sink.body == (EVENT if state is relaying else b"")


@pytest.mark.parametrize("bound", ["time", "bytes", "stop"])
def test_answer_is_read_on_within_bounds(bound: str) -> None:
    scene = Scene(reads_on=True)
    asker, dispatch = scene.run(stream=True)
    response = streams(scene.last, EVENT)
    dispatch.leave()
    if bound == "time":
        scene.clock.pump([1] * int(TIMEOUTS.idle_s - 1))
        for _ in range(5):
            response.write(EVENT)
            scene.clock.pump([1] * 10)
    elif bound == "bytes":
        for _ in range(READ_ON_BYTES // 65_536 + 1):
            response.write(b"data: " + b"x" * 65_536 + b"\n\n")
    else:
        scene.dispatcher.stop_reading()
    [account] = asker.accounts
    assert account.told == [("client_gone", None, False)]
    assert response.transport.closed
    assert scene.dispatcher.reading_on == 0


def test_paused_answer_goes_on_when_its_client_has_left() -> None:
    scene = Scene(reads_on=True)
    asker, dispatch = scene.run(stream=True)
    response = streams(scene.last, EVENT)
    producer = asker.sink.producer
    assert producer is not None
    producer.pauseProducing()
    assert response.transport.paused
    # As the request does it when its connection is lost.
    producer.stopProducing()
    dispatch.leave()
    assert not response.transport.paused
    assert not response.transport.closed


@pytest.mark.parametrize("state", STATES)
def test_gateway_may_stop_at_any_time(state: Callable[[Scene], None]) -> None:
    """What has begun is broken off, what has not is told to come back."""
    scene = Scene(RACY)
    asker, dispatch = scene.run(stream=True)
    state(scene)
    sends = len(scene.agent.sent)
    dispatch.stop(Draining("Over."))
    dispatch.stop(Draining("Over."))
    scene.clock.advance(200)
    assert len(scene.agent.sent) == sends
    assert asker.outcome.ended == "drained"
    assert asker.outcome.unanswered is (state is not relaying)
    assert (asker.sink.ended or "").startswith("broken off") is (state is relaying)


@pytest.mark.parametrize("end", ["leave", "stop"])
def test_call_may_end_in_the_queue(end: str) -> None:
    scene = Scene(one_slot())
    scene.run(A)
    asker, dispatch = scene.run(A)
    if end == "leave":
        dispatch.leave()
    else:
        dispatch.stop(Draining("Over."))
    works(scene.last)
    assert scene.asked == ["a"]
    assert asker.outcome.ended == ("client_gone" if end == "leave" else "drained")


# One call's doing while another is at work


def test_turn_that_comes_while_another_call_makes_room_is_seen() -> None:
    """The one that had to go ends the others before the new one has got its place, which then has the slot."""
    scene = Scene(one_slot(queue=2))
    running, its_dispatch = scene.run(A, tenant="x")
    first, first_dispatch = scene.run(A, tenant="flood")
    second, _ = scene.run(A, tenant="flood")

    def end_the_others() -> None:
        first_dispatch.leave()
        its_dispatch.leave()

    second.when_over = end_the_others
    late, _ = scene.run(A, tenant="late")
    assert [each.outcome.ended for each in (running, first, second)] == ["client_gone", "client_gone", "shed"]
    assert scene.asked == ["a", "a"]
    works(scene.last)
    assert late.outcome.ended == "ok"


def test_asker_may_ask_anew_when_it_is_told() -> None:
    """As one on a connection with the next request in it."""
    scene = Scene(one_slot())
    asker, _ = scene.run(A)
    after: list[Asker] = []
    asker.when_over = lambda: after.append(scene.run(A)[0])
    works(scene.last)
    assert asker.outcome.ended == "ok"
    works(scene.last)
    assert after[0].outcome.ended == "ok"


@pytest.mark.parametrize(
    ("answer", "ended", "asked"),
    [
        ((200, JSON, b"ok"), "ok", 1),
        ((200, SSE, EVENT), "ok", 1),
        ((503, JSON, b"no"), "upstream_error", 4),
        ((200, SSE, b'data: {"error":{}}\n\n'), "upstream_error", 4),
        ((0, "", b""), "upstream_error", 4),
        ((700, "", b""), "upstream_error", 1),
    ],
)
def test_provider_may_answer_before_sending_returns(answer: tuple[int, str, bytes], ended: str, asked: int) -> None:
    """However it answers; and retries do not pile up on the stack."""
    scene = Scene(RACY, agent=PromptAgent(*answer))
    asker, _ = scene.run(stream=True)
    for _ in range(10):
        scene.clock.advance(1)
    assert (asker.outcome.ended, len(scene.agent.sent)) == (ended, asked)


def test_second_of_a_race_may_answer_before_sending_returns() -> None:
    scene = Scene(RACY)
    asker, _ = scene.run(stream=True)
    first = scene.last
    scene.agent = PromptAgent(200, SSE, EVENT)
    scene.clock.advance(3)
    assert first.cancelled
    assert (asker.outcome.ended, asker.chosen) == ("ok", ["b"])


def test_queue_is_served_by_calls_that_end_before_sending_returns() -> None:
    """A hundred of them, one out of the other."""
    scene = Scene(one_slot())
    first, _ = scene.run(A)
    askers = [scene.run(A)[0] for _ in range(100)]
    running, scene.agent = scene.last, PromptAgent()
    works(running)
    assert {asker.outcome.ended for asker in (first, *askers)} == {"ok"}
    assert len(scene.agent.sent) == 100


@pytest.mark.parametrize("where", ["write", "finish", "break_off", "abort"])
@pytest.mark.parametrize("how", ["whole", "cut", "stalled", "held"])
def test_client_may_leave_while_it_is_written_to(where: str, how: str) -> None:
    """The call ends once, whichever end it is."""
    scene = Scene(RoutingSettings(retries=Retries(attempts=1)))
    asker, dispatch = scene.run()
    asker.sink.then[where] = dispatch.leave
    if how == "held":
        fails(scene.last)
    else:
        response = streams(scene.last, EVENT)
        if how == "stalled" and asker.sink.producer is not None:
            asker.sink.producer.pauseProducing()
            scene.clock.advance(20)
        else:
            response.end(ResponseFailed([Failure(ConnectionLost())]) if how == "cut" else None)
    dispatch.leave()
    assert len(asker.told) == 1


# Faults of ours


@pytest.mark.parametrize("trouble", ["begin", "write", "finish", "registerProducer", "content", "write+break_off"])
@pytest.mark.parametrize("kind", ["document", "stream"])
def test_fault_while_an_answer_is_passed_on_ends_the_call(logged: list[str], trouble: str, kind: str) -> None:
    """Once, with everything given back and none of its words in the log; nobody else is asked."""
    scene = Scene()
    asker, _ = scene.run(trouble=trouble)
    response = scene.last.answer(content_type=SSE if kind == "stream" else "application/json")
    response.write(EVENT)
    response.write(EVENT)
    response.end()
    scene.clock.advance(60)
    assert scene.asked == ["a"]
    assert asker.outcome.ended == "internal_error"
    assert asker.outcome.error is not None
    assert asker.outcome.unanswered is not asker.sink.begun
    if "break_off" in trouble:
        assert asker.sink.ended == "aborted"
    assert SECRET not in "".join(logged)
    assert "A fault in the gateway broke call id-1" in "".join(logged)


@pytest.mark.parametrize("trouble", ["begin", "write", "finish", "content", "write+break_off"])
def test_fault_while_a_held_error_is_handed_over_ends_the_call(logged: list[str], trouble: str) -> None:
    """What has begun is cut, so that its client does not wait for the rest; what has not is answered by the asker."""
    scene = Scene(RoutingSettings(retries=Retries(attempts=1)))
    asker, _ = scene.run(trouble=trouble)
    fails(scene.last, 500, b"held")
    assert asker.outcome.ended == "internal_error"
    assert asker.outcome.unanswered is not asker.sink.begun
    assert asker.sink.ended == ("aborted" if asker.sink.begun else None)
    assert SECRET not in "".join(logged)


def test_fault_that_a_call_cannot_be_sent_for_is_no_retry() -> None:
    """The next one would have it too."""

    class Broken(FakeAgent):
        def request(self, *_anything: Any) -> Deferred[IResponse]:
            raise RuntimeError(SECRET)

    scene = Scene(agent=Broken())
    asker, _ = scene.run()
    scene.clock.advance(60)
    assert asker.prepared == [("a", 1)]
    assert asker.outcome.error is not None
    assert asker.outcome.error.kind == "internal_error"
    assert scene.dispatcher.router.health.report(0.0)[0].state is State.CLOSED


def test_fault_in_one_call_does_not_reach_the_one_that_it_let_in() -> None:
    scene = Scene(one_slot())
    first, _ = scene.run(A, trouble="write")
    second, _ = scene.run(A)
    works(scene.last)
    assert first.outcome.ended == "internal_error"
    works(scene.last)
    assert second.outcome.ended == "ok"


def test_fault_in_one_turn_does_not_keep_the_others_from_theirs(logged: list[str]) -> None:
    scene = Scene(RoutingSettings(retries=STEADY, providers={"a": ProviderSettings(limits=Limits(1, wait_s=4))}))
    scene.run(A)
    askers = [scene.run(A)[0] for _ in range(3)]

    def broken() -> None:
        raise RuntimeError(SECRET)

    askers[0].when_over = broken
    scene.clock.advance(4)
    assert [asker.outcome.ended for asker in askers] == ["shed"] * 3
    assert SECRET not in "".join(logged)
    assert "A fault in the gateway broke call id-1" in "".join(logged)


# The queues' clock


def test_short_wait_ends_before_a_longer_one_that_began_earlier() -> None:
    limits = {"a": ProviderSettings(limits=Limits(1, wait_s=9)), "b": ProviderSettings(limits=Limits(1, wait_s=2))}
    scene = Scene(RoutingSettings(retries=STEADY, providers=limits))
    scene.run(A)
    scene.run(B)
    slow, _ = scene.run(A)
    quick, _ = scene.run(B)
    scene.clock.advance(2)
    assert (slow.told, quick.outcome.ended) == ([], "shed")
    scene.clock.advance(7)
    assert slow.outcome.ended == "shed"


def test_clock_of_the_queues_stops_with_the_last_that_waits() -> None:
    scene = Scene(one_slot())
    scene.run(A)
    dispatches = [scene.run(A)[1] for _ in range(3)]
    for dispatch in dispatches:
        assert scene.dispatcher._timer is not None
        dispatch.leave()
    assert scene.dispatcher._timer is None


# What probes and the log are told


def test_probes_reach_the_router() -> None:
    """Two that fail take a provider out; one that is answered lets a trial be made."""
    scene = Scene()
    scene.ask(A)
    down = ProviderHealth("a", "https://a.test", online=False, checked_at=1.0, latency_s=None, error="no connection")
    scene.dispatcher.probed(down)
    assert scene.changes == []
    scene.dispatcher.probed(down)
    assert [change.after for change in scene.changes] == [State.OPEN]
    scene.dispatcher.probed(replace(down, online=True, error=None))
    assert [change.after for change in scene.changes] == [State.OPEN, State.HALF_OPEN]


@pytest.mark.parametrize(
    ("before", "after", "alert", "level", "words"),
    [
        (State.CLOSED, State.OPEN, False, "warn", "provider a is left alone for a while: why"),
        (State.CLOSED, State.COOLING, False, "warn", "provider a is left alone for a while: why"),
        (State.CLOSED, State.OPEN, True, "error", "provider a is left alone, and somebody has to mend it: why"),
        (State.OPEN, State.HALF_OPEN, False, "info", "provider a is tried again"),
        (State.HALF_OPEN, State.OPEN, False, "info", "provider a is still left alone: why"),
        (State.HALF_OPEN, State.CLOSED, False, "info", "provider a is back: why"),
        (State.COOLING, State.CLOSED, False, "info", "provider a is back: why"),
    ],
)
def test_new_state_is_logged_in_words(
    logged: list[str], before: State, after: State, alert: bool, level: str, words: str
) -> None:
    """Louder where it is news, and loudest where a person has to act."""
    log_change(Change(Part(Scope.PROVIDER, "a"), before, after, 0.0, "why", None, alert))
    assert logged == [f"{level}: {words}"]
