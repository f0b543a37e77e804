"""Asking a second candidate while the first is silent: when, and how often at most."""

from __future__ import annotations

from llm_gateway.core.routing.backoff import ShareOfCalls
from llm_gateway.core.routing.candidates import Call, Effect
from llm_gateway.core.routing.settings import Hedging

__all__ = ["Hedges"]


class Hedges:
    """
    Decides about hedging for all calls together.

    Who wins is decided by content: not by a status, and not by an event that may be an error. An attempt that fails is
    out of the race; the call fails with the last one. See ``RoutedCall.content``.
    """

    __slots__ = ("_share", "settings")

    def __init__(self, settings: Hedging) -> None:
        self.settings = settings
        self._share = ShareOfCalls(settings.share, settings.reserve)

    @property
    def made(self) -> int:
        """How many there were."""
        return self._share.taken

    def after_s(self, call: Call, usual_s: float | None) -> float | None:
        """
        A call begins.

        :param usual_s: what its candidate usually takes until the first token, where that is known.
        :return: how long to wait for the first token before a second candidate is asked; ``None`` for ever.
        """
        after_s = self.settings.after_s
        if after_s is None or not call.stream or call.bound or call.once or call.effect is Effect.CREATES:
            return None
        self._share.call()
        return after_s if usual_s is None else max(after_s, usual_s * self.settings.times_usual)

    @property
    def is_there(self) -> bool:
        """Whether one more is within the share."""
        return self._share.is_there

    def take(self) -> bool:
        """:return: whether it may happen; then it has."""
        return self._share.take()
