"""Where an attempt puts the provider's answer."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IPushProducer

from llm_gateway.core.headers import Fields


class Sink(Protocol):
    """The client's side of a call, as an attempt sees it."""

    def begin(self, status: int, headers: Fields) -> None:
        """
        The answer's status and headers; from here on the answer cannot be replaced.

        :param headers: names spelt as Twisted spells them.
        """

    def write(self, piece: bytes) -> None:
        """A piece of the body."""

    def finish(self) -> None:
        """The body is whole."""

    def cut(self) -> None:
        """The body will not become whole: close the connection behind what was written, so that the client sees it."""

    def abort(self) -> None:
        """Close the connection now; the client does not read what was written."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """From now on ``producer`` is paused while the client is slow."""

    def unregisterProducer(self) -> None:
        """The producer is done."""
