"""What both files say about routing, as their authors write it. Every default is that of the settings themselves."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from llm_gateway.config.notation import (
    Count,
    CountFrom0,
    CredentialName,
    Factor,
    ModelName,
    ProviderName,
    Seconds,
    SecondsFrom0,
    Share,
    SomeShare,
    about,
    from_to,
    one_of,
)
from llm_gateway.core.routing.outcomes import TABLE
from llm_gateway.core.routing.settings import (
    Breaking,
    CredentialUse,
    Hedging,
    Limits,
    Repeat,
    Retries,
    RoutingSettings,
    Strategy,
    Target,
)

STRATEGIES: Final = tuple(each.value for each in Strategy)
REPEATS: Final = tuple(each.value for each in Repeat)
LEADS_ON: Final = tuple(rule.kind.value for rule in TABLE if rule.falls_back)
"""The outcomes that may lead to another model."""

_USE = CredentialUse("", "")
_TARGET = Target("", "")
_RETRIES = Retries()
_BREAKING = Breaking()
_LIMITS = Limits()
_HEDGING = Hedging()
_ALL = RoutingSettings()

OwnName = Annotated[ModelName, Meta(pattern=r"^[^*]+$")]
TargetText = Annotated[str, Meta(pattern=r"^(?!\.\.?/)[A-Za-z0-9._-]{1,64}/[^*]+$", max_length=321)]
StrategyName = Annotated[str, one_of("strategy", *STRATEGIES, plural="strategies")]


class CredentialUseEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """One of the credentials of a virtual key."""

    name: Annotated[CredentialName, about("Of a credential at the top of this file.")]
    order: Annotated[CountFrom0, about("Lower ones are asked first.")] = _USE.order
    weight: Annotated[Factor, about("Its share among those of the same order; with 0 it comes last of them.")] = (
        _USE.weight
    )


class LimitsEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """How many calls may be in flight to a provider, and how many may wait."""

    in_flight: Annotated[Count, about("Calls at the same time. Default: no limit.")] | UnsetType = UNSET
    queue: Annotated[CountFrom0, about("Calls that may wait, of all virtual keys together.")] = _LIMITS.queue
    wait_s: Annotated[Seconds, about("How long one may wait, in seconds.")] = _LIMITS.wait_s


class BreakingEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """When a provider, one of its models or a credential is taken out, and how it comes back."""

    enabled: Annotated[bool, about("Whether anything is taken out at all.")] = _BREAKING.enabled
    failures: Annotated[Count, about("So many failures in a row take it out.")] = _BREAKING.failures
    failure_share: Annotated[
        SomeShare, about("If at least this share of the calls in the window failed too. From 0 to 1.")
    ] = _BREAKING.failure_share
    volume: Annotated[Count, about("From so many calls in the window on, the share alone is enough.")] = (
        _BREAKING.volume
    )
    window_s: Annotated[Seconds, about("How far back it looks, in seconds.")] = _BREAKING.window_s
    dead_share: Annotated[
        SomeShare, about("What fails more of its calls than this is not asked even as the last resort. From 0 to 1.")
    ] = _BREAKING.dead_share
    refusals: Annotated[Count, about("So many refusals in a row take a credential out.")] = _BREAKING.refusals
    probes: Annotated[Count, about("So many failed health checks in a row take a provider out.")] = _BREAKING.probes
    open_s: Annotated[Seconds, about("Until the first trial, in seconds; twice as long after each that fails.")] = (
        _BREAKING.open_s
    )
    longest_open_s: Annotated[Seconds, about("Until a later trial at most, in seconds.")] = _BREAKING.longest_open_s
    refused_open_s: Annotated[Seconds, about("Until the first trial after refusals, in seconds.")] = (
        _BREAKING.refused_open_s
    )
    longest_refused_open_s: Annotated[Seconds, about("Until a later trial after refusals at most, in seconds.")] = (
        _BREAKING.longest_refused_open_s
    )
    trials: Annotated[Count, about("So many trials must succeed in a row.")] = _BREAKING.trials
    trial_s: Annotated[Seconds, about("A trial that takes longer, in seconds, no longer holds up the next one.")] = (
        _BREAKING.trial_s
    )
    ramp_s: Annotated[SecondsFrom0, about("How long its share of calls grows after a recovery, in seconds.")] = (
        _BREAKING.ramp_s
    )
    ramp_from: Annotated[SomeShare, about("The share that it begins with. From 0 to 1.")] = _BREAKING.ramp_from
    cooling_s: Annotated[Seconds, about("How long it is left alone after a 429 without retry-after, in seconds.")] = (
        _BREAKING.cooling_s
    )
    longest_cooling_s: Annotated[Seconds, about("And at most, however long retry-after is, in seconds.")] = (
        _BREAKING.longest_cooling_s
    )


class RetriesEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """How far the gateway goes for one call."""

    attempts: Annotated[int, from_to("a whole number", 1, 20), about("Sends of one call, the first included.")] = (
        _RETRIES.attempts
    )
    again: Annotated[int, from_to("a whole number", 0, 10), about("How often one candidate is asked once more.")] = (
        _RETRIES.again
    )
    deadline_s: Annotated[Seconds, about("Nothing is sent again so long after the call began, in seconds.")] = (
        _RETRIES.deadline_s
    )
    first_wait_s: Annotated[
        Seconds, about("The longest wait before a second attempt at one candidate, in seconds.")
    ] = _RETRIES.first_wait_s
    longest_wait_s: Annotated[Seconds, about("The longest wait of all, but for a retry-after, in seconds.")] = (
        _RETRIES.longest_wait_s
    )
    patience_s: Annotated[
        SecondsFrom0, about("A wait up to this comes before a fallback to another model, a longer one after it.")
    ] = _RETRIES.patience_s
    retry_after_cap_s: Annotated[SecondsFrom0, about("The longest retry-after that is waited for, in seconds.")] = (
        _RETRIES.retry_after_cap_s
    )
    repeat: Annotated[
        str,
        one_of("policy", *REPEATS, plural="policies"),
        about("Which calls may be sent again although a provider may have acted on them, and may bill them twice."),
    ] = _RETRIES.repeat.value
    spread: Annotated[bool, about("Whether waits are by chance, so that calls do not come back all at once.")] = (
        _RETRIES.spread
    )


class HedgingEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """A second attempt beside the first when its first token is late. Both may be billed."""

    after_s: Annotated[Seconds, about("How late the first token has to be, in seconds.")]
    times_usual: Annotated[Factor, about("And at least so many times what the candidate usually takes.")] = (
        _HEDGING.times_usual
    )
    share: Annotated[SomeShare, about("Of the calls, at most. From 0 to 1.")] = _HEDGING.share
    reserve: Annotated[CountFrom0, about("So many may be beyond the share; the share fills it up again.")] = (
        _HEDGING.reserve
    )


class TargetEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What one of the operator's own model names can stand for."""

    provider: Annotated[ProviderName, about("Name of a provider in this file, or of a preset.")]
    model: Annotated[OwnName, about("The model's name.")]
    order: Annotated[CountFrom0, about("Lower ones are asked first.")] = _TARGET.order
    weight: Annotated[Factor, about("Its share among those of the same order; with 0 it comes last of them.")] = (
        _TARGET.weight
    )


class FallbackEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """Another model for calls that the first one did not answer."""

    to: Annotated[OwnName, about("One of the names in models, provider/model, or a model's name.")]
    on: (
        Annotated[
            Annotated[
                list[Annotated[str, one_of("outcome for a fallback", *LEADS_ON, plural="outcomes for a fallback")]],
                Meta(min_length=1),
            ],
            about("The outcomes that lead there. Default: those after which another candidate is asked at once."),
        ]
        | UnsetType
    ) = UNSET


class ModelRoutingEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a name for a model stands for, and what comes after it."""

    targets: (
        Annotated[
            Annotated[list[TargetText | TargetEntry], Meta(min_length=1)],
            about("Where its calls can go: provider/model, or an object. Default: the model of this name."),
        ]
        | UnsetType
    ) = UNSET
    fallbacks: (
        Annotated[
            Annotated[list[OwnName | FallbackEntry], Meta(min_length=1)],
            about("Other models, in this order, for calls that it does not answer: names, or objects."),
        ]
        | UnsetType
    ) = UNSET
    strategy: Annotated[StrategyName, about("Of this model. Default: the one for all.")] | UnsetType = UNSET
    sticky: Annotated[bool, about("Of this model. Default: what counts for all.")] | UnsetType = UNSET


class RoutingEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """Where calls go and what happens when that fails, for all providers."""

    strategy: Annotated[StrategyName, about("Which candidate is asked first among those of the same order.")] = (
        _ALL.strategy.value
    )
    sticky: Annotated[bool, about("Whether calls of one conversation stay with one candidate.")] = _ALL.sticky
    explore: Annotated[
        Share, about("The share of calls that fastest sends to another candidate, to see. From 0 to 1.")
    ] = _ALL.explore
    usual_s: Annotated[
        Seconds, about("How long fastest remembers: what is older, in seconds, weighs less than half.")
    ] = _ALL.usual_s
    retries: RetriesEntry | UnsetType = UNSET
    hedging: HedgingEntry | UnsetType = UNSET
    models: (
        Annotated[dict[OwnName, ModelRoutingEntry], about("Names of your own for models, and fallbacks of any model.")]
        | UnsetType
    ) = UNSET
