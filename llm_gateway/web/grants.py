"""What a virtual key opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from llm_gateway.config.catalogue import shipped_catalogue
from llm_gateway.config.values import Configuration, Provider, VirtualKey
from llm_gateway.core.catalogue import Chosen, choose
from llm_gateway.core.headers import Fields
from llm_gateway.core.record import printable
from llm_gateway.core.translation.losses import OnUnsupported
from llm_gateway.errors import ModelNotAllowed
from llm_gateway.upstream.targets import Target


@attrs.frozen
class Way:
    """To a provider in one of its dialects, with one of its real keys."""

    target: Target
    headers: Fields
    """What the calls carry besides the client's headers."""


@attrs.frozen
class Grant:
    """A resolved virtual key."""

    key: VirtualKey
    way: Way | None
    """To its provider, in that one's own dialect; ``None`` while ``aiservices.json`` has none of that name."""
    ways: Mapping[str, Way]
    """The same in every dialect that the provider speaks, by name."""
    label: str
    """How the key is called in logs."""
    secrets: tuple[bytes, ...]
    """What the calls carry and no client may get to see."""
    on_unsupported: OnUnsupported
    """What is done about what its provider's dialect cannot say."""
    limited: bool
    """Whether the key may call some models only."""
    renames: bool
    """Whether the model that a caller names has to be looked at: it may be called otherwise, or not be allowed."""

    def chosen(self, model: str) -> Chosen:
        """
        :param model: as the caller names it.
        :raises ModelNotAllowed: the key may not call it.
        """
        way = self.way
        assert way is not None
        provider = way.target.provider
        chosen = choose(model, self.key.models, provider.models, shipped_catalogue(), provider.family)
        if chosen is None:
            raise ModelNotAllowed(f"This key may not call a model named {printable(model)!r}.")
        return chosen


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
        targets = {name: self._target(provider) for name, provider in configuration.providers.items()}
        grants = {digest: _grant(key, targets.get(key.provider)) for digest, key in configuration.keys.items()}
        self._configuration, self.targets, self._grants = configuration, targets, grants

    def _target(self, provider: Provider) -> Target:
        client = self._make_client(provider.timeouts.connect_s)
        others = [provider.speaking(each.dialect) for each in provider.others]
        return Target(
            provider, client, self._clock, [Target(each, client, self._clock) for each in others if each is not None]
        )

    def find(self, presented: bytes) -> Grant | None:
        """
        :param presented: a key as a client sent it.
        """
        key = self._configuration.key_for(presented)
        return None if key is None else self._grants[key.digest]


def _grant(key: VirtualKey, target: Target | None) -> Grant:
    if target is None:
        return Grant(key, None, {}, key.label, (), key.on_unsupported, False, False)
    ways = {each.dialect.name: Way(each, each.own_headers(key.api_key)) for each in (target, *target.others)}
    own = key.on_unsupported is not OnUnsupported.DEFAULT
    policy = key.on_unsupported if own else target.provider.on_unsupported
    secrets = target.secrets_with(key.api_key)
    limited = key.models is not None
    renames = limited or any(rule.target is not None for rule in target.provider.models.rules)
    return Grant(key, ways[target.dialect.name], ways, key.label, secrets, policy, limited, renames)
