"""The gateway's own pages: whether providers answer, whether the process lives, whether it takes calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
from twisted.web.server import Request

from llm_gateway.errors import NotFound
from llm_gateway.upstream.prober import HealthBoard, ProviderHealth
from llm_gateway.web.live import LiveCalls


def health_page(request: Request, board: HealthBoard) -> bytes:
    """
    From memory and always 200: the document says how the providers are, the status that this page works.

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
    return _page(request, {"status": "ok" if online else "unavailable", "providers": [_shown(each) for each in states]})


def livez_page(request: Request) -> bytes:
    """The process runs and its reactor turns."""
    return _page(request, {"status": "ok"})


def readyz_page(request: Request, live: LiveCalls) -> bytes:
    """Whether new calls are taken: 503 from the moment that the gateway is told to stop."""
    workers = live.workers()
    document: dict[str, Any] = {
        "status": "draining" if live.draining else "ok",
        "calls": sum(each.calls for each in workers) if workers else len(live),
    }
    if workers:
        document["workers"] = [attrs.asdict(each) for each in workers]
    return _page(request, document, 503 if live.draining else 200)


def _shown(state: ProviderHealth) -> dict[str, Any]:
    checked = None if state.checked_at is None else datetime.fromtimestamp(state.checked_at, UTC)
    return {
        "name": state.name,
        # Anybody may ask: what stands in a query is for the provider only.
        "url": state.url.partition("?")[0],
        "online": state.online,
        "checked_at": None if checked is None else checked.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "latency_ms": None if state.latency_s is None else round(state.latency_s * 1000, 1),
        "error": state.error,
    }


def _page(request: Request, document: dict[str, Any], status: int = 200) -> bytes:
    body = msgspec.json.encode(document) + b"\n"
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    request.setHeader(b"cache-control", b"no-store")
    return body
