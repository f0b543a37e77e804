"""The options of ``python -m benchmarks``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.gateways import ACCOUNTING, NGINX, Gateway, peer
from benchmarks.measure import PARTS, Plan

PROFILE = "profile"
EVERYTHING = (*PARTS, PROFILE)
WIRES = {"llmgateway": "llhttp", "twisted": "twisted"}
"""The gateways that can be profiled, and what ``--wire`` calls their HTTP."""
_DEFAULTS = Plan()


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the CPU time of calls and of streamed chunks: of this gateway, of the same where calls "
        "are limited and written down (accounting), of the same on Twisted's own HTTP (twisted), and of nginx, before "
        "and after. docs/performance.md explains the figures.",
    )
    add = parser.add_argument
    add("part", nargs="*", type=_part, help=f"what to measure: {', '.join(EVERYTHING)}; everything if none is named")
    add(
        "--only",
        default=",".join((NGINX, "llmgateway", ACCOUNTING, "twisted")),
        metavar="NAMES",
        help="these gateways, with commas between",
    )
    add(
        "--gateway",
        action="append",
        default=[],
        type=_peer,
        metavar="NAME=COMMAND",
        help="one more gateway; {port}, {provider_port} and {folder} are replaced in its command",
    )
    add("--seconds", type=_positive(int), default=_DEFAULTS.seconds, help="of each measurement")
    add(
        "--connections",
        type=_positive(int),
        default=_DEFAULTS.connections,
        help="at once, for calls and for streams without a pause",
    )
    add("--streams", type=_positive(int), default=_DEFAULTS.streams, help="at once, paced")
    add("--gap-ms", type=_positive(float), default=_DEFAULTS.gap_ms, help="between two chunks of a paced stream")
    add("--cores", type=_cores, default=_DEFAULTS.cores, metavar="A,B", help="the gateway's, and everything else's")
    add(
        "--attempts",
        type=_positive(int),
        default=_DEFAULTS.attempts,
        help="measure again, up to so many times in all, when something else used the gateway's core",
    )
    add("--json", type=Path, metavar="FILE", help="write all that was measured there")
    add("--stacks", type=Path, metavar="FILE", help="write the profile's stacks there, to draw a flame graph from")
    add("--write", type=Path, metavar="PAGE", help="put the tables into this page, between its marks")
    return parser


def plan_of(options: argparse.Namespace) -> Plan:
    return Plan(
        seconds=options.seconds,
        connections=options.connections,
        streams=options.streams,
        gap_ms=options.gap_ms,
        cores=options.cores,
        attempts=options.attempts,
    )


def _part(text: str) -> str:
    if text not in EVERYTHING:
        raise argparse.ArgumentTypeError(f"there are {', '.join(EVERYTHING)}, not {text!r}")
    return text


def _peer(text: str) -> Gateway:
    try:
        return peer(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _cores(text: str) -> tuple[int, int]:
    first, _, second = text.partition(",")
    if not (first.isdecimal() and second.isdecimal() and int(first) != int(second)):
        raise argparse.ArgumentTypeError(f"must be two different numbers with a comma between, not {text!r}")
    return int(first), int(second)


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if not 0 < value < 1e6:
            raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
        return value

    # What argparse calls it when the text is no number.
    read.__name__ = kind.__name__
    return read
