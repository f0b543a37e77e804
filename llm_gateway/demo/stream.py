"""Sending an answer beat by beat, no faster than the client reads."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from llm_gateway.demo.values import Trouble

__all__ = ["PacedStream"]

_BEATS_BEFORE_TROUBLE = 4


@implementer(IPushProducer)
class PacedStream:
    """Writes one beat, waits, writes the next; waits longer while the client is slow, and ends when it leaves."""

    def __init__(
        self, request: Request, beats: Iterator[bytes], clock: IReactorTime, pace_s: float, trouble: Trouble | None
    ) -> None:
        """
        :param pace_s: seconds between two beats.
        :param trouble: what goes wrong after a few beats, if anything.
        """
        self._request = request
        self._beats = beats
        self._upcoming = next(beats, None)
        self._clock = clock
        self._pace_s = pace_s
        self._trouble = trouble
        self._written = 0
        self._timer: IDelayedCall | None = None
        self._paused = False
        self._ended = False

    def start(self) -> None:
        self._request.notifyFinish().addErrback(self._client_left)
        self._request.registerProducer(self, True)
        self._beat()

    def pauseProducing(self) -> None:
        self._paused = True
        self._cancel_timer()

    def resumeProducing(self) -> None:
        self._paused = False
        self._wait()

    def stopProducing(self) -> None:
        self._ended = True
        self._cancel_timer()

    def _client_left(self, reason: Failure) -> None:
        self.stopProducing()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _wait(self) -> None:
        if not (self._paused or self._ended or self._timer):
            self._timer = self._clock.callLater(self._pace_s, self._beat)

    def _beat(self) -> None:
        self._timer = None
        if self._trouble is not None and self._written == _BEATS_BEFORE_TROUBLE:
            self._fail(self._trouble)
            return
        if self._upcoming is not None:
            self._written += 1
            # The transport may pause us from inside this call.
            self._request.write(self._upcoming)
            self._upcoming = next(self._beats, None)
        if self._upcoming is None:
            self._end()
            self._request.finish()
        else:
            self._wait()

    def _fail(self, trouble: Trouble) -> None:
        if trouble is Trouble.MIDSTREAM:
            self._end()
            # What was written still goes out; the end of the chunked body does not.
            self._request.loseConnection()
        else:
            # Registered still, so that the client's leaving is noticed; without a timer nothing more is written.
            self._ended = True

    def _end(self) -> None:
        self._ended = True
        self._request.unregisterProducer()
