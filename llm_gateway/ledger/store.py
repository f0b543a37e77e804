"""The database behind the ledger: what SQLite and PostgreSQL have in common."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import msgspec

from llm_gateway.ledger.row import INTERRUPTED, Row
from llm_gateway.ledger.schema import COLUMNS, MIGRATIONS, TOKENS, TYPES, fold_sql, values_of

__all__ = ["BadRow", "BadUrl", "Conflict", "Store", "StoreError", "Transaction", "Written", "open_store", "shown_url"]

Values = Sequence[Any]


class StoreError(Exception):
    """The database cannot be used just now: not reached, locked, full, or of a newer version. Nothing has changed."""


class Conflict(StoreError):
    """Something else has the same name, or what is referred to is not there. Nothing has changed."""


class BadRow(Exception):
    """The database takes no such row, now or later. Nothing has changed."""


class BadUrl(ValueError):
    """It names no database."""


class Written(msgspec.Struct, frozen=True):
    """What became of the rows of one batch."""

    new: int = 0
    replaced: int = 0
    """Rows that had been interrupted, as far as was known, and have ended after all."""
    known: int = 0
    """Rows that were there already; they stay as they are."""


class Transaction(Protocol):
    """What is done to the database within one transaction. Parameters stand as ``?`` in statements for both."""

    def execute(self, statement: str, values: Values = ()) -> int:
        """:return: how many rows it has changed."""

    def rows(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """:return: what the statement answers."""


class Store(ABC):
    """
    One connection to a database with the ledger's tables, made when it is first needed, and anew after an error.

    Its methods wait for the database: none is for the reactor's thread. Any thread may call them, one at a time.
    """

    kind: str
    """Its place in ``schema.TYPES``."""

    def __init__(self, url: str) -> None:
        self.shown = shown_url(url)
        """The URL without a password."""
        self._busy = threading.RLock()

    def open(self) -> None:
        """
        Connect now, and bring the tables up to date.

        :raises StoreError: that cannot be done.
        """
        with self.reading() as transaction:
            transaction.rows("select 1")

    @abstractmethod
    def close(self) -> None:
        """Disconnect. What is asked next connects again."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Transaction]:
        """
        :return: what is done inside is done as one, unless an error leaves it.
        :raises StoreError: the database cannot be used, or could not do it.
        :raises Conflict: that would break a rule of the tables.
        :raises BadRow: a value is none that it takes.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[Transaction]:
        """
        :return: as ``transaction``, for what changes nothing and shall hold nobody up.
        """

    @abstractmethod
    def label(self, name: str) -> tuple[str, Values]:
        """
        :return: an expression that is an attempt's label of this name, or null; and the parameters in it.
        """

    @abstractmethod
    def tidy(self) -> None:
        """Give room back that removed rows had, as far as that is quickly done."""

    def forget(self, before: int, most: int = 1000) -> bool:
        """
        Remove attempts. The sums of their hours stay.

        :param before: microseconds since the epoch; those that were sent earlier go.
        :param most: how many at once.
        :return: whether there may be more of them.
        :raises StoreError: none is removed.
        """
        with self.transaction() as transaction:
            old = "select id from attempts where at < ? order by at limit ?"
            return transaction.execute(f"delete from attempts where id in ({old})", (before, most)) == most

    def write(self, rows: Sequence[Row]) -> Written:
        """
        Write attempts, each of which is there once afterwards however often it is written.

        :raises StoreError: none is written; the same call may succeed later.
        :raises BadRow: none is written, since one cannot be.
        """
        with self.transaction() as transaction:
            new = self._insert(transaction, rows)
            if new == len(rows):
                return Written(new)
            replaced = sum(self._replace(transaction, row) for row in rows if row.ended != INTERRUPTED)
        return Written(new, replaced, len(rows) - new - replaced)

    @abstractmethod
    def _insert(self, transaction: Transaction, rows: Sequence[Row]) -> int:
        """
        Write those that are not there yet, and add them to the sums.

        :return: how many.
        """

    def _replace(self, transaction: Transaction, row: Row) -> bool:
        """
        :return: whether the row has taken the place of one that was interrupted.
        """
        there = "from attempts where at = ? and request_id = ? and attempt = ? and ended = ?"
        which = (row.at, row.request_id, row.attempt, INTERRUPTED)
        if not transaction.rows(f"select id {there}" + self._for_update, which):
            return False
        self.unfold(transaction, there, which)
        transaction.execute(f"delete {there}", which)
        return self._insert(transaction, [row]) == 1

    _for_update = ""

    def fold(self, transaction: Transaction, source: str, values: Values) -> None:
        """Add attempts to the sums: those of ``source``, which begins with ``from``."""
        transaction.execute(fold_sql(source.removeprefix("from ")), values)

    def unfold(self, transaction: Transaction, source: str, values: Values) -> None:
        """Take away from the sums what attempts have added, before they are changed or removed as mistaken."""
        transaction.execute(fold_sql(source.removeprefix("from "), -1), values)

    def _migrate(self, transaction: Transaction, version: int) -> None:
        """
        Take the steps that are missing.

        :param version: how many have been taken.
        :raises StoreError: there are more than this program knows.
        """
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.shown} has version {version} of the tables, and this program knows {len(MIGRATIONS)}: "
                "it was used by a newer one"
            )
        for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
            for statement in statements:
                transaction.execute(statement.format_map(TYPES[self.kind]))
            transaction.execute(
                "insert into schema_versions (version, applied_at) values (?, ?)", (number, int(time.time() * 1e6))
            )


CREATE_VERSIONS = "create table if not exists schema_versions (version bigint primary key, applied_at bigint not null)"
VERSION = "select coalesce(max(version), 0) from schema_versions"


_SELDOM = {
    place: "0" if name in TOKENS else "null"
    for place, name in enumerate(COLUMNS)
    if name in {"key_group", "labels", "error", "pieces", "tier", *TOKENS} - {"input", "output"}
}
"""By their places: columns in which few attempts say anything, and what stands there then."""


def insertion(rows: Sequence[Row]) -> tuple[str, list[Any]]:
    """
    :return: a statement that writes these attempts, and its values; those that are there stay as they are. A value that
        none of them has is written into the statement: to hand one over costs more than anything else that SQLite does.
    """
    columns = list(zip(*map(values_of, rows), strict=True))
    silent = [
        place
        for place, literal in _SELDOM.items()
        if (not any(columns[place]) if literal == "0" else columns[place].count(None) == len(rows))
    ]
    for place in reversed(silent):
        del columns[place]
    return _insert_sql(len(rows), *silent), list(chain.from_iterable(zip(*columns, strict=True)))


@lru_cache(maxsize=256)
def _insert_sql(count: int, *silent: int) -> str:
    values = ", ".join(_SELDOM[place] if place in silent else "?" for place in range(len(COLUMNS)))
    rows = ", ".join([f"({values})"] * count)
    return f"insert into attempts ({', '.join(COLUMNS)}) values {rows} on conflict (at, request_id, attempt) do nothing"


@contextmanager
def translated(kinds: tuple[type[Exception], ...], becomes: type[Exception], shown: str) -> Iterator[None]:
    """Turn a library's errors into ours."""
    try:
        yield
    except kinds as error:
        raise becomes(f"{shown}: {' '.join(str(error).split())}") from error


def open_store(url: str) -> Store:
    """
    :param url: ``postgresql://user@host/database``, ``sqlite:/path/to/file``, or the path alone.
    :return: not connected yet.
    :raises BadUrl: it is neither, or the library for PostgreSQL is not installed.
    """
    scheme, colon, rest = url.partition(":")
    if scheme in ("postgresql", "postgres") and colon:
        try:
            from llm_gateway.ledger.postgres import PostgresStore
        except ImportError as error:
            raise BadUrl("PostgreSQL needs psycopg: pip install 'llm-gateway[postgresql]'") from error
        return PostgresStore(url)
    from llm_gateway.ledger.sqlite import SqliteStore

    path = rest if scheme == "sqlite" and colon else url
    if not path or "://" in path or path.startswith("//") or "\0" in path:
        raise BadUrl(f"a ledger is a file's path, sqlite:/path or postgresql://..., not {shown_url(url)!r}")
    return SqliteStore(path)


def shown_url(url: str) -> str:
    """:return: the URL as it may be shown: without a password."""
    if not url.startswith(("postgresql:", "postgres:")):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "postgresql:..."
    who, at, where = parts.netloc.rpartition("@")
    # What follows the question mark may be a password, too.
    return urlunsplit(parts._replace(netloc=who.partition(":")[0] + at + where, query="", fragment=""))
