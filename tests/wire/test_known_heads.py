"""
A head like the one before it on the connection is not parsed again.

It must not be seen but in the time that it takes: whatever follows on a connection that knows a head is understood, or
refused, as on one that does not.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.wire.bounds import KEEPALIVE_IDLE_S
from llm_gateway.wire.strict import FIRST_KNOWN, KNOWN_BYTES, LAST_KNOWN, RequestParser
from tests.wire.serving import LIMIT, Doing, Echo, Server, Visitor, Waiting, chunked, get, post

HEADERS = (b"X-Content-Length: 1", b"Authorization: Bearer vk", b"accept:\t*/* ")
CALL = post(b"hello", *HEADERS, target=b"/v1/x?y")


def knowing(server: Server, raw: bytes = CALL) -> Visitor:
    """A connection on which this request's head is known."""
    return server.send(*[raw] * FIRST_KNOWN)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Heads that were parsed."""
    heads: list[bytes] = []
    parse = RequestParser.head

    def head(self: RequestParser, raw: bytes) -> Any:
        heads.append(raw)
        return parse(self, raw)

    monkeypatch.setattr(RequestParser, "head", head)
    return heads


def test_head_like_the_one_before_is_not_parsed_again(parsed: list[bytes]) -> None:
    """Whatever the length of the body, and whatever is in it."""
    server = Server(Echo())
    client = knowing(server)
    bodies = [b"", b"\r\n\r\n", CALL, b"x" * 60_000]
    for body in bodies:
        client.send(post(body, *HEADERS, target=b"/v1/x?y"))
    assert len(parsed) == FIRST_KNOWN
    assert [seen.body for seen in server.resource.seen[FIRST_KNOWN:]] == bodies
    first, *others = server.resource.seen
    for seen in others:
        headers = dict(seen.headers)
        assert headers.pop(b"Content-Length") == (b"%d" % len(seen.body),)
        assert headers.items() <= set(first.headers)
        assert (seen.method, seen.uri, seen.version) == (b"POST", b"/v1/x?y", b"HTTP/1.1")
    server.close()


def test_body_behind_a_known_head_comes_in_its_own_time(parsed: list[bytes]) -> None:
    """In as many pieces as it likes, with the next request behind it; and where it ends is counted, not searched."""
    server = Server(Echo())
    client = knowing(server)
    end = CALL.index(b"hello")
    client.send(CALL[:end], CALL[end : end + 1], CALL[end + 1 :] + CALL + CALL[: end + 2], CALL[end + 2 :])
    client.send(post(CALL + CALL, *HEADERS, target=b"/v1/x?y")[:-1], CALL[-1:])
    assert [seen.body for seen in server.resource.seen] == [b"hello"] * 5 + [CALL + CALL]
    assert len(parsed) == FIRST_KNOWN
    client.dribble(CALL)
    assert server.resource.seen[-1].body == b"hello"
    assert client.statuses == [200] * 7
    server.close()


def test_requests_of_a_known_head_are_answered_in_order() -> None:
    """One at a time, however many come at once."""
    server = Server(Waiting())
    client = knowing(server)
    client.send(CALL * 3, get(b"/last"))
    for at in range(FIRST_KNOWN + 4):
        assert len(server.resource.requests) == at + 1
        server.resource.requests[at].write(b"%d" % at)
        server.resource.requests[at].finish()
    assert [body for _, _, body in client.answers()] == [b"%d" % at for at in range(FIRST_KNOWN + 4)]
    server.close()


LENGTHS = [
    *(
        b"",
        b" ",
        b"+5",
        b"-5",
        b"5 ",
        b"5\t",
        b"0005",
        b"5_0",
        b"0x5",
        b"5,5",
        b"5, 5",
        b"5;",
        b"\xd9\xa5",
        b"0",
        b"00",
    ),
    *(b"5\n", b"5\r", b"5\rX: y", b"5\r\n", b"5\r\n x", b"\r\n5", b"5\r\nX: y", b"5\r\nContent-Length: 4"),
    *(b"5\r\nTransfer-Encoding: chunked", b"9" * 18, b"9" * 19, b"0" * 17 + b"5", b"0" * 40 + b"5", b"4", b"6"),
]


@pytest.mark.parametrize("length", LENGTHS)
def test_odd_length_in_a_known_head_is_as_odd_as_ever(length: bytes) -> None:
    """It is refused, or read, as on a connection that knows nothing."""
    raw = CALL.replace(b"\nContent-Length: 5", b"\nContent-Length: " + length)
    assert seen_and_answered([raw, get()], known=CALL) == seen_and_answered([raw, get()])


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """The known request with something changed in it."""
    raw = bytearray(CALL)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 10]))
        raw[at : at + cut] = draw(
            st.sampled_from([b"", b"0", b"5", b"\r", b"\n", b"\r\n", b" ", b":", b"\0", b"X: y\r\n"])
        )
    return bytes(raw)


@settings(max_examples=400)
@given(
    st.lists(bent() | st.sampled_from([CALL, get(), chunked(b"hello")]), min_size=1, max_size=3), st.integers(0, 400)
)
def test_connection_that_knows_a_head_reads_as_one_that_does_not(raws: list[bytes], place: int) -> None:
    """Whatever follows, wherever it is cut."""
    raw = b"".join(raws)
    pieces = [raw[:place], raw[place:]] if 0 < place < len(raw) else [raw]
    assert seen_and_answered(pieces, known=CALL) == seen_and_answered(pieces)


def seen_and_answered(pieces: list[bytes], known: bytes | None = None) -> Any:
    """
    :return: what a resource sees of these bytes, the statuses it and the site answer, and whether the client must go.
    """
    server = Server(Echo())
    client = server.visitor() if known is None else knowing(server, known)
    before = 0 if known is None else FIRST_KNOWN
    assert len(server.resource.seen) == before
    client.send(*pieces)
    server.clock.pump([10] * 4)
    found = server.resource.seen[before:], client.statuses[before:], client.closed
    server.close()
    return found


def test_known_heads_body_is_bounded_as_any() -> None:
    """One longer than the site takes is refused, and the connection closed behind the refusal."""
    server = Server(Waiting())
    client = knowing(server)
    for at in range(FIRST_KNOWN):
        server.resource.requests[at].finish()
    client.send(post(b"", *HEADERS, target=b"/v1/x?y", length=LIMIT + 1))
    request = server.resource.requests[-1]
    assert request.body_refused
    request.setResponseCode(413)
    request.finish()
    assert client.statuses[-1] == 413
    server.close()


def test_known_head_may_be_that_of_a_stream() -> None:
    """The site is asked, and the body delivered as it comes."""
    server = Server(Waiting(), wants_stream=lambda request: request.getHeader("x-content-length") == "1")
    client = server.visitor()
    for at in range(FIRST_KNOWN + 2):
        client.send(CALL[:-3])
        request = server.resource.requests[at]
        assert request.body_stream is not None
        request.finish()
        client.send(CALL[-3:])
    assert client.statuses == [200] * (FIRST_KNOWN + 2)
    server.close()


def test_changed_headers_do_not_come_back() -> None:
    """What a resource does to one request's headers happens to no other's."""
    seen: list[Any] = []

    def render(request: Any) -> bytes:
        seen.append(sorted(request.requestHeaders.getAllRawHeaders()))
        request.requestHeaders.addRawHeader(b"accept", b"x")
        request.requestHeaders.setRawHeaders(b"content-length", [b"7"])
        request.requestHeaders.removeHeader(b"authorization")
        return b""

    server = Server(Doing(render))
    server.send(*[CALL] * 5)
    assert len(seen) == 5
    assert all(headers == seen[0] for headers in seen)
    server.close()


@pytest.mark.parametrize(
    "raw",
    [
        post(b"hello", b"X: " + b"x" * KNOWN_BYTES),
        post(b"hello", b"Upgrade: x", b"Connection: upgrade"),
        chunked(b"hello"),
        get(),
    ],
    ids=["long", "upgrade", "chunked", "without a body"],
)
def test_other_heads_are_parsed_each_time(raw: bytes, parsed: list[bytes]) -> None:
    """What is long or seldom is not worth remembering."""
    server = Server(Echo())
    client = server.send(*[raw] * 5)
    assert len(parsed) == 5
    assert client.statuses == [200] * 5
    server.close()


def test_heads_that_always_differ_are_not_remembered_for_long(parsed: list[bytes]) -> None:
    """Trying to would take time with each of them."""
    server = Server(Echo())
    client = server.visitor()
    for number in range(LAST_KNOWN + 3):
        client.send(post(b"x", b"X-Id: %d" % number))
    parsed.clear()
    client.send(post(b"x", b"X-Id: %d" % (LAST_KNOWN - 1)))
    assert not parsed
    client.send(post(b"x", b"X-Id: %d" % (LAST_KNOWN + 2)))
    assert len(parsed) == 1
    server.close()


def test_idle_connection_remembers_nothing(parsed: list[bytes]) -> None:
    """Ten thousand of them take no memory for it."""
    server = Server(Echo())
    client = knowing(server)
    server.clock.advance(KEEPALIVE_IDLE_S)
    assert client.channel._parser._known is None
    parsed.clear()
    client.send(CALL, CALL, CALL)
    assert len(parsed) == FIRST_KNOWN
    server.close()
