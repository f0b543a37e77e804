"""The connections that a site has open, and how it parts from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed

HANG_UP_S = 10.0
"""How long clients get when the site hangs up on all of them."""

SEE_OFF_S = 10.0
"""How long a connection may stay idle that is to be closed behind its next answer. A client that is told so with an
answer loses nothing; one that sends a call while its idle connection is being closed loses the call."""


class Visitor(Protocol):
    """A connection, as its site parts from it."""

    @property
    def requests(self) -> Sequence[Any]:
        """What is being answered on it, or waits for that."""

    def last_answer(self) -> None:
        """Close it behind the answer that is being made."""

    def loseConnection(self) -> object:
        """Close it once what was written to it has been read."""

    def abortConnection(self) -> None:
        """Close it now."""


class Visited:
    """What a site of either kind knows of its connections; they tell it when they come and go."""

    reactor: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels: set[Any] = set()
        """Each of them a :class:`Visitor`."""
        self.seeing_off = False
        """Whether every connection is closed behind the next answer on it."""
        self._all_gone: list[Deferred[None]] = []

    def hang_up(self) -> Deferred[None]:
        """
        Close every connection once what was written to it has been read, and at the latest after ``HANG_UP_S``.

        :return: fires when all are closed.
        """
        for channel in self._visitors():
            channel.loseConnection()
        return self._when_gone(HANG_UP_S, self.abort_all)

    def see_off(self) -> Deferred[None]:
        """
        Answer what still comes on the connections that are open, and close each behind the next answer on it.

        :return: fires when all are closed; those that stay idle are after ``SEE_OFF_S``.
        """
        self.seeing_off = True
        for channel in self._visitors():
            if channel.requests:
                channel.last_answer()
        return self._when_gone(SEE_OFF_S, self._close_idle)

    def abort_all(self) -> None:
        """Close every connection now, whether or not what was written to it has been read."""
        for channel in self._visitors():
            channel.abortConnection()

    def channel_gone(self, channel: Visitor) -> None:
        """A connection is closed."""
        self.channels.discard(channel)
        if not self.channels:
            waiting, self._all_gone = self._all_gone, []
            for each in waiting:
                each.callback(None)

    def _visitors(self) -> list[Visitor]:
        # Closing one may take it out of the set at once.
        return list(self.channels)

    def _when_gone(self, seconds: float, at_last: Callable[[], None]) -> Deferred[None]:
        if not self.channels:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._all_gone.append(gone)
        deadline = self.reactor.callLater(seconds, at_last)

        def cancel_deadline(result: None) -> None:
            if deadline.active():
                deadline.cancel()

        return gone.addCallback(cancel_deadline)

    def _close_idle(self) -> None:
        for channel in self._visitors():
            if not channel.requests:
                channel.loseConnection()
