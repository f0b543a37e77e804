"""One call to one provider, from the first byte sent to the settled end."""

from __future__ import annotations

from typing import Any

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import NO_BODY_CODES, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse

from llm_gateway.core import record
from llm_gateway.core.clocks import CallClock, Timeouts
from llm_gateway.core.dialects import Dialect
from llm_gateway.core.faults import without_words
from llm_gateway.core.framing import Framing, Unframed, WholeEvents
from llm_gateway.core.headers import EVENT_STREAM_HEADERS
from llm_gateway.core.masking import masking
from llm_gateway.errors import GatewayError, InternalError, UpstreamMalformed, UpstreamTimeout
from llm_gateway.upstream.failures import disconnected, upstream_error
from llm_gateway.upstream.relay import HangUp, Relay
from llm_gateway.upstream.sink import Sink
from llm_gateway.upstream.targets import answer_headers

CODINGS = frozenset({b"gzip", b"x-gzip", b"br", b"deflate", b"zstd", b"compress", b"x-compress"})
"""Content codings that hide what is in an answer. Source: the registry of RFC 9110, section 8.4.1."""

_log = Logger()


@attrs.frozen
class ProviderCall:
    """What is sent, and to whom."""

    provider: str
    method: str
    url: bytes
    headers: Headers
    body: IBodyProducer | None
    secrets: tuple[bytes, ...]
    """What ``headers`` carry that no client may get to see, to keep it out of the answer."""
    timeouts: Timeouts


@attrs.frozen
class Outcome:
    """How an attempt ended after the client had got something, or had left."""

    ended: str
    """One of ``core.record.ENDINGS``."""
    error: GatewayError | None = None


class Attempt:
    """
    Sends one call and relays its answer.

    It is in one of four states, told by what it holds:

    ==========  ==========================  ===============================================================
    state       holds                       an error, a clock or a drain leads to
    ==========  ==========================  ===============================================================
    sending     ``_sending``                the error, raised: no byte has reached the client
    holding     ``_relay``, not begun       the same
    relaying    ``_relay``, begun           an error event, or a cut connection where there is no room for one
    settled     neither                     nothing
    ==========  ==========================  ===============================================================
    """

    def __init__(
        self, call: ProviderCall, client: HTTPClient, clock: IReactorTime, sink: Sink, dialect: Dialect, request_id: str
    ) -> None:
        """
        :param dialect: the one that the answer speaks, for an error event in a stream.
        """
        self._call = call
        self._client = client
        self._reactor = clock
        self._sink = sink
        self._dialect = dialect
        self._request_id = request_id
        self._clock = CallClock(call.timeouts, clock.seconds())
        self._timer: IDelayedCall | None = None
        self._sending: Deferred[Any] | None = None
        self._relay: Relay | None = None
        self._streaming = False
        self._content_type = b""
        self._ended_well = record.OK
        self._over = False
        self._done: Deferred[Outcome] = Deferred(self._client_left)

    def run(self) -> Deferred[Outcome]:
        """
        :return: fires when the answer is over, whole or not. Cancel it when the client has left: the provider's
            connection is closed at once and the outcome is ``client_gone``.
        :raises GatewayError: through the Deferred, and only while nothing has reached the client.
        """
        self._arm(self._clock.first_look_at())
        call = self._call
        sending = self._sending = maybeDeferred(
            self._client.request,
            call.method,
            call.url,
            headers=call.headers,
            data=call.body,
            unbuffered=True,
            allow_redirects=False,
        )
        # Either may happen before the next line, and with it the whole call.
        sending.addCallbacks(self._answered, self._not_answered)
        # What is left over is a fault of ours, in one of the two above.
        sending.addErrback(self._fault)
        return self._done

    def stop(self, error: GatewayError) -> None:
        """End the call on the gateway's own account, as at the end of a drain."""
        self._fail(error)

    # What happens

    def _answered(self, response: IResponse) -> None:
        self._sending = None
        if not 200 <= response.code <= 599:
            response.deliverBody(HangUp())
            self._fail(UpstreamMalformed(f"Provider {self._call.provider!r} answered with no status that HTTP has."))
            return
        try:
            relay = self._relay = self._relay_of(response)
        except Exception:
            # Unread and open, its connection would stay for good.
            response.deliverBody(HangUp())
            raise
        response.deliverBody(relay)

    def _relay_of(self, response: IResponse) -> Relay:
        call = self._call
        headers = answer_headers(response.headers, call.secrets)
        if call.method != "HEAD":
            headers = [each for each in headers if each[0] != b"content-length"]
        self._content_type = _first(response.headers, b"content-type").lower()
        # Only what really is encoded cannot be read: some servers say "none" or "utf-8" to mean just that.
        encoded = _first(response.headers, b"content-encoding").lower().strip() in CODINGS
        self._streaming = self._content_type.startswith(b"text/event-stream") and not encoded
        framing: Framing = WholeEvents() if self._streaming else Unframed()
        if self._content_type.startswith(b"text/event-stream"):
            # Without a length, since a stream may have to be ended with an event of our own.
            headers = [each for each in headers if each[0] not in EVENT_STREAM_HEADERS]
            headers += [(name, [value]) for name, value in EVENT_STREAM_HEADERS.items()]
        elif isinstance(response.length, int) and call.method != "HEAD" and response.code not in NO_BODY_CODES:
            # Twisted takes the length out of the headers; of an answer to HEAD it does not know the real one.
            headers.append((b"content-length", [b"%d" % response.length]))
        if response.code >= 500:
            self._ended_well = record.UPSTREAM_ERROR
        mask = None if encoded else masking(call.secrets)
        return Relay(self._sink, response.code, headers, framing, mask, self._byte_came, self._body_ended)

    def _not_answered(self, failure: Failure) -> None:
        self._sending = None
        if not self._over:
            self._fail_with(failure)

    def _byte_came(self) -> None:
        # The timer is set anew when it fires, rather than for every piece.
        self._clock.byte_came(self._reactor.seconds())

    def _body_ended(self, reason: Failure) -> None:
        try:
            self._conclude(reason)
        except Exception:
            # Twisted would log it and forget the call; its client is still waiting.
            self._fault(Failure())

    def _conclude(self, reason: Failure) -> None:
        assert self._relay is not None
        if reason.check(ResponseDone) or self._came_to_its_end(reason, self._relay.tail):
            relay, self._relay = self._relay, None
            relay.finish()
            self._settle(Outcome(self._ended_well))
        elif reason.check(PotentialDataLoss):
            self._fail(disconnected(self._call.provider))
        else:
            self._fail_with(reason)

    def _client_left(self, _done: Deferred[Outcome]) -> None:
        self._over = True
        relay = self._relay
        self._hang_up()
        if relay is not None and relay.begun:
            self._sink.unregisterProducer()
        self._settle(Outcome(record.CLIENT_GONE))

    def _time_is_up(self) -> None:
        self._timer = None
        which = self._clock.expired(self._reactor.seconds())
        if which is None:
            self._arm(self._clock.due_at())
        elif which == "idle" and self._relay is not None and self._relay.paused:
            # It is the client that stands still; the provider was only waiting for it.
            relay, self._relay = self._relay, None
            relay.hang_up()
            self._sink.unregisterProducer()
            self._sink.abort()
            self._settle(Outcome(record.CLIENT_STALLED))
        else:
            limit = getattr(self._call.timeouts, f"{which}_s")
            self._fail(
                UpstreamTimeout(
                    f"Provider {self._call.provider!r} took longer than {limit:g} s "
                    f"({which.replace('_', ' ')} timeout)."
                )
            )

    # Ways out

    def _fail_with(self, failure: Failure) -> None:
        try:
            error = upstream_error(failure, self._call.provider)
        except CancelledError:
            error = disconnected(self._call.provider)
        except Exception:
            self._fault(failure)
            return
        error.__cause__ = failure.value
        self._fail(error)

    def _fault(self, failure: Failure) -> None:
        trace = without_words(failure.value, failure.getTracebackObject())
        _log.critical(
            "A fault in the gateway broke call {request_id}\n{trace}", request_id=self._request_id, trace=trace
        )
        self._fail(InternalError("The gateway failed to handle this call."))

    def _fail(self, error: GatewayError) -> None:
        if self._over:
            return
        self._over = True
        relay = self._relay
        self._hang_up()
        if relay is None or not relay.begun:
            self._stop_timer()
            self._done.errback(error)
            return
        relay.break_off(self._dialect.error_frame(error, self._request_id) if self._streaming else None)
        self._settle(Outcome(error.ended, error))

    def _hang_up(self) -> None:
        """Close the provider's connection, whatever state it is in."""
        sending, self._sending = self._sending, None
        relay, self._relay = self._relay, None
        if sending is not None:
            sending.cancel()
        if relay is not None:
            relay.hang_up()

    def _settle(self, outcome: Outcome) -> None:
        self._over = True
        self._stop_timer()
        self._done.callback(outcome)

    def _came_to_its_end(self, reason: Failure, tail: bytes) -> bool:
        """Whether an answer of which HTTP does not say so was whole when the connection ended."""
        if not reason.check(ResponseFailed, PotentialDataLoss):
            return False
        if self._streaming:
            # Cut off between its last event and the end of its framing, a stream has lost nothing; clients that have
            # seen it end would take an error behind that end for a failed call.
            return self._dialect.ends_stream(tail)
        if not reason.check(PotentialDataLoss):
            return False
        if b"json" in self._content_type:
            return tail.rstrip().endswith((b"}", b"]"))
        # Nothing tells; an old server that ends its answers this way must still be usable.
        return True

    # The timer

    def _arm(self, when: float) -> None:
        self._timer = self._reactor.callLater(max(0.0, when - self._reactor.seconds()), self._time_is_up)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _first(headers: Headers, name: bytes) -> bytes:
    values = headers.getRawHeaders(name)
    return values[0] if values else b""
