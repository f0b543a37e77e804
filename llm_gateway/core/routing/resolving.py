"""From a name for a model to the candidates that it stands for, for one virtual key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from llm_gateway.core.routing.candidates import Candidate
from llm_gateway.core.routing.outcomes import OutcomeKind
from llm_gateway.core.routing.settings import CredentialUse, RoutingSettings, Strategy, Target

__all__ = ["LeftOut", "Resolved", "ResolvedGroup", "Served", "Serves", "resolve"]


class Served(msgspec.Struct, frozen=True):
    """That a provider can be asked for a model."""

    model: str
    """As the provider calls it."""
    known: bool = True
    """Whether it is known to have it, rather than not known not to."""
    dialect: str | None = None
    """What it is to be asked in; ``None`` for the caller's."""


Serves = Callable[[str, str], Served | str]
"""Whether a provider can be asked for a model, in the dialect and for the operation of the call; or why not."""


class LeftOut(msgspec.Struct, frozen=True):
    """What might have been a candidate, and is none for any call."""

    provider: str
    credential: str
    model: str
    reason: str


class ResolvedGroup(msgspec.Struct, frozen=True):
    """What one name stands for."""

    name: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    strategy: Strategy
    sticky: bool
    on: frozenset[OutcomeKind] = frozenset()
    """Of a fallback: after which outcomes."""


class Resolved(msgspec.Struct, frozen=True):
    """What a call can come to."""

    main: ResolvedGroup
    fallbacks: tuple[ResolvedGroup, ...] = ()


def _everything(_name: str) -> bool:
    return True


def resolve(
    asked: str,
    credentials: Sequence[CredentialUse],
    settings: RoutingSettings,
    serves: Serves,
    allowed: Callable[[str], bool] = _everything,
    providers: Collection[str] = (),
) -> Resolved:
    """
    Find out what a name stands for. The operator's own names come first; then ``provider/model``, if the key has a
    credential of that provider; else it is a model's name, which every provider of the key is asked for that may have
    it. Many models have a slash in their names: one that begins with no provider of the key is such a name.

    :param asked: as the caller wrote it; empty for a call without a model.
    :param credentials: the virtual key's, in its order.
    :param allowed: whether the key may call a model of this name.
    :param providers: all that are configured. A fallback is the operator's word for every key: one that begins with any
        of these means that provider, for a key without a credential of it too.
    """
    found = settings.model(asked)
    main = _group(asked, credentials, settings, serves, allowed)
    # What a fallback asks for in vain would come in place of what the model itself has failed with: nothing is guessed.
    fallbacks = [
        msgspec.structs.replace(group, on=each.on)
        for each in found.fallbacks
        if each.to != asked
        for group in (_group(each.to, credentials, settings, serves, allowed, providers, guess=False),)
    ]
    return Resolved(main, tuple(fallbacks))


def _group(
    name: str,
    credentials: Sequence[CredentialUse],
    settings: RoutingSettings,
    serves: Serves,
    allowed: Callable[[str], bool],
    providers: Collection[str] = (),
    *,
    guess: bool = True,
) -> ResolvedGroup:
    """
    :param guess: whether providers that are not known to have a model are asked for it where nobody is known to.
    """
    found = settings.model(name)
    strategy = settings.strategy if found.strategy is None else found.strategy
    sticky = settings.sticky if found.sticky is None else found.sticky
    left_out: list[LeftOut] = []
    pairs: list[tuple[Target, CredentialUse, Served]] = []
    targets = found.targets or _named(name, credentials, providers)
    for target, use in _pairs(name, targets, credentials):
        served = serves(use.provider, target.model) if allowed(name) else "this key may not call it"
        if isinstance(served, str):
            left_out.append(LeftOut(use.provider, use.name, target.model, served))
        else:
            pairs.append((target, use, served))
    # Targets are the operator's word, or the caller's own: nobody knows better.
    if not targets and (not guess or any(served.known for _, _, served in pairs)):
        for target, use, served in pairs:
            if not served.known:
                left_out.append(LeftOut(use.provider, use.name, target.model, "another provider is known to have it"))
        pairs = [pair for pair in pairs if pair[2].known]
    return ResolvedGroup(name, tuple(_candidates(pairs)), tuple(left_out), strategy, sticky)


def _named(name: str, credentials: Sequence[CredentialUse], providers: Collection[str]) -> Sequence[Target]:
    """The provider and the model of a name that begins with one of these, or with one of the key's."""
    provider, slash, model = name.partition("/")
    known = slash and (provider in providers or any(use.provider == provider for use in credentials))
    return (Target(provider, model),) if known else ()


def _pairs(
    name: str, targets: Sequence[Target], credentials: Sequence[CredentialUse]
) -> Iterator[tuple[Target, CredentialUse]]:
    """Everything that a name may mean, in order: by target, then by credential."""
    if not targets:
        yield from ((Target(use.provider, name), use) for use in credentials)
    for target in targets:
        yield from ((target, use) for use in credentials if use.provider == target.provider)


def _candidates(pairs: Sequence[tuple[Target, CredentialUse, Served]]) -> Iterator[Candidate]:
    orders = sorted({(target.order, use.order) for target, use, _ in pairs})
    seen = set()
    for target, use, served in pairs:
        where = use.provider, use.name, served.model
        if where not in seen:
            seen.add(where)
            order = orders.index((target.order, use.order))
            yield Candidate(*where, served.dialect, order, target.weight * use.weight)
