"""What the rest of the gateway asks of a dialect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from llm_gateway.errors import GatewayError


class Dialect(ABC):
    """One provider family's way of talking: its paths, its auth, its errors, the end of its streams."""

    name: ClassVar[str]
    """As written in ``aiservices.json`` and in the access log."""

    title: ClassVar[str]
    """As people write it, for messages."""

    auth: ClassVar[str]
    """How its providers take a key: ``bearer`` or the name of a header."""

    chat_endings: ClassVar[tuple[str, ...]]
    """Path endings of a chat URL; what is left of the URL without them is the provider's base URL."""

    default_headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()
    """Headers that its providers demand, sent where the client sent none. Names in lower case."""

    @abstractmethod
    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """
        :param request_id: the call's ``x-gw-request-id``, for the dialects that name it in the body.
        :return: the JSON document that the dialect's SDKs turn into their own exception.
        """

    @abstractmethod
    def error_frame(self, error: GatewayError, request_id: str) -> bytes:
        """
        :return: the same as one server-sent event, to be written between two events after the first byte has gone out.
        """

    @abstractmethod
    def ends_stream(self, tail: bytes) -> bool:
        """
        Tell a stream that came to its end from one that was cut, where HTTP itself cannot.

        :param tail: the last bytes of the stream: at least its last event, if that is of a usual size.
        """
