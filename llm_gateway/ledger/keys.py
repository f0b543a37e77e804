"""Virtual keys that are made while the gateway runs, in the ledger's database, and who changed what about them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from llm_gateway.ledger.store import Store, Transaction, Values

__all__ = [
    "Audit",
    "AuditRow",
    "DigestTaken",
    "KeyStore",
    "NameTaken",
    "StoredDigest",
    "StoredKey",
    "digest_of",
    "id_of",
]

_MOST_APART = 500
"""Keys that are read by their ids; of more, all are read."""

_REVISION = "virtual_keys"
"""The counter that goes up with every change."""


class NameTaken(Exception):
    """Another key in the database has this name. Nothing has changed."""


class DigestTaken(Exception):
    """Another key in the database is this very key, or was. Nothing has changed."""


class _Unchanged(Exception):
    """The key is gone, or of another version by now."""


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


class KeyStore:
    """
    The keys of one database. Everything waits for it: nothing here is for the reactor's thread.

    Everything raises ``StoreError`` when the database cannot be used. What changes something is done whole, with its
    row in the audit, or not at all. Changes come one after the other, whoever makes them: each takes the next revision
    first, whose row is locked until it is done.
    """

    def __init__(self, store: Store) -> None:
        """
        :param store: one of its own: nobody else's rows shall be waited for.
        """
        self._store = store

    def close(self) -> None:
        """Disconnect; what is asked next connects again."""
        self._store.close()

    def revision(self) -> int:
        """
        :return: a number that goes up with every change, whoever makes it.
        """
        with self._store.reading() as transaction:
            return _revision(transaction)

    def all(self) -> list[StoredKey]:
        """
        :return: all of them, revoked ones too, in the order of their creation.
        """
        return self.read()[1]

    def page(self, after: str | None, limit: int) -> list[StoredKey]:
        """
        :param after: the id of the one before the first that is wanted; ``None`` to begin. Behind one that is not
            there, there is nothing.
        :return: at most so many, in the order of their creation.
        """
        behind: tuple[str, Values] = ("", ())
        if after is not None:
            behind = (" where (created_at, id) > (select created_at, id from virtual_keys where id = ?)", (after,))
        with self._store.reading() as transaction:
            return _read(transaction, f"{behind[0]} order by created_at, id limit ?", (*behind[1], limit))

    def read(self, known: Iterable[StoredKey] = ()) -> tuple[int, list[StoredKey]]:
        """
        :param known: as they were read before. Of those that have not changed since, the same objects are returned.
        :return: all of them, in the order of their creation, and the revision that they are of.
        """
        by_id = {each.id: each for each in known}
        with self._store.reading() as transaction:
            revision = _revision(transaction)
            if not by_id:
                return revision, _read(transaction)
            versions = transaction.rows("select id, version from virtual_keys order by created_at, id")
            new = [id for id, version in versions if id not in by_id or by_id[id].version != version]
            if len(new) > _MOST_APART:
                return revision, _read(transaction)
            if new:
                which = f" where id in ({', '.join('?' * len(new))})"
                by_id |= {each.id: each for each in _read(transaction, which, new)}
            return revision, [by_id[id] for id, _ in versions]

    def get(self, id: str) -> StoredKey | None:
        """
        :return: ``None`` if there is none.
        """
        with self._store.reading() as transaction:
            found = _read(transaction, " where id = ?", (id,))
        return found[0] if found else None

    def create(self, key: StoredKey, audit: Audit) -> None:
        """
        :raises NameTaken: another one has its name.
        :raises DigestTaken: another one is the same.
        """
        with self._change(audit) as transaction:
            _check_name(transaction, key.name, key.id)
            for each in key.digests:
                _check_digest(transaction, each.digest)
            transaction.execute(
                "insert into virtual_keys (id, account, name, entry, created_at, changed_at, revoked_at, version)"
                " values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key.id,
                    key.account,
                    key.name,
                    _text(key.entry),
                    key.created_at,
                    key.changed_at,
                    key.revoked_at,
                    key.version,
                ),
            )
            for each in key.digests:
                _insert_digest(transaction, key.id, each)

    def update(self, id: str, version: int, name: str, entry: dict[str, Any], audit: Audit) -> bool:
        """
        :param version: the one that is changed.
        :return: whether it still was of this version; if not, nothing has changed.
        :raises NameTaken: another one has this name.
        """

        def change(transaction: Transaction) -> None:
            _check_name(transaction, name, id)
            transaction.execute("update virtual_keys set name = ?, entry = ? where id = ?", (name, _text(entry), id))

        return self._changed(id, version, audit, change)

    def rotate(self, id: str, version: int, digest: str, until: int, audit: Audit) -> bool:
        """
        Give it another key.

        :param until: when those that it has now are over at the latest.
        :return: as ``update``.
        :raises DigestTaken: another one is the same.
        """

        def change(transaction: Transaction) -> None:
            _check_digest(transaction, digest)
            transaction.execute(
                "update virtual_key_digests set valid_until = ?"
                " where key_id = ? and (valid_until is null or valid_until > ?)",
                (until, id, until),
            )
            _insert_digest(transaction, id, StoredDigest(digest, audit.at))

        return self._changed(id, version, audit, change)

    def revoke(self, id: str, version: int, audit: Audit) -> bool:
        """
        From now on none of its keys work, for good.

        :return: as ``update``.
        """

        def change(transaction: Transaction) -> None:
            transaction.execute("update virtual_keys set revoked_at = ? where id = ?", (audit.at, id))

        return self._changed(id, version, audit, change)

    def delete(self, id: str, version: int, audit: Audit) -> bool:
        """
        Forget it; its name may be given to another one.

        :return: as ``update``.
        """

        def change(transaction: Transaction) -> None:
            transaction.execute("delete from virtual_key_digests where key_id = ?", (id,))
            transaction.execute("delete from virtual_keys where id = ?", (id,))

        return self._changed(id, version, audit, change)

    def note(self, audit: Audit) -> None:
        """Write down what was done to something else than a key."""
        with self._store.transaction() as transaction:
            _write_audit(transaction, audit)

    def audit(self, limit: int, before: int | None = None) -> list[AuditRow]:
        """
        :param before: only what has a smaller number.
        :return: the newest first.
        """
        bounds: tuple[str, Values] = ("", ()) if before is None else (" where id < ?", (before,))
        with self._store.reading() as transaction:
            rows = transaction.rows(
                "select id, at, actor, action, subject, detail, request_id, address from audit"
                f"{bounds[0]} order by id desc limit ?",
                (*bounds[1], limit),
            )
        return [
            AuditRow(id, Audit(at, actor, action, subject, msgspec.json.decode(detail), request_id, address))
            for id, at, actor, action, subject, detail, request_id, address in rows
        ]

    def _changed(self, id: str, version: int, audit: Audit, change: Callable[[Transaction], None]) -> bool:
        try:
            with self._change(audit) as transaction:
                done = transaction.execute(
                    "update virtual_keys set version = version + 1, changed_at = ? where id = ? and version = ?",
                    (audit.at, id, version),
                )
                if not done:
                    raise _Unchanged
                change(transaction)
        except _Unchanged:
            return False
        return True

    @contextmanager
    def _change(self, audit: Audit) -> Iterator[Transaction]:
        with self._store.transaction() as transaction:
            transaction.execute("update counters set value = value + 1 where name = ?", (_REVISION,))
            yield transaction
            _write_audit(transaction, audit)


def _revision(transaction: Transaction) -> int:
    [(revision,)] = transaction.rows("select value from counters where name = ?", (_REVISION,))
    return int(revision)


def _read(transaction: Transaction, which: str = " order by created_at, id", values: Values = ()) -> list[StoredKey]:
    """
    :param which: what follows the tables' name: of which keys, in which order.
    """
    rows = transaction.rows(
        f"select id, account, name, entry, created_at, changed_at, revoked_at, version from virtual_keys{which}", values
    )
    digests: dict[str, list[StoredDigest]] = {}
    for key_id, digest, created_at, until in transaction.rows(
        "select key_id, digest, created_at, valid_until from virtual_key_digests where key_id in"
        f" (select id from virtual_keys{which}) order by created_at, digest",
        values,
    ):
        digests.setdefault(key_id, []).append(StoredDigest(digest, created_at, until))
    return [
        StoredKey(
            id,
            account,
            name,
            msgspec.json.decode(entry, type=dict[str, Any]),
            created_at,
            changed_at,
            tuple(digests.get(id, ())),
            revoked_at,
            version,
        )
        for id, account, name, entry, created_at, changed_at, revoked_at, version in rows
    ]


def _check_name(transaction: Transaction, name: str, id: str) -> None:
    if transaction.rows("select 1 from virtual_keys where name = ? and id <> ?", (name, id)):
        raise NameTaken


def _check_digest(transaction: Transaction, digest: str) -> None:
    if transaction.rows("select 1 from virtual_key_digests where digest = ?", (digest,)):
        raise DigestTaken


def _insert_digest(transaction: Transaction, id: str, digest: StoredDigest) -> None:
    transaction.execute(
        "insert into virtual_key_digests (digest, key_id, created_at, valid_until) values (?, ?, ?, ?)",
        (digest.digest, id, digest.created_at, digest.until),
    )


def _write_audit(transaction: Transaction, audit: Audit) -> None:
    transaction.execute(
        "insert into audit (at, actor, action, subject, detail, request_id, address) values (?, ?, ?, ?, ?, ?, ?)",
        (
            audit.at,
            audit.actor,
            audit.action,
            audit.subject,
            _text(audit.detail),
            audit.request_id,
            audit.address,
        ),
    )


def _text(document: dict[str, Any]) -> str:
    return msgspec.json.encode(document).decode()
