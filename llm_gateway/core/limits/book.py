"""Reserve, extend, settle: what of its limits a call may use, from when it comes until its last number is known."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from llm_gateway.core.limits.claims import Refused, Reservation, Standing, Want
from llm_gateway.core.limits.clock import Timeline
from llm_gateway.core.limits.contract import Store, StoreLost
from llm_gateway.core.limits.table import Table
from llm_gateway.core.limits.values import Limit, Unreachable, Window

__all__ = ["Limiter"]

AGAIN_S = 1.0
"""For how long a store that was lost is not asked again: a call need not wait for it each time."""

MAX_OWED = 100_000
"""Settlements that wait for the store to be back; about 50 MB. Beyond, the oldest are lost and counted as such."""

_AT_ONCE = 1_000
"""Settlements that one operation pays, so that no call waits for all of them; a few milliseconds."""


class Limiter:
    """
    Lets calls in, and counts what they use.

    Give it the same ``Limit`` objects again and again: what belongs to them is found by their identity.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        *,
        processes: int = 1,
        on_warning: Callable[[Limit], None] | None = None,
        on_shadow: Callable[[Limit], None] | None = None,
    ) -> None:
        """
        :param clock: seconds since the epoch; best one that is never set: ``Steady``, or the store's own.
        :param processes: how many share the store: the part of each while it is lost.
        :param on_warning: is told each time that a limit's share for a warning is passed; once for all processes.
        :param on_shadow: is told of each call that a limit in shadow would have refused.
        """
        self._store = store
        self._clock = clock
        # Bound, which is quicker to call than what has a ``__call__``; as the stores' clocks are.
        self._time = Timeline().__call__
        self._processes = processes
        self._on_warning = on_warning
        self._on_shadow = on_shadow
        self._local = Table()
        self._shares: dict[int, tuple[Limit, Limit]] = {}
        self._lost_until: float | None = None
        """In nanoseconds of ``_time``."""
        self._owed: deque[tuple[Reservation | tuple[Limit, ...], Want]] = deque()
        self._awaited: set[str] = set()
        """Limits by id."""
        self.lost = 0
        """How many calls were never counted in the store, since it was lost for too long."""

    @property
    def reachable(self) -> bool:
        """Whether the store answered when it was asked last."""
        return self._lost_until is None

    @property
    def owed(self) -> int:
        """How many settlements wait for the store to be back."""
        return len(self._owed)

    def reserve(
        self, limits: Sequence[Limit], want: Want, now: float | None = None, at_least: Want | None = None
    ) -> Reservation | Refused:
        """
        Let a call in under all of its limits, or count nothing of it.

        :param limits: each once.
        :param want: what it may use at most, as far as is known; also a limit with nothing wanted of it is settled.
        :param now: seconds since the epoch; by default the limiter's own clock, which should do.
        :param at_least: what is enough to begin with, where ``want`` does not fit: ``extend`` asks for more.
        :return: to be settled whatever happens; ``granted`` says which of both it was.
        """
        time = self._time(self._clock() if now is None else now)
        try:
            if self._lost_until is not None:
                self._retry(time)
            if self._awaited and (unknown := self._unknown(limits)) is not None:
                return Refused(unknown, AGAIN_S, 0, True)
            found = self._store.take(limits, want, time)
            if at_least is not None and type(found) is Refused:
                found = self._store.take(limits, at_least, time)
        except StoreLost:
            self._lose(time)
            found = self._without(limits, want, at_least, time)
        if type(found) is Reservation and (found.warned or found.shadowed):
            self._tell(found)
        return found

    def extend(self, reservation: Reservation, more: Want, now: float | None = None, used: Want | None = None) -> bool:
        """
        Hold more for a call, under all of its limits or under none.

        :param more: ``Want(requests=0, ...)``: a call is one request.
        :param used: what it is known to have used by now, all in all, at least; this much is used from now on, and not
            held any more, so that it ages as its window does.
        :return: ``False`` where there is no room: what it had, it keeps.
        """
        if reservation.settled:
            return False
        time = self._time(self._clock() if now is None else now)
        if reservation.local:
            return self._local.extend(reservation, more, used, time)
        try:
            if self._lost_until is not None:
                self._retry(time)
            return self._store.extend(reservation, more, used, time)
        except StoreLost:
            self._lose(time)
            return not any(
                each.refuses and each.limit.unreachable is Unreachable.CLOSED
                for each in reservation.kept
                if each.limit.window is not Window.NOW
            )

    def settle(self, reservation: Reservation, used: Want, now: float | None = None) -> None:
        """
        Count what a call used, and give back the rest. Only the first time counts.

        :param used: all in all; ``requests=0`` takes back that it was one, as for a call that was never sent.
        """
        if reservation.settled:
            return
        reservation.settled = True
        time = self._time(self._clock() if now is None else now)
        if reservation.local:
            self._local.settle(reservation, used, time)
            self._owe(reservation.left_out, used)
            return
        try:
            if self._lost_until is not None:
                self._retry(time)
            warned = self._store.settle(reservation, used, time)
        except StoreLost:
            self._lose(time)
            self._owe(reservation, used)
            return
        if warned:
            self._warn(warned)

    def charge(self, limits: Iterable[Limit], used: Want, now: float | None = None) -> None:
        """Count what was used without a reservation, whether there is room or not."""
        limits = tuple(limits)
        time = self._time(self._clock() if now is None else now)
        try:
            if self._lost_until is not None:
                self._retry(time)
            warned = self._store.charge(limits, used, time)
        except StoreLost:
            self._lose(time)
            self._owe(limits, used)
            return
        self._warn(warned)

    def state(self, limits: Iterable[Limit], now: float | None = None) -> list[Standing]:
        """:return: how limits stand, in their order; nothing while the store is lost."""
        time = self._time(self._clock() if now is None else now)
        try:
            if self._lost_until is not None:
                self._retry(time)
            return self._store.read(limits, time)
        except StoreLost:
            self._lose(time)
            return []

    def await_seeds(self, limits: Iterable[Limit]) -> None:
        """
        Take what is left of these limits for unknown until ``seed`` has told what was used before, here or in another
        process: those that are ``closed`` then refuse calls, the others go by what is used from now on.
        """
        self.await_seeds_of({each.id for each in limits if each.window is not Window.NOW})

    def await_seeds_of(self, ids: set[str]) -> None:
        """
        The same.

        :param ids: of the limits.
        """
        self._awaited = ids

    def unseeded(self, limits: Iterable[Limit]) -> list[Limit]:
        """
        :return: those for which ``seed`` would do something: that nobody told what was used before.
        :raises StoreLost:
        """
        return self._store.unseeded(limits)

    def seed(self, limit: Limit, sums: Iterable[tuple[float, int]], bucket_s: float, now: float | None = None) -> bool:
        """
        Tell a limit what was used before the gateway started; only the first time, of all processes, counts.

        :param sums: from when a bucket is, in seconds since the epoch, and how much was used in it.
        :param bucket_s: how long buckets are. What is in one counts as used at its end: nothing is forgotten early.
        :return: whether it was the first time.
        :raises StoreLost:
        """
        time = self._time(self._clock() if now is None else now)
        uses = [(int((start + bucket_s) * 1e9) - 1, n) for start, n in sorted(sums) if n]
        first = self._store.seed(limit, uses, time)
        self._awaited.discard(limit.id)
        return first

    def sweep(self) -> int:
        """
        Give back what dead processes hold. It is done anyway before a call is refused, at most ten times a second.

        :return: how many were found dead.
        """
        try:
            return self._store.sweep()
        except StoreLost:
            return 0

    def _unknown(self, limits: Iterable[Limit]) -> Limit | None:
        """
        :return: one that refuses since nobody has told what was used before.
        :raises StoreLost:
        """
        awaited = [each for each in limits if each.id in self._awaited]
        if not awaited:
            return None
        unseeded = self._store.unseeded(awaited)
        # Another process may have been quicker.
        self._awaited.difference_update(each.id for each in awaited if each not in unseeded)
        closed = (each for each in unseeded if each.unreachable is Unreachable.CLOSED and not each.shadow)
        return next(closed, None)

    def _retry(self, time: int) -> None:
        """
        Ask the store again, when it is time, and bring it up to date.

        :raises StoreLost: when it is not time, or it does not answer yet.
        """
        assert self._lost_until is not None
        if time < self._lost_until:
            raise StoreLost
        for _ in range(min(len(self._owed), _AT_ONCE)):
            whose, used = self._owed[0]
            if isinstance(whose, Reservation):
                self._warn(self._store.settle(whose, used, time))
            else:
                self._warn(self._store.charge(whose, used, time))
            self._owed.popleft()
        self._store.sweep()
        self._lost_until = 0 if self._owed else None

    def _lose(self, time: int) -> None:
        if self._lost_until is None or time >= self._lost_until:
            self._lost_until = time + AGAIN_S * 1e9

    def _owe(self, whose: Reservation | tuple[Limit, ...], used: Want) -> None:
        if self._lost_until is None:
            # It was lost when the call was let in, and is back: the next operation pays.
            self._lost_until = 0
        if len(self._owed) >= MAX_OWED:
            self._owed.popleft()
            self.lost += 1
        self._owed.append((whose, used))

    def _without(self, limits: Sequence[Limit], want: Want, at_least: Want | None, time: int) -> Reservation | Refused:
        """Let a call in as its limits want it while nobody counts for all."""
        local = []
        for limit in limits:
            if limit.shadow or limit.unreachable is Unreachable.OPEN:
                continue
            if limit.unreachable is Unreachable.CLOSED:
                return Refused(limit, AGAIN_S, 0, True)
            local.append(self._share(limit))
        found = self._local.take(local, want, time)
        if at_least is not None and isinstance(found, Refused):
            found = self._local.take(local, at_least, time)
        if isinstance(found, Refused):
            whole = next(each for each in limits if each.id == found.limit.id)
            return msgspec.structs.replace(found, limit=whole, unreachable=True)
        found.local = True
        found.left_out = tuple(each for each in limits if each.window is not Window.NOW)
        return found

    def _share(self, limit: Limit) -> Limit:
        """:return: this process's part of a limit, rounded down; the parts are never more than the whole."""
        found = self._shares.get(id(limit))
        if found is None:
            part = limit.amount // self._processes
            burst = limit.burst if limit.burst is None else min(part, max(1, limit.burst // self._processes))
            if len(self._shares) >= 65_536:
                self._shares.clear()
            found = self._shares[id(limit)] = (limit, msgspec.structs.replace(limit, amount=part, burst=burst))
        return found[1]

    def _tell(self, reservation: Reservation) -> None:
        self._warn(reservation.warned)
        if self._on_shadow is not None:
            for limit in reservation.shadowed:
                self._on_shadow(limit)

    def _warn(self, limits: Iterable[Limit]) -> None:
        if self._on_warning is not None:
            for limit in limits:
                self._on_warning(limit)
