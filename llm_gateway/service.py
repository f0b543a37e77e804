"""What starts and what stops, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.config.store import ConfigurationStore
from llm_gateway.config.values import Configuration
from llm_gateway.upstream.prober import HealthBoard, Prober
from llm_gateway.web.access_log import FileAccessLog
from llm_gateway.web.grants import GrantBook
from llm_gateway.web.live import LiveCalls

_log = Logger()


class CannotListen(Exception):
    """An address could not be bound; the message names it and says why."""


class GatewaySite(Protocol):
    """What is asked of whichever ``Site`` serves the gateway, besides being a protocol factory."""

    def hang_up(self) -> Deferred[None]:
        """Close every connection behind what was written to it."""


class Signals(Protocol):
    """The process's signals, as far as the gateway cares."""

    def on_hangup(self, call: Callable[[], object]) -> None:
        """SIGHUP: read the configuration again."""

    def on_stop(self, call: Callable[[], object]) -> None:
        """From now on SIGTERM and SIGINT lead here and no longer to the reactor."""


class Companion(Protocol):
    """Something that must run before the first call and until after the last: the demo provider."""

    def start(self) -> None:
        """Ready when this returns."""

    def stop(self) -> Deferred[None]:
        """Fires when it is gone."""


@attrs.frozen
class Parts:
    """The object graph that a gateway's service starts and stops."""

    store: ConfigurationStore
    grants: GrantBook
    board: HealthBoard
    prober: Prober | None
    live: LiveCalls
    access_log: FileAccessLog | None
    close_pool: Callable[[], Deferred[None]]
    """Close the idle connections to providers."""
    companion: Companion | None = None

    def use(self, configuration: Configuration) -> None:
        """Hand a new configuration to all that work with it, between two calls."""
        self.grants.use(configuration)
        self.board.use(tuple(configuration.providers.values()))


class GatewayService(Service):
    """
    Starts the gateway; stops it without cutting an answer.

    Stopping goes: no new calls (503 and ``/readyz`` 503, the sockets stay open so that callers are told); wait for the
    running ones up to the drain timeout, then end them with an error of their dialect; close the sockets; hang up.
    """

    def __init__(
        self,
        parts: Parts,
        site: IProtocolFactory | None,
        endpoints: Sequence[IStreamServerEndpoint],
        *,
        clock: IReactorTime,
        drain_timeout_s: float,
        watch_files: bool = True,
        signals: Signals | None = None,
        announce: Callable[[list[str]], None] | None = None,
    ) -> None:
        """
        :param site: served on the endpoints, also a :class:`GatewaySite`; ``None`` when only the resource is used.
        :param announce: called with the URLs once the gateway listens.
        """
        self._parts = parts
        self._site = site
        self._endpoints = endpoints
        self._clock = clock
        self._drain_timeout_s = drain_timeout_s
        self._watch_files = watch_files
        self._signals = signals
        self._announce = announce
        self._ports: list[IListeningPort] = []
        self._listening = False

    def privilegedStartService(self) -> None:
        """
        Bind the addresses, while the process may still bind low ports.

        :raises CannotListen: one of them is taken, or may not be used.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        parts = self._parts
        super().startService()
        if parts.companion is not None:
            parts.companion.start()
            parts.store.reload()
        if parts.access_log is not None:
            parts.access_log.open()
        parts.use(parts.store.current)
        parts.store.on_change(parts.use)
        if self._watch_files:
            parts.store.start()
        if parts.prober is not None:
            parts.prober.start()
        if self._signals is not None:
            self._signals.on_hangup(self.reload)
        self._listen()
        urls = [_url(port.getHost()) for port in self._ports]
        current = parts.store.current
        for url in urls:
            _log.info("Listening on {url}", url=url)
        _log.info(
            "{keys} virtual keys, providers: {names}",
            keys=len(current.keys),
            names=", ".join(current.providers) or "none",
        )
        if self._announce is not None:
            self._announce(urls)

    def stopService(self) -> Deferred[None]:
        """
        :return: fires when the last call is over and everything is closed.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def reload(self) -> bool:
        """
        Read the configuration again and open the access log anew.

        :return: whether the new configuration is in use; if not, the log says why and the old one stays.
        """
        if self._parts.access_log is not None:
            try:
                self._parts.access_log.open()
            except OSError as error:
                _log.error("The access log cannot be opened again: {error}", error=error)
        return self._parts.store.reload()

    async def _stop(self) -> None:
        parts = self._parts
        parts.live.draining = True
        if len(parts.live):
            await self._drain()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        self._ports, self._listening = [], False
        if self._site is not None:
            await self._site.hang_up()  # type: ignore[attr-defined]  # a GatewaySite too
        if parts.prober is not None:
            parts.prober.stop()
        parts.store.stop()
        await parts.close_pool()
        if parts.companion is not None:
            await parts.companion.stop()
        if parts.access_log is not None:
            parts.access_log.close()

    async def _drain(self) -> None:
        live = self._parts.live
        _log.info(
            "Stopping: {calls} calls are running and get up to {seconds:g} s. A second signal ends them now.",
            calls=len(live),
            seconds=self._drain_timeout_s,
        )
        if self._signals is not None:
            self._signals.on_stop(live.stop_all)
        deadline = self._clock.callLater(self._drain_timeout_s, live.stop_all)
        await live.drained()
        if deadline.active():
            deadline.cancel()

    def _listen(self) -> None:
        if self._listening or self._site is None:
            return
        self._listening = True
        for endpoint in self._endpoints:
            failures: list[Failure] = []
            endpoint.listen(self._site).addCallbacks(self._ports.append, failures.append)
            if failures:
                raise CannotListen(f"Cannot listen: {failures[0].getErrorMessage()}")


def _url(address: IAddress) -> str:
    if isinstance(address, IPv4Address):
        host = "127.0.0.1" if address.host == "0.0.0.0" else address.host
        return f"http://{host}:{address.port}"
    if isinstance(address, IPv6Address):
        host = "::1" if address.host == "::" else address.host
        return f"http://[{host}]:{address.port}"
    return str(address)
