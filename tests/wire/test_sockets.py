"""
Sockets that are waited for together: their protocols are called as Twisted's reactor would call them.

Every scene is played twice, with connections as Twisted's reactor has them and with ours.
"""

from __future__ import annotations

import contextlib
import gc
import re
import socket
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from weakref import ref

import pytest
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorFDSet, IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, capturedLogs
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from llm_gateway.wire import sockets
from llm_gateway.wire.outbox import MOST_WAITING
from llm_gateway.wire.rounds import together
from llm_gateway.wire.sockets import MOST_IN_A_TURN, Sockets, wait_together

epollreactor = pytest.importorskip("twisted.internet.epollreactor")

ROUNDS = 100
"""No scene takes a tenth of them."""


class Told(Protocol):
    """Keeps what it is told."""

    def __init__(self, together: bool) -> None:
        self.together = together
        self.events: list[Any] = []
        self.on_data: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None

    def connectionMade(self) -> None:
        if self.together:
            wait_together(self.transport)
        transport: Any = self.transport
        transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        self.events.append("full")

    def resumeProducing(self) -> None:
        self.events.append("drained")

    def stopProducing(self) -> None:
        self.events.append("stopped")

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)
        self.on_data()

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008  # as in Twisted
        self.events.append(type(reason.value).__name__)
        self.on_end()


@implementer(IHalfCloseableProtocol)
class ToldOfHalf(Told):
    """Goes on writing when the other side does not."""

    def readConnectionLost(self) -> None:
        self.events.append("no more to read")

    def writeConnectionLost(self) -> None:
        self.events.append("no more to write")


class Scene:
    """A reactor that turns when it is told to, and connections on it."""

    def __init__(self, together: bool) -> None:
        self.together = together
        self.reactor: Any = epollreactor.EPollReactor()
        self.at_rest = set(self.reactor.getReaders())
        self.peers: list[socket.socket] = []
        self.told: list[Told] = []

    def connect(self, kind: type[Told] = Told) -> tuple[Told, socket.socket]:
        """
        :return: a protocol, and the socket of its peer.
        """
        protocol = kind(self.together)
        with socket.create_server(("127.0.0.1", 0)) as port:
            peer = socket.create_connection(port.getsockname())
            ours, _ = port.accept()
        with ours:
            factory: Any = Factory.forProtocol(lambda: protocol)
            self.reactor.adoptStreamConnection(ours.fileno(), socket.AF_INET, factory)
        self.peers.append(peer)
        self.told.append(protocol)
        return protocol, peer

    def turn(self, until: Callable[[], object] = lambda: True) -> None:
        for _ in range(ROUNDS):
            self.reactor.iterate(0.05)
            if until():
                return
        raise AssertionError("it does not happen")

    def close(self) -> None:
        for descriptor in self.reactor.removeAll():
            descriptor.connectionLost(Failure(Exception("the end")))
        for waker in self.at_rest:
            waker.connectionLost(None)
        for peer in self.peers:
            peer.close()


Play = Callable[[Scene], Any]


def bytes_come(scene: Scene) -> Any:
    one, first = scene.connect()
    other, second = scene.connect()
    first.sendall(b"a")
    second.sendall(b"b")
    scene.turn(lambda: one.events and other.events)
    first.sendall(b"c")
    scene.turn(lambda: len(one.events) == 2)


def the_peer_leaves(scene: Scene) -> Any:
    one, peer = scene.connect()
    peer.sendall(b"bye")
    peer.close()
    scene.turn(lambda: len(one.events) == 3)


def the_peer_resets(scene: Scene) -> Any:
    one, peer = scene.connect()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    scene.turn(lambda: one.events)


def the_peer_resets_one_that_is_paused(scene: Scene) -> Any:
    one, peer = scene.connect()
    one.transport.pauseProducing()  # type: ignore[union-attr]
    one.transport.write(b"x" * 10_000_000)  # type: ignore[union-attr]
    scene.turn(lambda: "full" in one.events)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    scene.turn(lambda: len(one.events) == 3)


def half_of_it_is_closed(scene: Scene) -> Any:
    one, peer = scene.connect(ToldOfHalf)
    peer.shutdown(socket.SHUT_WR)
    scene.turn(lambda: one.events)
    one.transport.write(b"still here")  # type: ignore[union-attr]
    scene.turn()
    assert peer.recv(100) == b"still here"
    one.transport.loseConnection()  # type: ignore[union-attr]
    scene.turn(lambda: len(one.events) == 3)
    return peer.recv(100)


def a_protocol_fails(scene: Scene) -> Any:
    one, first = scene.connect()
    other, second = scene.connect()

    def fail() -> None:
        raise ValueError("of its own")

    one.on_data = fail
    for peer in (first, second):
        peer.sendall(b"a")
    scene.turn(lambda: len(one.events) == 3 and other.events)
    second.sendall(b"b")
    scene.turn(lambda: len(other.events) == 2)
    return first.recv(1)


def a_protocol_fails_at_its_end(scene: Scene) -> Any:
    one, first = scene.connect()
    other, second = scene.connect()

    def fail() -> None:
        raise ValueError("of its own")

    one.on_end = fail
    first.close()
    second.sendall(b"a")
    scene.turn(lambda: one.events and other.events)
    second.sendall(b"b")
    scene.turn(lambda: len(other.events) == 2)


def reading_pauses(scene: Scene) -> Any:
    one, peer = scene.connect()
    one.transport.pauseProducing()  # type: ignore[union-attr]
    peer.sendall(b"a")
    for _ in range(3):
        scene.turn()
    assert one.events == []
    one.transport.resumeProducing()  # type: ignore[union-attr]
    scene.turn(lambda: one.events)


def much_is_written(scene: Scene) -> Any:
    one, peer = scene.connect()
    peer.setblocking(False)
    one.transport.write(b"x" * 10_000_000)  # type: ignore[union-attr]
    got = 0

    def read() -> bool:
        nonlocal got
        try:
            while piece := peer.recv(1 << 20):
                got += len(piece)
        except BlockingIOError:
            pass
        return got == 10_000_000

    scene.turn(read)
    scene.turn(lambda: "drained" in one.events)
    peer.sendall(b"thanks")
    scene.turn(lambda: b"thanks" in one.events)


def it_is_lost_and_aborted(scene: Scene) -> Any:
    one, first = scene.connect()
    other, _ = scene.connect()
    one.transport.write(b"last")  # type: ignore[union-attr]
    one.transport.unregisterProducer()  # type: ignore[union-attr]
    one.transport.loseConnection()  # type: ignore[union-attr]
    other.transport.abortConnection()  # type: ignore[union-attr]
    scene.turn(lambda: one.events and other.events)
    return first.recv(100)


def one_closes_the_other(scene: Scene) -> Any:
    """Both have something to read in this round; whichever is first closes the other."""
    pair = [scene.connect(), scene.connect()]
    for (one, _), (other, _) in (pair, reversed(pair)):
        one.on_data = other.transport.abortConnection  # type: ignore[union-attr]
    for _, peer in pair:
        peer.sendall(b"a")
    scene.turn(lambda: all(one.events for one, _ in pair))
    for one, _ in pair:
        one.events.sort()
    scene.told.sort(key=lambda one: str(one.events))


def the_reactor_stops(scene: Scene) -> Any:
    scene.connect()
    scene.connect()
    scene.reactor.disconnectAll()


PLAYS: list[Play] = [
    bytes_come,
    the_peer_leaves,
    the_peer_resets,
    the_peer_resets_one_that_is_paused,
    half_of_it_is_closed,
    a_protocol_fails,
    a_protocol_fails_at_its_end,
    reading_pauses,
    much_is_written,
    it_is_lost_and_aborted,
    one_closes_the_other,
    the_reactor_stops,
]


def played(play: Play, together: bool) -> Any:
    """
    :return: what protocols are told, what is logged, what the scene itself returns.
    """
    scene = Scene(together)
    with capturedLogs() as logged:
        try:
            result = play(scene)
            if together:
                assert all(isinstance(one.transport.reactor, Sockets) for one in scene.told)  # type: ignore[union-attr]
            told = [list(one.events) for one in scene.told]
        finally:
            scene.close()
    return told, [said(event) for event in logged], result


def said(event: LogEvent) -> tuple[str, str]:
    """Who says it, but for the number of its port, and the last line of a traceback."""
    return re.sub("[0-9]+", "", str(event.get("log_system"))), str(event.get("log_text")).strip().split("\n")[-1]


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_protocols_are_told_as_by_twisteds_reactor(play: Play) -> None:
    """And the same is logged."""
    assert played(play, together=True) == played(play, together=False)


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene(together=True)
    yield scene
    scene.close()


def test_many_sockets_are_one_to_the_reactor(scene: Scene) -> None:
    """As long as there are any."""
    pairs = [scene.connect() for _ in range(5)]
    (one,) = set(scene.reactor.getReaders()) - scene.at_rest
    assert isinstance(one, Sockets)
    assert len(one.getReaders()) == 5
    assert one.getWriters() == []
    assert verifyObject(IReactorFDSet, one)
    assert verifyObject(IReadDescriptor, one)
    for _, peer in pairs:
        peer.sendall(b"a")
    scene.turn()
    assert [protocol.events for protocol, _ in pairs] == [[b"a"]] * 5, "one round serves all"
    for _, peer in pairs:
        peer.close()
    scene.turn(lambda: all(len(protocol.events) == 3 for protocol, _ in pairs))
    assert set(scene.reactor.getReaders()) == scene.at_rest
    scene.connect()
    assert len(set(scene.reactor.getReaders()) - scene.at_rest) == 1


def test_what_is_written_in_a_round_goes_out_at_its_end(scene: Scene) -> None:
    """In one piece for each connection, once all have been served; without another turn of the reactor."""
    (one, first), (other, second) = scene.connect(), scene.connect()
    outbox = one.transport.reactor.outbox  # type: ignore[union-attr]
    writer = outbox.writer(one.transport)
    for protocol in (one, other):
        protocol.on_data = lambda: writer.write(b"seen ")
    first.sendall(b"a")
    second.sendall(b"b")
    first.settimeout(5)
    scene.reactor.doIteration(1)
    assert first.recv(100) == b"seen seen "
    writer.write(b"outside of it")
    scene.turn()
    assert first.recv(100) == b"outside of it"


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_steps_are_done_for_all_that_came_before_anything_is_sent(
    scene: Scene, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For so many sockets at once as are taken together."""
    monkeypatch.setattr(sockets, "AT_ONCE", at_once)
    done: list[str] = []
    pairs = [scene.connect() for _ in range(4)]
    writer = pairs[0][0].transport.reactor.outbox.writer(pairs[0][0].transport)  # type: ignore[union-attr]

    def answer(number: int) -> None:
        done.append(f"answer {number}")
        writer.write(b"%d" % number)

    def heard(number: int) -> None:
        done.append(f"heard {number}")
        together(answer, number)

    for number, (protocol, peer) in enumerate(pairs):
        protocol.on_data = partial(heard, number)
        peer.sendall(b"a")
    scene.turn(lambda: len(done) == 8)
    order = [each.split()[0] for each in done]
    assert order == [
        step for _ in range(0, 4, at_once) for step in ["heard"] * min(at_once, 4) + ["answer"] * min(at_once, 4)
    ]
    pairs[0][1].settimeout(5)
    assert sorted(pairs[0][1].recv(100)) == sorted(b"0123")


def test_no_answer_goes_out_before_what_follows_it_is_done(scene: Scene) -> None:
    """However many there are: what is written down of a call is, before its client has the answer and goes on."""
    pairs = [scene.connect() for _ in range(MOST_WAITING + 8)]
    outbox = pairs[0][0].transport.reactor.outbox  # type: ignore[union-attr]
    early: list[int] = []
    settled: list[int] = []

    def settle(number: int) -> None:
        settled.append(number)
        for place, (_, peer) in enumerate(pairs):
            with contextlib.suppress(BlockingIOError):
                peer.recv(100, socket.MSG_PEEK)
                early.append(place)

    def answer(number: int) -> None:
        outbox.writer(pairs[number][0].transport).write(b"answer")
        together(settle, number)

    for number, (protocol, peer) in enumerate(pairs):
        protocol.on_data = partial(together, answer, number)
        peer.setblocking(False)
        peer.sendall(b"a")
    scene.turn(lambda: len(settled) == len(pairs))
    assert early == []
    assert [peer.recv(100) for _, peer in pairs] == [b"answer"] * len(pairs)


def test_what_comes_meanwhile_is_served_in_the_same_turn(scene: Scene) -> None:
    """As long as there is more to do than one thing."""
    (one, first), (other, second), (third, last) = (scene.connect() for _ in range(3))
    one.on_data = lambda: last.sendall(b"meanwhile")
    scene.turn()
    first.sendall(b"a")
    second.sendall(b"b")
    scene.reactor.doIteration(1)
    assert (one.events, other.events, third.events) == ([b"a"], [b"b"], [b"meanwhile"])


def test_reactor_gets_its_turn_however_much_comes(scene: Scene) -> None:
    """Timers, signals and other descriptors are not forgotten."""
    pairs = [scene.connect() for _ in range(2)]
    for protocol, peer in pairs:
        protocol.on_data = partial(peer.sendall, b"again")
        peer.sendall(b"a")
    scene.turn()
    before = [len(protocol.events) for protocol, _ in pairs]
    scene.reactor.doIteration(1)
    after = [len(protocol.events) for protocol, _ in pairs]
    assert 2 <= sum(after) - sum(before) <= MOST_IN_A_TURN + len(pairs)


def test_nothing_is_left_of_a_reactor() -> None:
    """Whoever makes several, as tests do, keeps none."""
    scene = Scene(together=True)
    one, _ = scene.connect()
    scene.close()
    transport: Any = one.transport
    left = [ref(scene.reactor), ref(transport.reactor)]
    del scene, one, transport
    gc.collect()
    assert [each() for each in left] == [None, None]


def test_other_transports_stay_as_they_are() -> None:
    """Those in memory, and those of another reactor."""
    transport = StringTransport()
    wait_together(transport)
    assert transport.producerState == "producing"
