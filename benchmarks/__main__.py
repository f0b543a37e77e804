"""The command: ``python -m benchmarks`` measures, prints tables in Markdown, and can put them into a page."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks.gateways import ACCOUNTING, NGINX, Gateway, known_gateways
from benchmarks.machine import CannotMeasure, description, find_tools
from benchmarks.measure import CALLS, IMAGE_CASES, IMAGES, SATURATED, TRANSLATED, Bench, Plan, Record
from benchmarks.options import EVERYTHING, PROFILE, WIRES, make_parser, plan_of
from benchmarks.pages import around, write_into
from benchmarks.programs import version_of
from benchmarks.report import faults, profile_tables, tables
from benchmarks.rooms import Profile
from llm_gateway import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """
    :return: the exit status: 1 if something was missing or did not run, or if an answer was wrong.
    """
    parser = make_parser()
    options = parser.parse_args(arguments)
    parts = options.part or EVERYTHING
    if options.write is not None and set(parts) != set(EVERYTHING):
        parser.error("--write replaces all figures of a page: name no part")
    try:
        if options.write is not None:
            # Now rather than after minutes.
            around(options.write)
        return _run(options, parts)
    except CannotMeasure as error:
        return _failed(error)


def _run(options: argparse.Namespace, parts: Collection[str]) -> int:
    plan = plan_of(options)
    names = [name for name in options.only.split(",") if name]
    tools = find_tools(_needed(parts, names))
    order = _order(names, known_gateways(tools.get("nginx", "")), options.gateway)
    missing = set(plan.cores) - os.sched_getaffinity(0)
    if missing:
        raise CannotMeasure(f"core {min(missing)} is not there, or not for this program; --cores names other ones")
    # Out of the gateway's way.
    os.sched_setaffinity(0, {plan.cores[1]})
    if options.stacks is not None:
        options.stacks.unlink(missing_ok=True)
    findings = Findings(plan)
    status = 0
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        try:
            findings.gather(Bench(plan, tools, Path(folder)), parts, order, names, options.stacks)
        except CannotMeasure as error:
            # What was found until now is shown all the same.
            status = _failed(error)
    wrong = faults(findings.records)
    text = f"{_heading(tools)}\n{findings.text()}"
    print(text, *wrong, sep="\n")
    if options.json is not None:
        options.json.write_text(json.dumps(findings, default=attrs.asdict, indent=1) + "\n")
    if options.write is not None and not (status or wrong):
        write_into(options.write, text)
    return 1 if wrong else status


@attrs.define
class Findings:
    """What has been measured until now."""

    plan: Plan
    records: list[Record] = attrs.field(factory=list)
    profiles: list[Profile] = attrs.field(factory=list)

    def gather(
        self,
        bench: Bench,
        parts: Collection[str],
        order: Sequence[Gateway],
        names: Collection[str],
        stacks: Path | None,
    ) -> None:
        """
        :param names: those that may be profiled are.
        :raises CannotMeasure: something did not run.
        """
        for part in parts:
            if part == PROFILE:
                for name in WIRES:
                    if name in names:
                        _tell(f"{part}, {name}")
                        self.profiles.append(bench.profile(WIRES[name], stacks))
            elif part == TRANSLATED:
                for gateway in [each for each in order if each.name in WIRES][:1]:
                    for record in bench.translated(gateway):
                        self._take(record)
            elif part == IMAGES:
                for gateway in [each for each in order if each.name != ACCOUNTING]:
                    for case in IMAGE_CASES if gateway.name in WIRES else [None]:
                        self._take(bench.measure(part, gateway, case))
            else:
                # How long things take without a gateway is asked where times are compared.
                for each in order if part == SATURATED else [None, *order]:
                    self._take(bench.measure(part, each))

    def _take(self, record: Record) -> None:
        self.records.append(record)
        _tell(f"{record.part}, {record.title}: {record.cpu_us:.1f} µs")

    def text(self) -> str:
        """The tables."""
        return "\n".join(filter(None, [tables(self.records, self.plan), profile_tables(self.profiles)]))


def _order(names: Sequence[str], known: Mapping[str, Gateway], peers: Sequence[Gateway]) -> list[Gateway]:
    """
    :return: the gateways as they are measured: nginx first and last.
    :raises CannotMeasure: a name is not known.
    """
    for name in names:
        if name not in known:
            raise CannotMeasure(f"--only {name}: there are {', '.join(known)}")
    others = [*(known[name] for name in names if name != NGINX), *peers]
    if NGINX not in names:
        return others
    return [known[NGINX], *others, known[NGINX]] if others else [known[NGINX]]


def _needed(parts: Collection[str], names: Collection[str]) -> list[str]:
    """The programs without which this cannot be measured."""
    proxies = NGINX in names and not {PROFILE, TRANSLATED}.issuperset(parts)
    needed = {"taskset": True, "wrk": CALLS in parts, "nginx": CALLS in parts or proxies}
    return [name for name in needed if needed[name]]


def _heading(tools: Mapping[str, str]) -> str:
    """What was measured on what."""
    nginx = [version_of(tools["nginx"])] if "nginx" in tools else []
    return f"{', '.join([description(), f'llm-gateway {__version__}', *nginx])}.\n"


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _failed(error: CannotMeasure) -> int:
    print(f"benchmarks: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
