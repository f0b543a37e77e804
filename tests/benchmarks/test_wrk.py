"""Reading what wrk prints."""

from __future__ import annotations

import pytest

from benchmarks.gateways import template
from benchmarks.machine import CannotMeasure
from benchmarks.wrk import WrkFigures, read_wrk

PRINTED = """Running 3s test @ http://127.0.0.1:40123/v1/chat/completions
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.86ms  135.91us   4.41ms   89.50%
    Req/Sec    74.40k     2.71k   77.29k    86.67%
  222120 requests in 3.01s, 283.45MB read
Requests/sec:  73894.17
Transfer/sec:     94.30MB
calls=222120 failed=7 microseconds=3005920 p50=843 p99=1310
"""


def test_figures_are_those_of_the_script_s_line() -> None:
    assert read_wrk(PRINTED) == WrkFigures(222120, 7, 3.00592, 0.843, 1.31)


def test_output_without_that_line_is_shown() -> None:
    with pytest.raises(CannotMeasure, match="unable to connect"):
        read_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_script_prints_what_is_read() -> None:
    line = next(line for line in template("post.lua").read_text().splitlines() if "calls=%d" in line)
    names = [word.partition("=")[0] for word in line.partition('"')[2].split()]
    assert names == [word.partition("=")[0] for word in PRINTED.splitlines()[-1].split()]
