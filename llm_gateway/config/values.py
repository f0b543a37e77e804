"""What the configuration is once it has been read: frozen values, already checked."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NoReturn

import msgspec
from msgspec.structs import replace

from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.discreet import Discreet
from llm_gateway.core.limits.values import Limit
from llm_gateway.core.model_rules import ModelRules
from llm_gateway.core.policies import OnDisconnect, OnUnpriced
from llm_gateway.core.presets import APIS
from llm_gateway.core.routing.settings import CredentialUse, RoutingSettings
from llm_gateway.core.translation.losses import OnUnsupported
from llm_gateway.errors import Problem


class Secret:
    """A text that must not be shown. Printing, formatting, logging or pickling it does not give it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """:return: the text itself. Call this where it goes on the wire and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_raw(self._text), _raw(other._text))

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class HealthCheck(msgspec.Struct, frozen=True):
    """How to find out whether a provider is there, without asking for anything that it bills."""

    url: str
    enabled: bool = True
    method: str = "GET"


class Endpoint(msgspec.Struct, frozen=True):
    """Where a provider speaks one of its dialects."""

    dialect: str
    """A name in `llm_gateway.core.dialects.DIALECTS`."""
    url: str
    base_url: str
    auth: str
    serves: ModelRules = msgspec.field(default_factory=ModelRules)
    """The models that are known to be there, and what they are called there; others may be there too."""


class Provider(msgspec.Struct, frozen=True):
    """One provider of ``aiservices.json`` with every default filled in."""

    name: str
    url: str
    """Where the native paths go: the provider's chat URL."""
    base_url: str
    """What the other paths are put behind. Has no query and no slash at its end."""
    dialect: str
    """A name in `llm_gateway.core.dialects.DIALECTS`."""
    auth: str
    """``bearer``, the name of the header that takes the key, or ``none``."""
    headers: tuple[tuple[str, Secret], ...]
    """Sent with every call to this provider. Names in lower case."""
    forward_headers: tuple[str, ...]
    """More of the client's headers that are passed on. In lower case."""
    timeouts: Timeouts
    health: HealthCheck
    others: tuple[Endpoint, ...] = ()
    """The dialects that it speaks besides its own, each once."""
    preset: str | None = None
    """The known provider that this is."""
    family: str | None = None
    """Whose models it has, for the catalogue."""
    apis: tuple[str, ...] = APIS
    """Which of OpenAI's two ways of holding a conversation it has, if it speaks that dialect."""
    api_version: str | None = None
    """Of Azure's older API, whose paths `llm_gateway.core.azure` makes."""
    models: ModelRules = msgspec.field(default_factory=ModelRules)
    """What the operator says of its models."""
    serves: ModelRules = msgspec.field(default_factory=ModelRules)
    """Which models are known to be where it speaks its own dialect, as in `Endpoint`."""
    on_unsupported: OnUnsupported = OnUnsupported.DEFAULT
    ask_usage: bool = True
    """Whether streams of Chat Completions are asked for their numbers where the client has not asked."""
    forward_beta: tuple[str, ...] | None = None
    """The client's beta features that are passed on: names, with ``*`` for any characters; ``None`` for all."""

    @property
    def own_endpoint(self) -> Endpoint:
        """Where it speaks its own dialect."""
        return Endpoint(self.dialect, self.url, self.base_url, self.auth, self.serves)

    def speaking(self, dialect: str) -> Provider | None:
        """:return: this provider with one of its dialects for its own; ``None`` if it does not speak that."""
        if dialect == self.dialect:
            return self
        found = next((each for each in self.others if each.dialect == dialect), None)
        if found is None:
            return None
        rest = (self.own_endpoint, *(each for each in self.others if each is not found))
        return replace(self, **msgspec.structs.asdict(found), others=rest)


class Credential(msgspec.Struct, frozen=True):
    """A real key, under the name that logs, health and explanations show for it."""

    name: str
    provider: str
    api_key: Secret
    limits: tuple[Limit, ...] = ()
    """What all calls with it may use."""


class Group(msgspec.Struct, frozen=True):
    """Virtual keys that have limits in common."""

    name: str
    limits: tuple[Limit, ...] = ()
    labels: Mapping[str, str] = {}


MADE_UP: Final = "real:"
"""What the names of credentials begin with that the operator did not name. No name of an operator's holds a colon."""


def made_up_credential(provider: str, api_key: str, digits: int = 8) -> Credential:
    """
    Name the real key of a virtual key that has it beside it: keys with the same one share its health and its limits.

    :param digits: of the SHA-256 in the name. More than usual where those of two real keys are the same.
    """
    digest = hashlib.sha256(_raw(f"{provider}\0{api_key}")).hexdigest()
    return Credential(f"{MADE_UP}{digest[:digits]}", provider, Secret(api_key))


class VirtualKey(Discreet, msgspec.Struct, frozen=True):
    """One entry of ``keys.json``. The virtual key itself is not kept, only its digest."""

    digest: bytes
    """SHA-256 of the key in UTF-8; 32 bytes."""
    fingerprint: str
    """The first 8 hexadecimal digits of the digest."""
    name: str | None
    provider: str
    """Of its first credential; one that is not configured is a warning, and its calls are refused."""
    api_key: Secret
    """Of its first credential."""
    models: ModelRules | None = None
    """What it may call, and under which names; ``None`` for everything."""
    on_unsupported: OnUnsupported = OnUnsupported.DEFAULT
    credentials: tuple[CredentialUse, ...] = ()
    """What its calls can be sent with, in the order of the file: at least one. Without any, the one it has is made."""
    group: str | None = None
    labels: Mapping[str, str] = {}
    """What the ledger says of its calls; those of its group included."""
    expires: float | None = None
    """Seconds since the epoch from which on it is refused."""
    operations: frozenset[str] | None = None
    """Of ``core.operations.OPERATIONS``, those that it may be used for; ``None`` for all."""
    limits: tuple[Limit, ...] = ()
    """Its own; those of its group count, too."""
    on_disconnect: OnDisconnect = OnDisconnect.ABORT_AND_ESTIMATE
    on_unpriced: OnUnpriced = OnUnpriced.REFUSE
    origin: str = "file"
    """Where it is kept: ``file`` for ``keys.json``, ``database`` for those made at run time."""
    account: str = ""
    """
    The digest, in hexadecimal, that its use is counted under, in limits and in the ledger: its own, or for one that was
    made at run time the one of the first key that was handed out for it, whatever its key is by now.
    """

    def shown(self) -> tuple[str, ...]:
        return ("label", "origin")

    def __post_init__(self) -> None:
        if not self.account:
            msgspec.structs.force_setattr(self, "account", self.digest.hex())
        if not self.credentials:
            made_up = made_up_credential(self.provider, self.api_key.reveal())
            uses = (CredentialUse(made_up.name, made_up.provider),)
            msgspec.structs.force_setattr(self, "credentials", uses)

    @property
    def label(self) -> str:
        """What logs and tables show."""
        return self.name or f"key:{self.fingerprint}"


_THEIR_FIRST: Final[Mapping[str, Credential]] = MappingProxyType({})
"""In place of credentials: those that the keys have first."""


class Configuration(Discreet, msgspec.Struct, frozen=True):
    """Both files, read together: a call that has begun keeps the one it began with."""

    providers: Mapping[str, Provider]
    """By name, in the order of the file."""
    keys: Mapping[bytes, VirtualKey]
    """By digest, in the order of the file."""
    warnings: tuple[Problem, ...] = ()
    """What is wrong without keeping the rest from working."""
    files: tuple[str, ...] = ()
    """Every file that was read, the files of secrets among them: when one changes, it is time to read again."""
    credentials: Mapping[str, Credential] = _THEIR_FIRST
    """By name: those without a name of the operator's, that keys have beside them, too."""
    routing: RoutingSettings = msgspec.field(default_factory=RoutingSettings)
    groups: Mapping[str, Group] = {}
    limits: tuple[Limit, ...] = ()
    """What all calls together may use."""
    label_from: Mapping[str, str] = {}
    """Labels that callers give, with where: ``header:NAME``, ``metadata:NAME`` or ``user``."""

    def shown(self) -> tuple[str, ...]:
        return ("holds", "providers", "routing", "limits", "files")

    @property
    def holds(self) -> str:
        """How much of what is not shown."""
        return f"{len(self.keys)} keys, {len(self.credentials)} credentials"

    def __post_init__(self) -> None:
        freeze = msgspec.structs.force_setattr
        if self.credentials is _THEIR_FIRST:
            freeze(self, "credentials", self._first_credentials())
        for name in ("providers", "keys", "credentials", "groups"):
            freeze(self, name, MappingProxyType(dict(getattr(self, name))))

    def _first_credentials(self) -> Mapping[str, Credential]:
        """Where nothing else is said: of keys that have one credential each, their own."""
        firsts = [(key.credentials[0], key.api_key) for key in self.keys.values()]
        return {use.name: Credential(use.name, use.provider, api_key) for use, api_key in firsts}

    def all_limits(self) -> Iterator[tuple[Limit, ...]]:
        """
        :return: those of all calls, then of each group, key and credential; empty where there are none.
        """
        yield self.limits
        for group in self.groups.values():
            yield group.limits
        for key in self.keys.values():
            yield key.limits
        for credential in self.credentials.values():
            yield credential.limits

    def key_for(self, presented: bytes) -> VirtualKey | None:
        """
        Find the virtual key that a caller presented.

        The look-up is by digest, so its timing tells nothing about the keys; the comparison that follows is constant
        in time for form's sake.

        :param presented: the key as it came, without ``Bearer``.
        """
        digest = hashlib.sha256(presented).digest()
        found = self.keys.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None
