"""``make fuzz``: look for inputs that break a promise, other ones each time, for as long as is wanted."""

from __future__ import annotations

import argparse
import functools
import importlib
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import Phase, is_hypothesis_test, settings

MODULES = (
    "tests.fuzz.test_files",
    "tests.fuzz.test_wire",
    "tests.fuzz.test_gateway",
    "tests.wire.test_server_against_twisted",
    "tests.wire.test_client_against_twisted",
)
AT_ONCE = 500
"""Inputs for one test before it is the next one's turn: some seconds."""

MAX_BYTES = 4 * 1024**3
"""Of address space: an input that fills the memory is to end a test and not the machine."""


def main(arguments: Sequence[str]) -> int:
    """
    :return: the exit status: 1 if a promise was broken.
    """
    # Tests take the profile that there is when they are made: they are imported behind it.
    # What they tell is enough; to find out what all that fail have in common would take minutes more.
    phases = set(Phase) - {Phase.explain}
    settings.register_profile("fuzz", max_examples=AT_ONCE, deadline=None, print_blob=True, phases=phases)
    settings.load_profile("fuzz")
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("test", nargs="*", help="by its name without test_; all of them unless named")
    parser.add_argument("--seconds", type=float, default=60, help="for how long to look (60)")
    options = parser.parse_args(arguments)
    tests: dict[str, Any] = {}
    for module in MODULES:
        if not options.test or not tests.keys() >= set(options.test):
            tests |= found(module)
    unknown = sorted(set(options.test) - tests.keys())
    if unknown:
        parser.error(f"no test is named {' or '.join(unknown)}; there are {', '.join(tests)}.")
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    warnings.simplefilter("error")
    return look({name: tests[name] for name in options.test or tests}, options.seconds)


def found(module: str) -> dict[str, Any]:
    """
    :return: its tests of made-up inputs, by their names.
    """
    everything = vars(importlib.import_module(module)).items()
    return {name.removeprefix("test_"): test for name, test in everything if is_hypothesis_test(test)}


def look(tests: Mapping[str, Any], seconds: float, clock: Callable[[], float] = time.monotonic) -> int:
    """
    Try the tests in turn, again and again; one that has failed is done.

    :return: the exit status.
    """
    tried = dict.fromkeys(tests, 0)
    broken: set[str] = set()

    def counted(name: str, check: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(check)
        def count(*args: Any, **inputs: Any) -> None:
            tried[name] += 1
            check(*args, **inputs)

        return count

    for name, test in tests.items():
        test.hypothesis.inner_test = counted(name, test.hypothesis.inner_test)
    end = clock() + seconds
    try:
        while len(broken) < len(tests) and clock() < end:
            for name, test in tests.items():
                if name not in broken and clock() < end:
                    try:
                        test()
                    except Exception as error:
                        broken.add(name)
                        tell(name, error)
    except KeyboardInterrupt:
        print("stopped")
    for name, count in tried.items():
        print(f"{name:60} {count:9,} inputs, {'BROKEN' if name in broken else 'held'}")
    return 1 if broken else 0


def tell(name: str, error: Exception) -> None:
    """Print what is broken, by what, and how to have it again."""
    traceback.print_exception(error, limit=-8, file=sys.stdout)
    print(
        f"test_{name} is broken by the arguments above. As @example(...) over the test they are tried in every run.\n"
        f'They are kept in .hypothesis/ too: make fuzz ARGS="{name}" begins with them.\n',
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
