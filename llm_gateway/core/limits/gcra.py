"""
The generic cell rate algorithm: what flows away steadily, with so much at once.

One number says all: the time at which everything that was used will have flowed away (the theoretical arrival time). A
use of ``n`` moves it by ``n`` times the time that one takes. In any time of length ``t`` no more is let in than

    burst + amount * t / window

which over the window itself is ``burst + amount``; with a small burst, little more than the amount.
"""

from __future__ import annotations

from llm_gateway.core.limits.claims import Standing
from llm_gateway.core.limits.counter import BACK, BUSY_NS, HELD, MAIN, NEVER, Cells, Counter
from llm_gateway.core.limits.values import Limit

__all__ = ["Gcra"]


class Gcra(Counter):
    """A limit per second, minute or hour."""

    kind = "gcra"
    __slots__ = ("_each", "_most", "_room")

    def __init__(self, limit: Limit, cells: Cells, seats: int, seat: int) -> None:
        super().__init__(limit, cells, seats, seat)
        window = window_ns(limit)
        self.capacity = limit.amount if limit.burst is None else min(limit.burst, limit.amount)
        self.warn_from = None if limit.warn_at is None else limit.warn_at * self.capacity
        self._each = -(-window // limit.amount)
        """Nanoseconds in which one flows away; rounded up, so that it is never more than the limit."""
        self._room = self.capacity * self._each
        self._most = self._room + window
        """What is used beyond the limit (in shadow, or more than was reserved) keeps nobody out for longer than one
        window."""

    @staticmethod
    def serves(limit: Limit) -> bool:
        """:return: whether a nanosecond is fine enough: what is rounded is below a thousandth."""
        return limit.amount > 0 and window_ns(limit) // limit.amount >= 1_000

    def fits(self, now: int, n: int) -> bool:
        cells = self.cells
        level = cells[MAIN] - now
        need = (cells[HELD] + n) * self._each
        return (need + level if level > 0 else need) <= self._room

    def reserve(self, now: int, n: int) -> bool:
        # As the two that it is made of, in one.
        cells = self.cells
        held = cells[HELD] + n
        level = cells[MAIN] - now
        need = held * self._each
        is_room = (need + level if level > 0 else need) <= self._room
        if is_room or not self.refuses:
            cells[HELD] = held
            if self.seat:
                cells[self.seat] += n
        return is_room

    def pay(self, now: int, n: int, kept: int) -> None:
        cells = self.cells
        if n:
            full = cells[MAIN]
            full = (full if full > now else now) + n * self._each
            cells[MAIN] = full if full <= now + self._most else now + self._most
        if self.seat:
            cells[self.seat] -= kept
        cells[HELD] -= kept

    def use(self, now: int, n: int) -> int:
        cells = self.cells
        full = cells[MAIN]
        full = (full if full > now else now) + n * self._each
        if full > now + self._most:
            full = now + self._most
        cells[MAIN] = full
        return full + cells[BACK]

    def give_back(self, now: int, n: int, mark: int) -> None:
        """
        What has flowed away meanwhile is not there any more to be given back: counted as free a second time, it would
        let in more than the limit. Uses flow away in the order in which they came; ``mark`` says when the last bit of
        this one does, and is earlier by at most all that was given back since.
        """
        cells = self.cells
        back = min(n * self._each, mark - cells[BACK] - now)
        if back > 0:
            cells[BACK] += back
            cells[MAIN] -= back

    def wait(self, now: int, n: int) -> int:
        need = n * self._each
        if need > self._room:
            return NEVER
        level = max(0, self.cells[MAIN] - now)
        return level + need - self._room if level + need > self._room else BUSY_NS

    def used(self, now: int) -> int:
        return -(-max(0, self.cells[MAIN] - now) // self._each)

    def standing(self, now: int) -> Standing:
        cells, each = self.cells, self._each
        level, held = cells[MAIN] - now, cells[HELD]
        if level <= 0:
            return Standing(self.limit, 0, held, self.capacity - held if held < self.capacity else 0, 0.0)
        remaining = (self._room - level) // each - held
        return Standing(self.limit, -(-level // each), held, remaining if remaining > 0 else 0, level / 1e9)

    def seed(self, now: int, at: int, n: int) -> None:
        self.use(min(at, now), n)


def window_ns(limit: Limit) -> int:
    """:return: the window in nanoseconds."""
    seconds = limit.window.seconds
    assert seconds is not None
    return int(seconds * 1_000_000_000)
