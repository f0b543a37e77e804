"""Telling a URL that a limit's share for a warning is passed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from llm_gateway.core.limits.values import Limit, Measure, Scope
from llm_gateway.core.record import timestamp
from llm_gateway.upstream.relay import HangUp
from llm_gateway.wire.upload import BytesBody

__all__ = ["Webhook"]

TIMEOUT_S = 10.0
MOST_AT_ONCE = 32
"""Posts that are under way; more warnings than that are only logged."""

_log = Logger()


class Webhook:
    """Sends one POST for each warning, once. Nobody waits for it."""

    def __init__(
        self, url: str, agent: IAgent, clock: IReactorTime, wall: Callable[[], float], names: Callable[[Limit], str]
    ) -> None:
        """
        :param names: what the subject of a limit is called: of a key, the name that logs show.
        """
        self._url = url.encode("ascii")
        self._agent = agent
        self._clock = clock
        self._wall = wall
        self._names = names
        self._running: set[Deferred[Any]] = set()

    def __call__(self, limit: Limit) -> None:
        if len(self._running) >= MOST_AT_ONCE:
            return
        said = {
            "time": timestamp(self._wall()),
            "event": "limit_warning",
            "limit": limit.name,
            "scope": limit.scope.value,
            "subject": None if limit.scope is Scope.GLOBAL else self._names(limit),
            "amount": limit.amount / 1e9 if limit.measure is Measure.DOLLARS else limit.amount,
            "warn_at": limit.warn_at,
        }
        headers = Headers({b"content-type": [b"application/json"]})
        body = BytesBody(json.dumps(said).encode())
        sending: Deferred[Any] = self._agent.request(b"POST", self._url, headers, body)
        self._running.add(sending)
        deadline = self._clock.callLater(TIMEOUT_S, sending.cancel)

        def over(result: Any) -> None:
            self._running.discard(sending)
            if deadline.active():
                deadline.cancel()
            if isinstance(result, Failure):
                late = result.check(CancelledError, ResponseNeverReceived)
                why = f"no answer within {TIMEOUT_S:g} s" if late else result.getErrorMessage()
                _log.warn("The webhook for warnings cannot be reached: {why}", why=why)
                return
            result.deliverBody(HangUp())
            if result.code >= 300:
                _log.warn("The webhook for warnings answers {code}", code=result.code)

        sending.addBoth(over)
