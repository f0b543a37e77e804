"""The site over real sockets: TCP, TLS and Unix, with clients that are not ours."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_twisted
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource

from llm_gateway.wire.bodies import BodyDone
from llm_gateway.wire.leaving import has_left
from llm_gateway.wire.server import Site
from tests.real.certificates import make_certificate
from tests.wire.serving import BodyReader, Doing

# Twisted passes certificates and keys to pyOpenSSL in a way that this one warns of.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
reactor: Any = installed
BOUND_S = 20.0
"""No test takes a tenth of this; one that hangs ends here."""
T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """A blocking client beside the reactor."""
    done: Deferred[T] = deferToThread(work)
    return await done.addTimeout(BOUND_S, reactor)


class Place:
    """A site that listens, and is closed at the end."""

    def __init__(self) -> None:
        self._ports: list[Any] = []
        self._sites: list[Site] = []

    async def listen(self, endpoint: str, resource: Resource, **options: Any) -> Any:
        site = Site(resource, **options)
        port = await serverFromString(reactor, endpoint).listen(site)
        self._ports.append(port)
        self._sites.append(site)
        return port

    async def close(self) -> None:
        for port in self._ports:
            await port.stopListening()
        for site in self._sites:
            site.abort_all()
            await site.hang_up()


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    pytest_twisted.blockon(Deferred.fromCoroutine(place.close()))


def describe(request: Any) -> bytes:
    request.setHeader("x-secure", str(request.isSecure()))
    return b"%b %b" % (request.method, request.content.read())


def ask(connection: http.client.HTTPConnection, times: int) -> list[tuple[int, str | None, bytes]]:
    """So many calls on one connection."""
    answers = []
    for number in range(times):
        connection.request("POST", "/", body=b"x" * number * 50_000)
        answer = connection.getresponse()
        answers.append((answer.status, answer.headers["x-secure"], answer.read()))
    connection.close()
    return answers


@pytest_twisted.ensureDeferred
async def test_it_serves_over_tcp(place: Place) -> None:
    """Several calls on one connection, short and long."""
    port = (await place.listen("tcp:0:interface=127.0.0.1", Doing(describe))).getHost().port
    answers = await in_thread(lambda: ask(http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S), 5))
    assert answers == [(200, "False", b"POST " + b"x" * number * 50_000) for number in range(5)]


@pytest_twisted.ensureDeferred
async def test_it_serves_over_tls(place: Place, tmp_path: Path) -> None:
    """And knows that it does."""
    certificate = make_certificate(tmp_path)
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
    port = (await place.listen(endpoint, Doing(describe))).getHost().port
    trusting = ssl.create_default_context(cafile=str(certificate))
    trusting.set_alpn_protocols(["h2", "http/1.1"])

    def call() -> list[tuple[int, str | None, bytes]]:
        return ask(http.client.HTTPSConnection("127.0.0.1", port, timeout=BOUND_S, context=trusting), 5)

    assert await in_thread(call) == [(200, "True", b"POST " + b"x" * number * 50_000) for number in range(5)]


@pytest_twisted.ensureDeferred
async def test_it_serves_over_a_unix_socket(place: Place, tmp_path: Path) -> None:
    """Where there are no ports and no delays to turn off."""
    path = tmp_path / "socket"
    await place.listen(f"unix:{path}", Doing(describe))

    def call() -> list[tuple[int, str | None, bytes]]:
        connection = http.client.HTTPConnection("localhost", timeout=BOUND_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(BOUND_S)
        connection.sock.connect(str(path))
        return ask(connection, 5)

    assert await in_thread(call) == [(200, "False", b"POST " + b"x" * number * 50_000) for number in range(5)]


def test_socket_knows_whether_its_peer_has_left() -> None:
    """Past what has come and was not read."""
    ours, theirs = socket.socketpair()

    class Below:
        def getHandle(self) -> socket.socket:
            return ours

    theirs.sendall(b"unread")
    assert not has_left(Below())
    theirs.close()
    assert has_left(Below())
    ours.close()
    assert not has_left(object())


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_slow_reader_of_an_upload_stops_the_client(place: Place, tmp_path: Path, tls: bool) -> None:
    """What is read ahead of it is bounded; in the end everything has come."""
    size, piece = 32 * 1_048_576, bytes(range(256)) * 1024
    readers: list[BodyReader] = []
    stalled: Deferred[None] = Deferred()
    done: Deferred[None] = Deferred()

    class Slow(BodyReader):
        """Stops after a megabyte, until the test lets it go on."""

        def __init__(self, request: Any) -> None:
            super().__init__()
            self.request = request
            self.taken = 0
            self.digest = hashlib.sha256()
            self.held: int | None = None

        def dataReceived(self, data: bytes) -> None:
            before, self.taken = self.taken, self.taken + len(data)
            self.digest.update(data)
            if before < 1_048_576 <= self.taken:
                self.transport.pauseProducing()
                stalled.callback(None)

        def connectionLost(self, reason: Any) -> None:
            super().connectionLost(reason)
            self.request.write(self.digest.hexdigest().encode())
            self.request.finish()
            done.callback(None)

    def take(request: Any) -> None:
        reader = Slow(request)
        readers.append(reader)
        request.deliver_body(reader)

    certificate = make_certificate(tmp_path)
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={certificate}" if tls else "tcp:0:interface=127.0.0.1"
    options = {"max_body_bytes": size, "wants_stream": lambda request: True}
    port = (await place.listen(endpoint, Doing(take), **options)).getHost().port
    sent = 0

    def upload() -> tuple[int, bytes]:
        nonlocal sent
        context = ssl.create_default_context(cafile=str(certificate))
        connection = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=BOUND_S, context=context)
            if tls
            else http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
        )
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        for _ in range(size // len(piece)):
            connection.send(piece)
            sent += len(piece)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    uploading = deferToThread(upload)
    await stalled.addTimeout(BOUND_S, reactor)
    (reader,) = readers
    held: Deferred[None] = Deferred()
    # A turn of the reactor in which whatever could still be read would be.
    reactor.callLater(0, reactor.callLater, 0, held.callback, None)
    await held
    assert isinstance(reader, Slow)
    assert reader.taken < 2 * 1_048_576
    assert sent < size
    reader.transport.resumeProducing()
    await done.addTimeout(BOUND_S, reactor)
    assert reader.reason is not None
    assert reader.reason.check(BodyDone)
    expected = hashlib.sha256(piece * (size // len(piece))).hexdigest().encode()
    assert await uploading == (200, expected)
