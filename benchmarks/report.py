"""From what was measured to tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import mean

import attrs

from benchmarks.gateways import NGINX
from benchmarks.load import Spread
from benchmarks.measure import (
    CALLS,
    DIRECT,
    IMAGE_BYTES,
    IMAGES,
    LOADS,
    NOISY_PERCENT,
    PACED,
    SATURATED,
    TRANSLATED,
    TRANSLATED_EVENTS,
    Plan,
    Record,
)
from benchmarks.rooms import Profile

DISTURBED = "(!)"
"""Marks a measurement during which the gateway did not have its core to itself."""
_LEAST_PERCENT = 0.5
"""Rooms with less of the time are not shown, unless every call goes through them."""

Column = tuple[str, Callable[[Record], str]]


def tables(records: Sequence[Record], plan: Plan) -> str:
    """
    :return: a section for each part that was measured.
    """
    parts = (
        (CALLS, "Calls", f"{plan.connections} connections", _call_columns),
        (SATURATED, "Streams without a pause", f"{plan.connections} streams", _saturated_columns),
        (PACED, "Paced streams", f"{plan.streams} streams, {plan.gap_ms:g} ms between chunks", _paced_columns),
        (IMAGES, "Calls with an image", f"{IMAGE_BYTES / 1e6:g} MB of base64 in each, one at a time", _image_columns),
    )
    sections = []
    for part, title, load, columns in parts:
        there = [record for record in records if record.part == part]
        if there:
            table = _table(columns(_Compared(there), plan), there)
            sections.append(f"### {title}\n\n{load}, {plan.seconds} s.\n\n{table}")
    across = [record for record in records if record.part == TRANSLATED]
    if across:
        sections.append(_translated_section(across, plan))
    if not all(record.quiet for record in records if record.gateway != DIRECT):
        sections.append(f"{DISTURBED} Something else used more than {NOISY_PERCENT:g} % of the gateway's core.\n")
    return "\n".join(sections)


def profile_tables(profiles: Iterable[Profile]) -> str:
    """
    :return: a section for each.
    """
    return "\n".join(_profile_section(each) for each in profiles)


def faults(records: Iterable[Record]) -> list[str]:
    """
    :return: a line for each measurement with wrong answers.
    """
    return [
        f"{each.part}, {each.title}: {each.faults} wrong answers. {'; '.join(each.examples)}".rstrip()
        for each in records
        if each.faults
    ]


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures."""
    lines = [titles, ["---", *["--:"] * (len(titles) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


class _Compared:
    """The records of one part of one run, and what they are compared with."""

    def __init__(self, records: Sequence[Record]) -> None:
        nginx = [each.cpu_us for each in records if each.gateway == NGINX and each.units]
        self._floor_us = mean(nginx) if nginx else math.nan
        self._direct = next((each for each in records if each.gateway == DIRECT), None)

    def against_nginx(self, record: Record) -> str:
        """CPU per unit as a multiple of nginx's, of which there are two measurements."""
        return _number(record.cpu_us / self._floor_us, 2)

    def added(self, times: Callable[[Record], Spread]) -> Callable[[Record], str]:
        """What a gateway adds: differences of percentiles, which can come out a little below zero."""

        def column(record: Record) -> str:
            if self._direct is None:
                return "-"
            there, without = times(record), times(self._direct)
            return f"{there.p50 - without.p50:.2f} / {there.p99 - without.p99:.2f} ms"

        return column


def _call_columns(compared: _Compared, _plan: Plan) -> list[Column]:
    return [
        *_cpu_columns("call", compared),
        ("calls/s", _rate),
        ("one connection adds, p50 / p99", compared.added(lambda record: record.latency_ms)),
        ("first answer after", lambda record: f"{record.start_s:.2f} s"),
        ("idle memory", lambda record: f"{record.idle_bytes / 1e6:.0f} MB"),
        *_last_columns(),
    ]


def _saturated_columns(compared: _Compared, _plan: Plan) -> list[Column]:
    return [*_cpu_columns("chunk", compared), ("chunks/s", _rate), *_last_columns()]


def _paced_columns(compared: _Compared, plan: Plan) -> list[Column]:
    def memory(record: Record) -> str:
        return f"{_grown(record) / plan.streams / 1e3:.0f} KB"

    return [
        *_cpu_columns("chunk", compared),
        ("adds to a chunk, p50 / p99", compared.added(lambda record: record.latency_ms)),
        ("to the first, p50 / p99", compared.added(lambda record: record.first_byte_ms)),
        ("memory per stream", memory),
        *_last_columns(),
    ]


def _image_columns(compared: _Compared, _plan: Plan) -> list[Column]:
    return [
        *_cpu_columns("call", compared),
        ("calls/s", _rate),
        ("memory at the most, x the image", lambda record: _number(_grown(record) / IMAGE_BYTES, 2)),
        *_last_columns(),
    ]


def _grown(record: Record) -> int:
    """Bytes that came on top of what the gateway has when it is idle."""
    return max(0, record.usage.peak_bytes - record.idle_bytes)


def _translated_section(records: Sequence[Record], plan: Plan) -> str:
    """One row for each pair of dialects, and for each load what it costs without translation and with it."""
    titles = ["provider", "caller"]
    titles += [f"{load}: {figure}" for load in LOADS for figure in ("untouched", "translated", "adds", "x")]
    titles += ["wrong", "others used, at most"]
    rows = []
    for provider, caller in dict.fromkeys((each.case.provider, each.case.caller) for each in records):
        if provider != caller:
            rows.append(_translated_row(provider, caller, records))
    load = (
        f"{plan.connections} streams of {TRANSLATED_EVENTS} events without a pause, then {plan.streams} with "
        f"{plan.gap_ms:g} ms between chunks; "
        "CPU per chunk in µs, untouched before and after the translated ones."
    )
    return f"### Translated streams\n\n{load}\n\n{markdown_table(titles, rows)}"


def _translated_row(provider: str, caller: str, records: Sequence[Record]) -> list[str]:
    row = [provider, caller]
    seen: list[Record] = []
    for load in LOADS:
        here = [each for each in records if (each.case.provider, each.case.load) == (provider, load)]
        untouched = [each for each in here if each.case.caller == provider]
        across = [each for each in here if each.case.caller == caller]
        before, after = (mean(each.cpu_us for each in some) if some else math.nan for some in (untouched, across))
        both = " / ".join(_number(each.cpu_us, 1) for each in untouched)
        row += [both, _number(after, 1), _number(after - before, 1), _number(after / before, 2)]
        seen += [*untouched, *across]
    others = max(each.usage.others_percent[0] for each in seen)
    return [*row, str(sum(each.faults for each in seen)), f"{others:.0f} %"]


def _cpu_columns(unit: str, compared: _Compared) -> list[Column]:
    return [
        ("gateway", lambda record: record.title if record.quiet else f"{record.title} {DISTURBED}"),
        (f"CPU per {unit}, x nginx", compared.against_nginx),
        ("in µs", lambda record: _number(record.cpu_us, 1)),
        ("kernel's part", lambda record: _percent(record.usage.cpu.system_s, record.usage.cpu.total_s)),
        ("core used", lambda record: _percent(record.usage.cpu.total_s, record.usage.seconds)),
    ]


def _last_columns() -> list[Column]:
    return [
        ("wrong", lambda record: str(record.faults)),
        ("others used", lambda record: " / ".join(f"{each:.0f} %" for each in record.usage.others_percent)),
    ]


def _table(columns: Sequence[Column], records: Iterable[Record]) -> str:
    rows = [[value(record) for _, value in columns] for record in records if record.gateway != DIRECT]
    return markdown_table([title for title, _ in columns], rows)


def _profile_section(profile: Profile) -> str:
    titles = ["room or library", "time", "in µs", "instructions", "Python functions", "C functions"]
    rows = []
    for room in profile.rooms:
        if room.time_percent >= _LEAST_PERCENT or room.instructions >= 1:
            time_us = profile.cpu_us * room.time_percent / 100
            figures = (time_us, room.instructions, room.functions, room.c_functions)
            rows.append([room.name, f"{room.time_percent:.0f} %", *(_number(each, 0) for each in figures)])
    sums = [sum(each) for each in zip(*(attrs.astuple(room)[1:] for room in profile.rooms), strict=True)]
    rows.append(["all", "100 %", *(_number(each, 0) for each in (profile.cpu_us, *sums[1:]))])
    return (
        f"### Where the time of a call goes, `--wire {profile.wire}`\n\n"
        f"{profile.connections} connections, {profile.samples:,} samples, {profile.calls:,} calls counted; "
        f"the kernel's part is {profile.kernel_percent:.0f} %.\n\n{markdown_table(titles, rows)}"
    )


def _rate(record: Record) -> str:
    return _number(record.units / record.usage.seconds, 0)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"
