"""Four clocks run for every call to a provider; the one that runs out is named to the client in its dialect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.real.provider import LAST_CHUNK, STREAM_HEAD, Exchange, Gone, Provider, chunk, deaf_listener, head_bytes
from tests.real.scene import BODY, PATHS, Scene, asking, named, scene, settled_sockets
from tests.real.shapes import TIMEOUT, check_broken_stream, check_refusal

LIMITS = {"connect": 0.2, "first_byte": 0.3, "idle": 0.5, "total": 0.6}
"""In seconds; one provider for each, whose other clocks are far."""
SLACK_S = 5.0
EVENT = b'data: {"choices":[]}\n\n'
dialects = pytest.mark.parametrize("dialect", PATHS)


def providers(provider: Provider, deaf: int) -> dict[str, Any]:
    """A provider for each clock in each dialect, that has no other clock to run out."""
    found = {}
    for clock, limit in LIMITS.items():
        host = f"http://127.0.0.1:{deaf if clock == 'connect' else provider.port}"
        for dialect in PATHS:
            found[f"{clock}-{dialect}"] = {
                "base_url": host + ("/v1beta" if dialect == "gemini" else "/v1"),
                "dialect": dialect,
                "timeouts": {f"{clock}_s": limit},
            }
    return found


@pytest.fixture(scope="module")
def stage(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as stack:
        deaf = stack.enter_context(deaf_listener())
        yield stack.enter_context(
            scene(bin_dir, tmp_path_factory.mktemp("clocks"), more=lambda provider: providers(provider, deaf))
        )


def check_record(record: dict[str, Any], clock: str, status: int) -> None:
    assert (record["ended"], record["error"], record["status"]) == ("timeout", "upstream_timeout", status)
    assert LIMITS[clock] <= record["duration_s"] < LIMITS[clock] + SLACK_S
    if status == 504:
        assert record["first_byte_s"] is None
    else:
        assert record["first_byte_s"] < LIMITS[clock]


def stand_still(exchange: Exchange) -> None:
    exchange.connection.wait_left()
    exchange.connection.close()


def stand_still_between_events(exchange: Exchange) -> None:
    exchange.send(STREAM_HEAD + chunk(EVENT) + chunk(EVENT + b"data: half"))
    stand_still(exchange)


def drip(exchange: Exchange) -> None:
    """An event every few milliseconds, until the gateway leaves."""
    exchange.send(STREAM_HEAD)
    while not exchange.connection.left_within(0.02):
        exchange.send(chunk(EVENT))
    exchange.connection.close()


@dialects
def test_provider_that_does_not_accept_becomes_504(stage: Scene, dialect: str) -> None:
    """Connecting has a clock of its own, shorter than thinking."""
    name, header = named()
    answer = stage.call(PATHS[dialect], header, key=f"vk_connect-{dialect}")
    assert "connect timeout" in check_refusal(answer, dialect, TIMEOUT)
    check_record(stage.logged(name), "connect", 504)


@dialects
@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 2", STREAM_HEAD, STREAM_HEAD + b"1"], ids=["", "half", "head", "size"]
)
def test_silent_provider_becomes_504(stage: Scene, dialect: str, sent: bytes) -> None:
    """Headers are no answer yet: until there is a byte of the body, the client can be told properly."""
    left: list[Exchange] = []

    def stay_silent(exchange: Exchange) -> None:
        exchange.send(sent)
        exchange.connection.wait_left()
        stage.provider.tell(left, exchange)
        exchange.connection.close()

    stage.provider.script = stay_silent
    name, header = named()
    answer = stage.call(PATHS[dialect], header, key=f"vk_first_byte-{dialect}")
    assert "0.3 s (first byte timeout)" in check_refusal(answer, dialect, TIMEOUT)
    stage.provider.wait_for(lambda: bool(left), "the provider's connection is closed")
    check_record(stage.logged(name), "first_byte", 504)


@dialects
def test_stream_that_stands_still_ends_in_one_error(stage: Scene, dialect: str) -> None:
    """Also in the middle of an event, which is dropped: nobody can use half of one."""

    stage.provider.script = stand_still_between_events
    name, header = named()
    answer = stage.call(PATHS[dialect], header, key=f"vk_idle-{dialect}")
    message = check_broken_stream(answer, dialect, TIMEOUT, EVENT + EVENT)
    assert "0.5 s (idle timeout)" in message
    check_record(stage.logged(name), "idle", 200)


def test_document_that_stands_still_is_cut(stage: Scene) -> None:
    """There is no room in it for an error, and it must not pass for whole."""

    def stand_still_inside(exchange: Exchange) -> None:
        exchange.send(head_bytes(fields={"content-type": "application/json", "content-length": "20"}) + b'{"id": ')
        stand_still(exchange)

    stage.provider.script = stand_still_inside
    name, header = named()
    answer = stage.call(PATHS["openai"], header, key="vk_idle-openai")
    assert (answer.status, answer.whole, answer.body) == (200, False, b'{"id": ')
    check_record(stage.logged(name), "idle", 200)


@dialects
def test_stream_that_never_ends_is_ended(stage: Scene, dialect: str) -> None:
    """However lively: somebody pays for it."""
    stage.provider.script = drip
    name, header = named()
    answer = stage.call(PATHS[dialect], header, key=f"vk_total-{dialect}")
    events = answer.body.count(EVENT)
    assert events > 1
    assert "0.6 s (total timeout)" in check_broken_stream(answer, dialect, TIMEOUT, EVENT * events)
    check_record(stage.logged(name), "total", 200)


def test_lively_stream_outlives_first_byte_and_idle_clocks(stage: Scene) -> None:
    """They measure silence, not length."""

    def last_longer(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD)
        for _ in range(8):
            exchange.send(chunk(EVENT))
            if exchange.connection.left_within(0.08):
                raise Gone
        exchange.send(LAST_CHUNK)

    stage.provider.script = last_longer
    for clock in ("first_byte", "idle"):
        name, header = named()
        answer = stage.call(PATHS["openai"], header, key=f"vk_{clock}-openai")
        assert (answer.body, answer.whole) == (EVENT * 8, True)
        record = stage.logged(name)
        assert record["ended"] == "ok"
        assert record["duration_s"] > LIMITS[clock]


def test_clock_that_ran_out_leaves_nothing_behind(stage: Scene) -> None:
    """No socket and no call."""
    stage.turns.wait()
    idle = stage.gateway.open_sockets()
    scripts = {"connect": drip, "first_byte": stand_still, "idle": stand_still_between_events, "total": drip}
    with stage.client() as client:
        for clock, script in scripts.items():
            stage.provider.script = script
            client.call("POST", PATHS["openai"], asking(f"vk_{clock}-openai"), BODY)
        assert client.call("GET", "/readyz").json() == {"status": "ok", "calls": 0}
    settled_sockets(stage.gateway, idle)
