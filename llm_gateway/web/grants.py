"""What a virtual key opens."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from llm_gateway.config.values import Configuration, VirtualKey
from llm_gateway.core.headers import Fields
from llm_gateway.upstream.targets import Target


@attrs.frozen
class Grant:
    """A resolved virtual key."""

    key: VirtualKey
    target: Target | None
    """The provider that it leads to; ``None`` while ``aiservices.json`` has none of that name."""
    label: str
    """How the key is called in logs."""
    headers: Fields
    """What its calls carry besides the client's headers."""
    secrets: tuple[bytes, ...]
    """What of them no client may get to see."""


class GrantBook:
    """
    Every virtual key of the current configuration, ready for use.

    A new configuration replaces the whole book between two calls. A call keeps the grant that it began with.
    """

    def __init__(self, make_client: Callable[[float], HTTPClient], clock: IReactorTime) -> None:
        """
        :param make_client: from a connect timeout in seconds to the client that calls a provider.
        """
        self._make_client = make_client
        self._clock = clock
        self._configuration = Configuration(providers={}, keys={}, warnings=(), files=())
        self.targets: dict[str, Target] = {}
        self._grants: dict[bytes, Grant] = {}

    def use(self, configuration: Configuration) -> None:
        """Replace what the keys open."""
        targets = {
            name: Target(provider, self._make_client(provider.timeouts.connect_s), self._clock)
            for name, provider in configuration.providers.items()
        }
        grants = {digest: _grant(key, targets.get(key.provider)) for digest, key in configuration.keys.items()}
        self._configuration, self.targets, self._grants = configuration, targets, grants

    def find(self, presented: bytes) -> Grant | None:
        """
        :param presented: a key as a client sent it.
        """
        key = self._configuration.key_for(presented)
        return None if key is None else self._grants[key.digest]


def _grant(key: VirtualKey, target: Target | None) -> Grant:
    if target is None:
        return Grant(key, None, key.label, {}, ())
    return Grant(key, target, key.label, target.own_headers(key.api_key), target.secrets_with(key.api_key))
