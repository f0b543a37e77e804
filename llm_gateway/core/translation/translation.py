"""One call between two dialects, from the caller's request to the caller's answer; no I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from llm_gateway.core.surrogates import mended
from llm_gateway.core.translation.codec import Codec, Destination
from llm_gateway.core.translation.collect import StreamFailed, collect
from llm_gateway.core.translation.conversation import Answer, Foreign, Part, Request, Role
from llm_gateway.core.translation.events import Delta, Ended, Event, Failed, PartBegun
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.losses import Losses
from llm_gateway.core.translation.one_call import OneCall, with_one_call
from llm_gateway.core.translation.tool_names import ToolNames
from llm_gateway.errors import BudgetExceeded, GatewayError, UpstreamDisconnected, UpstreamMalformed

__all__ = ["DocumentTranslation", "Interpreter", "StreamTranslation", "Translation", "failure_of"]

_KINDS = {
    401: FailureKind.AUTHENTICATION,
    403: FailureKind.PERMISSION,
    404: FailureKind.NOT_FOUND,
    413: FailureKind.TOO_LARGE,
    429: FailureKind.RATE_LIMIT,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
}


_MOST_UNSAID = 16
"""Kinds that are named. There are hardly more, but a provider may call its own as it likes."""


def failure_of(error: GatewayError) -> ProviderFailure:
    """
    :return: an error of the gateway's own, to be said in the middle of a stream.
    """
    status = error.http_status
    kind = _KINDS.get(status, FailureKind.SERVER if status >= 500 else FailureKind.INVALID)
    if isinstance(error, BudgetExceeded):
        kind = FailureKind.BILLING
    return ProviderFailure(status, kind, error.message, error.param, error.kind)


def without_conversation(asked: Request) -> Request:
    """
    :return: what an answer may depend on, without the images and the long conversations that nobody reads again: an
        answer can take an hour.
    """
    first = asked.messages[:1]
    output = asked.output
    return replace(
        asked,
        messages=first if first and first[0].role in (Role.SYSTEM, Role.DEVELOPER) else (),
        tools=tuple(
            replace(tool, parameters=_apart(tool.parameters), custom=_apart(tool.custom)) for tool in asked.tools
        ),
        foreign_tools=tuple(replace(tool, raw=tool.raw.copy()) for tool in asked.foreign_tools),
        output=None if output is None else replace(output, schema=_apart(output.schema)),
        sampling=replace(asked.sampling, logit_bias=_apart(asked.sampling.logit_bias)),
        extras={name: raw.copy() for name, raw in asked.extras.items()},
    )


def _apart(raw: msgspec.Raw | None) -> msgspec.Raw | None:
    """The same in memory of its own: a piece of a request keeps all of the request's bytes."""
    return None if raw is None else raw.copy()


class Interpreter(ABC):
    """Between a caller and a provider that speak differently, for one call."""

    body: bytes
    """What the provider is sent."""
    lost: Sequence[str]
    """The fields of the request that could not be said, or not exactly."""
    stream = False
    """Whether the caller wants a stream."""
    unsaid: Sequence[str] = ()
    """What of the provider's answer the caller cannot be told, by the time that it is over."""

    def __init__(self, caller: Codec, provider: Codec) -> None:
        self._caller = caller
        self._provider = provider
        self.stream_type = caller.stream_type
        """The content type of the stream that the caller gets."""

    @abstractmethod
    def answer(self, body: bytes) -> bytes:
        """
        :param body: the provider's whole answer.
        :return: the caller's, whole or as a stream, whichever it wants.
        :raises UpstreamMalformed: it is none.
        """

    def take_body(self) -> bytes:
        """
        :return: ``body``, which this object lets go of.
        """
        body, self.body = self.body, b""
        return body

    def failure(self, status: int, body: bytes, request_id: str) -> tuple[int, bytes, ProviderFailure]:
        """
        :param status: the provider's, of 400 and more.
        :return: status and body for the caller, and the neutral failure.
        """
        failure = self._provider.decode_failure(status, mended(body))
        return *self._caller.encode_failure(failure, request_id), failure

    def said(self, failure: ProviderFailure, request_id: str) -> tuple[int, bytes]:
        """
        :return: status and body of a whole answer that says so.
        """
        return self._caller.encode_failure(failure, request_id)

    def streamed(self) -> StreamTranslation:
        """
        :return: for a provider that answers with a stream.
        :raises UpstreamMalformed: nobody asked it for one.
        """
        raise UpstreamMalformed("The provider answered with a stream that nobody had asked for.")


class Translation(Interpreter):
    """Of a conversation."""

    def __init__(self, caller: Codec, provider: Codec, asked: Request, to: Destination, losses: Losses) -> None:
        """
        :raises GatewayError: the provider's dialect cannot say what the caller asks.
        """
        super().__init__(caller, provider)
        self._asked = without_conversation(asked)
        self._to = to
        self.stream = asked.stream
        self.unsaid = self._unsaid = _Unsaid(caller)
        self._names = ToolNames(asked, provider.tool_name, losses)
        with losses.complaining():
            self.body = provider.encode_request(self._names.written(asked), to, losses)
        self.lost = (*losses.dropped, *losses.changed)

    def answer(self, body: bytes) -> bytes:
        answer = self._names.answered(self._decoded(body))
        if self._asked.parallel_tool_calls is False:
            answer = with_one_call(answer)
        for choice in answer.choices:
            self._unsaid.look(choice.parts)
        if self.stream:
            return self._caller.stream_encoder(self._asked).encode(exploded(answer))
        return self._caller.encode_answer(answer, self._asked)

    def _decoded(self, body: bytes) -> Answer:
        try:
            return self._provider.decode_answer(body, provider=self._to.provider)
        except UpstreamMalformed:
            readable = mended(body)
            if readable == body:
                raise
            return self._provider.decode_answer(readable, provider=self._to.provider)

    def streamed(self) -> StreamTranslation:
        return StreamTranslation(self._caller, self._provider, self._asked, self._to, self._names, self._unsaid)


class _Unsaid(list[str]):
    """What the caller cannot be told of an answer, each kind once: ``answer.image``."""

    def __init__(self, caller: Codec) -> None:
        super().__init__()
        self._caller = caller

    def look_at(self, events: Iterable[Event]) -> None:
        self.look(event.part for event in events if type(event) is PartBegun)

    def look(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if not self._caller.says(part):
                self.name(f"answer.{part.kind if isinstance(part, Foreign) else type(part).__name__.lower()}")

    def name(self, *names: str) -> None:
        self.extend(name for name in names if name not in self and len(self) < _MOST_UNSAID)


class DocumentTranslation(Interpreter):
    """Of a call whose answer is one document."""

    def __init__(
        self, caller: Codec, provider: Codec, body: bytes, losses: Losses, answer: Callable[[bytes], bytes]
    ) -> None:
        """
        :param caller: of the caller's dialect, and so on, for errors.
        :param answer: from the provider's document to the caller's.
        """
        super().__init__(caller, provider)
        self.body = body
        self.lost = (*losses.dropped, *losses.changed)
        self._answer = answer

    def answer(self, body: bytes) -> bytes:
        return self._answer(body)


class StreamTranslation:
    """A provider's stream on its way to a caller; to one that wants a whole answer it is gathered."""

    def __init__(
        self, caller: Codec, provider: Codec, asked: Request, to: Destination, names: ToolNames, unsaid: _Unsaid
    ) -> None:
        self._caller = caller
        self._unsaid = unsaid
        self._asked = asked
        self._names = names
        self.decoder = provider.stream_decoder(provider=to.provider)
        """Knows what is wrong with the provider's stream, behind what was passed on."""
        self._encoder = caller.stream_encoder(asked) if asked.stream else None
        self._encode = _nothing if self._encoder is None else self._encoder.encode
        self._one_call = OneCall() if asked.parallel_tool_calls is False else None
        self._gathered: list[Event] = []
        self._begun = False
        self._flows = False
        """Whether events between the first and the last go to the encoder as they are."""
        self.over = False
        """Whether the stream has come to its end, whatever may still come."""
        self.failure: ProviderFailure | None = None
        """The error that the provider's stream ended with."""

    def feed(self, data: bytes) -> bytes:
        """
        :return: what goes to the caller now; nothing of a failure that comes before everything else.
        """
        if self.over:
            return b""
        events = self.decoder.feed(data)
        if self._flows and events and type(events[-1]) is Delta:
            # What ends a stream is the last of its events: it is not among these.
            if len(events) > 1:
                self._unsaid.look_at(events)
            return self._encode(events)
        return self._pass_on(self._names.streamed(events))

    def close(self) -> bytes:
        """
        The provider's stream is over.

        :return: the rest, or the whole answer.
        :raises UpstreamDisconnected: it broke off before anything of it went out.
        """
        rest = self._pass_on(self._names.streamed(self.decoder.close()))
        if not self.over:
            raise UpstreamDisconnected("The provider ended its stream before the answer was whole.")
        if self._encoder is None and self.failure is None:
            try:
                return self._caller.encode_answer(collect(self._gathered), self._asked)
            except StreamFailed as failed:
                self.failure = failed.failure
        return rest

    def fail(self, failure: ProviderFailure) -> bytes:
        """
        :return: how the caller's stream, that has begun, ends now.
        """
        return b"" if self.over or self._encoder is None else self._pass_on([Failed(failure)])

    def _pass_on(self, events: Sequence[Event]) -> bytes:
        if self._one_call is not None:
            events = self._one_call.keep(events)
        if self.over or not events:
            return b""
        self._unsaid.look_at(events)
        for event in events:
            if isinstance(event, Failed):
                self.failure = event.failure
                self.over = True
                if not self._begun and event is events[0]:
                    # Nothing has gone out: it can still be a status and a body.
                    return b""
            elif isinstance(event, Ended):
                self.over = True
        if self._encoder is None:
            self._gathered.extend(events)
            return b""
        self._begun = True
        self._flows = self._one_call is None and not self._names.given and not self.over
        said = self._encode(events)
        self._unsaid.name(*self._encoder.unsaid)
        return said


def _nothing(_events: Sequence[Event]) -> bytes:
    """What a caller gets of a stream that it did not ask for."""
    return b""
