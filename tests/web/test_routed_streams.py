"""Streams that begin with an error, and streams of which two are asked for at once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from llm_gateway.core.routing.breaker import State
from llm_gateway.core.routing.settings import Hedging, Limits, ProviderSettings, Repeat, Retries, RoutingSettings
from llm_gateway.upstream.relay import COMMENTS_S
from tests.memory import Client, Sent
from tests.web.routed import (
    DONE,
    EVENT,
    MESSAGES,
    SSE,
    STEADY,
    Routed,
    chat,
    fails,
    key,
    messages,
    nothing_stays,
    record_of,
    streams,
    timers,
    works,
)

LOST = ResponseNeverReceived([Failure(ConnectionLost())])
CUT = ResponseFailed([Failure(ConnectionLost())])
BUSY = b'data: {"error":{"message":"Busy","type":"server_error","code":"server_error"}}\n\n'
SLOW_DOWN = b'data: {"error":{"message":"Slow down","type":"tokens","code":"rate_limit_exceeded"}}\n\n'
STOP = b'data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
CLAUDE_BUSY = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n'
CLAUDE_STARTS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
)
CLAUDE_SAYS_HI = (
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text",'
    b'"text":""}}\n\nevent: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":'
    b'"text_delta","text":"Hi"}}\n\nevent: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":'
    b'{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)
GEMINI_BUSY = b'data: {"error":{"code":503,"status":"UNAVAILABLE","message":"Busy"}}\r\n\r\n'
GEMINI_PATH = "/v1beta/models/m:streamGenerateContent?alt=sse"


@pytest.fixture(autouse=True)
def all_is_given_back() -> Iterator[None]:
    with nothing_stays():
        yield


# An error as the first event


@pytest.mark.parametrize(
    ("error", "next_one"),
    [
        (BUSY, "c"),
        (SLOW_DOWN, "b"),
        (b'event: error\ndata: {"type":"error","code":"server_error","message":"Busy"}\n\n', "c"),
        (b": one\n\n:\n\n" + BUSY, "c"),
        (b": there is no data yet\n\n" + SLOW_DOWN, "b"),
        (b'data: {"error":{"message":"Bad key","code":"invalid_api_key","type":"authentication_error"}}\n\n', "b"),
    ],
)
def test_stream_that_begins_with_an_error_is_sent_elsewhere(error: bytes, next_one: str) -> None:
    """Its status said 200; the client hears nothing of it."""
    gateway = Routed()
    client = gateway.stream()
    response = streams(gateway.last, error)
    assert response.transport.closed
    assert client.received == b""
    gateway.soon()
    assert gateway.asked == ["a", next_one]
    streams(gateway.last, EVENT, DONE).end()
    status, headers, body = client.answer()
    assert (status, body, headers["x-gw-attempts"]) == (200, EVENT + DONE, "2")
    record_of(gateway, attempts=2, ended="ok", bytes_out=len(EVENT + DONE))


@pytest.mark.parametrize("cut", range(1, len(b": c\n\n" + BUSY)))
def test_error_is_known_where_ever_it_is_cut(cut: int) -> None:
    """Nothing of it has gone out before."""
    gateway = Routed(key("vk", "c", "d"))
    client = gateway.stream()
    whole = b": c\n\n" + SLOW_DOWN
    streams(gateway.last, whole[:cut], whole[cut:])
    gateway.soon()
    assert gateway.asked == ["c", "d"]
    assert client.received == b""


def test_error_of_claude_in_a_stream_leads_a_claude_caller_elsewhere() -> None:
    """In its own dialect; and the answer from elsewhere is in the caller's."""
    gateway = Routed(key("vk", "e", "c"))
    client = gateway.call(messages(stream=True), path=MESSAGES)
    streams(gateway.last, CLAUDE_BUSY)
    gateway.soon()
    assert gateway.asked == ["e", "c"]
    streams(gateway.last, EVENT, STOP, DONE).end()
    status, headers, body = client.answer()
    assert (status, headers["x-gw-provider"]) == (200, "two")
    assert b"event: message_start" in body
    assert b'"text":"Hi"' in body
    assert b"error" not in body


def test_error_of_gemini_in_a_stream_leads_a_gemini_caller_elsewhere() -> None:
    """Also there."""
    gateway = Routed(key("vk", "f", "e"))
    client = gateway.call(b'{"contents":[{"role":"user","parts":[{"text":"Say hi"}]}]}', path=GEMINI_PATH)
    streams(gateway.last, GEMINI_BUSY)
    gateway.soon()
    assert gateway.asked == ["f", "e"]
    streams(gateway.last, CLAUDE_STARTS, CLAUDE_SAYS_HI).end()
    status, _, body = client.answer()
    assert status == 200
    assert b'"text":"Hi"' in body
    assert b"error" not in body


def test_last_error_event_is_the_clients() -> None:
    """As the provider sent it, with what came before it; the stream ends there."""
    gateway = Routed(key("vk", "a"), retries=Retries(attempts=1))
    client = gateway.stream()
    response = streams(gateway.last, b": hello\n\n", BUSY)
    status, headers, body = client.answer()
    assert (status, body, headers["content-type"]) == (200, b": hello\n\n" + BUSY, SSE)
    assert client.whole
    assert response.transport.closed
    record_of(gateway, ended="upstream_error", status=200, attempts=1, error=None)


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", chat(stream=True)), ("/v1/responses", b"")])
def test_last_error_event_of_another_dialect_is_an_answer_with_a_status(path: str, body: bytes) -> None:
    """Nothing has gone out, so the caller's SDK may get what it knows best."""
    gateway = Routed(key("vk", "e"), retries=Retries(attempts=1))
    body = body or json.dumps({"model": "m", "input": "Say hi", "stream": True}).encode()
    client = gateway.call(body, path=path)
    streams(gateway.last, CLAUDE_BUSY)
    status, headers, said = client.answer()
    assert status in (503, 529)
    assert json.loads(said)["error"]["message"] == "Busy"
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == ("claude", "1")
    record_of(gateway, ended="upstream_error", status=status, provider="claude")


def test_rate_limit_in_a_stream_says_when_to_come_back() -> None:
    """By its header, or in Google's body."""
    gateway = Routed(key("vk", "a"))
    gateway.stream()
    response = gateway.last.answer(content_type=SSE, retry_after="6")
    response.write(SLOW_DOWN)
    gateway.clock.advance(5.9)
    assert gateway.asked == ["a"]
    gateway.clock.advance(0.1)
    assert gateway.asked == ["a", "a"]


def test_later_error_is_part_of_the_answer() -> None:
    """What has begun goes on, byte for byte, and nothing is sent again."""
    gateway = Routed(retries=replace(STEADY, repeat=Repeat.ALL))
    client = gateway.stream()
    response = streams(gateway.last, EVENT, BUSY)
    response.end()
    gateway.clock.advance(60)
    assert client.answer()[2] == EVENT + BUSY
    assert gateway.asked == ["a"]


def test_error_behind_content_in_one_piece_is_part_of_the_answer() -> None:
    """Which event comes first counts, not how they come."""
    gateway = Routed()
    client = gateway.stream()
    streams(gateway.last, EVENT + BUSY).end()
    assert client.answer()[2] == EVENT + BUSY
    assert gateway.asked == ["a"]


def test_comments_do_not_keep_a_client_waiting_for_long() -> None:
    """Providers send them to keep the connection open, and between here and the client some may be needed too."""
    gateway = Routed()
    client = gateway.stream()
    response = streams(gateway.last, b": one\n\n")
    gateway.clock.advance(COMMENTS_S - 1)
    response.write(b": two\n\n")
    assert client.received == b""
    gateway.clock.advance(1)
    response.write(b": three\n\n")
    assert client.answer()[2] == b": one\n\n: two\n\n: three\n\n"
    response.write(BUSY)
    response.end()
    assert client.answer()[2].endswith(BUSY)
    assert gateway.asked == ["a"]


@pytest.mark.parametrize("pieces", [(), (b": one\n\n", b": two\n\n"), (BUSY[:-1],)], ids=["none", "comments", "half"])
def test_stream_that_ends_without_an_event_is_sent_elsewhere(pieces: tuple[bytes, ...]) -> None:
    """Its status said 200, and nothing was answered. What breaks off in the middle of an error is one, too."""
    gateway = Routed()
    client = gateway.stream()
    streams(gateway.last, *pieces).end()
    assert client.received == b""
    gateway.soon()
    streams(gateway.last, EVENT, DONE).end()
    assert len(gateway.asked) == 2
    assert (client.answer()[0], client.answer()[2]) == (200, EVENT + DONE)


def test_last_stream_without_an_event_is_the_clients() -> None:
    """As the provider sent it."""
    gateway = Routed(key("vk", "a"), retries=Retries(attempts=1))
    client = gateway.stream()
    streams(gateway.last, b": one\n\n").end()
    assert (client.answer()[0], client.answer()[2]) == (200, b": one\n\n")
    assert client.whole
    record_of(gateway, ended="upstream_error", status=200, attempts=1, error=None)


def test_only_event_of_a_stream_need_not_be_followed_by_a_blank_line() -> None:
    gateway = Routed()
    client = gateway.stream()
    streams(gateway.last, EVENT.rstrip()).end()
    assert (client.answer()[0], client.answer()[2]) == (200, EVENT.rstrip())
    assert len(gateway.asked) == 1


def test_error_event_that_is_never_completed_is_no_answer() -> None:
    """The connection broke off within it: the provider may have acted, and the client is told."""
    gateway = Routed()
    client = gateway.stream()
    response = streams(gateway.last, BUSY[:-1])
    response.end(CUT)
    assert client.answer()[0] == 502


def test_client_that_leaves_at_the_comments_hangs_up() -> None:
    """Nothing had begun for it."""
    gateway = Routed()
    client = gateway.stream()
    response = streams(gateway.last, b": one\n\n")
    client.leave()
    assert response.transport.closed
    record_of(gateway, ended="client_gone", status=None, attempts=1)


# Two at once

HEDGED = RoutingSettings(hedging=Hedging(after_s=2.0, share=1.0))
TWO = key("vk", "a", "c")


def hedged(*, routing: RoutingSettings = HEDGED, retries: Retries = STEADY) -> tuple[Routed, Client, Sent, Sent]:
    """A call that is with two providers."""
    gateway = Routed(TWO, routing=routing, retries=retries)
    client = gateway.stream()
    gateway.clock.advance(1.9)
    assert gateway.asked == ["a"]
    gateway.clock.advance(0.1)
    assert gateway.asked == ["a", "c"]
    assert gateway.in_use == 2
    first, second = gateway.agent.sent
    return gateway, client, first, second


def test_late_first_token_has_a_second_provider_asked() -> None:
    """The first content wins; the other connection is closed at once."""
    gateway, client, first, second = hedged()
    response = streams(second, EVENT)
    assert first.cancelled
    assert gateway.in_use == 1
    response.write(DONE)
    response.end()
    status, headers, body = client.answer()
    assert (status, body) == (200, EVENT + DONE)
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == ("two", "2")
    record_of(gateway, provider="two", credential="c", attempts=2, ended="ok")


def test_first_provider_may_still_win() -> None:
    """And then the answer is said to be its own."""
    gateway, client, first, second = hedged()
    slow = second.answer(content_type=SSE)
    streams(first, EVENT, DONE).end()
    assert slow.transport.closed
    _, headers, body = client.answer()
    assert (body, headers["x-gw-provider"], headers["x-gw-attempts"]) == (EVENT + DONE, "one", "2")
    record_of(gateway, provider="one", credential="a", attempts=2, ended="ok")


@pytest.mark.parametrize("piece", [b"", b": hold on\n\n", EVENT[:30]])
def test_status_and_comments_win_nothing(piece: bytes) -> None:
    """Nobody can read them."""
    _, client, first, second = hedged()
    opened = streams(first, piece)
    assert not opened.transport.closed
    streams(second, EVENT, DONE).end()
    assert opened.transport.closed
    assert client.answer()[2] == EVENT + DONE


def test_error_loses_the_race_and_the_other_goes_on() -> None:
    """Whether it comes as a status, as an event or as no answer at all."""
    for which, how in ((0, "status"), (1, "status"), (0, "event"), (1, "event"), (0, "gone"), (1, "gone")):
        gateway, client, *both = hedged()
        loser, winner = both[which], both[1 - which]
        if how == "status":
            fails(loser, 503)
        elif how == "event":
            streams(loser, BUSY)
        else:
            loser.fail(LOST)
        gateway.clock.advance(60)
        assert len(gateway.agent.sent) == 2
        assert gateway.in_use == 1
        assert client.received == b""
        streams(winner, EVENT, DONE).end()
        provider = ("two", "one")[which]
        assert client.answer()[1]["x-gw-provider"] == provider
        record_of(gateway, provider=provider, attempts=2, ended="ok")


@pytest.mark.parametrize("last", [0, 1])
def test_when_both_fail_the_client_gets_what_the_later_one_said(last: int) -> None:
    """And is told whose it is, whichever was sent last."""
    gateway, client, *both = hedged(retries=replace(STEADY, attempts=2))
    fails(both[1 - last], 503, b"first to fail")
    assert client.received == b""
    fails(both[last], 529, b"last to fail")
    status, headers, body = client.answer()
    assert (status, body) == (529, b"last to fail")
    provider = ("one", "two")[last]
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == (provider, "2")
    record_of(gateway, provider=provider, credential="ac"[last], status=529, ended="upstream_error")


def test_raced_call_that_fails_goes_on_like_any_other() -> None:
    """A third place is asked when both have failed."""
    gateway = Routed(key("vk", "a", "c", "e"), routing=HEDGED)
    client = gateway.stream()
    gateway.clock.advance(2)
    first, second = gateway.agent.sent
    fails(first, 503)
    fails(second, 503)
    gateway.soon()
    assert gateway.asked == ["a", "c", "e"]
    streams(gateway.last, CLAUDE_STARTS, CLAUDE_SAYS_HI).end()
    _, headers, body = client.answer()
    assert b'"content":"Hi"' in body
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == ("claude", "3")


def test_what_each_dialect_lost_is_said_of_the_winner() -> None:
    """Of two that race, one may have got the call as it is and the other one less of it."""
    gateway = Routed(key("vk", "c", "e"), routing=HEDGED)
    client = gateway.call(chat(stream=True, store=True))
    gateway.clock.advance(2)
    assert gateway.asked == ["c", "e"]
    streams(gateway.agent.sent[0], EVENT, DONE).end()
    assert "x-gw-dropped" not in client.answer()[1]
    record_of(gateway, dropped=None, dialect="openai", provider="two", ended="ok")
    other = Routed(key("vk", "e", "c"), routing=HEDGED)
    client = other.call(chat(stream=True, store=True))
    other.clock.advance(2)
    response = streams(other.agent.sent[0], CLAUDE_STARTS, CLAUDE_BUSY)
    response.end()
    assert client.answer()[1]["x-gw-dropped"] == "store"
    record_of(other, dropped="store", dialect="anthropic", provider="claude", ended="upstream_error")


@pytest.mark.parametrize("status", [200, 500])
def test_client_that_leaves_hangs_up_on_both(status: int) -> None:
    """Nobody pays for tokens that nobody reads."""
    gateway, client, first, second = hedged()
    opened = second.answer(status, content_type=SSE)
    client.leave()
    assert first.cancelled
    assert opened.transport.closed
    assert gateway.in_use == 0
    record_of(gateway, ended="client_gone", attempts=2)


def test_end_of_the_drain_hangs_up_on_both() -> None:
    """And tells the client, once."""
    gateway, client, first, second = hedged()
    gateway.live.stop_all()
    assert first.cancelled
    assert second.cancelled
    assert client.answer()[0] == 503
    record_of(gateway, ended="drained")


def test_raced_stream_that_has_begun_ends_with_an_event_when_the_gateway_stops() -> None:
    """As any other."""
    gateway, client, _, second = hedged()
    streams(second, EVENT)
    gateway.live.stop_all()
    assert client.answer()[2].startswith(EVENT)
    assert b"gateway_draining" in client.answer()[2]
    assert client.whole
    record_of(gateway, ended="drained", provider="two")


def test_content_in_time_keeps_a_call_from_being_raced() -> None:
    """Nor does anything of that stay behind."""
    gateway = Routed(TWO, routing=HEDGED)
    gateway.stream()
    assert any(name.endswith("._hedge") for name in timers(gateway))
    response = streams(gateway.last, EVENT)
    assert not any(name.endswith("._hedge") for name in timers(gateway))
    gateway.clock.advance(60)
    assert gateway.asked == ["a"]
    response.end()


@pytest.mark.parametrize("how", ["no stream", "off", "one place", "no room", "only one attempt"])
def test_call_is_not_raced(how: str) -> None:
    """Only streams are, if the operator wants that, and where there is somebody else who has room."""
    limits = {"two": ProviderSettings(limits=Limits(in_flight=1))}
    routing = RoutingSettings() if how == "off" else replace(HEDGED, providers=limits if how == "no room" else {})
    keys = [key("vk", "a") if how == "one place" else TWO, key("vk_other", "c")]
    retries = replace(STEADY, attempts=1) if how == "only one attempt" else STEADY
    gateway = Routed(*keys, routing=routing, retries=retries)
    if how == "no room":
        gateway.call(presented="vk_other")
    sends = len(gateway.agent.sent)
    if how == "no stream":
        gateway.call()
    else:
        gateway.stream()
    gateway.clock.advance(60)
    assert len(gateway.agent.sent) == sends + 1


def test_no_more_calls_are_raced_than_the_operator_allows() -> None:
    """Each may be billed twice."""
    gateway = Routed(TWO, routing=RoutingSettings(hedging=Hedging(after_s=1.0, share=0.25, reserve=1)))
    asked = []
    for _ in range(9):
        before = len(gateway.agent.sent)
        gateway.stream()
        gateway.clock.advance(1)
        asked.append(len(gateway.agent.sent) - before)
        streams(gateway.last, EVENT, DONE).end()
    assert sum(asked) - 9 == 3
    assert asked[0] == 2


def test_gemini_callers_stream_is_raced_too() -> None:
    """It is the path that says so there."""
    gateway = Routed(key("vk", "f", "e"), routing=HEDGED)
    gateway.call(b'{"contents":[{"role":"user","parts":[{"text":"Say hi"}]}]}', path=GEMINI_PATH)
    gateway.clock.advance(2)
    assert gateway.asked == ["f", "e"]


def test_native_path_is_raced_too() -> None:
    """It is a chat like any other."""
    gateway = Routed(TWO, routing=HEDGED)
    gateway.call(chat(stream=True), path="/chat/completions")
    gateway.clock.advance(2)
    assert gateway.asked == ["a", "c"]


def test_second_place_that_cannot_be_asked_that_changes_nothing() -> None:
    """The first one still has the call, and what it says is said to be its own."""
    gateway = Routed(key("vk", "c", "e"), routing=HEDGED, retries=Retries(attempts=2))
    client = gateway.call(chat(stream=True, seed=3))
    gateway.clock.advance(60)
    assert gateway.asked == ["c"]
    assert gateway.in_use == 1
    fails(gateway.last, 503, b"busy")
    status, headers, body = client.answer()
    assert (status, body, headers["x-gw-provider"], headers["x-gw-attempts"]) == (503, b"busy", "two", "1")
    record_of(gateway, provider="two", credential="c", attempts=1, dialect="openai")


def test_loser_is_held_against_nobody() -> None:
    """It may have been a moment from answering."""
    gateway, _, _, second = hedged()
    streams(second, EVENT, DONE).end()
    assert all(part.state is State.CLOSED and not part.failed for part in gateway.dispatcher.router.health.report(0.0))


def test_wait_before_a_retry_ends_a_race() -> None:
    """While nobody is asked there is nothing to race with."""
    gateway = Routed(TWO, routing=HEDGED, retries=replace(STEADY, first_wait_s=8, longest_wait_s=8, patience_s=20))
    client = gateway.stream()
    fails(gateway.last, 503)
    gateway.soon()
    fails(gateway.last, 503)
    gateway.clock.advance(5)
    assert gateway.asked == ["a", "c"]
    gateway.clock.advance(3)
    assert gateway.asked == ["a", "c", "a"]
    works(gateway.last)
    assert client.answer()[0] == 200
