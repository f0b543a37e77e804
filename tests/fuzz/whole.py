"""A whole gateway between one client and its providers, with nothing but bytes at either end."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes, urlsplit

import attrs

from llm_gateway.config.values import Configuration
from llm_gateway.engine import ENGINES
from llm_gateway.settings import Settings
from tests.fuzz import reference
from tests.memory import MemoryGateway
from tests.wire.origin import Accepted, Memory
from tests.wires import WIRE

__all__ = ["Reply", "Whole"]

CREDENTIALS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")


@attrs.frozen
class Reply:
    """What a provider does when it is asked."""

    pieces: list[bytes]
    end: str = "stay"
    """Then: ``stay`` silent, ``close`` or ``reset``."""


class Whole:
    """
    Carries bytes to and fro until nothing happens any more.

    Providers check what they get: requests beyond doubt, below their own base URLs, with their own keys and nobody
    else's.
    """

    def __init__(self, configuration: Configuration, reply: Callable[[reference.Sure], Reply]) -> None:
        """
        :param reply: what a provider answers to a request.
        """
        self._configuration = configuration
        urls = {name: urlsplit(each.base_url.encode()) for name, each in configuration.providers.items()}
        self._bases = {url.netloc: (name, url.path) for name, url in urls.items()}
        self._reply = reply
        self._reactor = Memory()
        outward = ENGINES[WIRE].make_outward(self._reactor, Settings())
        self._close_pool = outward.close_pool
        self._gateway = MemoryGateway(configuration, clock=self._reactor, agent=outward.make_agent(10.0))
        self._received: dict[Accepted, bytes] = {}
        self._client = self._gateway.client()

    def send(self, pieces: list[bytes]) -> bytes:
        """
        :param pieces: what the client sends, in a read each.
        :return: all that it gets.
        """
        client = self._client
        for piece in pieces:
            if client.closed:
                break
            client.send(piece)
            self._serve()
        for _ in range(40):
            self._serve()
            if client.closed:
                client.leave()
            self._reactor.advance(50)
        assert client.closed, "it stays open for ever"
        self._gateway.close()
        self._close_pool()
        self._reactor.turn()
        assert self._reactor.getDelayedCalls() == [], "a timer was left behind"
        assert all(record.ended is not None for record in self._gateway.records.written)
        for key in self._keys():
            assert key not in client.received, "a real key went to a client"
        return client.received

    def _serve(self) -> None:
        self._reactor.turn()
        while self._reactor.attempts():
            self._received[self._reactor.accept()] = b""
        for origin, before in list(self._received.items()):
            came = origin.take()
            if not came:
                continue
            received = self._received[origin] = before + came
            known = len(list(reference.requests(before)))
            for request in list(reference.requests(received))[known:]:
                self._check(request)
                reply = self._reply(request)
                origin.send(*reply.pieces)
                if reply.end != "stay":
                    getattr(origin, reply.end)()
                self._reactor.turn()

    def _check(self, request: reference.Sure) -> None:
        """
        :raises AssertionError: this is no call to a provider with its own key and nobody else's.
        """
        (host,) = request.fields[b"host"]
        name, base = self._bases[host]
        path = request.target.partition(b"?")[0]
        for read_as in (path, unquote_to_bytes(path), unquote_to_bytes(path).replace(b"\\", b"/")):
            assert (posixpath.normpath(read_as) + b"/").startswith(base + b"/"), "it climbs out of the base URL"
        (value,) = [value for each in CREDENTIALS for value in request.fields.get(each, [])]
        assert value.removeprefix(b"Bearer ") in set(self._keys(name)), "it is not this provider's key"
        assert b"cookie" not in request.fields

    def _keys(self, provider: str | None = None) -> Iterator[bytes]:
        for key in self._configuration.keys.values():
            if provider in (None, key.provider):
                yield key.api_key.reveal().encode()
