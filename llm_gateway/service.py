"""What starts and what stops, and in which order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.config.store import ConfigurationStore, FileConfiguration, reload_problems
from llm_gateway.config.values import Configuration
from llm_gateway.upstream.prober import HealthBoard, Prober
from llm_gateway.web.access_log import FileAccessLog
from llm_gateway.web.grants import GrantBook
from llm_gateway.web.live import LiveCalls
from llm_gateway.web.routes import RouteBook

if TYPE_CHECKING:
    from llm_gateway.accounting import Accounting
    from llm_gateway.administration import Administration

_log = Logger()


class CannotStart(Exception):
    """An address could not be bound or the access log not be opened; the message names it and says why."""


class GatewaySite(Protocol):
    """What is asked of whichever ``Site`` serves the gateway, besides being a protocol factory."""

    def see_off(self) -> Deferred[None]:
        """Answer what still comes, and close every connection behind the next answer on it; fires when none is left."""

    def hang_up(self) -> Deferred[None]:
        """Close every connection behind what was written to it."""

    def abort_all(self) -> None:
        """Close every connection now."""


class Signals(Protocol):
    """The process's signals, as far as the gateway cares."""

    def install(self, reload: Callable[[], object], hurry: Callable[[], object]) -> None:
        """
        :param reload: called on SIGHUP.
        :param hurry: called on SIGTERM and SIGINT once the program is stopping; the first of them makes it stop.
        """


class Companion(Protocol):
    """Something that must run before the first call and until after the last: the demo provider."""

    def start(self) -> None:
        """Ready when this returns."""

    def stop(self) -> Deferred[None]:
        """Fires when it is gone."""


class Parts(msgspec.Struct, frozen=True):
    """The object graph that a gateway's service starts and stops."""

    store: FileConfiguration
    """The configuration in use."""
    files: ConfigurationStore
    """As the files have it."""
    grants: GrantBook
    routes: RouteBook
    board: HealthBoard
    prober: Prober | None
    live: LiveCalls
    access_log: FileAccessLog | None
    close_pool: Callable[[], Deferred[None]]
    """Close the idle connections to providers."""
    companion: Companion | None = None
    accounting: Accounting | None = None
    administration: Administration | None = None
    stop_reading: Callable[[], None] = lambda: None
    """Read no answer any further whose client has left."""

    def use(self, configuration: Configuration) -> None:
        """Hand a new configuration to all that work with it, between two calls."""
        if self.accounting is not None:
            self.accounting.use(configuration)
        self.grants.use(configuration)
        self.routes.use(configuration)
        self.board.use(tuple(configuration.providers.values()))

    def in_use(self) -> Deferred[None]:
        """
        :return: fires when the configuration that was read last is in use.
        """
        return succeed(None) if self.administration is None else self.administration.running.in_use()


class GatewayService(Service):
    """
    Starts the gateway; stops it without cutting an answer.

    Stopping goes: no new calls (503 and ``/readyz`` 503, the sockets stay open so that callers are told); wait for the
    running ones up to the drain timeout, then end them with an error of their dialect; close the sockets; hang up.

    After ``leave_sockets`` it goes otherwise: the sockets are somebody else's by then, who takes the new connections.
    Calls that still come on old ones are answered, and each connection is closed behind the next answer on it.
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
        self._others: list[tuple[IProtocolFactory, IStreamServerEndpoint]] = []
        self._endpoints = endpoints
        self._clock = clock
        self._drain_timeout_s = drain_timeout_s
        self._watch_files = watch_files
        self._signals = signals
        self._announce = announce
        self._ports: list[IListeningPort] = []
        self._urls: list[str] = []
        self._other_urls: list[str] = []
        self._listening = False
        self._sockets_left = False
        parts.store.on_change(parts.use)

    def also(self, site: IProtocolFactory, endpoint: IStreamServerEndpoint) -> None:
        """
        Serve something else as well, such as what is for operators alone.

        :param site: also a :class:`GatewaySite`.
        """
        self._others.append((site, endpoint))

    def privilegedStartService(self) -> None:
        """
        Bind the addresses, while the process may still bind low ports.

        :raises CannotStart: one of them is taken, or may not be used.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """
        :raises CannotStart: an address is taken, or the access log cannot be opened. Nothing stays open.
        """
        if self.running:
            return
        # Both can fail, and what follows cannot.
        self._listen()
        self._open_access_log()
        super().startService()
        parts = self._parts
        parts.live.draining = False
        if parts.companion is not None:
            parts.companion.start()
            parts.store.reload()
        if parts.administration is not None:
            parts.administration.running.open()
        parts.use(parts.store.current)
        if parts.accounting is not None:
            self._start_accounting(parts.accounting)
        if self._watch_files or parts.administration is not None:
            parts.store.start()
        if parts.prober is not None:
            parts.prober.start()
        if self._signals is not None:
            self._signals.install(self.reload, self.hurry)
        current = parts.store.current
        for url in self._urls:
            _log.info("Listening on {url}", url=url)
        for url in self._other_urls:
            _log.info("The admin API is at {url}/admin/v1", url=url)
        _log.info(
            "{keys} virtual keys, providers: {names}",
            keys=len(current.keys),
            names=", ".join(current.providers) or "none",
        )
        if self._announce is not None:
            self._announce(list(self._urls))

    def _start_accounting(self, accounting: Accounting) -> None:
        try:
            accounting.start()
        except OSError as error:
            self._stop_listening()
            if self._parts.access_log is not None:
                self._parts.access_log.close()
            raise CannotStart(
                f"The ledger's journal cannot be used: {error}. Name another place with --ledger or --journal, "
                "or have nothing written down with --ledger none."
            ) from error

    def stopService(self) -> Deferred[None]:
        """
        :return: fires when the last call is over and everything is closed.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def leave_sockets(self) -> None:
        """Stop listening, now and without a word: other processes have the same sockets, or nobody shall have them."""
        self._sockets_left = True
        for closed in self._stop_listening():
            closed.addErrback(lambda failure: _log.failure("A listening socket did not close", failure))

    def reload(self) -> bool:
        """
        Read the configuration again and open the access log anew.

        :return: whether the new configuration is in use; if not, the log says why and the old one stays.
        """
        self.reopen_access_log()
        if self._parts.accounting is not None:
            self._parts.accounting.reload_prices()
        return self._parts.store.reload()

    def reload_problems(self) -> list[str]:
        """
        Read the configuration again.

        :return: what is wrong with it; nothing if it is in use now.
        """
        return reload_problems(self._parts.files, self._parts.store.reload)

    def reopen_access_log(self) -> None:
        """Open it again by its name; if that fails, the log says so and lines go on to the old file."""
        if self._parts.access_log is not None:
            try:
                self._parts.access_log.open()
            except OSError as error:
                _log.error("The access log cannot be opened again: {error}", error=error)

    def hurry(self) -> None:
        """Stop waiting while the service stops: end the running calls; when there are none, close all connections."""
        if len(self._parts.live):
            self._parts.live.stop_all()
        else:
            for site in self._sites():
                site.abort_all()

    async def _stop(self) -> None:
        parts = self._parts
        deadline = self._clock.seconds() + self._drain_timeout_s
        if self._sockets_left and self._site is not None:
            await self._see_off(self._site.see_off())  # type: ignore[attr-defined]  # a GatewaySite too
        parts.live.draining = True
        if len(parts.live):
            await self._drain(max(0.0, deadline - self._clock.seconds()))
        parts.stop_reading()
        for port in self._stop_listening():
            await port
        for site in self._sites():
            await site.hang_up()
        if parts.prober is not None:
            parts.prober.stop()
        parts.store.stop()
        await parts.close_pool()
        if parts.companion is not None:
            await parts.companion.stop()
        if parts.accounting is not None:
            await parts.accounting.stop()
        if parts.administration is not None:
            parts.administration.close()
        if parts.access_log is not None:
            parts.access_log.close()

    async def _see_off(self, gone: Deferred[None]) -> None:
        if self._parts.live:
            self._tell_of_running_calls(self._drain_timeout_s)
        waiting: Deferred[None] = Deferred()

        def over() -> None:
            if not waiting.called:
                waiting.callback(None)

        deadline = self._clock.callLater(self._drain_timeout_s, over)
        gone.addCallback(lambda _result: over())
        await waiting
        if deadline.active():
            deadline.cancel()

    async def _drain(self, seconds: float) -> None:
        live = self._parts.live
        if not self._sockets_left:
            self._tell_of_running_calls(seconds)
        deadline = self._clock.callLater(seconds, live.stop_all)
        await live.drained()
        if deadline.active():
            deadline.cancel()

    def _tell_of_running_calls(self, seconds: float) -> None:
        _log.info(
            "Stopping: {calls} running, with up to {seconds:g} s to end. A second signal ends them now.",
            calls="1 call" if len(self._parts.live) == 1 else f"{len(self._parts.live)} calls",
            seconds=seconds,
        )

    def _listen(self) -> None:
        if self._listening or self._site is None:
            return
        self._listening = True
        own = [(self._site, endpoint, self._urls) for endpoint in self._endpoints]
        others = [(site, endpoint, self._other_urls) for site, endpoint in self._others]
        for site, endpoint, urls in (*own, *others):
            failures: list[Failure] = []
            scheme = "https" if isinstance(endpoint, SSL4ServerEndpoint) else "http"
            endpoint.listen(site).addCallbacks(self._bound, failures.append, callbackArgs=(scheme, urls))
            if failures:
                self._stop_listening()
                raise CannotStart(f"Cannot listen: {failures[0].getErrorMessage()}")

    def _bound(self, port: IListeningPort, scheme: str, urls: list[str]) -> None:
        self._ports.append(port)
        urls.append(_url(port.getHost(), scheme))

    def _sites(self) -> list[GatewaySite]:
        sites: list[Any] = [] if self._site is None else [self._site]
        return [*sites, *(site for site, _ in self._others)]

    def _stop_listening(self) -> list[Deferred[Any]]:
        closing = [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports, self._listening = [], False
        self._urls, self._other_urls = [], []
        return closing

    def _open_access_log(self) -> None:
        if self._parts.access_log is None:
            return
        try:
            self._parts.access_log.open()
        except OSError as error:
            self._stop_listening()
            raise CannotStart(f"The access log cannot be opened: {error}") from error


def _url(address: IAddress, scheme: str) -> str:
    if isinstance(address, IPv4Address):
        return f"{scheme}://{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"{scheme}://[{address.host}]:{address.port}"
    if isinstance(address, UNIXAddress) and address.name is not None:
        return f"unix:{os.fsdecode(address.name)}"
    return str(address)
