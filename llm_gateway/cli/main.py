"""The ``llmgateway`` command: what goes around a running gateway. The gateway itself is ``twistd -n llmgateway``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from llm_gateway import __version__
from llm_gateway.cli import chat, check, explain, keys, prices, usage
from llm_gateway.config.problems import nearest

__all__ = ["main"]

_EPILOG = """\
The gateway itself runs as a twistd service:

  twistd -n llmgateway --demo     try it: no key and no network needed
  twistd -n llmgateway            with keys.json and aiservices.json in this folder
  twistd llmgateway --help        all options

`llmgateway COMMAND -h` explains a command.
"""

# What a shell reports for a program that SIGINT ended.
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """
    :param argv: the arguments without the program's name; those of the process where None.
    :return: the exit status: 0, 1 when the command failed, 130 after Ctrl-C. Wrong usage leaves by ``SystemExit(2)``.
    """
    parser = argparse.ArgumentParser(
        prog="llmgateway",
        description="Talk to a running LLM gateway, check its files, and explain where calls go.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"llmgateway {__version__}")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in (chat, check, explain, keys, prices, usage):
        command.add_parser(subparsers)
    options, rest = parser.parse_known_args(argv)
    if rest:
        _refuse(rest, subparsers.choices[options.command])
    run: Callable[[argparse.Namespace], int] = options.func
    try:
        return run(options)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, such as head, has had enough. What is still buffered must not complain when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _refuse(rest: Sequence[str], parser: argparse.ArgumentParser) -> NoReturn:
    """
    Complain about what no option takes. Only names of options are shown: the rest may be a key behind a misspelt one.

    :raises SystemExit: always.
    """
    names = [each.partition("=")[0] for each in rest if each.startswith("-")]
    if not names:
        parser.error("there are more arguments than it takes")
    known = re.findall(r"(?<!\S)\[?--([a-z-]+)", parser.format_usage())
    near = nearest(names[0].lstrip("-"), known)
    parser.error(f"there is no option {names[0]}" + (f"; did you mean --{near}?" if near else ""))
