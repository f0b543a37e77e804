"""What the commands have in common that look into the ledger: which database, and which time."""

from __future__ import annotations

import argparse
import os
import re
from datetime import UTC, datetime, timedelta

from llm_gateway.ledger.store import BadUrl, Store, open_store

__all__ = ["DEFAULT_LEDGER", "add_ledger", "existing_ledger", "moment"]

DEFAULT_LEDGER = "llmgateway-ledger.sqlite"

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([mhdw])")


def add_ledger(parser: argparse.ArgumentParser) -> None:
    """Add ``--ledger``."""
    parser.add_argument(
        "--ledger", metavar="URL", help=f"a path, or postgresql://... (default: $LEDGER, else {DEFAULT_LEDGER})"
    )


def existing_ledger(options: argparse.Namespace, command: str, parser: argparse.ArgumentParser) -> Store:
    """
    :param command: whose complaint it is: ``usage``.
    :return: the database that was named, not connected yet.
    :raises SystemExit: there is none, and the parser has said so.
    """
    url = options.ledger or os.environ.get("LEDGER") or DEFAULT_LEDGER
    try:
        store = open_store(url)
    except BadUrl as error:
        parser.error(f"--ledger: {error}")
    path = getattr(store, "path", None)
    if path is not None and not os.path.exists(path):
        # It would be made.
        parser.exit(
            1, f"llmgateway {command}: {path}: there is no such file; name the ledger with --ledger or LEDGER\n"
        )
    return store


def moment(text: str, now: datetime, option: str, parser: argparse.ArgumentParser) -> float:
    """
    :param text: how long before now, or when; in UTC where it says nothing else.
    :return: seconds since the epoch.
    :raises SystemExit: it is no time, and the parser has said so.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return (now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp()
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        parser.error(f"{option} takes a time such as 7d, 36h, 2026-11-01 or 2026-11-01T12:00, not {text!r}")
