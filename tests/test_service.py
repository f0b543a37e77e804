"""How the gateway starts, and how it stops without cutting an answer: over memory transports and a Clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.application.service import IService
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from llm_gateway.service import CannotStart, GatewayService
from llm_gateway.settings import Settings
from llm_gateway.tap import Gateway, make_gateway
from llm_gateway.wire.visitors import HANG_UP_S, SEE_OFF_S
from tests.memory import Client, FakeAgent

KEYS = {
    "vk_openai": {"provider": "openai", "api_key": "sk-real-canary", "name": "Ann"},
    "vk_anthropic": {"provider": "anthropic", "api_key": "sk-ant-real-canary"},
}
DRAIN_S = 60.0
STREAM = "text/event-stream"


@implementer(IListeningPort)
class FakePort:
    """One address that is listened on until it is told to stop."""

    def __init__(self, reactor: FakeReactor, address: IAddress) -> None:
        self._reactor = reactor
        self._address = address
        reactor.listening.append(address)

    def startListening(self) -> None:
        raise NotImplementedError

    def stopListening(self) -> Deferred[None]:
        self._reactor.listening.remove(self._address)
        return succeed(None)

    def getHost(self) -> IAddress:
        return self._address


class FakeReactor(MemoryReactorClock):
    """Time and ports in memory; knows which addresses are listened on and refuses port 1."""

    def __init__(self) -> None:
        super().__init__()
        self.listening: list[IAddress] = []
        self.site: IProtocolFactory | None = None

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> FakePort:
        if port == 1:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        self.site = factory
        kind = IPv6Address if ":" in interface else IPv4Address
        return FakePort(self, kind("TCP", interface or "0.0.0.0", port))

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: object, backlog: int = 50, interface: str = ""
    ) -> FakePort:
        return FakePort(self, IPv4Address("TCP", interface, port))

    def listenUNIX(
        self, address: bytes | str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> FakePort:
        return FakePort(self, UNIXAddress(address))


@attrs.define
class Scene:
    """A gateway on a reactor of its own, with providers that the test plays."""

    folder: Path
    reactor: FakeReactor = attrs.Factory(FakeReactor)
    agent: FakeAgent = attrs.Factory(FakeAgent)
    announced: list[list[str]] = attrs.Factory(list)
    clients: list[Client] = attrs.Factory(list)
    services: list[GatewayService] = attrs.Factory(list)

    def gateway(self, **settings: Any) -> Gateway:
        usual: dict[str, Any] = {
            "keys_file": str(self.folder / "keys.json"),
            "aiservices_file": None,
            "health_interval_s": 0,
            "reload_interval_s": 0,
            "drain_timeout_s": DRAIN_S,
            "access_log": str(self.folder / "access.log"),
            "access_log_format": "json",
        }
        gateway = make_gateway(
            Settings(**{**usual, **settings}),
            self.reactor,
            environ={},
            make_agent=lambda connect_s: self.agent,
            announce=self.announced.append,
        )
        self.services.append(gateway.service)
        return gateway

    def started(self, **settings: Any) -> GatewayService:
        service = self.gateway(**settings).service
        service.startService()
        return service

    def client(self) -> Client:
        assert self.reactor.site is not None
        self.clients.append(Client(self.reactor.site))
        return self.clients[-1]

    def streaming(self, key: str = "vk_openai", first: bytes = b'data: {"n":1}\n\n') -> tuple[Client, Any]:
        """A client in the middle of a stream, and the provider's side of it."""
        client = self.client()
        if key == "vk_openai":
            client.chat()
        else:
            client.ask("POST", "/v1/messages", b'{"model":"claude"}', x_api_key=key)
        answer = self.agent.sent[-1].answer(content_type=STREAM)
        answer.write(first)
        return client, answer

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "keys.json").write_text(json.dumps({"virtual_keys": KEYS}))
    scene = Scene(tmp_path)
    yield scene
    for service in scene.services:
        if service.running:
            service.stopService()
    for client in scene.clients:
        client.leave()


def status_of(scene: Scene, path: str) -> int:
    """The status that a new connection gets for one of the gateway's own pages."""
    client = scene.client()
    client.ask("GET", path)
    return client.answer()[0]


# Starting


def test_nothing_listens_before_the_start_nor_after_the_stop(scene: Scene) -> None:
    """Sockets are open between start and stop, on every address that was named."""
    service = scene.gateway(listen=("tcp:2", "tcp:3:interface=127.0.0.1")).service
    assert verifyObject(IService, service)
    assert scene.reactor.listening == []
    service.startService()
    assert [address.port for address in scene.reactor.listening if isinstance(address, IPv4Address)] == [2, 3]
    stopped = service.stopService()
    assert stopped.called
    assert scene.reactor.listening == []


def test_low_ports_are_bound_while_that_is_still_allowed(scene: Scene) -> None:
    """Under ``twistd --uid`` the addresses are bound before the process gives up its rights, and only once."""
    service = scene.gateway(listen=("tcp:443",)).service
    service.privilegedStartService()
    assert len(scene.reactor.listening) == 1
    service.startService()
    assert len(scene.reactor.listening) == 1


def test_taken_address_fails_the_start_and_leaves_nothing_open(scene: Scene) -> None:
    """One line says which address cannot be used; those that could be are given back."""
    service = scene.gateway(listen=("tcp:2", "tcp:1")).service
    with pytest.raises(CannotStart, match=r"Cannot listen: .*:1: .*Address already in use"):
        service.startService()
    assert scene.reactor.listening == []
    assert not service.running


def test_access_log_that_cannot_be_opened_fails_the_start(scene: Scene) -> None:
    """A gateway that could not say who called whom does not start; the message names the file."""
    service = scene.gateway(listen=("tcp:2",), access_log=str(scene.folder / "no" / "access.log")).service
    with pytest.raises(CannotStart, match=r"The access log cannot be opened: .*no/access\.log"):
        service.startService()
    assert scene.reactor.listening == []


def test_addresses_are_announced_as_urls(scene: Scene) -> None:
    """What is printed can be pasted: the scheme is right, and "all interfaces" is shown as this machine."""
    gateway = scene.gateway(
        listen=("tcp:2", "tcp:3:interface=127.0.0.1", r"tcp:4:interface=\:\:", "unix:/run/gateway.sock")
    )
    gateway.service.startService()
    urls = ["http://0.0.0.0:2", "http://127.0.0.1:3", "http://[::]:4", "unix:/run/gateway.sock"]
    assert scene.announced == [urls]


def test_tls_address_is_announced_as_https(scene: Scene) -> None:
    """An ``ssl:`` endpoint is shown with the scheme that clients must use."""
    service = GatewayService(
        scene.gateway().service._parts,
        scene.gateway().service._site,
        [SSL4ServerEndpoint(scene.reactor, 5, object(), interface="10.0.0.1"), TCP4ServerEndpoint(scene.reactor, 6)],
        clock=scene.reactor,
        drain_timeout_s=0,
        announce=scene.announced.append,
    )
    scene.services.append(service)
    service.startService()
    assert scene.announced == [["https://10.0.0.1:5", "http://0.0.0.0:6"]]


def test_stopped_gateway_can_be_started_again(scene: Scene) -> None:
    """A program that embeds the gateway may turn it off and on; it then takes calls as before."""
    service = scene.started()
    service.stopService()
    service.startService()
    client = scene.client()
    client.chat()
    scene.agent.sent[0].answer().end()
    assert client.answer()[0] == 200
    assert status_of(scene, "/readyz") == 200
    assert [line["ended"] for line in scene.logged()] == ["ok"]


# Stopping


def test_stop_with_nothing_running_is_immediate(scene: Scene) -> None:
    """No call, no wait: also not for clients that keep an idle connection open."""
    service = scene.started()
    idle = scene.client()
    idle.ask("GET", "/livez")
    stopped = service.stopService()
    assert idle.closed
    idle.leave()
    assert stopped.called
    assert scene.reactor.getDelayedCalls() == []


def test_running_stream_finishes_whole(scene: Scene) -> None:
    """A stream that is running when the gateway is told to stop reaches its own end, byte for byte."""
    service = scene.started()
    client, provider = scene.streaming()
    stopped = service.stopService()
    scene.reactor.advance(DRAIN_S - 1)
    provider.write(b"data: [DONE]\n\n")
    assert not stopped.called
    provider.end()
    assert client.answer()[2] == b'data: {"n":1}\n\ndata: [DONE]\n\n'
    assert client.whole
    client.leave()
    assert stopped.called
    assert [line["ended"] for line in scene.logged()] == ["ok"]


def test_call_still_without_an_answer_finishes_too(scene: Scene) -> None:
    """A provider that has not answered yet when the gateway is told to stop still gets the time to."""
    service = scene.started()
    client = scene.client()
    client.chat()
    stopped = service.stopService()
    scene.reactor.advance(DRAIN_S - 1)
    provider = scene.agent.sent[0].answer()
    provider.write(b"{}")
    provider.end()
    assert (client.answer()[0], client.answer()[2]) == (200, b"{}")
    client.leave()
    assert stopped.called


def test_new_call_is_refused_while_draining(scene: Scene) -> None:
    """A new call gets 503 with ``retry-after`` in its own dialect; the socket stays open so that it is told."""
    service = scene.started()
    scene.streaming()
    service.stopService()
    assert len(scene.reactor.listening) == 1
    openai, anthropic = scene.client(), scene.client()
    openai.chat()
    anthropic.ask("POST", "/v1/messages", b"{}", x_api_key="vk_anthropic")
    for client in (openai, anthropic):
        status, headers, _ = client.answer()
        assert (status, headers["retry-after"], headers["x-gw-error"]) == (503, "5", "gateway_draining")
    assert json.loads(openai.answer()[2])["error"]["code"] == "gateway_draining"
    assert json.loads(anthropic.answer()[2])["error"]["type"] == "overloaded_error"
    assert len(scene.agent.sent) == 1


def test_readiness_goes_and_liveness_stays_while_draining(scene: Scene) -> None:
    """``/readyz`` is 503 from the first moment, so that balancers turn away; ``/livez`` and ``/health`` stay 200."""
    service = scene.started()
    assert status_of(scene, "/readyz") == 200
    scene.streaming()
    service.stopService()
    assert [status_of(scene, path) for path in ("/readyz", "/livez", "/health")] == [503, 200, 200]


@pytest.mark.parametrize(
    ("key", "frame"),
    [
        pytest.param("vk_openai", b'data: {"error":{"message":"The gateway is restarting', id="openai"),
        pytest.param("vk_anthropic", b'event: error\ndata: {"type":"error","error":', id="anthropic"),
    ],
)
def test_stream_that_outlives_the_drain_ends_with_one_error(scene: Scene, key: str, frame: bytes) -> None:
    """When the time is up, one error event of the dialect and then the end of the body; never just silence."""
    service = scene.started()
    client, provider = scene.streaming(key)
    stopped = service.stopService()
    scene.reactor.advance(DRAIN_S)
    begun, _, rest = client.answer()[2].partition(b"\n\n")
    assert begun == b'data: {"n":1}'
    assert rest.startswith(frame)
    assert rest.count(b"\n\n") == 1
    assert rest.endswith(b"\n\n")
    assert client.whole
    assert provider.transport.closed
    client.leave()
    assert stopped.called
    assert [(line["ended"], line["error"]) for line in scene.logged()] == [("drained", "gateway_draining")]


def test_call_without_an_answer_that_outlives_the_drain_is_refused(scene: Scene) -> None:
    """When the time is up and nothing has come: 503 with a retry hint, and the provider's connection is closed."""
    service = scene.started()
    client = scene.client()
    client.chat()
    service.stopService()
    scene.reactor.advance(DRAIN_S)
    status, headers, body = client.answer()
    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(body)["error"]["code"] == "gateway_draining"
    assert scene.agent.sent[0].cancelled


def test_hurry_ends_running_calls_at_once(scene: Scene) -> None:
    """A second signal does not wait for the drain timeout; clients are told all the same."""
    service = scene.started()
    client, _ = scene.streaming()
    stopped = service.stopService()
    service.hurry()
    assert b"gateway_draining" in client.answer()[2]
    assert client.whole
    client.leave()
    assert stopped.called
    assert scene.reactor.getDelayedCalls() == []


def test_client_that_does_not_read_holds_up_the_stop_for_a_while_only(scene: Scene) -> None:
    """A connection whose client does not read what was written is cut off after a few seconds."""
    service = scene.started()
    client, provider = scene.streaming()
    client.stall()
    stopped = service.stopService()
    provider.end()
    scene.reactor.advance(HANG_UP_S - 1)
    assert not client.transport.aborted
    scene.reactor.advance(1)
    assert client.transport.aborted
    client.leave()
    assert stopped.called


def test_hurry_cuts_off_clients_that_do_not_read(scene: Scene) -> None:
    """A further signal does not wait for those either."""
    service = scene.started()
    client, provider = scene.streaming()
    client.stall()
    service.stopService()
    provider.end()
    assert not client.transport.aborted
    service.hurry()
    assert client.transport.aborted


def test_client_leaving_during_the_drain_ends_it(scene: Scene) -> None:
    """The last client hangs up: there is nothing left to wait for."""
    service = scene.started()
    client, provider = scene.streaming()
    stopped = service.stopService()
    client.leave()
    assert provider.transport.closed
    assert stopped.called
    assert [line["ended"] for line in scene.logged()] == ["client_gone"]


def test_no_drain_time_ends_calls_at_once(scene: Scene) -> None:
    """``--drain-timeout 0`` means what it says."""
    service = scene.started(drain_timeout_s=0.0)
    client, _ = scene.streaming()
    service.stopService()
    scene.reactor.advance(0)
    assert b"gateway_draining" in client.answer()[2]


# Leaving the sockets to another program


def test_left_sockets_are_closed_at_once_and_nobody_is_refused(scene: Scene) -> None:
    """
    Who takes over has the same sockets. Calls on connections that this program still has are answered until then, each
    with ``connection: close``, and a running stream reaches its end; then the stop is over.
    """
    service = scene.started()
    streaming, provider = scene.streaming()
    kept = scene.client()
    kept.ask("GET", "/readyz")
    service.leave_sockets()
    assert scene.reactor.listening == []
    stopped = service.stopService()
    assert not kept.closed
    kept.transport.clear()
    kept.chat()
    scene.agent.sent[-1].answer().end()
    assert (kept.answer()[0], kept.answer()[1]["connection"]) == (200, "close")
    assert kept.closed
    kept.leave()
    assert not stopped.called
    provider.write(b"data: [DONE]\n\n")
    provider.end()
    assert streaming.whole
    assert streaming.closed
    streaming.leave()
    assert stopped.called
    assert [line["ended"] for line in scene.logged()] == ["ok", "ok"]


def test_answer_that_had_not_begun_says_that_it_is_the_last(scene: Scene) -> None:
    """A client that waits for its answer while the sockets are left learns from it to open another connection."""
    service = scene.started()
    client = scene.client()
    client.chat()
    service.leave_sockets()
    service.stopService()
    scene.agent.sent[0].answer().end()
    assert (client.answer()[0], client.answer()[1]["connection"]) == (200, "close")
    assert client.closed


def test_idle_connection_is_closed_after_a_while(scene: Scene) -> None:
    """A client that asks for nothing more does not keep the old program."""
    service = scene.started()
    idle = scene.client()
    idle.ask("GET", "/livez")
    service.leave_sockets()
    stopped = service.stopService()
    scene.reactor.advance(SEE_OFF_S - 0.1)
    assert not idle.closed
    scene.reactor.advance(0.2)
    assert idle.closed
    idle.leave()
    assert stopped.called


def test_drain_time_counts_after_the_sockets_were_left_too(scene: Scene) -> None:
    """A stream without an end is ended with an error of its dialect, once, when the time is up."""
    service = scene.started()
    client, _ = scene.streaming()
    service.leave_sockets()
    stopped = service.stopService()
    scene.reactor.advance(DRAIN_S - 1)
    assert not client.closed
    scene.reactor.advance(2)
    assert b"gateway_draining" in client.answer()[2]
    client.leave()
    assert stopped.called


def test_hurry_ends_the_wait_for_those_that_were_left(scene: Scene) -> None:
    """A signal ends the running calls, another one the connections."""
    service = scene.started()
    client, _ = scene.streaming()
    idle = scene.client()
    service.leave_sockets()
    stopped = service.stopService()
    service.hurry()
    assert b"gateway_draining" in client.answer()[2]
    client.leave()
    assert not stopped.called
    service.hurry()
    assert idle.transport.aborted
    idle.leave()
    assert stopped.called


# Reloading


def test_reload_brings_new_keys(scene: Scene) -> None:
    """A key that was added works after the reload, and one that was taken out does not."""
    service = scene.started()
    key = {"provider": "openai", "api_key": "sk-other-canary"}
    (scene.folder / "keys.json").write_text(json.dumps({"virtual_keys": {"vk_new": key}}))
    assert service.reload()
    new, old = scene.client(), scene.client()
    new.chat(key="vk_new")
    old.chat(key="vk_openai")
    assert scene.agent.sent[0].header("authorization") == "Bearer sk-other-canary"
    assert old.answer()[0] == 401


def test_running_call_keeps_what_it_began_with(scene: Scene) -> None:
    """Taking out the key and the provider of a running stream does not touch the stream."""
    service = scene.started()
    client, provider = scene.streaming()
    (scene.folder / "keys.json").write_text(json.dumps({"virtual_keys": {}}))
    assert service.reload()
    provider.write(b"data: [DONE]\n\n")
    provider.end()
    assert client.answer()[2].endswith(b"data: [DONE]\n\n")
    assert scene.logged()[0]["key"] == "Ann"


def test_broken_file_leaves_the_old_configuration(scene: Scene) -> None:
    """A reload that fails changes nothing: the keys of before go on working."""
    service = scene.started()
    (scene.folder / "keys.json").write_text("{")
    assert not service.reload()
    client = scene.client()
    client.chat()
    assert len(scene.agent.sent) == 1


def test_changed_file_is_noticed_without_a_signal(scene: Scene) -> None:
    """With ``--reload-interval``, the files are looked at from time to time; after the stop no more."""
    service = scene.started(reload_interval_s=2.0)
    (scene.folder / "keys.json").write_text(json.dumps({"virtual_keys": {"vk_newer": KEYS["vk_openai"]}}))
    scene.reactor.advance(2)
    client = scene.client()
    client.chat(key="vk_newer")
    assert len(scene.agent.sent) == 1
    client.leave()
    service.stopService()
    assert scene.reactor.getDelayedCalls() == []


def test_reload_opens_a_rotated_access_log_anew(scene: Scene) -> None:
    """Move the log away, send SIGHUP: later lines go to a new file, even if the configuration is broken."""
    service = scene.started()
    status_of(scene, "/no-such-path")
    (scene.folder / "access.log").rename(scene.folder / "access.log.1")
    (scene.folder / "keys.json").write_text("{")
    service.reload()
    status_of(scene, "/nor-this-one")
    assert "/no-such-path" in (scene.folder / "access.log.1").read_text()
    assert [line["path"] for line in scene.logged()] == ["/nor-this-one"]


def test_access_log_that_cannot_be_opened_again_stays_as_it_was(scene: Scene) -> None:
    """A folder that has gone does not stop the gateway: lines go on to the old file, and the reload happens."""
    (scene.folder / "logs").mkdir()
    service = scene.started(access_log=str(scene.folder / "logs" / "access.log"))
    (scene.folder / "logs").rename(scene.folder / "moved")
    assert service.reload()
    status_of(scene, "/no-such-path")
    assert "/no-such-path" in (scene.folder / "moved" / "access.log").read_text()
