"""``python -m llm_gateway.fleet.worker NUMBER``: the program of a worker, which only a supervising gateway starts."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """
    :return: the exit status: 0 after an end that was asked for, 1 after a failure, which the log tells.
    """
    # First of all: a signal that everybody in a terminal or a control group gets is meant for the supervisor, and that
    # one passes on what it means for its workers.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)

    from llm_gateway.fleet.member import run

    return run(int(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
