"""What is written down of attempts: the side of it that the attempts see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IPushProducer

from llm_gateway.core.headers import Fields
from llm_gateway.errors import GatewayError

READ_ON_S = 60.0
"""How long the answer of a call is read whose client has left, to know what its provider bills."""

READ_ON_BYTES = 4_194_304
"""How much of it."""


class Account(Protocol):
    """One attempt's account."""

    reads_on: bool
    """Whether the answer is read to its end if the client leaves before it."""

    def answered(
        self, status: int, *, stream: bool, encoded: bool, stop: Callable[[GatewayError], None]
    ) -> Callable[[bytes], None] | None:
        """
        The provider's status and headers have come.

        :param stream: whether the answer is a stream of events.
        :param encoded: whether it is compressed.
        :param stop: ends the attempt with an error, such as that the money is gone.
        :return: is told of each piece of the provider's body, as it comes; ``None`` where nobody wants to know.
        """

    def over(self, ended: str, error: GatewayError | None, *, whole: bool) -> None:
        """
        The attempt has ended. Called once.

        :param ended: one of ``core.record.ENDINGS``, or ``core.record.SUPERSEDED``.
        :param whole: whether all of the provider's answer has come.
        """


class Nowhere:
    """Where the rest of an answer goes whose client has left: a ``sink.Sink``."""

    begun = True

    def __init__(self, most_bytes: int, enough: Callable[[], None]) -> None:
        """
        :param enough: called once there are more than ``most_bytes``.
        """
        self._left = most_bytes
        self._enough = enough

    def begin(self, status: int, headers: Fields) -> None:
        """Nobody is told."""

    def write(self, piece: bytes) -> None:
        before = self._left
        self._left -= len(piece)
        if self._left < 0 <= before:
            self._enough()

    def finish(self) -> None:
        """Nobody waits."""

    def break_off(self, error: GatewayError, *, stream: bool, inside: bool) -> None:
        """Nobody is told."""

    def abort(self) -> None:
        """There is nothing to be closed."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Nobody is slow."""

    def unregisterProducer(self) -> None:
        """As above."""
