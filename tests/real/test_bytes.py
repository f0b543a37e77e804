"""P1: the body goes both ways as it was sent, byte for byte, however the network cuts it."""

from __future__ import annotations

import gzip
import itertools
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from tests.real.client import Answer, Client, chunked, request_bytes
from tests.real.provider import LAST_CHUNK, STREAM_HEAD, Exchange, answer_bytes, chunk, head_bytes
from tests.real.scene import BODY, PATHS, Scene, asking, named, scene

RECORDINGS = Path(__file__).parent / "recordings"
DIALECTS = ("openai", "anthropic")
BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")

SHORT = {
    "openai": (
        b'data: {"choices":[{"index":0,"delta":{"content":"\xc3\xa9"}}]}\n\n',
        b": still here\r\n\r\n",
        b'data: {"choices":[{"index":0,"delta":{"content":" b"}}]}\r\n\r\n',
        b"data: [DONE]\n\n",
    ),
    "anthropic": (
        b'event: message_start\ndata: {"type":"message_start"}\n\n',
        b'event: content_block_delta\r\ndata: {"delta":{"text":"\xf0\x9f\x99\x82"}}\r\n\r\n',
        b'event: ping\ndata: {"type": "ping"}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
}
"""Streams short enough to be broken off at every byte."""


@pytest.fixture(scope="module")
def stage(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("bytes")) as stage:
        yield stage


def recorded(dialect: str) -> bytes:
    return (RECORDINGS / f"{dialect}.sse").read_bytes()


def in_chunks(stream: bytes) -> bytes:
    """The stream with a chunk for each line: chunk borders inside events and between them."""
    return chunked(*stream.splitlines(keepends=True))


def number_in(exchange: Exchange) -> int:
    return int(exchange.request.target.rpartition("=")[2])


# Answers


@pytest.mark.parametrize("dialect", DIALECTS)
def test_stream_cut_at_any_byte_arrives_as_it_was_sent(stage: Scene, dialect: str) -> None:
    """The network may deliver a stream in any two pieces; its reader gets what the provider wrote."""
    stream = recorded(dialect)
    wire = STREAM_HEAD + in_chunks(stream)

    def in_two_pieces(exchange: Exchange) -> None:
        cut = number_in(exchange)
        exchange.send(wire[:cut])
        stage.turns.wait()
        exchange.send(wire[cut:])

    stage.provider.script = in_two_pieces
    wanted, wrong = sha256(stream).digest(), []
    with stage.client() as client:
        for cut in range(1, len(wire)):
            answer = client.call("POST", f"{PATHS[dialect]}?cut={cut}", asking(f"vk_{dialect}"), BODY)
            if sha256(answer.body).digest() != wanted or not answer.whole or answer.status != 200:
                wrong.append((cut, answer))
    assert wrong == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_stream_that_drips_arrives_as_it_was_sent(stage: Scene, dialect: str) -> None:
    """A chunk for every byte, as the slowest provider would."""
    stream = recorded(dialect)
    pieces = [STREAM_HEAD, *(chunk(bytes([byte])) for byte in stream), LAST_CHUNK]

    def drip(exchange: Exchange) -> None:
        for piece in pieces:
            exchange.send(piece)

    stage.provider.script = drip
    answer = stage.call(PATHS[dialect], key=f"vk_{dialect}")
    assert (answer.body, answer.whole) == (stream, True)
    assert answer.value("content-type") == "text/event-stream"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_events_arrive_before_the_stream_goes_on(stage: Scene, dialect: str) -> None:
    """
    Whatever its line ends, an event is handed on when it is whole; the provider waits for the reader here.

    Comments before the first event come with it: until then it is not known whether this is the answer.
    """
    stream = recorded(dialect)
    read: list[int] = []

    def event_by_event(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD)
        for begin, end in pairwise([0, *(blank.end() for blank in BLANK_LINE.finditer(stream))]):
            exchange.send(chunk(stream[begin:end]))
            if b"data" in stream[:end]:
                # An LF behind a CR may be late: the CR has ended the line.
                stage.provider.wait_for(partial(reached, end - 1), f"the event up to {end}")
        exchange.send(LAST_CHUNK)

    def reached(place: int) -> bool:
        return bool(read) and read[-1] >= place

    stage.provider.script = event_by_event
    got = b""
    with stage.client() as client:
        client.ask("POST", PATHS[dialect], asking(f"vk_{dialect}"), BODY)
        for piece in client.pieces(client.head()):
            got += piece
            stage.provider.tell(read, len(got))
    assert got == stream


def test_every_framing_of_an_answer_carries_the_same_bytes(stage: Scene) -> None:
    """Length, chunks with trailers and extensions, or nothing but the end of the connection; binary all the way."""
    body = bytes(range(256)) * 300
    kind = {"content-type": "audio/mpeg"}
    extended = b"".join(b"%X;x=y\r\n%b\r\n" % (len(each), each) for each in (body[:1], body[1:70_000], body[70_000:]))
    in_chunks = {**kind, "transfer-encoding": "chunked"}
    wires = {
        "length": (head_bytes(fields={**kind, "content-length": str(len(body))}) + body, "length"),
        "chunked": (head_bytes(fields=in_chunks) + chunked(body[:7], body[7:]), "chunked"),
        "trailers": (
            head_bytes(fields={**in_chunks, "trailer": "x-sum"}) + extended + b"0\r\nx-sum: 1\r\n\r\n",
            "chunked",
        ),
        "close": (head_bytes(fields={**kind, "connection": "close"}) + body, "chunked"),
        "http10": (b"HTTP/1.0 200 OK\r\ncontent-type: audio/mpeg\r\n\r\n" + body, "chunked"),
        "interim": (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
            + answer_bytes(body, fields=kind),
            "length",
        ),
    }
    for name, (wire, framing) in wires.items():

        def send(exchange: Exchange, wire: bytes = wire, ends: bool = name in ("close", "http10")) -> None:
            exchange.send(wire)
            if ends:
                exchange.connection.shut()

        stage.provider.script = send
        answer = stage.call("/v1/audio/speech")
        assert sha256(answer.body).hexdigest() == sha256(body).hexdigest(), name
        assert (answer.status, answer.whole, answer.framing) == (200, True, framing), name
        assert answer.value("content-type") == "audio/mpeg", name


def test_compressed_answer_stays_compressed(stage: Scene) -> None:
    """
    Nobody unpacks on the way: the client asked for gzip and gets the provider's own gzip, streamed or not. What the
    ledger could not read is not asked for.
    """
    packed = gzip.compress(recorded("openai"))
    for fields in (
        {"content-type": "application/json", "content-length": str(len(packed))},
        {"content-type": "text/event-stream", "transfer-encoding": "chunked"},
    ):
        head = head_bytes(fields={**fields, "content-encoding": "gzip"})
        body = packed if "content-length" in fields else chunked(packed[:100], packed[100:])

        def send(exchange: Exchange, wire: bytes = head + body) -> None:
            exchange.send(wire)

        stage.provider.script = send
        answer = stage.call(PATHS["openai"], {"Accept-Encoding": "gzip, br"})
        assert answer.value("content-encoding") == "gzip"
        assert (answer.body, answer.whole) == (packed, True)
        assert stage.provider.seen[-1].value("accept-encoding") == "gzip"


def test_answers_without_a_body_have_none(stage: Scene) -> None:
    """HEAD keeps the length of what it did not fetch; 204 and 304 have no length at all or the provider's."""
    wires = {
        "HEAD": head_bytes(fields={"content-type": "application/json", "content-length": "1234"}),
        "DELETE": head_bytes("204 No Content"),
        "GET": head_bytes("304 Not Modified", {"etag": '"1"'}),
    }
    with stage.client() as client:
        for method, wire in wires.items():
            stage.provider.script = lambda exchange, wire=wire: exchange.send(wire)  # type: ignore[misc]  # a default
            answer = client.call(method, "/v1/files/file-1", asking())
            assert answer.status == int(wire.split(b" ")[1])
            assert (answer.body, answer.framing) == (b"", "none")
            assert answer.value("content-length") == ("1234" if method == "HEAD" else None)
            assert answer.value("transfer-encoding") is None
            # The connection goes on to work: no stray byte is on it.
            assert client.call("GET", "/livez").status == 200
    assert [each.method for each in stage.provider.seen[-3:]] == list(wires)


def test_client_of_http_1_0_gets_the_same_bytes(stage: Scene) -> None:
    """No chunks for a client that knows none: the end of the connection ends its answer."""
    stream = recorded("openai")
    stage.provider.script = lambda exchange: exchange.send(STREAM_HEAD + in_chunks(stream))
    with stage.client() as client:
        client.send(request_bytes("POST", PATHS["openai"], asking(), BODY).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        answer = client.answer()
        assert (answer.status, answer.body) == (200, stream)
        assert answer.framing == "close"
        assert client.ended()


# Requests

PROMPT = (
    '{ "model" :"m-1",\r\n\t"messages":[ {"role":"user","content":"é \\u00e9 🌍"} ] ,"x_new": 1e-07,"stream":false }'
)
MULTIPART = (
    b'--b0und\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b0und\r\nContent-Disposition: form-data; name="file"; filename="\xc3\xa9.bin"\r\n\r\n'
    + bytes(range(256))
    + b"\r\n--b0und--\r\n"
)


def body_at_provider(stage: Scene, send: Callable[[Client], None]) -> tuple[bytes, Answer]:
    """What reached the provider of what ``send`` put on the wire."""
    stage.provider.script = lambda exchange: exchange.send(answer_bytes())
    with stage.client() as client:
        send(client)
        answer = client.answer()
    return stage.provider.seen[-1].body, answer


@pytest.mark.parametrize(
    ("path", "fields", "body"),
    [
        (PATHS["openai"], {}, PROMPT.encode()),
        (PATHS["openai"], {"Content-Encoding": "gzip"}, gzip.compress(PROMPT.encode())),
        ("/v1/files", {"Content-Type": "multipart/form-data; boundary=b0und"}, MULTIPART),
        ("/v1/audio/transcriptions", {"Content-Type": "application/octet-stream"}, os.urandom(99_999)),
        ("/v1/batches/b_1/cancel", {}, b""),
        (PATHS["openai"], {}, b"not JSON at all \xff\x00"),
        (PATHS["openai"], {}, b'{"model": "m-1", "pad": "' + b"x" * 5_000_000 + b'"}'),
        ("/v1/files", {"Content-Type": "multipart/form-data; boundary=b0und"}, os.urandom(5_000_000)),
    ],
    ids=["spaces", "gzip", "multipart", "binary", "empty", "garbage", "spooled-json", "spooled-binary"],
)
def test_request_body_reaches_provider_as_it_was_sent(
    stage: Scene, path: str, fields: dict[str, str], body: bytes
) -> None:
    """What a client sends is the provider's to read, also where the gateway cannot."""
    fields = {**asking(), **fields}
    plain, answer = body_at_provider(stage, lambda client: client.ask("POST", path, fields, body))
    assert answer.status == 200
    assert sha256(plain).digest() == sha256(body).digest()
    request = stage.provider.seen[-1]
    assert request.value("content-type") == fields["Content-Type"]
    assert request.value("content-encoding") == fields.get("Content-Encoding")
    assert request.value("content-length") == str(len(body))

    pieces = [body[at : at + 16_000] for at in range(0, len(body), 16_000)]
    coded = chunked(*pieces, trailers=b"x-sum: 1\r\n")
    head = request_bytes("POST", path, {**fields, "Transfer-Encoding": "chunked"})
    in_pieces, answer = body_at_provider(stage, lambda client: client.send(head + coded))
    assert answer.status == 200
    assert sha256(in_pieces).digest() == sha256(body).digest()


@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream"])
def test_request_cut_at_any_byte_reaches_provider_whole(stage: Scene, content_type: str) -> None:
    """The network may deliver a request in any two pieces, whether its body is gathered or passed on as it comes."""
    stage.provider.script = lambda exchange: exchange.send(answer_bytes())
    body = PROMPT.encode()
    fields = {**asking(), "Content-Type": content_type, "Transfer-Encoding": "chunked"}
    head = request_bytes("POST", PATHS["openai"], fields)
    wire = head + chunked(body[:9], body[9:])
    with stage.client() as client:
        stage.provider.forget()
        for cut in range(1, len(wire)):
            client.send(wire[:cut])
            stage.turns.wait()
            client.send(wire[cut:])
            assert client.answer().status == 200, cut
    assert len(stage.provider.seen) == len(wire) - 1
    assert {each.body for each in stage.provider.seen} == {body}


def test_upload_that_waits_for_100_continue_arrives(stage: Scene) -> None:
    """curl asks before it sends a large body."""
    body = os.urandom(2_000_000)

    def ask_first(client: Client) -> None:
        head, _, _ = request_bytes("POST", "/v1/files", {**asking(), "Expect": "100-continue"}, body).partition(body)
        client.send(head)
        assert client.head().status == 100
        client.send(body)

    received, answer = body_at_provider(stage, ask_first)
    assert answer.status == 200
    assert received == body


# Answers that break off


def error_in(dialect: str, document: bytes) -> dict[str, str]:
    """The error in a body or a frame's data, which must have exactly the dialect's shape."""
    error = msgspec.json.decode(document)
    if dialect == "anthropic":
        assert (set(error), error["type"]) == ({"type", "error", "request_id"}, "error")
        assert set(error["error"]) == {"type", "message"}
    else:
        assert set(error) == {"error"}
        assert set(error["error"]) == {"message", "type", "param", "code"}
    found: dict[str, str] = error["error"]
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_stream_broken_off_at_any_byte_ends_in_one_error(stage: Scene, dialect: str) -> None:
    """Whole events, then one error of the dialect and a clean end; before the first event a 502. Never silence."""
    events = SHORT[dialect]
    wire = STREAM_HEAD + b"".join(chunk(event) for event in events) + LAST_CHUNK
    ends = list(itertools.accumulate((len(chunk(event)) for event in events), initial=len(STREAM_HEAD)))[1:]
    # Where on the wire each event can be seen to be whole: before its chunk is, and before the LF of a last CRLF.
    whole_at = [end - len(b"\r\n") - event.endswith(b"\r\n") for event, end in zip(events, ends, strict=True)]
    # What marks a stream's end needs no blank line behind it.
    whole_at[-1] -= len(b"\n\n")

    def break_off(exchange: Exchange) -> None:
        exchange.send(wire[: number_in(exchange)])
        exchange.connection.close()

    stage.provider.script = break_off
    with stage.client() as client:
        for cut in range(len(wire)):
            answer = client.call("POST", f"{PATHS[dialect]}?cut={cut}", asking(f"vk_{dialect}"), BODY)
            check_broken_off(dialect, events, sum(cut >= at for at in whole_at), answer)
        assert client.call("GET", "/livez").status == 200


def check_broken_off(dialect: str, events: tuple[bytes, ...], whole: int, answer: Answer) -> None:
    __tracebackhide__ = True
    assert answer.whole
    if not whole:
        assert answer.status == 502, answer
        assert answer.value("x-gw-error") == "upstream_disconnected"
        error_in(dialect, answer.body)
        return
    assert answer.status == 200, answer
    assert answer.body.startswith(b"".join(events[:whole]).rstrip(b"\n")), answer
    got, wanted = events_in(answer.body), events_in(b"".join(events[:whole]))
    if whole == len(events):
        assert got == wanted, answer
        return
    assert got[:-1] == wanted, answer
    prefix = b"event: error\ndata: " if dialect == "anthropic" else b"data: "
    assert got[-1].startswith(prefix), answer
    assert "closed the connection" in error_in(dialect, got[-1].removeprefix(prefix))["message"]


def events_in(body: bytes) -> list[bytes]:
    """The events and comments of a stream, their lines joined by LF."""
    lines = re.sub(rb"\r\n|\r", b"\n", body).rstrip(b"\n")
    return lines.split(b"\n\n")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_document_broken_off_at_any_byte_is_never_taken_for_whole(stage: Scene, framing: str) -> None:
    """A 502 before the first byte; a connection that is cut after it, with nothing of ours behind the half document."""
    body = b'{"choices":[{"message":{"content":"caf\xc3\xa9 sk-real"}}]}'
    if framing == "length":
        head = head_bytes(fields={"content-type": "application/json", "content-length": str(len(body))})
        wire = head + body
    else:
        head = head_bytes(fields={"content-type": "application/json", "transfer-encoding": "chunked"})
        wire = head + chunked(body[:20], body[20:])

    def break_off(exchange: Exchange) -> None:
        exchange.send(wire[: number_in(exchange)])
        exchange.connection.close()

    stage.provider.script = break_off
    for cut in range(len(wire)):
        answer = stage.call(f"{PATHS['openai']}?cut={cut}")
        if answer.whole:
            assert answer.status == 502, answer
            assert error_in("openai", answer.body)["code"] == "upstream_disconnected"
            assert cut <= len(head) + len(b"14\r\n"), answer
        else:
            assert answer.status == 200
            assert body.startswith(answer.body), answer
            assert cut > len(head)


@pytest.mark.parametrize(
    ("kind", "body", "least"),
    [
        ("text/event-stream", b"".join(SHORT["openai"]), len(b"".join(SHORT["openai"])) - 2),
        ("application/json", b'{"a": "bcd"}', 12),
        ("audio/mpeg", b"ID3", 0),
    ],
)
def test_answer_that_only_its_connection_ends_is_judged_by_its_end(
    stage: Scene, kind: str, body: bytes, least: int
) -> None:
    """Without length and chunks: a stream's last event, a document's bracket; of sound nobody knows."""
    wire = head_bytes(fields={"content-type": kind}) + body

    def break_off(exchange: Exchange) -> None:
        for byte in wire[: len(wire) - len(body) + number_in(exchange)]:
            exchange.send(bytes([byte]))
        exchange.connection.close()

    stage.provider.script = break_off
    for cut in range(len(body) + 1):
        name, header = named()
        answer = stage.call(f"{PATHS['openai']}?cut={cut}", header)
        ended = stage.logged(name)["ended"]
        if cut >= least:
            assert (answer.body, answer.whole, ended) == (body[:cut], True, "ok"), cut
        elif kind == "text/event-stream":
            assert (answer.whole, ended) == (True, "upstream_error"), answer
            assert b'"code":"upstream_disconnected"' in answer.body
        else:
            assert ended == "upstream_error"
            assert answer.whole == (answer.status == 502) == (cut == 0), answer
