"""
A provider that is a program of its own, so that it can be killed: its argument is the port.

What becomes of a call its message says: ``stream`` is answered with events at an even pace and without an end, ``wait``
not at all, everything else at once.
"""

from __future__ import annotations

import asyncio
import json
import sys

EVENTS_PER_S = 4.0
EVENT = b'data: {"n":1}\n\n'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def serve(port: int) -> None:
    """Print a line, then serve until somebody ends the process."""
    server = await asyncio.start_server(_talk, "127.0.0.1", port, backlog=1024, reuse_address=True)
    print("listening", flush=True)
    await server.serve_forever()


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            body = await reader.readexactly(int(fields.get(b"content-length", 0)))
            # Health checks have no body.
            await _answer(json.loads(body)["messages"][0]["content"] if body else "", writer)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _answer(what: str, writer: asyncio.StreamWriter) -> None:
    if what == "wait":
        await asyncio.Event().wait()
    elif what == "stream":
        writer.write(STREAM_HEAD)
        while True:
            writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            await writer.drain()
            await asyncio.sleep(1 / EVENTS_PER_S)
    body = json.dumps({"answered": what}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
