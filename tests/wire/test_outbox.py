"""Sending at the end of each round of the reactor."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from twisted.internet import tcp
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from llm_gateway.wire.outbox import JOIN_BYTES, MOST_WAITING, Outbox, Writer


class Rounds(Clock):
    """A reactor whose rounds are counted by hand."""

    def addReader(self, reader: object) -> None:
        pass

    def removeReader(self, reader: object) -> None:
        pass

    def addWriter(self, writer: tcp.Connection) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: tcp.Connection) -> None:
        self.writers.discard(writer)

    def __init__(self) -> None:
        super().__init__()
        self.writers: set[tcp.Connection] = set()

    def round(self) -> None:
        """What was to be done at once, then what waits for its socket."""
        self.advance(0)
        for writer in list(self.writers):
            writer.doWrite()


class Wire:
    """One end is a transport, the other a plain socket."""

    def __init__(self) -> None:
        self.reactor = Rounds()
        near, self.far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.far.settimeout(5)
        self.transport = tcp.Connection(near, Protocol(), self.reactor)  # type: ignore[arg-type]  # all it asks of it
        self.transport.connected = True
        self.outbox = Outbox(self.reactor)
        self.writer: Writer = self.outbox.writer(self.transport)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            self.reactor.round()
            data += self.far.recv(size - len(data))
        return data


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.far.close()
    wire.transport.socket.close()


def test_nothing_is_sent_before_the_round_is_over(wire: Wire) -> None:
    wire.writer.write(b"a")
    wire.far.setblocking(False)
    with pytest.raises(BlockingIOError):
        wire.far.recv(1)
    wire.reactor.advance(0)
    assert wire.far.recv(10) == b"a"
    assert not wire.reactor.writers
    assert not wire.reactor.getDelayedCalls()


def test_what_one_round_wrote_goes_out_together_and_in_order(wire: Wire) -> None:
    wire.writer.write(b"a")
    wire.writer.writeSequence([b"b", b"c"])
    wire.writer.write(b"d")
    wire.reactor.advance(0)
    assert wire.far.recv(10) == b"abcd"


@pytest.mark.parametrize("sizes", [[300_000], [1_000, 300_000, 1_000], [JOIN_BYTES, JOIN_BYTES], [10] * 500])
def test_what_the_system_does_not_take_follows_in_order(wire: Wire, sizes: list[int]) -> None:
    """However it was cut, and with more written while it waits."""
    pieces = [bytes([65 + number % 26]) * size for number, size in enumerate(sizes)]
    wire.writer.writeSequence(pieces)
    wire.reactor.advance(0)
    wire.writer.write(b"behind")
    whole = b"".join(pieces) + b"behind"
    assert wire.read(len(whole)) == whole


def test_full_transport_pauses_its_producer(wire: Wire) -> None:
    """As with its own write."""

    class Producer:
        paused = False

        def pauseProducing(self) -> None:
            self.paused = True

        def resumeProducing(self) -> None:
            self.paused = False

        def stopProducing(self) -> None:
            pass

    producer = Producer()
    wire.transport.registerProducer(producer, True)
    wire.writer.write(b"x" * 1_000_000)
    wire.reactor.advance(0)
    assert producer.paused
    wire.read(1_000_000)
    wire.reactor.round()
    assert not producer.paused


def test_closed_connection_takes_what_is_written_in_silence(wire: Wire) -> None:
    """The transport has told its protocol already."""
    wire.writer.write(b"a")
    wire.transport.socket.close()
    wire.transport.connected = False
    wire.reactor.advance(0)
    wire.writer.write(b"b")
    wire.reactor.advance(0)
    assert not wire.transport.dataBuffer


def test_broken_connection_is_left_to_the_transport_to_find(wire: Wire) -> None:
    """It knows whom to tell."""
    wire.far.close()
    wire.writer.write(b"a")
    wire.reactor.advance(0)
    assert wire.transport in wire.reactor.writers
    assert isinstance(wire.transport.doWrite(), Exception)


def test_connection_that_closes_sends_first(wire: Wire) -> None:
    """What was written in the round in which it was told to close."""
    wire.writer.write(b"last words")
    wire.transport.loseConnection()
    wire.reactor.advance(0)
    assert wire.far.recv(100) == b"last words"


def test_other_transports_are_written_to_in_their_own_way() -> None:
    """TLS, and those of tests."""
    transport = StringTransport()
    Outbox(Clock()).writer(transport).write(b"a")
    assert transport.value() == b"a"


def test_long_round_does_not_keep_everybody_waiting() -> None:
    """With so many waiting the first are served while the round goes on, each once and in order."""
    wires = [Wire() for _ in range(MOST_WAITING + 2)]
    reactor, outbox = wires[0].reactor, wires[0].outbox
    writers = [outbox.writer(wire.transport) for wire in wires]
    try:
        for number, writer in enumerate(writers):
            writer.write(b"%d" % number)
            wires[number].far.setblocking(False)
        assert [wire.far.recv(10) for wire in wires[:MOST_WAITING]] == [b"%d" % n for n in range(MOST_WAITING)]
        with pytest.raises(BlockingIOError):
            wires[MOST_WAITING].far.recv(10)
        writers[0].write(b"again")
        reactor.advance(0)
        assert wires[0].far.recv(10) == b"again"
        assert wires[-1].far.recv(10) == b"%d" % (MOST_WAITING + 1)
        assert not reactor.getDelayedCalls()
    finally:
        for wire in wires:
            wire.far.close()
            wire.transport.socket.close()
