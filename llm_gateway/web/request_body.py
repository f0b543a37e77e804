"""A request's body, however the site has kept it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from mmap import mmap
from typing import Any, BinaryIO

from twisted.web.iweb import IBodyProducer
from twisted.web.server import Request

from llm_gateway.core.peek import in_background, model_of, said_in, wants_stream
from llm_gateway.core.record import CallRecord, printable
from llm_gateway.core.renaming import find_model, with_model
from llm_gateway.core.usage.asking import asked
from llm_gateway.errors import BadRequest, RequestTooLarge
from llm_gateway.upstream.bodies import mapped, pieces_body, spooled_body
from llm_gateway.web.uploads import StreamedBody
from llm_gateway.wire.upload import BytesBody

IN_MEMORY_BYTES = 1_048_576
"""A request's body up to this size is sent from memory, a larger one from the file that it was spooled to."""


WHICH_MODEL = "This key may call some models only, and it cannot be told which one this request is for."

_TWICE = "The request names its model more than once."

MAX_READ_BYTES = 33_554_432
"""Of a body that is read and written anew, which stops everything else meanwhile. Anthropic takes no longer one."""

_OBJECT = re.compile(rb"[ \t\r\n]*+\{")


class RequestBody:
    """One request's body, for as many attempts as its call takes. ``release`` it when no other attempt can follow."""

    __slots__ = (
        "_content",
        "_max_bytes",
        "_model",
        "_path",
        "_record",
        "_request",
        "_size",
        "_unread",
        "_whole",
        "streamed",
    )

    def __init__(self, request: Request, record: CallRecord, max_bytes: int) -> None:
        """
        :param record: told how long it is, and of the model that it names.
        :raises RequestTooLarge: it is longer than ``max_bytes``.
        """
        self._request: Any = request
        self._record = record
        self._max_bytes = max_bytes
        self._model: str | None = None
        """The one that it names, where that is known."""
        self._path: str | None = None
        self._unread = False
        content: Any = request.content
        self._content: BinaryIO = content
        self._whole: bytes | None = None
        if type(content) is BytesIO:
            self._whole = content.getvalue()
            size = len(self._whole)
        else:
            size = content.seek(0, os.SEEK_END)
            content.seek(0)
        self._size = record.bytes_in = size
        self.streamed = getattr(request, "body_stream", None) is not None
        """Whether it is passed on while it still comes, so that it can be sent once only."""
        # A site that bounds bodies itself has left out the one that is too large; in somebody else's site it is here.
        if size > max_bytes or getattr(request, "body_refused", False):
            raise RequestTooLarge.over(max_bytes)

    @property
    def empty(self) -> bool:
        """Whether there is none, and none still comes."""
        return not self._size and not self.streamed

    def model(self, path: str | None = None) -> str:
        """
        :param path: the model that the path names: it counts, not the body's.
        :return: the caller's name for the model; empty where none is named, or where that cannot be told.
        """
        self._path = path
        if not self.streamed and self._size:
            whole = self._whole
            if whole is None and self._size <= IN_MEMORY_BYTES:
                whole = self._whole = self._content.read()
            # By its look rather than by its content type: curl calls JSON a form unless it is told.
            if whole is None:
                self._model = self._model_of_file()
            elif whole.startswith(b"{") or _OBJECT.match(whole):
                self._model = model_of(whole)
        return self._named(path or self._model)

    def model_for_certain(self, path: str | None, *, path_counts: bool) -> str:
        """
        The same for a key that may call some models only.

        :param path_counts: whether the provider, too, takes the path's model and not the body's.
        :raises BadRequest: it cannot be told which model is meant.
        """
        self._path = path
        unread = self._unread = not (path_counts and path is not None)
        if self.streamed and unread:
            raise BadRequest(WHICH_MODEL, param="model")
        if self.streamed or not self._size:
            return self._named(path)
        places = find_model(self._view())
        if places is None and path is None:
            raise BadRequest(WHICH_MODEL, param="model")
        if places is not None:
            if places.ambiguous or (unread and places.alike):
                raise BadRequest(_TWICE, param="model")
            self._model = places.name
        return self._named(path or self._model)

    def producer(self, model: str = "") -> IBodyProducer | None:
        """
        :param model: what is to stand in place of the model that the caller names; empty for the body as it is.
        :return: for passing it on; ``None`` where there is none.
        :raises BadRequest: it cannot be told where the model is named.
        """
        if self.streamed:
            return self._stream()
        if not self._size:
            return None
        if not model or model == self._model:
            whole = self._whole
            if whole is not None:
                return BytesBody(whole)
            self._content.seek(0)
            if self._size > IN_MEMORY_BYTES:
                return spooled_body(self._content)
            whole = self._whole = self._content.read()
            return BytesBody(whole)
        body = self._view()
        places = find_model(body)
        if places is not None and places.ambiguous:
            raise BadRequest(_TWICE, param="model")
        pieces = None if places is None and self._path is None else with_model(body, model)
        if isinstance(body, memoryview) and places is not None and pieces is not None:
            return pieces_body(pieces)
        named = b"".join([body] if pieces is None else pieces)
        if self._unread and places is None and ((found := find_model(named)) is None or found.alike):
            raise BadRequest(WHICH_MODEL, param="model")
        return BytesBody(named)

    def asking(self, model: str = "") -> IBodyProducer | None:
        """
        The same, asking for the numbers of a stream.

        :return: ``None`` where it wants no stream, or asks by itself.
        :raises BadRequest: it cannot be told where the model is named.
        """
        body = self.look()
        if body is None or not 0 < self._size <= MAX_READ_BYTES or body.find(b'"stream"') < 0:
            return None
        found = asked(body)
        if found is None or not found[1]:
            return None
        pieces = found[0]
        if model and model != self._model:
            pieces = self._named_too(pieces, model)
        return BytesBody(b"".join(pieces)) if self._size <= IN_MEMORY_BYTES else pieces_body(pieces)

    def _named_too(self, pieces: Sequence[bytes | memoryview], model: str) -> Sequence[bytes | memoryview]:
        """:return: what asks for numbers, with another name for the model."""
        first, *rest = pieces
        if self._size > IN_MEMORY_BYTES and len(rest) == 2:
            # The wish stands behind the first brace, and the model further on: no copy is needed.
            named = with_model(self._view(), model)
            head = named[0] if named else b""
            if named is not None and len(head) >= len(first):
                return [first, rest[0], head[len(first) :], *named[1:]]
        body = b"".join(pieces)
        return with_model(body, model) or [body]

    def whole(self) -> bytes:
        """
        :return: all of it, for reading it here.
        :raises RequestTooLarge: it is longer than ``MAX_READ_BYTES``.
        :raises BadRequest: it is compressed or was not gathered.
        """
        if self.streamed:
            raise BadRequest("A large body must be application/json here.")
        if (self._request.getHeader(b"content-encoding") or b"identity").lower() != b"identity":
            raise BadRequest("The body must not be compressed here: this provider speaks another dialect.", status=415)
        if self._size > MAX_READ_BYTES:
            raise RequestTooLarge.over(MAX_READ_BYTES)
        return self._read()

    def look(self) -> bytes | mmap | None:
        """
        :return: all of it, to look at, and no copy of a long one; ``None`` where it is passed on while it comes.
        """
        if self.streamed:
            return None
        view = self._view()
        if isinstance(view, bytes):
            return view
        pages = view.obj
        return pages if isinstance(pages, mmap) else bytes(view)

    def said(self) -> Mapping[str, str]:
        """
        :return: what it says of the conversation that it belongs to, see ``core.peek.said_in``.
        """
        if self.streamed or not 0 < self._size <= MAX_READ_BYTES:
            return {}
        return said_in(self._read())

    def wants_stream(self) -> bool:
        """
        :return: whether it asks for its answer as a stream of events.
        """
        return not self.streamed and 0 < self._size <= MAX_READ_BYTES and wants_stream(self._read())

    def in_background(self) -> bool:
        """
        :return: whether it asks for a response that is made after the answer.
        """
        return not self.streamed and 0 < self._size <= MAX_READ_BYTES and in_background(self._read())

    def release(self) -> None:
        """It will not be sent again. An answer may take an hour, for which nobody needs it."""
        self._whole = None
        if type(self._content) is BytesIO:
            # A file may still be read by who sends it; the request closes it.
            self._content.close()

    def _named(self, model: str | None) -> str:
        if model:
            self._record.model = printable(model)
        return model or ""

    def _read(self) -> bytes:
        whole = self._whole
        if whole is None:
            self._content.seek(0)
            whole = self._content.read()
            if self._size <= IN_MEMORY_BYTES:
                self._whole = whole
        return whole

    def _view(self) -> bytes | memoryview:
        """All of it, to look at; of a long one no copy."""
        whole = self._whole
        if whole is not None:
            return whole
        return self._read() if self._size <= IN_MEMORY_BYTES else mapped(self._content)

    def _model_of_file(self) -> str | None:
        content = self._content
        content.seek(0)
        if _OBJECT.match(content.read(64)) is None:
            return None
        return model_of(mapped(content))

    def _stream(self) -> IBodyProducer:
        length = self._request.getHeader(b"content-length")

        def count(size: int) -> None:
            self._record.bytes_in += size

        return StreamedBody(self._request.deliver_body, None if length is None else int(length), self._max_bytes, count)
