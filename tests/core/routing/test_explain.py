"""What is said of a call that is not made."""

from __future__ import annotations

import msgspec
import pytest

from llm_gateway.core.routing.breaker import State
from llm_gateway.core.routing.candidates import Call, Candidate
from llm_gateway.core.routing.explain import Explained, explain
from llm_gateway.core.routing.outcomes import Outcome, OutcomeKind
from llm_gateway.core.routing.resolving import Resolved, Served, resolve
from llm_gateway.core.routing.settings import (
    CredentialUse,
    Fallback,
    Limits,
    ModelSettings,
    ProviderSettings,
    RoutingSettings,
    Strategy,
)
from tests.core.routing.desk import Desk

K = OutcomeKind
MAIN, SPARE = CredentialUse("main", "openai"), CredentialUse("spare", "openai", order=1)
CLAUDE = CredentialUse("claude", "anthropic")
SETTINGS = RoutingSettings(
    models={"gpt": ModelSettings(fallbacks=(Fallback("sonnet", frozenset({K.CONTEXT_OVERFLOW, K.OVERLOADED})),))},
    providers={"openai": ProviderSettings(Limits(1))},
)
GPT = Candidate("openai", "main", "gpt")


class Office(Desk):
    """A desk for one model."""

    def __init__(self, settings: RoutingSettings = SETTINGS) -> None:
        super().__init__(settings)
        self.resolved: Resolved = resolve("gpt", [MAIN, SPARE, CLAUDE], settings, self.serves)
        self.the_route = self.router.route(self.resolved)

    @staticmethod
    def serves(provider: str, model: str) -> Served | str:
        return Served(model) if (provider == "anthropic") == (model == "sonnet") else "it has no such model"

    def explained(self, call: Call | None = None) -> tuple[Explained, ...]:
        return explain(self.resolved, self.the_route, call or Call("t"), self.router.health, self.now).candidates

    def reason(self, call: Call | None = None) -> str:
        return self.explained(call)[0].reason


def test_everything_is_listed_in_order_with_the_reason() -> None:
    office = Office()
    shown = [(each.position, each.credential, each.model, each.is_in, each.reason) for each in office.explained()]
    assert shown == [
        (1, "main", "gpt", True, "well"),
        (2, "spare", "gpt", True, "well"),
        (3, "claude", "sonnet", True, "well"),
        (None, "claude", "gpt", False, "it has no such model"),
        (None, "main", "sonnet", False, "it has no such model"),
        (None, "spare", "sonnet", False, "it has no such model"),
    ]


def test_order_that_is_shown_is_the_order_that_is_asked() -> None:
    for strategy in Strategy:
        office = Office(RoutingSettings(strategy=strategy))
        shown = [each.credential for each in office.explained() if each.position]
        assert shown == [each.credential for each in office.order(office.the_route)] == ["main", "spare"]


def test_fallback_is_named_with_what_leads_to_it() -> None:
    fallback = Office().explained()[2]
    assert fallback.fallback == "sonnet"
    assert fallback.after == ("context_overflow", "overloaded")


@pytest.mark.parametrize(
    ("kind", "times", "words"),
    [
        (
            K.OVERLOADED, 5,
            "provider openai, model gpt: open, 5 calls in a row failed, the last one: overloaded (status 500)",
        ),
        (K.UNREACHABLE, 5, "provider openai: open, 5 calls in a row failed, the last one: unreachable (status 500)"),
        (K.KEY_REFUSED, 3, "credential main: open, 3 times in a row: key refused (status 500)"),
        (K.RATE_LIMITED, 1, "credential main, model gpt: cooling, rate limited (status 500)"),
    ],
)  # fmt: skip
def test_what_is_out_is_shown_with_the_part_that_is_to_blame(kind: OutcomeKind, times: int, words: str) -> None:
    office = Office()
    lane = office.router.lane(GPT)
    for _ in range(times):
        office.router.health.note(lane.four, Outcome(kind, 500, 8.0), office.now)
    main = office.explained()[0]
    assert not main.is_in
    assert main.reason == words
    assert main.asked_again_in_s is not None
    assert 4 < main.asked_again_in_s < 34


def test_every_state_has_its_words() -> None:
    office = Office()
    office.break_(GPT)
    office.now += 6
    assert office.reason() == "provider openai, model gpt: due for a trial"
    trial = office.call(office.the_route)
    office.sent(trial)
    words = "half open, time for a trial, after this: 5 calls in a row failed, the last one: overloaded"
    assert office.reason() == f"provider openai, model gpt: {words}"
    office.ok(trial)
    trial = office.call(office.the_route)
    office.sent(trial)
    office.ok(trial)
    assert office.reason() == "provider openai, model gpt: back, and takes 10% of its calls"
    assert office.explained()[0].is_in
    office.now += 31
    assert office.reason() == "well"


def test_last_resort_is_told() -> None:
    office = Office()
    for _ in range(20):
        office.break_(GPT, kind=K.SERVER_ERROR, times=2)
        office.router.health.well(office.router.lane(GPT).four, office.now)
    assert office.reason().endswith("; asked if nothing else is in")
    assert not office.explained()[0].is_in


def test_full_candidate_is_in_and_said_to_be_full() -> None:
    office = Office()
    office.sent(office.call(office.the_route))
    main = office.explained()[0]
    assert (main.is_in, main.in_flight) == (True, 1)
    assert main.reason == "well, and full: calls wait for a slot"


def test_cooling_that_is_over_is_over() -> None:
    office = Office()
    office.router.health.note(office.router.lane(GPT).four, Outcome(K.RATE_LIMITED, 429, 8.0), office.now)
    office.now += 9
    assert office.reason() == "well"


def test_bound_call_has_one_candidate() -> None:
    shown = Office().explained(Call("t", bound=True))
    assert [each.is_in for each in shown[:3]] == [True, False, False]
    assert "stored with the first candidate" in shown[1].reason


def test_conversation_is_shown_where_it_would_go() -> None:
    office = Office(RoutingSettings(sticky=True, models={"gpt": ModelSettings()}))
    uses = [CredentialUse(name, "openai") for name in ("one", "two", "three")]
    office.resolved = resolve("gpt", uses, office.settings, office.serves)
    office.the_route = office.router.route(office.resolved)
    for number in range(10):
        call = Call("t", conversation=str(number))
        assert office.explained(call)[0].credential == office.order(office.the_route, call)[0].credential


def test_asking_changes_nothing() -> None:
    office = Office()
    office.break_(GPT)
    office.now += 6
    before = len(office.changes)
    assert office.explained() == office.explained()
    assert len(office.changes) == before
    assert office.router.lane(GPT).four[1].state is State.OPEN


def test_speed_is_shown() -> None:
    office = Office()
    office.router.lane(GPT).speed.took(0.75, office.now)
    assert office.explained()[0].usual_s == 0.75


def test_explanation_is_a_document() -> None:
    office = Office()
    whole = explain(office.resolved, office.the_route, Call("t"), office.router.health, office.now)
    document = msgspec.to_builtins(whole)
    assert (document["model"], document["strategy"], document["sticky"]) == ("gpt", "in_order", False)
    assert document["candidates"][0] == {
        "provider": "openai", "credential": "main", "model": "gpt", "in": True, "reason": "well", "position": 1,
        "order": 0, "weight": 1.0, "fallback": None, "after": (), "asked_again_in_s": None, "in_flight": 0,
        "usual_s": None, "dialect": None, "api": None,
    }  # fmt: skip
