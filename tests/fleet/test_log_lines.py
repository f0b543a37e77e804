"""One log for several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher, capturedLogs, formatEvent
from twisted.python.failure import Failure

from llm_gateway.fleet.log_lines import PipeObserver, log_again


@pytest.fixture
def pipe() -> Iterator[tuple[int, Logger]]:
    """The reading end of a pipe, and a logger that writes to the other."""
    reading, writing = os.pipe()
    yield reading, Logger("llm_gateway.somewhere", observer=LogPublisher(PipeObserver(writing)))
    os.close(reading)
    os.close(writing)


def told(lines: bytes) -> list[tuple[str, str, str]]:
    """What the supervisor logs for what its worker 2 wrote."""
    with capturedLogs() as events:
        for line in lines.splitlines():
            log_again(2, line)
    return [(event["log_level"].name, event["log_namespace"], formatEvent(event)) for event in events]


def test_warnings_and_worse_go_through_with_level_and_origin(pipe: tuple[int, Logger]) -> None:
    """What all workers do alike the supervisor logs once; what one of them complains of comes with its number."""
    reading, log = pipe
    log.debug("not this")
    log.info("nor this")
    log.warn("a {what}", what="warning with {braces}")
    log.error("two\nlines")
    assert told(os.read(reading, 10_000)) == [
        ("warn", "llm_gateway.somewhere", "Worker 2: a warning with {braces}"),
        ("error", "llm_gateway.somewhere", "Worker 2: two\nlines"),
    ]


def test_failure_goes_through_with_its_traceback(pipe: tuple[int, Logger]) -> None:
    """A fault in a worker is as visible as one in a single process."""
    reading, log = pipe
    try:
        raise ZeroDivisionError("canary")
    except ZeroDivisionError:
        log.failure("It broke", Failure())
    [(level, _, text)] = told(os.read(reading, 100_000))
    assert level == LogLevel.critical.name
    assert text.startswith("Worker 2: It broke\nTraceback")
    assert "ZeroDivisionError: canary" in text


@pytest.mark.parametrize("line", [b"Fatal Python error: \xff", b"{}", b'{"type":"log","level":"x"}'])
def test_anything_else_is_an_error_as_it_stands(line: bytes) -> None:
    """The interpreter's last words, or a library that prints."""
    shown = line.decode("utf-8", "backslashreplace")
    assert told(line) == [("error", "llm_gateway.fleet.member", f"Worker 2: {shown}")]


def test_worker_without_a_supervisor_logs_to_nobody() -> None:
    """A pipe without a reader does not take the worker down while it finishes its calls."""
    reading, writing = os.pipe()
    os.close(reading)
    Logger(observer=LogPublisher(PipeObserver(writing))).error("is anybody there?")
    os.close(writing)
