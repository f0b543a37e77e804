"""What every dialect's codec does. It knows its own dialect and the neutral conversation, and no other dialect."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from llm_gateway.core.translation.conversation import (
    Answer,
    Foreign,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
)
from llm_gateway.core.translation.events import Event
from llm_gateway.core.translation.failures import ProviderFailure
from llm_gateway.core.translation.losses import Losses
from llm_gateway.errors import UpstreamMalformed

__all__ = ["Codec", "Destination", "StreamDecoder", "StreamEncoder"]


class Destination(msgspec.Struct, frozen=True):
    """What a request is written for."""

    model: str
    """The model's name at the provider, which replaces the caller's."""
    provider: str
    """The provider's name, that opaque parts are pinned to."""
    max_output_tokens: int | None = None
    """From the model catalogue: the default where the dialect demands a limit and the caller gave none."""
    reasoning: bool | None = None
    """Whether the model reasons; ``None`` where the catalogue does not say."""
    preset: str | None = None
    """The preset that the provider is (``groq``), whatever its own name: providers of one dialect differ."""


class StreamDecoder(ABC):
    """Reads one streamed answer, cut anywhere, in bounded memory."""

    broken: UpstreamMalformed | None = None
    """What is wrong with the stream behind the events that were handed out last."""

    @abstractmethod
    def feed(self, data: bytes) -> Sequence[Event]:
        """
        :return: what these bytes brought. What came before a fault is told first, however the bytes were cut: the fault
            is :attr:`broken` then, and raised the next time.
        :raises UpstreamMalformed: this is not a stream of the dialect, or one event of it is too long.
        """

    @abstractmethod
    def close(self) -> Sequence[Event]:
        """
        The stream's bytes are over.

        :return: what can be said at the end; :class:`~.events.Ended` is among it, or was before, if and only if the
            stream came to its own end.
        """


class StreamEncoder(ABC):
    """Writes one streamed answer as the dialect's official SDKs demand it."""

    unsaid: Sequence[str] = ()
    """What of the answer it could not say, by the time that it is over."""

    @abstractmethod
    def encode(self, events: Sequence[Event]) -> bytes:
        """
        :return: whole events of the dialect's stream; perhaps none yet.
        """


class Codec(ABC):
    """One dialect's documents."""

    name: ClassVar[str]
    """``chat``, ``responses``, ``messages`` or ``gemini``."""

    stream_type: bytes = b"text/event-stream"
    """The content type of its streams."""

    dialect: ClassVar[str]
    """The dialect whose provider speaks it, as in ``core.dialects.DIALECTS``."""

    tool_name: ClassVar[re.Pattern[str]] = re.compile(r"[a-zA-Z0-9_-]{1,64}")
    """Matches the whole of every name that a tool may have there; a request to be encoded has no others."""

    answers: ClassVar[frozenset[type]] = frozenset()
    """What its answers may be made of besides texts, reasoning and calls."""

    @abstractmethod
    def decode_request(self, body: bytes, *, model: str | None = None, stream: bool | None = None) -> Request:
        """
        :param model: where the path names it rather than the body (Gemini).
        :param stream: the same of streaming.
        :raises BadRequest: naming the field and what is wrong with it, for the caller.
        """

    @abstractmethod
    def encode_request(self, request: Request, to: Destination, losses: Losses) -> bytes:
        """
        :param losses: told of everything that cannot be said exactly.
        :raises Unsupported: by way of ``losses``.
        :raises BadRequest: the conversation itself makes no sense (a result for a call that never was).
        """

    @abstractmethod
    def decode_answer(self, body: bytes, *, provider: str) -> Answer:
        """
        :param provider: who made it, for opaque parts.
        :raises UpstreamMalformed: it is not an answer of this dialect.
        """

    @abstractmethod
    def encode_answer(self, answer: Answer, request: Request) -> bytes:
        """
        :param request: what the caller had asked; some dialects repeat parts of it.
        """

    @abstractmethod
    def stream_decoder(self, *, provider: str) -> StreamDecoder: ...

    @abstractmethod
    def stream_encoder(self, request: Request) -> StreamEncoder: ...

    def says(self, part: Part) -> bool:
        """
        :param part: of an answer.
        :return: whether callers of this dialect can be told it; if not, it is left out of what they get.
        """
        match part:
            case Text() | Thinking() | ToolCall() | Refusal():
                return True
            case Foreign():
                return part.dialect == self.name
        return type(part) in self.answers

    @abstractmethod
    def decode_failure(self, status: int, body: bytes) -> ProviderFailure:
        """
        :param body: of an answer with a status of 400 and more, JSON or not.
        """

    @abstractmethod
    def encode_failure(self, failure: ProviderFailure, request_id: str) -> tuple[int, bytes]:
        """
        :return: the status and the body that make the dialect's SDKs raise the class that belongs to the kind.
        """
