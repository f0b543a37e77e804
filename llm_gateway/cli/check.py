"""``llmgateway check``: are both files right, and where does each virtual key lead? Without a network."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from llm_gateway.config.load import Reading, choose_files, read_configuration
from llm_gateway.config.values import MADE_UP, Configuration

_DESCRIPTION = """\
Read keys.json and aiservices.json as the gateway would, without a network, and print which providers each virtual key
reaches, with which credentials, and what names for models stand for. Keys themselves are never printed. Ends with 0
when nothing is wrong and with 1 otherwise; what is only a warning when the gateway starts, such as a key whose provider
is not configured, is an error here.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand. Its ``func`` takes the parsed namespace and returns the exit status."""
    parser = subparsers.add_parser("check", help="validate both files offline", description=_DESCRIPTION)
    _add_arguments(parser)
    parser.set_defaults(func=_run_parsed)


def run(arguments: Sequence[str], environ: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> int:
    """
    Run the subcommand on its own.

    :param arguments: what follows ``llmgateway check``.
    :param stderr: where a wrong option is complained about.
    :return: the exit status: 0 when nothing is wrong with the files, 1 when something is, 2 for a wrong option.
    """
    parser = argparse.ArgumentParser("llmgateway check", description=_DESCRIPTION)
    _add_arguments(parser)
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            options = parser.parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return _check(options, environ, stdout)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keys", metavar="FILE", help="the virtual keys (default: $KEYS_FILE, else keys.json in this folder)"
    )
    parser.add_argument(
        "--aiservices",
        metavar="FILE",
        help="the providers (default: $AISERVICES_FILE, else aiservices.json in this folder, else the built-in one)",
    )


def _run_parsed(options: argparse.Namespace) -> int:
    return _check(options, os.environ, sys.stdout)


def _check(options: argparse.Namespace, environ: Mapping[str, str], out: TextIO) -> int:
    keys_file, aiservices_file = choose_files(options.keys, options.aiservices, environ)
    reading = read_configuration(keys_file, aiservices_file, environ)
    print(f"keys:       {keys_file}", file=out)
    print(f"aiservices: {aiservices_file or 'built in'}", file=out)
    if reading.configuration.keys:
        print(file=out)
        out.writelines(_table(_keys(reading.configuration)))
    if reading.configuration.routing.models:
        print(file=out)
        out.writelines(_table(_models(reading.configuration)))
    faults = [*reading.problems, *reading.configuration.warnings]
    if faults:
        print(file=out)
    for fault in faults:
        print(f"error: {fault}", file=out)
    print(f"\n{_summary(reading, len(faults))}", file=out)
    return 1 if faults else 0


_Rows = Sequence[Sequence[str]]


def _table(rows: _Rows) -> Iterable[str]:
    """:return: lines with the columns below one another, the first one being the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _keys(configuration: Configuration) -> _Rows:
    """:return: a row for each credential of each virtual key, in the order of the file."""
    named = any(not use.name.startswith(MADE_UP) for key in configuration.keys.values() for use in key.credentials)
    heading = ["KEY", "CREDENTIAL", "ORDER", "WEIGHT", "PROVIDER", "DIALECT", "URL"]
    rows = [heading]
    for key in configuration.keys.values():
        for number, use in enumerate(key.credentials):
            provider = configuration.providers.get(use.provider)
            reached = (provider.dialect, provider.url) if provider else ("-", "not usable")
            label = "" if number else key.label
            rows.append([label, use.name, str(use.order), f"{use.weight:g}", use.provider, *reached])
    # With one real key for each virtual one, as in the plain form, there is nothing to tell apart.
    return rows if named else [[row[0], *row[4:]] for row in rows]


def _models(configuration: Configuration) -> _Rows:
    """:return: a row for each name of which something is said, in the order of the file."""
    rows = [["MODEL", "STANDS FOR", "FALLS BACK TO"]]
    for name, model in configuration.routing.models.items():
        targets = ", ".join(f"{target.provider}/{target.model}" for target in model.targets)
        fallbacks = ", ".join(dict.fromkeys(fallback.to for fallback in model.fallbacks))
        rows.append([name, targets or "itself", fallbacks or "-"])
    return rows


def _summary(reading: Reading, faults: int) -> str:
    keys, providers = len(reading.configuration.keys), len(reading.configuration.providers)
    found = f"{_count(keys, 'virtual key')}, {_count(providers, 'provider')}"
    return f"{_count(faults, 'error')}; right so far: {found}" if faults else f"All is well: {found}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
