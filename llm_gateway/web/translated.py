"""A provider's answer on its way to a caller who speaks another dialect."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IPushProducer

from llm_gateway.core.headers import EVENT_STREAM_HEADERS, Fields
from llm_gateway.core.translation.translation import Interpreter, StreamTranslation, failure_of
from llm_gateway.errors import GatewayError, UpstreamMalformed
from llm_gateway.upstream.attempt import CODINGS
from llm_gateway.web.answer import Answer

MAX_WHOLE_BYTES = 67_108_864
"""Of an answer that is translated as one, or gathered from a stream that nobody asked for: a dozen images."""

MAX_FAILURE_BYTES = 1_048_576
"""Of an answer that is an error."""

_OF_THE_BODY = (
    b"Content-Type",
    b"Content-Length",
    b"Content-Encoding",
    b"Content-Language",
    b"Content-Md5",
    b"Digest",
    b"ETag",
    b"Last-Modified",
    b"Accept-Ranges",
    b"Content-Range",
    b"Cache-Control",
    b"X-Accel-Buffering",
)
"""What a provider says of a body that its caller does not get."""

_IDS = (b"Request-Id", b"X-Request-Id")
"""Where providers name a call: Anthropic, and all others. Each SDK looks for its own."""


class TranslatedAnswer:
    """
    A ``upstream.sink.Sink`` that writes to another one in the caller's dialect.

    A stream is translated event by event. Everything else is gathered first: nothing reaches the client before it is
    whole, so that until then it can still be answered with an error.
    """

    def __init__(
        self, answer: Answer, translation: Interpreter, request_id: str, secrets: Sequence[bytes] = ()
    ) -> None:
        """
        :param secrets: what the provider was called with. It has been masked in what came; what stood there escaped,
            as ``+`` and ``/`` are by some, is plain only now.
        """
        self._answer = answer
        self._secrets = secrets
        self._translation = translation
        self._request_id = request_id
        self._status = 0
        self._headers: Fields = {}
        self._stream: StreamTranslation | None = None
        self._pieces: list[bytes] = []
        self._left = 0
        self._unreadable = False
        self.when_whole: Callable[[], None] | None = None
        """Called when all of the answer is there, which can be before the provider ends its own: some keep a stream
        open behind its last event. ``finish`` is due then."""
        self.failed = False
        """Whether the provider's stream ended with an error of its own."""

    @property
    def begun(self) -> bool:
        return self._answer.begun

    def begin(self, status: int, headers: Fields) -> None:
        self._unreadable = headers.get(b"Content-Encoding", [b""])[0].lower().strip() in CODINGS
        if self._unreadable and status < 400:
            raise UpstreamMalformed("The provider compressed an answer that it was asked not to compress.")
        content_type = headers.get(b"Content-Type", [b""])[0].lower()
        self._status = status
        self._headers = {name: values for name, values in headers.items() if name not in _OF_THE_BODY}
        named = next((headers[name] for name in _IDS if name in headers), None)
        if named is not None:
            self._headers.update(dict.fromkeys(_IDS, named))
        self._left = MAX_FAILURE_BYTES if status >= 400 else MAX_WHOLE_BYTES
        if status < 400 and content_type.startswith(b"text/event-stream"):
            self._stream = self._translation.streamed()

    def write(self, piece: bytes) -> None:
        stream = self._stream
        if stream is None or not self._translation.stream:
            self._gather(piece)
            return
        body = stream.feed(piece)
        if body:
            if not self._answer.begun:
                self._begin_stream()
            self._write(body)
        if stream.over:
            self._tell()
        elif stream.decoder.broken is not None:
            raise stream.decoder.broken

    def _tell(self) -> None:
        # Once, and not held any longer: who is told holds this object.
        tell, self.when_whole = self.when_whole, None
        if tell is not None:
            tell()

    def _gather(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._left < 0:
            raise UpstreamMalformed("The provider's answer is too long to be translated.")
        if self._stream is not None:
            self._stream.feed(piece)
            if self._stream.over:
                self._tell()
            elif self._stream.decoder.broken is not None:
                raise self._stream.decoder.broken
        elif not self._unreadable:
            self._pieces.append(piece)

    def finish(self) -> None:
        body = b"".join(self._pieces)
        self._pieces.clear()
        if self._status >= 400:
            status, body, failure = self._translation.failure(self._status, body, self._request_id)
            if failure.retry_after_s is not None:
                # Google says it in the body only.
                self._headers.setdefault(b"Retry-After", [b"%d" % max(1, math.ceil(failure.retry_after_s))])
            self._whole(status, body)
        elif self._stream is None:
            body = self._translation.answer(body)
            self._tell_unsaid()
            self._send(body)
        else:
            self._end(self._stream)
        self._answer.finish()

    def _end(self, stream: StreamTranslation) -> None:
        rest = stream.close()
        self.failed = stream.failure is not None
        self._tell_unsaid()
        if stream.failure is not None and not self.begun:
            self._whole(*self._translation.said(stream.failure, self._request_id))
        else:
            self._send(rest)

    def _tell_unsaid(self) -> None:
        if self._translation.unsaid:
            self._answer.leave_out(self._translation.unsaid)

    def break_off(self, error: GatewayError, *, stream: bool, inside: bool) -> None:
        assert self._stream is not None  # nothing else begins before it is whole
        self._write(self._stream.fail(failure_of(error)))
        self._answer.finish()

    def abort(self) -> None:
        self._answer.abort()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._answer.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._answer.unregisterProducer()

    def _send(self, body: bytes) -> None:
        """The last piece of a stream, or the whole answer to a caller that wants none."""
        if not self._translation.stream:
            self._whole(self._status, body)
            return
        if not self.begun:
            self._begin_stream()
        if body:
            self._write(body)

    def _begin_stream(self) -> None:
        own = {name: [value] for name, value in EVENT_STREAM_HEADERS.items()}
        headers = {**self._headers, b"Content-Type": [self._translation.stream_type], **own}
        self._answer.begin(self._status, headers)

    def _whole(self, status: int, body: bytes) -> None:
        headers = {b"Content-Type": [b"application/json"], b"Content-Length": [b"%d" % len(body)]}
        self._answer.begin(status, {**self._headers, **headers})
        self._write(body)

    def _write(self, body: bytes) -> None:
        for secret in self._secrets:
            if secret in body:
                body = body.replace(secret, b"*" * len(secret))
        self._answer.write(body)
