"""What a virtual key opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from llm_gateway.config.values import Configuration, Provider, Secret, VirtualKey
from llm_gateway.core.headers import Fields
from llm_gateway.core.limits.values import Limit, Measure
from llm_gateway.core.record import printable
from llm_gateway.core.translation.losses import OnUnsupported
from llm_gateway.errors import ModelNotAllowed
from llm_gateway.upstream.targets import Target


class Way(msgspec.Struct, frozen=True):
    """To a provider in one of its dialects, with one of its real keys."""

    target: Target
    headers: Fields
    """What the calls carry besides the client's headers."""
    secrets: tuple[bytes, ...]
    """What the calls carry and no client may get to see."""


class Grant(msgspec.Struct, frozen=True):
    """A resolved virtual key."""

    key: VirtualKey
    way: Way | None
    """With its first credential, in that one's provider's own dialect; ``None`` while ``aiservices.json`` has none of
    that name."""
    ways: Mapping[str, Mapping[str, Way]]
    """With each credential whose provider is configured, in each dialect that the provider speaks; by name and name."""
    label: str
    """How the key is called in logs."""
    limited: bool
    """Whether the key may call some models only."""
    limits: tuple[Limit, ...] = ()
    """What counts for its calls: those of all calls, of its group, and its own."""
    told: tuple[Limit, ...] = ()
    """Of them, those of which answers say how they stand."""
    budgeted: bool = False
    """Whether one of them is of money."""
    digest: str = ""
    """What its use is counted under: SHA-256 of the key, or of the first one of several that followed each other."""

    def way_with(self, credential: str, dialect: str) -> Way:
        """
        :param credential: the name of one of ``ways``.
        :param dialect: the provider's own counts where it does not speak that.
        """
        ways = self.ways[credential]
        return ways.get(dialect) or next(iter(ways.values()))

    def allows(self, model: str) -> bool:
        """
        :param model: a name that means itself. The key may have given it to another model.
        """
        models = self.key.models
        rule = None if models is None else models.find(model)
        return models is None or (rule is not None and rule.target_of(model) == model)

    def meant(self, model: str) -> str:
        """
        :return: what the key's own name for a model stands for.
        :raises ModelNotAllowed: the key may not call it.
        """
        models = self.key.models
        if models is None:
            return model
        rule = models.find(model)
        if rule is None:
            raise ModelNotAllowed(f"This key may not call a model named {printable(model)!r}.")
        return rule.target_of(model)

    def policy(self, target: Target) -> OnUnsupported:
        """What is done about what the provider's dialect cannot say: the key's word counts before the provider's."""
        own = self.key.on_unsupported
        return target.provider.on_unsupported if own is OnUnsupported.DEFAULT else own


class GrantBook:
    """
    What the virtual keys of the current configuration open, worked out when a key is first used.

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
        self._ways: dict[str, Mapping[str, Way]] = {}
        self._grants: dict[bytes, Grant] = {}

    def use(self, configuration: Configuration) -> None:
        """Replace what the keys open."""
        before, known = self._configuration, self._grants
        if _but_keys(configuration) == _but_keys(before):
            # One of many keys was made or changed while the gateway runs: the others open what they did.
            targets, ways = self.targets, self._ways
        else:
            targets = {name: self._target(provider) for name, provider in configuration.providers.items()}
            ways = {
                name: _ways(targets[credential.provider], credential.api_key)
                for name, credential in configuration.credentials.items()
                if credential.provider in targets
            }
            known = {}
        keys = configuration.keys
        grants = {digest: grant for digest, grant in known.items() if keys.get(digest) is grant.key}
        self._configuration, self.targets, self._ways, self._grants = configuration, targets, ways, grants

    def _target(self, provider: Provider) -> Target:
        client = self._make_client(provider.timeouts.connect_s)
        others = [provider.speaking(each.dialect) for each in provider.others]
        return Target(
            _in_its_dialect(provider),
            client,
            self._clock,
            [Target(_in_its_dialect(each), client, self._clock) for each in others if each is not None],
        )

    @property
    def generation(self) -> object:
        """Another one with every configuration: what was found in an earlier one does not count."""
        return self._grants

    def find(self, presented: bytes) -> Grant | None:
        """
        :param presented: a key as a client sent it.
        """
        key = self._configuration.key_for(presented)
        return None if key is None else self.of(key)

    def of(self, key: VirtualKey) -> Grant:
        """
        :param key: one of the current configuration.
        """
        found = self._grants.get(key.digest)
        if found is None:
            found = self._grants[key.digest] = _grant(key, self._ways, self._configuration)
        return found


def _but_keys(configuration: Configuration) -> tuple[object, ...]:
    """What grants are made of besides their keys."""
    return configuration.providers, configuration.credentials, configuration.groups, configuration.limits


def _in_its_dialect(provider: Provider) -> Provider:
    """Without the version of Azure's older API where it speaks another dialect: that has no such paths."""
    return provider if provider.dialect == "openai" else replace(provider, api_version=None)


def _ways(target: Target, api_key: Secret) -> Mapping[str, Way]:
    secrets = target.secrets_with(api_key)
    return {each.dialect.name: Way(each, each.own_headers(api_key), secrets) for each in (target, *target.others)}


def _grant(key: VirtualKey, ways: Mapping[str, Mapping[str, Way]], configuration: Configuration) -> Grant:
    own = {use.name: ways[use.name] for use in key.credentials if use.name in ways}
    first = own.get(key.credentials[0].name)
    way = None if first is None else next(iter(first.values()))
    group = configuration.groups.get(key.group or "")
    limits = (*configuration.limits, *(() if group is None else group.limits), *key.limits)
    told = tuple(
        each
        for each in limits
        if each.warn_at is not None or not (each.shadow or each.measure in (Measure.DOLLARS, Measure.IN_FLIGHT))
    )
    budgeted = any(each.measure is Measure.DOLLARS for each in limits)
    return Grant(key, way, own, key.label, key.models is not None, limits, told, budgeted, key.account)
