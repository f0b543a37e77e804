"""A call from the client's request to the provider's answer, over memory transports."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest
from msgspec.structs import replace
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss

from llm_gateway.core.clocks import Timeouts
from tests.memory import REAL_KEY, USUAL, MemoryGateway, configuration, provider, virtual_key

EVENT = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
SSE = "text/event-stream; charset=utf-8"


@pytest.fixture
def gateway() -> Iterator[MemoryGateway]:
    gateway = MemoryGateway()
    yield gateway
    gateway.close()


def test_body_and_answer_pass_untouched(gateway: MemoryGateway) -> None:
    """What you send is what the provider gets, and its answer is what you get, odd spacing included."""
    client = gateway.client()
    body = b'{ "model" : "gpt" ,\n "unknown_field":[1,2 ],"messages":[]}'
    client.chat(body)
    assert gateway.sent.body == body
    assert gateway.sent.url == b"https://api.openai.test/v1/chat/completions"
    response = gateway.sent.answer(length=11)
    response.write(b'{"a" :')
    response.write(b" 1 }\n")
    response.end()
    status, headers, received = client.answer()
    assert (status, received, client.whole) == (200, b'{"a" : 1 }\n', True)
    assert headers["content-length"] == "11"
    assert headers["x-gw-request-id"] == gateway.record.request_id


def test_real_key_goes_out_and_virtual_key_stays(gateway: MemoryGateway) -> None:
    """The provider sees its own key and none of the places where yours was."""
    client = gateway.client()
    client.ask(
        "POST", "/v1/chat/completions", b"{}", authorization="Bearer vk_openai", x_api_key="vk_openai", cookie="a=b"
    )
    sent = gateway.sent
    assert sent.header("authorization") == f"Bearer {REAL_KEY}"
    assert "vk_openai" not in str(sent.headers)
    assert sent.header("cookie") is None
    assert sent.header("host") is None


@pytest.mark.parametrize(
    ("asked", "key", "reached"),
    [
        ("/completions/chat", "vk_openai", "https://api.openai.test/v1/chat/completions"),
        ("/chat/completions", "vk_anthropic", "https://api.anthropic.test/v1/messages"),
        ("/chat/completions?beta=1", "vk_openai", "https://api.openai.test/v1/chat/completions?beta=1"),
        ("/v1/files/a%2Fb/content?x=%20", "vk_openai", "https://api.openai.test/v1/files/a%2Fb/content?x=%20"),
        ("/responses", "vk_openai", "https://api.openai.test/v1/responses"),
        ("/responses/r_1/cancel", "vk_openai", "https://api.openai.test/v1/responses/r_1/cancel"),
        ("/embeddings", "vk_openai", "https://api.openai.test/v1/embeddings"),
        ("/messages", "vk_anthropic", "https://api.anthropic.test/v1/messages"),
        ("/v1/messages?beta=true", "vk_anthropic", "https://api.anthropic.test/v1/messages?beta=true"),
        ("/v1/messages/count_tokens", "vk_anthropic", "https://api.anthropic.test/v1/messages/count_tokens"),
        ("/v1beta/models/g:generateContent", "vk_gemini", "https://gemini.test/v1beta/models/g:generateContent"),
        ("/v1/models/g:generateContent", "vk_gemini", "https://gemini.test/v1beta/models/g:generateContent"),
        ("/p/openai/images/edits", "vk_openai", "https://api.openai.test/v1/images/edits"),
        ("/p/openai/v1/images", "vk_openai", "https://api.openai.test/v1/images"),
        ("/p/anthropic/v1/messages", "vk_anthropic", "https://api.anthropic.test/v1/messages"),
    ],
)
def test_path_leads_to_the_providers_own(gateway: MemoryGateway, asked: str, key: str, reached: str) -> None:
    """Every way of writing a path reaches the same place at the provider, byte for byte below its base URL."""
    gateway.client().ask("POST", asked, b"{}", authorization=f"Bearer {key}")
    assert gateway.sent.url == reached.encode()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_any_method_is_relayed(gateway: MemoryGateway, method: str) -> None:
    """Not only POST: whatever the provider takes."""
    gateway.client().ask(method, "/v1/files/f_1", authorization="Bearer vk_openai")
    assert gateway.sent.method == method.encode()
    assert gateway.sent.body == b""


def test_models_speak_the_dialect_of_the_one_who_asks(gateway: MemoryGateway) -> None:
    """``anthropic-version`` makes ``/v1/models`` Anthropic's, for keys of Anthropic."""
    gateway.client().ask("GET", "/v1/models", x_api_key="vk_anthropic", anthropic_version="2026-10-21")
    assert gateway.sent.url == b"https://api.anthropic.test/v1/models"
    assert gateway.sent.header("anthropic-version") == "2026-10-21"
    assert gateway.sent.header("x-api-key") == "sk-ant-real-canary-987"
    assert gateway.sent.header("authorization") is None


def test_anthropic_version_is_added_where_the_client_sent_none(gateway: MemoryGateway) -> None:
    """A curl without the version header works."""
    gateway.client().ask("POST", "/v1/messages", b"{}", x_api_key="vk_anthropic")
    assert gateway.sent.header("anthropic-version") == "2023-06-01"


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "audio/wav", ""])
def test_any_body_passes(gateway: MemoryGateway, content_type: str) -> None:
    """Uploads and binary data as they are."""
    body = b"--x\r\n\x00\xff\r\n--x--"
    gateway.client().ask(
        "POST", "/v1/audio/transcriptions", body, authorization="Bearer vk_openai", content_type=content_type
    )
    assert gateway.sent.body == body
    assert (gateway.sent.header("content-type") or "") == content_type


def test_chunked_upload_arrives_whole(gateway: MemoryGateway) -> None:
    """SDKs upload with chunked transfer."""
    client = gateway.client()
    client.send(b"POST /v1/files HTTP/1.1\r\nhost: g\r\nauthorization: Bearer vk_openai\r\n")
    client.send(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    assert gateway.sent.body == b"abcdefg"
    assert gateway.sent.header("transfer-encoding") is None


def test_stream_passes_event_by_event(gateway: MemoryGateway) -> None:
    """Each event is there as soon as it is whole, with the headers that keep proxies from holding it up."""
    client = gateway.client()
    client.chat(b'{"model":"gpt","stream":true}')
    response = gateway.sent.answer(content_type=SSE, cache_control="max-age=9")
    assert client.received == b""
    response.write(EVENT)
    status, headers, body = client.answer()
    assert (status, body) == (200, EVENT)
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    response.write(EVENT[:9])
    assert client.answer()[2] == EVENT
    response.write(EVENT[9:] + b"data: [DONE]\n\n")
    response.end()
    assert client.answer()[2] == EVENT * 2 + b"data: [DONE]\n\n"
    assert client.whole


def test_break_inside_an_event_becomes_one_error_event(gateway: MemoryGateway) -> None:
    """A stream that breaks off ends with an error your SDK raises, never with half an event or in silence."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(content_type=SSE)
    response.write(EVENT + EVENT[:20])
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    body = client.answer()[2]
    assert body.startswith(EVENT + b"data: ")
    assert json.loads(body[len(EVENT) + 6 :])["error"]["code"] == "upstream_disconnected"
    assert client.whole
    assert (gateway.record.ended, gateway.record.error) == ("upstream_error", "upstream_disconnected")


def test_anthropic_stream_breaks_with_an_anthropic_event(gateway: MemoryGateway) -> None:
    """On the native path too: the error event speaks what the stream speaks."""
    client = gateway.client()
    client.ask("POST", "/chat/completions", b"{}", authorization="Bearer vk_anthropic")
    response = gateway.sent.answer(content_type=SSE)
    response.write(b"event: ping\ndata: {}\n\n")
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    assert b'\n\nevent: error\ndata: {"type":"error"' in client.answer()[2]


def test_broken_document_is_cut_not_completed(gateway: MemoryGateway) -> None:
    """An answer that is no stream has no room for an error: the connection closes short of the promised length."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(length=100)
    response.write(b'{"half":')
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    assert client.answer()[2] == b'{"half":'
    assert client.closed
    assert not client.whole


@pytest.mark.parametrize(
    ("content_type", "body", "whole"),
    [
        ("application/json", b'{"a":1}\n', True),
        ("application/json", b'{"a":', False),
        ("audio/mpeg", b"\x00\x01", True),
        (SSE, EVENT + b"data: [DONE]\n\n", True),
        (SSE, EVENT, False),
    ],
)
def test_end_that_only_the_connection_marks(
    gateway: MemoryGateway, content_type: str, body: bytes, whole: bool
) -> None:
    """Where HTTP does not tell a whole answer from a cut one, its content does."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(content_type=content_type)
    response.write(body)
    response.end(PotentialDataLoss())
    assert gateway.record.ended == ("ok" if whole else "upstream_error")
    assert client.answer()[2].startswith(body)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConnectionRefusedError(), 502, "upstream_unreachable"),
        (DNSLookupError(), 502, "upstream_unreachable"),
        (TimeoutError(), 504, "upstream_timeout"),
        (ResponseNeverReceived([Failure(ConnectionLost())]), 502, "upstream_disconnected"),
        (RuntimeError("our own fault"), 500, "internal_error"),
    ],
)
def test_failure_before_the_first_byte(
    gateway: MemoryGateway, caplog: pytest.LogCaptureFixture, error: Exception, status: int, code: str
) -> None:
    """A provider that cannot answer becomes a status your SDK knows, in your dialect."""
    client = gateway.client()
    client.chat()
    gateway.sent.fail(error)
    got, headers, body = client.answer()
    assert got == status
    assert json.loads(body)["error"]["code"] == code
    assert headers["x-gw-error"] == code
    assert "our own" not in body.decode()
    assert len(gateway.live) == 0


@pytest.mark.parametrize("status", [0, 99, 600, 1000])
def test_status_that_http_does_not_have_is_a_502(gateway: MemoryGateway, status: int) -> None:
    """Nothing that no client could make sense of is passed on."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(status)
    assert (client.answer()[0], client.answer()[1]["x-gw-error"]) == (502, "upstream_malformed")
    assert response.transport.closed


def test_headers_without_a_body_byte_can_still_fail_cleanly(gateway: MemoryGateway) -> None:
    """A 200 whose stream breaks before its first event is a 502, not an empty success."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(content_type=SSE)
    response.write(EVENT[:10])
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    assert client.answer()[0] == 502


@pytest.mark.parametrize("when", ["before the headers", "before the body", "in the body"])
def test_client_leaving_hangs_up_provider(gateway: MemoryGateway, when: str) -> None:
    """Nobody pays for tokens that nobody reads."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(content_type=SSE) if when != "before the headers" else None
    if response is not None and when == "in the body":
        response.write(EVENT)
    client.leave()
    assert gateway.sent.cancelled if response is None else response.transport.closed
    assert gateway.record.ended == "client_gone"
    assert len(gateway.live) == 0
    assert gateway.timers() == 0


def test_slow_reader_pauses_provider(gateway: MemoryGateway) -> None:
    """A slow client slows the provider; nothing piles up between them."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(content_type=SSE)
    response.write(EVENT)
    client.stall()
    assert response.transport.paused
    client.read_on()
    assert not response.transport.paused
    response.write(EVENT)
    response.end()
    assert client.whole


SHORT = Timeouts(connect_s=1, first_byte_s=5, idle_s=3, total_s=60)


@pytest.fixture
def hurried() -> Iterator[MemoryGateway]:
    gateway = MemoryGateway(
        configuration(
            [virtual_key("vk_openai", "openai")],
            [provider("openai", "https://api.openai.test/v1/chat/completions", timeouts=SHORT)],
        )
    )
    yield gateway
    gateway.close()


def test_silent_provider_becomes_504(hurried: MemoryGateway) -> None:
    """The first-byte clock runs until a byte of the body comes, headers or not."""
    client = hurried.client()
    client.chat()
    hurried.sent.answer(content_type=SSE)
    hurried.clock.advance(4)
    assert client.received == b""
    hurried.clock.advance(1)
    status, _, body = client.answer()
    assert status == 504
    assert "first byte timeout" in json.loads(body)["error"]["message"]
    assert hurried.record.ended == "timeout"


def test_stalled_stream_ends_with_an_error_event(hurried: MemoryGateway) -> None:
    """The idle clock starts anew with every piece."""
    client = hurried.client()
    client.chat()
    response = hurried.sent.answer(content_type=SSE)
    for _ in range(3):
        response.write(EVENT)
        hurried.clock.advance(2)
    assert client.answer()[2] == EVENT * 3
    hurried.clock.advance(1)
    assert b"idle timeout" in client.answer()[2]
    assert client.whole
    assert response.transport.closed
    assert hurried.record.ended == "timeout"


def test_endless_stream_meets_the_total_clock(hurried: MemoryGateway) -> None:
    """However steadily it goes on."""
    client = hurried.client()
    client.chat()
    response = hurried.sent.answer(content_type=SSE)
    for _ in range(60):
        response.write(EVENT)
        hurried.clock.advance(1)
    assert b"total timeout" in client.answer()[2]


def test_client_that_stops_reading_is_not_the_providers_fault(hurried: MemoryGateway) -> None:
    """A reader that stands still for the idle time is let go, and the provider with it."""
    client = hurried.client()
    client.chat()
    response = hurried.sent.answer(content_type=SSE)
    response.write(EVENT)
    client.stall()
    hurried.clock.advance(3)
    assert hurried.record.ended == "client_stalled"
    assert response.transport.closed
    assert client.transport.aborted


def test_provider_gets_its_idle_time_anew_when_the_client_reads_on(hurried: MemoryGateway) -> None:
    """Time that the client stood still is not held against the provider."""
    client = hurried.client()
    client.chat()
    response = hurried.sent.answer(content_type=SSE)
    response.write(EVENT)
    client.stall()
    hurried.clock.advance(2.5)
    client.read_on()
    hurried.clock.advance(2.5)
    response.write(EVENT)
    assert client.answer()[2] == EVENT * 2


def test_no_timer_outlives_its_call(hurried: MemoryGateway) -> None:
    """An hour-long clock is not kept for a call of a second."""
    client = hurried.client()
    client.chat()
    response = hurried.sent.answer()
    response.write(b"{}")
    response.end()
    client.leave()
    assert hurried.timers() == 0


def test_call_keeps_what_it_began_with(gateway: MemoryGateway) -> None:
    """A reload in the middle of a call changes nothing for it, and everything for the next."""
    client = gateway.client()
    client.chat()
    gateway.use(replace(USUAL, keys={}))
    response = gateway.sent.answer()
    response.write(b"{}")
    response.end()
    assert client.answer()[0] == 200
    late = gateway.client()
    late.chat()
    assert late.answer()[0] == 401


def test_provider_that_repeats_the_key_is_masked(gateway: MemoryGateway) -> None:
    """The real key does not reach a client, in a header or a body, also where it comes in two pieces."""
    client = gateway.client()
    client.chat()
    text = f'{{"error":{{"message":"Incorrect API key: {REAL_KEY}"}}}}'.encode()
    response = gateway.sent.answer(401, length=len(text), x_debug=f"Bearer {REAL_KEY}")
    response.write(text[:50])
    response.write(text[50:])
    response.end()
    _, headers, body = client.answer()
    assert REAL_KEY.encode() not in client.received
    assert "x-debug" not in headers
    assert body == text.replace(REAL_KEY.encode(), b"*" * len(REAL_KEY))


@pytest.mark.parametrize("coding", ["none", "utf-8", "identity", " "])
def test_coding_that_is_none_hides_nothing(gateway: MemoryGateway, coding: str) -> None:
    """Such a stream is masked and ended as any other."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(content_type=SSE, content_encoding=coding)
    response.write(b"data: " + REAL_KEY.encode() + b"\n\nhalf")
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    assert REAL_KEY.encode() not in client.received
    assert b"upstream_disconnected" in client.answer()[2]


def test_access_log_has_the_facts(gateway: MemoryGateway) -> None:
    """Who asked what of whom, how much of it, and how it ended."""
    client = gateway.client()
    client.ask(
        "POST", "/v1/chat/completions?x=1", b'{"model":"gpt"}', authorization="Bearer vk_openai", x_request_id="mine"
    )
    gateway.clock.advance(2)
    response = gateway.sent.answer()
    response.write(b"{}")
    gateway.clock.advance(1)
    response.end()
    record = gateway.record
    assert msgspec.structs.asdict(record) | {"time": "", "request_id": ""} == {
        "request_id": "",
        "method": "POST",
        "path": "/v1/chat/completions",
        "time": "",
        "client_request_id": "mine",
        "key": "Ann",
        "provider": "openai",
        "credential": "real:9de2da9e",
        "attempts": 1,
        "model": "gpt",
        "dialect": "openai",
        "status": 200,
        "bytes_in": 15,
        "bytes_out": 2,
        "dropped": None,
        "first_byte_s": 2.0,
        "duration_s": 3.0,
        "ended": "ok",
        "error": None,
    }


def test_providers_own_error_passes_unchanged(gateway: MemoryGateway) -> None:
    """Status, body and retry-after as the provider sent them."""
    client = gateway.client()
    client.chat()
    response = gateway.sent.answer(
        529, retry_after="7", x_request_id="req_1", set_cookie="s=1", openai_organization="o"
    )
    response.write(b'{"error":"odd"}')
    response.end()
    status, headers, body = client.answer()
    assert (status, body, headers["retry-after"], headers["x-request-id"]) == (529, b'{"error":"odd"}', "7", "req_1")
    assert not {"set-cookie", "openai-organization", "x-gw-error", "server"} & set(headers)
    assert gateway.record.ended == "upstream_error"


def test_end_of_the_drain_ends_streams_with_an_event(gateway: MemoryGateway) -> None:
    """A stream that outlives the drain is told so; one that has not begun gets a 503."""
    streaming, waiting = gateway.client(), gateway.client()
    streaming.chat()
    gateway.agent.sent[0].answer(content_type=SSE).write(EVENT)
    waiting.chat()
    gateway.live.draining = True
    drained = gateway.live.drained()
    gateway.live.stop_all()
    assert drained.called
    assert b'"code":"gateway_draining"' in streaming.answer()[2]
    assert streaming.whole
    assert waiting.answer()[0] == 503
    assert [record.ended for record in gateway.records.written] == ["drained", "drained"]
    late = gateway.client()
    late.chat()
    assert (late.answer()[0], late.answer()[1]["retry-after"]) == (503, "5")
