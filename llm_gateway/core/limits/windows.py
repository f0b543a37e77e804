"""Counts that are kept whole: of a window that slides in steps, of all time, and of what is running."""

from __future__ import annotations

from llm_gateway.core.limits.claims import Standing
from llm_gateway.core.limits.counter import BUSY_NS, FLAGS, HELD, MAIN, NEVER, SEATS, SUM, WARNED, Cells, Counter
from llm_gateway.core.limits.gcra import window_ns
from llm_gateway.core.limits.values import Limit, Window

__all__ = ["InFlight", "Sliding", "Total", "steps_of"]

_STEPS = {Window.DAY: 48, Window.WEEK: 56, Window.MONTH: 60}
"""Half an hour, three hours, twelve hours."""


def steps_of(window: Window) -> int:
    """:return: how many steps a window slides in."""
    return _STEPS.get(window, 60)


class Sliding(Counter):
    """
    How much is used in a window that slides in steps.

    There is one bucket more than steps in a window, so that those that count always reach back a whole window: in no
    time of its length is more let in than the limit. What was used comes free again a step later at most.
    """

    kind = "sliding"
    __slots__ = ("_base", "_size", "_step", "_until")

    def __init__(self, limit: Limit, cells: Cells, seats: int, seat: int) -> None:
        super().__init__(limit, cells, seats, seat)
        steps = steps_of(limit.window)
        self._step = window_ns(limit) // steps
        self._size = steps + 1
        self._base = SEATS + seats
        self._until = 0
        """Before this, the window need not be moved on. Another process may have moved it further."""

    @classmethod
    def length(cls, limit: Limit, seats: int) -> int:
        return SEATS + seats + steps_of(limit.window) + 1

    def _roll(self, now: int) -> int:
        """
        Drop the buckets that are out of the window.

        :return: the number of the bucket that ``now`` is in.
        """
        cells, size, base = self.cells, self._size, self._base
        last, current = cells[MAIN], now // self._step
        self._until = (current + 1) * self._step
        if current <= last:
            # Below only where processes do not agree on the time: what one of them has dropped stays so.
            return last
        for number in range(max(last + 1, current - size + 1), current + 1):
            place = base + number % size
            gone = cells[place]
            if gone:
                cells[place] = 0
                cells[SUM] -= gone
        cells[MAIN] = current
        return current

    def fits(self, now: int, n: int) -> bool:
        cells = self.cells
        if now >= self._until:
            self._roll(now)
        return cells[SUM] + cells[HELD] + n <= self.capacity

    def reserve(self, now: int, n: int) -> bool:
        # As the two that it is made of, in one.
        cells = self.cells
        if now >= self._until:
            self._roll(now)
        held = cells[HELD] + n
        is_room = cells[SUM] + held <= self.capacity
        if is_room or not self.refuses:
            cells[HELD] = held
            if self.seat:
                cells[self.seat] += n
        return is_room

    def pay(self, now: int, n: int, kept: int) -> None:
        cells = self.cells
        if n:
            number = self._roll(now) if now >= self._until else cells[MAIN]
            cells[self._base + number % self._size] += n
            cells[SUM] += n
        if self.seat:
            cells[self.seat] -= kept
        cells[HELD] -= kept

    def use(self, now: int, n: int) -> int:
        cells = self.cells
        number = self._roll(now) if now >= self._until else cells[MAIN]
        cells[self._base + number % self._size] += n
        cells[SUM] += n
        return number

    def give_back(self, now: int, n: int, mark: int) -> None:
        if self._roll(now) - mark < self._size:
            cells = self.cells
            cells[self._base + mark % self._size] -= n
            cells[SUM] -= n

    def wait(self, now: int, n: int) -> int:
        cells, amount = self.cells, self.limit.amount
        if n > amount:
            return NEVER
        last = self._roll(now)
        used = cells[SUM]
        if used + n <= amount:
            return BUSY_NS
        for number in range(last - self._size + 1, last + 1):
            used -= cells[self._base + number % self._size]
            if used + n <= amount:
                return (number + self._size) * self._step - now
        raise AssertionError("the buckets do not make up the sum")

    def used(self, now: int) -> int:
        self._roll(now)
        return self.cells[SUM]

    def standing(self, now: int) -> Standing:
        cells, size = self.cells, self._size
        number = self._roll(now) if now >= self._until else cells[MAIN]
        used, held = cells[SUM], cells[HELD]
        remaining = self.capacity - used - held
        if remaining < 0:
            remaining = 0
        if not used:
            return Standing(self.limit, 0, held, remaining, 0.0)
        base, oldest = self._base, number - size
        while not cells[base + number % size] and number > oldest:
            number -= 1
        return Standing(self.limit, used, held, remaining, ((number + size) * self._step - now) / 1e9)

    def seed(self, now: int, at: int, n: int) -> None:
        last = self._roll(now)
        number = min(at // self._step, last)
        if last - number < self._size:
            self.cells[self._base + number % self._size] += n
            self.cells[SUM] += n


class Total(Counter):
    """How much is used in all."""

    kind = "total"
    __slots__ = ()

    def fits(self, now: int, n: int) -> bool:
        return self.cells[SUM] + self.cells[HELD] + n <= self.limit.amount

    def use(self, now: int, n: int) -> int:
        self.cells[SUM] += n
        return 0

    def give_back(self, now: int, n: int, mark: int) -> None:
        self.cells[SUM] -= n

    def wait(self, now: int, n: int) -> int:
        return NEVER if self.cells[SUM] + n > self.limit.amount else BUSY_NS

    def used(self, now: int) -> int:
        return self.cells[SUM]

    def standing(self, now: int) -> Standing:
        used, held = self.cells[SUM], self.cells[HELD]
        return Standing(self.limit, used, held, max(0, self.limit.amount - used - held), None if used else 0.0)

    def seed(self, now: int, at: int, n: int) -> None:
        self.cells[SUM] += n


class InFlight(Counter):
    """How many calls are running. All of it is held, nothing is ever used."""

    kind = "in_flight"
    __slots__ = ()

    def fits(self, now: int, n: int) -> bool:
        return self.cells[HELD] + n <= self.limit.amount

    def reserve(self, now: int, n: int) -> bool:
        cells = self.cells
        held = cells[HELD] + n
        is_room = held <= self.capacity
        if is_room or not self.refuses:
            cells[HELD] = held
            if self.seat:
                cells[self.seat] += n
        return is_room

    def pay(self, now: int, n: int, kept: int) -> None:
        self.release(kept)

    def release(self, n: int) -> None:
        cells = self.cells
        if self.seat:
            cells[self.seat] -= n
        cells[HELD] -= n
        if self.warn_from is not None and cells[HELD] < 0.9 * self.warn_from:
            cells[FLAGS] &= ~WARNED

    def use(self, now: int, n: int) -> int:
        return 0

    def give_back(self, now: int, n: int, mark: int) -> None:
        """Nothing was used."""

    def wait(self, now: int, n: int) -> int:
        return NEVER if n > self.limit.amount else BUSY_NS

    def used(self, now: int) -> int:
        return self.cells[HELD]

    def standing(self, now: int) -> Standing:
        running = self.cells[HELD]
        return Standing(self.limit, running, 0, max(0, self.limit.amount - running), None if running else 0.0)

    def seed(self, now: int, at: int, n: int) -> None:
        """Nothing runs before the store begins."""
