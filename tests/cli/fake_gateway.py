"""A gateway on loopback that answers what a test tells it to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"


class FakeGateway:
    """Gives its answers in turn, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], list[bytes]]] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def _answer(self, body: Any) -> None:
                gateway.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers, pieces = gateway.answers.pop(0)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(
        self,
        pieces: Iterable[bytes],
        content_type: str = JSON,
        status: int = 200,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Without a length among the headers the body ends with the connection."""
        self.answers.append((status, {"content-type": content_type, **headers}, list(pieces)))

    def answer_chunks(self, *documents: object, done: bool = True) -> None:
        """An OpenAI stream of these chunks."""
        frames = [b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents]
        self.answer([*frames, b"data: [DONE]\n\n"] if done else frames, EVENTS)

    def answer_text(self, text: str) -> None:
        """An OpenAI stream that says this, word by word."""
        words = re.findall(r"\s*\S+", text)
        self.answer_chunks(*({"choices": [{"delta": {"content": word}}]} for word in words))

    def answer_events(self, *documents: dict[str, Any]) -> None:
        """An Anthropic stream of these events."""
        frames = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in documents]
        self.answer(frames, EVENTS)
