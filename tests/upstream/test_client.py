"""treq, doing nothing that nobody asked for, and its doubles in its place."""

from __future__ import annotations

from treq.testing import RequestTraversalAgent
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import Request
from zope.interface.verify import verifyObject

from llm_gateway.core.framing import Unframed
from llm_gateway.upstream.bodies import spooled_body
from llm_gateway.upstream.client import RelayClient
from llm_gateway.upstream.relay import Relay
from llm_gateway.wire.stock import QuietPool
from llm_gateway.wire.upload import BytesBody
from tests.memory import FakeAgent, MemoryGateway, result_of


def test_request_goes_out_as_given() -> None:
    """No cookie, no gzip, no header that was not asked for."""
    agent = FakeAgent()
    client = RelayClient(agent)
    client.request("POST", b"http://p.test/%7E?a=%20b", headers=Headers({"x-a": ["1"]}), data=BytesBody(b"{}"))
    (sent,) = agent.sent
    assert (sent.method, sent.url, sent.body) == (b"POST", b"http://p.test/%7E?a=%20b", b"{}")
    assert list(sent.headers.getAllRawHeaders()) == [(b"X-A", [b"1"])]


def test_redirects_cookies_and_compression_come_back_as_they_are() -> None:
    """The key does not follow a redirect, one tenant's cookie does not reach the next call, bytes stay as they are."""
    agent = FakeAgent()
    client = RelayClient(agent)
    answered = client.request("GET", b"http://p.test/", headers=Headers())
    agent.sent[0].answer(302, location="http://elsewhere.test/", set_cookie="a=b", content_encoding="gzip")
    response = result_of(answered)
    assert response.code == 302
    assert response.headers.getRawHeaders("content-encoding") == ["gzip"]
    client.request("GET", b"http://p.test/", headers=Headers())
    assert [sent.header("cookie") for sent in agent.sent] == [None, None]


class _Echo(Resource):
    """A provider that repeats the body."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"application/json")
        body: bytes = request.content.read()  # type: ignore[union-attr]  # it is open while a resource renders
        return body


def test_treqs_own_doubles_fit() -> None:
    """A provider can be played by a resource, over treq's in-memory agent."""
    agent = RequestTraversalAgent(_Echo())
    gateway = MemoryGateway(agent=agent)
    client = gateway.client()
    client.chat(b'{"model": "echo"}')
    agent.flush()
    assert client.answer()[2] == b'{"model": "echo"}'
    assert gateway.record.ended == "ok"
    gateway.close()


def test_shells_provide_what_they_claim() -> None:
    """Twisted asks these objects for these interfaces."""
    relay = Relay(None, 200, {}, Unframed(), *[None] * 8)  # type: ignore[arg-type]
    assert verifyObject(IPushProducer, relay)
    assert verifyObject(IBodyProducer, BytesBody(b""))
    with open(__file__, "rb") as file:
        assert verifyObject(IBodyProducer, spooled_body(file))
    assert verifyObject(IAgent, FakeAgent())


def test_stock_agent_keeps_many_connections() -> None:
    """Twisted's default of two would open one per call under load."""
    pool = QuietPool(Clock(), 512, 55.0)
    assert isinstance(pool, HTTPConnectionPool)
    assert (pool.maxPersistentPerHost, pool.cachedConnectionTimeout) == (512, 55.0)
    assert verifyObject(IAgent, Agent(Clock(), pool=pool))
