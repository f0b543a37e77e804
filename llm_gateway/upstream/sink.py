"""Where an attempt puts the provider's answer."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IPushProducer

from llm_gateway.core.headers import Fields
from llm_gateway.errors import GatewayError


class Sink(Protocol):
    """The client's side of a call, as an attempt sees it."""

    @property
    def begun(self) -> bool:
        """Whether the client got something: from then on the answer cannot be replaced."""

    def begin(self, status: int, headers: Fields) -> None:
        """
        The answer's status and headers.

        :param headers: names spelt as Twisted spells them.
        """

    def write(self, piece: bytes) -> None:
        """A piece of the body."""

    def finish(self) -> None:
        """The body is whole."""

    def break_off(self, error: GatewayError, *, stream: bool, inside: bool) -> None:
        """
        The body will not become whole: tell the client in its stream, or else close the connection behind what was
        written, so that it sees it. Only where the answer has begun.

        :param stream: whether the provider's answer is a stream of events.
        :param inside: whether what was written ends within an event.
        """

    def abort(self) -> None:
        """Close the connection now; the client does not read what was written."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """From now on ``producer`` is paused while the client is slow."""

    def unregisterProducer(self) -> None:
        """The producer is done."""
