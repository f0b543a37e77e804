"""What providers that validate have in common: a list of answers to play, and what came and was refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from tests.real.provider import LAST_CHUNK, Exchange, Provider, Seen, answer_bytes, chunk, head_bytes

__all__ = ["Playing"]

Json = dict[str, Any]
Play = TypeVar("Play")

_READ = 61
"""Bytes that go out at once: neither events nor characters end there."""

_PHRASES = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class Playing(Generic[Play]):
    """Plays one answer after the other, to requests that pass."""

    def __init__(self, provider: Provider) -> None:
        self.requests: list[Json] = []
        """The bodies of those that passed."""
        self.refusals: list[str] = []
        """What was wrong with those that did not. A test that does not empty the list fails at its end."""
        self._provider = provider
        self._plays: deque[Play] = deque()
        provider.script = self._answer

    @property
    def last(self) -> Json:
        return self.requests[-1]

    @property
    def seen(self) -> Seen:
        """The last request with its headers."""
        return self._provider.seen[-1]

    def forget(self) -> None:
        """
        Begin anew; what was signed or sealed stays known.

        :raises AssertionError: a request was refused, or an answer was not asked for.
        """
        refusals, unplayed = list(self.refusals), len(self._plays)
        self.requests.clear()
        self.refusals.clear()
        self._plays.clear()
        assert not refusals, refusals
        assert not unplayed, f"{unplayed} answers were not asked for"

    def _answer(self, exchange: Exchange) -> None:
        raise NotImplementedError

    def _send_failure(self, exchange: Exchange, status: int, body: bytes, fields: Mapping[str, str]) -> None:
        exchange.send(answer_bytes(body, status=f"{status} {_PHRASES.get(status, 'Error')}", fields=dict(fields)))

    def _send_stream(
        self, exchange: Exchange, events: Iterable[bytes], fields: Mapping[str, str], *, cut: bool
    ) -> None:
        """
        :param cut: whether the connection is closed before the stream's end.
        """
        exchange.send(head_bytes(fields=dict(fields)))
        data = b"".join(events)
        for at in range(0, len(data), _READ):
            exchange.send(chunk(data[at : at + _READ]))
        if cut:
            exchange.connection.close()
        else:
            exchange.send(LAST_CHUNK)
