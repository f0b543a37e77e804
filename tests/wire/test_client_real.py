"""The client over real sockets on loopback: TLS, large bodies at the pace of the slower side, and treq on top."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import attrs
import pytest
import pytest_twisted
import treq
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from service_identity.exceptions import VerificationError
from treq.client import HTTPClient
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, PrivateCertificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS, FileBodyProducer
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from llm_gateway.errors import UpstreamTimeout, UpstreamUnreachable
from llm_gateway.upstream.failures import upstream_error
from llm_gateway.wire.client import Agent
from llm_gateway.wire.pool import ConnectionPool
from tests.wire.origin import Reader, names

# Twisted passes certificates and keys to pyOpenSSL in a way that this one warns of.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
reactor: Any = installed
BOUND_S = 20.0
"""No test takes a tenth of this; one that hangs ends here."""


@attrs.define
class Peer(Protocol):
    """One connection as the server has it; what comes goes to the test."""

    server: Server
    received: bytes = b""
    lost: Deferred[None] = attrs.Factory(Deferred)

    def connectionMade(self) -> None:
        self.server.peers.append(self)
        self.server.spoke(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.server.spoke(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Server:
    """A server on loopback that does what the test says."""

    def __init__(self, on_data: Callable[[Peer], None] = lambda peer: None) -> None:
        self.peers: list[Peer] = []
        self.spoke = on_data
        self.factory = Factory.forProtocol(lambda: Peer(self))


class World:
    """Everything that a test opens, and closes again."""

    def __init__(self) -> None:
        self._ports: list[Any] = []
        self._pools: list[ConnectionPool] = []

    def listen(self, factory: Any, tls: CertificateOptions | None = None) -> int:
        """
        :return: the port on 127.0.0.1.
        """
        options = {"interface": "127.0.0.1"}
        port = (
            reactor.listenTCP(0, factory, **options) if tls is None else reactor.listenSSL(0, factory, tls, **options)
        )
        self._ports.append(port)
        number: int = port.getHost().port
        return number

    def agent(self, *trusted: PrivateCertificate, connect_s: float = 5.0, **pool: Any) -> Agent:
        settings: dict[str, Any] = {"max_idle_per_origin": 4, "idle_s": 5.0, **pool}
        if trusted:
            settings["tls_policy"] = BrowserLikePolicyForHTTPS(trustRootFromCertificates(trusted))
        made = ConnectionPool(reactor, **settings)
        self._pools.append(made)
        return Agent(made, connect_s)

    async def close(self) -> None:
        for pool in self._pools:
            await bounded(pool.closeCachedConnections())
        for port in self._ports:
            await port.stopListening()


def bounded(deferred: Deferred[Any]) -> Deferred[Any]:
    return deferred.addTimeout(BOUND_S, reactor)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    pytest_twisted.blockon(Deferred.fromCoroutine(world.close()))


@pytest.fixture(scope="module")
def certificate() -> PrivateCertificate:
    """For ``localhost``, and for nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an origin on loopback")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    loaded: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    return loaded


async def read(response: Any) -> Reader:
    """The body, to its end."""
    ended: Deferred[None] = Deferred()

    class Last(Reader):
        def connectionLost(self, reason: Failure = connectionDone) -> None:
            super().connectionLost(reason)
            ended.callback(None)

    reader = Last()
    response.deliverBody(reader)
    await bounded(ended)
    return reader


async def failing(deferred: Deferred[Any]) -> Failure:
    found: list[Failure] = []
    await bounded(deferred.addErrback(found.append))
    assert found, "it has not failed"
    return found[0]


def answering(answer: bytes) -> Callable[[Peer], None]:
    """Answer every request that has no body."""

    def answer_whole_heads(peer: Peer) -> None:
        while b"\r\n\r\n" in peer.received:
            peer.received = peer.received.partition(b"\r\n\r\n")[2]
            peer.transport.write(answer)  # type: ignore[union-attr]  # it is connected

    return answer_whole_heads


HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

# TLS


@pytest_twisted.ensureDeferred
async def test_trusted_origin_is_called_by_its_name(world: World, certificate: PrivateCertificate) -> None:
    """The certificate is checked, the name is sent along (SNI), and one handshake serves many calls."""
    named: list[bytes | None] = []
    options = certificate.options()
    options.getContext().set_tlsext_servername_callback(lambda connection: named.append(connection.get_servername()))
    server = Server(answering(HELLO))
    port = world.listen(server.factory, options)
    agent = world.agent(certificate)
    for _ in range(3):
        response = await bounded(agent.request(b"GET", b"https://localhost:%d/" % port))
        reader = await read(response)
        assert (reader.body, reader.ended) == (b"hello", "ResponseDone")
    assert named == [b"localhost"]


@pytest_twisted.ensureDeferred
async def test_untrusted_certificate_is_refused(world: World, certificate: PrivateCertificate) -> None:
    """Nothing of the request reaches whoever it is."""
    server = Server()
    port = world.listen(server.factory, certificate.options())
    failure = await failing(world.agent().request(b"GET", b"https://localhost:%d/" % port))
    assert names(failure) == ["ResponseNeverReceived", "Error"]
    assert failure.value.reasons[0].check(SSL.Error)  # type: ignore[union-attr]
    assert isinstance(upstream_error(failure, "p"), UpstreamUnreachable)
    assert all(peer.received == b"" for peer in server.peers)


@pytest_twisted.ensureDeferred
async def test_certificate_for_another_name_is_refused(world: World, certificate: PrivateCertificate) -> None:
    server = Server()
    port = world.listen(server.factory, certificate.options())
    failure = await failing(world.agent(certificate).request(b"GET", b"https://127.0.0.1:%d/" % port))
    assert names(failure) == ["ResponseNeverReceived", "VerificationError"]
    assert failure.value.reasons[0].check(VerificationError)  # type: ignore[union-attr]
    assert isinstance(upstream_error(failure, "p"), UpstreamUnreachable)
    assert all(peer.received == b"" for peer in server.peers)


@pytest_twisted.ensureDeferred
async def test_origin_that_does_not_speak_tls_is_refused(world: World, certificate: PrivateCertificate) -> None:
    def answer(peer: Peer) -> None:
        if peer.received:
            peer.transport.write(HELLO)  # type: ignore[union-attr]  # it is connected

    port = world.listen(Server(answer).factory)
    failure = await failing(world.agent(certificate).request(b"GET", b"https://localhost:%d/" % port))
    assert names(failure) == ["ResponseNeverReceived", "Error"]
    assert isinstance(upstream_error(failure, "p"), UpstreamUnreachable)


@pytest_twisted.ensureDeferred
async def test_handshake_that_never_comes_ends_with_the_connect_timeout(
    world: World, certificate: PrivateCertificate
) -> None:
    """An origin that accepts and says nothing; its connection is closed and the slot free again."""
    server = Server()
    port = world.listen(server.factory)
    agent = world.agent(certificate, connect_s=0.2, max_per_origin=1)
    for _ in range(2):
        failure = await failing(agent.request(b"GET", b"https://127.0.0.1:%d/" % port))
        assert isinstance(upstream_error(failure, "p"), UpstreamTimeout)
        await bounded(server.peers.pop().lost)


@pytest_twisted.ensureDeferred
async def test_cancelling_during_the_handshake_closes_the_connection(
    world: World, certificate: PrivateCertificate
) -> None:
    came: Deferred[Peer] = Deferred()
    server = Server(lambda peer: came.callback(peer) if peer.received and not came.called else None)
    port = world.listen(server.factory)
    asked = world.agent(certificate).request(b"GET", b"https://127.0.0.1:%d/" % port)
    peer = await bounded(came)
    asked.cancel()
    (await failing(asked)).trap(CancelledError)
    await bounded(peer.lost)


@pytest.mark.parametrize("farewell", [True, False])
@pytest_twisted.ensureDeferred
async def test_body_without_a_length_is_whole_only_with_a_farewell(
    world: World, certificate: PrivateCertificate, farewell: bool
) -> None:
    """Over TLS an attacker can close the connection underneath, but cannot say goodbye in the origin's name."""

    def answer(peer: Peer) -> None:
        if peer.received:
            tls: Any = peer.transport
            tls.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
            (tls if farewell else tls.transport).loseConnection()

    port = world.listen(Server(answer).factory, certificate.options())
    response = await bounded(world.agent(certificate).request(b"GET", b"https://localhost:%d/" % port))
    reader = await read(response)
    assert (reader.body, reader.ended) == (b"hello", "PotentialDataLoss" if farewell else "ResponseFailed")


@pytest_twisted.ensureDeferred
async def test_idle_connection_is_closed_without_waiting_for_the_other_side(
    world: World, certificate: PrivateCertificate
) -> None:
    """TLS has a farewell from both sides; one that never comes must not keep the connection open."""

    def answer_and_stop_reading(peer: Peer) -> None:
        if peer.received:
            peer.transport.write(HELLO)  # type: ignore[union-attr]  # it is connected
            peer.transport.pauseProducing()  # type: ignore[union-attr]

    server = Server(answer_and_stop_reading)
    port = world.listen(server.factory, certificate.options())
    pool = ConnectionPool(
        reactor,
        max_idle_per_origin=1,
        idle_s=60,
        tls_policy=BrowserLikePolicyForHTTPS(trustRootFromCertificates([certificate])),
    )
    response = await bounded(Agent(pool, 5.0).request(b"GET", b"https://localhost:%d/" % port))
    assert (await read(response)).body == b"hello"
    await bounded(pool.closeCachedConnections())
    (peer,) = server.peers
    peer.transport.resumeProducing()  # type: ignore[union-attr]
    await bounded(peer.lost)


# Sockets


@pytest_twisted.ensureDeferred
async def test_connection_closed_while_idle_costs_no_call(world: World) -> None:
    """Not even a POST: the socket is looked at before it is used, without waiting for the reactor to notice."""
    server = Server(answering(HELLO))
    port = world.listen(server.factory)
    agent = world.agent()
    for _ in range(5):
        response = await bounded(agent.request(b"POST", b"http://127.0.0.1:%d/" % port))
        assert (await read(response)).body == b"hello"
        # Closed by the other side without a turn of our reactor in between.
        server.peers[-1].transport.getHandle().shutdown(2)  # type: ignore[union-attr]
    assert len(server.peers) == 5


@pytest_twisted.ensureDeferred
async def test_refused_connection_says_so(world: World) -> None:
    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    number = port.getHost().port
    await port.stopListening()
    failure = await failing(world.agent().request(b"GET", b"http://127.0.0.1:%d/" % number))
    assert isinstance(upstream_error(failure, "p"), UpstreamUnreachable)


SIZE = 32 * 1024 * 1024
BLOCK = bytes(range(256)) * 256


class Blocks:
    """A file of ``SIZE`` bytes that takes no memory."""

    def __init__(self) -> None:
        self.left = SIZE

    def read(self, size: int) -> bytes:
        block = BLOCK[: min(size, self.left)]
        self.left -= len(block)
        return block

    def close(self) -> None:
        """Nothing is open."""


@pytest_twisted.ensureDeferred
async def test_large_upload_goes_at_the_pace_of_the_reader(world: World) -> None:
    """While the origin does not read, the file is not read either."""
    stalled: Deferred[Peer] = Deferred()
    done: Deferred[None] = Deferred()
    digest, count = hashlib.sha256(), 0

    class Slow(Peer):
        def dataReceived(self, data: bytes) -> None:
            nonlocal count
            if not stalled.called:
                self.transport.pauseProducing()  # type: ignore[union-attr]
                stalled.callback(self)
            digest.update(data)
            count += len(data)
            if count >= SIZE:
                self.transport.write(HELLO)  # type: ignore[union-attr]
                done.callback(None)

    server = Server()
    server.factory.protocol = lambda: Slow(server)
    port = world.listen(server.factory)
    blocks = Blocks()
    body = FileBodyProducer(BytesIO(), readSize=65_536)
    body._inputFile, body.length = blocks, SIZE
    asked = world.agent().request(b"PUT", b"http://127.0.0.1:%d/" % port, None, body)
    peer = await bounded(stalled)
    # Until nothing moves any more: the kernel's buffers are full and the producer is paused.
    left = -1
    while left != blocks.left:
        left = blocks.left
        for _ in range(50):
            await turn()
    assert left > SIZE // 2
    peer.transport.resumeProducing()
    response = await bounded(asked)
    await bounded(done)
    assert (await read(response)).body == b"hello"
    assert blocks.left == 0


def turn() -> Deferred[None]:
    """One turn of the reactor."""
    turned: Deferred[None] = Deferred()
    reactor.callLater(0, turned.callback, None)
    return turned


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest_twisted.ensureDeferred
async def test_large_download_goes_at_the_pace_of_the_reader(
    world: World, certificate: PrivateCertificate, secure: bool
) -> None:
    """While the reader is paused, the origin is paused as well; then all of it comes, unchanged."""
    written = 0

    class Endless(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> int:
            request.setHeader(b"content-length", b"%d" % SIZE)
            request.registerProducer(Source(request), False)
            return NOT_DONE_YET

    class Source:
        def __init__(self, request: Request) -> None:
            self.request = request

        def resumeProducing(self) -> None:
            nonlocal written
            self.request.write(BLOCK)
            written += len(BLOCK)
            if written == SIZE:
                self.request.unregisterProducer()
                self.request.finish()

        def stopProducing(self) -> None:
            """The client has left."""

    paused: Deferred[Any] = Deferred()
    ended: Deferred[Any] = Deferred()
    digest, count = hashlib.sha256(), 0

    class Pausing(Protocol):
        def dataReceived(self, data: bytes) -> None:
            nonlocal count
            digest.update(data)
            count += len(data)
            if not paused.called:
                self.transport.pauseProducing()  # type: ignore[union-attr]
                paused.callback(self.transport)

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            ended.callback(names(reason))

    port = world.listen(Site(Endless()), certificate.options() if secure else None)
    scheme = b"https" if secure else b"http"
    response = await bounded(world.agent(certificate).request(b"GET", b"%b://localhost:%d/" % (scheme, port)))
    response.deliverBody(Pausing())
    transport = await bounded(paused)
    before, last = count, -1
    while last != written:
        last = written
        for _ in range(50):
            await turn()
    assert written < SIZE // 2
    assert count - before < 1_000_000
    transport.resumeProducing()
    assert await bounded(ended) == ["ResponseDone"]
    assert count == SIZE
    assert digest.digest() == hashlib.sha256(BLOCK * (SIZE // len(BLOCK))).digest()


# treq


class Echo(Resource):
    """Says what it got."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        if request.path == b"/away":
            request.setResponseCode(302)
            request.setHeader(b"location", b"/home")
            request.addCookie(b"seen", b"yes")
            return b""
        assert request.content is not None
        lines = [request.method, request.uri, request.getHeader(b"cookie") or b"-", request.content.read()]
        return b"\n".join(lines)


@pytest_twisted.ensureDeferred
async def test_treq_runs_on_it(world: World) -> None:
    """Its own client with all that it adds: parameters, JSON, forms, files, cookies, redirects and reading."""
    port = world.listen(Site(Echo()))
    agent = world.agent()
    client = HTTPClient(agent)
    base = f"http://127.0.0.1:{port}"

    async def ask(method: str, path: str, **options: Any) -> list[str]:
        response = await bounded(client.request(method, base + path, **options))
        assert response.code == 200
        text: str = await bounded(response.text())
        return text.split("\n", 3)

    assert (await ask("GET", "/a", params={"q": "ä b"}))[:2] == ["GET", "/a?q=%C3%A4+b"]
    assert (await ask("POST", "/", json={"a": 1}))[3] == '{"a":1}'
    assert (await ask("PUT", "/", data={"a": "1"}))[3] == "a=1"
    assert "hello" in (await ask("POST", "/", files={"f": ("f.txt", BytesIO(b"hello"))}))[3]
    assert (await ask("GET", "/away"))[1:3] == ["/home", "seen=yes"]
    response = await bounded(client.head(base))
    assert (response.code, response.length) == (200, 0)
    response = await bounded(client.get(base, unbuffered=True))
    pieces: list[bytes] = []
    await bounded(treq.collect(response, pieces.append))
    assert b"".join(pieces).startswith(b"GET\n/\n")
    response = await bounded(treq.get(base, agent=agent))
    assert (await bounded(treq.content(response))).startswith(b"GET\n/\n")
    assert IAgent.providedBy(agent)
