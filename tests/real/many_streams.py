"""Two programs for hundreds of streams at once: ``serve`` is the provider, ``read PORT KEY COUNT`` the clients.

Each event carries its stream's number and its own, so that a lost, repeated, late or stray one is seen. For streams of
another length and pace: ``serve EVENTS PER_SECOND COUNT``, where none goes on before so many have begun, and
``read PORT KEY COUNT EVENTS``.
"""

from __future__ import annotations

import asyncio
import json
import sys

EVENTS_PER_S = 4.5
STREAM_S = 30.0
EVENTS = int(EVENTS_PER_S * STREAM_S)
CONNECTING_AT_ONCE = 40
"""Fewer than a listening socket queues."""
FILLING = "x" * 160


def event(stream: int, number: int) -> bytes:
    return b"data: " + json.dumps({"stream": stream, "number": number, "filling": FILLING}).encode() + b"\n\n"


class StreamServer:
    """Answers every request with a stream of numbered events at an even pace."""

    def __init__(self, events: int, events_per_s: float, together: int) -> None:
        """
        :param together: none goes on behind its first event before so many have come so far; 0 if none waits.
        """
        self._events = events
        self._events_per_s = events_per_s
        self._together = together
        self._all_begun = asyncio.Event()
        self.now = self.most = self.answered = 0

    async def serve(self) -> None:
        """Print the port, serve until standard input ends, print what there was."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=1024)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.close()
        print(json.dumps({"now": self.now, "most": self.most, "answered": self.answered}), flush=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        stream = json.loads(await reader.readexactly(int(fields[b"content-length"])))["stream"]
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            began = asyncio.get_running_loop().time()
            for number in range(self._events):
                if number == 1 and self._together:
                    await self._wait_for_all()
                    # Spread evenly, as if it had been waiting for nobody.
                    began = asyncio.get_running_loop().time() - (1 - stream / self._together) / self._events_per_s
                due = began + number / self._events_per_s
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                piece = event(stream, number)
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            self.answered += 1
        finally:
            self.now -= 1
        return True

    async def _wait_for_all(self) -> None:
        if self.now >= self._together:
            self._all_begun.set()
        await self._all_begun.wait()


class StreamReaders:
    """Reads many streams at once, each to its end."""

    def __init__(self, port: int, key: str, events: int) -> None:
        self._port = port
        self._key = key
        self._events = events
        self._turnstile = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self.whole = 0
        self.events = 0
        self.faults: list[str] = []

    async def read(self, count: int) -> None:
        """Print what there was."""
        await asyncio.gather(*(self._read_one(stream) for stream in range(count)))
        print(json.dumps({"whole": self.whole, "events": self.events, "faults": self.faults[:20]}), flush=True)

    async def _read_one(self, stream: int) -> None:
        try:
            async with self._turnstile:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                body = json.dumps({"model": "m", "stream": stream}).encode()
                writer.write(
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/json\r\n"
                    b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (self._key.encode(), len(body), body)
                )
                head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 ") or b"chunked" not in head.lower():
                self.faults.append(f"stream {stream}: {head!r}")
            await self._follow(stream, reader)
            writer.close()
        except Exception as error:
            self.faults.append(f"stream {stream}: {error!r}")

    async def _follow(self, stream: int, reader: asyncio.StreamReader) -> None:
        got, number = b"", 0
        while size := int(await reader.readline(), 16):
            got += (await reader.readexactly(size + 2))[:-2]
            while (end := got.find(b"\n\n") + 2) > 1:
                if got[:end] != event(stream, number):
                    self.faults.append(f"stream {stream}: {got[:end]!r} in place of event {number}")
                got, number = got[end:], number + 1
        await reader.readexactly(2)
        self.events += number
        if number != self._events or got:
            self.faults.append(f"stream {stream}: ended with {got!r} after {number} events")
        else:
            self.whole += 1


async def serve(events: str | int = EVENTS, events_per_s: str | float = EVENTS_PER_S, together: str | int = 0) -> None:
    await StreamServer(int(events), float(events_per_s), int(together)).serve()


async def read(port: str, key: str, count: str, events: str | int = EVENTS) -> None:
    await StreamReaders(int(port), key, int(events)).read(int(count))


if __name__ == "__main__":
    what, *how = sys.argv[1:]
    asyncio.run(serve(*how) if what == "serve" else read(*how))
