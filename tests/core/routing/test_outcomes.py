"""The table of outcomes: what is in it, and how statuses, errors and frames are told apart."""

from __future__ import annotations

import pytest

from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.routing.outcomes import (
    FALLS_BACK,
    RULES,
    TABLE,
    Acted,
    Again,
    Outcome,
    OutcomeKind,
    Scope,
    Verdict,
    kind_of_error,
    kind_of_frame,
    kind_of_status,
)
from llm_gateway.core.translation.failures import FailureKind
from llm_gateway.errors import GatewayError, UpstreamError

K = OutcomeKind


def test_every_outcome_has_one_row() -> None:
    assert [rule.kind for rule in TABLE] == list(OutcomeKind)
    assert len(RULES) == len(TABLE)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, K.OK), (204, K.OK), (302, K.OK), (304, K.OK),
        (400, K.INVALID), (401, K.KEY_REFUSED), (402, K.UNPAID), (403, K.FORBIDDEN), (404, K.NOT_FOUND),
        (405, K.INVALID), (408, K.REQUEST_TIMEOUT), (409, K.CONFLICT), (413, K.INVALID), (422, K.INVALID),
        (425, K.TOO_EARLY), (429, K.RATE_LIMITED), (499, K.INVALID),
        (500, K.SERVER_ERROR), (501, K.SERVER_ERROR), (502, K.SERVER_ERROR), (503, K.OVERLOADED),
        (504, K.EDGE_TIMEOUT), (520, K.SERVER_ERROR), (524, K.EDGE_TIMEOUT), (529, K.OVERLOADED), (599, K.SERVER_ERROR),
    ],
)  # fmt: skip
def test_status_tells_the_outcome(status: int, kind: OutcomeKind) -> None:
    assert kind_of_status(status) is kind


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, FailureKind.CONTEXT_OVERFLOW, K.CONTEXT_OVERFLOW),
        (413, FailureKind.CONTEXT_OVERFLOW, K.CONTEXT_OVERFLOW),
        (400, FailureKind.FILTERED, K.FILTERED),
        (429, FailureKind.BILLING, K.UNPAID),
        (429, FailureKind.RATE_LIMIT, K.RATE_LIMITED),
        (400, FailureKind.INVALID, K.INVALID),
        (500, FailureKind.BILLING, K.SERVER_ERROR),
        (200, FailureKind.BILLING, K.OK),
    ],
)
def test_body_tells_more_than_the_status(status: int, told: FailureKind, kind: OutcomeKind) -> None:
    assert kind_of_status(status, told) is kind


@pytest.mark.parametrize("told", [*FailureKind, None])
def test_error_as_first_event_is_never_a_success(told: FailureKind | None) -> None:
    """However it is called, it is known by what it says."""
    kind = kind_of_frame(told)
    assert kind is not K.OK
    if told in (None, FailureKind.SERVER):
        assert kind is K.ERROR_FRAME


def test_frames_are_held_to_be_what_their_status_would_have_been() -> None:
    statuses = {
        FailureKind.RATE_LIMIT: 429, FailureKind.OVERLOADED: 529, FailureKind.AUTHENTICATION: 401,
        FailureKind.PERMISSION: 403, FailureKind.INVALID: 400, FailureKind.NOT_FOUND: 404, FailureKind.TIMEOUT: 504,
    }  # fmt: skip
    for told, status in statuses.items():
        assert kind_of_frame(told) is kind_of_status(status)


@pytest.mark.parametrize(
    ("clock", "kind"),
    [("connect", K.CONNECT_TIMEOUT), ("first_byte", K.SILENT), ("idle", K.CUT_SHORT), ("total", K.CUT_SHORT)],
)
def test_each_clock_tells_another_outcome(clock: str, kind: OutcomeKind) -> None:
    assert kind_of_error("upstream_timeout", clock) is kind


def test_every_error_of_a_provider_has_an_outcome_of_its_own() -> None:
    """A new kind of error must not pass for a fault of the gateway's."""
    kinds = [kind_of_error(error.kind) for error in UpstreamError.__subclasses__()]
    assert K.FAULT not in kinds
    assert len(set(kinds)) == len(kinds)
    others = [error for error in GatewayError.__subclasses__() if error is not UpstreamError]
    assert {kind_of_error(error.kind) for error in others} == {K.FAULT}


def test_every_outcome_can_come_about() -> None:
    """One that nothing leads to would promise in the documentation what never happens."""
    told = (*FailureKind, None)
    kinds = {kind_of_status(status, each) for status in range(200, 600) for each in told}
    kinds |= {kind_of_frame(each) for each in told}
    kinds |= {kind_of_error(error.kind) for error in UpstreamError.__subclasses__()}
    kinds |= {kind_of_error("upstream_timeout", clock.removesuffix("_s")) for clock in Timeouts.__struct_fields__}
    of_the_gateway = {K.BUSY, K.UNAVAILABLE, K.CLIENT_GONE, K.LOST_RACE, K.UNSUPPORTED, K.OVER_LIMIT, K.FAULT}
    assert kinds.isdisjoint(of_the_gateway)
    assert kinds | of_the_gateway == set(K)


def test_what_is_held_against_somebody_does_not_speak_for_it_too() -> None:
    for rule in TABLE:
        assert rule.verdict is Verdict.NONE or not rule.scope & rule.good_for, rule.kind
        assert rule.scope in (Scope.NOTHING, Scope.PROVIDER, Scope.MODEL, Scope.CREDENTIAL, Scope.ACCESS)
        assert rule.verdict is Verdict.NONE or rule.scope


def test_refusals_of_one_credential_call_a_person_and_never_the_same_one_again() -> None:
    assert {rule.kind for rule in TABLE if rule.alert} == {K.KEY_REFUSED, K.UNPAID, K.FORBIDDEN}
    for rule in TABLE:
        assert rule.alert == (rule.verdict is Verdict.REFUSED)
        assert not rule.alert or (rule.elsewhere and rule.again is Again.NEVER)


def test_only_what_came_of_no_connection_or_an_answer_is_surely_not_acted_on() -> None:
    unsure = {rule.kind for rule in TABLE if rule.acted is Acted.MAYBE}
    assert unsure == {K.DISCONNECTED, K.MALFORMED, K.SILENT, K.CUT_SHORT, K.EDGE_TIMEOUT}
    assert {rule.kind for rule in TABLE if rule.acted is Acted.FAILED} == {K.SERVER_ERROR, K.ERROR_FRAME}


def test_mistakes_of_the_caller_lead_nowhere_by_themselves() -> None:
    for kind in (K.INVALID, K.NOT_FOUND, K.FILTERED):
        assert not RULES[kind].elsewhere
        assert RULES[kind].falls_back
        assert kind not in FALLS_BACK
    assert K.CONTEXT_OVERFLOW in FALLS_BACK


def test_outcome_is_told_in_words() -> None:
    assert str(Outcome(K.RATE_LIMITED, 429, 3.0)) == "rate limited (status 429)"
    assert str(Outcome(K.SILENT)) == "silent"
