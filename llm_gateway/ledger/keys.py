"""Virtual keys that are made while the gateway runs, in the ledger's database, and who changed what about them."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

import msgspec

__all__ = [
    "TABLES",
    "Audit",
    "AuditRow",
    "DigestTaken",
    "KeyStore",
    "KeysUnavailable",
    "NameTaken",
    "SqlKeyStore",
    "StoredDigest",
    "StoredKey",
    "digest_of",
    "id_of",
    "open_postgresql",
    "open_sqlite",
]

TABLES: Final = (
    """\
CREATE TABLE IF NOT EXISTS virtual_keys (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    entry TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    revoked_at BIGINT,
    version INTEGER NOT NULL
)""",
    """\
CREATE TABLE IF NOT EXISTS virtual_key_digests (
    digest TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES virtual_keys (id),
    created_at BIGINT NOT NULL,
    until BIGINT
)""",
    """\
CREATE TABLE IF NOT EXISTS audit (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    request_id TEXT,
    address TEXT
)""",
    """\
CREATE TABLE IF NOT EXISTS key_revision (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    revision BIGINT NOT NULL
)""",
    "INSERT INTO key_revision (only_row, revision) VALUES (1, 0) ON CONFLICT DO NOTHING",
)
"""
What SQLite and PostgreSQL both understand. Times are microseconds since the epoch; ``entry`` and ``detail`` are JSON.

Every change takes the next number of ``key_revision`` in its own transaction, which is the number of its row in
``audit``: changes come one after the other, and whoever has seen one number has seen all that was before it.
"""

_BUSY_S: Final = 5.0
"""How long a change waits for another one, or for the ledger's rows, to be written."""


class KeysUnavailable(Exception):
    """The database cannot be reached, or does not do what it is told. Nothing was changed, as far as is known."""


class NameTaken(Exception):
    """Another key in the database has this name."""


class DigestTaken(Exception):
    """Another key in the database is this very key, or was."""


class StoredDigest(msgspec.Struct, frozen=True):
    """One of the keys that have been handed out for the same entry: one, and another with each rotation."""

    digest: str
    """SHA-256 of the key in hexadecimal."""
    created_at: int
    until: int | None = None
    """From when on it is refused; ``None`` for the newest one."""


class StoredKey(msgspec.Struct, frozen=True):
    """One virtual key as the database has it. Times are microseconds since the epoch."""

    id: str
    account: str
    """SHA-256 of the first key that was handed out for it: what its use is counted under, whatever its key is now."""
    name: str
    entry: dict[str, Any]
    """As it would stand in ``keys.json``."""
    created_at: int
    changed_at: int
    digests: tuple[StoredDigest, ...]
    """The oldest first."""
    revoked_at: int | None = None
    version: int = 1
    """Goes up with every change."""

    def working(self, now: int) -> tuple[StoredDigest, ...]:
        """
        :return: those of its digests that are not over. Whether the entry itself has expired is not looked at.
        """
        if self.revoked_at is not None:
            return ()
        return tuple(each for each in self.digests if each.until is None or each.until > now)


class Audit(msgspec.Struct, frozen=True):
    """Who did what. Holds no key."""

    at: int
    actor: str
    """``admin:NAME`` for a credential of the admin API, ``command:USER`` for the command line."""
    action: str
    """``key.create``, ``key.edit``, ``key.rotate``, ``key.revoke``, ``key.delete``, ``reload``, ``call.stop``..."""
    subject: str = ""
    """What it was done to: the id of a key."""
    detail: dict[str, Any] = {}
    request_id: str | None = None
    address: str | None = None
    """Where the request came from."""


class AuditRow(msgspec.Struct, frozen=True):
    """The same, with its number."""

    id: int
    audit: Audit


class KeyStore(Protocol):
    """
    Where the keys are kept. Everything may block, and is safe to call from several threads.

    Everything raises ``KeysUnavailable``. What changes something is done whole, with its row in the audit, or not at
    all; it counts the version up, and the revision.
    """

    def revision(self) -> int:
        """:return: a number that goes up with every change, whoever makes it."""

    def list(self) -> list[StoredKey]:
        """:return: all of them, revoked ones too, in the order of their creation."""

    def get(self, id: str) -> StoredKey | None: ...

    def create(self, key: StoredKey, audit: Audit) -> None:
        """
        :raises NameTaken: another one has its name.
        :raises DigestTaken: another one is the same.
        """

    def update(self, id: str, version: int, name: str, entry: dict[str, Any], audit: Audit) -> bool:
        """
        :param version: the one that was changed.
        :return: whether it still was of this version; if not, nothing was changed.
        :raises NameTaken: another one has this name.
        """

    def rotate(self, id: str, version: int, digest: str, until: int, audit: Audit) -> bool:
        """
        Give it another key.

        :param until: when those that it has now are over at the latest.
        :return: as ``update``.
        :raises DigestTaken: another one is the same.
        """

    def revoke(self, id: str, version: int, audit: Audit) -> bool:
        """
        From now on none of its keys work, for good.

        :return: as ``update``.
        """

    def delete(self, id: str, version: int, audit: Audit) -> bool:
        """
        Forget it; its name may be given to another one.

        :return: as ``update``.
        """

    def note(self, audit: Audit) -> None:
        """Write down what was done to something else than a key."""

    def audit(self, limit: int, before: int | None = None) -> list[AuditRow]:
        """
        :param before: only what has a smaller number.
        :return: the newest first.
        """


def id_of(account: str) -> str:
    """
    :param account: the digest that a key is counted under.
    :return: what the key is called in paths.
    """
    return f"key_{account[:16]}"


def digest_of(key: str) -> str:
    """
    :return: in hexadecimal.
    """
    return hashlib.sha256(key.encode()).hexdigest()


class SqlKeyStore:
    """A ``KeyStore`` in SQLite or PostgreSQL. Opens its connection when it is first needed, and anew after a fault."""

    def __init__(self, connect: Callable[[], Any], faults: type[Exception], mark: str = "?") -> None:
        """
        :param connect: gives a DB-API connection that any thread may use, and on which transactions are begun by name.
        :param faults: what the database raises.
        :param mark: what stands for a parameter: ``?`` in SQLite, ``%s`` in psycopg.
        """
        self._connect = connect
        self._faults = (faults, OSError)
        self._mark = mark
        self._lock = threading.Lock()
        self._connection: Any = None

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        with self._lock:
            self._drop()

    def prepare(self) -> None:
        """Make the tables where they are missing."""
        with self._transaction(change=True) as execute:
            for table in TABLES:
                execute(table)

    def revision(self) -> int:
        with self._transaction() as execute:
            row = execute("SELECT revision FROM key_revision WHERE only_row = 1").fetchone()
        return 0 if row is None else int(row[0])

    def list(self) -> list[StoredKey]:
        with self._transaction() as execute:
            return self._read(execute, "")

    def get(self, id: str) -> StoredKey | None:
        with self._transaction() as execute:
            found = self._read(execute, "WHERE id = ?", id)
        return found[0] if found else None

    def create(self, key: StoredKey, audit: Audit) -> None:
        with self._change(audit) as execute:
            self._check_name(execute, key.name, key.id)
            for each in key.digests:
                self._check_digest(execute, each.digest)
            if execute("SELECT 1 FROM virtual_keys WHERE id = ? OR account = ?", key.id, key.account).fetchone():
                raise DigestTaken
            execute(
                "INSERT INTO virtual_keys (id, account, name, entry, created_at, changed_at, revoked_at, version)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                key.id,
                key.account,
                key.name,
                msgspec.json.encode(key.entry).decode(),
                key.created_at,
                key.changed_at,
                key.revoked_at,
                key.version,
            )
            for each in key.digests:
                self._insert_digest(execute, key.id, each)

    def update(self, id: str, version: int, name: str, entry: dict[str, Any], audit: Audit) -> bool:
        with self._change(audit) as execute:
            if not self._count_up(execute, id, version, audit.at):
                raise _Unchanged
            self._check_name(execute, name, id)
            text = msgspec.json.encode(entry).decode()
            execute("UPDATE virtual_keys SET name = ?, entry = ? WHERE id = ?", name, text, id)
            return True
        return False

    def rotate(self, id: str, version: int, digest: str, until: int, audit: Audit) -> bool:
        with self._change(audit) as execute:
            if not self._count_up(execute, id, version, audit.at):
                raise _Unchanged
            self._check_digest(execute, digest)
            execute(
                "UPDATE virtual_key_digests SET until = ? WHERE key_id = ? AND (until IS NULL OR until > ?)",
                until,
                id,
                until,
            )
            self._insert_digest(execute, id, StoredDigest(digest, audit.at))
            return True
        return False

    def revoke(self, id: str, version: int, audit: Audit) -> bool:
        with self._change(audit) as execute:
            if not self._count_up(execute, id, version, audit.at):
                raise _Unchanged
            execute("UPDATE virtual_keys SET revoked_at = ? WHERE id = ?", audit.at, id)
            return True
        return False

    def delete(self, id: str, version: int, audit: Audit) -> bool:
        with self._change(audit) as execute:
            if not self._count_up(execute, id, version, audit.at):
                raise _Unchanged
            execute("DELETE FROM virtual_key_digests WHERE key_id = ?", id)
            execute("DELETE FROM virtual_keys WHERE id = ?", id)
            return True
        return False

    def note(self, audit: Audit) -> None:
        with self._change(audit):
            pass

    def audit(self, limit: int, before: int | None = None) -> list[AuditRow]:
        bounds, arguments = ("", ()) if before is None else ("WHERE id < ?", (before,))
        with self._transaction() as execute:
            rows = execute(
                "SELECT id, at, actor, action, subject, detail, request_id, address FROM audit"
                f" {bounds} ORDER BY id DESC LIMIT ?",
                *arguments,
                limit,
            ).fetchall()
        return [
            AuditRow(int(id), Audit(int(at), actor, action, subject, msgspec.json.decode(detail), request_id, address))
            for id, at, actor, action, subject, detail, request_id, address in rows
        ]

    # Pieces of statements

    def _read(self, execute: _Execute, where: str, *arguments: Any) -> list[StoredKey]:
        digests: dict[str, list[StoredDigest]] = {}
        found = execute(
            "SELECT key_id, digest, created_at, until FROM virtual_key_digests"
            f" {where.replace('id', 'key_id')} ORDER BY created_at, digest",
            *arguments,
        ).fetchall()
        for key_id, digest, created_at, until in found:
            each = StoredDigest(digest, int(created_at), None if until is None else int(until))
            digests.setdefault(key_id, []).append(each)
        rows = execute(
            "SELECT id, account, name, entry, created_at, changed_at, revoked_at, version FROM virtual_keys"
            f" {where} ORDER BY created_at, id",
            *arguments,
        ).fetchall()
        return [
            StoredKey(
                id,
                account,
                name,
                msgspec.json.decode(entry, type=dict[str, Any]),
                int(created_at),
                int(changed_at),
                tuple(digests.get(id, ())),
                None if revoked_at is None else int(revoked_at),
                int(version),
            )
            for id, account, name, entry, created_at, changed_at, revoked_at, version in rows
        ]

    @staticmethod
    def _count_up(execute: _Execute, id: str, version: int, at: int) -> bool:
        done = execute(
            "UPDATE virtual_keys SET version = version + 1, changed_at = ? WHERE id = ? AND version = ?",
            at,
            id,
            version,
        )
        return bool(done.rowcount)

    @staticmethod
    def _check_name(execute: _Execute, name: str, id: str) -> None:
        if execute("SELECT 1 FROM virtual_keys WHERE name = ? AND id <> ?", name, id).fetchone():
            raise NameTaken

    @staticmethod
    def _check_digest(execute: _Execute, digest: str) -> None:
        if execute("SELECT 1 FROM virtual_key_digests WHERE digest = ?", digest).fetchone():
            raise DigestTaken

    @staticmethod
    def _insert_digest(execute: _Execute, id: str, digest: StoredDigest) -> None:
        execute(
            "INSERT INTO virtual_key_digests (digest, key_id, created_at, until) VALUES (?, ?, ?, ?)",
            digest.digest,
            id,
            digest.created_at,
            digest.until,
        )

    # Transactions

    @contextmanager
    def _change(self, audit: Audit) -> Iterator[_Execute]:
        """A transaction that takes the next number and leaves its row in the audit; ``_Unchanged`` in it undoes it."""
        try:
            with self._transaction(change=True) as execute:
                # The row is locked from here on: whoever else changes something waits for this one.
                execute("UPDATE key_revision SET revision = revision + 1 WHERE only_row = 1")
                yield execute
                (number,) = execute("SELECT revision FROM key_revision WHERE only_row = 1").fetchone()
                execute(
                    "INSERT INTO audit (id, at, actor, action, subject, detail, request_id, address)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    number,
                    audit.at,
                    audit.actor,
                    audit.action,
                    audit.subject,
                    msgspec.json.encode(audit.detail).decode(),
                    audit.request_id,
                    audit.address,
                )
        except _Unchanged:
            return

    @contextmanager
    def _transaction(self, change: bool = False) -> Iterator[_Execute]:
        """
        :raises KeysUnavailable: something goes wrong that is not ours.
        """
        with self._lock:
            try:
                cursor = self._open().cursor()
            except self._faults as error:
                self._drop()
                raise KeysUnavailable(_described(error)) from error

            def execute(sql: str, *arguments: Any) -> Any:
                cursor.execute(sql.replace("?", self._mark), arguments)
                return cursor

            try:
                # Not deferred: what is read before something is written must not change in between.
                execute("BEGIN IMMEDIATE" if change and self._mark == "?" else "BEGIN")
                yield execute
                execute("COMMIT")
            except self._faults as error:
                # Whatever it was in the middle of, it is not any more.
                self._drop()
                raise KeysUnavailable(_described(error)) from error
            except BaseException:
                try:
                    execute("ROLLBACK")
                except self._faults:
                    self._drop()
                raise

    def _open(self) -> Any:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self._faults):
                # It may be broken already, which somebody else is told.
                connection.close()


class _Unchanged(Exception):
    """The key is gone, or of another version by now."""


class _Execute(Protocol):
    def __call__(self, sql: str, *arguments: Any) -> Any: ...


def _described(error: Exception) -> str:
    """In one line, without the statement and its values."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no explanation'}"


def open_sqlite(path: str) -> SqlKeyStore:
    """
    :param path: of the ledger's database.
    """

    def connect() -> Any:
        # The lock sees to it that one thread at a time uses it.
        return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    return SqlKeyStore(connect, sqlite3.Error)


def open_postgresql(url: str) -> SqlKeyStore:
    """
    :param url: of the ledger's database: ``postgresql://...``.
    :raises ImportError: psycopg is not installed.
    """
    import psycopg

    def connect() -> Any:
        return psycopg.connect(url, autocommit=True, connect_timeout=int(_BUSY_S))

    return SqlKeyStore(connect, psycopg.Error, "%s")
