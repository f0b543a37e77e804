"""Making virtual keys while the gateway runs, and changing, rotating and revoking them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from llm_gateway.config.problems import looks_like_key
from llm_gateway.config.values import Configuration, VirtualKey
from llm_gateway.core.discreet import Discreet
from llm_gateway.core.limits.values import Limit, Measure, Unreachable
from llm_gateway.core.record import timestamp
from llm_gateway.errors import Problem
from llm_gateway.issuing.entries import DATABASE, Entries
from llm_gateway.issuing.faults import (
    Changed,
    Fault,
    InvalidEntry,
    KeptInFile,
    NameInUse,
    NoSuchKey,
    Revoked,
    StillWorking,
    Unavailable,
)
from llm_gateway.ledger.keys import (
    Audit,
    AuditRow,
    DigestTaken,
    KeyStore,
    NameTaken,
    StoredDigest,
    StoredKey,
    digest_of,
    id_of,
)
from llm_gateway.ledger.queries import dollars
from llm_gateway.ledger.store import StoreError

__all__ = ["DEFAULT_GRACE_S", "MAX_GRACE_S", "By", "Keeper", "KeyView", "Made", "OldKey", "new_key"]

DEFAULT_GRACE_S: Final = 86_400
MAX_GRACE_S: Final = 366 * 86_400
"""Longer than a year is a slip of the unit."""

PAGE: Final = 200
"""Keys that are read at once: a listing need not read them all."""

_US: Final = 1_000_000
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BYTES: Final = 32
_LETTERS: Final = 43
"""Of base 62, for 256 bits."""


def new_key(random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """
    :return: ``vk_`` and 256 random bits in 43 letters and digits.
    """
    number, letters = int.from_bytes(random(_BYTES), "big"), []
    for _ in range(_LETTERS):
        number, digit = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "vk_" + "".join(reversed(letters))


class By(msgspec.Struct, frozen=True):
    """Who asks for a change."""

    actor: str
    request_id: str | None = None
    address: str | None = None


class OldKey(msgspec.Struct, frozen=True):
    """One that was rotated, and that still works."""

    fingerprint: str
    until: str


class KeyView(msgspec.Struct, frozen=True):
    """One virtual key, as an operator is shown it. It holds neither the key nor its whole digest."""

    id: str
    """Stays the same, whatever else changes."""
    name: str | None
    """What logs and the ledger call it; keys of keys.json may have none."""
    fingerprint: str
    """The first eight digits of the SHA-256 of the first key that was handed out for it: logs show it for one without
    a name."""
    origin: str
    """Where it is kept: file (keys.json, read only here) or database."""
    state: str
    """active, expired or revoked; faulty where its entry does not fit keys.json any more."""
    entry: dict[str, Any]
    """As it would stand in keys.json; of one that does stand there, what is in use of it, without its real key."""
    created_at: str | None = None
    changed_at: str | None = None
    revoked_at: str | None = None
    version: int | None = None
    """Goes up with every change; also the ETag."""
    old_keys: list[OldKey] = []
    """Earlier keys that still work, after a rotation."""
    problems: list[str] = []
    """What keeps a faulty one from working."""


class Made(Discreet, msgspec.Struct, frozen=True):
    """A key that has just been made."""

    key: str
    """The virtual key itself. It is shown this once, and kept nowhere."""
    virtual_key: KeyView

    def shown(self) -> tuple[str, ...]:
        return ("virtual_key",)


class Keeper:
    """
    Changes keys in the database by the rules of ``keys.json``. Everything may block.

    Everything raises ``Unavailable`` when the database does.
    """

    def __init__(
        self,
        store: KeyStore,
        configuration: Callable[[], Configuration],
        wall: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        :param configuration: the one of the files, with or without the database's keys.
        :param wall: seconds since the epoch.
        """
        self._store = store
        self._configuration = configuration
        self._wall = wall
        self._random = random

    # Looking

    def all(self, after: str | None = None) -> Iterator[KeyView]:
        """
        :param after: only what comes behind the one with this id; nothing if there is none.
        :return: those of the file in its order, then those of the database in the order of their creation.
        """
        configuration = self._configuration()
        now, entries = self._now(), Entries(configuration)
        seen = after is None
        for key in _of_file(configuration):
            if seen:
                yield _view_of_file(key, now)
            elif id_of(key.account) == after:
                seen, after = True, None
        while True:
            with _database():
                page = self._store.page(after, PAGE)
            for each in page:
                yield _view(each, entries, now)
            if len(page) < PAGE:
                return
            after = page[-1].id

    def get(self, id: str) -> KeyView:
        """
        :raises NoSuchKey: neither the file nor the database has it.
        """
        configuration = self._configuration()
        with _database():
            stored = self._store.get(id)
        if stored is not None:
            return _view(stored, Entries(configuration), self._now())
        for key in _of_file(configuration):
            if id_of(key.account) == id:
                return _view_of_file(key, self._now())
        raise _no_such_key(id)

    def find(self, name: str) -> KeyView:
        """
        :param name: an id, a name, or ``key:`` and a fingerprint.
        :raises NoSuchKey: there is none, or more than one in the file.
        """
        found = [each for each in self.all() if name in (each.id, each.name, f"key:{each.fingerprint}")]
        exact = [each for each in found if each.id == name] or found
        if len(exact) != 1:
            many = "several virtual keys are" if exact else "no virtual key is"
            raise NoSuchKey(f"{many} called {_safe(name)}; `llmgateway keys list` shows what they are called")
        return exact[0]

    def audit(self, limit: int, before: int | None = None) -> list[AuditRow]:
        """
        :return: the newest first.
        """
        with _database():
            return self._store.audit(limit, before)

    # Changing

    def create(self, entry: Mapping[str, Any], by: By) -> Made:
        """
        :param entry: as it would stand in ``keys.json``, with a name and with names of credentials.
        :raises InvalidEntry: it cannot be used.
        :raises NameInUse: another key has its name.
        """
        configuration = self._configuration()
        key, now = new_key(self._random), self._now()
        digest = digest_of(key)
        self._check(configuration, digest, entry)
        name = entry["name"]
        self._check_name(configuration, name)
        stored = StoredKey(id_of(digest), digest, name, dict(entry), now, now, (StoredDigest(digest, now),))
        with _database():
            self._store.create(stored, self._audit(now, by, "key.create", stored.id, {"entry": dict(entry)}))
        return Made(key, _view(stored, Entries(configuration), now))

    def edit(self, id: str, patch: Mapping[str, Any], by: By, version: int | None = None) -> KeyView:
        """
        :param patch: fields of the entry and their new values; ``None`` takes one away. Objects are merged, field by
            field, lists are replaced (RFC 7396).
        :param version: the one that is to be changed; ``None`` for whichever it is.
        :raises InvalidEntry: what comes of it cannot be used.
        :raises NameInUse: another key has its new name.
        :raises Revoked: it never works again.
        :raises Changed: it is of another version.
        """
        configuration = self._configuration()
        stored = self._changeable(configuration, id, version)
        entry = patched(stored.entry, patch)
        if entry == stored.entry:
            return _view(stored, Entries(configuration), self._now())
        self._check(configuration, stored.account, entry)
        name, now = entry["name"], self._now()
        if name != stored.name:
            self._check_name(configuration, name)
        audit = self._audit(now, by, "key.edit", id, {"from": stored.entry, "to": entry})
        with _database():
            done = self._store.update(id, stored.version, name, entry, audit)
        return self._after(done, id)

    def rotate(self, id: str, grace_s: float, by: By, version: int | None = None) -> Made:
        """
        Hand out another key for the same entry; what it has used counts on.

        :param grace_s: how long the keys that it has now still work: 0 for no longer.
        :raises Revoked: it never works again.
        :raises Changed: it is of another version.
        """
        stored = self._changeable(self._configuration(), id, version)
        key, now = new_key(self._random), self._now()
        audit = self._audit(now, by, "key.rotate", id, {"grace_s": grace_s})
        with _database():
            done = self._store.rotate(id, stored.version, digest_of(key), now + int(grace_s * _US), audit)
        return Made(key, self._after(done, id))

    def revoke(self, id: str, by: By, version: int | None = None) -> KeyView:
        """
        From now on its keys are refused, for good. Running calls go on. Revoking it again changes nothing.

        :raises Changed: it is of another version.
        """
        configuration = self._configuration()
        stored = self._stored(configuration, id, version)
        if stored.revoked_at is not None:
            return _view(stored, Entries(configuration), self._now())
        with _database():
            done = self._store.revoke(id, stored.version, self._audit(self._now(), by, "key.revoke", id, {}))
        return self._after(done, id)

    def delete(self, id: str, by: By, version: int | None = None) -> None:
        """
        Forget a key that is revoked. What it used stays in the ledger, and what was done to it in the audit.

        :raises StillWorking: it is not revoked.
        :raises Changed: it is of another version.
        """
        stored = self._stored(self._configuration(), id, version)
        if stored.revoked_at is None:
            raise StillWorking("The key is not revoked. Revoke it first; then it can be deleted.")
        audit = self._audit(self._now(), by, "key.delete", id, {"name": stored.name})
        with _database():
            if not self._store.delete(id, stored.version, audit):
                raise _changed()

    def note(self, by: By, action: str, subject: str = "", detail: Mapping[str, Any] | None = None) -> None:
        """Write down what was done to something else than a key."""
        with _database():
            self._store.note(self._audit(self._now(), by, action, subject, dict(detail or {})))

    # Pieces

    def _now(self) -> int:
        return int(self._wall() * _US)

    @staticmethod
    def _audit(now: int, by: By, action: str, subject: str, detail: dict[str, Any]) -> Audit:
        return Audit(now, by.actor, action, subject, detail, by.request_id, by.address)

    def _stored(self, configuration: Configuration, id: str, version: int | None) -> StoredKey:
        with _database():
            stored = self._store.get(id)
        if stored is None:
            if any(id_of(key.account) == id for key in _of_file(configuration)):
                raise KeptInFile("This key stands in keys.json: change that file.")
            raise _no_such_key(id)
        if version is not None and stored.version != version:
            raise _changed()
        return stored

    def _changeable(self, configuration: Configuration, id: str, version: int | None) -> StoredKey:
        stored = self._stored(configuration, id, version)
        if stored.revoked_at is not None:
            raise Revoked("The key is revoked, and stays so. Create another one.")
        return stored

    def _after(self, done: bool, id: str) -> KeyView:
        if not done:
            raise _changed()
        return self.get(id)

    @staticmethod
    def _check(configuration: Configuration, account: str, entry: Mapping[str, Any]) -> None:
        _, problems = Entries(configuration).read(account, entry)
        if "name" not in entry:
            problems.append(Problem(DATABASE, None, "", 'needs a field "name": what logs and the ledger call it'))
        if problems:
            places = ["" if each.place == "top level" else each.place for each in problems]
            said = (f"{at}: {each.message}" if at else each.message for at, each in zip(places, problems, strict=True))
            raise InvalidEntry("; ".join(said), param=places[0] or None)

    @staticmethod
    def _check_name(configuration: Configuration, name: str) -> None:
        if any(name == key.label for key in _of_file(configuration)):
            raise NameInUse(
                "A key in keys.json has this name. Take another one: logs tell keys apart by it.", param="name"
            )


def patched(value: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """:return: as RFC 7396 has it; neither is changed."""
    result = dict(value)
    for name, new in patch.items():
        if new is None:
            result.pop(name, None)
        elif isinstance(new, Mapping):
            old = result.get(name)
            result[name] = patched(old if isinstance(old, dict) else {}, new)
        else:
            result[name] = new
    return result


@contextmanager
def _database() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        # Where it is, and whatever else the database says of itself, is for the log of who asked for it.
        raise Unavailable("The database cannot be used just now.", headers={"retry-after": "5"}) from error
    except NameTaken as error:
        raise NameInUse("Another key in the database has this name, revoked ones too.", param="name") from error
    except DigestTaken as error:
        # As likely as guessing a key.
        raise Fault("The new key is one that there is already. Try again.") from error


def _no_such_key(id: str) -> NoSuchKey:
    return NoSuchKey(f"There is no virtual key {_safe(id)}.", param="id")


def _changed() -> Changed:
    return Changed("Somebody else has changed the key meanwhile. Read it again, then decide.")


def _safe(name: str) -> str:
    """In quotes where it cannot be a key."""
    is_id = name.startswith("key_") and len(name) == len(id_of("0" * 64))
    return repr(name) if is_id or not looks_like_key(name) else "of that name"


def _of_file(configuration: Configuration) -> Iterable[VirtualKey]:
    return (key for key in configuration.keys.values() if key.origin != DATABASE)


def _view(stored: StoredKey, entries: Entries, now: int) -> KeyView:
    problems: list[Problem] = []
    expires: float | None = None
    state = "revoked"
    if stored.revoked_at is None:
        key, problems = entries.read(stored.account, stored.entry)
        expires = key.expires if key is not None else None
        state = "faulty" if problems else _state(expires, now)
    old = [each for each in stored.working(now) if each.until is not None] if state == "active" else []
    return KeyView(
        stored.id,
        stored.name,
        stored.account[:8],
        DATABASE,
        state,
        stored.entry,
        moment(stored.created_at),
        moment(stored.changed_at),
        None if stored.revoked_at is None else moment(stored.revoked_at),
        stored.version,
        [OldKey(each.digest[:8], moment(each.until)) for each in old if each.until is not None],
        [str(each) for each in problems],
    )


def _view_of_file(key: VirtualKey, now: int) -> KeyView:
    return KeyView(id_of(key.account), key.name, key.fingerprint, "file", _state(key.expires, now), entry_of(key))


def _state(expires: float | None, now: int) -> str:
    return "expired" if expires is not None and expires * _US <= now else "active"


def entry_of(key: VirtualKey) -> dict[str, Any]:
    """
    :return: what is in use of an entry, in the words of ``keys.json``, and without any real key.
    """
    entry: dict[str, Any] = {}
    if key.name is not None:
        entry["name"] = key.name
    entry["credentials"] = [
        each.name
        if each.order == 0 and each.weight == 1
        else {"name": each.name, "order": each.order, "weight": each.weight}
        for each in key.credentials
    ]
    if key.models is not None:
        entry["models"] = {rule.pattern: True if rule.target is None else rule.target for rule in key.models.rules}
    if key.on_unsupported.value != "default":
        entry["on_unsupported"] = key.on_unsupported.value
    if key.operations is not None:
        entry["operations"] = sorted(key.operations)
    if key.expires is not None:
        entry["expires"] = moment(int(key.expires * _US))
    if key.group is not None:
        entry["group"] = key.group
    if key.labels:
        entry["labels"] = dict(key.labels)
    if key.limits:
        entry["limits"] = {limit.name: limit_entry(limit) for limit in key.limits}
    entry["on_disconnect"] = key.on_disconnect.value
    entry["on_unpriced"] = key.on_unpriced.value
    return entry


def limit_entry(limit: Limit) -> Any:
    """:return: one limit in the words of ``keys.json``."""
    amount: Any = dollars(limit.amount) if limit.measure is Measure.DOLLARS else limit.amount
    more: dict[str, Any] = {}
    if limit.burst is not None:
        more["burst"] = limit.burst
    if limit.warn_at is not None:
        more["warn_at"] = limit.warn_at
    if limit.shadow:
        more["shadow"] = True
    if limit.unreachable is not Unreachable.CLOSED:
        more["unreachable"] = limit.unreachable.value
    return {"limit": amount, **more} if more else amount


def moment(us: int) -> str:
    """
    :param us: microseconds since the epoch.
    :return: in UTC, to the millisecond.
    """
    return timestamp(us / _US)
