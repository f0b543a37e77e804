"""
A provider that is a program of its own and keeps books of what it serves. Its argument is the port.

What becomes of a call stands in the call itself: its last message is a JSON object, see ``orders``. What comes to the
path ``/alpha/v1/chat/completions`` is served by the provider ``alpha``, and so on; ``/control/...`` is for the test.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections import Counter, defaultdict
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.real.accounting import dialects

HALT = "halt"
"""The word after which an answer stands still, for clients to know when to leave."""


def orders(document: dict[str, Any]) -> dict[str, Any]:
    """
    What a call says is to become of it::

        {"tag": "c17", "do": ["error:500", "whole"], "words": 9, "counts": {"input": 12, "output": 9, ...}}

    ``do`` has what is done the first time that the tag comes, the second time, and so on; the last one counts for all
    others. ``whole`` answers, ``tools`` with two calls of tools, ``zipped`` compressed, ``mute`` without numbers;
    ``error:STATUS`` refuses, ``event`` refuses in a stream, ``close`` says nothing; ``break:K`` breaks off after so
    many words, ``hold:K`` stands still there until it is left, ``pause:K`` until the test says so; ``endless`` writes
    for as long as somebody reads, ``endless:K`` so many words, ``burst`` of them at once
    every ``pace_s`` seconds, once the test has said ``after``. With ``echo`` the answer's model is the key that it was
    asked with.
    """
    said: Any = document.get("messages") or document.get("contents") or document.get("input")
    last = said[-1]
    text = last.get("content") or last["parts"]
    if not isinstance(text, str):
        text = text[0]["text"]
    found: dict[str, Any] = json.loads(text)
    return found


class Books:
    """What was asked, and what was answered."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.arrivals: Counter[str] = Counter()
        self.news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.going: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def enter(self, said: dict[str, Any], provider: str, document: dict[str, Any], path: str) -> dict[str, Any]:
        """:return: the new entry."""
        tag = said["tag"]
        number = self.arrivals[tag]
        self.arrivals[tag] += 1
        entry = {
            "tag": tag,
            "number": number,
            "provider": provider,
            "model": dialects.model_in(document, path),
            "do": said["do"][min(number, len(said["do"]) - 1)],
            "status": None,
            "words": 0,
            "whole": False,
            "counts": None,
            "told_input": False,
        }
        self.entries.append(entry)
        self.news[f"{tag} {number}"].set()
        return entry


class Left(Exception):
    """The gateway has closed the connection."""


class Talk:
    """One connection."""

    def __init__(self, books: Books, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.books = books
        self.reader = reader
        self.writer = writer

    async def run(self) -> None:
        """Serve requests until the connection is closed."""
        try:
            while True:
                await self._serve()
        except (ConnectionError, asyncio.IncompleteReadError, Left):
            pass
        finally:
            self.writer.close()

    async def _serve(self) -> None:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *rest = head[:-4].decode("latin-1").split("\r\n")
        _, target, _ = first.split(" ")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        body = await self._body(fields)
        if target.startswith("/control/"):
            await self._control(target)
            return
        if not body:
            # A look at whether somebody is there.
            self._document({"data": []})
            return
        provider, _, path = target[1:].partition("/")
        document = json.loads(body)
        said = orders(document)
        entry = self.books.enter(said, provider, document, path)
        if "echo" in said:
            # A provider that tells everybody what it was asked with.
            entry["model"] = fields.get("authorization") or fields.get("x-api-key") or fields["x-goog-api-key"]
        await self._answer(said, entry, dialects.speaker(path, document, entry["model"]), fields)
        await self.writer.drain()

    async def _body(self, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding", "").lower() != "chunked":
            return await self.reader.readexactly(int(fields.get("content-length", 0)))
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    def _document(self, document: Any, status: str = "200 OK", more: str = "", *, zipped: bool = False) -> None:
        body = json.dumps(document).encode()
        if zipped:
            body, more = gzip.compress(body), more + "content-encoding: gzip\r\n"
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{more}\r\n"
        self.writer.write(head.encode() + body)

    async def _left(self) -> None:
        """Wait until the gateway closes the connection."""
        await self.reader.read(1)
        raise Left

    # What is done

    async def _answer(
        self, said: dict[str, Any], entry: dict[str, Any], speaker: dialects.Speaker, fields: dict[str, str]
    ) -> None:
        what, _, number = entry["do"].partition(":")
        if what == "error":
            entry["status"] = int(number)
            self._document(speaker.error(int(number)), f"{number} No")
            return
        if what == "close":
            raise Left
        counts = None if what == "mute" else speaker.told(said["counts"])
        words = ["word"] * said["words"]
        stops_after = int(number) if what in ("hold", "pause", "break") else None
        if stops_after is not None and stops_after:
            words[stops_after - 1] = HALT
        if what == "event":
            entry["status"] = 200
            self._begin()
            self._chunk(speaker.error_event())
            self.writer.write(b"0\r\n\r\n")
            return
        if not speaker.stream:
            await self._at_once(entry, speaker, what, words, counts, "gzip" in fields.get("accept-encoding", ""))
            return
        if what == "endless":
            await self._endless(said, entry, speaker, int(number or 0))
            return
        if stops_after == 0:
            await self._stop(entry, what)
        entry["status"] = 200
        self._begin()
        begun, parts, ending = speaker.events(words, counts, tools=what == "tools")
        entry["told_input"] = speaker.tells_early and counts is not None
        if stops_after:
            self._chunk(begun + b"".join(parts[:stops_after]))
            entry["words"] = stops_after
            await self.writer.drain()
            await self._stop(entry, what)
            self._chunk(b"".join(parts[stops_after:]) + ending)
        else:
            # Cut somewhere, which is not where an event ends.
            everything = begun + b"".join(parts) + ending
            place = len(everything) * (1 + entry["number"] + len(entry["tag"])) % len(everything)
            self._chunk(everything[:place])
            self._chunk(everything[place:])
        self.writer.write(b"0\r\n\r\n")
        self._is_whole(entry, len(words), counts)

    def _is_whole(self, entry: dict[str, Any], words: int, counts: dict[str, int] | None) -> None:
        entry["words"], entry["whole"], entry["counts"] = words, True, counts

    async def _at_once(
        self,
        entry: dict[str, Any],
        speaker: dialects.Speaker,
        what: str,
        words: list[str],
        counts: dict[str, int] | None,
        may_zip: bool,
    ) -> None:
        if what in ("hold", "pause", "break"):
            await self._stop(entry, what)
        entry["status"] = 200
        document = speaker.document(words, counts, tools=what == "tools")
        self._document(document, zipped=what == "zipped" and may_zip)
        self._is_whole(entry, len(words), counts)

    async def _stop(self, entry: dict[str, Any], what: str) -> None:
        self.books.news[f"{entry['tag']} {entry['number']} stopped"].set()
        if what == "break":
            raise Left
        if what == "hold":
            await self._left()
        await self.books.going[entry["tag"]].wait()

    async def _endless(self, said: dict[str, Any], entry: dict[str, Any], speaker: dialects.Speaker, most: int) -> None:
        entry["status"] = 200
        self._begin()
        counts = speaker.told(said["counts"])
        burst, pace_s = said.get("burst", 1), said.get("pace_s", 0.0)
        begun, parts, ending = speaker.events([" ".join(["word"] * burst)], counts, tools=False)
        entry["told_input"] = speaker.tells_early
        self._chunk(begun)
        if "after" in said:
            await self.books.going[said["after"]].wait()
        piece = b"".join(parts)
        while not most or entry["words"] < most:
            self._chunk(piece)
            entry["words"] += burst
            await self.writer.drain()
            # As models do; and others have their turn, too.
            await asyncio.sleep(pace_s)
        self._chunk(ending)
        self.writer.write(b"0\r\n\r\n")
        self._is_whole(entry, entry["words"], counts)

    def _begin(self) -> None:
        self.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    def _chunk(self, piece: bytes) -> None:
        if piece:
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    # What the test wants to know

    async def _control(self, target: str) -> None:
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found: Any = {}
        if parts.path == "/control/books":
            found = self.books.entries
        elif parts.path == "/control/go":
            self.books.going[asked["tag"]].set()
        elif parts.path == "/control/await":
            await self.books.news[asked["news"]].wait()
        self._document(found)
        await self.writer.drain()


async def serve(port: int) -> None:
    """Print a line, then serve until somebody ends the process."""
    books = Books()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Talk(books, reader, writer).run()

    server = await asyncio.start_server(talk, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
