"""Limits of calls in flight: who waits, who is turned away, and that nobody's flood keeps another out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.real.client import Client
from tests.real.inbox import BOUND_S
from tests.real.provider import Exchange, Provider, answer_bytes, running_provider
from tests.real.routing.stage import CHAT, Stage, saying, stage
from tests.real.scene import PATHS
from tests.real.shapes import BUSY, check_refusal

IN_FLIGHT, FLOOD, OTHERS = 4, 40, 5
WAIT_S = 0.25
PATIENT_S = 10.0
LIMITS: dict[str, dict[str, Any]] = {
    "wide": {"in_flight": IN_FLIGHT},
    "tiny": {"in_flight": 1, "queue": 2},
    "brief": {"in_flight": 1, "wait_s": WAIT_S},
    "one": {"in_flight": 1, "wait_s": PATIENT_S},
    "spare": {"in_flight": 1},
}
OK = answer_bytes(b'{"answered":true}')
BODIES = {
    "openai": saying("hello"),
    "anthropic": saying("hello", max_tokens=16),
    "gemini": json.dumps({"contents": [{"parts": [{"text": "hello"}]}]}).encode(),
}


class Gate:
    """Has a provider hold every call until the test lets it through."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._passes = threading.Semaphore(0)
        provider.forget()
        provider.script = self._hold

    def _hold(self, exchange: Exchange) -> None:
        assert self._passes.acquire(timeout=BOUND_S)
        exchange.send(OK)

    def let(self, count: int) -> None:
        """Let so many calls through."""
        self._passes.release(count)

    def wait_for(self, count: int) -> list[str]:
        """
        Wait until so many calls have come.

        :return: what they said, in the order in which they came.
        """
        seen = self.provider.seen
        self.provider.wait_for(lambda: len(seen) >= count, f"{count} calls have come")
        return [json.loads(each.body)["messages"][0]["content"] for each in seen]


@attrs.frozen
class Narrow:
    """A gateway to providers with limits."""

    stage: Stage
    providers: dict[str, Provider]

    def gate(self, name: str) -> Gate:
        return Gate(self.providers[name])


@pytest.fixture(scope="module")
def narrow(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Narrow]:
    with ExitStack() as stack:
        providers = {name: stack.enter_context(running_provider()) for name in LIMITS}
        entries = {name: {"url": f"{each.url}{CHAT}", "limits": LIMITS[name]} for name, each in providers.items()}
        keys = {f"vk_{who}-{name}": [name] for who in ("flood", "other") for name in LIMITS}
        keys["vk_both"] = ["one", "spare"]
        folder = tmp_path_factory.mktemp("narrow")
        yield Narrow(stack.enter_context(stage(bin_dir, folder, providers=entries, keys=keys)), providers)


@pytest.fixture(autouse=True)
def _no_slot_is_left(narrow: Narrow) -> Iterator[None]:
    """After every test all is zero."""
    yield
    narrow.stage.wait_for_slots(0)


def check_answered(clients: Iterable[Client]) -> None:
    """Each gets the provider's answer."""
    for client in clients:
        with client:
            assert client.answer().status == 200


def test_flood_of_one_key_does_not_starve_another(narrow: Narrow) -> None:
    """Keys take turns, however many calls of one are waiting; and the provider never has more than it may."""
    staged, gate = narrow.stage, narrow.gate("wide")
    clients = [staged.asked("vk_flood-wide", saying("flood")) for _ in range(FLOOD)]
    staged.wait_for_slots(IN_FLIGHT, FLOOD - IN_FLIGHT)
    clients += [staged.asked("vk_other-wide", saying("other")) for _ in range(OTHERS)]
    staged.wait_for_slots(IN_FLIGHT, FLOOD - IN_FLIGHT + OTHERS)
    assert gate.wait_for(IN_FLIGHT) == ["flood"] * IN_FLIGHT

    came: list[str] = []
    for count in range(1, 2 * OTHERS + 2):
        gate.let(1)
        came = gate.wait_for(IN_FLIGHT + count)
        # One was let through and one came for it.
        assert len(came) == IN_FLIGHT + count
    turns = came[IN_FLIGHT:]
    print(f"after {FLOOD - IN_FLIGHT} calls of one key, {OTHERS} of another came in turns {turns}")
    assert turns.count("other") == OTHERS
    assert all(turns[2 * at : 2 * at + 2].count("other") == 1 for at in range(OTHERS))
    gate.let(FLOOD + OTHERS)
    check_answered(clients)


@pytest.mark.parametrize("dialect", PATHS)
def test_full_queue_turns_calls_away_in_their_dialect(narrow: Narrow, dialect: str) -> None:
    """At once, with a time to come back at, and without asking anybody. Those that wait are answered."""
    staged, gate = narrow.stage, narrow.gate("tiny")
    clients = [staged.asked("vk_flood-tiny") for _ in range(3)]
    staged.wait_for_slots(1, 2)
    answer = staged.call("vk_flood-tiny", BODIES[dialect], target=PATHS[dialect])
    check_refusal(answer, dialect, BUSY)
    assert int(answer.value("retry-after") or 0) >= 1
    assert answer.value("x-gw-attempts") is None
    gate.let(3)
    check_answered(clients)
    assert len(gate.provider.seen) == 3


def test_full_queue_makes_room_for_who_has_none(narrow: Narrow) -> None:
    """The newest call of the key that has most in it goes, not the one that comes."""
    staged, gate = narrow.stage, narrow.gate("tiny")
    clients = []
    for waiting in range(3):
        clients.append(staged.asked("vk_flood-tiny", saying(f"flood {waiting}")))
        staged.wait_for_slots(1, waiting)
    with staged.asked("vk_other-tiny", saying("other")) as other:
        *stay, newest = clients
        with newest:
            check_refusal(newest.answer(), "openai", BUSY)
        staged.wait_for_slots(1, 2)
        gate.let(3)
        assert other.answer().status == 200
    check_answered(stay)
    assert sorted(gate.wait_for(3)) == ["flood 0", "flood 1", "other"]


def test_turn_that_does_not_come_in_time_is_told(narrow: Narrow) -> None:
    """A call waits as long as its provider's limit says, and not as long as the call before it, or another's queue."""
    staged, patient, brief = narrow.stage, narrow.gate("one"), narrow.gate("brief")
    clients = [staged.asked("vk_flood-one") for _ in range(2)]
    staged.wait_for_slots(1, 1)
    clients.append(staged.asked("vk_flood-brief"))
    staged.wait_for_slots(2, 1)
    began = time.monotonic()
    check_refusal(staged.call("vk_flood-brief"), "openai", BUSY)
    took_s = time.monotonic() - began
    assert WAIT_S <= took_s < WAIT_S + PATIENT_S / 2
    patient.let(2)
    brief.let(1)
    check_answered(clients)
    assert len(brief.provider.seen) == 1


def test_client_that_leaves_gives_its_place_back(narrow: Narrow) -> None:
    """In the queue as well as in a slot: who waits behind it is next."""
    staged, gate = narrow.stage, narrow.gate("one")
    running = staged.asked("vk_flood-one", saying("running"))
    staged.wait_for_slots(1)
    waiting = staged.asked("vk_flood-one", saying("waiting"))
    staged.wait_for_slots(1, 1)
    with staged.asked("vk_other-one", saying("last")) as last:
        staged.wait_for_slots(1, 2)
        waiting.close()
        staged.wait_for_slots(1, 1)
        running.reset()
        assert gate.wait_for(2) == ["running", "last"]
        staged.wait_for_slots(1)
        gate.let(2)
        assert last.answer().status == 200


def test_full_provider_is_passed_over_for_one_with_room(narrow: Narrow) -> None:
    """Nobody waits while another candidate has a slot."""
    staged, gates = narrow.stage, [narrow.gate(name) for name in ("one", "spare")]
    clients = [staged.asked("vk_both") for _ in range(3)]
    staged.wait_for_slots(2, 1)
    for gate in gates:
        gate.let(2)
    answers = []
    for client in clients:
        with client:
            answers.append(client.answer())
    assert {answer.status for answer in answers} == {200}
    assert {answer.value("x-gw-provider") for answer in answers} == {"one", "spare"}
    assert {answer.value("x-gw-attempts") for answer in answers} == {"1"}
