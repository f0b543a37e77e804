"""One call to one provider, from the first byte sent to the settled end."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError
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
from llm_gateway.errors import GatewayError, InternalError, UpstreamError, UpstreamMalformed, UpstreamTimeout
from llm_gateway.upstream.account import READ_ON_BYTES, READ_ON_S, Account, Nowhere
from llm_gateway.upstream.client import Sending, send
from llm_gateway.upstream.failures import disconnected, upstream_error
from llm_gateway.upstream.relay import BODY, END, EVENT, HangUp, Held, Relay
from llm_gateway.upstream.sink import Sink
from llm_gateway.upstream.targets import answer_headers
from llm_gateway.upstream.watch import Watch
from llm_gateway.wire.rounds import together

CODINGS = frozenset({b"gzip", b"x-gzip", b"br", b"deflate", b"zstd", b"compress", b"x-compress"})
"""Content codings that hide what is in an answer. Source: the registry of RFC 9110, section 8.4.1."""

ERRORS_S = 10.0
"""How long the body of an error may take after its status: the call waits for it, and could go on elsewhere."""

_log = Logger()


class ProviderCall(msgspec.Struct, frozen=True):
    """What is sent, and to whom."""

    provider: str
    method: str
    url: bytes
    headers: Headers
    body: IBodyProducer | None
    secrets: tuple[bytes, ...]
    """What ``headers`` carry that no client may get to see, to keep it out of the answer."""
    timeouts: Timeouts


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended."""

    ended: str
    """One of ``core.record.ENDINGS``."""
    error: GatewayError | None = None
    unanswered: bool = False
    """Whether the client has got nothing and still waits: somebody has to tell it of the error, or give it ``held``."""
    held: Held | None = None
    """The provider's answer, where it is an error; as far as it came where it broke off, which is ``error``."""
    event: bool = False
    """Whether that error is the first event of a stream, or that there was none, rather than the whole answer."""


class Owner(Protocol):
    """Who has an attempt made, and decides what becomes of it."""

    def content(self, attempt: Attempt) -> bool:
        """
        The first byte of an answer is there for the client.

        :return: whether it may go there.
        """

    def over(self, attempt: Attempt, outcome: Outcome) -> None:
        """The attempt has ended. Called once, unless it was dropped."""


class _Nobody:
    """Who is told when all has been told."""

    def content(self, attempt: Attempt) -> bool:
        return False

    def over(self, attempt: Attempt, outcome: Outcome) -> None:
        """Nothing."""


_nobody = _Nobody()


class Attempt:
    """
    Sends one call and relays its answer.

    It is in one of four states, told by what it holds:

    ==========  ==========================  ===============================================================
    state       holds                       an error, a clock or a drain leads to
    ==========  ==========================  ===============================================================
    sending     ``_sending``                the error in the outcome: no byte has reached the client
    holding     ``_relay``, sink not begun  the same
    relaying    ``_relay``, sink begun      an error event, or a cut connection where there is no room for one
    settled     neither                     nothing
    ==========  ==========================  ===============================================================
    """

    __slots__ = (
        "_account",
        "_call",
        "_client",
        "_clock",
        "_content_type",
        "_ended_well",
        "_outcome",
        "_over",
        "_owner",
        "_patience",
        "_reactor",
        "_reading_on",
        "_relay",
        "_request_id",
        "_sending",
        "_streaming",
        "_timer",
        "_watch",
        "_whole",
        "dialect",
        "sink",
        "turn",
    )

    def __init__(
        self,
        call: ProviderCall,
        client: HTTPClient,
        clock: IReactorTime,
        watch: Watch,
        sink: Sink,
        dialect: Dialect,
        request_id: str,
        owner: Owner,
        account: Account | None = None,
    ) -> None:
        """
        :param watch: looks at attempts after ``call.timeouts.first_look_s``.
        :param dialect: the one that the provider speaks, to know the end of a stream.
        """
        self._call = call
        self._client = client
        self._reactor = clock
        self._watch = watch
        self.sink = sink
        """Where the answer goes."""
        self.turn: Any = None
        """Its owner's own."""
        self.dialect = dialect
        self._request_id = request_id
        self._owner: Owner = owner
        self._account = account
        self._whole = False
        self._reading_on = False
        self._timer: IDelayedCall | None = None
        self._patience: IDelayedCall | None = None
        self._sending: Sending | None = None
        self._relay: Relay | None = None
        self._streaming = False
        self._content_type = b""
        self._ended_well = record.OK
        self._outcome: Outcome | None = None
        self._over = False
        now = clock.seconds()
        self._clock = CallClock(call.timeouts, now)
        watch.enter(self, now)

    def run(self) -> None:
        """Send the call. That and all that follows may happen before this returns."""
        if self._over:
            # Dropped before its turn came.
            return
        call = self._call
        try:
            self._sending = send(
                self._client, call.method, call.url, call.headers, call.body, self._answered, self._not_answered
            )
        except Exception:
            self._not_answered(Failure())

    @property
    def failed(self) -> int | None:
        """The status of an answer that is an error; ``None`` of any other, and where there is none."""
        relay = self._relay
        return relay.status if relay is not None and relay.waits_for_end and not relay.begun else None

    def drop(self, ended: str = record.CLIENT_GONE) -> None:
        """
        Its answer is not wanted any more: the provider's connection is closed at once, and nobody is told.

        :param ended: what its account says.
        """
        # First: it may be on its way to tell, and called the client on that way.
        if not self._reading_on:
            self._owner = _nobody
        if self._over:
            return
        self._over = True
        relay = self._relay
        self._hang_up()
        if relay is not None:
            relay.let_go()
        self._settle(Outcome(ended))

    def let_go(self, ended: str, reader: Owner) -> bool:
        """
        The client has no use for its answer any more. Drop it, unless its account reads on to know what was used.

        :param reader: told of the end if it is read on.
        :return: whether it is.
        """
        account, relay = self._account, self._relay
        reads_on = ended == record.CLIENT_GONE and account is not None and account.reads_on and not self._over
        if not reads_on or (relay is not None and relay.failed):
            self.drop(ended)
            return False
        self._owner = reader
        self._reading_on = True
        self.sink = Nowhere(READ_ON_BYTES, self.drop)
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self._reactor.callLater(READ_ON_S, self._read_enough)
        if relay is not None:
            relay.divert(self.sink)
        return True

    def _read_enough(self) -> None:
        self._patience = None
        self.drop()

    def answered(self) -> None:
        """The sink has found that the answer is whole, although the provider has not ended it."""
        relay, self._relay = self._relay, None
        if relay is None:
            # It is being finished anyway.
            return
        self._whole = True
        relay.linger(self._reactor)
        try:
            self.sink.finish()
        except Exception:
            self._fail_with(Failure())
        else:
            self._settle(Outcome(self._ended_well))

    def stop(self, error: GatewayError) -> None:
        """End the call on the gateway's own account, as at the end of a drain."""
        self._fail(error)

    # What happens

    def _answered(self, response: IResponse) -> None:
        self._sending = None
        try:
            if self._over or not 200 <= response.code <= 599:
                response.deliverBody(HangUp())
                name = self._call.provider
                self._fail(UpstreamMalformed(f"Provider {name!r} answered with no status that HTTP has."))
                return
            relay = self._relay = self._relay_of(response)
        except Exception:
            self._fault(Failure())
            # Unread and open, its connection would stay for good.
            response.deliverBody(HangUp())
            return
        if relay.waits_for_end:
            self._patience = self._reactor.callLater(ERRORS_S, self._too_slow)
        try:
            response.deliverBody(relay)
        except Exception:
            self._fault(Failure())

    def _too_slow(self) -> None:
        """Its status tells enough."""
        self._patience = None
        if self._relay is not None and self._relay.failed:
            message = f"Provider {self._call.provider!r} took longer than {ERRORS_S:g} s to say what its error is."
            self._fail(UpstreamTimeout(message, clock="idle"))

    def _relay_of(self, response: IResponse) -> Relay:
        call, code, account = self._call, response.code, self._account
        headers = answer_headers(response.headers, call.secrets)
        head_only = call.method == "HEAD"
        if not head_only:
            headers.pop(b"Content-Length", None)
        types = headers.get(b"Content-Type")
        content_type = self._content_type = types[0].lower() if types else b""
        encodings = headers.get(b"Content-Encoding")
        # Only what really is encoded cannot be read: some servers say "none" or "utf-8" to mean just that.
        encoded = encodings is not None and encodings[0].lower().strip() in CODINGS
        framing: Framing
        length = None
        if content_type.startswith(b"text/event-stream"):
            self._streaming = not encoded
            framing = Unframed() if encoded else WholeEvents()
            # Without a length, since a stream may have to be ended with an event of our own.
            for name, value in EVENT_STREAM_HEADERS.items():
                headers[name] = [value]
        else:
            framing = Unframed()
            if isinstance(response.length, int) and not head_only and code not in NO_BODY_CODES:
                # Twisted takes the length out of the headers; of an answer to HEAD it does not know the real one.
                length = response.length
                headers[b"Content-Length"] = [b"%d" % length]
        tee = None
        if account is not None:
            stream = content_type.startswith(b"text/event-stream")
            tee = account.answered(code, stream=stream, encoded=encoded, stop=self.stop)
        wait = EVENT if self._streaming else BODY
        if code >= 400:
            wait = END
            if code >= 500:
                self._ended_well = record.UPSTREAM_ERROR
        mask = None if encoded else masking(call.secrets)
        return Relay(
            self.sink,
            code,
            headers,
            framing,
            mask,
            length,
            self._clock,
            self._reactor.seconds,
            self._body_ended,
            wait,
            self._content,
            self._failed_event,
            tee,
            keep=account is not None and account.reads_on,
        )

    def _content(self) -> bool:
        return self._owner.content(self)

    def _failed_event(self) -> None:
        relay, self._relay = self._relay, None
        assert relay is not None
        held = relay.held()
        # What may follow says no more, and may never end.
        relay.hang_up()
        self._settle(Outcome(record.UPSTREAM_ERROR, unanswered=True, held=held, event=True))

    def _not_answered(self, failure: Failure) -> None:
        self._sending = None
        if not self._over:
            self._fail_with(failure)

    def _body_ended(self, reason: Failure) -> None:
        try:
            self._conclude(reason)
        except Exception:
            # Twisted would log it and forget the call; its client is still waiting.
            self._fail_with(Failure())

    def _conclude(self, reason: Failure) -> None:
        assert self._relay is not None
        if isinstance(reason.value, ResponseDone) or self._came_to_its_end(reason, self._relay.tail):
            relay, self._relay = self._relay, None
            self._whole = True
            if relay.waits_for_end and not relay.begun:
                self._settle(Outcome(self._ended_well, unanswered=True, held=relay.held()))
                return
            if not relay.begun and relay.status == 200 and self._call.method == "POST" and relay.is_without_event():
                # Nothing was generated. What is asked for by GET may be the rest of a stream, which may be empty.
                self._settle(Outcome(record.UPSTREAM_ERROR, unanswered=True, held=relay.held(), event=True))
                return
            relay.finish()
            self._settle(Outcome(self._ended_well))
        elif reason.check(PotentialDataLoss):
            self._fail(disconnected(self._call.provider))
        else:
            self._fail_with(reason)

    def look(self) -> None:
        """See whether one of the clocks has run out."""
        self._timer = None
        which = self._clock.expired(self._reactor.seconds())
        if which is None:
            wait = max(0.0, self._clock.due_at() - self._reactor.seconds())
            self._timer = self._reactor.callLater(wait, self.look)
        elif which == "idle" and self._relay is not None and self._relay.paused:
            # It is the client that stands still; the provider was only waiting for it.
            relay, self._relay = self._relay, None
            relay.hang_up()
            relay.let_go()
            self.sink.abort()
            self._settle(Outcome(record.CLIENT_STALLED))
        else:
            limit = getattr(self._call.timeouts, f"{which}_s")
            self._fail(
                UpstreamTimeout(
                    f"Provider {self._call.provider!r} took longer than {limit:g} s "
                    f"({which.replace('_', ' ')} timeout).",
                    clock=which,
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
        self._log_fault(failure)
        self._fail(InternalError("The gateway failed to handle this call."))

    def _log_fault(self, failure: Failure) -> None:
        trace = without_words(failure.value, failure.getTracebackObject())
        _log.critical(
            "A fault in the gateway broke call {request_id}\n{trace}", request_id=self._request_id, trace=trace
        )

    def _fail(self, error: GatewayError) -> None:
        if self._over:
            return
        # First: hanging up is answered at once.
        self._over = True
        relay = self._relay
        self._hang_up()
        if not self.sink.begun:
            held = None
            if relay is not None:
                relay.let_go()
                # The provider has refused the call; that it did not come to the end of saying why changes nothing.
                held = relay.held() if relay.failed and isinstance(error, UpstreamError) else None
            self._settle(Outcome(error.ended, error, unanswered=True, held=held))
            return
        try:
            if relay is not None:
                relay.break_off(error, stream=self._streaming)
            else:
                self.sink.break_off(error, stream=self._streaming, inside=False)
        except Exception:
            self._log_fault(Failure())
            self._settle(Outcome(error.ended, error))
            # Its client would wait for the rest.
            self.sink.abort()
        else:
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
        self._watch.leave(self)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        patience, self._patience = self._patience, None
        if patience is not None:
            patience.cancel()
        # It and what it calls hold each other; without this they would wait for the garbage collector.
        owner, self._owner = self._owner, _nobody
        if self._account is not None and self._outcome is None:
            self._outcome = outcome
            together(Attempt._close_account, self)
        owner.over(self, outcome)

    def _close_account(self) -> None:
        account, self._account = self._account, None
        outcome, self._outcome = self._outcome, None
        if account is None or outcome is None:
            return
        ended = record.CLIENT_GONE if self._reading_on else outcome.ended
        try:
            account.over(ended, outcome.error, whole=self._whole)
        except Exception:
            self._log_fault(Failure())

    def _came_to_its_end(self, reason: Failure, tail: bytes) -> bool:
        """Whether an answer of which HTTP does not say so was whole when the connection ended."""
        if not reason.check(ResponseFailed, PotentialDataLoss):
            return False
        if self._streaming:
            # Cut off between its last event and the end of its framing, a stream has lost nothing; clients that have
            # seen it end would take an error behind that end for a failed call.
            return self.dialect.ends_stream(tail)
        if not reason.check(PotentialDataLoss):
            return False
        if b"json" in self._content_type:
            return tail.rstrip().endswith((b"}", b"]"))
        # Nothing tells; an old server that ends its answers this way must still be usable.
        return True
