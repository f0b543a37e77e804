"""``llmgateway usage``: who used how much and what it cost, from the ledger's database, without a running gateway."""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from llm_gateway.cli.ledgers import add_ledger, existing_ledger, moment
from llm_gateway.core.record import printable
from llm_gateway.core.usage.values import INPUT, OUTPUT
from llm_gateway.ledger.queries import DIMENSIONS, LABEL, Line, UnknownDimension, dollars, usage
from llm_gateway.ledger.store import StoreError

__all__ = ["add_parser"]

_DESCRIPTION = """\
Add up what was used, and what it cost, from the ledger's database. Nothing is changed, and no gateway needs to run.
"""

_EPILOG = f"""\
Use is told apart by: {", ".join(DIMENSIONS[:6])},
  {", ".join(DIMENSIONS[6:12])},
  {", ".join(DIMENSIONS[12:])}, {LABEL}NAME.
Days, weeks and months are those of UTC. Dollars are exact.

environment:
  LEDGER  the ledger's database, where --ledger is not given

examples:
  llmgateway usage
  llmgateway usage --by day --since 14d --chart
  llmgateway usage --by model,provider --where key=alice --since 2026-11-01 --until 2026-12-01
  llmgateway usage --by label:app --format csv > use.csv

exit status: 0; 1 when the ledger cannot be read; 2 for wrong usage; 130 after Ctrl-C.
"""

_MEASURES = {
    "cost": lambda line: line.cost,
    "tokens": lambda line: line.input_tokens + line.output_tokens,
    "calls": lambda line: line.calls,
}
"""How long a bar of the chart is."""
_OTHERS = "(others)"
_MOST_GAPS = 1000
"""Days or hours without use that a chart shows. More of them would be a mistake in the times that were asked for."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand. Its ``func`` takes the parsed namespace and returns the exit status."""
    parser = subparsers.add_parser(
        "usage",
        help="add up who used how much",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_ledger(parser)
    parser.add_argument("--by", metavar="NAMES", default="key", help="what to tell use apart by (default: key)")
    parser.add_argument(
        "--since",
        metavar="TIME",
        default="30d",
        help="from then on: 7d, 36h, 2026-11-01 or 2026-11-01T12:00 in UTC, or all (default: 30d)",
    )
    parser.add_argument("--until", metavar="TIME", help="before then (default: now)")
    parser.add_argument(
        "--where", metavar="NAME=VALUE", action="append", default=[], help="only this; may be given several times"
    )
    parser.add_argument("--top", metavar="N", type=int, help="only the first N lines, and all others in one")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="(default: table)")
    parser.add_argument(
        "--chart",
        nargs="?",
        const="cost",
        choices=list(_MEASURES),
        help="draw bars, as long as this is: cost (default), tokens or calls",
    )
    parser.set_defaults(func=lambda options: _run(options, parser))


def _run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    by = [name.strip() for name in options.by.split(",") if name.strip()]
    now = datetime.now(UTC)
    since = None if options.since == "all" else moment(options.since, now, "--since", parser)
    until = None if options.until is None else moment(options.until, now, "--until", parser)
    if options.top is not None and options.top < 1:
        parser.error("--top takes a number of at least 1")
    if options.chart and options.format != "table":
        parser.error("--chart is for people, and --format csv or json for programs")
    where = _chosen(options.where, parser)
    store = existing_ledger(options, "usage", parser)
    try:
        lines = usage(store, by, since, until, where)
    except UnknownDimension as error:
        parser.error(f"use is not told apart by {error}; there are {', '.join(DIMENSIONS)} and {LABEL}NAME")
    except StoreError as error:
        print(f"llmgateway usage: {error}", file=sys.stderr)
        return 1
    finally:
        store.close()
    total = Line(by=("total",))
    for line in lines:
        total.add(line)
    lines = _top(lines, options.top, len(by))
    if options.format == "json":
        print(_as_json(by, lines, total, since, until))
    elif options.format == "csv":
        sys.stdout.write(_as_csv(by, lines))
    elif not lines:
        print("Nothing was used.")
    elif options.chart:
        sys.stdout.writelines(_chart(by, lines, options.chart))
    else:
        sys.stdout.writelines(_table(by, lines, total))
    return 0


# What is asked for


def _chosen(pairs: Sequence[str], parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    chosen: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"--where takes NAME=VALUE, such as key=alice, not {pair!r}")
        # "-" is how none is shown.
        chosen.setdefault(name, []).append("" if value == "-" else value)
    return chosen


def _top(lines: list[Line], most: int | None, width: int) -> list[Line]:
    if most is None or len(lines) <= most:
        return lines
    others = Line(by=(_OTHERS, *[""] * (width - 1)))
    for line in lines[most:]:
        others.add(line)
    return [*lines[:most], others]


# How it is shown

_Rows = Sequence[Sequence[str]]


def _table(by: Sequence[str], lines: Sequence[Line], total: Line) -> Iterator[str]:
    rows = [[*map(str.upper, by), "CALLS", "ATTEMPTS", "ERRORS", "INPUT", "CACHED", "OUTPUT", "DOLLARS"]]
    rows += [[*map(_name, line.by), *_numbers(line)] for line in lines]
    if by and len(lines) > 1:
        rows.append(["total", *[""] * (len(by) - 1), *_numbers(total)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:{width}}" if number < len(by) else f"{cell:>{width}}"
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip() + "\n"
    if total.unpriced:
        yield f"\nWithout a price, and not in the dollars: {_count(total.unpriced, 'attempt')}.\n"
    if total.estimated:
        yield f"\nEstimated, at least in part: the tokens of {_count(total.estimated, 'attempt')}.\n"


def _numbers(line: Line) -> Iterator[str]:
    cached = line.cached + line.cached_audio
    for number in (line.calls, line.attempts, line.errors, line.input_tokens, cached, line.output_tokens):
        yield f"{number:,}"
    yield _money(line.cost)


def _money(nano: int) -> str:
    """:return: with as many digits as are of use to a person."""
    return dollars(nano, 4 if nano >= 1_000_000_000 else 6)


def _name(text: str) -> str:
    # Models and labels are what callers have made them.
    return printable(text, 80) or "-"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _chart(by: Sequence[str], lines: Sequence[Line], measure: str) -> Iterator[str]:
    if list(by) in (["day"], ["hour"]) and lines[-1].by[0] != _OTHERS:
        lines = list(_without_gaps(lines, by[0]))
    sizes = [_MEASURES[measure](line) for line in lines]
    names = ["  ".join(map(_name, line.by)) or "all" for line in lines]
    values = [_money(size) if measure == "cost" else f"{size:,}" for size in sizes]
    left, right = max(map(len, names)), max(map(len, values))
    room = max(10, shutil.get_terminal_size().columns - left - right - 4)
    largest = max(1, *sizes)
    for name, size, value in zip(names, sizes, values, strict=True):
        yield f"{name:{left}}  {_bar(size * room * 8 // largest):{room}}  {value:>{right}}".rstrip() + "\n"


def _bar(eighths: int) -> str:
    if "utf" not in (sys.stdout.encoding or "").lower():
        return "#" * (eighths // 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _without_gaps(lines: Sequence[Line], name: str) -> Iterator[Line]:
    """Days without use, too: how high one is says little without how many there are."""
    step, form = (timedelta(days=1), "%Y-%m-%d") if name == "day" else (timedelta(hours=1), "%Y-%m-%dT%H:00Z")
    there = {line.by[0]: line for line in lines}
    when = datetime.strptime(lines[0].by[0], form)
    for _ in range(_MOST_GAPS + len(lines)):
        text = when.strftime(form)
        yield there.pop(text, Line(by=(text,)))
        if not there:
            return
        when += step
    yield from there.values()


_TOKENS = (*INPUT, *OUTPUT)
_COLUMNS = ("calls", "attempts", "errors", "estimated", "unpriced", "input_tokens", "output_tokens", *_TOKENS)


def _as_csv(by: Sequence[str], lines: Sequence[Line]) -> str:
    out = io.StringIO()
    # Token classes have the ledger's names, and the sum of all that was read is not the class "input".
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*by, *_COLUMNS, "dollars", "duration_s", "first_token_s"])
    for line in lines:
        told = _told(line)
        writer.writerow(
            [*map(_harmless, line.by), *(told[name] for name in (*_COLUMNS, "dollars", "duration_s", "first_token_s"))]
        )
    return out.getvalue()


def _harmless(value: str) -> str:
    """
    :return: a name that callers may have chosen, so that no spreadsheet takes it for a formula, and no terminal obeys.
    """
    value = printable(value, len(value))
    return "'" + value if value.startswith(("=", "+", "-", "@")) else value


def _as_json(by: Sequence[str], lines: Sequence[Line], total: Line, since: float | None, until: float | None) -> str:
    told = {
        "since": None if since is None else _time(since),
        "until": _time(time.time() if until is None else until),
        "lines": [{"by": dict(zip(by, line.by, strict=True)), **_told(line)} for line in lines],
        "total": _told(total),
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()


def _told(line: Line) -> dict[str, Any]:
    """:return: all numbers of a line; dollars as text, so that none of their digits is lost in a float."""
    counts = {name: getattr(line, name) for name in _COLUMNS}
    first = line.first_token_us / line.first_tokens / 1e6 if line.first_tokens else None
    mean = line.duration_us / line.attempts / 1e6 if line.attempts else None
    return {
        **counts,
        "dollars": dollars(line.cost),
        "duration_s": None if mean is None else round(mean, 3),
        "first_token_s": None if first is None else round(first, 3),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
