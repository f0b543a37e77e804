"""From options to a running gateway: the object graph is built here, once, and nowhere else."""

from __future__ import annotations

import atexit
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec
from treq.client import HTTPClient
from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.web.iweb import IAgent
from twisted.web.resource import IResource

from llm_gateway import __version__
from llm_gateway.accounting import Accounting
from llm_gateway.config.store import ConfigurationStore, FileConfiguration
from llm_gateway.config.values import Configuration
from llm_gateway.engine import ENGINES
from llm_gateway.fleet.handover import Command, HandOver
from llm_gateway.fleet.sockets import ListeningSockets
from llm_gateway.fleet.succession import Succession
from llm_gateway.options import Options, loader
from llm_gateway.process import raise_descriptor_limit, spare_the_collector
from llm_gateway.service import CannotStart, GatewayService, Parts, Signals
from llm_gateway.settings import Settings
from llm_gateway.upstream.client import RelayClient
from llm_gateway.upstream.dispatch import Dispatcher, log_change
from llm_gateway.upstream.prober import HealthBoard, Prober
from llm_gateway.web.access_log import FileAccessLog
from llm_gateway.web.app import GatewayApp
from llm_gateway.web.grants import GrantBook
from llm_gateway.web.live import LiveCalls
from llm_gateway.web.routes import RouteBook

if TYPE_CHECKING:
    from llm_gateway.fleet.service import FleetService

__all__ = ["Gateway", "Options", "ProcessSignals", "demo_announcement", "makeService", "make_gateway"]

_log = Logger()


class Gateway(msgspec.Struct, frozen=True):
    """A gateway ready to start."""

    service: GatewayService
    """Start it with a parent service; stop it and wait for the Deferred."""
    resource: IResource
    """What it serves, also for mounting in another site. Calls work while the service runs."""
    parts: Parts
    """What the service starts and stops."""


def makeService(options: Options) -> IService:
    """For ``twistd`` and ``twist``: a service that opens no socket before it is started."""
    from twisted.internet import reactor

    raise_descriptor_limit()
    spare_the_collector(reactor)

    def announce(urls: list[str]) -> None:
        # curl takes no URL of a Unix socket.
        pasteable = [url for url in urls if url.startswith("http")]
        if options.settings.demo and pasteable:
            print(demo_announcement(pasteable[0], options.settings.keys_file), file=sys.__stdout__, flush=True)

    def leave() -> None:
        service.leave_sockets()
        reactor.stop()

    settings, succession = options.settings, options.succession
    alone = settings.workers == 1
    sockets = ListeningSockets(reactor, [] if succession is None else succession.sockets, accepts=alone)
    twistd_options = getattr(options, "parent", None) or {}
    hand_over = HandOver(
        reactor,
        Command.of_this_process(),
        options.environ,
        sockets,
        options.pid_file,
        leave=leave,
        daemon=not twistd_options.get("nodaemon", True),
    )
    signals = ProcessSignals(reactor, hand_over.begin)
    gateway = make_gateway(
        settings,
        reactor,
        environ=options.environ,
        make_endpoint=sockets.endpoint,
        signals=signals if alone else None,
        announce=announce,
        service_class=_CommandService,
        keeps_books=alone,
    )
    service: GatewayService | FleetService = gateway.service
    if not alone:
        from llm_gateway.fleet.service import FleetService

        service = FleetService(
            gateway.service,
            gateway.parts,
            sockets,
            settings,
            reactor=reactor,
            environ=options.environ,
            signals=signals,
            on_complete=_nothing if succession is None else succession.serving,
            on_hopeless=lambda: _end_with_failure(reactor),
        )
    if succession is not None:
        _succeed(succession, reactor, sockets, alone)
    return service


def _succeed(succession: Succession, reactor: Any, sockets: ListeningSockets, alone: bool) -> None:
    """Have the program before told as soon as this one serves."""

    def running() -> None:
        sockets.close_unused()
        succession.connect(reactor, take=sockets.take_locks, give_up=lambda: _end_with_failure(reactor))
        if alone:
            succession.serving()

    # After the service has started: what cannot start never comes here.
    reactor.callWhenRunning(running)


def _nothing() -> None:
    pass


def make_gateway(
    settings: Settings,
    reactor: Any,
    *,
    environ: Mapping[str, str] = os.environ,
    load: Callable[[], Configuration] | None = None,
    make_agent: Callable[[float], IAgent] | None = None,
    make_endpoint: Callable[[str], IStreamServerEndpoint] | None = None,
    signals: Signals | None = None,
    announce: Callable[[list[str]], None] | None = None,
    service_class: type[GatewayService] = GatewayService,
    keeps_books: bool = True,
) -> Gateway:
    """
    :param reactor: runs everything; provides time, TCP and TLS.
    :param load: gives the configuration, each time that it is called; reads the files by default.
    :param make_agent: from a connect timeout in seconds to an agent; by default that of the engine in the settings.
    :param make_endpoint: from an endpoint string to what listens there.
    :param signals: the process's, where the gateway may take them over.
    :param keeps_books: whether calls are limited and written down here; not in a process that takes none.
    :raises ConfigurationError: the files cannot be used.
    """
    engine = ENGINES[settings.wire]
    outward = engine.make_outward(reactor, settings)

    def make_client(connect_s: float) -> HTTPClient:
        return RelayClient((make_agent or outward.make_agent)(connect_s))

    read, companion = load or loader(settings, environ), None
    load = read
    if settings.demo:
        from llm_gateway.demo.listener import DemoListener

        companion = DemoListener(reactor)

        def load() -> Configuration:
            return companion.stand_in(read())

    store = ConfigurationStore(load, reactor, settings.reload_interval_s)
    grants, board, live = GrantBook(make_client, reactor), HealthBoard(), LiveCalls()
    dispatcher = Dispatcher(reactor, random.random, log_change)
    routes = RouteBook(grants, dispatcher, settings.workers)
    board.on_note(dispatcher.probed)
    log = FileAccessLog(settings.access_log, settings.access_log_format) if settings.access_log else None
    prober = None
    if settings.health_interval_s:
        prober = Prober(
            lambda: grants.targets.values(),
            board,
            reactor,
            time.time,
            random.random,
            interval_s=settings.health_interval_s,
            timeout_s=settings.health_timeout_s,
        )
    accounting = Accounting(settings, reactor, agent=outward.make_agent(10.0)) if keeps_books else None
    if accounting is not None:
        routes.price = accounting.books.typical
    administration = admin = None
    watched: FileConfiguration = store
    if accounting is not None and settings.ledger is not None:
        from llm_gateway.administration import Administration

        administration = Administration(settings.ledger, store, accounting, reactor, live)
        watched = administration.running
        admin = administration.resource(settings)
    make_endpoint = make_endpoint or partial(serverFromString, reactor)
    app = GatewayApp(
        grants=grants,
        routes=routes,
        dispatcher=dispatcher,
        live=live,
        board=board,
        log=log,
        clock=reactor,
        max_body_bytes=settings.max_body_bytes,
        books=None if accounting is None else accounting.books,
        own_pages=None if administration is None else administration.own_pages,
        admin=None if settings.admin_listen else admin,
    )
    resource = app.resource()
    parts = Parts(
        store=watched,
        files=store,
        grants=grants,
        routes=routes,
        board=board,
        prober=prober,
        live=live,
        access_log=log,
        close_pool=outward.close_pool,
        companion=companion,
        accounting=accounting,
        administration=administration,
        stop_reading=dispatcher.stop_reading,
    )
    service = service_class(
        parts,
        engine.make_site(resource, reactor, settings, app.early_refusal()),
        [make_endpoint(endpoint) for endpoint in settings.listen],
        clock=reactor,
        drain_timeout_s=settings.drain_timeout_s,
        watch_files=settings.reload_interval_s > 0,
        signals=signals,
        announce=announce,
    )
    for endpoint in settings.admin_listen:
        # A process that takes no calls binds the address for those that do.
        root = resource
        if admin is not None:
            from llm_gateway.web.admin.root import admin_root

            root = admin_root(admin, grants, reactor, log)
        site = engine.make_site(root, reactor, settings, app.early_refusal())
        service.also(site, make_endpoint(endpoint))
    return Gateway(service, resource, parts)


class ProcessSignals:
    """The signals of a process that is the gateway's alone, as under twistd."""

    def __init__(self, reactor: Any, hand_over: Callable[[], object] | None = None) -> None:
        """
        :param hand_over: called on SIGUSR2.
        """
        self._reactor = reactor
        self._hand_over = hand_over

    def install(self, reload: Callable[[], object], hurry: Callable[[], object]) -> None:
        """
        SIGHUP leads to ``reload``. SIGTERM and SIGINT stop the reactor and, while it is stopping, lead to ``hurry``.

        The reactor's own handlers would have the program end by the signal: a stop that was asked for and that cut no
        answer ends with status 0 instead.
        """

        def stop() -> None:
            try:
                self._reactor.stop()
            except ReactorNotRunning:
                hurry()

        def take_over() -> None:
            for name, call in (("SIGHUP", reload), ("SIGTERM", stop), ("SIGINT", stop)):
                self._handle(name, call)
            if self._hand_over is not None:
                self._handle("SIGUSR2", self._hand_over)

        take_over()
        # The reactor installs its own when it starts.
        self._reactor.callWhenRunning(take_over)

    def _handle(self, name: str, call: Callable[[], object]) -> None:
        def told() -> None:
            _log.info("Received {signal}", signal=name)
            call()

        def handle(_number: int, _frame: FrameType | None) -> None:
            self._reactor.callFromThread(told)

        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handle)


def demo_announcement(url: str, keys_file: str) -> str:
    """
    :param keys_file: where the virtual keys are that this gateway knows.
    :return: what ``--demo`` prints: six lines, of which the curl commands work when pasted. With keys of somebody's
        own, it tells where they are instead: nobody but their owner may see them.
    """
    from llm_gateway.demo.listener import demo_keys_file

    at = f"LLM gateway {__version__} at {url}, answering from its built-in demo provider (try {url}/health)"
    if os.path.abspath(keys_file) != os.path.abspath(demo_keys_file()):
        return "\n".join(
            [
                at,
                f"  Its virtual keys are those of {keys_file}; put one of them in place of VIRTUAL_KEY.",
                f"  SDKs: OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=VIRTUAL_KEY, or ANTHROPIC_BASE_URL={url} "
                f"ANTHROPIC_API_KEY=VIRTUAL_KEY. Ctrl-C stops.",
            ]
        )
    post, json_type = f"curl -sN -X POST {url}", "-H 'Content-Type: application/json'"
    ask = '"messages":[{"role":"user","content":"Hello!"}]'
    return "\n".join(
        [
            at,
            f"  {post}/completions/chat -H 'Authorization: Bearer vk_user1_openai' {json_type} "
            f'-d \'{{"model":"gpt-5.4-mini",{ask}}}\'',
            f"  {post}/chat/completions -H 'Authorization: Bearer vk_user2_anthropic' {json_type} "
            f'-d \'{{"model":"claude-haiku-5-5","max_tokens":200,{ask}}}\'',
            f"  {post}/v1/chat/completions -H 'Authorization: Bearer vk_user3_deepseek' {json_type} "
            f'-d \'{{"model":"deepseek-v4-flash","stream":true,{ask}}}\'',
            f"  {post}/v1beta/models/gemini-3.8-flash:generateContent -H 'x-goog-api-key: vk_user4_gemini' {json_type} "
            '-d \'{"contents":[{"parts":[{"text":"Hello!"}]}]}\'',
            f"  SDKs: OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=vk_user1_openai, or ANTHROPIC_BASE_URL={url} "
            f"ANTHROPIC_API_KEY=vk_user2_anthropic. Ctrl-C stops.",
        ]
    )


class _CommandService(GatewayService):
    """Where a port that is taken ends the process with one line rather than a traceback."""

    def privilegedStartService(self) -> None:
        with _one_line():
            super().privilegedStartService()

    def startService(self) -> None:
        with _one_line():
            super().startService()


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except CannotStart as error:
        raise SystemExit(f"llmgateway: {error}") from error


def _end_with_failure(reactor: Any) -> None:
    """Stop in order, and have the status say that something was wrong: twistd's own is 0 whenever the reactor stops."""

    def fail() -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        os._exit(1)

    atexit.register(fail)
    with suppress(ReactorNotRunning):
        reactor.stop()
