"""
The same bytes through Twisted's channel and ours.

Whatever both take they see alike, wherever the bytes are cut. What Twisted refuses, ours refuses; the other way round
there are deliberate differences, each in the table below with its reason.
"""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.web.http import HTTPChannel
from twisted.web.server import Site as TwistedSite

from tests.wire.serving import Echo, Seen, Server, Visitor, chunked, get, post


class StockChannel(HTTPChannel):
    """With the bounds that ours has."""

    totalHeadersSize = 65_536
    MAX_LENGTH = 65_536


class StockSite(TwistedSite):
    protocol = StockChannel  # type: ignore[assignment]
    noisy = False

    def log(self, request: object) -> None:
        """Nothing."""


def through_twisted(pieces: list[bytes]) -> tuple[list[Seen], Visitor]:
    echo = Echo()
    client = Visitor(StockSite(echo, reactor=Clock(), parsePOSTFormSubmission=False))
    client.send(*pieces)
    client.leave()
    return echo.seen, client


def through_ours(pieces: list[bytes]) -> tuple[list[Seen], Visitor]:
    server = Server(Echo())
    client = server.send(*pieces)
    server.close()
    return server.resource.seen, client


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({place % (len(raw) + 1) for place in places} | {0, len(raw)})
    return [raw[start:end] for start, end in itertools.pairwise(bounds)]


PLACES = st.lists(st.integers(0, 100_000), max_size=8)

TOKEN = st.text("abcXYZ019-_.!~", min_size=1, max_size=12).map(str.encode)
VALUE = st.text("abcXYZ 019,;=/\t\"'()é", max_size=20).map(lambda text: text.encode("latin-1"))
HEADER = st.tuples(TOKEN.filter(lambda name: name.lower() not in (b"te", b"host")), VALUE).map(b": ".join)
TARGET = st.text("abc019/%-._~?=&+;:@!$'()*,", max_size=20).map(lambda text: b"/" + text.encode())
METHOD = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH"])
BODY = st.binary(max_size=60) | st.lists(st.sampled_from([b"\r\n", b"0", b"\r\n\r\n", b"0\r\n\r\n", b"GET / "])).map(
    b"".join
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request as everybody understands it."""
    lines = [b"%b %b HTTP/1.1" % (draw(METHOD), draw(TARGET)), b"Host: h", *draw(st.lists(HEADER, max_size=4))]
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    body = b""
    if framing == "length":
        body = draw(BODY)
        lines.append(b"%b: %d" % (draw(st.sampled_from([b"Content-Length", b"content-length"])), len(body)))
    elif framing == "chunked":
        chunks = [chunk for chunk in draw(st.lists(BODY, max_size=4)) if chunk]
        extension = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b"']))
        trailers = draw(st.lists(HEADER, max_size=2))
        lines.append(draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked"])))
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
        body += b"0\r\n" + b"".join(trailer + b"\r\n" for trailer in trailers) + b"\r\n"
    return draw(st.sampled_from([b"", b"\r\n"])) + b"\r\n".join([*lines, b"", b""]) + body


@settings(deadline=None)
@given(st.lists(requests(), min_size=1, max_size=4).map(b"".join), PLACES, PLACES)
def test_requests_are_seen_alike(raw: bytes, ours: list[int], theirs: list[int]) -> None:
    """Method, target, version, headers and body; none more, none less."""
    seen, client = through_ours(cut(raw, ours))
    expected, _ = through_twisted(cut(raw, theirs))
    assert seen == expected
    assert seen
    assert not client.closed


BREAKS = st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]) | st.sampled_from(b" \t\r\n\x00\x0b\x7f\xff:,;0+-").map(
    lambda one: bytes([one])
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(requests(), min_size=1, max_size=3).map(b"".join),
    st.integers(0, 10_000),
    st.integers(0, 3),
    BREAKS,
    PLACES,
)
def test_broken_requests_are_seen_alike_or_not_at_all(
    raw: bytes, at: int, gone: int, put: bytes, places: list[int]
) -> None:
    """Ours sees what Twisted sees, up to where it stops; and where it stops before Twisted does it has closed."""
    at %= len(raw)
    raw = raw[:at] + put + raw[at + gone :]
    seen, client = through_ours(cut(raw, places))
    expected, other = through_twisted([raw])
    assert seen == expected[: len(seen)]
    if len(seen) < len(expected) or other.closed:
        assert client.closed or _waits_for_the_end(raw, seen)


def _waits_for_the_end(raw: bytes, seen: list[Seen]) -> bool:
    """Twisted judges line by line; ours may only know once a head or a chunk's line is whole."""
    return not raw.endswith(b"\r\n\r\n") or bool(seen)


LONG = b"x" * 17_000

DIFFERENCES: dict[str, tuple[bytes, int, int, str]] = {
    # What is sent, how many requests ours sees, how many Twisted sees, and why.
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 0, 1, "RFC 9112, 3.2 has it refused"),
    "two hosts": (get(b"/", b"Host: i"), 0, 1, "likewise; which one counts is a matter of taste"),
    "bad host": (get().replace(b": h", b": h/x"), 0, 1, "likewise"),
    "unknown method": (get().replace(b"GET", b"BREW"), 0, 1, "llhttp knows a fixed list, and no resource has others"),
    "method in small letters": (get().replace(b"GET", b"get"), 0, 1, "methods are case-sensitive; there is no 'get'"),
    "CONNECT": (get(b"h:1").replace(b"GET", b"CONNECT"), 0, 1, "what follows would be another protocol"),
    "target without a slash": (get(b"a"), 0, 1, "neither a path nor a URL"),
    "target with a fragment": (get(b"/#a"), 0, 1, "fragments stay with the client"),
    "target beyond ASCII": (get(b"/\x80"), 0, 1, "not in a URL's alphabet; Twisted takes some of it"),
    "long target": (get(b"/" + LONG), 0, 1, "414, so that the client learns what is too long"),
    "obs-fold": (get(b"/", b"A: b", b" c"), 0, 1, "RFC 9112, 5.2 lets servers refuse it; proxies disagree on it"),
    "control character in a value": (get(b"/", b"A: \x01"), 0, 1, "RFC 9110, 5.5: dangerous outside a sandbox"),
    "identity": (get(b"/", b"Transfer-Encoding: identity"), 0, 1, "not a transfer encoding since RFC 7230"),
    "chunked in HTTP/1.0": (chunked().replace(b"P/1.1", b"P/1.0"), 0, 1, "RFC 9112, 6.1: treat as faulty"),
    "length of 19 digits": (post(length=10**18), 0, 0, "refused at once; Twisted waits for it"),
    "close among other tokens": (get(b"/", b"Connection: keep-alive,close") * 2, 1, 2, "it is a list, not words"),
    "proxy-connection": (get(b"/", b"Proxy-Connection: close") * 2, 1, 2, "llhttp heeds what such clients mean"),
    "bare LF within a chunk's extension": (chunked(end=b"0;a\nb\r\n\r\n"), 0, 0, "both refuse, for the record"),
    "broken trailer": (chunked(end=b"0\r\nA : b\r\n\r\n"), 0, 1, "trailers are fields; Twisted skips lines"),
    "length in the trailer": (chunked(end=b"0\r\nContent-Length: 3\r\n\r\n"), 0, 1, "likewise, and a trap"),
    "much around the chunks": (chunked(end=b"0\r\n" + b"A: b\r\n" * 2_000 + b"\r\n"), 0, 1, "8 KiB are plenty"),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_is_deliberate(name: str) -> None:
    """Ours is the stricter one, always."""
    raw, ours, theirs, reason = DIFFERENCES[name]
    seen, client = through_ours([raw])
    expected, _ = through_twisted([raw])
    assert (len(seen), len(expected)) == (ours, theirs), reason
    assert client.closed
    assert seen == expected[:ours]


def test_absolute_target_is_the_one_thing_seen_otherwise() -> None:
    """Twisted hands on the URL where a path should be; ours hands on its path, and its host as Host."""
    raw = get(b"http://example.org/a?b")
    ((ours,), _), ((theirs,), _) = through_ours([raw]), through_twisted([raw])
    assert (ours.uri, dict(ours.headers)[b"Host"]) == (b"/a?b", (b"example.org",))
    assert (theirs.uri, dict(theirs.headers)[b"Host"]) == (b"http://example.org/a?b", (b"h",))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.binary(max_size=40)
        | requests()
        | st.sampled_from(
            [b"\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n", b"Host: h\r\n", b"Transfer-Encoding: chunked\r\n"]
        )
        | st.sampled_from(
            [b"Content-Length: 5\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n"]
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_no_bytes_break_the_channel(pieces: list[bytes], streams: bool) -> None:
    """Nothing is raised at the transport, every refusal is one, and nothing stays behind when the client leaves."""
    server = Server(Echo(), wants_stream=(lambda request: True) if streams else None)
    client = server.send(*pieces)
    server.clock.pump([5] * 20)
    assert all(
        int(status) in (200, 400, 405, 408) for status in re.findall(rb"HTTP/1[.][01] ([0-9]{3})", client.received)
    )
    server.close()
