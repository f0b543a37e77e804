"""The gateway's own pages: how providers are, whether the process lives, whether it takes calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from twisted.web.server import Request

from llm_gateway.core.routing.breaker import State
from llm_gateway.core.routing.calls import Router
from llm_gateway.core.routing.health import PartHealth
from llm_gateway.core.routing.outcomes import Scope
from llm_gateway.errors import NotFound
from llm_gateway.upstream.prober import HealthBoard, ProviderHealth
from llm_gateway.web.live import LiveCalls

MOST_TROUBLES = 20
"""Of one provider on the page; names of models come from callers."""


def health_page(request: Request, board: HealthBoard, router: Router, now: float, wall_now: float) -> bytes:
    """
    From memory and always 200: the document says how the providers are, the status that this page works.

    :param now: on the router's clock.
    :param wall_now: the same moment in seconds since the epoch.
    :raises NotFound: ``?provider=NAME`` names none.
    """
    states = board.states()
    wanted = [name.decode("utf-8", "replace") for name in (request.args or {}).get(b"provider", ())]
    if wanted:
        known = {state.name for state in states}
        for name in wanted:
            if name not in known:
                raise NotFound(f"This gateway has no provider {name[:64]!r}.")
        states = [state for state in states if state.name in wanted]
    online = any(state.online for state in states)
    router.health.refresh(now)
    parts: dict[str, list[PartHealth]] = {}
    for part in router.health.report(now):
        parts.setdefault(part.part.provider, []).append(part)
    shown = [
        _shown(each) | _routed(each.name, parts.get(each.name, ()), router, lambda then: wall_now + then - now)
        for each in states
    ]
    return page(request, {"status": "ok" if online else "unavailable", "providers": shown})


def livez_page(request: Request) -> bytes:
    """The process runs and its reactor turns."""
    return page(request, {"status": "ok"})


def readyz_page(request: Request, live: LiveCalls) -> bytes:
    """Whether new calls are taken: 503 from the moment that the gateway is told to stop."""
    workers = live.workers()
    document: dict[str, Any] = {
        "status": "draining" if live.draining else "ok",
        "calls": sum(each.calls for each in workers) if workers else len(live),
    }
    if workers:
        document["workers"] = [msgspec.structs.asdict(each) for each in workers]
    return page(request, document, 503 if live.draining else 200)


def _routed(name: str, parts: Sequence[PartHealth], router: Router, wall: Callable[[float], float]) -> dict[str, Any]:
    """What calls have shown: of the provider as a whole, and of those of its models and credentials that are out."""
    own = next((each for each in parts if each.part.scope is Scope.PROVIDER), None)
    models = [each for each in parts if each.part.scope is Scope.MODEL]
    gate = router.admission.provider(name)
    out = [each for each in parts if each is not own and each.state is not State.CLOSED]
    return {
        **_state(own, wall),
        "calls": {
            "passed": sum(each.passed for each in models),
            "failed": sum(each.failed for each in parts),
            "rate_limited": sum(each.cooled for each in parts),
            "in_flight": 0 if gate is None else gate.in_use,
            "waiting": 0 if gate is None else len(gate.waiting),
        },
        "out": [
            {"credential": each.part.credential, "model": each.part.model, **_state(each, wall)}
            for each in out[:MOST_TROUBLES]
        ],
    }


def _state(part: PartHealth | None, wall: Callable[[float], float]) -> dict[str, Any]:
    if part is None:
        return {"state": State.CLOSED.value, "since": None, "reason": None}
    since = None if part.since is None else _time(wall(part.since))
    return {"state": part.state.value, "since": since, "reason": part.reason}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(state: ProviderHealth) -> dict[str, Any]:
    return {
        "name": state.name,
        # Anybody may ask: what stands in a query is for the provider only.
        "url": state.url.partition("?")[0],
        "online": state.online,
        "checked_at": None if state.checked_at is None else _time(state.checked_at),
        "latency_ms": None if state.latency_s is None else round(state.latency_s * 1000, 1),
        "error": state.error,
    }


def page(request: Request, document: Any, status: int = 200) -> bytes:
    """
    Set status and headers of a page of the gateway's own.

    :return: its body.
    """
    body = msgspec.json.encode(document) + b"\n"
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    request.setHeader(b"cache-control", b"no-store")
    return body
