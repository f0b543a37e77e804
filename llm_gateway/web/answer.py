"""Writing to the client: a provider's answer, or a refusal in the caller's dialect."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from http.client import responses
from typing import cast

from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from llm_gateway.core.dialects import OPENAI, Dialect
from llm_gateway.core.faults import without_words
from llm_gateway.core.headers import Fields
from llm_gateway.core.record import REFUSED, CallRecord, printable, timestamp
from llm_gateway.errors import (
    BadRequest,
    CallerError,
    Draining,
    GatewayError,
    HeadersTooLarge,
    InternalError,
    LimitExceeded,
)
from llm_gateway.web.access_log import AccessLog
from llm_gateway.web.context import CallContext, context_of, new_request_id
from llm_gateway.wire.fields import fields_of

MAX_DROPPED_BYTES = 2_048
"""Of the header that names what was lost, of the request and of the answer."""

_WHAT = (b"Limit", b"Remaining", b"Reset")
_OF_ACCOUNTS = frozenset(
    [b"X-Ratelimit-%b-%b" % (what, kind) for what in _WHAT for kind in (b"Requests", b"Tokens")]
    + [
        b"Anthropic-Ratelimit-%b-%b" % (kind, what)
        for what in _WHAT
        for kind in (b"Requests", b"Tokens", b"Input-Tokens", b"Output-Tokens")
    ]
)
"""The headers in which providers tell how the limits of an account stand."""

_log = Logger()

_REASONS = {int(status): phrase.encode("ascii") for status, phrase in responses.items()}


class Answer:
    """The client's side of a call, for an attempt to write to: a ``upstream.sink.Sink`` over a request."""

    def __init__(self, request: Request, context: CallContext, dialect: Dialect) -> None:
        """
        :param dialect: the one that the body is written in.
        """
        self._request = request
        self._context = context
        self._record = context.record
        self._dialect = dialect
        self.begun = False

    def begin(self, status: int, headers: Fields) -> None:
        self.begun = True
        request = self._request
        # As ``setResponseCode``, which would look at both once more.
        request.code, request.code_message = status, _REASONS.get(status, b"")
        fields = fields_of(request.responseHeaders)
        fields.update(headers)
        _say_who_was_asked(fields, self._record)
        if self._context.account is not None:
            # The provider's own speak of the operator's account, and not of the caller's.
            for name in _OF_ACCOUNTS & fields.keys():
                del fields[name]
            fields.update(self._context.account.fields())
        # Twisted would call an answer without a type text/html.
        request.defaultContentType = None
        self._record.status = status
        self._record.first_byte_s = self._context.since_start()

    def leave_out(self, names: Sequence[str]) -> None:
        """
        Say what the caller cannot be told of the provider's answer: in the log, and in a header if there is time.

        :param names: short ones, and few.
        """
        record = self._record
        record.dropped = printable(",".join(filter(None, (record.dropped, *names))), MAX_DROPPED_BYTES)
        if not self.begun:
            fields_of(self._request.responseHeaders)[b"X-Gw-Dropped"] = [record.dropped.encode("ascii", "replace")]

    def write(self, piece: bytes) -> None:
        self._record.bytes_out += len(piece)
        self._request.write(piece)

    def finish(self) -> None:
        self._request.finish()

    def break_off(self, error: GatewayError, *, stream: bool, inside: bool) -> None:
        if not stream:
            # Without the chunk or the bytes that would complete the answer, so that the client knows.
            self._request.loseConnection()
            return
        frame = self._dialect.error_frame(error, self._context.request_id)
        # A client that was given half an event drops it at the blank line, at the latest when it reads the JSON.
        self.write(b"\n\n" + frame if inside else frame)
        self.finish()

    def abort(self) -> None:
        # The channel's own close would wait for the client to read.
        cast(ITCPTransport, self._request.transport).abortConnection()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._request.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        if self._request._disconnected:
            # There is no channel left to unregister from. Request and producer would hold each other, and with them
            # all that the client has not read, until the garbage collector comes round.
            self._request.producer = None
        else:
            self._request.unregisterProducer()


def _say_who_was_asked(fields: Fields, record: CallRecord) -> None:
    fields[b"X-Gw-Provider"], fields[b"X-Gw-Attempts"] = _who_was_asked(record.provider, record.attempts)


@lru_cache(maxsize=256)
def _who_was_asked(provider: str | None, attempts: int) -> tuple[list[bytes], list[bytes]]:
    """Lists that nobody changes: few providers are asked, over and over."""
    return [(provider or "").encode("ascii", "replace")], [b"%d" % attempts]


def when_client_leaves(request: Request, callback: Callable[[], None]) -> None:
    """
    :param callback: called when the client's connection is lost before the answer was finished.
    """
    tell = getattr(request, "tell_when_lost", None)
    if tell is not None:
        # Ours can do it without a Deferred for each call.
        tell(callback)
    else:
        request.notifyFinish().addErrback(lambda _: callback())


def reason(status: int) -> bytes:
    """
    :return: the usual phrase for a status, Twisted knowing none of the newer ones; empty for one that has none, such as
        529. Nobody decides by it, and the provider's own may be anything.
    """
    return _REASONS.get(status, b"")


def refusal(request: Request, error: GatewayError) -> bytes:
    """
    Set status and headers of an answer that is the gateway's own error, and settle the call.

    :return: the body to write.
    """
    context = context_of(request)
    body = context.dialect.error_body(error, context.request_id)
    request.setResponseCode(error.http_status, reason(error.http_status))
    headers = request.responseHeaders
    headers.setRawHeaders(b"content-type", [b"application/json"])
    headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
    headers.setRawHeaders(b"x-gw-error", [error.kind.encode("ascii")])
    headers.setRawHeaders(b"cache-control", [b"no-store"])
    for name, value in error.headers.items():
        headers.setRawHeaders(name.encode("ascii"), [value.encode("latin-1")])
    if context.record.attempts:
        _say_who_was_asked(fields_of(headers), context.record)
    if context.account is not None:
        fields_of(headers).update(context.account.fields())
    context.record.status = error.http_status
    context.record.bytes_out += len(body)
    unasked = not context.asked_provider and isinstance(error, (CallerError, Draining, LimitExceeded))
    context.settle(REFUSED if unasked else error.ended, error)
    return body


def refuse(request: Request, error: GatewayError) -> int:
    """
    The same, written.

    :return: what a resource's ``render`` returns when it has answered by itself.
    """
    request.write(refusal(request, error))
    request.finish()
    return NOT_DONE_YET


def fault(request: Request, failure: Failure) -> InternalError:
    """
    Log a fault of the gateway's own under the call's id.

    :return: what the caller gets to know of it.
    """
    trace = without_words(failure.value, failure.getTracebackObject())
    request_id = context_of(request).request_id
    _log.critical("A fault in the gateway broke call {request_id}\n{trace}", request_id=request_id, trace=trace)
    return InternalError("The gateway failed to handle this call.")


class EarlyRefusal:
    """
    What the site answers to something that is no request, before there is a path to tell the dialect from.

    It is shaped as OpenAI's, which most clients read, and has an id and a line in the access log as any other answer.
    """

    def __init__(self, log: AccessLog | None) -> None:
        self._log = log

    def __call__(self, status: int, message: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """
        :return: headers and body.
        """
        error = HeadersTooLarge(message) if status == HeadersTooLarge.status else BadRequest(message)
        record = CallRecord(timestamp(time.time()), new_request_id())
        body = OPENAI.error_body(error, record.request_id)
        record.status, record.bytes_out, record.duration_s = status, len(body), 0.0
        record.ended, record.error = error.ended, error.kind
        if self._log is not None:
            self._log.write(record)
        headers = [
            (b"Content-Type", b"application/json"),
            (b"X-Gw-Request-Id", record.request_id.encode("ascii")),
            (b"X-Gw-Error", error.kind.encode("ascii")),
        ]
        return headers, body
