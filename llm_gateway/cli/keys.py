"""``llmgateway keys``: virtual keys that are made and changed while the gateway runs, or before it does."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from llm_gateway.cli.answers import refusal
from llm_gateway.cli.explanations import printable
from llm_gateway.cli.gateway import NoAnswer, RunningGateway, url_of
from llm_gateway.cli.ledgers import DEFAULT_LEDGER, existing_ledger
from llm_gateway.config.files import MAX_SETTINGS_BYTES, UnreadableFile, read_text
from llm_gateway.config.load import choose_files, read_configuration
from llm_gateway.config.problems import looks_like_key
from llm_gateway.config.values import Configuration
from llm_gateway.core.discreet import Discreet
from llm_gateway.core.operations import OPERATIONS
from llm_gateway.issuing.faults import Fault
from llm_gateway.issuing.keeper import DEFAULT_GRACE_S, MAX_GRACE_S, By, Keeper, KeyView, Made
from llm_gateway.ledger.keys import KeyStore
from llm_gateway.ledger.store import BadUrl, Store, StoreError, open_store

__all__ = ["add_parser"]

_TIMEOUT_S = 10.0
PAGE = 1000
"""Keys that a gateway is asked for at once."""
_STATES = ("active", "expired", "revoked", "faulty")
_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

_DESCRIPTION = """\
Make virtual keys, and list, change, rotate and revoke them. They are kept in the ledger's database, beside those of
keys.json, which are listed here and changed nowhere but in that file. A gateway that runs sees a change in a second.
"""

_EPILOG = """\
Keys are made in the database itself, whether or not a gateway runs; with --url, by the admin API of one that does.

environment:
  LEDGER                the ledger's database, where --ledger is not given
  KEYS_FILE             the file with credentials and groups, where --keys is not given
  AISERVICES_FILE       the file with the providers, where --aiservices is not given
  LLMGATEWAY_ADMIN_KEY  the admin key, for --url where --admin-key-file is not given

examples:
  llmgateway keys create alice --credential openai-main --limit usd_per_month=20 --limit requests_per_minute=60
  llmgateway keys edit alice --limit usd_per_month=50 --remove labels --expires 90d
  llmgateway keys rotate alice --grace 12h
  llmgateway keys revoke alice
  llmgateway keys list --url http://127.0.0.1:8080 --admin-key-file admin-key

A new key is printed to standard output, alone; everything else that is said about it goes to standard error.

exit status: 0 when it is done, 1 when it is not, 2 for wrong usage; 130 after Ctrl-C.
"""


T = TypeVar("T")


class _Failed(Exception):
    """It is not done. The message is one line for a person."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand. Its ``func`` takes the parsed namespace and returns the exit status."""
    parser = subparsers.add_parser(
        "keys",
        help="make, change and revoke virtual keys",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)

    listing = _action(actions, "list", "list all keys", None)
    listing.add_argument("--state", choices=_STATES, help="only those in this state")
    listing.add_argument("--group", help="only those of this group")

    _action(actions, "show", "show one key", "its name or id")

    create = _action(actions, "create", "make a key", "what logs and the ledger shall call it")
    _add_fields(create)

    edit = _action(actions, "edit", "change a key", "its name or id")
    edit.add_argument("--name", dest="new_name", metavar="NEW", help="another name for it")
    _add_fields(edit)
    edit.add_argument(
        "--remove", action="append", default=[], metavar="FIELD", help="take away: models, limits.usd_per_day..."
    )

    rotate = _action(actions, "rotate", "hand out another key for the same entry", "its name or id")
    rotate.add_argument(
        "--grace",
        default=f"{DEFAULT_GRACE_S}s",
        metavar="TIME",
        help="how long the old one works: 12h (default: a day)",
    )
    _action(actions, "revoke", "refuse a key from now on, for good", "its name or id")
    _action(actions, "delete", "forget a key that is revoked", "its name or id")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, takes: str | None
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".", allow_abbrev=False)
    if takes is not None:
        parser.add_argument("name", metavar="NAME", help=takes)
    where = parser.add_argument_group("where it is done")
    where.add_argument(
        "--ledger",
        metavar="URL",
        help=f"the database: a path, or postgresql://... (default: $LEDGER, else {DEFAULT_LEDGER})",
    )
    where.add_argument("--keys", metavar="FILE", help="credentials and groups (default: $KEYS_FILE, else keys.json)")
    where.add_argument(
        "--aiservices", metavar="FILE", help="the providers (default: $AISERVICES_FILE, else aiservices.json)"
    )
    where.add_argument("--url", help="a running gateway with an admin API, in place of all of these")
    where.add_argument(
        "--admin-key-file", metavar="FILE", help="the admin key, for --url (default: $LLMGATEWAY_ADMIN_KEY)"
    )
    where.add_argument(
        "--timeout", type=float, default=_TIMEOUT_S, metavar="S", help=f"longest wait for it (default: {_TIMEOUT_S:g})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    parser.set_defaults(func=lambda options: _run(options, parser))
    return parser


def _add_fields(parser: argparse.ArgumentParser) -> None:
    fields = parser.add_argument_group("its entry, as in keys.json")
    many: Any = {"action": "append", "default": []}
    fields.add_argument("--credential", **many, metavar="NAME", help="what it may use; repeat for several, best first")
    fields.add_argument("--model", **many, metavar="NAME", help="what it may call, * for any characters; or NAME=MEANT")
    fields.add_argument(
        "--operation", **many, choices=list(OPERATIONS), metavar="NAME", help="what it may be used for: chat..."
    )
    fields.add_argument("--group", metavar="NAME", help="whose limits count, too")
    fields.add_argument("--label", **many, metavar="NAME=VALUE", help="what the ledger says of its calls")
    fields.add_argument("--limit", **many, metavar="NAME=AMOUNT", help="requests_per_minute=60, usd_per_month=20...")
    fields.add_argument("--expires", metavar="TIME", help="from when on it is refused: 2027-01-31T00:00:00Z, or 90d")
    fields.add_argument("--entry", metavar="FILE", help="more of it as JSON; - for standard input")


def _run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    action = getattr(_Actions, options.action)
    try:
        with _desk(options, parser) as desk:
            action(_Actions(desk, options, parser))
    except (Fault, NoAnswer, _Failed) as failure:
        print(f"llmgateway keys: {failure}", file=sys.stderr)
        return 1
    return 0


# What is done


class _Actions(msgspec.Struct, frozen=True):
    desk: _Desk
    options: argparse.Namespace
    parser: argparse.ArgumentParser

    def list(self) -> None:
        found = [
            key
            for key in self.desk.all_keys()
            if self.options.state in (None, key.state) and self.options.group in (None, key.entry.get("group"))
        ]
        if self.options.json:
            _print_json({"data": found})
        else:
            _print_table(found)

    def show(self) -> None:
        self._show(self.desk.find(self.options.name))

    def create(self) -> None:
        self._made(self.desk.create({"name": self.options.name, **self._entry()}))

    def edit(self) -> None:
        key = self.desk.find(self.options.name)
        patch = self._entry(key.entry)
        if self.options.new_name is not None:
            patch["name"] = self.options.new_name
        for field in self.options.remove:
            *above, last = field.split(".")
            place = patch
            for name in above:
                place = place.setdefault(name, {})
            place[last] = None
        if not patch:
            self.parser.error("there is nothing to change; see --help")
        self._show(self.desk.edit(key.id, patch))

    def rotate(self) -> None:
        grace_s = _seconds(self.options.grace)
        if grace_s is None or grace_s > MAX_GRACE_S:
            self.parser.error("--grace must be a time, such as 90s, 12h or 7d, of a year at most")
        self._made(self.desk.rotate(self.desk.find(self.options.name).id, grace_s))

    def revoke(self) -> None:
        self._show(self.desk.revoke(self.desk.find(self.options.name).id))

    def delete(self) -> None:
        key = self.desk.find(self.options.name)
        self.desk.delete(key.id)
        if not self.options.json:
            print(f"{key.name} ({key.id}) is deleted", file=sys.stderr)

    def _made(self, made: Made) -> None:
        if self.options.json:
            _print_json(made)
            return
        print(made.key, flush=True)
        key = made.virtual_key
        print(f"{key.name} ({key.id}); the key is shown this once", file=sys.stderr)
        for old in key.old_keys:
            print(f"the one before it (key:{old.fingerprint}) works until {old.until}", file=sys.stderr)

    def _show(self, key: KeyView) -> None:
        if self.options.json:
            _print_json(key)
            return
        _print_table([key])
        print(msgspec.json.format(msgspec.json.encode(key.entry), indent=2).decode())
        for old in key.old_keys:
            print(f"the key before it (key:{old.fingerprint}) works until {old.until}")
        for problem in key.problems:
            print(f"faulty: {printable(problem)}")

    def _entry(self, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        :param before: what is changed, if anything: credentials and models given anew take the place of all before.
        :raises SystemExit: an option is wrong, and the parser has said so.
        """
        options = self.options
        entry: dict[str, Any] = self._from_file(options.entry) if options.entry else {}
        if options.credential:
            entry["credentials"] = options.credential
        if options.model:
            entry["models"] = self._models(options.model)
            if before is not None and isinstance(before.get("models"), Mapping) and isinstance(entry["models"], dict):
                # Objects are merged, and these are not meant to be.
                gone = before["models"].keys() - entry["models"].keys()
                entry["models"] |= dict.fromkeys(gone)
        if options.operation:
            entry["operations"] = list(dict.fromkeys(options.operation))
        if options.group:
            entry["group"] = options.group
        if options.label:
            entry["labels"] = {**entry.get("labels", {}), **dict(self._pairs("--label", options.label))}
        if options.limit:
            limits = {name: _amount(name, value) for name, value in self._pairs("--limit", options.limit)}
            entry["limits"] = {**entry.get("limits", {}), **limits}
        if options.expires:
            seconds = _seconds(options.expires)
            moment = options.expires
            if seconds is not None:
                now = datetime.now(UTC).timestamp()
                moment = datetime.fromtimestamp(now + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            entry["expires"] = moment
        return entry

    @staticmethod
    def _models(names: Sequence[str]) -> Any:
        if not any("=" in name for name in names):
            return list(names)
        pairs = (name.partition("=") for name in names)
        return {name: meant if equals else True for name, equals, meant in pairs}

    def _pairs(self, option: str, given: Iterable[str]) -> Iterator[tuple[str, str]]:
        for each in given:
            name, equals, value = each.partition("=")
            if not equals or not name:
                self.parser.error(f"{option} takes NAME=VALUE")
            yield name, value

    def _from_file(self, path: str) -> dict[str, Any]:
        try:
            text = sys.stdin.read() if path == "-" else read_text(path, MAX_SETTINGS_BYTES)
            value = msgspec.json.decode(text)
        except UnreadableFile as error:
            raise _Failed(f"{path} {error.reason}") from error
        except (msgspec.DecodeError, UnicodeError) as error:
            raise _Failed(f"--entry is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise _Failed("--entry must be a JSON object")
        return value


def _amount(name: str, value: str) -> Any:
    """A number as such; dollars, and what is none, as it is written: whoever reads the entry says what is wrong."""
    return int(value) if not name.startswith("usd") and value.isascii() and value.isdigit() else value


def _seconds(text: str) -> int | None:
    found = _SPAN.fullmatch(text)
    return None if found is None else int(found[1]) * _UNITS[found[2]]


# Where it is done


class _Desk(Protocol):
    """Where keys are kept. Everything raises ``Fault``, ``NoAnswer`` or ``_Failed``."""

    def all_keys(self) -> Iterable[KeyView]: ...

    def find(self, name: str) -> KeyView: ...

    def create(self, entry: Mapping[str, Any]) -> Made: ...

    def edit(self, id: str, patch: Mapping[str, Any]) -> KeyView: ...

    def rotate(self, id: str, grace_s: float) -> Made: ...

    def revoke(self, id: str) -> KeyView: ...

    def delete(self, id: str) -> None: ...


_WITHOUT_FILES = frozenset({"revoke", "delete"})
"""What cannot wait until the files are in order."""


@contextmanager
def _desk(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Iterator[_Desk]:
    if options.url:
        for name in ("ledger", "keys", "aiservices"):
            if getattr(options, name):
                parser.error(f"--url asks a running gateway, and --{name} is for the database itself")
        yield _Api(RunningGateway(_below_root(options, parser), options.timeout), _admin_key(options, parser))
        return
    if options.admin_key_file:
        parser.error("--admin-key-file is for --url")
    store = _new_ledger(options, parser) if options.action == "create" else existing_ledger(options, "keys", parser)
    keys_file, aiservices_file = choose_files(options.keys, options.aiservices, os.environ)
    reading = read_configuration(keys_file, aiservices_file, os.environ)
    if reading.problems and options.action not in _WITHOUT_FILES:
        for problem in reading.problems:
            print(f"error: {problem}", file=sys.stderr)
        store.close()
        raise _Failed(
            "keys are made for credentials of keys.json, which cannot be read here; "
            "--url asks a running gateway, which has read it"
        )
    configuration = Configuration({}, {}) if reading.problems else reading.configuration
    try:
        yield _Database(Keeper(KeyStore(store), lambda: configuration), _by())
    except StoreError as error:
        raise _Failed(str(error)) from error
    finally:
        store.close()


def _new_ledger(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Store:
    """The first key may be made before there is anything to account for."""
    try:
        return open_store(options.ledger or os.environ.get("LEDGER") or DEFAULT_LEDGER)
    except BadUrl as error:
        parser.error(f"--ledger: {error}")


def _below_root(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Any:
    url = url_of(options, os.environ, parser)
    return url._replace(path=url.path.removesuffix("/v1").removesuffix("/admin"))


def _by() -> By:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return By(f"command:{user}")


def _admin_key(options: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    if options.admin_key_file:
        try:
            lines = read_text(options.admin_key_file, MAX_SETTINGS_BYTES).splitlines()
        except UnreadableFile as error:
            parser.error(f"--admin-key-file {error.reason}")
        written = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        key = written[0] if written else ""
        name, colon, rest = key.partition(":")
        if colon and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) and name != "sha256":
            key = rest.strip()
        if key.startswith("sha256:"):
            parser.error("--admin-key-file holds the digest of a key, not the key; put the key into a file of your own")
    else:
        key = os.environ.get("LLMGATEWAY_ADMIN_KEY") or ""
    if not key:
        parser.error("an admin key is needed: --admin-key-file FILE, or LLMGATEWAY_ADMIN_KEY in the environment")
    if not (key.isascii() and key.isprintable()):
        parser.error("a key has printable ASCII characters only")
    return key


class _Database(msgspec.Struct, frozen=True):
    """The database itself."""

    _keeper: Keeper
    _by: By

    def all_keys(self) -> Iterable[KeyView]:
        return self._keeper.all()

    def find(self, name: str) -> KeyView:
        return self._keeper.find(name)

    def create(self, entry: Mapping[str, Any]) -> Made:
        return self._keeper.create(entry, self._by)

    def edit(self, id: str, patch: Mapping[str, Any]) -> KeyView:
        return self._keeper.edit(id, patch, self._by)

    def rotate(self, id: str, grace_s: float) -> Made:
        return self._keeper.rotate(id, grace_s, self._by)

    def revoke(self, id: str) -> KeyView:
        return self._keeper.revoke(id, self._by)

    def delete(self, id: str) -> None:
        self._keeper.delete(id, self._by)


class _Page(msgspec.Struct):
    data: list[KeyView]
    has_more: bool


class _Api(Discreet, msgspec.Struct, frozen=True):
    """A running gateway."""

    _gateway: RunningGateway
    _key: str

    def shown(self) -> tuple[str, ...]:
        return ("_gateway",)

    def all_keys(self) -> Iterable[KeyView]:
        after = ""
        while True:
            page = self._read(
                _Page, "GET", f"/keys?{urlencode({'limit': PAGE, **({'after': after} if after else {})})}"
            )
            yield from page.data
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    def find(self, name: str) -> KeyView:
        if re.fullmatch("key_[0-9a-f]{16}", name):
            return self._read(KeyView, "GET", f"/keys/{name}")
        found = self._read(_Page, "GET", f"/keys?{urlencode({'name': name})}").data
        found = found or [key for key in self.all_keys() if name == f"key:{key.fingerprint}"]
        if len(found) != 1:
            many = "several virtual keys are" if found else "no virtual key is"
            shown = "called so" if looks_like_key(name) else f"called {name!r}"
            raise _Failed(f"{many} {shown}; `llmgateway keys list` shows what they are called")
        return found[0]

    def create(self, entry: Mapping[str, Any]) -> Made:
        return self._read(Made, "POST", "/keys", entry)

    def edit(self, id: str, patch: Mapping[str, Any]) -> KeyView:
        return self._read(KeyView, "PATCH", f"/keys/{quote(id)}", patch)

    def rotate(self, id: str, grace_s: float) -> Made:
        return self._read(Made, "POST", f"/keys/{quote(id)}/rotate", {"grace_s": grace_s})

    def revoke(self, id: str) -> KeyView:
        return self._read(KeyView, "POST", f"/keys/{quote(id)}/revoke")

    def delete(self, id: str) -> None:
        self._ask("DELETE", f"/keys/{quote(id)}")

    def _read(self, shape: type[T], method: str, path: str, document: Mapping[str, Any] | None = None) -> T:
        body = self._ask(method, path, document)
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.DecodeError as error:
            raise NoAnswer(f"what came is not what this version expects: {error}") from error

    def _ask(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> bytes:
        headers = {"authorization": f"Bearer {self._key}", "accept": "application/json"}
        body = b"" if document is None else msgspec.json.encode(document)
        if body:
            headers["content-type"] = "application/json"
        response = self._gateway.ask(method, f"/admin/v1{path}", headers, body)
        with closing(response):
            content = b"".join(self._gateway.chunks(response))
        if response.status >= 300:
            told = {name.lower(): value for name, value in response.getheaders()}
            raise refusal(response.status, told, content)
        return content


# How it is shown


def _print_json(document: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def _print_table(keys: Sequence[KeyView]) -> None:
    head = ("NAME", "ID", "STATE", "KEPT IN", "GROUP", "EXPIRES", "LIMITS")
    rows = [head, *(_row(key) for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(key: KeyView) -> tuple[str, ...]:
    limits = key.entry.get("limits") or {}
    said = [f"{name}={each['limit'] if isinstance(each, Mapping) else each}" for name, each in limits.items()]
    cells = (
        key.name or f"key:{key.fingerprint}",
        key.id,
        key.state,
        "keys.json" if key.origin == "file" else key.origin,
        key.entry.get("group") or "-",
        key.entry.get("expires") or "-",
        " ".join(said) or "-",
    )
    return tuple(printable(str(cell)) for cell in cells)
