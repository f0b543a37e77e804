"""
A gateway after the other, each of which kills itself at the next step. The arguments are those of ``twistd``.

All of them have the same parent, which has read the program for them: to start one takes a tenth of the time.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.scripts.twistd import run

from llm_gateway import tap
from llm_gateway.ledger.sqlite import SqliteStore
from llm_gateway.ledger.writer import Ledger
from llm_gateway.upstream import attempt
from llm_gateway.web import translated, translating
from llm_gateway.web.attempt_account import AttemptAccount

READ = (tap, translated, translating)
"""What is needed for the first call."""

STEPS: dict[str, tuple[Any, str, str, int]] = {
    "before it is written down": (Ledger, "begin", "before", 15),
    "written down": (Ledger, "begin", "after", 15),
    "sent": (attempt, "send", "after", 15),
    "status came": (AttemptAccount, "answered", "after", 15),
    "in the middle of a stream": (AttemptAccount, "_look", "after", 15),
    "at the end": (AttemptAccount, "over", "before", 15),
    "the end written down": (Ledger, "end", "after", 15),
    "before the database": (SqliteStore, "write", "before", 1),
    "in the middle of the database": (SqliteStore, "_insert", "after", 1),
    "in the database": (SqliteStore, "write", "after", 1),
}
"""By name: what does it, whether it is before or after that, and how many times it is done until then."""

PR_SET_PDEATHSIG = 1
"""Of Linux."""

WARM = 30
"""Attempts until the times are counted: the first thing that is written is what the gateway before has left."""


def mortal(function: Callable[..., Any], when: str, times: int) -> Callable[..., Any]:
    """:return: the same, which ends the process."""
    left = times

    def come() -> None:
        nonlocal left
        left -= begun >= WARM
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def done(*args: Any, **named: Any) -> Any:
        if when == "before":
            come()
        found = function(*args, **named)
        if when == "after":
            come()
        return found

    return done


begun = 0


def counting(begin: Callable[..., None]) -> Callable[..., None]:
    """:return: the same, which counts."""

    def done(*args: Any) -> None:
        global begun
        begun += 1
        begin(*args)

    return done


def main() -> None:
    """Start one for each step, and say of each that it has died."""
    for number, (owner, name, when, times) in enumerate(STEPS.values()):
        pid = os.fork()
        if not pid:
            # Not longer than the parent, whatever that dies of.
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            Ledger.begin = counting(Ledger.begin)  # type: ignore[method-assign]
            setattr(owner, name, mortal(getattr(owner, name), when, times))
            run()
            os._exit(1)
        _, status = os.waitpid(pid, 0)
        print(f"gateway {number} has ended with {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
