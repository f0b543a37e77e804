"""What an operator may say about routing, with what counts where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import attrs
from attrs.validators import ge, gt, le, optional

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


@attrs.frozen
class CredentialUse:
    """One entry of ``credentials`` of a virtual key. The credential itself is named once for all keys."""

    name: str
    provider: str
    order: int = attrs.field(default=0, validator=ge(0))
    """Lower ones first; a higher one is asked when no lower one is in."""
    weight: float = attrs.field(default=1.0, validator=ge(0))
    """Share among those of the same order. With 0 it is asked when no other one is in."""


@attrs.frozen
class Target:
    """What one of the operator's own model names can stand for."""

    provider: str
    model: str
    order: int = attrs.field(default=0, validator=ge(0))
    weight: float = attrs.field(default=1.0, validator=ge(0))


def _known_kinds(_fallback: object, _field: object, kinds: frozenset[OutcomeKind]) -> None:
    for kind in kinds:
        if not RULES[kind].falls_back:
            raise ValueError(f"'on' must be kinds of outcomes that can lead to another model: not {kind.value}")


@attrs.frozen
class Fallback:
    """Another model for calls that the first one did not answer."""

    to: str
    """A name as callers use them: one of the operator's own, ``provider/model``, or a model's."""
    on: frozenset[OutcomeKind] = attrs.field(default=FALLS_BACK, validator=_known_kinds)
    """After which outcomes. By default those for which another candidate is asked too."""


@attrs.frozen
class ModelSettings:
    """What is said of one name for a model."""

    targets: tuple[Target, ...] = ()
    """What the name stands for. Without any it is a model's own name."""
    fallbacks: tuple[Fallback, ...] = ()
    """In this order; the fallbacks of a fallback do not count."""
    strategy: Strategy | None = None
    """``None`` for what counts for all."""
    sticky: bool | None = None


@attrs.frozen
class Retries:
    """How far the gateway goes for one call."""

    attempts: int = attrs.field(default=4, validator=[ge(1), le(20)])
    """Sends of one call, the first included."""
    again: int = attrs.field(default=1, validator=[ge(0), le(10)])
    """How often one candidate is asked once more."""
    deadline_s: float = attrs.field(default=120.0, validator=gt(0))
    """Since the call began; nothing is sent again after this. What has been sent keeps its own clocks."""
    first_wait_s: float = attrs.field(default=0.5, validator=gt(0))
    """The longest wait before one candidate's second attempt; twice as long before each that follows."""
    longest_wait_s: float = attrs.field(default=8.0, validator=gt(0))
    patience_s: float = attrs.field(default=2.0, validator=ge(0))
    """A wait up to this comes before a fallback to another model, a longer one after it."""
    retry_after_cap_s: float = attrs.field(default=20.0, validator=ge(0))
    """A provider's ``retry-after`` up to this is waited for; with a longer one it is not asked again in this call."""
    repeat: Repeat = Repeat.SAFE
    spread: bool = True
    """Whether waits are by chance between nothing and their full length, so that calls do not come back all at once."""


@attrs.frozen
class Breaking:
    """When a provider, model or credential is taken out, and how it comes back."""

    enabled: bool = True
    failures: int = attrs.field(default=5, validator=ge(1))
    """So many failures in a row take it out, if they weigh at least ``failure_share`` in the window too."""
    failure_share: float = attrs.field(default=0.5, validator=[gt(0), le(1)])
    volume: int = attrs.field(default=20, validator=ge(1))
    """From so many calls in the window on, the share alone is enough."""
    window_s: float = attrs.field(default=10.0, validator=gt(0))
    dead_share: float = attrs.field(default=0.9, validator=[gt(0), le(1)])
    """What still answers more calls than this leaves is asked when nothing else is in."""
    refusals: int = attrs.field(default=3, validator=ge(1))
    """So many refusals of a credential in a row take it out."""
    probes: int = attrs.field(default=2, validator=ge(1))
    """So many failed probes in a row, with no call answered between them, take a provider out."""
    open_s: float = attrs.field(default=5.0, validator=gt(0))
    """Until the first trial; twice as long after each that fails."""
    longest_open_s: float = attrs.field(default=30.0, validator=gt(0))
    refused_open_s: float = attrs.field(default=30.0, validator=gt(0))
    """The same for credentials that were refused."""
    longest_refused_open_s: float = attrs.field(default=600.0, validator=gt(0))
    trials: int = attrs.field(default=2, validator=ge(1))
    """So many trials, one at a time, must succeed in a row."""
    trial_s: float = attrs.field(default=30.0, validator=gt(0))
    """A trial that has not come to an end after this no longer keeps others from being made."""
    ramp_s: float = attrs.field(default=30.0, validator=ge(0))
    """How long the share of calls grows after it has come back."""
    ramp_from: float = attrs.field(default=0.1, validator=[gt(0), le(1)])
    """The share that it begins with."""
    cooling_s: float = attrs.field(default=1.0, validator=gt(0))
    """How long it cools where no ``retry-after`` came; twice as long after each that follows at once."""
    longest_cooling_s: float = attrs.field(default=60.0, validator=gt(0))
    """However long ``retry-after`` is, it is asked again after this."""


@attrs.frozen
class Limits:
    """Of calls in flight."""

    in_flight: int | None = attrs.field(default=None, validator=optional(ge(1)))
    """``None`` for no limit."""
    queue: int = attrs.field(default=100, validator=ge(0))
    """Calls that may wait, of all virtual keys together. Only a provider has a queue, for all its credentials."""
    wait_s: float = attrs.field(default=10.0, validator=gt(0))
    """How long one may wait."""


@attrs.frozen
class Hedging:
    """A second attempt beside the first when its first token is late. It may be billed twice."""

    after_s: float | None = attrs.field(default=None, validator=optional(gt(0)))
    """``None`` for never."""
    times_usual: float = attrs.field(default=0.0, validator=ge(0))
    """At least so many times what the candidate usually takes, where that is known."""
    share: float = attrs.field(default=0.05, validator=[gt(0), le(1)])
    """Of the calls that could be hedged, at most."""
    reserve: int = attrs.field(default=10, validator=ge(0))
    """So many may be beyond that share; the share fills it up again."""


@attrs.frozen
class ProviderSettings:
    """What is said of one provider."""

    limits: Limits = Limits()
    breaking: Breaking = Breaking()
    retry_share: float = attrs.field(default=0.2, validator=[ge(0), le(1)])
    """Of the calls that come to it, at most so many may be sent to it once more."""
    retry_reserve: int = attrs.field(default=10, validator=ge(0))
    """So many may be beyond that share; the share fills it up again."""


@attrs.frozen
class RoutingSettings:
    """Everything that is said about routing."""

    strategy: Strategy = Strategy.IN_ORDER
    sticky: bool = False
    """Whether calls of one conversation go to one candidate while that is in, for the provider's prompt cache."""
    models: Mapping[str, ModelSettings] = attrs.field(factory=dict)
    """By the name that callers use."""
    providers: Mapping[str, ProviderSettings] = attrs.field(factory=dict)
    credentials: Mapping[str, Limits] = attrs.field(factory=dict)
    """Limits of credentials, by name; of these only ``in_flight`` counts."""
    retries: Retries = Retries()
    hedging: Hedging = Hedging()
    explore: float = attrs.field(default=0.05, validator=[ge(0), le(1)])
    """The share of calls that ``fastest`` sends to another candidate, to see."""
    usual_s: float = attrs.field(default=120.0, validator=gt(0))
    """How long ``fastest`` remembers: what is older weighs less than half."""

    def provider(self, name: str) -> ProviderSettings:
        """What counts for a provider of which nothing is said, too."""
        return self.providers.get(name, _NOTHING_SAID)

    def model(self, name: str) -> ModelSettings:
        """The same for a model's name."""
        return self.models.get(name, _PLAIN)


_NOTHING_SAID = ProviderSettings()
_PLAIN = ModelSettings()
