"""``llmgateway check``: are both files right, and where does each virtual key lead? Without a network."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from llm_gateway.config.load import Reading, choose_files, read_configuration
from llm_gateway.config.values import Configuration

_DESCRIPTION = """\
Read keys.json and aiservices.json as the gateway would, without a network, and print which provider each virtual key
reaches. Keys themselves are never printed. Ends with 0 when nothing is wrong and with 1 otherwise; what is only a
warning when the gateway starts, such as a key whose provider is not configured, is an error here.
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
        out.writelines(_table(reading.configuration))
    faults = [*reading.problems, *reading.configuration.warnings]
    if faults:
        print(file=out)
    for fault in faults:
        print(f"error: {fault}", file=out)
    print(f"\n{_summary(reading, len(faults))}", file=out)
    return 1 if faults else 0


def _table(configuration: Configuration) -> Iterable[str]:
    """:return: lines, one for each virtual key under a heading, in the order of the file."""
    rows = [("KEY", "PROVIDER", "DIALECT", "URL")]
    for key in configuration.keys.values():
        provider = configuration.providers.get(key.provider)
        reached = (provider.dialect, provider.url) if provider else ("-", "not usable")
        rows.append((key.label, key.provider, *reached))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for label, name, dialect, url in rows:
        yield f"{label:{widths[0]}}  {name:{widths[1]}}  {dialect:{widths[2]}}  {url}\n"


def _summary(reading: Reading, faults: int) -> str:
    keys, providers = len(reading.configuration.keys), len(reading.configuration.providers)
    found = f"{_count(keys, 'virtual key')}, {_count(providers, 'provider')}"
    return f"{_count(faults, 'error')}; right so far: {found}" if faults else f"All is well: {found}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
