"""Providers that are not down and do not answer either: each in its own way, in front of one that is well."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.real.client import eventually
from tests.real.inbox import BOUND_S
from tests.real.provider import (
    LAST_CHUNK,
    STREAM_HEAD,
    Exchange,
    Gone,
    Provider,
    answer_bytes,
    answer_ok,
    chunk,
    deaf_listener,
    running_provider,
)
from tests.real.routing.stage import Stage, first_and_second, saying, scripted, stage
from tests.real.shapes import DISCONNECTED, RATE_LIMITED, TIMEOUT, UNAVAILABLE, check_refusal

FIRST_BYTE_S = 0.25
SOON = {"first_byte_s": FIRST_BYTE_S}
MORE: dict[str, dict[str, Any]] = {
    "silent": {"timeouts": SOON},
    "careful": {"timeouts": SOON},
    "left": {"timeouts": SOON},
    "deaf": {"timeouts": {"connect_s": FIRST_BYTE_S}},
    "trial": {"breaking": {"failures": 3, "open_s": 0.2, "longest_open_s": 0.2, "trials": 1}},
    "frame": {},
    "late-frame": {},
    "no-better": {},
    "closing": {},
    "limited": {},
    "seconds": {},
    "date": {},
    "longer": {"breaking": {"cooling_s": 30}},
    "crowded": {"breaking": {"enabled": False}},
    "alone": {"breaking": {"open_s": 0.9, "longest_open_s": 0.9}},
}
"""By scenario, each of which has two providers: what is said of both."""

ERROR = b'data: {"error":{"message":"Try later.","type":"overloaded_error","code":"overloaded"}}\n\n'
EVENT = b'data: {"n":1}\n\n'
END = b"data: [DONE]\n\n"
OVERLOADED = answer_bytes(b'{"error":{"message":"Too busy.","type":"server_error"}}', status="503 Service Unavailable")
LIMITED = b'{"error":{"message":"Too fast.","type":"rate_limit_error"}}'
OK = answer_bytes(b'{"answered":true}')


def streamed(*events: bytes) -> bytes:
    return STREAM_HEAD + b"".join(chunk(each) for each in events) + LAST_CHUNK


def limited(retry_after: str) -> bytes:
    return answer_bytes(LIMITED, status="429 Too Many Requests", fields={"retry-after": retry_after})


def say_nothing(exchange: Exchange) -> None:
    """Wait until the gateway has had enough."""
    exchange.connection.wait_left()
    raise Gone


@attrs.frozen
class Scenario:
    """The providers of one test; its key is ``vk_{name}`` for both and ``vk_{name}-alone`` for the first one only."""

    stage: Stage
    name: str
    first: Provider
    second: Provider

    @property
    def key(self) -> str:
        return f"vk_{self.name}"

    def out(self) -> list[str]:
        """The states of what is not closed of the first provider's models and credentials."""
        return [each["state"] for each in self.stage.health(f"{self.name}-1st")["out"]]


@attrs.frozen
class Scenarios:
    """A gateway for all of them. What is learnt of one provider is of no account for the others."""

    stage: Stage
    providers: dict[str, tuple[Provider, Provider]]

    def take(self, name: str) -> Scenario:
        return Scenario(self.stage, name, *self.providers[name])


def scenarios(bin_dir: Path, folder: Path, routing: dict[str, Any]) -> Iterator[Scenarios]:
    with ExitStack() as stack:
        deaf = stack.enter_context(deaf_listener())
        pairs = {
            name: (stack.enter_context(running_provider()), stack.enter_context(running_provider())) for name in MORE
        }
        entries: dict[str, Any] = {}
        keys: dict[str, list[str]] = {}
        for name, (first, second) in pairs.items():
            url = f"http://127.0.0.1:{deaf}" if name == "deaf" else first.url
            entries |= first_and_second(name, [url, second.url], **MORE[name])
            keys |= {f"vk_{name}": [f"{name}-1st", f"{name}-2nd"], f"vk_{name}-alone": [f"{name}-1st"]}
        staged = stack.enter_context(stage(bin_dir, folder, providers=entries, routing=routing, keys=keys))
        yield Scenarios(staged, pairs)


@pytest.fixture(scope="module")
def bold(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenarios]:
    """A gateway that may have an answer generated twice."""
    routing = {"retries": {"repeat": "generations", "first_wait_s": 0.02}}
    yield from scenarios(bin_dir, tmp_path_factory.mktemp("bold"), routing)


@pytest.fixture(scope="module")
def usual(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenarios]:
    """A gateway that may not, as where nothing is said."""
    yield from scenarios(bin_dir, tmp_path_factory.mktemp("usual"), {"retries": {"first_wait_s": 0.02}})


@pytest.fixture(autouse=True)
def _no_slot_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test all is zero."""
    yield
    for name in {"bold", "usual"} & set(request.fixturenames):
        request.getfixturevalue(name).stage.wait_for_slots(0)


# Silence


def test_silent_provider_is_left_alone_after_few_calls(bold: Scenarios) -> None:
    """It accepts and never answers. Calls wait for it until it is known, and then no more."""
    here = bold.take("silent")
    here.first.script = say_nothing
    answers = here.stage.calls(5, here.key)
    assert {answer.status for answer in answers} == {200}
    here.stage.told("provider silent-1st, model m-1 is left alone for a while: 5 calls in a row failed")
    began = time.monotonic()
    answers = here.stage.calls(20, here.key)
    took_s = time.monotonic() - began
    assert {(answer.status, answer.value("x-gw-attempts")) for answer in answers} == {(200, "1")}
    assert len(here.first.seen) == 5
    print(f"20 calls past a silent provider: {took_s * 1000:.0f} ms")
    assert took_s < 20 * FIRST_BYTE_S


def test_silent_provider_is_not_asked_twice_unless_that_is_fine(usual: Scenarios) -> None:
    """It may have acted on the call: nobody else is asked to, and the caller decides."""
    here = usual.take("careful")
    here.first.script = say_nothing
    answer = here.stage.call(here.key)
    check_refusal(answer, "openai", TIMEOUT)
    assert (answer.value("x-gw-provider"), answer.value("x-gw-attempts")) == ("careful-1st", "1")
    here.first.script = lambda exchange: exchange.connection.close()
    check_refusal(here.stage.call(here.key), "openai", DISCONNECTED)
    assert here.second.seen == []


def test_provider_that_takes_no_connection_costs_one_clock(usual: Scenarios) -> None:
    """Nobody can have acted on a call that was never sent: the other provider is asked, whatever the call."""
    here = usual.take("deaf")
    answer = here.stage.call(here.key)
    assert (answer.status, answer.value("x-gw-provider"), answer.value("x-gw-attempts")) == (200, "deaf-2nd", "2")


def test_call_of_a_client_that_has_left_is_not_sent_again(bold: Scenarios) -> None:
    """Its provider's connection is closed at once, and no other one hears of it."""
    here = bold.take("left")
    here.first.script = say_nothing
    with here.stage.asked(here.key):
        here.first.wait_for(lambda: bool(here.first.seen), "the call came")
        here.stage.wait_for_slots(1)
    here.first.wait_for(lambda: here.first.connections[0].left_at is not None, "its connection is closed")
    here.stage.wait_for_slots(0)
    here.first.script = answer_ok
    assert here.stage.call(here.key).value("x-gw-provider") == "left-1st"
    assert here.second.seen == []


def test_trials_come_one_at_a_time(usual: Scenarios) -> None:
    """While one call finds out whether a provider is back, no other one goes there or waits for it."""
    here = usual.take("trial")
    scripted(here.first, [OVERLOADED] * 3, b"")
    assert {answer.status for answer in here.stage.calls(3, here.key)} == {200}
    here.stage.told("provider trial-1st, model m-1 is left alone")
    here.first.forget()
    released = threading.Event()

    def hold(exchange: Exchange) -> None:
        assert released.wait(BOUND_S)
        exchange.send(OK)

    here.first.script = hold
    eventually(lambda: here.out() == ["half_open"], "time for a trial")
    with here.stage.asked(here.key) as trial:
        here.first.wait_for(lambda: len(here.first.seen) == 1, "the trial")
        others = here.stage.calls(20, here.key, at_once=4)
        assert {(answer.status, answer.value("x-gw-provider")) for answer in others} == {(200, "trial-2nd")}
        assert len(here.first.seen) == 1
        released.set()
        answer = trial.answer()
    assert (answer.status, answer.value("x-gw-provider")) == (200, "trial-1st")
    here.stage.told("provider trial-1st, model m-1 is back")


# Errors in streams


@pytest.mark.parametrize("before", [b"", b": keep-alive\n\n"], ids=["at once", "after a comment"])
def test_stream_that_begins_with_an_error_is_had_elsewhere(usual: Scenarios, before: bytes) -> None:
    """The status was 200, and nothing of it has reached the client."""
    here = usual.take("frame")
    here.first.script = lambda exchange: exchange.send(streamed(before + ERROR))
    here.second.script = lambda exchange: exchange.send(streamed(EVENT, END))
    answer = here.stage.call(here.key, saying("hello", stream=True))
    assert (answer.status, answer.whole, answer.body) == (200, True, EVENT + END)
    assert (answer.value("x-gw-provider"), answer.value("x-gw-attempts")) == ("frame-2nd", "2")


def test_error_in_a_stream_that_has_begun_is_passed_on(bold: Scenarios) -> None:
    """Never a second answer behind the beginning of a first one."""
    here = bold.take("late-frame")
    here.first.script = lambda exchange: exchange.send(streamed(EVENT, ERROR))
    answer = here.stage.call(here.key, saying("hello", stream=True))
    assert (answer.status, answer.whole, answer.body) == (200, True, EVENT + ERROR)
    assert (answer.value("x-gw-provider"), answer.value("x-gw-attempts")) == ("late-frame-1st", "1")
    assert here.second.seen == []


def test_error_that_begins_a_stream_arrives_where_nobody_has_better(usual: Scenarios) -> None:
    """Once, in the provider's own words."""
    here = usual.take("no-better")
    here.first.script = lambda exchange: exchange.send(streamed(ERROR))
    here.second.script = lambda exchange: exchange.send(OVERLOADED)
    answer = here.stage.call("vk_no-better-alone", saying("hello", stream=True))
    assert (answer.status, answer.whole, answer.body) == (200, True, ERROR)
    assert (answer.value("x-gw-attempts"), len(here.first.seen)) == ("2", 2)


# Connections


def test_provider_that_closes_kept_connections_fails_no_call(bold: Scenarios) -> None:
    """It says nothing of it, and does so while the next call may be on its way. It is not taken for broken either."""
    here = bold.take("closing")

    def answer_and_close_at_times(exchange: Exchange) -> None:
        exchange.send(OK)
        if len(here.first.seen) % 3 == 0:
            exchange.connection.close()

    here.first.script = answer_and_close_at_times
    answers = here.stage.calls(200, here.key, at_once=8)
    told = Counter((answer.status, answer.value("x-gw-provider")) for answer in answers)
    print(f"a provider that closes kept connections: {dict(told)}, {len(here.first.connections)} connections")
    assert {status for status, _ in told} == {200}
    assert here.stage.health("closing-1st")["state"] == "closed"


# Rates


def test_rate_limit_moves_calls_and_breaks_nothing(usual: Scenarios) -> None:
    """The one that is over its limit is left alone until the time that it named; nobody waits."""
    here = usual.take("limited")
    here.first.script = lambda exchange: exchange.send(limited("30"))
    answers = here.stage.calls(10, here.key)
    assert {(answer.status, answer.value("x-gw-provider")) for answer in answers} == {(200, "limited-2nd")}
    assert [answer.value("x-gw-attempts") for answer in answers] == ["2"] + ["1"] * 9
    assert (len(here.first.seen), here.out()) == (1, ["cooling"])
    shown = here.stage.health("limited-1st")
    assert (shown["state"], shown["calls"]["rate_limited"], shown["calls"]["failed"]) == ("closed", 1, 0)


def test_retry_after_is_waited_for_in_both_its_forms(usual: Scenarios) -> None:
    """Seconds or a date: not a moment sooner, where there is nobody else to ask."""

    def call(form: str) -> float:
        here = usual.take(form)
        at = time.time() + 1 if form == "seconds" else math.ceil(time.time()) + 1
        scripted(here.first, [limited("1" if form == "seconds" else formatdate(at, usegmt=True))], OK)
        answer = here.stage.call(f"vk_{form}-alone")
        late_s = time.time() - at
        assert (answer.status, answer.value("x-gw-attempts")) == (200, "2")
        assert len(here.first.seen) == 2
        return late_s

    with ThreadPoolExecutor(2) as pool:
        late = list(pool.map(call, ["seconds", "date"]))
    print(f"sent again {', '.join(f'{each * 1000:.0f} ms' for each in late)} after the time that was named")
    assert min(late) >= 0


def test_retry_after_that_is_too_long_is_for_the_client(usual: Scenarios) -> None:
    """It gets the provider's answer as it is. Who comes next is told by the gateway, which asks nobody."""
    here = usual.take("longer")
    here.first.script = lambda exchange: exchange.send(limited("3600"))
    answer = here.stage.call("vk_longer-alone")
    assert (answer.status, answer.value("retry-after"), answer.body) == (429, "3600", LIMITED)
    assert answer.value("x-gw-error") is None
    answer = here.stage.call("vk_longer-alone")
    check_refusal(answer, "openai", RATE_LIMITED)
    assert 3500 < int(answer.value("retry-after") or 0) <= 3601
    assert len(here.first.seen) == 1


# Load


def test_retries_are_a_stated_share_of_calls(usual: Scenarios) -> None:
    """A provider that answers nothing but 503 gets a fifth more than the calls that came, and ten."""
    here = usual.take("crowded")
    here.first.script = lambda exchange: exchange.send(OVERLOADED)
    answers = here.stage.calls(100, "vk_crowded-alone", at_once=4)
    assert {(answer.status, answer.body) for answer in answers} == {(503, OVERLOADED.partition(b"\r\n\r\n")[2])}
    print(f"{len(here.first.seen)} sends of 100 calls")
    assert 100 < len(here.first.seen) <= 100 + 20 + 10


def test_calls_that_nobody_can_answer_are_refused_at_once(usual: Scenarios) -> None:
    """In the caller's dialect, with a time to come back at; when that is over, the provider is tried again."""
    here = usual.take("alone")
    here.first.script = lambda exchange: exchange.send(OVERLOADED)
    answers = here.stage.calls(50, "vk_alone-alone")
    refused = [answer for answer in answers if answer.value("x-gw-error")]
    for answer in refused:
        check_refusal(answer, "openai", UNAVAILABLE)
        assert answer.value("retry-after") == "1"
        assert answer.value("x-gw-attempts") is None
    print(f"{len(here.first.seen)} sends of 50 calls, {len(refused)} refused")
    assert len(here.first.seen) <= 15
    here.first.script = answer_ok
    eventually(lambda: here.stage.call("vk_alone-alone").status == 200, "it is asked again")
