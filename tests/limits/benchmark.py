"""What limits cost a call, in microseconds: ``python -m tests.limits.benchmark``."""

from __future__ import annotations

import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path

from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Reservation, Want
from llm_gateway.core.limits.headers import anthropic_headers, openai_headers
from llm_gateway.limits.memory import MemoryStore
from llm_gateway.limits.shared import SharedStore
from tests.core.limits.told import NOON, limit

LIMITS = (
    limit("requests_per_minute", 10_000_000),
    limit("tokens_per_minute", 30_000_000),
    limit("in_flight", 100),
    limit("usd_per_month", 10**18),
)
"""Three limits and a budget."""


def per_call_us(once: Callable[[], object], calls: int = 10_000) -> float:
    """:return: of the quickest of seven rounds: the machine has other things to do."""
    return min(timeit.repeat(once, number=calls, repeat=7)) / calls * 1e6


def measure(store: MemoryStore | SharedStore) -> None:
    """Print the costs of one kind of store."""
    limiter = Limiter(store, store.clock)
    want, used, more = Want(1, 100, 400, 5_000), Want(1, 100, 50, 3_000), Want(0, 0, 1, 1)

    def call() -> None:
        found = limiter.reserve(LIMITS, want)
        assert isinstance(found, Reservation)
        limiter.settle(found, used)

    costs = {"reserve and settle": per_call_us(call)}
    running = limiter.reserve(LIMITS, want)
    assert isinstance(running, Reservation)
    costs["extend"] = per_call_us(lambda: limiter.extend(running, more))
    limiter.settle(running, used)
    costs["state"] = per_call_us(lambda: limiter.state(LIMITS))
    standings = limiter.state(LIMITS)
    costs["OpenAI's headers"] = per_call_us(lambda: openai_headers(standings))
    costs["Anthropic's headers"] = per_call_us(lambda: anthropic_headers(standings, NOON))
    for name, cost in costs.items():
        print(f"{type(store).__name__:12} {name:20} {cost:6.2f} us")


def main() -> None:
    measure(MemoryStore())
    with tempfile.TemporaryDirectory() as folder:
        shared = SharedStore(Path(folder) / "limits", 2)
        shared.open()
        measure(shared)
        shared.close()


if __name__ == "__main__":
    main()
