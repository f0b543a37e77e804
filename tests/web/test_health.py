"""The gateway's own pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llm_gateway.upstream.prober import ProviderHealth
from llm_gateway.web.live import WorkerState
from tests.memory import MemoryGateway


@pytest.fixture
def gateway() -> Iterator[MemoryGateway]:
    gateway = MemoryGateway()
    yield gateway
    gateway.close()


def asked(gateway: MemoryGateway, target: str) -> tuple[int, Any]:
    client = gateway.client()
    client.ask("GET", target)
    status, _, body = client.answer()
    return status, json.loads(body)


def note(gateway: MemoryGateway, name: str, *, online: bool, error: str | None = None) -> None:
    url = next(state.url for state in gateway.board.states() if state.name == name)
    gateway.board.note(ProviderHealth(name, url, online, 1_795_000_000.5, 0.01234 if online else None, error))


def test_health_before_the_first_probe_knows_nothing(gateway: MemoryGateway) -> None:
    """It answers at once, and does not claim what it has not seen."""
    status, page = asked(gateway, "/health")
    assert (status, page["status"]) == (200, "unavailable")
    assert page["providers"][0] == {
        "name": "openai",
        "url": "https://api.openai.test/v1/chat/completions",
        "online": False,
        "checked_at": None,
        "latency_ms": None,
        "error": "not checked yet",
        "state": "closed",
        "since": None,
        "reason": None,
        "calls": {"passed": 0, "failed": 0, "rate_limited": 0, "in_flight": 0, "waiting": 0},
        "out": [],
    }


def test_health_is_ok_while_one_provider_is(gateway: MemoryGateway) -> None:
    """And shows what is known of each."""
    note(gateway, "openai", online=False, error="HTTP status 503")
    note(gateway, "anthropic", online=True)
    status, page = asked(gateway, "/health")
    assert (status, page["status"]) == (200, "ok")
    assert [each["online"] for each in page["providers"]] == [False, True, False]
    assert page["providers"][1]["latency_ms"] == 12.3
    assert page["providers"][1]["checked_at"] == "2026-11-18T11:06:40.500Z"


def test_health_of_one_provider(gateway: MemoryGateway) -> None:
    """``?provider=NAME`` shows that one only; its status is that one's too."""
    note(gateway, "openai", online=True)
    _, page = asked(gateway, "/health?provider=anthropic")
    assert [each["name"] for each in page["providers"]] == ["anthropic"]
    assert page["status"] == "unavailable"
    status, refusal = asked(gateway, "/health?provider=nobody")
    assert (status, refusal["error"]["code"]) == (404, "not_found")


def test_readiness_ends_with_the_drain_and_liveness_does_not(gateway: MemoryGateway) -> None:
    """A load balancer takes the gateway out; nobody kills it."""
    assert asked(gateway, "/readyz") == (200, {"status": "ok", "calls": 0})
    gateway.client().chat()
    gateway.live.draining = True
    assert asked(gateway, "/readyz") == (503, {"status": "draining", "calls": 1})
    assert asked(gateway, "/livez") == (200, {"status": "ok"})


def test_readiness_of_several_processes_tells_of_each(gateway: MemoryGateway) -> None:
    """The calls are those of all; of its own the answering process knows best, of the others what it was told."""
    gateway.live.worker = 2
    gateway.live.told([WorkerState(1, 701, "ready", 5, 0), WorkerState(2, 702, "ready", 9, 1)])
    gateway.client().chat()
    status, page = asked(gateway, "/readyz")
    assert (status, page["status"], page["calls"]) == (200, "ok", 6)
    assert page["workers"] == [
        {"number": 1, "pid": 701, "state": "ready", "calls": 5, "restarts": 0},
        {"number": 2, "pid": 702, "state": "ready", "calls": 1, "restarts": 1},
    ]


def test_head_of_a_page_has_no_body(gateway: MemoryGateway) -> None:
    """Its length is the page's."""
    client = gateway.client()
    client.ask("HEAD", "/livez")
    status, headers, body = client.answer()
    assert (status, body) == (200, b"")
    assert headers["content-length"] == "16"


def test_own_pages_are_not_calls(gateway: MemoryGateway) -> None:
    """A probe every second does not fill the access log."""
    asked(gateway, "/health")
    asked(gateway, "/livez")
    assert gateway.records.written == []
