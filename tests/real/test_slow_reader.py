"""P2: a slow reader slows the provider, and the gateway holds next to nothing meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.real.client import Client
from tests.real.inbox import BOUND_S, Cut
from tests.real.provider import LAST_CHUNK, STREAM_HEAD, Connection, Exchange, Gone, answer_bytes, chunk, head_bytes
from tests.real.scene import BODY, PATHS, Scene, asking, named, scene, settled_sockets
from tests.wires import WIRE

MIB = 1 << 20
BLOCK_BYTES = 65_536
LONG = 200 * MIB
KERNEL_BYTES = 64 * MIB
"""More than the sockets on the way take by themselves: up to 4 MiB to send and 32 MiB to receive on today's kernels."""
HELD_KIB = 256
"""What may be held of one stream."""


@pytest.fixture(scope="module")
def stage(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(bin_dir, tmp_path_factory.mktemp("slow"), send_buffer=BLOCK_BYTES) as stage:
        yield stage


def blocks(size: int) -> Iterator[bytes]:
    """``size`` bytes of events of 1 KiB, each block of them different from the others."""
    for number in range(size // BLOCK_BYTES):
        event = b'data: {"block":%d,"choices":[{"index":0,"delta":{"content":"' % number
        event += b"x" * (1024 - len(event) - 7) + b'"}}]}\n\n'
        yield event * (BLOCK_BYTES // len(event))


def small_pieces(size: int) -> Iterator[bytes]:
    """The same in pieces for which any socket that takes something has room."""
    for block in blocks(size):
        yield from (block[at : at + 4096] for at in range(0, len(block), 4096))


def stream_of(size: int) -> Callable[[Exchange], None]:
    def stream(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD)
        for block in blocks(size):
            exchange.send(chunk(block))
        exchange.send(LAST_CHUNK)

    return stream


def download_of(size: int) -> Callable[[Exchange], None]:
    def download(exchange: Exchange) -> None:
        exchange.send(head_bytes(fields={"content-type": "application/octet-stream", "content-length": str(size)}))
        for block in blocks(size):
            exchange.send(block)

    return download


@pytest.mark.parametrize("kind", [stream_of, download_of])
def test_stalled_reader_stops_the_provider_and_costs_no_memory(
    stage: Scene, kind: Callable[[int], Callable[[Exchange], None]], record_property: Callable[[str, Any], None]
) -> None:
    """200 MB wait in the provider while their reader does; all of them arrive when it goes on."""
    provider, gateway = stage.provider, stage.gateway
    provider.script = kind(4 * MIB)
    assert stage.call(PATHS["openai"]).whole
    before = gateway.peak_memory_kib()

    provider.forget()
    provider.script = kind(LONG)
    with stage.client(receive_buffer=BLOCK_BYTES) as client:
        client.ask("POST", PATHS["openai"], asking(), BODY)
        head = client.head()
        provider.wait_for(lambda: provider.connections[-1].stuck, "the provider's socket is full")
        accepted = provider.connections[-1].accepted
        assert accepted < KERNEL_BYTES
        assert stage.call("/health", method="GET", body=None, key=None).status == 200
        assert (provider.connections[-1].stuck, provider.connections[-1].accepted) == (True, accepted)

        digest = sha256()
        for piece in client.pieces(head):
            digest.update(piece)
    wanted = sha256()
    for block in blocks(LONG):
        wanted.update(block)
    assert digest.digest() == wanted.digest()

    grown = gateway.peak_memory_kib() - before
    record_property("memory growth in KiB", grown)
    record_property("bytes taken from the provider by the kernel while stalled", accepted)
    print(f"{kind.__name__}: {accepted} bytes accepted while stalled, peak memory {before} + {grown} KiB")
    assert grown < 8 * 1024


def test_many_stalled_readers_hold_little_each(stage: Scene, record_property: Callable[[str, Any], None]) -> None:
    """At most 256 KiB a stream, and nothing once they have gone."""
    count, provider, gateway = 60, stage.provider, stage.gateway
    provider.script = stream_of(4 * MIB)
    assert stage.call(PATHS["openai"]).whole
    idle, before = gateway.open_sockets(), gateway.peak_memory_kib()

    provider.forget()
    provider.script = stream_of(LONG)
    clients = [stage.client(receive_buffer=BLOCK_BYTES) for _ in range(count)]
    for client in clients:
        client.ask("POST", PATHS["openai"], asking(), BODY)
    stuck = provider.connections
    provider.wait_for(lambda: len(stuck) >= count and all(each.stuck for each in stuck), "all stand still")
    grown = gateway.peak_memory_kib() - before
    record_property("memory growth in KiB per stalled stream", grown / count)
    print(f"{grown / count:.0f} KiB for each of {count} stalled streams")
    assert grown < count * HELD_KIB

    for client in clients:
        client.reset()
    provider.wait_for(lambda: all(each.left_at is not None for each in stuck), "the gateway has left them all")
    settled_sockets(gateway, idle)


@pytest.mark.skipif(WIRE == "twisted", reason="Twisted's own HTTP gathers bodies first")
def test_slow_provider_stops_the_upload_and_costs_no_memory(stage: Scene) -> None:
    """The other way round: a provider that does not read stands still with its client, and all arrives in the end."""
    provider, gateway = stage.provider, stage.gateway
    reading = threading.Event()
    received = sha256()

    def take_late(exchange: Exchange) -> None:
        exchange.connection.patient()
        assert reading.wait(BOUND_S)
        for piece in exchange.body():
            received.update(piece)
        exchange.send(answer_bytes())

    assert stage.call("/v1/files", body=b"x" * 4 * MIB).status == 200
    before = gateway.peak_memory_kib()
    provider.read_bodies, provider.script = False, take_late
    sent = sha256()
    with stage.client() as client:
        fields = {**asking(), "Content-Type": "application/octet-stream", "Content-Length": str(LONG // 2)}
        client.ask("POST", "/v1/files", fields)
        size = stuck_at = 0
        for piece in small_pieces(LONG // 2):
            if not stuck_at and client.stuck():
                stuck_at = size
                assert stage.call("/health", method="GET", body=None, key=None).status == 200
                reading.set()
            client.send(piece)
            sent.update(piece)
            size += len(piece)
        assert client.answer().status == 200
    provider.read_bodies = True
    assert 0 < stuck_at < KERNEL_BYTES
    assert received.digest() == sent.digest()
    assert gateway.peak_memory_kib() - before < 8 * 1024


@pytest.fixture(scope="module")
def impatient(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("stalled")
    with scene(bin_dir, folder, send_buffer=BLOCK_BYTES, timeouts={"idle_s": 1.0}) as stage:
        yield stage


def read_to_the_end(client: Client) -> bool:
    """Whether the answer is whole."""
    try:
        for _ in client.pieces(client.head()):
            pass
    except Cut:
        return False
    return True


@pytest.mark.parametrize("kind", [stream_of, download_of])
def test_reader_that_stays_stalled_is_hung_up_on(
    impatient: Scene, kind: Callable[[int], Callable[[Exchange], None]]
) -> None:
    """It is not the provider who is to blame for the silence, and neither connection is kept for it."""
    provider, gateway = impatient.provider, impatient.gateway
    left: list[Connection] = []

    def send_until_left(exchange: Exchange) -> None:
        try:
            kind(LONG)(exchange)
        except Gone:
            provider.tell(left, exchange.connection)
            raise

    impatient.turns.wait()
    idle = gateway.open_sockets()
    provider.script = send_until_left
    name, header = named()
    with impatient.client(receive_buffer=BLOCK_BYTES) as client:
        client.ask("POST", PATHS["openai"], {**asking(), **header}, BODY)
        record = impatient.logged(name)
        assert (record["ended"], record["error"], record["status"]) == ("client_stalled", None, 200)
        assert record["duration_s"] >= 1.0
        provider.wait_for(lambda: bool(left), "the provider's connection is closed")
        settled_sockets(gateway, idle)
        assert not read_to_the_end(client)
