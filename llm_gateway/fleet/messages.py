"""What the supervising process and its workers tell each other: one JSON object per line, over a pipe each way."""

from __future__ import annotations

from typing import Any

import msgspec

from llm_gateway.config.values import Configuration, Credential, Group, Provider, Secret, VirtualKey
from llm_gateway.core.limits.values import Limit
from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.routing.settings import RoutingSettings
from llm_gateway.settings import Settings
from llm_gateway.upstream.prober import ProviderHealth
from llm_gateway.web.live import LiveCall, WorkerState


class Content(msgspec.Struct, frozen=True):
    """
    A whole configuration.

    Real keys are in here as they are: they leave one process for another that it has just started, through a pipe that
    nobody else holds.
    """

    providers: list[Provider]
    keys: list[VirtualKey]
    credentials: list[Credential] = []
    routing: RoutingSettings = msgspec.field(default_factory=RoutingSettings)
    groups: list[Group] = []
    limits: tuple[Limit, ...] = ()
    label_from: dict[str, str] = {}

    @classmethod
    def of(cls, configuration: Configuration) -> Content:
        return cls(
            list(configuration.providers.values()),
            list(configuration.keys.values()),
            list(configuration.credentials.values()),
            configuration.routing,
            list(configuration.groups.values()),
            configuration.limits,
            dict(configuration.label_from),
        )

    def configuration(self) -> Configuration:
        """Without warnings, which have been given, and without files, which somebody else watches."""
        return Configuration(
            providers={provider.name: provider for provider in self.providers},
            keys={key.digest: key for key in self.keys},
            credentials={credential.name: credential for credential in self.credentials},
            routing=self.routing,
            groups={group.name: group for group in self.groups},
            limits=self.limits,
            label_from=self.label_from,
        )


# To a worker


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The first message: all that a worker has to know. It starts, and answers with ``Ready``."""

    number: int
    settings: Settings
    sockets: list[tuple[str, int]]
    """Endpoints and the descriptors of their sockets."""
    generation: int
    content: Content


class Use(msgspec.Struct, frozen=True, tag="use"):
    """Work with this configuration from now on; answered with ``Using``."""

    generation: int
    """Goes up with every configuration."""
    content: Content


class Health(msgspec.Struct, frozen=True, tag="health"):
    """What the one prober has found."""

    states: list[ProviderHealth]


class Workers(msgspec.Struct, frozen=True, tag="workers"):
    """How all the workers are."""

    states: list[WorkerState]


class Reopen(msgspec.Struct, frozen=True, tag="reopen"):
    """Open the access log anew by its name."""


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Finish the running calls, then end."""

    leave_sockets: bool
    """Whether new connections go to another program: they are left alone then, and not told that there is a restart."""


class Hurry(msgspec.Struct, frozen=True, tag="hurry"):
    """End the calls that still run."""


class Reloaded(msgspec.Struct, frozen=True, tag="reloaded"):
    """The files have been read again, since this worker asked for it."""

    problems: list[str]
    """What is wrong with them; nothing if they are in use now."""


class ShowCalls(msgspec.Struct, frozen=True, tag="show_calls"):
    """Another worker wants to know which calls are answered here; answered with ``ShownCalls``."""

    asker: int
    """Its pid."""


class OthersCalls(msgspec.Struct, frozen=True, tag="others_calls"):
    """What another worker is answering."""

    pid: int
    """Of that worker."""
    count: int
    data: list[LiveCall]


# From a worker


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker takes calls."""


class Using(msgspec.Struct, frozen=True, tag="using"):
    """The worker works with the configuration of this generation."""

    generation: int


class Calls(msgspec.Struct, frozen=True, tag="calls"):
    """How many calls are running. Told when it has changed, and in any case before draining."""

    count: int


class Reload(msgspec.Struct, frozen=True, tag="reload"):
    """Read the files again; answered with ``Reloaded``, each in its turn."""


class AskCalls(msgspec.Struct, frozen=True, tag="ask_calls"):
    """Ask other workers which calls they are answering; each of them answers with ``OthersCalls``."""

    of: list[int]
    """Their pids."""


class ShownCalls(msgspec.Struct, frozen=True, tag="shown_calls"):
    """Which calls are answered here. What they ask for and what they get is not in here, nor is any key."""

    asker: int
    """The pid of the worker that wants to know."""
    count: int
    data: list[LiveCall]
    """``MOST_CALLS`` of them at most, the oldest."""


ToWorker = Begin | Use | Health | Workers | Reopen | Drain | Hurry | Reloaded | ShowCalls | OthersCalls
FromWorker = Ready | Using | Calls | Reload | AskCalls | ShownCalls


def encode(message: ToWorker | FromWorker) -> bytes:
    """
    :return: one line.
    """
    return msgspec.json.encode(message, enc_hook=_written) + b"\n"


def to_worker(line: bytes) -> ToWorker:
    return _TO_WORKER.decode(line)


def from_worker(line: bytes) -> FromWorker:
    return _FROM_WORKER.decode(line)


def _written(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, ModelRules):
        return value.rules
    raise NotImplementedError(f"no message holds a {type(value).__name__}")


def _read(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    if kind is ModelRules:
        return ModelRules(msgspec.convert(value, list[ModelRule]))
    raise NotImplementedError(f"no message holds a {kind.__name__}")


_TO_WORKER: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker, dec_hook=_read)
_FROM_WORKER: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)
