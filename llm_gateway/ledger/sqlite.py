"""The ledger in a file: SQLite."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from llm_gateway.ledger.row import Row
from llm_gateway.ledger.schema import MIGRATIONS
from llm_gateway.ledger.store import (
    CREATE_VERSIONS,
    VERSION,
    BadRow,
    Conflict,
    Store,
    StoreError,
    Transaction,
    Values,
    insertion,
    translated,
)

__all__ = ["SqliteStore"]

BUSY_S = 2.0
"""How long another process is waited for that writes. A batch takes milliseconds."""
_AT_ONCE = (50, 7, 1)
"""How many rows one statement writes. It runs without Python's lock, which the thread with the calls waits for while
the values of the next one are put together: so few take 0.2 ms."""
_OLDEST = (3, 35, 0)
"""Of SQLite. ``on conflict`` behind ``select``, and enough parameters for twenty rows."""


# A number that has no place in 64 bits; text that is no UTF-8.
_BAD_VALUES = (sqlite3.InterfaceError, sqlite3.DataError, OverflowError, UnicodeError)


class SqliteStore(Store):
    """
    One file, which several processes of one machine may use.

    It is not for a folder on another machine: SQLite needs locks that work, and memory that is shared.
    """

    kind = "sqlite"

    def __init__(self, path: str, busy_s: float = BUSY_S) -> None:
        """
        :param busy_s: how long to wait for another process that writes.
        """
        super().__init__(path)
        self.path = os.path.abspath(path)
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        """The one that was connected to last."""

    def close(self) -> None:
        with self._busy:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._busy, self._errors():
            connection = self._connected()
            # At once, and not with the first change: two that read first and then want to write would both fail.
            connection.execute("begin immediate")
            try:
                yield _Transaction(connection)
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("rollback")
                raise
            connection.execute("commit")

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._busy, self._errors():
            connection = self._connected()
            # All that is read is of one moment, and nobody who writes waits for it.
            connection.execute("begin")
            try:
                yield _Transaction(connection)
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("rollback")

    def label(self, name: str) -> tuple[str, Values]:
        return "(select value from json_each(labels) where key = ?)", (name,)

    def tidy(self) -> None:
        with self._busy, self._errors():
            self._connected().execute("pragma incremental_vacuum(2000)").fetchall()

    def _insert(self, transaction: Transaction, rows: Sequence[Row]) -> int:
        [(before,)] = transaction.rows("select coalesce(max(id), 0) from attempts")
        new, start = 0, 0
        for size in _AT_ONCE:
            while len(rows) - start >= size:
                new += transaction.execute(*insertion(rows[start : start + size]))
                start += size
        if new:
            # Nobody else writes meanwhile: what has a higher number is ours.
            self.fold(transaction, "from attempts where id > ?", (before,))
        return new

    def _connected(self) -> sqlite3.Connection:
        """
        :raises sqlite3.Error: it cannot be.
        :raises OSError: the file cannot be made.
        :raises StoreError: it was taken away. Whoever does that may put it back, so no other one is made until the
            next start; and what is written to a file that nobody finds any more is lost.
        """
        if self._file is not None:
            file = _identity(self.path)
            if file != self._file:
                self.close()
            if file is None:
                raise StoreError(f"{self.shown}: the file was taken away; without it, the next start makes another one")
        if self._connection is not None:
            return self._connection
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StoreError(f"SQLite {'.'.join(map(str, _OLDEST))} is needed, and this is {sqlite3.sqlite_version}")
        if not os.path.exists(self.path):
            _make(self.path)
        connection = sqlite3.connect(self.path, self._busy_s, isolation_level=None, check_same_thread=False)
        try:
            # Of a file that somebody else has made. Who changes it is not waited for, whatever the timeout.
            if connection.execute("pragma journal_mode").fetchall() != [("wal",)]:
                connection.execute("pragma journal_mode = wal").fetchall()
            # A commit waits for the disk, in its own thread: power can be lost once what it has written is forgotten
            # by the journal.
            connection.execute("pragma synchronous = full")
            connection.execute("pragma foreign_keys = on")
            transaction = _Transaction(connection)
            has_versions = transaction.rows("select 1 from sqlite_master where name = 'schema_versions'")
            # Who only reads shall not wait for those who write.
            if not has_versions or transaction.rows(VERSION) != [(len(MIGRATIONS),)]:
                connection.execute("begin immediate")
                transaction.execute(CREATE_VERSIONS)
                [(version,)] = transaction.rows(VERSION)
                self._migrate(transaction, version)
                connection.execute("commit")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._file = _identity(self.path)
        return connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with (
                translated((sqlite3.Error, OSError), StoreError, self.shown),
                translated((sqlite3.IntegrityError,), Conflict, self.shown),
                translated(_BAD_VALUES, BadRow, self.shown),
            ):
                try:
                    yield
                except sqlite3.OperationalError as error:
                    if "integer overflow" in str(error):
                        # A sum, and not a file that cannot be used.
                        raise OverflowError(str(error)) from error
                    raise
        except Conflict:
            raise
        except StoreError:
            # The next one begins with a new connection: the file may be another one by then, or this one broken.
            self.close()
            raise


def _make(path: str) -> None:
    """
    Make a file that nobody else may read, which SQLite would not, and have it as it shall be: of several processes that
    do so to one file some would find it locked. There may be one by now.

    It gets its name only when it is closed: a process that closes a file gives up every lock that it has on it, those
    of its other connections too. Another program would then take itself for the last one, and remove the log in which
    this one goes on to write.

    :raises OSError: it cannot be made.
    :raises sqlite3.Error: likewise.
    """
    descriptor, unnamed = tempfile.mkstemp(prefix=os.path.basename(path), dir=os.path.dirname(path))
    os.close(descriptor)
    try:
        connection = sqlite3.connect(unnamed, isolation_level=None)
        try:
            connection.execute("pragma auto_vacuum = incremental")
            connection.execute("pragma journal_mode = wal").fetchall()
        finally:
            connection.close()
        os.link(unnamed, path)
    except FileExistsError:
        return
    finally:
        os.unlink(unnamed)


def _identity(path: str) -> tuple[int, int] | None:
    """
    :return: the same for as long as it is the same file; ``None`` where there is none.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class _Transaction:
    """What SQLite takes between ``begin`` and ``commit``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Values = ()) -> int:
        return self._connection.execute(statement, values).rowcount

    def rows(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()
