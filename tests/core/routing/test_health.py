"""Who learns what from which outcome."""

from __future__ import annotations

import gc

import pytest

from llm_gateway.core.routing.breaker import Change, Part, State
from llm_gateway.core.routing.candidates import Candidate
from llm_gateway.core.routing.health import Health
from llm_gateway.core.routing.outcomes import RULES, Outcome, OutcomeKind, Scope, Verdict
from llm_gateway.core.routing.settings import Breaking

K = OutcomeKind
HERE = Candidate("openai", "main", "gpt")


def a_health() -> tuple[Health, list[Change]]:
    changes: list[Change] = []
    return Health(lambda: 0.5, changes.append), changes


def open_after(kind: OutcomeKind, times: int = 5) -> list[Part]:
    """Which parts are out after so many of these."""
    health, _ = a_health()
    four = health.of(HERE)
    for at in range(times):
        health.note(four, Outcome(kind), float(at))
    return [breaker.part for breaker in four if breaker.state in (State.OPEN, State.COOLING)]


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_only_what_the_table_names_is_held_to_blame(kind: OutcomeKind) -> None:
    rule = RULES[kind]
    blamed = open_after(kind)
    if rule.verdict is Verdict.NONE:
        assert blamed == []
    else:
        assert [part.scope for part in blamed] == [rule.scope]


def test_one_model_s_trouble_leaves_the_provider_s_others() -> None:
    health, _ = a_health()
    here, other = health.of(HERE), health.of(Candidate("openai", "main", "gpt-mini"))
    for at in range(5):
        health.note(here, Outcome(K.OVERLOADED), float(at))
    assert here[1].state is State.OPEN
    assert [breaker.state for breaker in other] == [State.CLOSED] * 4


def test_no_connection_takes_out_the_whole_provider() -> None:
    health, _ = a_health()
    here, other = health.of(HERE), health.of(Candidate("openai", "spare", "gpt-mini"))
    for at in range(5):
        health.note(here, Outcome(K.UNREACHABLE), float(at))
    assert other[0].state is State.OPEN


def test_any_answer_shows_that_the_provider_is_there() -> None:
    """Calls that the provider refuses must not add up to a provider that is gone."""
    health, changes = a_health()
    four = health.of(HERE)
    for at in range(40):
        health.note(four, Outcome(K.UNREACHABLE if at % 5 else K.INVALID), at * 0.1)
        health.note(four, Outcome(K.NOT_FOUND), at * 0.1)
    assert changes == []


def test_each_answer_counts_for_those_it_speaks_for() -> None:
    health, _ = a_health()
    four = health.of(HERE)
    health.note(four, Outcome(K.OK), 1.0)
    health.note(four, Outcome(K.RATE_LIMITED, retry_after_s=1.0), 1.0)
    health.note(four, Outcome(K.SERVER_ERROR), 1.0)
    assert [breaker.passed for breaker in four] == [3, 1, 2, 1]
    assert [breaker.failed for breaker in four] == [0, 1, 0, 0]
    assert [breaker.cooled for breaker in four] == [0, 0, 0, 1]


def test_short_way_for_good_calls_is_the_same_as_the_long_one() -> None:
    health, _ = a_health()
    four, other = health.of(HERE), health.of(Candidate("groq", "main", "gpt"))
    health.well(four, 1.0)
    health.note(other, Outcome(K.OK), 1.0)
    assert [each.passed for each in four] == [each.passed for each in other] == [1] * 4


def test_trial_that_tells_nothing_is_given_back() -> None:
    """A trial whose caller leaves, or whose answer speaks of something else, must not block the next one."""
    health, _ = a_health()
    four = health.of(HERE)
    for at in range(5):
        health.note(four, Outcome(K.OVERLOADED), float(at))
    trials = health.begin(four, 20.0)
    assert trials == (four[1],)
    assert health.begin(four, 20.0) == ()
    health.note(four, Outcome(K.CLIENT_GONE), 20.5, trials)
    assert health.begin(four, 20.5) == (four[1],)


def test_refusals_without_a_model_are_held_against_such_calls_alone() -> None:
    """The real key may have no scope for that path, and be well for all else."""
    for kind in (K.KEY_REFUSED, K.UNPAID, K.FORBIDDEN):
        health, _ = a_health()
        files = health.of(Candidate("openai", "main", ""))
        for at in range(9):
            health.note(files, Outcome(kind), float(at), tenant="x")
        assert [breaker.part.scope for breaker in files if breaker.troubled] == [Scope.ACCESS]
        assert [breaker.troubled for breaker in health.of(HERE)] == [False] * 4


def test_refusals_of_two_tenants_without_a_model_are_held_against_the_credential() -> None:
    health, _ = a_health()
    files = health.of(Candidate("openai", "main", ""))
    for at in range(4):
        health.note(files, Outcome(K.KEY_REFUSED), float(at), tenant="xy"[at % 2])
    assert [breaker.part.scope for breaker in files if breaker.troubled] == [Scope.CREDENTIAL, Scope.ACCESS]


def test_refusals_of_conversations_are_held_against_the_credential() -> None:
    health, _ = a_health()
    four = health.of(HERE)
    for at in range(3):
        health.note(four, Outcome(K.KEY_REFUSED), float(at), tenant="x")
    assert [breaker.part.scope for breaker in four if breaker.troubled] == [Scope.CREDENTIAL]


def test_what_is_well_again_is_not_looked_at_any_more() -> None:
    health, changes = a_health()
    four = health.of(HERE)
    assert health.troubled == {}
    health.note(four, Outcome(K.RATE_LIMITED, retry_after_s=5.0), 10.0)
    assert list(health.troubled) == [four[3].part]
    assert health.begin(four, 12.0) == (four[3],)
    assert health.begin(four, 15.0) == ()
    assert health.troubled == {}
    health.note(four, Outcome(K.RATE_LIMITED, retry_after_s=5.0), 20.0)
    health.refresh(25.0)
    assert health.troubled == {}
    assert [change.after for change in changes] == [State.COOLING, State.CLOSED] * 2


def test_parts_that_nothing_leads_to_are_forgotten_unless_in_trouble() -> None:
    """Callers make up names of models."""
    health, _ = a_health()
    for number in range(50):
        health.of(Candidate("openai", "main", f"model-{number}"))
    sick = health.of(Candidate("openai", "main", "sick"))
    for at in range(5):
        health.note(sick, Outcome(K.OVERLOADED), float(at))
    del sick
    gc.collect()
    assert [each.part.model for each in health.report(5.0)] == ["sick"]
    assert health.of(Candidate("openai", "main", "sick"))[1].state is State.OPEN


def test_number_of_parts_in_trouble_is_bounded() -> None:
    health, _ = a_health()
    health.MAX_TROUBLED = 10
    for number in range(30):
        four = health.of(Candidate("openai", "main", f"model-{number}"))
        health.note(four, Outcome(K.RATE_LIMITED, retry_after_s=60.0), 1.0)
    assert len(health.troubled) == 10


def test_probe_is_about_the_provider() -> None:
    health, changes = a_health()
    four = health.of(HERE)
    health.probed("openai", "no answer within 5 s", 30.0)
    health.probed("openai", "no answer within 5 s", 60.0)
    assert four[0].state is State.OPEN
    health.probed("openai", None, 90.0)
    health.probed("openai", None, 120.0)
    assert [change.after for change in changes] == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_new_key_for_a_credential_begins_anew() -> None:
    health, changes = a_health()
    main, spare = health.of(HERE), health.of(Candidate("openai", "spare", "gpt"))
    for four in (main, spare):
        for at in range(3):
            health.note(four, Outcome(K.KEY_REFUSED), float(at))
    health.forget("openai", "main", 10.0)
    assert [main[2].state, spare[2].state] == [State.CLOSED, State.OPEN]
    assert [change.part.credential for change in changes] == ["main", "spare", "main"]
    health.forget("openai", None, 11.0)
    assert health.troubled == {}


def test_report_has_everything_and_why() -> None:
    health, _ = a_health()
    four = health.of(HERE)
    for at in range(3):
        health.note(four, Outcome(K.KEY_REFUSED, 401), float(at))
    report = health.report(5.0)
    assert [str(each.part) for each in report] == [
        "provider openai",
        "provider openai, model gpt",
        "credential main",
        "credential main, model gpt",
    ]
    [refused] = [each for each in report if each.state is State.OPEN]
    assert refused.part.credential == "main"
    assert refused.reason == "3 times in a row: key refused (status 401)"
    assert (refused.since, refused.failed) == (2.0, 3)
    assert refused.until == pytest.approx(32.0)
    assert report[0].since is None
    assert report[0].passed == 3
    assert {each.share for each in report} == {1.0}


def test_settings_of_a_provider_count_for_its_parts_at_once() -> None:
    health, changes = a_health()
    before = health.of(HERE)
    health.configure({"openai": Breaking(failures=1)})
    after, other = health.of(Candidate("openai", "main", "gpt-mini")), health.of(Candidate("groq", "main", "gpt"))
    for four in (before, after, other):
        health.note(four, Outcome(K.OVERLOADED), 1.0)
    assert [change.part.model for change in changes] == ["gpt", "gpt-mini"]


def test_part_is_found_by_name() -> None:
    health, _ = a_health()
    four = health.of(HERE)
    assert health.find(Part(Scope.MODEL, "openai", None, "gpt")) is four[1]
    assert health.find(Part(Scope.PROVIDER, "groq")) is None


def test_failed_probes_count_before_the_first_call() -> None:
    """Nobody has asked for a candidate of the provider yet, and nothing but the probes refers to it."""
    health = Health(lambda: 0.5, lambda change: None)
    health.probed("far", "no answer within 5 s", 1.0)
    health.probed("far", "no answer within 5 s", 2.0)
    [shown] = health.report(2.0)
    assert (shown.part.provider, shown.state) == ("far", State.OPEN)
