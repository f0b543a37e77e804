"""The ledger in PostgreSQL, which gateways on several machines may share. It needs psycopg."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from llm_gateway.ledger.row import Row
from llm_gateway.ledger.schema import COLUMNS, MIGRATIONS, TYPES, TYPES_OF_COLUMNS, values_of
from llm_gateway.ledger.store import (
    CREATE_VERSIONS,
    VERSION,
    BadRow,
    Conflict,
    Store,
    StoreError,
    Transaction,
    Values,
    translated,
)

__all__ = ["PostgresStore"]

CONNECT_S = 5
"""How long a connection may take; whole seconds, as libpq has them."""
STATEMENT_S = 10.0
"""How long a statement may take that writes, and how long it waits for others."""
_AT_ONCE = 100
"""How many rows one statement writes. More of them would save round trips, and have the thread with the calls wait for
longer while their values are put together."""
_INSERT = (
    f"insert into attempts ({', '.join(COLUMNS)}) select {', '.join(COLUMNS)} from jsonb_to_recordset(?) as given("
    f"{', '.join(f'{name} {TYPES_OF_COLUMNS[name]}' for name in COLUMNS).format_map(TYPES['postgresql'])}"
    ") on conflict (at, request_id, attempt) do nothing returning id"
)
"""With one parameter for all rows: psycopg takes ten times as long over one for each value."""
_JSON = [number for number, name in enumerate(COLUMNS) if TYPES_OF_COLUMNS[name] == "{json}"]
_LOCK = 0x4C47_5700
"""Whoever changes the tables holds this advisory lock: several gateways may be started at once."""

_BAD_VALUES = (psycopg.DataError, UnicodeError)


class PostgresStore(Store):
    """A database of a PostgreSQL server, from version 10 on."""

    kind = "postgresql"
    _for_update = " for update"

    def __init__(self, url: str) -> None:
        """
        :param url: as libpq reads it; parameters behind ``?`` win over what is chosen here.
        """
        super().__init__(url)
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def close(self) -> None:
        with self._busy:
            if self._connection is not None:
                with contextlib.suppress(psycopg.Error):
                    self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._busy, self._errors():
            connection = self._connected()
            with connection.transaction():
                yield _Transaction(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._busy, self._errors():
            connection = self._connected()
            with connection.transaction():
                # All that is read is of one moment; and it may take longer than what a call's row waits for.
                connection.execute("set transaction isolation level repeatable read, read only")
                connection.execute("set local statement_timeout = 0")
                yield _Transaction(connection)

    def label(self, name: str) -> tuple[str, Values]:
        return "labels ->> cast(? as text)", (name,)

    def tidy(self) -> None:
        """Its autovacuum does."""

    def _insert(self, transaction: Transaction, rows: Sequence[Row]) -> int:
        new: list[int] = []
        for start in range(0, len(rows), _AT_ONCE):
            given = _encode([_object(row) for row in rows[start : start + _AT_ONCE]])
            new += [each for (each,) in transaction.rows(_INSERT, (given.decode(),))]
        if new:
            # All at once, whose order then keeps those who write at the same time from waiting for each other.
            self.fold(transaction, "from attempts where id = any(?)", (new,))
        return len(new)

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        """
        :raises psycopg.Error: it cannot be.
        """
        if self._connection is not None and not self._connection.closed:
            return self._connection
        said = conninfo_to_dict(self._url)
        chosen: dict[str, str | int | None] = {
            "connect_timeout": CONNECT_S,
            "application_name": "llmgateway",
            "keepalives_idle": 30,
        }
        missing = {name: value for name, value in chosen.items() if name not in said}
        # Without prepared statements, which a pool between us and the server may not know.
        connection = psycopg.connect(make_conninfo(self._url, **missing), autocommit=True, prepare_threshold=None)
        try:
            connection.execute(f"set statement_timeout = {int(STATEMENT_S * 1000)}")
            connection.execute(f"set lock_timeout = {int(STATEMENT_S * 1000)}")
            transaction = _Transaction(connection)
            [(has_versions,)] = transaction.rows("select to_regclass('schema_versions') is not null")
            # Who only reads need not be allowed to change tables.
            if not has_versions or transaction.rows(VERSION) != [(len(MIGRATIONS),)]:
                with connection.transaction():
                    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
                    transaction.execute(CREATE_VERSIONS)
                    [(version,)] = transaction.rows(VERSION)
                    self._migrate(transaction, version)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with (
                translated((psycopg.Error, OSError), StoreError, self.shown),
                translated((psycopg.IntegrityError,), Conflict, self.shown),
                translated(_BAD_VALUES, BadRow, self.shown),
            ):
                yield
        except Conflict:
            raise
        except StoreError:
            self.close()
            raise


class _Transaction:
    """What PostgreSQL takes inside a transaction."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Values = ()) -> int:
        return self._connection.execute(_with_percent(statement), values).rowcount

    def rows(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(_with_percent(statement), values).fetchall()


_encode = msgspec.json.Encoder().encode


def _object(row: Row) -> dict[str, Any]:
    """:return: the values of the columns; what is JSON already stays it."""
    values = list(values_of(row))
    for number in _JSON:
        if values[number] is not None:
            values[number] = msgspec.Raw(values[number].encode())
    return dict(zip(COLUMNS, values, strict=True))


def _with_percent(statement: str) -> bytes:
    """:return: the statement with parameters as psycopg has them. None of ours has a question mark inside a text."""
    return statement.replace("%", "%%").replace("?", "%s").encode()
