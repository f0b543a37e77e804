"""What one attempt used, from the moment before it is sent until its row is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from llm_gateway.core.apis import Api
from llm_gateway.core.limits.claims import Reservation, Want
from llm_gateway.core.prices.values import Rates
from llm_gateway.core.record import printable
from llm_gateway.core.usage.metering import Meter, Reading, meter_for
from llm_gateway.core.usage.values import NOTHING, Source, Usage
from llm_gateway.errors import BudgetExceeded, GatewayError, UpstreamUnreachable
from llm_gateway.ledger.row import Row
from llm_gateway.web.room import more_room
from llm_gateway.wire.rounds import together

if TYPE_CHECKING:
    from llm_gateway.web.accounts import Books
    from llm_gateway.web.call_account import CallAccount

__all__ = ["AttemptAccount"]

# Members of an enum take Python a tenth of a microsecond to find.
_PROVIDER = Source.PROVIDER

_LEAST_LOOK_BYTES = 256
"""Between two looks at how much has been written: with it, what a stream can write beyond its limits."""

_MOST_BYTES_PER_TOKEN = 16
"""With its frame, as far as it decides when to look again. A stream may grow denser: if every fourth byte is a token
from then on, it writes half as much again as it has room for before the next look, which is less than a quantum."""

_PROGRESS_BYTES = 8_192
"""Of an answer, between two notes in the journal of what is known of it: with it, what a stream's row may lack whose
gateway was killed."""


class AttemptAccount:
    """One attempt's: an ``upstream.account.Account``."""

    __slots__ = (
        "_api",
        "_books",
        "_call",
        "_dense",
        "_dialect",
        "_feed_meter",
        "_granted",
        "_left",
        "_meter",
        "_noted",
        "_rates",
        "_reservation",
        "_row",
        "_started",
        "_stop",
        "_whole",
        "reads_on",
    )

    def __init__(
        self,
        books: Books,
        call: CallAccount,
        row: Row,
        dialect: str,
        api: Api,
        reservation: Reservation | None,
        rates: Rates | None,
    ) -> None:
        """
        :param reservation: with the credential's own limits.
        :param rates: where the credential has a budget.
        """
        self._books = books
        self._call = call
        self._row = row
        self._dialect = dialect
        self._api = api
        self._reservation = reservation
        self._granted = 0 if reservation is None else reservation.granted.output
        """Tokens that may be written as far as the credential's limits are concerned."""
        self._rates = rates
        self.reads_on = call.reads_on
        self._started = books.clock.seconds()
        self._meter: Meter | None = None
        self._feed_meter: Callable[[bytes], None] = _nothing
        self._left = 0
        self._noted = 0
        self._dense = False
        """Whether a byte of what comes may be more than one of what was written."""
        self._stop: Callable[[GatewayError], None] = _nothing
        self._whole = False

    def answered(
        self, status: int, *, stream: bool, encoded: bool, stop: Callable[[GatewayError], None]
    ) -> Callable[[bytes], None] | None:
        row = self._row
        row.status = status
        if status >= 400:
            # Nobody bills for it.
            row.usage, row.source = NOTHING, Source.NONE
            return None
        method, path = row.method.encode("ascii"), self._call.path
        meter = self._meter = meter_for(self._dialect, self._api, stream, encoded, method=method, path=path)
        if not stream:
            # It was all written before it came.
            row.first_token_us = self._elapsed_us()
            return meter.feed
        row.stream, self._dense = True, encoded
        self._feed_meter = meter.feed
        self._stop = stop
        return self._feed

    def _feed(self, piece: bytes) -> None:
        self._feed_meter(piece)
        left = self._left = self._left - len(piece)
        if left < 0:
            self._look()

    def _look(self) -> None:
        """See what has come, when it is time."""
        row, meter, call = self._row, self._meter, self._call
        assert meter is not None
        if row.first_token_us is None:
            row.first_token_us = self._elapsed_us()
        came = meter.output_bytes
        next_look = _PROGRESS_BYTES
        if call.limited or self._reservation is not None:
            # No token is shorter than a byte, and most have a frame of many.
            room = 0 if self._dense else self._room() - came
            if room <= 0:
                written = meter.so_far().output_tokens
                if written + _LEAST_LOOK_BYTES > self._room() and not self._extend(written) and written >= self._room():
                    self._stop(BudgetExceeded("What this key may use is used up; the answer ends here."))
                    return
                # At the pace until now, half of what is left.
                room = int((self._room() - written) * min(came / (written or 1), _MOST_BYTES_PER_TOKEN) / 2)
            next_look = min(next_look, max(room, _LEAST_LOOK_BYTES))
        if came - self._noted >= _PROGRESS_BYTES and self._books.ledger is not None:
            self._noted = came
            so_far = meter.so_far()
            row.usage = msgspec.structs.replace(so_far, input=so_far.input or call.expected.input)
            self._books.ledger.progress(row)
        self._left = next_look

    def _room(self) -> int:
        """:return: tokens that may be written, by the limits of the call and by those of the credential."""
        call = self._call
        if self._reservation is None:
            return call.granted
        return min(self._granted, call.granted) if call.limited else self._granted

    def _extend(self, written: int) -> bool:
        """
        :return: whether there is some more room, wherever it is needed.
        """
        call, needed = self._call, written + _LEAST_LOOK_BYTES
        more = needed <= call.granted or call.extend(written)
        if self._reservation is not None and needed > self._granted:
            before = self._granted
            self._granted = more_room(self._books.limiter, self._reservation, before, written, self._nano)
            more = more and self._granted > before
        return more

    def _nano(self, output: int) -> int:
        return 0 if self._rates is None else self._call.most(self._rates, output)

    def over(self, ended: str, error: GatewayError | None, *, whole: bool) -> None:
        books, row = self._books, self._row
        row.ended = ended
        row.error = None if error is None else error.kind
        row.duration_us = self._elapsed_us()
        self._stop = self._feed_meter = _nothing
        self._whole = whole
        try:
            self._read(error, whole=whole)
            books.rate(row)
        finally:
            # Also where what came cannot be made sense of: the row has what was known of it last.
            together(AttemptAccount._write, self)

    def _read(self, error: GatewayError | None, *, whole: bool) -> None:
        """Put into the row what the answer says of itself."""
        call, row = self._call, self._row
        reading = self._reading(error, whole)
        usage, row.source = reading.usage, reading.source
        if usage.tier or usage.pieces:
            usage = self._told(usage)
        row.usage = usage
        if reading.model and reading.model != row.model:
            row.model = printable(call.without_keys(reading.model, row.credential), 256)

    def _write(self) -> None:
        ledger = self._books.ledger
        try:
            if ledger is not None:
                ledger.end(self._row)
        finally:
            together(AttemptAccount._settle, self)

    def _settle(self) -> None:
        """Count what was used, and give back what was not."""
        books, call, row = self._books, self._call, self._row
        usage, nano = row.usage, row.cost or 0
        if self._reservation is not None:
            used = Want(1, usage.input_tokens, usage.output_tokens, nano)
            books.limiter.settle(self._reservation, used)
        if self._whole and row.source is _PROVIDER and call.limited and call.expected.output is None:
            books.expectation.learn(row.provider, row.model or "", usage.output_tokens)
        call.ended(usage, nano)

    def _told(self, usage: Usage) -> Usage:
        """:return: the same without keys: a provider may name things as it likes, and what it was asked with."""
        without, credential = self._call.without_keys, self._row.credential
        pieces = {without(name, credential): count for name, count in usage.pieces.items()}
        return msgspec.structs.replace(usage, tier=usage.tier and without(usage.tier, credential), pieces=pieces)

    def _reading(self, error: GatewayError | None, whole: bool) -> Reading:
        call, meter = self._call, self._meter
        free = call.free
        estimate = 0 if free else call.expected.input
        if meter is not None:
            return meter.finish(whole, 0 if free else call.read_tokens, call.expected.pieces)
        # It has refused, or nobody knows what it has done.
        unseen = self._row.status is not None or isinstance(error, UpstreamUnreachable) or not estimate
        if unseen:
            return Reading(NOTHING, Source.NONE)
        return Reading(Usage(input=call.read_tokens()), Source.ESTIMATED)

    def _elapsed_us(self) -> int:
        return int((self._books.clock.seconds() - self._started) * 1e6)


def _nothing(*_anything: object) -> None:
    pass
