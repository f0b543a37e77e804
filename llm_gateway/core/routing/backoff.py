"""How long to wait before a call is sent again, and how often that may happen at all."""

from __future__ import annotations

from llm_gateway.core.routing.candidates import Chance
from llm_gateway.core.routing.settings import Retries

__all__ = ["ShareOfCalls", "wait_before"]

_LATE_BY = 0.1
"""Up to this share is added to the time that a provider names, or everybody would be there at the same moment."""


def wait_before(again: int, retry_after_s: float | None, retries: Retries, chance: Chance) -> float | None:
    """
    Exponential back-off with full jitter, and not before the provider wants it.

    :param again: how often this candidate was asked again already.
    :param retry_after_s: what the provider said.
    :return: seconds; ``None`` where the provider wants more patience than there is.
    """
    # Beyond 2 to the 60th nothing is shorter than the longest wait, and a float would not hold it for ever.
    longest = min(retries.longest_wait_s, retries.first_wait_s * 2.0 ** min(again, 60))
    wait = longest * chance() if retries.spread else longest
    if retry_after_s is None:
        return wait
    if retry_after_s > retries.retry_after_cap_s:
        return None
    late = retry_after_s * _LATE_BY * chance() if retries.spread else 0.0
    return max(wait, retry_after_s + late)


class ShareOfCalls:
    """
    Lets something happen for a share of the calls, and a few times more at first.

    Retries are bounded by this, so that a provider in trouble gets little more than the calls themselves: without it,
    three attempts for each call are three times the load on what cannot bear the load that it has.
    """

    __slots__ = ("_left", "_most", "full", "share", "taken")

    def __init__(self, share: float, reserve: int) -> None:
        """
        :param share: of the calls, from 0 to 1.
        :param reserve: how often beyond that share; calls fill it up again.
        """
        self.share = share
        self._left = float(reserve)
        self._most = max(float(reserve), 1.0)
        self.full = self._left >= self._most
        """Whether one more call changes nothing."""
        self.taken = 0
        """How often it happened."""

    def configure(self, share: float, reserve: int) -> None:
        """Go by these from now on."""
        self.share = share
        self._most = max(float(reserve), 1.0)
        self._left = min(self._left, self._most)
        self.full = self._left >= self._most

    def call(self) -> None:
        """A call came."""
        self._left = min(self._left + self.share, self._most)
        self.full = self._left >= self._most

    @property
    def is_there(self) -> bool:
        """Whether it may happen now."""
        return self._left >= 1.0

    def take(self) -> bool:
        """
        :return: whether it may happen; then it has.
        """
        if self._left < 1.0:
            return False
        self._left -= 1.0
        self.full = False
        self.taken += 1
        return True
