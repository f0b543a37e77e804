"""The provider and the clients of the benchmarks, against each other: counts are exact, and faults are found."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.load import Load, LoadFigures, Spread
from benchmarks.programs import ROOT, environment, own_command
from benchmarks.provider import Provider, Stream
from benchmarks.shapes import EVENTS, REAL_KEY
from benchmarks.spoken import CHAT, SPOKEN

BOUND_S = 30.0

CHATS = Stream(SPOKEN[CHAT], clocks=False)
HEAD, END = CHATS.head, CHATS.end


@contextmanager
def provider(gap_ns: int, events: int = EVENTS) -> Iterator[int]:
    """The port of a provider on a thread of its own."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        served = Provider(listener, gap_ns, events)

        def serve() -> None:
            while not over.is_set():
                served.turn(0.001)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join(BOUND_S)
            served.close()


@contextmanager
def scripted(*answers: bytes) -> Iterator[int]:
    """The port of a server that sends each of these on a connection of its own, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for each in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(each)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(BOUND_S)


@pytest.mark.parametrize("gap_ns", [0, 100_000], ids=["no pause", "paced"])
def test_every_event_of_every_stream_is_counted_once(gap_ns: int) -> None:
    with provider(gap_ns) as port:
        found = Load(port, 3, stream=True, key=REAL_KEY, calls=7).run(BOUND_S)
    assert (found.answers, found.events, found.faults, found.examples) == (7, 7 * EVENTS, 0, [])
    assert (found.event_ms.p99 > 0) == (gap_ns > 0)
    assert found.first_byte_ms.p50 > 0


@pytest.mark.parametrize("speaks", SPOKEN)
def test_streams_of_every_dialect_are_counted(speaks: str) -> None:
    with provider(0) as port:
        found = Load(port, 2, stream=True, key=REAL_KEY, calls=3, speaks=speaks).run(BOUND_S)
    assert (found.answers, found.events, found.faults, found.examples) == (3, 3 * EVENTS, 0, [])


@pytest.mark.parametrize("speaks", SPOKEN)
@pytest.mark.parametrize("number", [1, 250])
def test_streams_are_as_long_as_they_are_asked_to_be(speaks: str, number: int) -> None:
    """One that is longer or shorter than the load expects is wrong."""
    with provider(0, number) as port:
        right = Load(port, 2, stream=True, key=REAL_KEY, calls=3, speaks=speaks, events=number).run(BOUND_S)
        wrong = Load(port, 1, stream=True, key=REAL_KEY, calls=1, speaks=speaks, events=number + 1).run(BOUND_S)
    assert (right.answers, right.events, right.faults) == (3, 3 * number, 0)
    assert (wrong.answers, wrong.faults) == (0, 1)


def test_calls_with_an_image_are_counted() -> None:
    with provider(0) as port:
        found = Load(port, 1, stream=False, key=REAL_KEY, calls=2, image_bytes=1_000_000).run(BOUND_S)
    assert (found.answers, found.faults, found.examples) == (2, 0, [])


def test_calls_are_counted_and_their_answers_looked_at() -> None:
    with provider(0) as port:
        found = Load(port, 3, stream=False, key=REAL_KEY, calls=20).run(BOUND_S)
    assert (found.answers, found.events, found.faults) == (20, 0, 0)


def test_clients_end_when_their_time_is_over() -> None:
    with provider(0) as port:
        found = Load(port, 2, stream=True, key=REAL_KEY, ramp_s=0.02).run(0.05)
    assert found.answers > 0
    assert found.events == found.answers * EVENTS


def test_call_without_the_real_key_is_a_fault() -> None:
    with provider(0) as port:
        found = Load(port, 1, stream=True, key="vk-other", calls=2).run(BOUND_S)
    assert (found.answers, found.faults) == (0, 2)
    assert "401" in found.examples[0]


def whole(*numbers: int) -> bytes:
    return b"".join(CHATS.chunk(number, 0) for number in numbers)


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (HEAD + whole(0, 1, 3), "in place of event 2 came b'000003'"),
        (HEAD + whole(0, 1, 1), "in place of event 2 came b'000001'"),
        (HEAD + whole(0, 1) + b"0\r\n\r\n", "without its end marker after 2"),
        (HEAD + whole(0, 1), "closed"),
        (HEAD + whole(0, 1) + END, "without its end marker after 2"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nno!", "status 500: b'no!'"),
        (b"SSH-2.0-other\r\n", "HTTP"),
    ],
)
def test_wrong_answer_is_a_fault_with_an_example(sent: bytes, complaint: str) -> None:
    with scripted(sent) as port:
        found = Load(port, 1, stream=True, calls=1).run(BOUND_S)
    assert (found.answers, found.faults) == (0, 1)
    assert complaint in found.examples[0]


def test_client_that_met_a_fault_goes_on() -> None:
    right = HEAD + whole(*range(EVENTS)) + END
    with scripted(HEAD + whole(0, 2), right) as port:
        found = Load(port, 1, stream=True, calls=2).run(BOUND_S)
    assert (found.answers, found.faults, found.events) == (1, 1, EVENTS + 1)


def test_nobody_listening_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = Load(port, 2, stream=True).run(0.2)
    assert found.faults == 2


def test_provider_answers_requests_on_one_connection_in_turn() -> None:
    """Also those that come while a stream runs."""
    call = b"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
    bodies = (b'{"stream": true}', b"{}")
    key = REAL_KEY.encode()
    with provider(0) as port, socket.create_connection(("127.0.0.1", port), BOUND_S) as client:
        client.sendall(b"".join(call % (key, len(body), body) for body in bodies) + b"GET /v1/models HTTP/1.1\r\n\r\n")
        got = b""
        while not got.endswith(b"\r\n\r\n{}"):
            piece = client.recv(65_536)
            assert piece, got
            got += piece
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert got.startswith(HEAD + CHATS.chunk(0, 0))
    assert got.index(END) < got.index(b'"chat.completion"')


def test_figures_survive_their_way_between_processes() -> None:
    figures = LoadFigures(1, 100, 2, ["wrong"], 1.5, Spread(0.1, 0.2), Spread(0.3, 0.4))
    assert LoadFigures.from_json(figures.to_json()) == figures


def test_spread_of_nothing_is_zero() -> None:
    assert Spread.of([]) == Spread(0.0, 0.0)
    assert Spread.of([*range(0, 100_000_000, 1_000_000)]) == Spread(50.0, 99.0)


def test_load_is_a_program() -> None:
    with provider(0) as port:
        options = [
            "--port",
            port,
            "--key",
            REAL_KEY,
            "--connections",
            2,
            "--calls",
            4,
            "--seconds",
            BOUND_S,
            "--stream",
        ]
        found = subprocess.run(
            own_command("load", *options),
            cwd=ROOT,
            env=environment({}),
            capture_output=True,
            text=True,
            timeout=2 * BOUND_S,
            check=True,
        )
    assert LoadFigures.from_json(found.stdout).events == 4 * EVENTS
    assert sys.executable in own_command("load")


def test_programs_under_measurement_get_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_out = ("OPENAI_API_KEY", "HF_TOKEN", "https_proxy", "KEYS_FILE", "GATEWAY_PORT", "DB_PASSWORD")
    for name in (*kept_out, "LANGUAGE"):
        monkeypatch.setenv(name, "x")
    found = environment({"OPENAI_API_KEY": "sk-bench"})
    assert {name for name in (*kept_out, "LANGUAGE") if name in found} == {"OPENAI_API_KEY", "LANGUAGE"}
    assert found["OPENAI_API_KEY"] == "sk-bench"
