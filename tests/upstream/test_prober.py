"""Whether providers are there, asked for free."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from llm_gateway.config.values import HealthCheck
from llm_gateway.upstream.client import RelayClient
from llm_gateway.upstream.prober import HealthBoard, Prober, ProviderHealth
from llm_gateway.upstream.targets import Target
from tests.memory import FakeAgent, provider

PROVIDERS = [
    provider("openai", "https://api.openai.test/v1/chat/completions"),
    provider("anthropic", "https://api.anthropic.test/v1/messages", "anthropic"),
]


class Probing:
    """A prober of two providers, played by the test."""

    def __init__(self, chance: Callable[[], float] = lambda: 0.5) -> None:
        self.clock, self.agent, self.board = Clock(), FakeAgent(), HealthBoard()
        self.providers = PROVIDERS
        self.board.use(self.providers)
        self.prober = Prober(
            lambda: [Target(each, RelayClient(self.agent), self.clock) for each in self.providers],
            self.board,
            self.clock,
            lambda: 1000.0 + self.clock.seconds(),
            chance,
            interval_s=30,
            timeout_s=5,
        )
        self.prober.start()


def test_probe_costs_nothing() -> None:
    """A GET of the list of models, without any key: no provider bills that."""
    probing = Probing()
    assert [(sent.method, sent.url) for sent in probing.agent.sent] == [
        (b"GET", b"https://api.openai.test/v1/models"),
        (b"GET", b"https://api.anthropic.test/v1/models"),
    ]
    for sent in probing.agent.sent:
        assert sent.body == b""
        assert {name.lower() for name, _ in sent.headers.getAllRawHeaders()} == {b"accept", b"user-agent"}


@pytest.mark.parametrize(("status", "online"), [(200, True), (401, True), (404, True), (429, True), (500, False)])
def test_every_answer_below_500_is_online(status: int, online: bool) -> None:
    """A refusal shows as well as a welcome that somebody is there."""
    probing = Probing()
    probing.clock.advance(0.25)
    response = probing.agent.sent[0].answer(status)
    state = probing.board.states()[0]
    assert (state.online, state.checked_at, state.latency_s) == (online, 1000.25, 0.25)
    assert state.error == (None if online else "HTTP status 500")
    response.end()


def test_providers_are_probed_side_by_side() -> None:
    """One that does not answer holds up nobody else's probe, and meets a clock of its own."""
    probing = Probing()
    probing.agent.sent[1].answer(200).end()
    probing.clock.advance(5)
    silent, prompt = probing.board.states()
    assert (silent.online, silent.error, silent.latency_s) == (False, "no answer within 5 s", None)
    assert prompt.online
    assert probing.agent.sent[0].cancelled


def test_unreachable_provider_says_why() -> None:
    """In the words that a caller would hear."""
    probing = Probing()
    probing.agent.sent[0].fail(ConnectionRefusedError())
    assert probing.board.states()[0].error == "Provider 'openai' cannot be reached: no connection."


def test_next_round_comes_after_the_interval() -> None:
    """Give or take the jitter, and not while a round still runs."""
    probing = Probing(chance=lambda: 1.0)
    for sent in probing.agent.sent:
        sent.answer(200).end()
    probing.clock.advance(30)
    probing.clock.advance(5.9)
    assert len(probing.agent.sent) == 2
    probing.clock.advance(0.2)
    assert len(probing.agent.sent) == 4


def test_rounds_keep_their_beat() -> None:
    """However late each of them is, there are as many as the interval says."""
    late = itertools.cycle([0.9, 0.0, 0.5, 0.99, 0.1])
    probing = Probing(chance=lambda: next(late))
    for second in range(3000):
        for sent in probing.agent.sent:
            if not sent.answered.called:
                sent.answer(200).end()
        probing.clock.advance(1 if second else 0)
    assert len(probing.agent.sent) == 2 * 100


def test_long_answer_is_not_read_to_its_end() -> None:
    """Some lists of models are megabytes long."""
    probing = Probing()
    response = probing.agent.sent[0].answer(200)
    response.write(b"x" * 60_000)
    assert not response.transport.closed
    response.write(b"x" * 6_000)
    assert response.transport.closed


def test_answer_that_stalls_meets_the_same_clock() -> None:
    """Headers show that somebody is there; a body that never ends must not keep a connection for each round."""
    probing = Probing()
    response = probing.agent.sent[0].answer(200)
    response.write(b"{")
    probing.clock.advance(5)
    assert response.transport.closed
    assert probing.board.states()[0].online
    late = probing.agent.sent[1]
    assert late.cancelled
    stopped = Probing()
    response = stopped.agent.sent[0].answer(200)
    stopped.prober.stop()
    assert response.transport.closed
    assert stopped.clock.getDelayedCalls() == []


def test_disabled_probe_is_not_sent() -> None:
    """For providers that do bill, or have no such page."""
    probing = Probing()
    probing.providers = [replace(PROVIDERS[0], health=HealthCheck(url="https://x.test/", enabled=False))]
    before = len(probing.agent.sent)
    probing.prober.probe_all()
    assert len(probing.agent.sent) == before


def test_stopping_gives_up_what_runs() -> None:
    """No timer and no probe is left."""
    probing = Probing()
    probing.prober.stop()
    assert all(sent.cancelled for sent in probing.agent.sent)
    assert probing.clock.getDelayedCalls() == []
    assert probing.board.states()[0].error == "not checked yet"


def test_reload_keeps_what_is_known_of_those_that_stay() -> None:
    """A provider whose address changed is unknown again; one that is gone is forgotten, also by a late probe."""
    probing = Probing()
    probing.agent.sent[0].answer(200).end()
    moved = replace(PROVIDERS[1], url="https://elsewhere.test/v1/messages")
    probing.board.use([PROVIDERS[0], moved])
    probing.agent.sent[1].answer(200).end()
    assert [(state.online, state.error) for state in probing.board.states()] == [
        (True, None),
        (False, "not checked yet"),
    ]
    probing.board.use([PROVIDERS[0]])
    assert [state.name for state in probing.board.states()] == ["openai"]


def test_whoever_wants_to_know_is_told_of_every_state() -> None:
    """Other processes get to know from here; a provider that nobody has any more is nobody's news."""
    board = HealthBoard()
    told: list[ProviderHealth] = []
    board.use(PROVIDERS[:1])
    board.on_note(told.append)
    known = replace(board.states()[0], online=True, error=None, checked_at=1.0)
    board.note(known)
    board.note(replace(known, name="anthropic"))
    assert told == [known]
