"""The demo provider as a companion of the gateway: its own listener on loopback, gone when the gateway is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import msgspec
from msgspec.structs import replace
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.web.server import Site

from llm_gateway.config.values import Configuration, Endpoint, HealthCheck, Provider
from llm_gateway.demo.resource import demo_resource
from llm_gateway.shipped import DATA


def demo_keys_file() -> str:
    """
    :return: the path of the ``keys.json`` for trying things out that ships with the package: the example, and a key
        for each provider that is played and not in it.
    """
    return str(DATA / "keys.demo.json")


class _QuietSite(Site):
    """A ``Site`` without an access log: the gateway's own tells of the same calls."""

    noisy = False

    def log(self, request: Any) -> None:
        pass


class DemoListener:
    """Serves the demo provider on a free port of 127.0.0.1, from start to stop."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._port: IListeningPort | None = None
        self._real_keys: set[str] = set()

    def start(self) -> None:
        site = _QuietSite(demo_resource(self._reactor, self._real_keys))
        self._port = self._reactor.listenTCP(0, site, interface="127.0.0.1")

    def stop(self) -> Deferred[None]:
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        return maybeDeferred(port.stopListening).addCallback(lambda _result: None)

    def stand_in(self, configuration: Configuration) -> Configuration:
        """
        :return: the same configuration with every provider's address replaced by the demo provider's.
        """
        self._real_keys.clear()
        self._real_keys.update(_reveal(configuration))
        providers = {name: self._played(provider) for name, provider in configuration.providers.items()}
        return replace(configuration, providers=providers)

    def _played(self, provider: Provider) -> Provider:
        """All of it: an address that was left would be sent the real key."""
        dialects = (provider.dialect, *(other.dialect for other in provider.others))
        own, *others = (self._endpoint(provider.name, dialect) for dialect in dialects)
        return replace(
            provider,
            **msgspec.structs.asdict(own),
            others=tuple(others),
            api_version=None,
            health=HealthCheck(url=own.base_url + "/models"),
        )

    def _endpoint(self, name: str, dialect: str) -> Endpoint:
        port = 0 if self._port is None else cast(IPv4Address, self._port.getHost()).port
        # Any other OpenAI-compatible provider is played as OpenAI.
        part = name if (name, dialect) == ("deepseek", "openai") else dialect
        base_url = f"http://127.0.0.1:{port}/{part}/{'v1beta' if dialect == 'gemini' else 'v1'}"
        if dialect == "gemini":
            return Endpoint(dialect, base_url, base_url, "x-goog-api-key")
        if dialect == "anthropic":
            return Endpoint(dialect, base_url + "/messages", base_url, "x-api-key")
        return Endpoint(dialect, base_url + "/chat/completions", base_url, "bearer")


def _reveal(configuration: Configuration) -> Collection[str]:
    return {key.api_key.reveal() for key in configuration.keys.values()}
