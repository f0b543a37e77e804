"""P3: a client that leaves is noticed at every stage, and the provider's connection is closed at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real.certificates import make_certificate, server_side
from tests.real.client import Client, eventually, request_bytes
from tests.real.provider import (
    STREAM_HEAD,
    Connection,
    Exchange,
    Gone,
    Provider,
    answer_bytes,
    answer_ok,
    chunk,
    deaf_listener,
    head_bytes,
)
from tests.real.scene import BODY, PATHS, Scene, asking, named, scene, settled_sockets
from tests.wires import WIRE

EVENT = b'data: {"choices":[]}\n\n'
PROMPT_S = 5.0
"""An idle machine takes a few milliseconds; any timeout of the gateway's is far longer."""

leaving = pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["FIN", "RST"])
Leave = Callable[[Client], None]


@pytest.fixture(scope="module", params=["http", "https"])
def stage(request: pytest.FixtureRequest, bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("leaving")
    with ExitStack() as stack:
        deaf = stack.enter_context(deaf_listener())
        more = {"deaf": {"url": f"http://127.0.0.1:{deaf}/v1/chat/completions", "timeouts": {"connect_s": 60}}}
        certificate = make_certificate(folder)
        tls = server_side(certificate) if request.param == "https" else None
        environ = {"SSL_CERT_FILE": str(certificate)}
        yield stack.enter_context(
            scene(bin_dir, folder, tls=tls, environ=environ, send_buffer=65_536, more=lambda _: more)
        )


@pytest.fixture
def idle(stage: Scene) -> int:
    """How many sockets the gateway holds when nothing goes on, one to the provider among them."""
    stage.provider.script = answer_ok
    stage.provider.read_bodies = True
    assert stage.call(PATHS["openai"]).status == 200
    stage.turns.wait()
    return stage.gateway.open_sockets()


class Watch:
    """A script that lets the test know where it is, and then waits for the gateway to leave."""

    def __init__(self, provider: Provider, *sending: bytes) -> None:
        self._provider = provider
        self._sending = sending
        self.there: list[Connection] = []
        self.left: list[float] = []

    def __call__(self, exchange: Exchange) -> None:
        for each in self._sending:
            exchange.send(each)
        self._provider.tell(self.there, exchange.connection)
        exchange.connection.wait_left()
        self._provider.tell(self.left, time.monotonic())
        exchange.connection.close()

    def wait_there(self) -> None:
        self._provider.wait_for(lambda: bool(self.there), "the call has come to the provider")

    def wait_left(self) -> float:
        self._provider.wait_for(lambda: bool(self.left), "the provider's connection is closed")
        return self.left[0]


def check_left(stage: Scene, watch: Watch, name: str, since: float, idle: int, status: int | None) -> None:
    """That everything is as it must be after a client has left."""
    assert watch.wait_left() - since < PROMPT_S
    record = stage.logged(name)
    assert (record["ended"], record["status"]) == ("client_gone", status)
    settled_sockets(stage.gateway, idle)
    assert stage.call("/readyz", method="GET", body=None, key=None).json() == {"status": "ok", "calls": 0}


@leaving
@pytest.mark.parametrize(
    "sent",
    [(), (b"HTTP/1.1 200",), (STREAM_HEAD,), (STREAM_HEAD, chunk(b"data: half"))],
    ids=["nothing", "half-a-status", "headers", "half-an-event"],
)
def test_client_leaving_before_its_answer_hangs_up_provider(
    stage: Scene, idle: int, leave: Leave, sent: tuple[bytes, ...]
) -> None:
    """Whether the provider thinks, or has begun with something that cannot be passed on yet."""
    watch = stage.provider.script = Watch(stage.provider, *sent)
    name, header = named()
    with stage.client() as client:
        client.ask("POST", PATHS["openai"], {**asking(), **header}, BODY)
        watch.wait_there()
        stage.turns.wait()
        since = time.monotonic()
        leave(client)
        check_left(stage, watch, name, since, idle, None)


@leaving
@pytest.mark.parametrize(
    "head",
    [STREAM_HEAD, head_bytes(fields={"content-type": "application/json", "transfer-encoding": "chunked"})],
    ids=["stream", "document"],
)
def test_client_leaving_between_chunks_hangs_up_provider(stage: Scene, idle: int, leave: Leave, head: bytes) -> None:
    """The provider stops generating, and billing, at once and not at its next chunk."""
    watch = stage.provider.script = Watch(stage.provider, head, chunk(EVENT), chunk(EVENT))
    name, header = named()
    with stage.client() as client:
        client.ask("POST", PATHS["openai"], {**asking(), **header}, BODY)
        answer = client.head()
        assert answer.status == 200
        client.read_until(client.pieces(answer), EVENT)
        watch.wait_there()
        since = time.monotonic()
        leave(client)
        check_left(stage, watch, name, since, idle, 200)


@leaving
def test_client_leaving_while_it_stalls_hangs_up_provider(stage: Scene, idle: int, leave: Leave) -> None:
    """Also while the provider is paused and its connection is full to the brim."""
    provider = stage.provider

    def flood(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD)
        for _ in range(100_000):
            exchange.send(chunk(EVENT * 2000))

    provider.forget()
    provider.script = flood
    name, header = named()
    with stage.client(receive_buffer=65_536) as client:
        client.ask("POST", PATHS["openai"], {**asking(), **header}, BODY)
        assert client.head().status == 200
        connection = provider.connections[-1]
        provider.wait_for(lambda: connection.stuck, "the provider's socket is full")
        since = time.monotonic()
        leave(client)
        provider.wait_for(lambda: connection.left_at is not None, "the provider's connection is closed")
        assert (connection.left_at or 0) - since < PROMPT_S
    assert stage.logged(name)["ended"] == "client_gone"
    settled_sockets(stage.gateway, idle)


@leaving
def test_client_leaving_during_its_upload_costs_nobody_a_call(stage: Scene, idle: int, leave: Leave) -> None:
    """The provider hears nothing of a request that never became whole."""
    stage.provider.forget()
    for body in (b"x" * 10, b"x" * 3_000_000):
        with stage.client() as client:
            client.send(request_bytes("POST", "/v1/files", asking(), body)[:-5])
            stage.turns.wait()
            leave(client)
    settled_sockets(stage.gateway, idle)
    assert stage.provider.seen == []


@leaving
@pytest.mark.skipif(WIRE == "twisted", reason="Twisted's own HTTP gathers bodies first")
@pytest.mark.parametrize("reading", [True, False], ids=["reading", "slow"])
def test_client_leaving_during_an_upload_that_passes_through_hangs_up_provider(
    stage: Scene, idle: int, leave: Leave, reading: bool
) -> None:
    """A provider that has half of a file must not wait for the rest, nor take the half for all."""
    provider = stage.provider
    begun: list[Exchange] = []
    left: list[float] = []

    def take(exchange: Exchange) -> None:
        exchange.connection.patient()
        body = exchange.body()
        next(body)
        provider.tell(begun, exchange)
        if reading:
            with pytest.raises(Gone):
                for _ in body:
                    pass
        else:
            exchange.connection.wait_left()
        provider.tell(left, time.monotonic())
        exchange.connection.close()

    provider.read_bodies, provider.script = False, take
    name, header = named()
    with stage.client() as client:
        fields = {**asking(), **header, "Content-Type": "application/octet-stream", "Content-Length": "9000000"}
        client.send(request_bytes("POST", "/v1/files", fields) + bytes(1_000_000))
        provider.wait_for(lambda: bool(begun), "the upload has come to the provider")
        stage.turns.wait()
        since = time.monotonic()
        leave(client)
        provider.wait_for(lambda: bool(left), "the provider's connection is closed")
        assert left[0] - since < PROMPT_S
    record = stage.logged(name)
    assert (record["ended"], record["status"]) == ("client_gone", None)
    settled_sockets(stage.gateway, idle)


@leaving
def test_client_leaving_while_its_body_is_passed_on_hangs_up_provider(stage: Scene, idle: int, leave: Leave) -> None:
    """The provider reads slowly, megabytes are still to be sent to it: they are not."""
    stage.provider.read_bodies = False
    watch = stage.provider.script = Watch(stage.provider)
    name, header = named()
    with stage.client() as client:
        client.ask("POST", "/v1/files", {**asking(), **header}, os.urandom(64_000_000))
        watch.wait_there()
        stage.turns.wait()
        since = time.monotonic()
        leave(client)
        check_left(stage, watch, name, since, idle, None)


@leaving
def test_client_leaving_while_the_connection_is_being_made_ends_the_attempt(
    stage: Scene, idle: int, leave: Leave
) -> None:
    """A provider that neither accepts nor refuses is not waited for any longer."""
    name, header = named()
    with stage.client() as client:
        client.ask("POST", PATHS["openai"], {**asking("vk_deaf"), **header}, BODY)
        eventually(lambda: stage.gateway.open_sockets() == idle + 2, "the gateway connects to the provider")
        leave(client)
        record = stage.logged(name, PROMPT_S)
        assert (record["ended"], record["status"]) == ("client_gone", None)
    settled_sockets(stage.gateway, idle)


def test_client_leaving_with_a_second_request_behind_the_first_ends_both(stage: Scene, idle: int) -> None:
    """What was pipelined is not sent for a client that is not there."""
    watch = stage.provider.script = Watch(stage.provider, STREAM_HEAD, chunk(EVENT))
    stage.provider.forget()
    name, header = named()
    with stage.client() as client:
        client.ask("POST", PATHS["openai"], {**asking(), **header}, BODY)
        client.ask("POST", PATHS["openai"], asking(), BODY)
        watch.wait_there()
        stage.turns.wait()
        since = time.monotonic()
        client.close()
        check_left(stage, watch, name, since, idle, 200)
    assert len(stage.provider.seen) == 1


def test_client_leaving_after_its_answer_keeps_the_provider(stage: Scene, idle: int) -> None:
    """A connection that did its work serves the next call, whoever makes it."""
    stage.provider.forget()
    stage.provider.script = lambda exchange: exchange.send(answer_bytes())
    for _ in range(5):
        assert stage.call(PATHS["openai"]).status == 200
    settled_sockets(stage.gateway, idle)
    assert len(stage.provider.connections) == 1
