"""The pool of connections over a fake reactor: who gets one, how long it is kept, and that none is ever lost."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from llm_gateway.wire.pool import Origin
from tests.wire.origin import EMPTY, URL, Client, Memory


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.assert_at_rest()


@pytest.fixture
def capped() -> Iterator[Client]:
    """One connection at a time."""
    client = Client(max_per_origin=1)
    yield client
    client.assert_at_rest()


@pytest.mark.parametrize(
    ("scheme", "netloc", "origin", "authority"),
    [
        (b"http", b"Origin.Test", Origin(False, b"origin.test", 80), b"origin.test"),
        (b"HTTPS", b"origin.test", Origin(True, b"origin.test", 443), b"origin.test"),
        (b"https", b"origin.test:443", Origin(True, b"origin.test", 443), b"origin.test"),
        (b"http", b"origin.test:8080", Origin(False, b"origin.test", 8080), b"origin.test:8080"),
        (b"http", b"[::1]:81", Origin(False, b"::1", 81), b"[::1]:81"),
        (b"https", b"[::1]", Origin(True, b"::1", 443), b"[::1]"),
    ],
)
def test_origin_is_scheme_host_and_port(scheme: bytes, netloc: bytes, origin: Origin, authority: bytes) -> None:
    assert Origin.parse(scheme, netloc) == origin
    assert origin.authority == authority


@pytest.mark.parametrize(
    "netloc",
    [
        b"",
        b":80",
        b"a:",
        b"a:0",
        b"a:65536",
        b"a:1x",
        b"a:+1",
        b"u@h",
        b"u:p@h",
        b"a\\b",
        b"a#b",
        b"::1",
        b"[a",
        b"[g]",
    ],
)
def test_what_is_no_host_and_port_is_refused(netloc: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        Origin.parse(b"http", netloc)


def test_connection_serves_the_next_request_too(client: Client) -> None:
    """Keep-alive: one connection for calls after one another."""
    origin = client.kept()
    again = client.ask()
    assert client.reactor.attempts() == 0
    assert origin.take().startswith(b"GET /v1 HTTP/1.1\r\n")
    origin.send(EMPTY)
    assert again.over


def test_requests_at_the_same_time_have_connections_of_their_own(client: Client) -> None:
    first, second = client.ask(), client.ask()
    one, other = client.reactor.accept(), client.reactor.accept()
    other.send(EMPTY)
    assert (first.over, second.over) == (False, True)
    one.send(EMPTY)
    assert first.over
    assert client.idle == 2


def test_most_recently_used_connection_goes_first(client: Client) -> None:
    """The others may then expire."""
    client.ask(), client.ask()
    one, other = client.reactor.accept(), client.reactor.accept()
    one.send(EMPTY)
    other.send(EMPTY)
    one.take(), other.take()
    client.ask()
    assert (one.received, bool(other.received)) == (b"", True)
    other.send(EMPTY)


def test_no_more_idle_connections_are_kept_than_allowed() -> None:
    client = Client(max_idle_per_origin=1)
    calls = [client.ask(), client.ask()]
    origins = [client.reactor.accept(), client.reactor.accept()]
    for origin in origins:
        origin.send(EMPTY)
    assert all(call.over for call in calls)
    assert [origin.closed for origin in origins] == [False, True]
    assert not origins[1].aborted
    client.assert_at_rest()


@pytest.mark.parametrize("setting", [{"max_idle_per_origin": 0}, {"idle_s": 0.0}])
def test_nothing_is_kept_where_nothing_may_be(setting: dict[str, Any]) -> None:
    client = Client(**setting)
    _, origin = client.ask_and_accept()
    origin.send(EMPTY)
    assert origin.closed
    assert client.reactor.timers() == 1  # the transport's own
    client.assert_at_rest()


def test_idle_connection_expires(client: Client) -> None:
    origin = client.kept()
    client.reactor.advance(54.9)
    assert not origin.closed
    client.reactor.advance(0.2)
    assert origin.closed
    assert not origin.aborted


def test_each_idle_connection_has_its_own_time(client: Client) -> None:
    """One timer serves them all."""
    client.ask(), client.ask()
    one, other = client.reactor.accept(), client.reactor.accept()
    one.send(EMPTY)
    client.reactor.advance(30)
    other.send(EMPTY)
    assert client.reactor.timers() == 1
    client.reactor.advance(25)
    assert (one.closed, other.closed) == (True, False)
    client.reactor.advance(30)
    assert other.closed


def test_connection_that_is_used_again_does_not_expire(client: Client) -> None:
    origin = client.kept()
    client.reactor.advance(54)
    call = client.ask()
    client.reactor.advance(54)
    assert not origin.closed
    origin.send(EMPTY)
    assert call.over


def test_other_origins_have_connections_of_their_own(client: Client) -> None:
    origin = client.kept()
    for url in (b"http://origin.test:81/v1", b"http://other.test/v1"):
        call = client.ask(url=url)
        client.reactor.accept().send(EMPTY)
        assert call.over
    assert origin.received == b""


def test_further_requests_wait_in_order(capped: Client) -> None:
    """With a cap of one, three calls are served one after another over one connection."""
    calls = [capped.ask(url=URL + b"/%d" % number) for number in range(3)]
    origin = capped.reactor.accept()
    assert (capped.in_use, capped.waiting, capped.reactor.attempts()) == (1, 2, 0)
    for number, call in enumerate(calls):
        assert origin.take().startswith(b"GET /v1/%d " % number)
        origin.send(EMPTY)
        assert call.over
    assert (capped.in_use, capped.waiting, capped.idle) == (0, 0, 1)


def test_waiting_request_gets_a_new_connection_when_the_old_one_is_no_good(capped: Client) -> None:
    first, second = capped.ask(), capped.ask()
    capped.reactor.accept().close()
    assert first.failed_with == ["ResponseNeverReceived", "ConnectionDone"]
    origin = capped.reactor.accept()
    origin.send(EMPTY)
    assert second.over


def test_request_that_is_cancelled_in_the_queue_leaves_it(capped: Client) -> None:
    first, second, third = capped.ask(), capped.ask(url=URL + b"/2"), capped.ask(url=URL + b"/3")
    origin = capped.reactor.accept()
    second.deferred.cancel()
    assert second.failure is not None
    assert second.failure.check(CancelledError)
    assert capped.waiting == 1
    origin.take()
    origin.send(EMPTY)
    assert origin.take().startswith(b"GET /v1/3 ")
    origin.send(EMPTY)
    assert first.over
    assert third.over


def test_request_that_left_the_queue_for_a_connection_can_still_be_cancelled(capped: Client) -> None:
    first, second = capped.ask(), capped.ask()
    capped.reactor.accept().close()
    assert capped.reactor.attempts() == 1
    second.deferred.cancel()
    assert first.over
    assert second.over
    assert (capped.in_use, capped.waiting) == (0, 0)
    capped.reactor.connectors.clear()
    capped.reactor.tcpClients.clear()


def test_refused_connection_wakes_the_next(capped: Client) -> None:
    calls = [capped.ask() for _ in range(3)]
    for number in range(3):
        assert capped.reactor.attempts() == 1
        capped.reactor.refuse()
        assert [call.over for call in calls] == [each <= number for each in range(3)]
    assert all(call.failed_with == ["ConnectionRefusedError"] for call in calls)


@pytest.mark.parametrize("host", [b"192.0.2.7", b"[2001:db8::7]"])
def test_address_that_refuses_is_known_at_once(client: Client, host: bytes) -> None:
    """There is no other address to wait for: whoever has another provider to ask can ask it now."""
    call = client.ask(url=b"http://%b/v1" % host)
    assert client.reactor.tcpClients[0][0] == host.strip(b"[]").decode()
    client.reactor.refuse(by_name=False)
    assert call.failed_with == ["ConnectionRefusedError"]


def test_thousands_may_fail_at_once(capped: Client) -> None:
    """An origin without an address fails every call in the queue in one go, and the stack does not grow with them."""
    client = Client(Memory(nowhere_test=[]), max_per_origin=1)
    blocked = client.ask(url=b"http://nowhere.test/")
    assert blocked.failed_with == ["DNSLookupError"]
    held = capped.ask()
    calls = [capped.ask() for _ in range(3000)]
    capped.reactor._addresses["origin_test"] = []
    capped.reactor.refuse()
    assert held.failed_with == ["ConnectionRefusedError"]
    assert all(call.failed_with == ["DNSLookupError"] for call in calls)


def test_cap_counts_connections_being_opened(capped: Client) -> None:
    capped.ask(), capped.ask()
    assert capped.reactor.attempts() == 1
    for _ in range(2):
        (capped.reactor.accept() if capped.reactor.attempts() else capped.reactor.accepted[0]).send(EMPTY)


def test_origin_that_does_not_accept_is_given_up_in_time(client: Client) -> None:
    call = client.ask()
    client.reactor.advance(9.9)
    assert not call.over
    client.reactor.advance(0.2)
    assert call.failed_with == ["TimeoutError"]
    client.reactor.tcpClients.clear()
    client.reactor.connectors.clear()


def test_second_address_is_tried_when_the_first_is_slow() -> None:
    """Happy eyeballs: a dead IPv6 route costs a third of a second, not the connect timeout."""
    client = Client(Memory(origin_test=["2001:db8::1", "192.0.2.9"]))
    call = client.ask()
    assert [each[0] for each in client.reactor.tcpClients] == ["2001:db8::1"]
    client.reactor.advance(0.5)
    assert [each[0] for each in client.reactor.tcpClients] == ["2001:db8::1", "192.0.2.9"]
    client.reactor.tcpClients.pop(0)
    slow = client.reactor.connectors.pop(0)
    client.reactor.accept().send(EMPTY)
    assert call.over
    assert slow.stoppedConnecting
    client.assert_at_rest()


def test_many_slow_addresses_share_one_connect_timeout() -> None:
    client = Client(Memory(origin_test=[f"192.0.2.{number}" for number in range(30)]))
    call = client.ask()
    for _ in range(101):
        client.reactor.advance(0.1)
    assert call.failed_with == ["TimeoutError"]
    assert client.in_use == 0
    assert client.reactor.timers() == 0


def test_closing_the_pool_closes_idle_connections(client: Client) -> None:
    origin = client.kept()
    closed: list[None] = []
    client.pool.closeCachedConnections().addCallback(closed.append)
    assert origin.closed
    client.reactor.turn()
    assert closed == [None]
    assert client.reactor.timers() == 0


def test_closing_the_pool_waits_for_the_connections_in_use(client: Client) -> None:
    """They are not kept when they are given back."""
    call, origin = client.ask_and_accept()
    closed: list[None] = []
    client.pool.closeCachedConnections().addCallback(closed.append)
    origin.send(EMPTY)
    assert call.over
    assert origin.closed
    client.reactor.turn()
    assert closed == [None]


def test_closed_pool_can_be_used_again(client: Client) -> None:
    client.kept()
    client.pool.closeCachedConnections()
    client.reactor.turn()
    client.kept()


@pytest.mark.parametrize("gone", [b"", b"x"], ids=["closed", "written to"])
def test_connection_that_changed_unnoticed_is_not_used(client: Client, gone: bytes) -> None:
    """The reactor has not come round to reading; the socket is asked before it is used."""
    origin = client.kept()
    ours, theirs = socket.socketpair()
    protocol = origin.wire._protocol._wrappedProtocol  # type: ignore[attr-defined]  # the endpoint's wrapper
    poller = select.poll()
    poller.register(ours, select.POLLIN)
    protocol.readable = poller.poll
    with ours, theirs:
        call = client.ask()
        assert origin.take().startswith(b"GET")
        origin.send(EMPTY)
        assert call.over
        if gone:
            theirs.send(gone)
        else:
            theirs.close()
        call = client.ask()
        assert origin.received == b""
        assert origin.closed
        client.reactor.accept().send(EMPTY)
        assert call.over
        client.reactor.turn()


def test_connection_being_closed_is_not_used(client: Client) -> None:
    """Between the decision to close it and its end, it must not be given to anybody."""
    origin = client.kept()
    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!")
    assert origin.aborted
    call = client.ask()
    assert client.reactor.attempts() == 1
    client.reactor.accept().send(EMPTY)
    assert call.over
