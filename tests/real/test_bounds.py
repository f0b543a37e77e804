"""Thousands at once: what each client costs the gateway is bounded, however it behaves, and comes back with it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.real.client import Client, eventually, request_bytes
from tests.real.crowd import Crowd, allowed, ended, kernel_queues, memory_kib, more_descriptors, say_if_fewer
from tests.real.endless import SENT_AT_MOST, Endless, EndlessProvider, endless_provider, event
from tests.real.gateway import RunningGateway, running_command, running_gateway
from tests.real.inbox import BOUND_S, STILL_S, Inbox
from tests.real.provider import answer_ok, running_provider
from tests.real.scene import BODY, PATHS, asking, settled_sockets
from tests.real.test_many_streams import program, told
from tests.wires import WIRE

pytestmark = pytest.mark.skipif(WIRE == "twisted", reason="these bounds are not promised of Twisted's own HTTP")

Record = Callable[[str, Any], None]

STALLED = 1000
HELD_KIB = 256
"""What may be held of one stream."""
LEAKED_KIB = 32
"""By how much each stream may let the memory grow that was there for as many before: less than any that is not let go
of holds, and more than the memory's being used in other pieces costs."""
RECEIVE_BUFFER = 4096
"""Of each reader. It and the provider's keep what a thousand streams take of the kernel's memory
at a third of a GiB."""

READ_ON = 1_500_000
"""What of a stream is read by those who read on after all."""

IDLE = 10_000
IDLE_KIB = 8
"""For a client that has nothing to ask; it is 4 on 64-bit Linux."""
BRIEF = 1000
BRIEF_S, SLACK_S = 2.0, 6.0

PACED = 2000
PACED_KIB = 40
EVENTS, EVENTS_PER_S = 7, 1.0

OFF = ("--health-interval", "0", "--reload-interval", "0")


# Readers that stand still


@attrs.frozen
class Stage:
    """A gateway before providers whose streams have no end."""

    gateway: RunningGateway
    provider: EndlessProvider
    readers: int
    """As many as are wanted, or as the system has descriptors for."""
    log: Path

    def asks(self, key: str) -> Callable[[int], bytes]:
        """From a number to a request for a stream of that number."""
        return lambda number: request_bytes("POST", PATHS["openai"], asking(key), b'{"stream":%d}' % number)

    def endings(self, since: int) -> Counter[str]:
        """How the calls ended that are in the access log behind so many others."""
        return Counter(json.loads(line)["ended"] for line in self.log.read_text().splitlines()[since:])

    def logged(self) -> int:
        return len(self.log.read_text().splitlines())

    def all_left(self, readers: int) -> bool:
        return self.provider.left() == readers


CLOCKS = {"patient": {}, "impatient": {"idle_s": 1.5}, "short": {"total_s": 1.5}}
"""What there is of providers, and what they set beside clocks that no test waits for."""


@pytest.fixture(scope="module")
def stage(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("bounds")
    log = ("--access-log", "access.log", "--access-log-format", "json")
    with more_descriptors(), endless_provider() as provider:
        url = f"{provider.url}/v1/chat/completions"
        providers = {name: {"url": url, "timeouts": clocks} for name, clocks in CLOCKS.items()}
        keys = {f"vk_{name}": {"provider": name, "api_key": "sk-real-endless"} for name in providers}
        with running_gateway(bin_dir, folder, *OFF, *log, keys=keys, providers=providers) as gateway:
            stage = Stage(gateway, provider, allowed(STALLED, each=2), folder / "access.log")
            # Whatever is needed only once is there before anything is measured.
            with Crowd(gateway.port, receive_buffer=RECEIVE_BUFFER) as crowd:
                crowd.join(10, stage.asks("vk_patient"))
            eventually(lambda: stage.all_left(10), "the gateway has left the provider")
            yield stage


@pytest.fixture
def quiet(stage: Stage) -> int:
    """How many sockets the gateway holds when nothing goes on."""
    eventually(lambda: calls(stage.gateway) == 0, "no call goes on")
    stage.provider.streams.clear()
    return stage.gateway.open_sockets()


def calls(gateway: RunningGateway) -> int:
    with Client(gateway.port) as client:
        number: int = client.call("GET", "/readyz").json()["calls"]
        return number


def held(crowd: Crowd, gateway: RunningGateway, provider: EndlessProvider) -> list[int]:
    """
    Of each stream, the bytes that are in the gateway itself: those that the provider got rid of and that wait in no
    queue of the kernel's on the way to the client, which has read none.
    """
    queues = kernel_queues()

    def of(stream: Endless) -> int:
        reader = crowd.sockets[stream.number].getsockname()[1]
        to_gateway, _ = queues[provider.port, stream.port]
        _, to_read = queues[stream.port, provider.port]
        to_client, _ = queues[gateway.port, reader]
        _, unread = queues[reader, gateway.port]
        return stream.accepted - to_gateway - to_read - to_client - unread

    return [of(stream) for stream in provider.streams]


def check_stream(inbox: Inbox, stream: int, size: int) -> None:
    """What comes begins with the stream's events, each once and in order: so many bytes of them."""
    assert inbox.line().split(b" ")[1] == b"200"
    inbox.fields()
    wanted = b"".join(event(stream, number) for number in range(size // len(event(stream, 0))))
    got = bytearray()
    for piece in inbox.pieces("chunked"):
        got += piece
        if len(got) >= len(wanted):
            break
    assert got[: len(wanted)] == wanted


def test_thousand_stalled_readers_hold_little_each(stage: Stage, quiet: int, record_property: Record) -> None:
    """At most 256 KiB a stream; the others are served, those that read on miss nothing, and all is given back."""
    gateway, provider, readers = stage.gateway, stage.provider, stage.readers
    before = memory_kib(gateway)
    with Crowd(gateway.port, receive_buffer=RECEIVE_BUFFER) as crowd:
        crowd.join(readers, stage.asks("vk_patient"))
        eventually(lambda: provider.still_for() > STILL_S, "all stand still")
        grown = (memory_kib(gateway) - before) / readers
        each = held(crowd, gateway, provider)
        record_property("memory growth in KiB per stalled stream", grown)
        record_property("bytes held of a stalled stream, on average and at most", (sum(each) / len(each), max(each)))
        print(
            f"{grown:.0f} KiB for each of {readers}; of a stream {sum(each) / len(each):.0f} bytes, at most {max(each)}"
        )
        assert len(each) == readers
        assert max(stream.accepted for stream in provider.streams) < SENT_AT_MOST
        assert max(each) <= HELD_KIB * 1024
        assert grown < HELD_KIB

        assert calls(gateway) == readers
        for number in (0, readers // 2, readers - 1):
            check_stream(Inbox(crowd.sockets[number]), number, READ_ON)

    eventually(lambda: stage.all_left(readers), "the gateway has left the provider")
    settled_sockets(gateway, quiet)
    assert calls(gateway) == 0
    say_if_fewer(readers, STALLED)


def test_thousand_readers_that_stay_stalled_are_hung_up_on(stage: Stage, quiet: int, record_property: Record) -> None:
    """The idle clock ends each of them, on both sides; a second thousand finds the memory that the first one had."""
    gateway, provider, readers = stage.gateway, stage.provider, stage.readers
    peaks = []
    for _ in range(2):
        provider.streams.clear()
        logged = stage.logged()
        with Crowd(gateway.port, receive_buffer=RECEIVE_BUFFER) as crowd:
            crowd.join(readers, stage.asks("vk_impatient"))
            eventually(lambda: stage.all_left(readers), "the gateway has left the provider")
            # While all clients are still there.
            settled_sockets(gateway, quiet)
        assert calls(gateway) == 0
        assert stage.endings(since=logged) == {"client_stalled": readers}
        peaks.append(gateway.peak_memory_kib())
    grown = (peaks[1] - peaks[0]) / readers
    record_property("memory growth in KiB per stalled stream of the second thousand", grown)
    print(f"peak memory {peaks} KiB, {grown:.1f} more for each of the second {readers}")
    assert grown < LEAKED_KIB
    say_if_fewer(readers, STALLED)


@pytest.mark.parametrize(("key", "ending"), [("vk_impatient", "client_stalled"), ("vk_short", "timeout")])
def test_reader_of_single_bytes_is_not_served_for_ever(stage: Stage, quiet: int, key: str, ending: str) -> None:
    """A byte now and then makes no room for more: it is stalled, and where that may last, the total clock ends it."""
    gateway, provider, logged = stage.gateway, stage.provider, stage.logged()
    with Crowd(gateway.port, receive_buffer=RECEIVE_BUFFER) as crowd:
        crowd.join(1, stage.asks(key))
        (reader,) = crowd.sockets

        def left_while_reading() -> bool:
            # The pace is that of looking.
            with suppress(ConnectionResetError):
                reader.recv(1)
            return stage.all_left(1)

        eventually(left_while_reading, "the gateway has left the provider")
        assert stage.endings(since=logged) == {ending: 1}
        assert calls(gateway) == 0
    settled_sockets(gateway, quiet)
    assert provider.left() == 1


# Clients that have nothing to ask


def asks_after_health(_number: int) -> bytes:
    return request_bytes("GET", "/livez")


def read_answers(crowd: Crowd) -> None:
    for each in crowd.sockets:
        inbox = Inbox(each)
        assert inbox.line() == b"HTTP/1.1 200 OK"
        length = next(int(value) for name, value in inbox.fields() if name == b"content-length")
        assert len(b"".join(inbox.pieces("length", length))) == length


def test_ten_thousand_idle_clients_cost_little_and_are_let_go(
    bin_dir: Path, tmp_path: Path, record_property: Record
) -> None:
    """Each has asked once and keeps its connection. Calls are answered as ever, and a gateway that ends closes all."""
    with more_descriptors(), running_provider(answer_ok) as provider:
        clients = allowed(IDLE, each=1)
        providers = {"openai": f"{provider.url}/v1/chat/completions"}
        keys = {"vk_openai": {"provider": "openai", "api_key": "sk-real-key-of-idle"}}
        with (
            running_gateway(
                bin_dir, tmp_path, *OFF, "--access-log", "a.log", keys=keys, providers=providers
            ) as gateway,
            Client(gateway.port) as caller,
        ):
            assert caller.call("POST", PATHS["openai"], asking(), BODY).status == 200
            sockets, before = gateway.open_sockets(), memory_kib(gateway)
            with Crowd(gateway.port) as crowd:
                crowd.join(clients, asks_after_health)
                read_answers(crowd)
                grown = (memory_kib(gateway) - before) / clients
                record_property("memory growth in KiB per idle client", grown)
                print(f"{grown:.1f} KiB for each of {clients} idle clients")
                assert gateway.open_sockets() == sockets + clients
                assert grown < IDLE_KIB
                for _ in range(20):
                    assert caller.call("POST", PATHS["openai"], asking(), BODY).status == 200
                assert gateway.open_sockets() == sockets + clients

                assert gateway.stop() == 0
                assert sum(1 for _ in ended(crowd.sockets, BOUND_S)) == clients
    say_if_fewer(clients, IDLE)


def test_idle_clients_are_closed_by_their_clock(bin_dir: Path, tmp_path: Path) -> None:
    """A thousand of them, each when its own time is up and not before, and nothing of them is left."""
    brief_site = Path(__file__).with_name("brief_site.py")
    with more_descriptors():
        clients = allowed(BRIEF, each=1)
        with running_command([str(bin_dir / "python"), str(brief_site), f"{BRIEF_S}"], tmp_path) as gateway:
            sockets = gateway.open_sockets()
            asked: list[float] = []

            def asks(number: int) -> bytes:
                asked.append(time.monotonic())
                return asks_after_health(number)

            with Crowd(gateway.port) as crowd:
                crowd.join(clients, asks)
                read_answers(crowd)
                since = dict(zip(crowd.sockets, asked, strict=True))
                kept = [time.monotonic() - since[each] for each in ended(crowd.sockets, BOUND_S)]
                assert len(kept) == clients
                assert BRIEF_S <= min(kept) <= max(kept) < BRIEF_S + SLACK_S
                settled_sockets(gateway, sockets)
    say_if_fewer(clients, BRIEF)


# Streams that take their time


def test_two_thousand_slow_streams_cost_little_and_lose_nothing(
    bin_dir: Path, tmp_path: Path, record_property: Record
) -> None:
    """All at once in one process, under 40 KiB each: every event once, in order, in its own stream."""
    with ExitStack() as stack:
        stack.enter_context(more_descriptors())
        streams = allowed(PACED, each=2)
        # However long it takes until the last one has begun, the first one is still there.
        provider = stack.enter_context(program("serve", f"{EVENTS}", f"{EVENTS_PER_S}", f"{streams}"))
        assert provider.stdout is not None
        port = json.loads(provider.stdout.readline())["port"]
        with running_gateway(
            bin_dir,
            tmp_path,
            *OFF,
            *("--access-log", "access.log", "--pool-size", "0"),
            keys={"vk_paced": {"provider": "openai", "api_key": "sk-real-key-of-paced"}},
            providers={"openai": f"http://127.0.0.1:{port}/v1/chat/completions"},
        ) as gateway:
            assert calls(gateway) == 0
            sockets, before = gateway.open_sockets(), gateway.peak_memory_kib()
            with program("read", f"{gateway.port}", "vk_paced", f"{streams}", f"{EVENTS}") as readers:
                got = told(readers, EVENTS / EVENTS_PER_S + 2 * BOUND_S)
            grown = (gateway.peak_memory_kib() - before) / streams
            record_property("memory growth in KiB per paced stream", grown)
            print(f"{grown:.1f} KiB for each of {streams} paced streams")
            assert got == {"whole": streams, "events": streams * EVENTS, "faults": []}
            assert grown < PACED_KIB
            settled_sockets(gateway, sockets)
            assert calls(gateway) == 0
            assert gateway.stop() == 0
        assert told(provider) == {"now": 0, "most": streams, "answered": streams}
    say_if_fewer(streams, PACED)
