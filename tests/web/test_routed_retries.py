"""What becomes of a call that a provider does not answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.routing.settings import ModelSettings, ProviderSettings, Repeat, Retries, RoutingSettings, Target
from llm_gateway.core.translation.losses import OnUnsupported
from tests.web.routed import (
    BODY,
    DONE,
    EVENT,
    MESSAGES,
    PROVIDERS,
    STEADY,
    Routed,
    chat,
    evolved,
    fails,
    key,
    messages,
    nothing_stays,
    real_key,
    record_of,
    streams,
    works,
)

REFUSED = ConnectionRefusedError()
LOST = ResponseNeverReceived([Failure(ConnectionLost())])
CUT = ResponseFailed([Failure(ConnectionLost())])
ONE_PLACE = key("vk", "a")
ONCE_EACH = replace(STEADY, again=0)


@pytest.fixture(autouse=True)
def all_is_given_back() -> Iterator[None]:
    with nothing_stays():
        yield


# Whom it goes to next


@pytest.mark.parametrize(
    ("status", "body", "next_one"),
    [
        (503, b"{}", "c"),
        (529, b"{}", "c"),
        (500, b"{}", "c"),
        (501, b"{}", "c"),
        (408, b"{}", "c"),
        (409, b"{}", "c"),
        (425, b"{}", "c"),
        (413, b'{"error":{"code":"context_length_exceeded","message":"This is too long"}}', "c"),
        (400, b'{"error":{"code":"context_length_exceeded","message":"This is too long"}}', "c"),
        (429, b"{}", "b"),
        (401, b"{}", "b"),
        (402, b"{}", "b"),
        (403, b"{}", "b"),
        (429, b'{"error":{"code":"insufficient_quota","message":"Pay"}}', "b"),
    ],
)
def test_failed_call_goes_where_the_failure_does_not_count(status: int, body: bytes, next_one: str) -> None:
    """A refused key costs nobody a provider; an overload takes the provider's other keys out of the call too."""
    gateway = Routed()
    client = gateway.call()
    fails(gateway.last, status, body)
    assert client.received == b""
    gateway.soon()
    assert gateway.asked == ["a", next_one]
    works(gateway.last)
    status, headers, body = client.answer()
    assert (status, body) == (200, b'{"id":"1"}')
    provider = {"b": "one", "c": "two"}[next_one]
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == (provider, "2")
    assert [each.body for each in gateway.agent.sent] == [BODY, BODY]
    record_of(gateway, provider=provider, credential=next_one, attempts=2, status=200, ended="ok", error=None)


@pytest.mark.parametrize("error", [REFUSED, DNSLookupError(), TimeoutError()])
def test_provider_that_cannot_be_reached_is_passed_over(error: Exception) -> None:
    """None of its keys is tried; the next provider is asked at once."""
    gateway = Routed()
    client = gateway.call()
    gateway.last.fail(error)
    gateway.soon()
    assert gateway.asked == ["a", "c"]
    works(gateway.last)
    assert client.answer()[0] == 200


@pytest.mark.parametrize("status", [400, 404, 405, 418, 422])
def test_callers_own_mistake_is_sent_once(status: int) -> None:
    """It would be the same mistake elsewhere."""
    gateway = Routed()
    client = gateway.call()
    fails(gateway.last, status, b'{"odd":1}', x_request_id="req_1")
    gateway.clock.advance(60)
    assert gateway.asked == ["a"]
    got, headers, body = client.answer()
    assert (got, body, headers["x-request-id"]) == (status, b'{"odd":1}', "req_1")
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == ("one", "1")
    record_of(gateway, ended="ok", status=status, attempts=1)


def test_only_place_is_asked_again_after_a_wait() -> None:
    """Where there is nowhere else to go."""
    gateway = Routed(ONE_PLACE)
    client = gateway.call()
    fails(gateway.last, 503)
    gateway.clock.advance(0.49)
    assert gateway.asked == ["a"]
    assert (gateway.in_use, len(gateway.live)) == (0, 1)
    gateway.clock.advance(0.01)
    assert gateway.asked == ["a", "a"]
    works(gateway.last)
    assert client.answer()[1]["x-gw-attempts"] == "2"
    record_of(gateway, attempts=2, ended="ok", first_byte_s=0.5)


def test_waits_are_by_chance_unless_the_operator_says_otherwise() -> None:
    """So that calls that failed together do not come back together."""
    gateway = Routed(ONE_PLACE, retries=Retries())
    gateway.call()
    fails(gateway.last, 503)
    gateway.clock.advance(0.25)
    assert gateway.asked == ["a", "a"]


def test_wait_doubles_each_time_up_to_the_longest() -> None:
    """And the call is given up when one candidate has been asked as often as it may be."""
    retries = Retries(spread=False, attempts=20, again=4, first_wait_s=1, longest_wait_s=3, retry_after_cap_s=20)
    gateway = Routed(ONE_PLACE, retries=retries)
    client = gateway.call()
    for wait_s in (1, 2, 3, 3):
        before = len(gateway.agent.sent)
        fails(gateway.last, 409)
        gateway.clock.advance(wait_s - 0.01)
        assert len(gateway.agent.sent) == before
        gateway.clock.advance(0.01)
        assert len(gateway.agent.sent) == before + 1
    fails(gateway.last, 409)
    assert client.answer()[0] == 409
    record_of(gateway, attempts=5)


def test_call_is_sent_no_more_often_than_allowed() -> None:
    """All sends count, wherever they go."""
    gateway = Routed(key("vk", "a", "b", "c", "d"), retries=replace(STEADY, attempts=2))
    client = gateway.call()
    fails(gateway.last, 429, b"first")
    gateway.soon()
    fails(gateway.last, 429, b"second")
    assert client.answer()[2] == b"second"
    assert gateway.asked == ["a", "b"]


def test_nothing_is_sent_after_the_deadline() -> None:
    """The call began too long ago for a client that still waits."""
    gateway = Routed(retries=replace(STEADY, deadline_s=10))
    client = gateway.call()
    gateway.clock.advance(10)
    fails(gateway.last, 503)
    assert client.answer()[0] == 503
    assert gateway.asked == ["a"]


def test_share_of_retries_bounds_what_a_sick_provider_gets() -> None:
    """Its calls are not multiplied when all of them fail."""
    routing = RoutingSettings(providers={"one": ProviderSettings(retry_share=0.5, retry_reserve=1)})
    gateway = Routed(ONE_PLACE, routing=routing)
    for _ in range(4):
        gateway.call()
        fails(gateway.last, 409)
        gateway.clock.advance(1)
        if not gateway.agent.sent[-1].answered.called:
            works(gateway.last)
    # One from the reserve, and one for each two of the calls that followed.
    assert [record.attempts for record in gateway.records.written] == [2, 1, 2, 1]


# Which answer the client gets


def test_last_providers_answer_is_the_clients_when_all_fail() -> None:
    """Status, headers and body as it sent them, and it is said whose they are."""
    gateway = Routed(retries=ONCE_EACH)
    client = gateway.call()
    fails(gateway.last, 503, b"first", retry_after="1")
    gateway.soon()
    fails(gateway.last, 529, b"second", retry_after="99", x_request_id="req_2", x_should_retry="true")
    status, headers, body = client.answer()
    assert (status, body, headers["retry-after"], headers["x-request-id"]) == (529, b"second", "99", "req_2")
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == ("two", "2")
    assert "x-gw-error" not in headers
    assert client.whole
    record_of(gateway, provider="two", credential="c", attempts=2, status=529, ended="upstream_error", error=None)


def test_last_failure_without_an_answer_is_the_gateways_own() -> None:
    """Also where an earlier provider had one: it is not the one that the call ended with."""
    gateway = Routed()
    client = gateway.call()
    fails(gateway.last, 503, b"first", retry_after="1")
    gateway.soon()
    gateway.last.fail(LOST)
    status, headers, body = client.answer()
    assert (status, headers["x-gw-error"]) == (502, "upstream_disconnected")
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == ("two", "2")
    assert "'two'" in json.loads(body)["error"]["message"]
    assert "retry-after" not in headers
    record_of(gateway, provider="two", attempts=2, status=502, ended="upstream_error", error="upstream_disconnected")


def test_callers_mistake_at_the_second_place_is_what_he_gets() -> None:
    """It says what to mend; the first provider's overload does not."""
    gateway = Routed()
    client = gateway.call()
    fails(gateway.last, 503)
    gateway.soon()
    fails(gateway.last, 400, b"mend this")
    assert (client.answer()[0], client.answer()[2]) == (400, b"mend this")
    assert gateway.asked == ["a", "c"]


def test_key_that_a_provider_repeats_in_a_held_error_is_masked() -> None:
    """Each attempt's own: also in an answer that is passed on later."""
    gateway = Routed(key("vk", "a", "c"))
    client = gateway.call()
    fails(gateway.last, 401, f"Bad key {real_key('a')}".encode())
    gateway.soon()
    fails(gateway.last, 401, f"Bad key {real_key('c')}".encode(), x_debug=real_key("c"))
    assert client.answer()[2] == b"Bad key " + b"*" * len(real_key("c"))
    assert b"real-canary" not in client.received


def test_error_longer_than_what_is_held_goes_to_the_client() -> None:
    """Holding more of it would cost memory for no use; what has begun is not sent again."""
    gateway = Routed()
    client = gateway.call()
    response = gateway.last.answer(503)
    for _ in range(16):
        response.write(b"x" * 65_536)
        assert client.received == b""
    response.write(b"y")
    response.end()
    status, headers, body = client.answer()
    assert (status, len(body), body[-1:], headers["x-gw-provider"]) == (503, 1_048_577, b"y", "one")
    assert gateway.asked == ["a"]


# What a provider says of the time


@pytest.mark.parametrize(
    ("headers", "body", "wait_s"),
    [
        ({"retry_after": "3"}, b"{}", 3.0),
        ({"retry_after": "2.5"}, b"{}", 2.5),
        ({"retry_after": "Sun, 09 Sep 2001 01:46:44 GMT"}, b"{}", 4.0),
        ({"retry_after": "Sun, 09 Sep 2001 01:46:10 GMT"}, b"{}", 0.5),
        ({"retry_after_ms": "1250"}, b"{}", 1.25),
        ({"retry_after_ms": "1250", "retry_after": "7"}, b"{}", 1.25),
        ({"retry_after": "soon"}, b"{}", 1.0),
        ({}, b"{}", 1.0),
    ],
)
def test_rate_limit_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], body: bytes, wait_s: float
) -> None:
    """As the provider said it: seconds, a date, milliseconds; for a second where it said nothing."""
    monkeypatch.setattr("llm_gateway.upstream.dispatch.time", SimpleNamespace(time=lambda: 1_000_000_000.0))
    gateway = Routed(ONE_PLACE)
    client = gateway.call()
    fails(gateway.last, 429, body, **headers)
    gateway.clock.advance(wait_s - 0.01)
    assert gateway.asked == ["a"]
    gateway.clock.advance(0.01)
    assert gateway.asked == ["a", "a"]
    works(gateway.last)
    assert client.answer()[0] == 200


def test_google_says_in_the_body_how_long_to_wait() -> None:
    """It has no header for it."""
    gateway = Routed(key("vk", "f"))
    path = "/v1beta/models/g:generateContent"
    client = gateway.call(b'{"contents":[]}', path=path)
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "6s"}
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down", "details": [retry]}
    fails(gateway.last, 429, json.dumps({"error": error}).encode())
    gateway.clock.advance(5.9)
    assert gateway.asked == ["f"]
    gateway.clock.advance(0.1)
    works(gateway.last)
    assert (client.answer()[0], gateway.asked) == (200, ["f", "f"])


def test_longer_wait_than_allowed_is_the_clients() -> None:
    """The provider's answer goes to it at once, with its ``retry-after``."""
    gateway = Routed(ONE_PLACE)
    client = gateway.call()
    fails(gateway.last, 429, b"later", retry_after="21")
    assert (client.answer()[0], client.answer()[1]["retry-after"]) == (429, "21")
    record_of(gateway, attempts=1, ended="ok", status=429)


def test_next_call_is_told_of_a_limit_without_asking() -> None:
    """Nobody is asked while the only credential cools, but for one call now and then: the limit may have been
    another call's."""
    gateway = Routed(ONE_PLACE)
    gateway.call()
    fails(gateway.last, 429, retry_after="30")
    second = gateway.call()
    status, headers, body = second.answer()
    assert (status, headers["retry-after"], headers["x-gw-error"]) == (429, "30", "providers_rate_limited")
    assert json.loads(body)["error"]["type"] == "rate_limit_error"
    assert not {"x-gw-provider", "x-gw-attempts"} & set(headers)
    assert gateway.asked == ["a"]
    assert gateway.records.written[1].ended == "unavailable"
    assert gateway.records.written[1].attempts == 0
    gateway.clock.advance(1)
    gateway.call()
    assert gateway.asked == ["a", "a"]
    works(gateway.last)


@pytest.mark.parametrize(("said", "told"), [("2.001", "3"), ("3", "3"), ("0.2", "1"), ("45", "45"), ("90", "90")])
def test_time_to_come_back_is_never_too_short(said: str, told: str) -> None:
    """In whole seconds, as the header has it; and the provider's own word where it is longer than what is waited."""
    gateway = Routed(ONE_PLACE, retries=replace(STEADY, attempts=1))
    gateway.call()
    fails(gateway.last, 429, retry_after=said)
    assert gateway.call().answer()[1]["retry-after"] == told


# Never twice


@pytest.mark.parametrize("how", ["disconnected", "malformed", "silent", "504", "stream cut before its first event"])
def test_call_that_may_have_been_acted_on_is_not_sent_again(how: str) -> None:
    """An answer may have been generated, and billed."""
    gateway = Routed(providers=evolved(PROVIDERS[0], timeouts=Timeouts(first_byte_s=5)))
    client = gateway.call()
    may_have_acted(gateway, how)
    gateway.clock.advance(60)
    assert gateway.asked == ["a"]
    assert client.answer()[0] in (502, 504)


@pytest.mark.parametrize("how", ["disconnected", "malformed", "silent", "504", "stream cut before its first event"])
def test_operator_may_allow_that(how: str) -> None:
    """With ``repeat``."""
    gateway = Routed(
        retries=replace(STEADY, repeat=Repeat.GENERATIONS),
        providers=evolved(PROVIDERS[0], timeouts=Timeouts(first_byte_s=5)),
    )
    client = gateway.call()
    may_have_acted(gateway, how)
    gateway.soon()
    assert gateway.asked == ["a", "c"]
    works(gateway.last)
    assert client.answer()[0] == 200


def may_have_acted(gateway: Routed, how: str) -> None:
    sent = gateway.last
    if how == "disconnected":
        sent.fail(LOST)
    elif how == "malformed":
        sent.fail(ResponseNeverReceived([Failure(ValueError("not HTTP"))]))
    elif how == "silent":
        gateway.clock.advance(5)
    elif how == "504":
        fails(sent, 504)
    else:
        streams(sent, EVENT[:20]).end(CUT)


def test_reading_is_sent_again() -> None:
    """It does nothing that could happen twice."""
    gateway = Routed(key("vk", "a", "b"), retries=replace(STEADY, again=0))
    client = gateway.get("/v1/files")
    gateway.last.fail(LOST)
    assert (client.answer()[0], gateway.asked) == (502, ["a"])
    other = Routed(ONE_PLACE)
    client = other.get("/v1/files")
    other.last.fail(LOST)
    other.clock.advance(0.5)
    works(other.last)
    assert (client.answer()[0], other.asked) == (200, ["a", "a"])


@pytest.mark.parametrize(("repeat", "asked"), [(Repeat.GENERATIONS, ["a"]), (Repeat.ALL, ["a", "a"])])
def test_what_makes_something_is_sent_again_only_by_the_operators_word(repeat: Repeat, asked: list[str]) -> None:
    """A provider that says it has failed may have left half of it behind."""
    gateway = Routed(ONE_PLACE, retries=replace(STEADY, repeat=repeat))
    client = gateway.call(b'{"x":1}', path="/v1/batches")
    fails(gateway.last, 500)
    gateway.clock.advance(1)
    assert gateway.asked == asked
    if len(asked) > 1:
        works(gateway.last)
    assert client.answer()[0] == (200 if len(asked) > 1 else 500)


@pytest.mark.parametrize(
    "path",
    [
        "/completions/chat",
        "/chat/completions",
        "/p/one/v1/chat/completions",
        "/p/one/chat/completions",
        "/v1/responses",
    ],
)
def test_every_way_of_asking_for_an_answer_is_sent_again_after_a_providers_failure(path: str) -> None:
    """A provider that says it has failed bills nothing."""
    gateway = Routed(ONE_PLACE)
    client = gateway.call(path=path)
    fails(gateway.last, 500)
    gateway.clock.advance(1)
    assert gateway.asked == ["a", "a"]
    works(gateway.last)
    assert client.answer()[0] == 200


@pytest.mark.parametrize("order", [("/p/one/v1/files", "/p/one/v1/chat/completions"), ("/p/one/v1/chat/completions",)])
def test_what_is_asked_below_the_same_provider_is_told_apart(order: tuple[str, ...]) -> None:
    """One makes something, the other does not, whichever came first."""
    gateway = Routed(ONE_PLACE)
    for path in (*order, "/p/one/v1/files"):
        before = len(gateway.agent.sent)
        gateway.call(path=path)
        fails(gateway.last, 500)
        gateway.clock.advance(1)
        sends = len(gateway.agent.sent) - before
        assert sends == (1 if path.endswith("files") else 2)
        if sends == 2:
            works(gateway.last)


@pytest.mark.parametrize("first", [EVENT, b'{"half":'])
def test_nothing_is_sent_again_after_the_first_byte(first: bytes) -> None:
    """Part of one answer and part of another would be none, whatever the operator allows."""
    gateway = Routed(retries=replace(STEADY, repeat=Repeat.ALL))
    client = gateway.call()
    response = streams(gateway.last, first) if first is EVENT else gateway.last.answer(length=100)
    if first is not EVENT:
        response.write(first)
    assert client.answer()[2] == first
    response.end(CUT)
    gateway.clock.advance(60)
    assert gateway.asked == ["a"]
    assert client.answer()[1]["x-gw-attempts"] == "1"
    assert gateway.record.ended == "upstream_error"


@pytest.mark.parametrize("when", ["sending", "waiting", "second time", "error's body"])
def test_nothing_is_sent_after_the_client_has_left(when: str) -> None:
    """The connection to the provider is closed at once, and nothing waits any more."""
    gateway = Routed(ONE_PLACE)
    client = gateway.call()
    open_ = []
    if when in ("waiting", "second time"):
        fails(gateway.last, 503)
    if when == "second time":
        gateway.clock.advance(0.5)
    if when == "error's body":
        response = gateway.last.answer(503)
        response.write(b"half")
        open_.append(response)
    sends = len(gateway.agent.sent)
    client.leave()
    gateway.clock.advance(60)
    assert len(gateway.agent.sent) == sends
    if when in ("sending", "second time"):
        assert gateway.last.cancelled
    assert all(response.transport.closed for response in open_)
    record_of(gateway, ended="client_gone", attempts=sends)


# Bodies


class Steps:
    """Has files read one piece at a time, when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._next: list[Callable[[], None]] = []
        cooperator = Cooperator(lambda: lambda: True, self._later)
        monkeypatch.setattr("twisted.internet.task._theCooperator", cooperator)

    def _later(self, step: Callable[[], None]) -> Any:
        self._next.append(step)
        return SimpleNamespace(cancel=self._next.clear)

    def one(self) -> bool:
        """:return: whether there was anything to do."""
        steps, self._next = self._next, []
        for step in steps:
            step()
        return bool(steps)

    def all(self) -> None:
        while self.one():
            pass


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


LONG = chat(prompt="".join(f"{number:07} " for number in range(150_000)))
"""It goes to a file before it is sent, and is read from there."""


def test_large_body_is_sent_again_from_its_file(steps: Steps) -> None:
    """Byte for byte, as often as it takes, each time from its beginning."""
    gateway = Routed(max_body_bytes=4_000_000)
    client = gateway.call(LONG)
    for status in (429, 503):
        steps.all()
        assert gateway.last.body == LONG
        fails(gateway.last, status)
        gateway.soon()
    steps.all()
    assert gateway.last.body == LONG
    assert gateway.asked == ["a", "b", "c"]
    works(gateway.last)
    assert client.answer()[0] == 200
    record_of(gateway, bytes_in=len(LONG), attempts=3)


def test_large_body_is_whole_where_the_first_provider_still_reads_it(steps: Steps) -> None:
    """It answered before it had read all, and its connection is slow to end: each has its own place in the file."""
    gateway = Routed(max_body_bytes=4_000_000)
    client = gateway.call(LONG)
    steps.one()
    first = gateway.last
    assert 0 < len(first.body) < len(LONG)
    fails(first, 429)
    gateway.soon()
    steps.all()
    assert gateway.asked == ["a", "b"]
    assert gateway.last.body == LONG
    assert first.body == LONG
    works(gateway.last)
    assert client.answer()[0] == 200


@pytest.mark.parametrize("how", ["429", "401", "refused", "stream"])
def test_upload_that_is_passed_on_as_it_comes_is_sent_once(how: str) -> None:
    """There is nothing left of it to send again, and the client need not wait to hear that."""
    gateway = Routed(key("vk", "a", "b"), max_body_bytes=4_000_000, wire="llhttp")
    client = gateway.client()
    head = b"POST /v1/files HTTP/1.1\r\nhost: g\r\nauthorization: Bearer vk\r\ncontent-type: audio/wav\r\n"
    client.send(head + b"content-length: 2000000\r\n\r\n" + b"x" * 1_000)
    assert gateway.last.body == b"x" * 1_000
    if how == "refused":
        gateway.last.fail(REFUSED)
    elif how == "stream":
        streams(gateway.last, b'data: {"error":{"message":"Overloaded"}}\n\n')
    else:
        fails(gateway.last, int(how))
    gateway.soon()
    expected = {"refused": 502, "stream": 200}.get(how) or int(how)
    assert client.answer()[0] == expected
    gateway.clock.advance(60)
    assert gateway.asked == ["a"]


def test_each_provider_gets_its_own_name_for_the_model() -> None:
    """The rest of the body stays as it is, byte for byte."""
    targets = (Target("one", "uno-1"), Target("two", "due-2"))
    gateway = Routed(routing=RoutingSettings(models={"m": ModelSettings(targets)}))
    client = gateway.call()
    fails(gateway.last, 503)
    gateway.soon()
    works(gateway.last)
    bodies = [each.body for each in gateway.agent.sent]
    assert bodies == [BODY.replace(b'"m"', b'"uno-1"'), BODY.replace(b'"m"', b'"due-2"')]
    assert client.answer()[0] == 200
    record_of(gateway, model="m", credential="c")


def test_call_is_translated_for_each_provider_that_needs_it() -> None:
    """From one dialect to the next and back: OpenAI's caller, Anthropic's overload, Google's, then OpenAI's answer."""
    gateway = Routed(key("vk", "e", "f", "c"))
    client = gateway.call(chat(store=True))
    assert gateway.last.url == b"https://claude.test/v1/messages"
    assert "store" not in json.loads(gateway.last.body)
    fails(gateway.last, 529, b'{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}')
    gateway.soon()
    assert gateway.last.url == b"https://google.test/v1beta/models/m:generateContent"
    assert "contents" in json.loads(gateway.last.body)
    fails(gateway.last, 503, b'{"error":{"code":503,"status":"UNAVAILABLE","message":"Busy"}}')
    gateway.soon()
    assert gateway.last.url == b"https://two.test/v1/chat/completions"
    assert gateway.last.body == chat(store=True)
    works(gateway.last)
    status, headers, body = client.answer()
    assert (status, body) == (200, b'{"id":"1"}')
    assert "x-gw-dropped" not in headers
    record_of(gateway, dropped=None, dialect="openai", provider="two", attempts=3)


def test_what_was_dropped_is_said_of_the_provider_whose_answer_it_is() -> None:
    """Not of one that was asked before."""
    gateway = Routed(key("vk", "c", "e"), retries=ONCE_EACH)
    client = gateway.call(chat(store=True))
    fails(gateway.last, 503)
    gateway.soon()
    assert gateway.asked == ["c", "e"]
    fails(gateway.last, 529, b'{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}')
    status, headers, body = client.answer()
    assert (status, headers["x-gw-dropped"], headers["x-gw-provider"]) == (503, "store", "claude")
    assert json.loads(body)["error"]["message"] == "Busy"
    record_of(gateway, dropped="store", dialect="anthropic", provider="claude", attempts=2)


def test_place_that_cannot_be_asked_that_does_not_hide_what_the_first_one_said() -> None:
    """Nobody was asked there: the answer, and all that is said of it, are the first provider's."""
    providers = evolved(PROVIDERS[2], on_unsupported=OnUnsupported.REJECT)
    gateway = Routed(key("vk", "f", "e"), providers=providers, retries=ONCE_EACH)
    client = gateway.call(chat(store=True, seed=3))
    assert gateway.asked == ["f"]
    fails(gateway.last, 503, b'{"error":{"code":503,"status":"UNAVAILABLE","message":"Busy"}}')
    gateway.soon()
    assert gateway.asked == ["f"]
    status, headers, body = client.answer()
    assert (status, json.loads(body)["error"]["message"]) == (503, "Busy")
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == ("google", "1")
    assert headers["x-gw-dropped"] == "store"
    record_of(gateway, provider="google", credential="f", attempts=1, dialect="gemini", dropped="store")


def test_call_that_the_first_place_cannot_be_asked_goes_to_the_next() -> None:
    """Its dialect has no word for it; the other's has."""
    gateway = Routed(key("vk", "e", "c"), providers=evolved(PROVIDERS[2], on_unsupported=OnUnsupported.REJECT))
    client = gateway.call(chat(seed=3))
    gateway.soon()
    assert len(gateway.agent.sent) == 1
    works(gateway.last)
    status, headers, _ = client.answer()
    assert (status, headers["x-gw-attempts"]) == (200, "1")
    record_of(gateway, ended="ok", credential="c", attempts=1)


def test_call_that_no_place_can_be_asked_is_refused() -> None:
    """With what is wrong about it, in the caller's dialect; nobody was asked."""
    gateway = Routed(key("vk", "e"), providers=evolved(PROVIDERS[2], on_unsupported=OnUnsupported.REJECT))
    client = gateway.call(chat(seed=3))
    assert gateway.agent.sent == []
    assert client.answer()[0] == 400
    assert "seed" in json.loads(client.answer()[2])["error"]["message"]
    record_of(gateway, ended="refused", attempts=0, status=400)


def test_refusal_of_a_claude_caller_is_anthropics() -> None:
    """A translated error, of the last attempt."""
    gateway = Routed(key("vk", "a", "c"), retries=ONCE_EACH)
    client = gateway.call(messages(), path=MESSAGES)
    fails(gateway.last, 503)
    gateway.soon()
    fails(gateway.last, 429, b'{"error":{"message":"Slow down","type":"rate_limit"}}', retry_after="9")
    status, headers, body = client.answer()
    assert (status, headers["retry-after"], headers["x-gw-attempts"]) == (429, "9", "2")
    error = json.loads(body)
    assert (error["type"], error["error"]["type"], error["error"]["message"]) == (
        "error",
        "rate_limit_error",
        "Slow down",
    )


@pytest.mark.parametrize(
    ("path", "presented"), [(MESSAGES, "x_api_key"), ("/v1beta/models/m:generateContent", "x_goog_api_key")]
)
def test_limit_known_beforehand_is_told_in_every_dialect(path: str, presented: str) -> None:
    """With ``retry-after``, and the error type that the caller's SDK raises its own exception for."""
    gateway = Routed(ONE_PLACE)
    gateway.call()
    fails(gateway.last, 429, retry_after="30")
    client = gateway.client()
    client.ask("POST", path, messages() if path == MESSAGES else b'{"contents":[]}', **{presented: "vk"})
    status, headers, body = client.answer()
    assert (status, headers["retry-after"]) == (429, "30")
    error = json.loads(body)["error"]
    assert error.get("status", error.get("type")) in ("RESOURCE_EXHAUSTED", "rate_limit_error")


def test_translated_answer_that_breaks_off_is_nobodys_but_is_not_sent_again() -> None:
    """Nothing of it has reached the client, which gets an error; the provider may have been paid for it."""
    gateway = Routed(key("vk", "e", "c"))
    client = gateway.call()
    response = gateway.last.answer(length=1_000)
    response.write(b'{"id":"msg_1",')
    response.end(CUT)
    gateway.clock.advance(60)
    status, headers, _ = client.answer()
    assert (status, headers["x-gw-error"]) == (502, "upstream_disconnected")
    assert gateway.asked == ["e"]


def test_stream_goes_on_to_its_end_after_a_retry() -> None:
    """As any other."""
    gateway = Routed()
    client = gateway.stream()
    fails(gateway.last, 503)
    gateway.soon()
    response = streams(gateway.last, EVENT, EVENT)
    client.stall()
    assert response.transport.paused
    client.read_on()
    response.write(DONE)
    response.end()
    assert client.answer()[2] == EVENT * 2 + DONE
    assert client.whole
    record_of(gateway, ended="ok", attempts=2)
