"""A request's body, however the site has kept it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO

from twisted.web.iweb import IBodyProducer
from twisted.web.server import Request

from llm_gateway.core.catalogue import Chosen
from llm_gateway.core.peek import model_of
from llm_gateway.core.record import CallRecord, printable
from llm_gateway.core.renaming import find_model, with_model
from llm_gateway.errors import BadRequest, RequestTooLarge
from llm_gateway.upstream.bodies import mapped, pieces_body, spooled_body
from llm_gateway.web.uploads import StreamedBody
from llm_gateway.wire.upload import BytesBody

IN_MEMORY_BYTES = 1_048_576
"""A request's body up to this size is sent from memory, a larger one from the file that it was spooled to."""


WHICH_MODEL = "This key may call some models only, and it cannot be told which one this request is for."

MAX_READ_BYTES = 33_554_432
"""Of a body that is read and written anew, which stops everything else meanwhile. Anthropic takes no longer one."""


class RequestBody:
    """One request's body. It is taken once, in one of two ways."""

    __slots__ = ("_content", "_max_bytes", "_record", "_request", "_size", "_whole")

    def __init__(self, request: Request, record: CallRecord, max_bytes: int) -> None:
        """
        :param record: told how long it is, and of the model that it names.
        :raises RequestTooLarge: it is longer than ``max_bytes``.
        """
        self._request: Any = request
        self._record = record
        self._max_bytes = max_bytes
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
        # A site that bounds bodies itself has left out the one that is too large; in somebody else's site it is here.
        if size > max_bytes or getattr(request, "body_refused", False):
            raise RequestTooLarge.over(max_bytes)

    @property
    def empty(self) -> bool:
        """Whether there is none, and none still comes."""
        return not self._size and getattr(self._request, "body_stream", None) is None

    def producer(self) -> IBodyProducer | None:
        """
        :return: for passing it on as it is; ``None`` where there is none.
        """
        request = self._request
        if getattr(request, "body_stream", None) is not None:
            return self._streamed()
        if not self._size:
            return None
        content, whole = self._content, self._whole
        if whole is None and self._size <= IN_MEMORY_BYTES:
            whole = content.read()
        if whole is not None:
            # By its look rather than by its content type: curl calls JSON a form unless it is told.
            if whole.startswith(b"{"):
                self._record.model = model_of(whole)
            # An answer may take an hour; the body has to be held once and only until it is sent.
            content.close()
            return BytesBody(whole)
        start = content.read(1)
        content.seek(0)
        if start == b"{":
            # Mapped, not read: one field is wanted, not a copy of the rest.
            with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                self._record.model = model_of(view)
        return spooled_body(content)

    def renamed(
        self, choose: Callable[[str], Chosen], model: str | None, *, must_tell: bool, path_counts: bool = False
    ) -> tuple[IBodyProducer | None, str | None]:
        """
        The same for a model that may be called otherwise by its provider, or may not be called.

        :param choose: from the caller's name for it to the provider's.
        :param model: where the path names it: it counts, not the body's.
        :param must_tell: whether a body is refused of which it cannot be told.
        :param path_counts: whether the provider, too, takes the path's model and not the body's.
        :return: also the provider's name for the model, where one is named.
        :raises ModelNotAllowed: by ``choose``.
        :raises BadRequest: it cannot be told which model is meant.
        """
        name = None if model is None else choose(model).name
        unread = must_tell and not (path_counts and name is not None)
        streamed = getattr(self._request, "body_stream", None) is not None
        if streamed and unread:
            raise BadRequest(WHICH_MODEL)
        if streamed or not self._size:
            return self.producer(), name
        body: bytes | memoryview
        if self._whole is None:
            body = self._content.read() if self._size <= IN_MEMORY_BYTES else mapped(self._content)
        else:
            body = self._whole
        places = find_model(body)
        if places is None and model is None:
            # No JSON, as an upload, or none that names a model: the provider judges it.
            if must_tell:
                raise BadRequest(WHICH_MODEL)
            self._content.seek(0)
            return self.producer(), None
        if places is not None and (places.ambiguous or (unread and places.alike)):
            raise BadRequest("The request names its model more than once.")
        self._content.close()
        if name is None:
            assert places is not None
            name = choose(places.name).name
        asked = model or (places.name if places is not None else name)
        self._record.model = printable(asked)
        pieces = [body] if places is not None and places.name == name else with_model(body, name)
        if isinstance(body, memoryview) and places is not None and pieces is not None:
            return pieces_body(pieces), name
        named = b"".join([body] if pieces is None else pieces)
        if unread and places is None and ((places := find_model(named)) is None or places.alike):
            raise BadRequest(WHICH_MODEL)
        return BytesBody(named), name

    def whole(self) -> bytes:
        """
        :return: all of it, for reading it here.
        :raises RequestTooLarge: it is longer than ``MAX_READ_BYTES``.
        :raises BadRequest: it is compressed or was not gathered.
        """
        request = self._request
        if getattr(request, "body_stream", None) is not None:
            raise BadRequest("A large body must be application/json here.")
        if (request.getHeader(b"content-encoding") or b"identity").lower() != b"identity":
            raise BadRequest("The body must not be compressed here: this provider speaks another dialect.", status=415)
        if self._size > MAX_READ_BYTES:
            raise RequestTooLarge.over(MAX_READ_BYTES)
        body = self._content.read() if self._whole is None else self._whole
        self._content.close()
        return body

    def _streamed(self) -> IBodyProducer:
        length = self._request.getHeader(b"content-length")

        def count(size: int) -> None:
            self._record.bytes_in += size

        return StreamedBody(self._request.deliver_body, None if length is None else int(length), self._max_bytes, count)
