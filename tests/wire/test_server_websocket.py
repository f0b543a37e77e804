"""What is not HTTP any more: ``twisted.web.websocket`` on our channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource

from llm_gateway.wire.bounds import IDLE_S
from tests.wire.serving import Echo, Server, Visitor, get, post

# An extra of Twisted's, which nothing here but these tests needs.
wsproto: Any = pytest.importorskip("wsproto")
frames: Any = pytest.importorskip("wsproto.connection")
events: Any = pytest.importorskip("wsproto.events")
websocket: Any = pytest.importorskip("twisted.web.websocket")


class Shouting:
    """Answers in capitals."""

    transport: Any

    def __init__(self, told: list[Any]) -> None:
        self.told = told

    def negotiationStarted(self, transport: Any) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        self.told.append("open")

    def bytesMessageReceived(self, data: bytes) -> None:
        raise NotImplementedError

    def pongReceived(self, payload: bytes) -> None:
        raise NotImplementedError

    def textMessageReceived(self, message: str) -> None:
        self.transport.sendTextMessage(message.upper())

    def connectionLost(self, reason: Any) -> None:
        self.told.append("lost")


class ShoutingFactory:
    def __init__(self) -> None:
        self.told: list[Any] = []
        self.protocol: Shouting | None = None

    def buildProtocol(self, request: Any) -> Shouting:
        self.protocol = Shouting(self.told)
        return self.protocol


class Peer:
    """The client's end of a WebSocket."""

    def __init__(self, client: Visitor) -> None:
        self.client = client
        self._connection = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._read = 0

    def opening(self) -> bytes:
        return bytes(self._connection.send(events.Request(host="h", target="/ws")))

    def say(self, text: str) -> bytes:
        return bytes(self._connection.send(events.TextMessage(text)))

    def leave(self) -> bytes:
        return bytes(self._connection.send(events.CloseConnection(1000)))

    def heard(self) -> list[Any]:
        received = self.client.received
        self._connection.receive_data(received[self._read :])
        self._read = len(received)
        return list(self._connection.events())


@pytest.fixture
def factory() -> ShoutingFactory:
    return ShoutingFactory()


@pytest.fixture
def server(factory: ShoutingFactory) -> Iterator[Server]:
    root = Resource()
    root.putChild(b"ws", websocket.WebSocketResource(factory))
    root.putChild(b"echo", Echo())
    server = Server(root)
    yield server
    server.close()


def test_websocket_opens_speaks_and_closes(server: Server, factory: ShoutingFactory) -> None:
    """From the handshake to the close, in both directions."""
    client = server.visitor()
    peer = Peer(client)
    client.send(peer.opening())
    assert [type(event) for event in peer.heard()] == [events.AcceptConnection]
    client.dribble(peer.say("hello"))
    assert peer.heard() == [events.TextMessage("HELLO")]
    client.send(peer.leave())
    assert [type(event) for event in peer.heard()] == [events.CloseConnection]
    assert client.closed
    client.leave()
    assert factory.told == ["open", "lost"]


def test_websocket_may_come_after_other_requests(server: Server) -> None:
    """On a connection that has served some."""
    client = server.send(get(b"/echo"), post(b"x", target=b"/echo"))
    before = len(client.received)
    peer = Peer(client)
    peer._read = before
    client.send(peer.opening())
    assert [type(event) for event in peer.heard()] == [events.AcceptConnection]


def test_frames_that_come_along_with_the_handshake_are_heard(server: Server) -> None:
    """A hasty client's first message in the same packet."""
    client = server.visitor()
    peer = Peer(client)
    opening = peer.opening()
    # A client that waits for its handshake cannot make frames yet; one without a handshake makes the same.
    hasty = frames.Connection(wsproto.ConnectionType.CLIENT)
    client.send(opening + bytes(hasty.send(events.TextMessage("early"))))
    accepted, answer = peer.heard()
    assert isinstance(accepted, events.AcceptConnection)
    assert answer == events.TextMessage("EARLY")


def test_silent_websocket_is_left_alone(server: Server) -> None:
    """HTTP's clocks do not run on it."""
    client = server.visitor()
    peer = Peer(client)
    client.send(peer.opening())
    peer.heard()
    server.clock.pump([10] * int(IDLE_S))
    assert not client.closed
    client.send(peer.say("still here"))
    assert peer.heard()[-1] == events.TextMessage("STILL HERE")


def test_websocket_may_have_a_producer(server: Server, factory: ShoutingFactory) -> None:
    """The transport is the WebSocket's own."""
    client = server.visitor()
    client.send(Peer(client).opening())
    assert factory.protocol is not None
    producer: Any = object()
    factory.protocol.transport.attachProducer(producer)
    assert client.transport.producer is producer
    factory.protocol.transport.detachProducer()


def test_handshake_that_is_none_gets_an_answer(server: Server) -> None:
    """And the connection goes on."""
    client = server.send(get(b"/ws", b"Connection: upgrade", b"Upgrade: websocket"), get(b"/echo"))
    assert client.statuses == [400, 200]


def test_upgrade_that_nobody_wants_is_ignored(server: Server) -> None:
    """The request is answered as if it had not asked."""
    client = server.send(get(b"/echo", b"Connection: Upgrade", b"Upgrade: h2c"), get(b"/echo"))
    assert client.statuses == [200, 200]


def test_request_that_has_not_come_whole_cannot_be_upgraded(server: Server) -> None:
    """What still comes of it would be taken for frames."""
    client = server.send(post(b"", target=b"/echo", length=5))
    with pytest.raises(RuntimeError, match="came whole"):
        client.channel._protocolUpgradeForWebsockets(StringTransport())
