"""Databases of tests that are not about the disk: made once, copied, and never waited for."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

from llm_gateway.ledger.sqlite import SqliteStore

__all__ = ["quick_store"]


class _Quick(SqliteStore):
    def _connected(self) -> sqlite3.Connection:
        is_new = self._connection is None
        connection = super()._connected()
        if is_new:
            connection.execute("pragma synchronous = off")
        return connection


def quick_store(path: Path) -> SqliteStore:
    """
    :param path: where there is a database with the ledger's tables, or nothing yet.
    """
    if not path.exists() and path.parent.is_dir():
        shutil.copy(_empty(), path)
    return _Quick(str(path))


@cache
def _empty() -> Path:
    folder = tempfile.mkdtemp(prefix="ledger-")
    atexit.register(shutil.rmtree, folder)
    path = Path(folder) / "empty.sqlite"
    store = SqliteStore(str(path))
    store.open()
    store.close()
    return path
