"""Asking every provider, from time to time, whether it is there; never in a way that it could bill."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from llm_gateway.config.values import Provider
from llm_gateway.upstream.failures import upstream_error
from llm_gateway.upstream.targets import Target

_log = Logger()

JITTER = 0.2
"""Each round but the first is late by up to this share of the interval, so that many gateways do not ask at once."""


class ProviderHealth(msgspec.Struct, frozen=True):
    """What is known of one provider."""

    name: str
    url: str
    online: bool
    """Whether the last probe had an HTTP answer below 500."""
    checked_at: float | None
    """Seconds since the epoch; ``None`` before the first probe has ended."""
    latency_s: float | None
    """Seconds until the status line came; ``None`` where none came."""
    error: str | None


class HealthBoard:
    """The last known state of every configured provider."""

    def __init__(self) -> None:
        self._states: dict[str, ProviderHealth] = {}
        self._callbacks: list[Callable[[ProviderHealth], None]] = []

    def on_note(self, callback: Callable[[ProviderHealth], None]) -> None:
        """
        :param callback: called with every state that becomes known.
        """
        self._callbacks.append(callback)

    def use(self, providers: Collection[Provider]) -> None:
        """Keep what is known of providers that stay as they are, forget the others."""
        self._states = {
            provider.name: self._known(provider)
            or ProviderHealth(provider.name, provider.url, False, None, None, "not checked yet")
            for provider in providers
        }

    def _known(self, provider: Provider) -> ProviderHealth | None:
        known = self._states.get(provider.name)
        return known if known is not None and known.url == provider.url else None

    def states(self) -> list[ProviderHealth]:
        """In the order of the configuration."""
        return list(self._states.values())

    def note(self, state: ProviderHealth) -> ProviderHealth | None:
        """
        :return: what was known before; ``None`` if the provider is not configured (any more).
        """
        before = self._states.get(state.name)
        if before is None or before.url != state.url:
            return None
        self._states[state.name] = state
        for callback in self._callbacks:
            callback(state)
        return before


class Prober:
    """
    Probes all providers side by side, over and over.

    A probe is a GET (or HEAD) of the provider's list of models without any key: no provider can bill that, and every
    answer below 500, most often 401, shows that the service answers.
    """

    def __init__(
        self,
        targets: Callable[[], Collection[Target]],
        board: HealthBoard,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        chance: Callable[[], float],
        *,
        interval_s: float,
        timeout_s: float,
    ) -> None:
        """
        :param targets: the current configuration's.
        :param wall_clock: seconds since the epoch.
        :param chance: from 0 up to 1, for the jitter.
        :param timeout_s: for one probe, from connecting to the end of its answer.
        """
        self._targets = targets
        self._board = board
        self._clock = clock
        self._wall_clock = wall_clock
        self._chance = chance
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._loop = LoopingCall(self._round)
        self._loop.clock = clock
        self._rounds = 0
        self._waiting: Deferred[None] | None = None
        self._running: set[Deferred[Any]] = set()

    def start(self) -> None:
        """Probe now and from now on."""
        self._loop.start(self._interval_s).addErrback(
            lambda failure: _log.failure("The health checks have stopped", failure)
        )

    def stop(self) -> None:
        """Stop, and give up the probes that run."""
        if self._loop.running:
            self._loop.stop()
        if self._waiting is not None:
            self._waiting.cancel()
        for probe in list(self._running):
            probe.cancel()

    def _round(self) -> Deferred[None]:
        self._rounds += 1
        if self._rounds == 1:
            return self.probe_all()
        # The loop keeps its beat; to change its interval would move all the beats that follow.
        waiting: Deferred[None] = deferLater(self._clock, self._interval_s * JITTER * self._chance())
        self._waiting = waiting.addCallback(lambda _: self.probe_all())
        return self._waiting.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def probe_all(self) -> Deferred[None]:
        """
        :return: fires when every probe of this round has ended.
        """
        probes = [self._probe(target) for target in self._targets() if target.provider.health.enabled]
        return DeferredList(probes).addCallback(lambda _results: None)

    def _probe(self, target: Target) -> Deferred[None]:
        provider = target.provider
        began = self._clock.seconds()
        asked: Deferred[Any] = maybeDeferred(
            target.client.request,
            provider.health.method,
            provider.health.url.encode("ascii"),
            headers=Headers({b"accept": [b"application/json"], b"user-agent": [b"llm-gateway-health"]}),
            unbuffered=True,
            allow_redirects=False,
        )
        self._running.add(asked)
        timer = self._clock.callLater(self._timeout_s, asked.cancel)

        def answered(response: IResponse) -> Deferred[None]:
            error = f"HTTP status {response.code}" if response.code >= 500 else None
            self._note(provider, self._clock.seconds() - began, error)
            rest = _Discard()
            response.deliverBody(rest)
            # The probe is over when its connection is free again, or closed: one that stalls meets the same clock.
            return rest.over

        def failed(failure: Failure) -> None:
            if not timer.active():
                self._note(provider, None, f"no answer within {self._timeout_s:g} s")
            elif self._loop.running:
                self._note(provider, None, upstream_error(failure, provider.name).message)

        def leave(result: None) -> None:
            self._running.discard(asked)
            if timer.active():
                timer.cancel()
            return result

        asked.addCallbacks(answered, failed)
        asked.addErrback(lambda failure: _log.failure("The health check of {name} broke", failure, name=provider.name))
        return asked.addCallback(leave)

    def _note(self, provider: Provider, latency_s: float | None, error: str | None) -> None:
        online = error is None
        before = self._board.note(
            ProviderHealth(provider.name, provider.url, online, self._wall_clock(), latency_s, error)
        )
        if before is None or (before.online == online and before.checked_at is not None):
            return
        if online:
            _log.info("Provider {name} is online", name=provider.name)
        else:
            _log.warn("Provider {name} is not online: {error}", name=provider.name, error=error)


class _Discard(Protocol):
    """Reads a short answer to its end, so that its connection can serve a call; closes the connection of a long one."""

    MAX_BYTES = 65_536

    def __init__(self) -> None:
        self._left = self.MAX_BYTES
        self.over: Deferred[None] = Deferred(self._give_up)
        """Fires when nothing more will come; cancel it to close the connection."""

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.over.cancel()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.over.called:
            self.over.callback(None)

    def _give_up(self, over: Deferred[None]) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
        over.callback(None)
