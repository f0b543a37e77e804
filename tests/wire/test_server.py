"""The site on llhttp, over memory transports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, cast

import attrs
import pytest
from klein.interfaces import IKleinRequest
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.web.http import CACHED
from twisted.web.iweb import IRequest
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory
from twisted.web.server import Request as TwistedRequest
from zope.interface import Interface
from zope.interface.verify import verifyClass, verifyObject

from llm_gateway.wire.bodies import HELD_BYTES, BodyBroken, BodyDone, BodyStream, BodyTooLarge, BodyUnwanted
from llm_gateway.wire.bounds import LINGER_BYTES, LINGER_S, MAX_HEADER_BYTES, MAX_HEADERS, MAX_NAME_BYTES, SPOOL_BYTES
from llm_gateway.wire.channel import PIPELINE_BYTES, Channel
from llm_gateway.wire.request import JOIN_BYTES, Request
from llm_gateway.wire.server import Site
from llm_gateway.wire.strict import MAX_FRAMING_BYTES, MAX_TARGET_BYTES
from llm_gateway.wire.visitors import SEE_OFF_S
from tests.wire.serving import LIMIT, BodyReader, Doing, Echo, Server, Waiting, chunked, get, post


@attrs.define
class Servers:
    """Makes servers and sees to it that none leaves anything behind."""

    made: list[Server] = attrs.Factory(list)

    def __call__(self, resource: Any = None, **options: Any) -> Server:
        server = Server(Echo() if resource is None else resource, **options)
        self.made.append(server)
        return server


@pytest.fixture
def serve() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    for server in servers.made:
        server.close()


# Requests


def test_requests_come_one_after_the_other(serve: Servers) -> None:
    """On one connection, whatever their bodies."""
    server = serve()
    client = server.send(get(b"/a"), post(b"hello", target=b"/b"), chunked(b"wor", b"ld"), get(b"/c?x=1"))
    assert [(seen.method, seen.uri, seen.body) for seen in server.resource.seen] == [
        (b"GET", b"/a", b""),
        (b"POST", b"/b", b"hello"),
        (b"POST", b"/", b"world"),
        (b"GET", b"/c?x=1", b""),
    ]
    assert client.statuses == [200] * 4
    assert not client.closed


def test_requests_may_come_all_at_once_or_byte_by_byte(serve: Servers) -> None:
    """Where the network cuts them makes no difference."""
    raw = get(b"/a") + post(b"hello") + chunked(b"wor", b"ld\r\n\r\n", end=b"0\r\nA: b\r\n\r\n") + b"\r\n" + get(b"/c")
    at_once, in_bytes = serve(), serve()
    at_once.send(raw)
    in_bytes.visitor().dribble(raw)
    assert at_once.resource.seen == in_bytes.resource.seen
    assert len(at_once.resource.seen) == 4


def test_pipelined_requests_are_answered_in_order(serve: Servers) -> None:
    """The second is not even rendered before the first is answered."""
    server = serve(Waiting())
    client = server.send(get(b"/1") + get(b"/2") + get(b"/3"))
    assert [request.uri for request in server.resource.requests] == [b"/1"]
    for number in (0, 1, 2):
        request = server.resource.requests[number]
        request.write(request.uri)
        request.finish()
    assert [body for _, _, body in client.answers()] == [b"/1", b"/2", b"/3"]


def test_thousands_of_pipelined_requests_need_no_stack(serve: Servers) -> None:
    """Each is answered before the next is looked at, in a loop."""
    client = serve().send(get() * 3 * sys.getrecursionlimit())
    assert len(client.answers()) == 3 * sys.getrecursionlimit()


def test_reading_stops_beyond_a_bounded_pipeline(serve: Servers) -> None:
    """And goes on when the answers have caught up."""
    server = serve(Waiting())
    client = server.send(get(b"/1"))
    assert client.reading
    client.send(post(b"x" * (PIPELINE_BYTES + 1)))
    assert not client.reading
    server.resource.requests[0].finish()
    assert client.reading
    assert server.resource.requests[1].content.read() == b"x" * (PIPELINE_BYTES + 1)
    server.resource.requests[1].finish()


def test_client_that_leaves_while_it_waits_is_noticed(serve: Servers) -> None:
    """Its request is told, and a request behind it never starts."""
    server = serve(Waiting())
    client = server.send(get(b"/1") + get(b"/2"))
    client.leave()
    ((request, reason),) = server.resource.gone
    assert request.uri == b"/1"
    assert reason.type.__name__ == "ConnectionDone"
    with pytest.raises(RuntimeError, match="connection was lost"):
        request.finish()


@pytest.mark.parametrize(
    ("raw", "closes"),
    [
        (get(), False),
        (get(b"/", b"Connection: close"), True),
        (get(b"/", b"Connection: keep-alive, Close"), True),
        (get(b"/", b"Connection: keep-alive"), False),
        (get(version=b"1.0"), True),
        (get(b"/", b"Connection: keep-alive", version=b"1.0"), True),
    ],
)
def test_connection_lives_as_long_as_both_want(serve: Servers, raw: bytes, closes: bool) -> None:
    """HTTP/1.0 gets one answer; an answer that is the last says so."""
    client = serve().send(raw)
    ((status, headers, _),) = client.answers()
    assert status == 200
    assert client.closed is closes
    assert (headers.get(b"connection") == b"close") is (closes and b"HTTP/1.1" in raw)


def test_nothing_after_the_last_request_is_read(serve: Servers) -> None:
    """Whoever says close has said all."""
    server = serve()
    client = server.send(get(b"/", b"Connection: close") + get(b"/smuggled"))
    assert len(server.resource.seen) == 1
    assert client.closed


def test_resource_may_close_the_connection(serve: Servers) -> None:
    """By a header, or by hand."""

    def close(request: Any) -> bytes:
        request.setHeader("connection", "close")
        return b"bye"

    assert serve(Doing(close)).send(get()).closed
    server = serve(Waiting())
    client = server.send(get())
    server.resource.requests[0].loseConnection()
    assert client.closed


def test_absolute_target_is_taken_apart(serve: Servers) -> None:
    """Its authority counts, whatever Host says."""
    server = serve()
    server.send(get(b"http://example.org:8080/a?b"), get(b"HTTPS://example.org"), get(b"http://e?q"))
    assert [(seen.uri, dict(seen.headers)[b"Host"]) for seen in server.resource.seen] == [
        (b"/a?b", (b"example.org:8080",)),
        (b"/", (b"example.org",)),
        (b"/?q", (b"e",)),
    ]


def test_star_is_answered_for_everybody(serve: Servers) -> None:
    """``OPTIONS *`` asks whether there is a server."""
    client = serve().send(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", get(b"*"))
    assert client.statuses == [200, 405]


def test_arguments_and_cookies_are_there_when_asked_for(serve: Servers) -> None:
    """As ``twisted.web`` gives them."""
    seen: list[Any] = []

    def look(request: Any) -> bytes:
        seen.append((request.args, request.getCookie(b"a"), request.received_cookies, request.getHeader("x-y")))
        return b""

    serve(Doing(look)).send(get(b"/?a=1&a=2&b=%20", b"Cookie: a=b; c=d", b"X-y: 1", b"x-Y: 2"), get(b"/p"))
    assert seen == [
        ({b"a": [b"1", b"2"], b"b": [b" "]}, b"b", {b"a": b"b", b"c": b"d"}, "2"),
        ({}, None, {}, None),
    ]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/x-www-form-urlencoded", b"a=1&b=2"),
        (
            b"multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
            b'--x\r\nContent-Disposition: form-data; name="b"\r\n\r\n2\r\n--x--\r\n',
        ),
    ],
)
@pytest.mark.parametrize("parses", [True, False])
def test_forms_are_parsed_if_the_site_does(serve: Servers, kind: bytes, body: bytes, parses: bool) -> None:
    """And the body stays readable."""
    seen: list[Any] = []

    def look(request: Any) -> bytes:
        seen.append((request.args, request.content.read()))
        return b""

    serve(Doing(look), parsePOSTFormSubmission=parses).send(post(body, b"Content-Type: " + kind))
    assert seen == [({b"a": [b"1"], b"b": [b"2"]} if parses else {}, body)]


def test_form_that_cannot_be_parsed_is_refused(serve: Servers) -> None:
    """A multipart form that is none."""
    client = serve().send(post(b"nothing", b"Content-Type: multipart/form-data"))
    assert client.statuses == [400]
    assert client.closed


def test_path_is_walked_as_ever(serve: Servers) -> None:
    """Segments are unquoted, one at a time."""
    root, below = Resource(), Resource()
    found: list[Any] = []

    def look(request: Any) -> bytes:
        found.append((request.prepath, request.postpath, request.sitepath, request.path))
        return b""

    root.putChild(b"a b", below)
    below.putChild(b"c", Doing(look))
    assert serve(root).send(get(b"/a%20b/c/d%2Fe/?q")).statuses == [200]
    assert found == [([b"a b", b"c"], [b"d/e", b""], [], b"/a%20b/c/d%2Fe/")]


def test_request_is_one(serve: Servers) -> None:
    """For Twisted, for zope and for Klein."""

    class IMark(Interface):
        pass

    def look(request: Any) -> bytes:
        assert verifyObject(IRequest, request)
        assert IKleinRequest(request) is IKleinRequest(request)
        request.setComponent(IMark, 7)
        assert request.getComponent(IMark) == 7
        assert (request.getClientAddress().host, request.isSecure()) == ("192.168.1.1", False)
        assert request.getRequestHostname() == b"h"
        assert request == request
        assert hash(request)
        return repr(request).encode()

    assert b"method=GET uri=/x clientproto=HTTP/1.1" in serve(Doing(look)).send(get(b"/x")).received
    assert verifyClass(IRequest, Request)
    assert verifyClass(ITransport, Channel)
    assert verifyClass(IPushProducer, Channel)
    assert verifyClass(IConsumer, Channel)
    assert verifyClass(ITransport, BodyStream)


def test_session_lasts_from_request_to_request(serve: Servers) -> None:
    """By its cookie."""
    uids: list[bytes] = []

    def visit(request: Any) -> bytes:
        uids.append(request.getSession().uid)
        return b""

    server = serve(Doing(visit))
    server.site.sessionFactory.sessionTimeout = 900
    client = server.send(get())
    cookie = client.answers()[0][1][b"set-cookie"].partition(b";")[0]
    client.send(get(b"/", b"Cookie: " + cookie))
    assert uids[0] == uids[1]
    for session in list(server.site.sessions.values()):
        session.expire()


def test_any_request_class_will_do(serve: Servers) -> None:
    """Twisted's own is rendered over this channel, too."""
    server = serve(requestFactory=TwistedRequest)
    client = server.send(get(b"/a"), post(b"hello"), b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert [seen.body for seen in server.resource.seen] == [b"", b"hello", b""]
    assert client.received.startswith(b"HTTP/1.1 200 OK\r\nServer: Twisted")
    assert not client.closed


# Bodies


def test_long_body_goes_to_a_file(serve: Servers) -> None:
    """It is read like a short one."""
    sizes: list[tuple[int, bool]] = []

    def measure(request: Any) -> bytes:
        spooled = bool(getattr(request.content, "_rolled", False))
        sizes.append((len(request.content.read()), spooled))
        return b""

    server = serve(Doing(measure), max_body_bytes=10 * SPOOL_BYTES)
    big = b"x" * (SPOOL_BYTES + 1)
    server.send(post(big[:-1]), post(big), chunked(big[:-1]), chunked(big))
    assert sizes == [(SPOOL_BYTES, False), (SPOOL_BYTES + 1, True)] * 2


def test_site_may_choose_where_bodies_go(serve: Servers) -> None:
    """``getContentFile``, as Twisted's may."""
    from io import BytesIO

    class Mine(BytesIO):
        pass

    kinds: list[type] = []

    def look(request: Any) -> bytes:
        kinds.append(type(request.content))
        return b""

    server = serve(Doing(look))
    cast(Any, server.site).getContentFile = lambda length: Mine()
    server.send(post(b"x"))
    assert kinds == [Mine]


def test_trailers_are_read_and_forgotten(serve: Servers) -> None:
    """They are no headers."""
    server = serve()
    client = server.send(chunked(b"a", end=b"0\r\nX-Secret: 1\r\nHost: other\r\n\r\n"), get(b"/next"))
    assert client.statuses == [200, 200]
    assert b"X-Secret" not in dict(server.resource.seen[0].headers)
    assert dict(server.resource.seen[0].headers)[b"Host"] == (b"h",)


def test_client_that_asks_is_told_to_go_on(serve: Servers) -> None:
    """Unless the body has come already, or the client is too old to understand."""
    server = serve()
    client = server.send(post(b"", b"Expect: 100-continue", length=2))
    assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"ab")
    assert server.resource.seen[0].body == b"ab"
    assert server.send(post(b"ab", b"Expect: 100-continue")).statuses == [200]
    old = post(b"", b"Expect: 100-continue", length=2).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert server.send(old).received == b""


@pytest.mark.parametrize("length", [None, 4])
def test_body_comes_even_with_a_wish_to_upgrade(serve: Servers, length: int | None) -> None:
    """Java's client asks for HTTP/2 along with its first POST; the body is part of that POST and nothing else."""
    server = serve()
    wish = (
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    )
    raw = chunked(b"GET ", b"/") if length is None else post(b"GET ")
    raw = raw.replace(b"\r\n", b"\r\n" + b"\r\n".join(wish) + b"\r\n", 1)
    server.visitor().dribble(raw + get(b"/next"))
    assert [(seen.method, seen.body) for seen in server.resource.seen] == [
        (b"POST", b"GET /" if length is None else b"GET "),
        (b"GET", b""),
    ]


@pytest.mark.parametrize(
    "raw", [post(b"", length=LIMIT + 1), chunked(b"x" * (LIMIT + 1), end=b"")], ids=["length", "chunks"]
)
def test_body_over_the_limit_is_for_the_resource_to_refuse(serve: Servers, raw: bytes) -> None:
    """It is rendered at once, without the body; the connection closes once the client has finished sending."""
    server = serve(Waiting())
    client = server.send(raw)
    (request,) = server.resource.requests
    assert request.body_refused
    assert request.content.read() == b""
    request.setResponseCode(413)
    request.finish()
    ((status, headers, _),) = client.answers()
    assert (status, headers[b"connection"]) == (413, b"close")
    assert not client.closed
    client.send(b"x" * (LIMIT + 1) if raw.startswith(b"POST / HTTP/1.1\r\nHost: h\r\nContent") else b"0\r\n\r\n")
    assert client.closed


@pytest.mark.parametrize("slow", [True, False])
def test_refused_client_that_goes_on_and_on_is_cut_off(serve: Servers, slow: bool) -> None:
    """After so many seconds or bytes."""
    server = serve(Doing(lambda request: b"no"))
    client = server.send(post(b"", length=10**15))
    assert client.statuses == [200]
    if slow:
        server.clock.advance(LINGER_S)
    else:
        piece = b"x" * 1_048_576
        client.send(*[piece] * (LINGER_BYTES // len(piece) + 1))
    assert client.closed


def test_client_that_asks_first_is_not_told_to_send_too_much(serve: Servers) -> None:
    """It gets the refusal and no 100."""
    client = serve(Doing(lambda request: b"no")).send(post(b"", b"Expect: 100-continue", length=LIMIT + 1))
    assert client.statuses == [200]


def test_body_at_the_limit_passes(serve: Servers) -> None:
    """The limit itself is allowed, both ways."""
    server = serve()
    server.send(post(b"x" * LIMIT), chunked(b"x" * LIMIT))
    assert [len(seen.body) for seen in server.resource.seen] == [LIMIT, LIMIT]


# Streamed bodies


def always(request: IRequest) -> bool:
    return True


def test_streamed_body_comes_as_it_comes(serve: Servers) -> None:
    """The request is rendered before its body is there."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(post(b"ab", length=4))
    (request,) = server.resource.requests
    assert request.content.read() == b""
    reader = BodyReader()
    request.deliver_body(reader.as_protocol)
    assert reader.pieces == [b"ab"]
    client.send(b"c")
    client.send(b"d" + get(b"/next"))
    assert reader.pieces == [b"ab", b"c", b"d"]
    assert reader.reason is not None
    assert reader.reason.check(BodyDone)
    request.finish()
    assert server.resource.requests[1].uri == b"/next"


def test_site_is_asked_which_bodies_to_stream(serve: Servers) -> None:
    """With method, target and headers; not about a request without a body, nor about one that is there already."""
    asked: list[Any] = []

    def some(request: Any) -> bool:
        asked.append((request.method, request.uri, request.path, request.getHeader("a")))
        return bool(request.path == b"/files")

    server = serve(Waiting(), wants_stream=some)
    server.send(get()).leave()
    server.send(post(b"x", b"A: b", target=b"/files"))
    server.send(post(b"", b"A: b", target=b"/files?x", length=1), b"x")
    server.send(post(b"", target=b"/other", length=1), b"x")
    assert asked == [(b"POST", b"/files?x", b"/files", "b"), (b"POST", b"/other", b"/other", None)]
    _, there, streamed, gathered = server.resource.requests
    assert [request.content.read() for request in (there, streamed, gathered)] == [b"x", b"", b"x"]
    for request in (there, gathered):
        with pytest.raises(RuntimeError, match="not streamed"):
            request.deliver_body(BodyReader().as_protocol)


def test_slow_reader_of_a_body_slows_the_client(serve: Servers) -> None:
    """What has been read already waits, nothing more is read."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(post(b"ab", length=6))
    reader = BodyReader()
    server.resource.requests[0].deliver_body(reader.as_protocol)
    reader.transport.pauseProducing()
    assert not client.reading
    client.send(b"cdef")
    assert reader.pieces == [b"ab"]
    reader.transport.resumeProducing()
    assert client.reading
    assert reader.body == b"abcdef"
    assert reader.reason is not None
    server.resource.requests[0].finish()


def test_body_without_a_reader_waits_within_bounds(serve: Servers) -> None:
    """A little is read ahead of the resource's asking for it."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(post(b"", length=LIMIT))
    client.send(b"x" * (HELD_BYTES - 1))
    assert client.reading
    client.send(b"x")
    assert not client.reading
    reader = BodyReader()
    server.resource.requests[0].deliver_body(reader.as_protocol)
    assert client.reading
    assert len(reader.body) == HELD_BYTES


def test_streamed_body_is_asked_for_when_there_is_a_reader(serve: Servers) -> None:
    """A resource may refuse a request before its body is sent."""
    server = serve(Waiting(), wants_stream=always)
    wanted, unwanted = server.visitor(), server.visitor()
    for client in (wanted, unwanted):
        client.send(post(b"", b"Expect: 100-continue", length=2))
    server.resource.requests[0].deliver_body(BodyReader().as_protocol)
    assert wanted.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    server.resource.requests[1].finish()
    ((status, headers, _),) = unwanted.answers()
    assert (status, headers[b"connection"]) == (200, b"close")


def test_streamed_body_of_a_client_that_leaves_ends_badly(serve: Servers) -> None:
    """The reader learns why, and so does the request."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(post(b"ab", length=4))
    reader = BodyReader()
    server.resource.requests[0].deliver_body(reader.as_protocol)
    client.leave(ConnectionResetError())
    assert reader.reason is not None
    assert reader.reason.check(ConnectionResetError)
    assert len(server.resource.gone) == 1


def test_streamed_body_that_is_broken_ends_badly(serve: Servers) -> None:
    """The answer can still be written, then the connection closes."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(chunked(b"ab", end=b"xyz\r\n"))
    reader = BodyReader()
    server.resource.requests[0].deliver_body(reader.as_protocol)
    assert reader.reason is not None
    assert reader.reason.check(BodyBroken)
    assert not client.closed
    server.resource.requests[0].finish()
    assert client.statuses == [200]
    assert client.closed


def test_streamed_body_that_grows_over_the_limit_ends_badly(serve: Servers) -> None:
    """Told apart from one that broke."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(chunked(b"x" * LIMIT, end=b""))
    reader = BodyReader()
    request = server.resource.requests[0]
    request.deliver_body(reader.as_protocol)
    client.send(b"1\r\nx\r\n")
    assert reader.reason is not None
    assert reader.reason.check(BodyTooLarge)
    assert request.body_refused
    request.finish()
    client.send(b"0\r\n\r\n")
    assert client.closed


@pytest.mark.parametrize("reads", [True, False])
def test_rest_of_an_unwanted_body_is_dropped(serve: Servers, reads: bool) -> None:
    """An answer before the body's end is final; the connection serves the next request if the body does end."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(post(b"ab", length=HELD_BYTES + 4))
    reader = BodyReader()
    request = server.resource.requests[0]
    if reads:
        request.deliver_body(reader.as_protocol)
        reader.transport.pauseProducing()
    client.send(b"x" * HELD_BYTES)
    assert not client.reading
    request.finish()
    assert client.reading
    client.send(b"yz" + get(b"/next"))
    assert (reader.reason is not None and reader.reason.check(BodyUnwanted) is not None) is reads
    assert server.resource.requests[1].uri == b"/next"
    assert not client.closed


def test_reader_may_stop_a_body(serve: Servers) -> None:
    """The client still gets its answer."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(post(b"ab", length=4))
    reader = BodyReader()
    request = server.resource.requests[0]
    request.deliver_body(reader.as_protocol)
    reader.transport.loseConnection()
    client.send(b"cd")
    assert reader.pieces == [b"ab"]
    request.finish()
    assert client.statuses == [200]
    with pytest.raises(RuntimeError, match="delivered already"):
        request.body_stream.deliver(reader.as_protocol)


def test_reader_may_cut_the_client_off(serve: Servers) -> None:
    """At once."""
    server = serve(Waiting(), wants_stream=always)
    client = server.send(post(b"ab", length=4))
    reader = BodyReader()
    server.resource.requests[0].deliver_body(reader.as_protocol)
    assert reader.transport.getPeer() == client.transport.getPeer()
    assert reader.transport.getHost() == client.transport.getHost()
    reader.transport.abortConnection()
    assert client.transport.aborted


# Answers


def test_answer_goes_out_in_one_write(serve: Servers) -> None:
    """Head and body together; of a stream, every piece with its marks."""
    assert serve().send(get()).transport.writes == 1
    server = serve(Waiting())
    client = server.send(get())
    (request,) = server.resource.requests
    request.write(b"one")
    assert client.transport.writes == 1
    request.write(b"two")
    assert client.transport.writes == 2
    request.finish()
    assert client.answers()[0][2] == b"onetwo"


def test_answer_has_a_date_and_no_server(serve: Servers) -> None:
    """Resources may change both."""
    ((_, headers, _),) = serve().send(get()).answers()
    assert headers[b"date"].endswith(b"GMT")
    assert b"server" not in headers

    def change(request: Any) -> bytes:
        request.setHeader(b"date", b"today")
        request.setHeader(b"server", b"mine")
        return b""

    ((_, headers, _),) = serve(Doing(change)).send(get()).answers()
    assert (headers[b"date"], headers[b"server"]) == (b"today", b"mine")


def test_long_pieces_come_whole(serve: Servers) -> None:
    """They are not copied together with what is around them."""

    def answer(request: Any) -> bytes | None:
        if request.path == b"/sized":
            return b"x" * (JOIN_BYTES + 1)
        request.write(b"y" * (JOIN_BYTES + 1))
        request.write(b"")
        request.write(b"z" * (JOIN_BYTES + 1))
        request.finish()
        return None

    client = serve(Doing(answer)).send(get(b"/sized"), get(b"/chunks"))
    assert [body for _, _, body in client.answers()] == [
        b"x" * (JOIN_BYTES + 1),
        b"y" * (JOIN_BYTES + 1) + b"z" * (JOIN_BYTES + 1),
    ]


def test_headers_may_go_out_before_the_body(serve: Servers) -> None:
    """An empty write flushes them."""
    server = serve(Waiting())
    client = server.send(get())
    server.resource.requests[0].write(b"")
    assert client.received.endswith(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in client.received
    server.resource.requests[0].finish()
    assert client.answers()[0][2] == b""


@pytest.mark.parametrize(("code", "version"), [(204, b"1.1"), (304, b"1.1"), (204, b"1.0")])
def test_answer_that_may_not_have_a_body_has_none(serve: Servers, code: int, version: bytes) -> None:
    """Whatever the resource writes."""

    def answer(request: Any) -> None:
        request.setResponseCode(code)
        request.write(b"something")
        request.write(b"more")
        request.finish()

    received = serve(Doing(answer)).send(get(version=version)).received
    assert received.endswith(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in received


@pytest.mark.parametrize("path", [b"/whole", b"/pieces"])
def test_head_gets_the_headers_alone(serve: Servers, path: bytes) -> None:
    """Also of a resource that only knows GET."""

    class OnlyGet(Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> bytes:
            return b"hello"

    def answer(request: Any) -> bytes | None:
        if request.path == b"/whole":
            return b"hello"
        request.write(b"hello")
        request.finish()
        return None

    raw = b"HEAD %b HTTP/1.1\r\nHost: h\r\n\r\n" % path
    for resource in (OnlyGet(), Doing(answer)):
        received = serve(resource).send(raw).received
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.endswith(b"\r\n\r\n")
        assert (b"Content-Length: 5" in received) is (path == b"/whole" or isinstance(resource, OnlyGet))


def test_old_client_reads_to_the_end_of_the_connection(serve: Servers) -> None:
    """No chunks for HTTP/1.0."""
    server = serve(Waiting())
    client = server.send(get(version=b"1.0"))
    request = server.resource.requests[0]
    request.write(b"one")
    request.write(b"two")
    request.finish()
    assert client.received.startswith(b"HTTP/1.0 200 OK\r\n")
    assert client.received.endswith(b"\r\n\r\nonetwo")
    assert client.closed


@pytest.mark.parametrize(("written", "kept"), [(b"short", b"short"), (b"much too long", b"much to")])
def test_answer_of_another_length_than_announced_is_the_last(serve: Servers, written: bytes, kept: bytes) -> None:
    """Nothing of it can be taken for the next answer."""

    def answer(request: Any) -> None:
        request.setHeader("content-length", "7")
        request.write(written[:4])
        request.write(written[4:])
        request.finish()

    client = serve(Doing(answer)).send(get() + get(b"/next"))
    assert client.received.endswith(b"\r\n\r\n" + kept)
    assert client.closed


@pytest.mark.parametrize("lengths", [[b"x"], [b"1", b"2"], [b"-1"]])
def test_length_that_is_none_is_left_out(serve: Servers, lengths: list[bytes]) -> None:
    """A resource that announces nonsense answers in chunks."""

    def answer(request: Any) -> None:
        request.responseHeaders.setRawHeaders("content-length", lengths)
        request.responseHeaders.setRawHeaders("transfer-encoding", [b"gzip"])
        request.write(b"hello")
        request.finish()

    ((_, headers, body),) = serve(Doing(answer)).send(get()).answers()
    assert (headers[b"transfer-encoding"], headers.get(b"content-length"), body) == (b"chunked", None, b"hello")


def test_answer_cannot_be_split(serve: Servers) -> None:
    """Line ends in a phrase, a header or a cookie stay inside of it."""

    def answer(request: Any) -> bytes:
        request.setResponseCode(200, b"OK\r\nX-Evil: 1\r\n\r\n<html>")
        request.setHeader("x-a", b"b\r\nX-Evil: 2")
        request.addCookie("a", "b\r\nX-Evil: 3")
        return b""

    head = serve(Doing(answer)).send(get()).received.partition(b"\r\n\r\n")[0]
    assert not [line for line in head.split(b"\r\n") if line.startswith(b"X-Evil")]


def test_validators_are_sent_and_heeded(serve: Servers) -> None:
    """ETag and Last-Modified, as ever."""

    def answer(request: Any) -> bytes:
        if CACHED in (request.setETag(b"v1"), request.setLastModified(1_000_000_000)):
            return b""
        return b"hello"

    client = serve(Doing(answer)).send(get(), get(b"/", b"If-None-Match: v1"))
    assert client.statuses == [200, 304]
    assert client.answers()[0][1][b"etag"] == b"v1"
    assert client.answers()[0][1][b"last-modified"] == b"Sun, 09 Sep 2001 01:46:40 GMT"


def test_redirect_leads_on(serve: Servers) -> None:
    """With Location."""

    def answer(request: Any) -> bytes:
        request.redirect(b"/there")
        return b""

    ((status, headers, _),) = serve(Doing(answer)).send(get()).answers()
    assert (status, headers[b"location"]) == (302, b"/there")


def test_answers_can_be_encoded(serve: Servers) -> None:
    """By Twisted's own encoders."""
    import gzip

    resource = EncodingResourceWrapper(Doing(lambda request: b"hello" * 100), [GzipEncoderFactory()])
    ((_, headers, body),) = serve(resource).send(get(b"/", b"Accept-Encoding: gzip")).answers()
    assert headers[b"content-encoding"] == b"gzip"
    assert gzip.decompress(body) == b"hello" * 100


def test_failing_resource_becomes_500(serve: Servers) -> None:
    """It is logged, and the connection goes on."""
    logged: list[Any] = []

    def fail(request: Any) -> bytes:
        raise ZeroDivisionError

    observer: Any = logged.append
    globalLogPublisher.addObserver(observer)
    try:
        client = serve(Doing(fail)).send(get())
    finally:
        globalLogPublisher.removeObserver(observer)
    assert client.statuses == [500]
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [ZeroDivisionError]


def test_finished_answer_is_finished(serve: Servers) -> None:
    """Writing on is a mistake, finishing again is pointed out."""
    server = serve(Waiting())
    client = server.send(get())
    (request,) = server.resource.requests
    told: list[Any] = []
    request.notifyFinish().addCallback(told.append)
    request.finish()
    assert told == [None]
    with pytest.raises(RuntimeError, match="called on a request after"):
        request.write(b"more")
    with pytest.warns(UserWarning, match="finish called twice"):
        request.finish()
    assert len(client.answers()) == 1


def test_writing_to_a_client_that_left_is_no_mistake(serve: Servers) -> None:
    """Nobody can know in time."""
    server = serve(Waiting())
    client = server.send(get())
    (request,) = server.resource.requests
    request.write(b"a")
    client.leave()
    before = client.received
    request.write(b"b")
    assert client.received == before
    assert not request.isSecure()


# Producers


class Pushing:
    """A producer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


def transport_producer(client: Any) -> Any:
    return client.transport.producer


def test_slow_client_slows_who_answers_it(serve: Servers) -> None:
    """A push producer is paused, resumed and stopped; the client can still be seen leaving."""
    server = serve(Waiting())
    client = server.send(get())
    (request,) = server.resource.requests
    producer = Pushing()
    request.registerProducer(producer, True)
    transport_producer(client).pauseProducing()
    assert client.reading
    transport_producer(client).resumeProducing()
    transport_producer(client).stopProducing()
    assert producer.told == ["pause", "resume", "stop"]
    with pytest.raises(ValueError, match="before previous one"):
        request.registerProducer(producer, True)
    request.unregisterProducer()
    request.finish()


@pytest.mark.parametrize("told", [True, False])
def test_producer_is_stopped_once_when_the_client_is_gone(serve: Servers, told: bool) -> None:
    """By the transport, or by the channel if it has let go of the transport."""
    server = serve(Waiting())
    client = server.send(get())
    producer = Pushing()
    server.resource.requests[0].registerProducer(producer, True)
    if told:
        transport_producer(client).stopProducing()
    else:
        client.channel.loseConnection()
    client.leave()
    assert producer.told == ["stop"]


def test_producer_that_comes_late_is_paused_at_once(serve: Servers) -> None:
    """The transport was full before it was there."""
    server = serve(Waiting())
    client = server.send(get())
    transport_producer(client).pauseProducing()
    producer = Pushing()
    server.resource.requests[0].registerProducer(producer, True)
    assert producer.told == ["pause"]
    server.resource.requests[0].unregisterProducer()
    server.resource.requests[0].finish()


def test_client_that_does_not_read_answers_gets_no_more_of_them(serve: Servers) -> None:
    """Its further requests wait, unread."""
    server = serve()
    client = server.send(get(b"/1"))
    transport_producer(client).pauseProducing()
    assert not client.reading
    client.send(get(b"/2"))
    assert len(server.resource.seen) == 1
    transport_producer(client).resumeProducing()
    assert client.reading
    assert len(server.resource.seen) == 2


def test_pulled_producer_writes_the_answer(serve: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """One piece for each time it is asked."""
    from twisted.internet import _producer_helpers
    from twisted.internet.task import Clock, Cooperator

    clock = Clock()
    cooperator = Cooperator(
        scheduler=lambda step: clock.callLater(0, step), terminationPredicateFactory=lambda: lambda: True
    )
    monkeypatch.setattr(_producer_helpers, "cooperate", cooperator.cooperate)
    server = serve(Waiting())
    client = server.send(get())
    (request,) = server.resource.requests

    class Pulled:
        left = 3

        def resumeProducing(self) -> None:
            request.write(b"%d" % self.left)
            self.left -= 1
            if not self.left:
                request.unregisterProducer()
                request.finish()

        def stopProducing(self) -> None:
            raise NotImplementedError

    request.registerProducer(Pulled(), False)
    transport_producer(client).pauseProducing()
    clock.pump([0] * 5)
    transport_producer(client).resumeProducing()
    clock.pump([0] * 5)
    assert client.answers()[0][2] == b"321"


# Refusals


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (get(b"/" + b"x" * MAX_TARGET_BYTES), 414),
        (get(b"/" + b"x" * MAX_HEADER_BYTES), 414),
        (b"GET /" + b"x" * (MAX_TARGET_BYTES + 100), 414),
        (get(b"/", *[b"a: b"] * (MAX_HEADERS + 1)), 431),
        (get(b"/", b"a: " + b"b" * MAX_HEADER_BYTES), 431),
        (get(b"/", b"a: " + b"b" * MAX_HEADER_BYTES)[:-2], 431),
        (get(b"/", *[b"a: " + b"b" * 10_000] * 7), 431),
        (get(b"/", b"a" * (MAX_NAME_BYTES + 1) + b": b"), 431),
        (chunked(end=b"1;" + b"x" * (MAX_FRAMING_BYTES + 100) + b"\r\nx\r\n"), 400),
        (chunked(end=b"0\r\n" + b"x: y\r\n" * MAX_FRAMING_BYTES), 400),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
@pytest.mark.parametrize("cut", [1, 1000, 100_000])
def test_what_is_no_request_is_told_so_and_let_go(serve: Servers, raw: bytes, status: int, cut: int) -> None:
    """With a whole answer and a closed connection, however it is cut."""
    server = serve()
    client = server.send(*(raw[at : at + cut] for at in range(0, len(raw), cut)))
    ((got, headers, body),) = client.answers()
    assert (got, headers[b"connection"]) == (status, b"close")
    assert body
    assert client.closed
    assert server.resource.seen == []


def test_site_words_its_refusals(serve: Servers) -> None:
    """Whoever makes the site says how."""
    server = serve(refusal=lambda status, message: ([(b"X-Status", b"%d" % status)], message.encode()))
    ((status, headers, body),) = server.send(b"nonsense\r\n\r\n").answers()
    assert (status, headers[b"x-status"], body) == (400, b"400", b"The request is not valid HTTP/1.1.")


def test_many_long_headers_pass(serve: Servers) -> None:
    """Coding agents send many."""
    server = serve()
    server.send(get(b"/", *[b"anthropic-beta: " + b"b" * 700] * 60))
    assert len(dict(server.resource.seen[0].headers)[b"Anthropic-Beta"]) == 60


# The site


def test_hanging_up_waits_for_what_was_written(serve: Servers) -> None:
    """Clients read to the end; one that does not is cut off after a while."""
    server = serve()
    prompt, slow = server.visitor(), server.visitor()
    gone = server.site.hang_up()
    assert prompt.closed
    prompt.leave()
    assert not gone.called
    server.clock.advance(10)
    assert slow.transport.aborted
    slow.leave()
    assert gone.called
    assert server.site.hang_up().called


def test_seeing_off_closes_behind_the_next_answer(serve: Servers) -> None:
    """Clients that wait get theirs, clients that ask get one more, and the rest is closed after a while."""
    server = serve(Waiting())
    waiting, streaming, asking, idle = (server.visitor() for _ in range(4))
    waiting.send(get(b"/1"))
    streaming.send(get(b"/2"))
    server.resource.requests[1].write(b"begun")
    gone = server.site.see_off()
    asking.send(get(b"/3"))
    for request in server.resource.requests:
        request.finish()
    assert [client.closed for client in (waiting, streaming, asking, idle)] == [True, True, True, False]
    assert [client.answers()[0][1].get(b"connection") for client in (waiting, streaming, asking)] == [
        b"close",
        None,
        b"close",
    ]
    server.clock.advance(SEE_OFF_S)
    assert idle.closed
    for client in (waiting, streaming, asking, idle):
        assert not gone.called
        client.leave()
    assert gone.called


def test_site_logs_only_where_it_was_told_to(tmp_path: Any) -> None:
    """In Twisted's way, to the path it was given."""
    path = tmp_path / "access.log"
    for options in ({}, {"logPath": str(path)}):
        server = Server(Echo(), **options)
        server.site.doStart()
        server.send(get(b"/logged"))
        server.site.doStop()
        server.close()
    (line,) = path.read_text().splitlines()
    assert '"GET /logged HTTP/1.1" 200' in line


def test_site_takes_what_twisteds_takes() -> None:
    """Positional arguments too; it offers HTTP/1.1 only."""
    site = Site(Resource(), TwistedRequest, None, 5)
    assert (site.requestFactory, site.logPath, site.timeOut) == (TwistedRequest, None, 5)
    assert Site(Resource(), timeout=None).timeOut is None
    assert site.acceptableProtocols() == [b"http/1.1"]


def test_transport_that_cannot_be_paused_will_do(serve: Servers) -> None:
    """Nothing is slowed down then."""
    from zope.interface import implementer

    @implementer(ITransport)
    class Plain:
        def __init__(self) -> None:
            self._real = StringTransport()
            self.write, self.writeSequence, self.value = self._real.write, self._real.writeSequence, self._real.value
            self.getPeer, self.getHost, self.loseConnection = (
                self._real.getPeer,
                self._real.getHost,
                self._real.loseConnection,
            )

    server = serve(Waiting(), wants_stream=always)
    channel: Any = server.site.buildProtocol(None)
    transport = Plain()
    channel.makeConnection(transport)
    channel.dataReceived(post(b"x" * LIMIT) + get(b"/next"))
    reader = BodyReader()
    server.resource.requests[0].deliver_body(reader.as_protocol)
    assert len(reader.body) == LIMIT
    server.resource.requests[0].finish()
    server.resource.requests[1].finish()
    assert transport.value().count(b"HTTP/1.1 200") == 2
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    channel.connectionLost(Failure(ConnectionDone()))
