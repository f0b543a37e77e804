"""Whether one provider, model or credential is fit to be asked, learnt from what came of asking it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum

import msgspec

from llm_gateway.core.routing.candidates import Chance
from llm_gateway.core.routing.outcomes import TABLE, Outcome, OutcomeKind, Rule, Scope, Verdict
from llm_gateway.core.routing.settings import Breaking

__all__ = ["Breaker", "Change", "Fitness", "Part", "State"]


_REFUSALS = frozenset(rule.kind for rule in TABLE if rule.verdict is Verdict.REFUSED)

_NOBODYS = frozenset((OutcomeKind.UNREACHABLE, OutcomeKind.CONNECT_TIMEOUT))
"""What no caller can bring about: nothing of a call has been sent."""

_SURE = 4
"""So many times ``failures`` in a row are no bad luck, whatever was before them."""


class State(Enum):
    """
    What a breaker is in. ``now`` reaches ``until`` without anybody asking; the state changes when somebody does.

    =============  ==========================================  ===============================================
    state          calls                                       leaves it
    =============  ==========================================  ===============================================
    closed         all; a growing share after a recovery       to open by failures, to cooling by a rate limit
    cooling        none, or now and then one, if nothing else  to closed at ``until`` or by a good one
                   is in (see ``Fitness.LAST_RESORT``)
    open           none, or all, if nothing else is in and     to half_open at ``until`` or by a good probe
                   some are answered
    half_open      single trials                               to closed by good ones, to open by a bad one
    =============  ==========================================  ===============================================
    """

    CLOSED = "closed"
    COOLING = "cooling"
    OPEN = "open"
    HALF_OPEN = "half_open"


_OUT = (State.OPEN, State.HALF_OPEN)


class Fitness(IntEnum):
    """Whether to ask, now. Of several that a call depends on the highest counts."""

    IN = 0
    RAMPING = 1
    """Back since a short while: another one is asked first for a part of the calls."""
    LAST_RESORT = 2
    """Out, and yet it may answer: better than nothing."""
    OUT = 3


class Part(msgspec.Struct, frozen=True):
    """What a breaker is about."""

    scope: Scope
    provider: str
    credential: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        who = f"provider {self.provider}" if self.credential is None else f"credential {self.credential}"
        return who if self.model is None else f"{who}, model {self.model or '*'}"


class Change(msgspec.Struct, frozen=True):
    """A breaker's new state, told once."""

    part: Part
    before: State
    after: State
    at: float
    reason: str
    """For the log and the health page; nothing of what a provider wrote."""
    until: float | None = None
    alert: bool = False
    """Whether a person has to mend it."""


class Breaker:
    """
    One part's health.

    Outcomes are counted in two windows of fixed length that follow each other, the older one by the share of it that
    still lies within the last ``window_s``: two numbers instead of a list of calls.

    What failed may be the calls of one tenant, who sends what no provider can stand, rather than the part. So while all
    failures of a streak are one tenant's, the part is dead for that tenant, and for others the last resort.
    """

    __slots__ = (
        "__weakref__",
        "_after_open_s",
        "_bad",
        "_bad_before",
        "_by",
        "_chance",
        "_closed_at",
        "_good",
        "_good_before",
        "_in_a_row",
        "_next_cooling_s",
        "_on_change",
        "_others_from",
        "_probes_failed",
        "_ramp_from",
        "_trial_ends",
        "_trials_passed",
        "_window_ends",
        "calm",
        "cooled",
        "failed",
        "kind",
        "part",
        "passed",
        "reason",
        "said_until",
        "settings",
        "since",
        "state",
        "troubled",
        "until",
    )

    def __init__(
        self, part: Part, settings: Breaking, chance: Chance, on_change: Callable[[Breaker, Change], None]
    ) -> None:
        """
        :param on_change: told of each new state, when this is in it already.
        """
        self.part = part
        self.settings = settings
        self._chance = chance
        self._on_change = on_change
        self.state = State.CLOSED
        self.since: float | None = None
        """When it came into its state; ``None`` for one that has always been closed."""
        self.until: float | None = None
        """When it will be asked again, while it is open or cooling."""
        self.said_until: float | None = None
        """When the provider wants to be asked again, which may be later."""
        self.reason: str | None = None
        self.kind: OutcomeKind | None = None
        """Of the outcome that led to the state."""
        self.troubled = False
        """Whether it is anything but closed for all calls: what is not needs no second look."""
        self.calm = True
        """Whether a good outcome is nothing but one more: there is no trouble, and nothing is held against the part."""
        self.passed = 0
        """Good outcomes, since the start."""
        self.failed = 0
        """Failures and refusals."""
        self.cooled = 0
        """Rate limits."""
        self._in_a_row = 0
        self._by: str | None = None
        """Whose calls all failures of the streak were; ``None`` where they were of several, or nobody's fault."""
        self._others_from = 0.0
        """When the calls of others are trials, while it is open by one tenant's."""
        self._good = self._bad = self._good_before = self._bad_before = 0
        self._window_ends = 0.0
        self._probes_failed = 0
        self._after_open_s: float | None = None
        self._closed_at = 0.0
        self._next_cooling_s = 0.0
        self._ramp_from: float | None = None
        self._trials_passed = 0
        self._trial_ends: float | None = None

    # Being asked

    def fitness(self, now: float, lot: float, tenant: str) -> Fitness:
        """
        Nothing changes by asking.

        :param lot: from 0 to 1, which decides while only a share of the calls is taken.
        :param tenant: whose call it is.
        """
        state = self.state
        if state is State.CLOSED:
            return Fitness.IN if lot <= self.share(now) else Fitness.RAMPING
        due = self.until is None or now >= self.until
        free = self._trial_ends is None or now >= self._trial_ends
        if state is State.COOLING:
            # The limit may have been one call's own, such as for very long prompts, and not everybody's.
            return Fitness.IN if due else Fitness.LAST_RESORT if free else Fitness.OUT
        if due and free:
            return Fitness.IN
        if self._is_other(tenant):
            return Fitness.IN if free and now >= self._others_from else Fitness.LAST_RESORT
        return Fitness.OUT if self._is_dead(now) else Fitness.LAST_RESORT

    def failed_others(self, tenant: str) -> bool:
        """Whether it has failed in a row for anybody but this tenant."""
        return self._in_a_row > 0 and self._by != tenant

    def _is_other(self, tenant: str) -> bool:
        """Whether it was out by the calls of one tenant, and this is another."""
        return self._by is not None and self._by != tenant

    def share(self, now: float) -> float:
        """
        :return: of the calls that it takes while it is closed; 1 for all.
        """
        if self._ramp_from is None or self.settings.ramp_s <= 0:
            return 1.0
        first = self.settings.ramp_from
        return min(1.0, first + (1.0 - first) * (now - self._ramp_from) / self.settings.ramp_s)

    def share_failed(self, now: float) -> float:
        """
        :return: of the calls in the window; 0 without any.
        """
        good, bad = self._window(now)
        return bad / (good + bad) if bad else 0.0

    def _is_dead(self, now: float) -> bool:
        """Whether it is no use to ask, rather than little."""
        settings = self.settings
        if self.kind in _REFUSALS or self._in_a_row >= _SURE * settings.failures:
            return True
        return self.share_failed(now) >= settings.dead_share

    def opens_at(self) -> float | None:
        """
        :return: when it may be asked again: the provider's own word where there is one.
        """
        return self.until if self.said_until is None else self.said_until

    def refresh(self, now: float) -> bool:
        """
        Go on to what time alone leads to. Call this before an attempt that depends on it.

        :return: whether it is still in trouble.
        """
        if self.state is State.CLOSED:
            if self.share(now) >= 1.0:
                self._ramp_from = None
                self.troubled = False
        elif self.until is not None and now >= self.until:
            if self.state is State.COOLING:
                self._change(State.CLOSED, now, "the time to wait is over")
                self.troubled = self.share(now) < 1.0
            elif self.state is State.OPEN:
                self._half_open(now, "time for a trial")
        return self.troubled

    def begin_trial(self, now: float, tenant: str) -> bool:
        """
        :param tenant: whose call it is.
        :return: whether the attempt that begins now is a trial; then ``trial_over`` or an outcome must follow.
        """
        if self.state is State.OPEN and self._is_other(tenant) and now >= self._others_from:
            self._half_open(now, "time for a trial by others", self.until)
        if self.state in (State.CLOSED, State.OPEN) or (self._trial_ends is not None and now < self._trial_ends):
            return False
        cooling = self.state is State.COOLING
        self._trial_ends = now + (self.settings.cooling_s if cooling else self.settings.trial_s)
        return True

    def trial_over(self) -> None:
        """The trial ended, whether or not it told anything."""
        if self.state is not State.COOLING:
            self._trial_ends = None

    # Learning

    def good(self, now: float, trial: bool = False, tenant: str = "") -> None:
        """An outcome of this tenant's call shows that the part is well."""
        self.passed += 1
        if self.calm:
            if now >= self._window_ends:
                self._turn_window(now)
            self._good += 1
            return
        if self.troubled and not trial and self.state in _OUT and self._is_other(tenant):
            # Of what the one sends who took it out this tells nothing: for him it stays as dead as it was.
            self._probes_failed = 0
            return
        if now >= self._window_ends:
            self._turn_window(now)
        self._good += 1
        self._in_a_row = 0
        if self.troubled or self._probes_failed or self._next_cooling_s:
            self._good_in_trouble(now, trial)
        self.calm = not (self.troubled or self._probes_failed or self._next_cooling_s)

    def well(self, now: float, tenant: str = "") -> None:
        """The same for a part that only refusals in a row and rate limits are held against, and no trial."""
        if self.calm:
            self.passed += 1
        else:
            self.good(now, False, tenant)

    def bad(
        self, rule: Rule, outcome: Outcome, now: float, trial: bool = False, tenant: str = "", repeated: bool = False
    ) -> None:
        """
        An outcome shows that it is not.

        :param rule: the outcome's, with a verdict.
        :param tenant: whose call it was; empty where that is not known.
        :param repeated: whether an earlier attempt of the same call was held against this part: one call is one in a
            row, however often it is sent.
        """
        self.calm = False
        if rule.verdict is Verdict.COOLS:
            self._cool(outcome, now)
            return
        self.failed += 1
        if now >= self._window_ends:
            self._turn_window(now)
        self._bad += 1
        if outcome.kind in _NOBODYS:
            self._by = None
        elif self._in_a_row == 0 and self.state not in _OUT:
            self._by = tenant or None
        elif self._by != tenant:
            self._by = None
        if not repeated or self._in_a_row == 0:
            self._in_a_row += 1
        if not self.settings.enabled:
            return
        if self.state is State.HALF_OPEN:
            # What was sent before the trials began tells nothing new.
            if trial:
                self._open(rule.verdict, outcome.kind, now, f"the trial failed: {outcome}", rule.alert)
        elif self.state is not State.OPEN:
            reason = self._enough(rule.verdict, outcome, now)
            if reason is not None:
                self._open(rule.verdict, outcome.kind, now, reason, rule.alert)

    def probed(self, fault: str | None, now: float) -> None:
        """
        A probe came to its end.

        :param fault: what was wrong; ``None`` if the provider answered.
        """
        if not self.settings.enabled:
            return
        self.refresh(now)
        if fault is None:
            self._probes_failed = 0
            if self.state is State.OPEN:
                self._half_open(now, "a probe was answered")
            if self.state is State.HALF_OPEN:
                self._trial_passed(now)
            return
        self._probes_failed += 1
        self.calm = False
        if self.state is State.HALF_OPEN:
            self._by = None
            self._open(Verdict.FAILED, OutcomeKind.UNREACHABLE, now, f"a probe failed: {fault}", False)
        elif self.state is State.CLOSED and self._probes_failed >= self.settings.probes:
            reason = f"{self._probes_failed} probes in a row failed, the last one: {fault}"
            self._by = None
            self._open(Verdict.FAILED, OutcomeKind.UNREACHABLE, now, reason, False)

    def forget(self, now: float) -> None:
        """Somebody has mended it: begin anew."""
        if self.state is not State.CLOSED:
            self._change(State.CLOSED, now, "it was configured anew")
        self.troubled = False
        self._ramp_from = self._after_open_s = None
        self._good = self._bad = self._good_before = self._bad_before = self._in_a_row = self._probes_failed = 0
        self._next_cooling_s = 0.0

    # How it counts

    def _turn_window(self, now: float) -> None:
        length = self.settings.window_s
        if now < self._window_ends + length:
            self._good_before, self._bad_before = self._good, self._bad
            self._window_ends += length
        else:
            self._good_before = self._bad_before = 0
            self._window_ends = now + length
        self._good = self._bad = 0

    def _window(self, now: float) -> tuple[float, float]:
        """Good and bad outcomes of the last ``window_s``, as far as is known."""
        length = self.settings.window_s
        left = self._window_ends - now
        if left > 0:
            part = min(1.0, left / length)
            return self._good + part * self._good_before, self._bad + part * self._bad_before
        # Nothing has come since: what is out keeps what it was taken out for.
        return float(self._good + self._good_before), float(self._bad + self._bad_before)

    def _enough(self, verdict: Verdict, outcome: Outcome, now: float) -> str | None:
        """:return: why this is enough to open; ``None`` if it is not."""
        settings = self.settings
        row = self._in_a_row
        if verdict is Verdict.REFUSED:
            return f"{row} times in a row: {outcome}" if row >= settings.refusals else None
        good, bad = self._window(now)
        share = bad / (good + bad)
        if row >= settings.failures and (share >= settings.failure_share or row >= _SURE * settings.failures):
            return f"{row} calls in a row failed, the last one: {outcome}"
        if share >= settings.failure_share and good + bad >= settings.volume:
            return f"{share:.0%} of the last {good + bad:.0f} calls failed, the last one: {outcome}"
        return None

    # From state to state

    def _good_in_trouble(self, now: float, trial: bool) -> None:
        self._probes_failed = 0
        if self.state is State.CLOSED:
            self._next_cooling_s = 0.0
        elif self.state is State.COOLING and trial:
            self._change(State.CLOSED, now, "it was answered all the same")
            self.troubled = self.share(now) < 1.0
        elif self.state is State.HALF_OPEN and trial:
            self._trial_passed(now)

    def _trial_passed(self, now: float) -> None:
        self._trials_passed += 1
        if self._trials_passed >= self.settings.trials:
            self._good = self._bad = self._good_before = self._bad_before = self._in_a_row = 0
            self._closed_at = now
            self._ramp_from = now
            self._change(State.CLOSED, now, "it answers again")

    def _half_open(self, now: float, reason: str, until: float | None = None) -> None:
        """
        :param until: when the one whose calls took it out may try, too; ``None`` for at once.
        """
        self._trials_passed = 0
        self._trial_ends = None
        wait = None if until is None else until - now
        self._change(State.HALF_OPEN, now, f"{reason}, after this: {self.reason}", wait)

    def _open(self, verdict: Verdict, kind: OutcomeKind, now: float, reason: str, alert: bool) -> None:
        settings = self.settings
        refused = verdict is Verdict.REFUSED
        first = settings.refused_open_s if refused else settings.open_s
        longest = settings.longest_refused_open_s if refused else settings.longest_open_s
        after = self._after_open_s
        if after is None or (self.state is State.CLOSED and now - self._closed_at > longest):
            after = first
        self._after_open_s = min(longest, 2.0 * after)
        self._trial_ends = None
        self.kind = kind
        # Many gateways that saw one outage must not come back in step.
        spread = 0.9 + 0.2 * self._chance()
        # Others come before the one whose calls took it out, or his would be every trial, and fail.
        self._others_from = now + 0.5 * first * spread
        self._change(State.OPEN, now, reason, min(longest, after) * spread, alert=alert)

    def _cool(self, outcome: Outcome, now: float) -> None:
        self.cooled += 1
        settings = self.settings
        said = outcome.retry_after_s
        guess = self._next_cooling_s or settings.cooling_s
        if self.state is not State.COOLING:
            # What was sent beside the first one that was refused is refused too, and counts once.
            self._next_cooling_s = min(settings.longest_cooling_s, 2.0 * guess)
        wait = min(settings.longest_cooling_s, guess if said is None else said)
        if not settings.enabled or wait <= 0 or self.state in (State.OPEN, State.HALF_OPEN):
            return
        until = now + wait
        said_until = None if said is None else now + said
        if self.state is State.COOLING:
            if self.until is not None and until > self.until:
                self.until, self.said_until = until, said_until
            return
        self.kind = outcome.kind
        # Where the one that brought the news was the last resort itself, the next one waits as long as after any other.
        self._trial_ends = now + settings.cooling_s
        self._change(State.COOLING, now, str(outcome), wait, said_until)

    def _change(
        self,
        state: State,
        now: float,
        reason: str,
        wait: float | None = None,
        said_until: float | None = None,
        *,
        alert: bool = False,
    ) -> None:
        before, self.state = self.state, state
        self.since, self.reason = now, reason
        self.until = None if wait is None else now + wait
        self.said_until = said_until
        self.troubled = True
        self.calm = False
        self._on_change(self, Change(self.part, before, state, now, reason, self.until, alert))
