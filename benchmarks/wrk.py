"""Calls without a stream, sent by wrk."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from benchmarks.gateways import template
from benchmarks.machine import CannotMeasure
from benchmarks.programs import output_of
from benchmarks.shapes import PATH, call_body

_PRINTED = re.compile(r"^calls=(\d+) failed=(\d+) microseconds=(\d+) p50=(\d+) p99=(\d+)$", re.MULTILINE)


@attrs.frozen
class WrkFigures:
    """What wrk found."""

    calls: int
    """All that were answered, those with an error status too."""
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float


def run_wrk(wrk: str, port: int, key: str, connections: int, seconds: int, core: int, folder: Path) -> WrkFigures:
    """
    :param connections: each sends the next call when it has the answer to the last.
    :param folder: gets the body of the call.
    :raises CannotMeasure: wrk failed.
    """
    body = folder / "call.json"
    body.write_bytes(call_body(stream=False))
    command = [wrk, "--threads", "1", "--connections", connections, "--duration", f"{seconds}s", "--timeout", "20s"]
    command += ["--header", f"Authorization: Bearer {key}", "--header", "Content-Type: application/json"]
    command += ["--script", template("post.lua"), f"http://127.0.0.1:{port}{PATH}", "--", body]
    return read_wrk(output_of([str(word) for word in command], core, seconds + 30))


def read_wrk(output: str) -> WrkFigures:
    """
    :param output: what wrk and its script have printed.
    :raises CannotMeasure: the script's line is not in it.
    """
    found = _PRINTED.search(output)
    if found is None:
        raise CannotMeasure(f"wrk printed no figures:\n{output[-2000:]}")
    calls, failed, microseconds, p50, p99 = map(int, found.groups())
    return WrkFigures(calls, failed, microseconds / 1e6, p50 / 1000, p99 / 1000)
