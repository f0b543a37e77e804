"""A whole gateway without a socket: the real site, routes, attempt and relay over memory transports and a Clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import attrs
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from llm_gateway.config.values import Configuration, HealthCheck, Provider, Secret, VirtualKey
from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.record import CallRecord
from llm_gateway.core.routing.breaker import Change
from llm_gateway.core.routing.settings import Retries
from llm_gateway.engine import ENGINES
from llm_gateway.settings import Settings
from llm_gateway.upstream.client import RelayClient
from llm_gateway.upstream.dispatch import Dispatcher
from llm_gateway.upstream.prober import HealthBoard
from llm_gateway.web.accounts import Books
from llm_gateway.web.app import GatewayApp
from llm_gateway.web.grants import GrantBook
from llm_gateway.web.live import LiveCalls
from llm_gateway.web.routes import RouteBook
from tests.wires import WIRE

REAL_KEY = "sk-real-canary-0123456789"


def provider(name: str, url: str, dialect: str = "openai", **changes: Any) -> Provider:
    """A provider as the loader would make it."""
    base_url = url.removesuffix("/chat/completions").removesuffix("/messages")
    values: dict[str, Any] = {
        "name": name,
        "url": url,
        "base_url": base_url,
        "dialect": dialect,
        "auth": {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}.get(dialect, "bearer"),
        "headers": (),
        "forward_headers": (),
        "timeouts": Timeouts(),
        "health": HealthCheck(url=base_url + "/models"),
    }
    return Provider(**{**values, **changes})


def virtual_key(key: str, provider_name: str, api_key: str = REAL_KEY, name: str | None = None) -> VirtualKey:
    digest = hashlib.sha256(key.encode()).digest()
    return VirtualKey(digest, digest.hex()[:8], name, provider_name, Secret(api_key))


def configuration(keys: list[VirtualKey], providers: list[Provider]) -> Configuration:
    return Configuration({each.name: each for each in providers}, {key.digest: key for key in keys})


USUAL = configuration(
    [
        virtual_key("vk_openai", "openai", name="Ann"),
        virtual_key("vk_anthropic", "anthropic", "sk-ant-real-canary-987"),
        virtual_key("vk_gemini", "gemini", "gm-real-canary-555"),
        virtual_key("vk_lost", "nowhere"),
    ],
    [
        provider("openai", "https://api.openai.test/v1/chat/completions"),
        provider("anthropic", "https://api.anthropic.test/v1/messages", "anthropic"),
        provider("gemini", "https://gemini.test/v1beta", "gemini"),
    ],
)


class ProviderTransport(StringTransport):
    """The body's transport as the relay sees it: tells whether it is paused and whether it was closed."""

    @property
    def paused(self) -> bool:
        return self.producerState == "paused"

    @property
    def closed(self) -> bool:
        return self.disconnecting


@implementer(IResponse)
class FakeResponse:
    """A provider's answer whose body the test writes, piece by piece."""

    version = (b"HTTP", 1, 1)
    phrase = b"OK"
    request = None
    previousResponse = None

    def __init__(self, code: int, headers: Mapping[str, str], length: int | None) -> None:
        self.code = code
        self.headers = Headers({name: [value] for name, value in headers.items()})
        self.length = UNKNOWN_LENGTH if length is None else length
        self.transport = ProviderTransport()
        self._protocol: IProtocol | None = None

    def deliverBody(self, protocol: IProtocol) -> None:
        self._protocol = protocol
        protocol.makeConnection(self.transport)

    def setPreviousResponse(self, previousResponse: object) -> None:
        raise NotImplementedError

    def write(self, piece: bytes) -> None:
        """The provider sends a piece of the body."""
        assert self._protocol is not None
        self._protocol.dataReceived(piece)

    def end(self, reason: Exception | None = None) -> None:
        """The body ends: whole, or for the reason given."""
        assert self._protocol is not None
        self._protocol.connectionLost(Failure(reason or ResponseDone()))


@attrs.define
class Sent:
    """One request that the gateway sent to a provider."""

    method: bytes
    url: bytes
    headers: Headers
    written: StringTransport
    """Where its body is written."""
    producer: IBodyProducer | None
    answered: Deferred[IResponse]
    cancelled: bool = False
    response: FakeResponse | None = None
    """Its answer, once there is one."""

    @property
    def body(self) -> bytes:
        """What of the body has come so far."""
        value: bytes = self.written.value()
        return value

    def header(self, name: str) -> str | None:
        values = self.headers.getRawHeaders(name)
        return None if values is None else ", ".join(values)

    def answer(self, code: int = 200, *, length: int | None = None, **headers: str) -> FakeResponse:
        """The provider's status and headers come."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.response = FakeResponse(code, {"content-type": "application/json", **named}, length)
        self.answered.callback(response)
        return response

    def fail(self, error: Exception) -> None:
        """The request ends without an answer."""
        self.answered.errback(error)


@implementer(IAgent)
class FakeAgent:
    """Providers played by the test: every request waits in ``sent`` for its answer."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        def cancel(_answered: Deferred[IResponse]) -> None:
            sent.cancelled = True

        answered: Deferred[IResponse] = Deferred(cancel)
        sent = Sent(method, uri, headers or Headers(), StringTransport(), bodyProducer, answered)
        self.sent.append(sent)
        if bodyProducer is not None:

            def not_written(failure: Failure) -> None:
                answered.errback(RequestGenerationFailed([failure]))

            bodyProducer.startProducing(sent.written).addErrback(not_written)
        return answered


class ClientTransport(StringTransport):
    """The server's side of a client's connection, which the test can fill up and break."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class Client:
    """One connection of a client."""

    def __init__(self, site: Any) -> None:
        self.transport = ClientTransport()
        self._gone = False
        self._channel = site.buildProtocol(None)
        assert self._channel is not None
        self._channel.makeConnection(self.transport)

    def send(self, raw: bytes) -> None:
        """Bytes as they are."""
        self._channel.dataReceived(raw)

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> None:
        """A request with the usual headers; ``x_api_key="..."`` becomes ``x-api-key``."""
        named = {"host": "gateway.test", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None:
            named = {"content-type": "application/json", "content-length": str(len(body)), **named}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + (body or b""))

    def chat(self, body: bytes = b'{"model":"gpt","messages":[]}', key: str = "vk_openai") -> None:
        """The most usual call."""
        self.ask("POST", "/v1/chat/completions", body, authorization=f"Bearer {key}")

    @property
    def received(self) -> bytes:
        """Everything that was written to this client so far."""
        value: bytes = self.transport.value()
        return value

    @property
    def closed(self) -> bool:
        """Whether the gateway has closed the connection."""
        return self.transport.disconnecting

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """
        :return: status, headers by lower-case name, and the body so far, chunks joined.
        """
        head, _, rest = self.received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = dechunked(rest)[0] if headers.get("transfer-encoding") == "chunked" else rest
        return int(status_line.split(" ")[1]), headers, body

    @property
    def whole(self) -> bool:
        """Whether the answer came to the end that its framing promises."""
        _, headers, body = self.answer()
        if headers.get("transfer-encoding") == "chunked":
            return dechunked(self.received.partition(b"\r\n\r\n")[2])[1]
        return len(body) == int(headers["content-length"])

    def leave(self) -> None:
        """The client closes its connection."""
        if self._gone:
            return
        self._gone = True
        producer = self.transport.producer
        if producer is not None:
            producer.stopProducing()
        self._channel.connectionLost(Failure(ConnectionDone()))

    def stall(self) -> None:
        """The client stops reading and the transport's buffer is full."""
        cast(IPushProducer, self.transport.producer).pauseProducing()

    def read_on(self) -> None:
        """The client reads again."""
        cast(IPushProducer, self.transport.producer).resumeProducing()


def dechunked(raw: bytes) -> tuple[bytes, bool]:
    """
    :return: the joined chunks, and whether the last one came.
    """
    joined = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return joined, True
        joined, raw = joined + raw[:length], raw[length + 2 :]
    return joined, False


@attrs.define
class Records:
    """An access log to look into."""

    written: list[CallRecord] = attrs.Factory(list)

    def write(self, record: CallRecord) -> None:
        self.written.append(record)


ONE_ATTEMPT = Retries(attempts=1)


class MemoryGateway:
    """The gateway's object graph with fakes at its edges."""

    def __init__(
        self,
        configuration: Configuration = USUAL,
        max_body_bytes: int = 1_000_000,
        wire: str = WIRE,
        retries: Retries = ONE_ATTEMPT,
        clock: Clock | None = None,
        agent: IAgent | None = None,
        books: Books | None = None,
    ) -> None:
        """
        :param books: what calls are limited and written down by; by default they are not.
        :param agent: what calls providers, in place of the one that has the test play them.
        :param retries: in place of the configuration's: what is not about them is shown without.
        """
        self._retries = retries
        self._clients: list[Client] = []
        self.clock = Clock() if clock is None else clock
        self.agent = FakeAgent()
        self.records = Records()
        self.books = books
        self.live = LiveCalls()
        self.board = HealthBoard()
        self.grants = GrantBook(lambda connect_s: RelayClient(self.agent if agent is None else agent), self.clock)
        self.changes: list[Change] = []
        self.dispatcher = Dispatcher(self.clock, lambda: 0.5, self.changes.append)
        self.routes = RouteBook(self.grants, self.dispatcher)
        self.use(configuration)
        app = GatewayApp(
            grants=self.grants,
            routes=self.routes,
            dispatcher=self.dispatcher,
            live=self.live,
            board=self.board,
            log=self.records,
            clock=self.clock,
            max_body_bytes=max_body_bytes,
            books=books,
        )
        self.resource = app.resource()
        settings = Settings(max_body_bytes=max_body_bytes)
        self.site = ENGINES[wire].make_site(self.resource, self.clock, settings, app.early_refusal())

    def use(self, configuration: Configuration) -> None:
        routing = replace(configuration.routing, retries=self._retries)
        configuration = replace(configuration, routing=routing)
        if self.books is not None:
            self.books.use(configuration)
        self.grants.use(configuration)
        self.routes.use(configuration)
        self.board.use(tuple(configuration.providers.values()))

    def client(self) -> Client:
        client = Client(self.site)
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Every client leaves; a request that is still open would keep its body's file open too."""
        for client in self._clients:
            client.leave()

    @property
    def record(self) -> CallRecord:
        """The one call that has ended."""
        (only,) = self.records.written
        return only

    @property
    def sent(self) -> Sent:
        """The one request that a provider got."""
        (only,) = self.agent.sent
        return only

    def timers(self) -> int:
        """Delayed calls that are still to come, apart from those of idle client connections."""
        return len([call for call in self.clock.getDelayedCalls() if call.getTime() > 0])


def failure_of(deferred: Deferred[Any]) -> Failure:
    """What a Deferred has failed with."""
    found: list[Failure] = []
    deferred.addErrback(found.append)
    assert found, "it has not failed"
    return found[0]


def result_of(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with."""
    found: list[Any] = []
    deferred.addCallback(found.append)
    assert found, "it has not fired"
    return found[0]
