"""An answer on its way to a client that did not ask for what the gateway has asked for."""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer

from llm_gateway.core.headers import Fields
from llm_gateway.core.usage.asking import WithoutUsage
from llm_gateway.errors import GatewayError
from llm_gateway.web.answer import Answer


class AnswerWithoutUsage:
    """A ``upstream.sink.Sink`` that takes out the one chunk of a stream with its numbers, and leaves all else."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._filter: WithoutUsage | None = None

    @property
    def begun(self) -> bool:
        return self._answer.begun

    def begin(self, status: int, headers: Fields) -> None:
        types = headers.get(b"Content-Type")
        # Of a stream, whole events come, unless it is compressed.
        if types and types[0].lower().startswith(b"text/event-stream") and b"Content-Encoding" not in headers:
            self._filter = WithoutUsage()
        self._answer.begin(status, headers)

    def write(self, piece: bytes) -> None:
        if self._filter is not None:
            piece = self._filter.feed(piece)
            if self._filter.done:
                self._filter = None
            if not piece:
                return
        self._answer.write(piece)

    def finish(self) -> None:
        self._answer.finish()

    def break_off(self, error: GatewayError, *, stream: bool, inside: bool) -> None:
        self._answer.break_off(error, stream=stream, inside=inside)

    def abort(self) -> None:
        self._answer.abort()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._answer.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._answer.unregisterProducer()
