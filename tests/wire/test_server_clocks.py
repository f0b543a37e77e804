"""How long the site believes in a client that says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llm_gateway.wire import channel
from llm_gateway.wire.bodies import HELD_BYTES, BodyBroken
from llm_gateway.wire.bounds import IDLE_S, LAST_READ_S, LINGER_S
from llm_gateway.wire.channel import CLOSE_S, HEAD_S, PACE_BYTES, PACE_S, PIPELINE_BYTES
from llm_gateway.wire.outlet import TICK_S
from tests.wire.serving import BodyReader, Doing, Echo, Server, Waiting, chunked, get, post


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(Echo())
    yield server
    server.close()


@pytest.fixture
def waiting() -> Iterator[Server]:
    server = Server(Waiting(), wants_stream=lambda request: bool(request.uri == b"/streamed"))
    yield server
    server.close()


def pass_time(server: Server, seconds: float) -> None:
    """As a reactor would: in small steps, so that every timer fires at its time."""
    server.clock.pump([0.5] * int(seconds * 2))


@pytest.mark.parametrize("asked", [0, 1, 3])
def test_idle_connection_is_closed(server: Server, asked: int) -> None:
    """So many seconds after the last answer, or after it was made; not before, and without a word."""
    client = server.visitor()
    for _ in range(asked):
        pass_time(server, IDLE_S - 1)
        client.send(get())
    pass_time(server, IDLE_S - 0.5)
    assert not client.closed
    pass_time(server, 0.5)
    assert client.closed
    assert len(client.answers()) == asked


def test_idle_clients_that_do_not_go_are_cut_off(server: Server) -> None:
    """A while after they were told to."""
    client = server.visitor()
    pass_time(server, IDLE_S)
    assert not client.transport.aborted
    pass_time(server, CLOSE_S)
    assert client.transport.aborted


def test_half_a_request_is_refused_on_a_connection_that_served_others_too(server: Server) -> None:
    """The client is told why it has to go."""
    client = server.send(get(), get()[:-1])
    pass_time(server, HEAD_S)
    assert (client.statuses, client.closed) == ([200, 408], True)


@pytest.mark.parametrize("timeout", [5, 60, 1000])
def test_site_says_how_long_idle_is(timeout: float) -> None:
    """Shorter than the ticks of its clock or longer."""
    server = Server(Echo(), timeout=timeout)
    client = server.send(get())
    pass_time(server, timeout - 0.5)
    assert not client.closed
    pass_time(server, 0.5)
    assert client.closed
    server.close()


def test_connection_may_be_idle_for_ever() -> None:
    """If the site says so; a head still has to come in time."""
    server = Server(Echo(), timeout=None)
    idle, half = server.visitor(), server.send(get()[:-1])
    busy = server.send(post(length=10**5))
    busy.send(b"x" * 10**5 + get())
    pass_time(server, 10 * IDLE_S)
    assert (idle.closed, half.statuses) == (False, [408])
    assert (busy.closed, busy.statuses) == (False, [200, 200])
    server.close()


def test_empty_lines_keep_nothing_alive(server: Server) -> None:
    """An old client's line end after a body is no request."""
    client = server.send(post(b"a") + b"\r\n")
    pass_time(server, IDLE_S)
    assert client.closed
    assert client.statuses == [200]


def test_dribbled_head_is_refused(server: Server) -> None:
    """All of it within so many seconds, however steadily it comes."""
    client = server.visitor()
    raw = get(b"/", b"A: " + b"b" * 100)
    for at in range(len(raw)):
        if client.closed:
            break
        client.send(raw[at : at + 1])
        pass_time(server, 1)
    assert client.statuses == [408]
    assert 0 <= server.clock.seconds() - HEAD_S < 5
    assert server.resource.seen == []


def test_head_of_a_pipelined_request_has_its_own_time(server: Server) -> None:
    """It begins when it is looked at."""
    client = server.send(get() + get()[:-2])
    pass_time(server, HEAD_S - 0.5)
    client.send(b"\r\n")
    assert client.statuses == [200, 200]


def test_head_that_waits_for_an_answer_is_not_late(waiting: Server) -> None:
    """The time that an answer takes is not the client's fault."""
    client = waiting.send(get(b"/1") + get(b"/2")[:-2])
    pass_time(waiting, 10 * HEAD_S)
    waiting.resource.requests[0].finish()
    pass_time(waiting, HEAD_S - 0.5)
    client.send(b"\r\n")
    assert [request.uri for request in waiting.resource.requests] == [b"/1", b"/2"]
    waiting.resource.requests[1].finish()


def test_nobody_hurries_an_answer(waiting: Server) -> None:
    """Models think for long."""
    client = waiting.send(get())
    pass_time(waiting, 20 * IDLE_S)
    assert not client.closed
    waiting.resource.requests[0].finish()
    assert client.statuses == [200]


@pytest.mark.parametrize("raw", [post(length=50_000), chunked(end=b"")], ids=["length", "chunks"])
@pytest.mark.parametrize("per_second", [0, 1, PACE_BYTES // int(PACE_S) - 1])
def test_dribbled_body_is_refused(server: Server, raw: bytes, per_second: int) -> None:
    """It has to keep a pace."""
    client = server.send(raw)
    piece = b"x" * per_second
    for _ in range(int(PACE_S)):
        assert not client.closed
        if piece:
            client.send(piece if b"Length" in raw else b"%x\r\n%b\r\n" % (len(piece), piece))
        pass_time(server, 1)
    assert client.statuses == [408]
    assert client.closed


def test_slow_but_steady_body_is_taken(server: Server) -> None:
    """As slow as the slowest line."""
    pace = PACE_BYTES // int(PACE_S)
    client = server.send(post(length=200 * pace))
    for _ in range(200):
        client.send(b"x" * pace)
        pass_time(server, 1)
    assert client.statuses == [200]
    assert len(server.resource.seen[0].body) == 200 * pace


def test_body_that_is_held_back_is_not_late(waiting: Server) -> None:
    """Whose reader is slow has all the time; once it reads again, the client has to."""
    client = waiting.send(post(length=HELD_BYTES, target=b"/streamed"))
    reader = BodyReader()
    waiting.resource.requests[0].deliver_body(reader.as_protocol)
    reader.transport.pauseProducing()
    pass_time(waiting, 20 * PACE_S)
    assert (client.closed, reader.reason) == (False, None)
    reader.transport.resumeProducing()
    pass_time(waiting, PACE_S - 0.5)
    assert reader.reason is None
    pass_time(waiting, 0.5)
    assert reader.reason is not None
    assert reader.reason.check(BodyBroken)
    waiting.resource.requests[0].finish()
    assert client.statuses == [200]
    assert client.closed


def test_refused_body_that_stops_coming_is_not_waited_for_long() -> None:
    """Once it has its answer."""
    server = Server(Doing(lambda request: b"no"), max_body_bytes=10)
    client = server.send(post(length=11))
    pass_time(server, LINGER_S - 0.5)
    assert not client.closed
    pass_time(server, 0.5)
    assert client.closed
    server.close()


def test_refused_client_that_does_not_go_is_cut_off(server: Server) -> None:
    """It has had time to read why."""
    client = server.send(b"nonsense\r\n\r\n")
    pass_time(server, CLOSE_S - 0.5)
    assert not client.transport.aborted
    pass_time(server, 0.5)
    assert client.transport.aborted


def test_client_that_does_not_read_its_last_answer_is_cut_off(server: Server) -> None:
    """What was written to it waits for so long, not for ever."""
    client = server.send(get(b"/", b"Connection: close"))
    pass_time(server, LAST_READ_S - 0.5)
    assert client.closed
    assert not client.transport.aborted
    pass_time(server, 0.5)
    assert client.transport.aborted


@pytest.mark.parametrize(
    "raw", [get(b"/1") + post(b"x" * PIPELINE_BYTES), post(b"x" * HELD_BYTES, target=b"/streamed", length=10**5)]
)
def test_client_that_leaves_unread_is_noticed(waiting: Server, monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """Nothing is read from it any more, so its socket is asked now and then."""
    left = False
    monkeypatch.setattr(channel, "has_left", lambda transport: left)
    client = waiting.send(raw)
    assert not client.reading
    pass_time(waiting, 10 * PACE_S)
    assert not client.transport.aborted
    left = True
    pass_time(waiting, PACE_S)
    assert client.transport.aborted


def test_one_timer_serves_a_connection(server: Server) -> None:
    """However many requests come, however their parts are timed."""
    client = server.visitor()
    created = 0
    call_later: Any = server.clock.callLater

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal created
        created += 1
        return call_later(*args, **kwargs)

    server.clock.callLater = counting  # type: ignore[method-assign]
    for _ in range(1000):
        client.send(get()[:-1])
        client.send(b"\n" + post(length=2))
        client.send(b"ab")
        server.clock.advance(0.01)
    assert len(client.answers()) == 2000
    assert len(server.clock.getDelayedCalls()) == 1
    assert created <= 1000 * 0.01 / TICK_S + 1


@pytest.mark.parametrize(
    "raw", [b"", get()[:-1], post(length=9), get() + get(), b"nonsense\r\n\r\n", chunked(end=b"5\r\nab")]
)
def test_client_that_leaves_takes_its_timer_along(raw: bytes) -> None:
    """At whatever stage."""
    server = Server(Waiting())
    client = server.visitor()
    if raw:
        client.send(raw)
    client.leave()
    server.close()
