"""A gateway in memory that an operator can administer: the real resources over a database in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from llm_gateway.config.load import load_configuration
from llm_gateway.config.store import ConfigurationStore
from llm_gateway.config.values import Configuration
from llm_gateway.errors import ConfigurationError
from llm_gateway.issuing.keeper import Keeper
from llm_gateway.issuing.running import RunningKeys
from llm_gateway.ledger.keys import KeyStore
from llm_gateway.ledger.queries import Line, usage
from llm_gateway.web.admin.admission import AdminKeys, read_admin_keys
from llm_gateway.web.admin.app import AdminParts, AdminResource
from llm_gateway.web.admin.root import admin_root
from llm_gateway.web.live import Elsewhere
from tests.issuing.databases import quick_store
from tests.memory import Client, MemoryGateway

ADMIN_KEY = "admin-canary-0123456789abcdef"
OTHER_KEY = "bob-canary-0123456789abcdef0"
REAL_KEY = "sk-real-canary-0123456789abcdef"
FILE_KEY = "vk_in_file"
CREDENTIALS = {
    "main": {"provider": "openai", "api_key": REAL_KEY},
    "spare": {"provider": "openai", "api_key": REAL_KEY + "2"},
}
GROUPS = {"search": {"limits": {"usd_per_day": "10"}, "labels": {"team": "search"}}}
NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z"""


def at_once(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """In place of another thread."""
    return maybeDeferred(function, *arguments)


class Operated:
    """The admin API at an address of its own, and the gateway that it is of."""

    def __init__(self, folder: Path, keys: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        if keys is None:
            keys = {FILE_KEY: {"name": "in file", "provider": "openai", "api_key": REAL_KEY + "3"}}
        self.write(keys)
        (folder / "aiservices.json").write_text('{"openai": "https://api.openai.test/v1/chat/completions"}')
        (folder / "admin").write_text(f"# who may\nalice: {ADMIN_KEY}\nbob: {OTHER_KEY}\n")
        self.now = NOW
        self.elsewhere: Callable[[], Deferred[Elsewhere]] = lambda: succeed(Elsewhere())
        self.store = quick_store(folder / "ledger.db")
        self.keys = KeyStore(self.store)
        self.gateway = MemoryGateway()
        clock = self.gateway.clock
        self.files = ConfigurationStore(self.load, clock)
        self.running = RunningKeys(self.files, self.keys, at_once, clock)
        self.running.on_change(self.gateway.use)
        self.gateway.use(self.running.current)
        self.keeper = Keeper(self.keys, lambda: self.running.current, lambda: self.now)
        self.ledger = quick_store(folder / "ledger.db")
        self.parts = AdminParts(
            admin_keys=self.admin_keys(),
            keeper=self.keeper,
            running=self.running,
            live=self.gateway.live,
            in_thread=at_once,
            usage=self.usage,
            reload=self.reload,
            elsewhere=lambda: self.elsewhere(),
            ledger_health=lambda: {"waiting": 0},
            clock=clock,
            wall=lambda: self.now,
        )
        root = admin_root(AdminResource(self.parts), self.gateway.grants, clock, self.gateway.records)
        self.gateway.site.resource = root
        self.root = root

    def admin_keys(self) -> AdminKeys:
        return read_admin_keys(str(self.folder / "admin"))

    def write(self, keys: Mapping[str, Any], **more: Any) -> None:
        """Another ``keys.json``."""
        document = {"credentials": CREDENTIALS, "groups": GROUPS, "virtual_keys": keys, **more}
        (self.folder / "keys.json").write_text(json.dumps(document))

    def load(self) -> Configuration:
        return load_configuration(str(self.folder / "keys.json"), str(self.folder / "aiservices.json"), {})

    def usage(
        self, by: Sequence[str], since: float, until: float, where: Mapping[str, Sequence[str]]
    ) -> Sequence[Line]:
        return usage(self.ledger, by, since, until, where)

    async def reload(self) -> list[str]:
        try:
            self.load()
        except ConfigurationError as error:
            return [str(each) for each in error.problems]
        self.running.reload()
        return []

    def close(self) -> None:
        self.gateway.close()
        self.store.close()
        self.ledger.close()

    # What an operator does

    def ask(
        self, method: str, path: str, document: Any = None, *, key: str | None = ADMIN_KEY, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """
        :param document: sent as JSON; bytes as they are.
        :return: status, headers, and the body read.
        """
        body = document if isinstance(document, bytes) or document is None else json.dumps(document).encode()
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        client = self.gateway.client()
        client.ask(method, path, body, **headers)
        status, got, text = client.answer()
        assert status == 204 or method == "HEAD" or client.whole
        return status, got, json.loads(text) if text else None

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        found, _, document = self.ask("GET", path, **headers)
        assert found == status, document
        return document

    def post(self, path: str, document: Any = None, status: int = 200, **headers: str) -> Any:
        found, _, answer = self.ask("POST", path, document, **headers)
        assert found == status, answer
        return answer

    def create(self, name: str = "alice", **entry: Any) -> tuple[str, str]:
        """
        :return: the id and the key.
        """
        made = self.post("/admin/v1/keys", {"name": name, "credentials": ["main"], **entry}, 201)
        return made["virtual_key"]["id"], made["key"]

    def known(self, key: str) -> bool:
        """Whether the gateway knows a virtual key."""
        return self.gateway.grants.find(key.encode()) is not None

    def client(self) -> Client:
        return self.gateway.client()
