"""What an operator may say about routing, with what counts where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated

import msgspec
from msgspec import Meta

from llm_gateway.core.checked import Checked
from llm_gateway.core.routing.outcomes import FALLS_BACK, RULES, OutcomeKind

__all__ = [
    "Breaking",
    "CredentialUse",
    "Fallback",
    "Hedging",
    "Limits",
    "ModelSettings",
    "ProviderSettings",
    "Repeat",
    "Retries",
    "RoutingSettings",
    "Strategy",
    "Target",
]


Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(gt=0, le=1)]
ShareOrZero = Annotated[float, Meta(ge=0, le=1)]


class Strategy(Enum):
    """How one of several candidates of the same order is chosen."""

    IN_ORDER = "in_order"
    """The first that is in, as they are listed."""
    WEIGHTED = "weighted"
    """By chance, in proportion to the weights."""
    LEAST_BUSY = "least_busy"
    """The one with the fewest calls in flight for its weight."""
    FASTEST = "fastest"
    """The one whose first token has come soonest of late; now and then another, to see."""
    CHEAPEST = "cheapest"
    """The one with the lowest price; those without one come last."""


class Repeat(Enum):
    """Which calls may be sent again although a provider may have acted on them, and may bill them twice."""

    SAFE = "safe"
    """Only those that do nothing: reading, counting."""
    GENERATIONS = "generations"
    """Also those that have an answer generated and leave nothing else behind."""
    ALL = "all"
    """Also those that make something, such as a file or a batch, which may then be there twice."""


class CredentialUse(Checked, frozen=True):
    """One entry of ``credentials`` of a virtual key. The credential itself is named once for all keys."""

    name: str
    provider: str
    order: Count = 0
    """Lower ones first; a higher one is asked when no lower one is in."""
    weight: NotNegative = 1.0
    """Share among those of the same order. With 0 it is asked when no other one is in."""


class Target(Checked, frozen=True):
    """What one of the operator's own model names can stand for."""

    provider: str
    model: str
    order: Count = 0
    weight: NotNegative = 1.0


class Fallback(msgspec.Struct, frozen=True):
    """Another model for calls that the first one did not answer."""

    to: str
    """A name as callers use them: one of the operator's own, ``provider/model``, or a model's."""
    on: frozenset[OutcomeKind] = FALLS_BACK
    """After which outcomes. By default those for which another candidate is asked too."""

    def __post_init__(self) -> None:
        for kind in self.on:
            if not RULES[kind].falls_back:
                raise ValueError(f"'on' must be kinds of outcomes that can lead to another model: not {kind.value}")


class ModelSettings(msgspec.Struct, frozen=True):
    """What is said of one name for a model."""

    targets: tuple[Target, ...] = ()
    """What the name stands for. Without any it is a model's own name."""
    fallbacks: tuple[Fallback, ...] = ()
    """In this order; the fallbacks of a fallback do not count."""
    strategy: Strategy | None = None
    """``None`` for what counts for all."""
    sticky: bool | None = None


class Retries(Checked, frozen=True):
    """How far the gateway goes for one call."""

    attempts: Annotated[int, Meta(ge=1, le=20)] = 4
    """Sends of one call, the first included."""
    again: Annotated[int, Meta(ge=0, le=10)] = 1
    """How often one candidate is asked once more."""
    deadline_s: Positive = 120.0
    """Since the call began; nothing is sent again after this. What has been sent keeps its own clocks."""
    first_wait_s: Positive = 0.5
    """The longest wait before one candidate's second attempt; twice as long before each that follows."""
    longest_wait_s: Positive = 8.0
    patience_s: NotNegative = 2.0
    """A wait up to this comes before a fallback to another model, a longer one after it."""
    retry_after_cap_s: NotNegative = 20.0
    """A provider's ``retry-after`` up to this is waited for; with a longer one it is not asked again in this call."""
    repeat: Repeat = Repeat.SAFE
    spread: bool = True
    """Whether waits are by chance between nothing and their full length, so that calls do not come back all at once."""


class Breaking(Checked, frozen=True):
    """When a provider, model or credential is taken out, and how it comes back."""

    enabled: bool = True
    failures: AtLeastOne = 5
    """So many failures in a row take it out, if they weigh at least ``failure_share`` in the window too."""
    failure_share: Share = 0.5
    volume: AtLeastOne = 20
    """From so many calls in the window on, the share alone is enough."""
    window_s: Positive = 10.0
    dead_share: Share = 0.9
    """What still answers more calls than this leaves is asked when nothing else is in."""
    refusals: AtLeastOne = 3
    """So many refusals of a credential in a row take it out."""
    probes: AtLeastOne = 2
    """So many failed probes in a row, with no call answered between them, take a provider out."""
    open_s: Positive = 5.0
    """Until the first trial; twice as long after each that fails."""
    longest_open_s: Positive = 30.0
    refused_open_s: Positive = 30.0
    """The same for credentials that were refused."""
    longest_refused_open_s: Positive = 600.0
    trials: AtLeastOne = 2
    """So many trials, one at a time, must succeed in a row."""
    trial_s: Positive = 30.0
    """A trial that has not come to an end after this no longer keeps others from being made."""
    ramp_s: NotNegative = 30.0
    """How long the share of calls grows after it has come back."""
    ramp_from: Share = 0.1
    """The share that it begins with."""
    cooling_s: Positive = 1.0
    """How long it cools where no ``retry-after`` came; twice as long after each that follows at once."""
    longest_cooling_s: Positive = 60.0
    """However long ``retry-after`` is, it is asked again after this."""


class Limits(Checked, frozen=True):
    """Of calls in flight."""

    in_flight: AtLeastOne | None = None
    """``None`` for no limit."""
    queue: Count = 100
    """Calls that may wait, of all virtual keys together. Only a provider has a queue, for all its credentials."""
    wait_s: Positive = 10.0
    """How long one may wait."""


class Hedging(Checked, frozen=True):
    """A second attempt beside the first when its first token is late. It may be billed twice."""

    after_s: Positive | None = None
    """``None`` for never."""
    times_usual: NotNegative = 0.0
    """At least so many times what the candidate usually takes, where that is known."""
    share: Share = 0.05
    """Of the calls that could be hedged, at most."""
    reserve: Count = 10
    """So many may be beyond that share; the share fills it up again."""


class ProviderSettings(Checked, frozen=True):
    """What is said of one provider."""

    limits: Limits = Limits()
    breaking: Breaking = Breaking()
    retry_share: ShareOrZero = 0.2
    """Of the calls that come to it, at most so many may be sent to it once more."""
    retry_reserve: Count = 10
    """So many may be beyond that share; the share fills it up again."""


class RoutingSettings(Checked, frozen=True):
    """Everything that is said about routing."""

    strategy: Strategy = Strategy.IN_ORDER
    sticky: bool = False
    """Whether calls of one conversation go to one candidate while that is in, for the provider's prompt cache."""
    models: Mapping[str, ModelSettings] = {}
    """By the name that callers use."""
    providers: Mapping[str, ProviderSettings] = {}
    credentials: Mapping[str, Limits] = {}
    """Limits of credentials, by name; of these only ``in_flight`` counts."""
    retries: Retries = Retries()
    hedging: Hedging = Hedging()
    explore: ShareOrZero = 0.05
    """The share of calls that ``fastest`` sends to another candidate, to see."""
    usual_s: Positive = 120.0
    """How long ``fastest`` remembers: what is older weighs less than half."""

    def provider(self, name: str) -> ProviderSettings:
        """What counts for a provider of which nothing is said, too."""
        return self.providers.get(name, _NOTHING_SAID)

    def model(self, name: str) -> ModelSettings:
        """The same for a model's name."""
        return self.models.get(name, _PLAIN)


_NOTHING_SAID = ProviderSettings()
_PLAIN = ModelSettings()
