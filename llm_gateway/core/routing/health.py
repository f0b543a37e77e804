"""The health of every provider, model and credential that calls go to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from weakref import WeakValueDictionary

import msgspec

from llm_gateway.core.routing.breaker import Breaker, Change, Part, State
from llm_gateway.core.routing.candidates import Candidate, Chance
from llm_gateway.core.routing.outcomes import RULES, Outcome, OutcomeKind, Scope, Verdict
from llm_gateway.core.routing.settings import Breaking

__all__ = ["Health", "PartHealth"]

_SCOPES = (Scope.PROVIDER, Scope.MODEL, Scope.CREDENTIAL, Scope.ACCESS)
"""In the order of a candidate's breakers."""
_GOOD = {kind: tuple(scope in rule.good_for for scope in _SCOPES) for kind, rule in RULES.items()}
_BAD = {kind: _SCOPES.index(rule.scope) if rule.verdict is not Verdict.NONE else None for kind, rule in RULES.items()}

Four = tuple[Breaker, Breaker, Breaker, Breaker]
"""A candidate's breakers: provider, model, credential, access."""


class PartHealth(msgspec.Struct, frozen=True):
    """What ``GET /health`` shows of one part."""

    part: Part
    state: State
    since: float | None
    """``None`` for what has been closed from the beginning."""
    reason: str | None
    until: float | None
    """When it is asked again, while it is open or cooling."""
    share: float
    """Of the calls that it takes while it is closed; below 1 after a recovery."""
    passed: int
    """Good outcomes, failures and rate limits since the start."""
    failed: int
    cooled: int


class Health:
    """
    Keeps the breakers, learns from outcomes and probes, and tells of changes.

    A breaker lives as long as something that could be called refers to it; names of models come from callers, who must
    not fill the memory with them. One in trouble is kept without that.
    """

    MAX_TROUBLED = 1024
    """The oldest is forgotten beyond this; far more than an operator has, far less than a caller could invent."""

    def __init__(self, chance: Chance, on_change: Callable[[Change], None]) -> None:
        """
        :param chance: for the time until a trial.
        :param on_change: told of every new state, once.
        """
        self._chance = chance
        self._told = on_change
        self._breakers: WeakValueDictionary[Part, Breaker] = WeakValueDictionary()
        self._breaking: Mapping[str, Breaking] = {}
        self._probed: dict[str, Breaker] = {}
        """Of providers that are probed: what probes show counts before the first call."""
        self.troubled: dict[Part, Breaker] = {}
        """Those that are not closed for all calls. While it is empty every candidate is in."""

    def configure(self, breaking: Mapping[str, Breaking]) -> None:
        """
        :param breaking: by provider; others have the defaults. What is known stays known.
        """
        self._breaking = dict(breaking)
        for breaker in self._breakers.values():
            breaker.settings = self._settings(breaker.part.provider)

    def of(self, candidate: Candidate) -> Four:
        """
        :return: its breakers. Keep them for as long as the candidate can be asked.
        """
        provider, model, credential = candidate.provider, candidate.model, candidate.credential
        return (
            self._breaker(Part(Scope.PROVIDER, provider)),
            self._breaker(Part(Scope.MODEL, provider, None, model)),
            self._breaker(Part(Scope.CREDENTIAL, provider, credential)),
            self._breaker(Part(Scope.ACCESS, provider, credential, model)),
        )

    def begin(self, four: Four, now: float, tenant: str = "") -> tuple[Breaker, ...]:
        """
        An attempt begins.

        :param tenant: whose call it is.
        :return: those of its candidate's breakers that it is a trial for.
        """
        trials: tuple[Breaker, ...] = ()
        for breaker in four:
            if breaker.troubled:
                if not breaker.refresh(now):
                    self.troubled.pop(breaker.part, None)
                elif breaker.begin_trial(now, tenant):
                    trials = (*trials, breaker)
        return trials

    def well(self, four: Four, now: float, tenant: str = "") -> None:
        """What ``note`` does for ``OK`` and no trial, which is nearly every call."""
        provider, model, credential, access = four
        provider.good(now, False, tenant)
        model.good(now, False, tenant)
        # What is held against these two needs no window, see the table of outcomes.
        if credential.calm and access.calm:
            credential.passed += 1
            access.passed += 1
        else:
            credential.well(now, tenant)
            access.well(now, tenant)

    def note(
        self,
        four: Four,
        outcome: Outcome,
        now: float,
        trials: tuple[Breaker, ...] = (),
        tenant: str = "",
        before: Sequence[Breaker] = (),
    ) -> None:
        """
        Learn from an attempt.

        :param four: its candidate's breakers.
        :param trials: those of them that it was a trial for.
        :param tenant: whose call it was.
        :param before: what earlier attempts of the same call were held against.
        """
        kind = outcome.kind
        for breaker, good in zip(four, _GOOD[kind], strict=True):
            if good:
                breaker.good(now, breaker in trials, tenant)
        for breaker in _blamed(four, kind, tenant):
            breaker.bad(RULES[kind], outcome, now, breaker in trials, tenant, breaker in before)
        for breaker in trials:
            breaker.trial_over()

    def probed(self, provider: str, fault: str | None, now: float) -> None:
        """
        :param fault: what was wrong with the probe's answer; ``None`` if it was one.
        """
        breaker = self._probed.get(provider)
        if breaker is None:
            breaker = self._probed[provider] = self._breaker(Part(Scope.PROVIDER, provider))
        breaker.probed(fault, now)

    def forget(self, provider: str, credential: str | None, now: float) -> None:
        """
        A provider's address or a credential's key has changed: what is known of the old one does not count.

        :param credential: ``None`` for everything of the provider.
        """
        if credential is None:
            self._probed.pop(provider, None)
        for part, breaker in list(self._breakers.items()):
            if part.provider == provider and credential in (None, part.credential):
                breaker.forget(now)
                self.troubled.pop(part, None)

    def refresh(self, now: float) -> None:
        """Go on to what time alone leads to, for all that is in trouble."""
        for part, breaker in list(self.troubled.items()):
            if not breaker.refresh(now):
                del self.troubled[part]

    def report(self, now: float) -> list[PartHealth]:
        """
        :return: every part that calls go to; providers first, each part's name after the other.
        """
        return [_shown(breaker, now) for breaker in sorted(self._known(), key=_place)]

    def find(self, part: Part) -> Breaker | None:
        """:return: a part's breaker, if anything could be called that depends on it."""
        return self._breakers.get(part)

    def _known(self) -> Iterable[Breaker]:
        return list(self._breakers.values())

    def _settings(self, provider: str) -> Breaking:
        return self._breaking.get(provider, _DEFAULT)

    def _breaker(self, part: Part) -> Breaker:
        found = self._breakers.get(part)
        if found is None:
            found = Breaker(part, self._settings(part.provider), self._chance, self._changed)
            self._breakers[part] = found
        return found

    def _changed(self, breaker: Breaker, change: Change) -> None:
        troubled = self.troubled
        if breaker.part not in troubled and len(troubled) >= self.MAX_TROUBLED:
            del troubled[next(iter(troubled))]
        troubled[breaker.part] = breaker
        self._told(change)


_DEFAULT = Breaking()


def _blamed(four: Four, kind: OutcomeKind, tenant: str) -> tuple[Breaker, ...]:
    """What an outcome of this tenant's call is held against."""
    bad = _BAD[kind]
    if bad is None:
        return ()
    access = four[3]
    if access.part.model or four[bad] is not four[2]:
        return (four[bad],)
    # Of a call without a model: it may be that path alone for which the key was never meant. If others are refused,
    # too, it is the key.
    return (access, four[2]) if access.failed_others(tenant) else (access,)


def _place(breaker: Breaker) -> tuple[int, str, str, str]:
    part = breaker.part
    return part.scope.value, part.provider, part.credential or "", part.model or ""


def _shown(breaker: Breaker, now: float) -> PartHealth:
    return PartHealth(
        breaker.part,
        breaker.state,
        breaker.since,
        breaker.reason,
        breaker.until,
        breaker.share(now),
        breaker.passed,
        breaker.failed,
        breaker.cooled,
    )
