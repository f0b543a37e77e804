"""A process that counts as fast as it can: told by its arguments, tells on its output."""

from __future__ import annotations

import sys
from pathlib import Path

from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Reservation, Want
from llm_gateway.limits.shared import SharedStore
from tests.core.limits.told import limit

LIMITS = (
    limit("requests_per_day", 3_000),
    limit("tokens_per_day", 10**9),
    limit("in_flight", 3),
    limit("usd_total", 10**12),
)


def main() -> None:
    """
    Ask again and again.

    ``hammer.py FOLDER until-refused`` ends when the requests of the day are used up, and prints how many were let in.
    ``hammer.py FOLDER for-ever`` prints a line for each hundred and holds two of three slots meanwhile.
    """
    folder, what = Path(sys.argv[1]), sys.argv[2]
    store = SharedStore(folder, 2)
    limiter = Limiter(store, store.clock)
    store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    if what == "for-ever":
        assert isinstance(limiter.reserve(LIMITS[1:], Want(1, 500, 500, 10**11)), Reservation)
        assert isinstance(limiter.reserve(LIMITS[1:], Want(1, 500, 500, 10**11)), Reservation)
    let_in = busy = 0
    while True:
        found = limiter.reserve(LIMITS if what == "until-refused" else LIMITS[1:], Want(1, 10, 10, 7))
        if isinstance(found, Reservation):
            let_in += 1
            limiter.extend(found, Want(0, 0, 5, 3), used=Want(1, 10, 5, 2))
            limiter.settle(found, Want(1, 10, 12, 9))
        elif found.limit.name == "requests_per_day":
            break
        else:
            busy += 1
        if what == "for-ever" and let_in % 100 == 1:
            print(let_in, flush=True)
    store.close()
    print(let_in, busy, flush=True)


if __name__ == "__main__":
    main()
