"""What calls are let in for and what they used: between the limits, the prices and the ledger."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from llm_gateway.config.prices import price_book
from llm_gateway.config.values import Configuration, Provider
from llm_gateway.core.apis import Api
from llm_gateway.core.dialects import ANTHROPIC
from llm_gateway.core.expectation import Expectation
from llm_gateway.core.headers import Fields
from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.claims import Refused, Reservation, Standing, Want
from llm_gateway.core.limits.headers import anthropic_headers, openai_headers
from llm_gateway.core.limits.values import Limit, Measure, Scope, Window
from llm_gateway.core.operations import operation_of
from llm_gateway.core.policies import OnDisconnect, OnUnpriced
from llm_gateway.core.prices.lists import PriceList
from llm_gateway.core.prices.values import Rates
from llm_gateway.core.record import printable
from llm_gateway.core.routing.candidates import Candidate
from llm_gateway.core.usage.foreseen import Foreseen, expected_input, foreseen
from llm_gateway.core.usage.metering import Meter, Reading, meter_for
from llm_gateway.core.usage.values import NOTHING, Source, Usage
from llm_gateway.errors import (
    BudgetExceeded,
    CredentialLimited,
    GatewayError,
    LedgerFull,
    LimitExceeded,
    LimitsUnreachable,
    RateExceeded,
    UnpricedModel,
    UpstreamUnreachable,
)
from llm_gateway.ledger import writer
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.writer import Ledger
from llm_gateway.upstream.attempt import CODINGS
from llm_gateway.upstream.targets import Target
from llm_gateway.web.context import CallContext, Operation
from llm_gateway.web.grants import Grant
from llm_gateway.web.labels import LabelSources
from llm_gateway.web.request_body import RequestBody
from llm_gateway.web.routes import Plan

__all__ = ["QUANTUM", "AttemptAccount", "Books", "CallAccount"]

QUANTUM = 1_024
"""Tokens written: what a call that may write more than there is room for begins with, and what is added at a time."""

_QUANTA = (QUANTUM, QUANTUM // 4, QUANTUM // 16)
"""What is asked for, one after the other: what is left is used, too."""

_LEAST_LOOK_BYTES = 256
"""Between two looks at how much has been written: with it, what a stream can write beyond its limits."""

_MOST_BYTES_PER_TOKEN = 16
"""With its frame, as far as it decides when to look again. A stream may grow denser: if every fourth byte is a token
from then on, it writes half as much again as it has room for before the next look, which is less than a quantum."""

_KEPT_BYTES = 16_384
"""Of a request, which is kept until its answer has come, in case that this does not say how many tokens it had."""

_PROGRESS_BYTES = 65_536
"""Of an answer, between two notes in the journal of what is known of it."""

_UNPRICED = frozenset({"batches", "realtime"})
"""Operations that are billed and that nobody can price beforehand."""

_FREE = frozenset({"models", "count_tokens", "files", "other", "moderation"})
"""Operations that are not billed by the token, or of which nothing is known."""

_UNSEEN = Foreseen(0)
"""Of what is passed on while it comes: an upload."""

_NATIVE_API = {"openai": Api.CHAT, "anthropic": Api.MESSAGES, "gemini": Api.GEMINI}
"""What calls on the native paths are."""

_TRANSLATED_API = _NATIVE_API
"""What a provider's answer is that is translated; Responses are told by their look."""


class Books:
    """The accounts of one process."""

    def __init__(
        self,
        limiter: Limiter,
        clock: IReactorTime,
        *,
        ledger: Ledger | None = None,
        prices: PriceList | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        :param prices: ``None`` for those that ship with the gateway.
        :param wall: seconds since the epoch.
        """
        self.limiter = limiter
        self.ledger = ledger
        self.clock = clock
        self.wall = wall
        self.expectation = Expectation()
        self._list = prices
        self._providers: Mapping[str, Provider] = {}
        self.prices = price_book({}, prices)
        self.families: Mapping[str, str] = {}
        """Whose models a provider has; where nobody knows, those of whose dialect it speaks."""
        self._of_credentials: Mapping[str, tuple[Limit, ...]] = {}
        self._labels = LabelSources({})

    def use(self, configuration: Configuration) -> None:
        """Go by this from now on."""
        self._providers = configuration.providers
        self.prices = price_book(self._providers, self._list)
        self.families = {name: each.family or each.dialect for name, each in configuration.providers.items()}
        self._of_credentials = {name: each.limits for name, each in configuration.credentials.items() if each.limits}
        self._labels = LabelSources(configuration.label_from)

    def use_prices(self, prices: PriceList | None) -> None:
        """
        Go by this list from now on.

        :param prices: ``None`` for the one that ships with the gateway.
        """
        self._list = prices
        self.prices = price_book(self._providers, prices)

    def open(self, request: Request, context: CallContext, plan: Plan, body: RequestBody) -> CallAccount | None:
        """
        Let a call in.

        :return: its account; ``None`` where nothing is limited and nothing is written down.
        :raises GatewayError: a limit does not let it in, or nobody knows what it would cost.
        """
        grant = context.grant
        assert grant is not None
        if self.ledger is None and not grant.limits and not self._of_credentials:
            return None
        whole = body.look()
        if isinstance(whole, memoryview):
            whole = bytes(whole)
        expected = _UNSEEN
        if whole is not None:
            api, method = context.route.asked.api, request.method
            expected = foreseen(whole, api, context.dialect.name, method=method, path=context.path)
        labels = self._labels.of(request, whole, grant.key.labels)
        kept = whole if whole is not None and len(whole) <= _KEPT_BYTES else None
        account = CallAccount(self, context, grant, expected, labels, kept)
        if grant.limits:
            context.account = account
            account.reserve(plan)
        return account

    def rates(self, provider: str, model: str, at: float) -> Rates | None:
        """:return: ``None`` where no price is known."""
        return self.prices.find(provider, self.families.get(provider), model, at)

    def typical(self, candidate: Candidate) -> int | None:
        """:return: what puts candidates in the order of their prices; ``None`` where none is known."""
        return self.prices.typical(
            candidate.provider, self.families.get(candidate.provider), candidate.model, self.wall()
        )

    def rate(self, row: Row) -> None:
        """Say in the row what its use costs; ``None`` where no price is known."""
        if row.usage == NOTHING:
            row.price, row.cost = None, 0
            return
        model, at = row.model or row.model_asked or "", row.at / 1e6
        rates = self.prices.find(row.provider, self.families.get(row.provider), model, at, row.model_asked)
        if rates is None:
            row.price = row.cost = None
        else:
            row.price, row.cost = rates.version, self.prices.cost(rates, row.usage)

    def of_credential(self, name: str) -> tuple[Limit, ...]:
        return self._of_credentials.get(name, ())


class CallAccount:
    """One call's: what it may use, and what all of its attempts have used."""

    __slots__ = (
        "_body",
        "_books",
        "_context",
        "_grant",
        "_labels",
        "_nano_per_token",
        "_over",
        "_reservation",
        "_running",
        "_sent",
        "_used_input",
        "_used_nano",
        "_used_output",
        "expected",
        "granted",
        "operation",
    )

    def __init__(
        self,
        books: Books,
        context: CallContext,
        grant: Grant,
        expected: Foreseen,
        labels: dict[str, str],
        body: bytes | None,
    ) -> None:
        """
        :param body: where it is short enough to be kept, in case that its tokens have to be counted after all.
        """
        self._body = body
        self._books = books
        self._context = context
        self._grant = grant
        self._labels = labels
        self.expected = expected
        self.operation = operation_of(context.route.asked.api, context.path)
        self._reservation: Reservation | None = None
        self.granted = 0
        """Tokens that may be written, all in all, as far as has been asked for."""
        self._nano_per_token = 0
        self._running = 0
        self._sent = 0
        self._over = False
        self._used_input = self._used_output = self._used_nano = 0

    # Being let in

    def reserve(self, plan: Plan) -> None:
        """
        :raises GatewayError: a limit does not let it in, or nobody knows what it would cost.
        """
        books, limits, expected = self._books, self._grant.limits, self.expected
        candidates = plan.candidates
        output = expected.output
        if self.operation in _FREE:
            output = 0
        elif output is None:
            first = candidates[0]
            output = books.expectation.of(first.provider, first.model)
        enough = min(output, QUANTUM)
        nano = nano_enough = 0
        if self._grant.budgeted:
            nano, nano_enough = self._dollars(candidates, output, enough)
        want = Want(1, expected.input, output, nano)
        at_least = None if enough == output else Want(1, expected.input, enough, nano_enough)
        found = books.limiter.reserve(limits, want, at_least=at_least)
        if isinstance(found, Refused):
            raise _refusal(found, self._grant)
        self._reservation = found
        self.granted = found.granted.output

    def _dollars(self, candidates: Iterable[Candidate], output: int, enough: int) -> tuple[int, int]:
        """
        :return: what it costs at most, with so many tokens written; and with as many as are enough to begin with.
        :raises UnpricedModel: nobody knows.
        """
        if self.operation in _FREE:
            return 0, 0
        books, read = self._books, self.expected.input
        at, book = books.wall(), books.prices
        nano = nano_enough = per_token = 0
        for each in candidates:
            model = each.model or self._context.record.model or ""
            rates = None if self.operation in _UNPRICED else books.rates(each.provider, model, at)
            if rates is None:
                if self._grant.key.on_unpriced is OnUnpriced.REFUSE:
                    raise _unpriced(self.operation, model)
                continue
            pieces, tier = self.expected.pieces, self.expected.tier
            nano = max(nano, book.most(rates, read, output, pieces, tier))
            nano_enough = max(nano_enough, book.most(rates, read, enough, pieces, tier))
            per_token = max(per_token, -(-book.most(rates, 0, QUANTUM) // QUANTUM))
        self._nano_per_token = per_token
        return nano, nano_enough

    def extend(self, written: int) -> bool:
        """
        Ask for room for some more tokens.

        :param written: how many have been, so far.
        :return: whether there is.
        """
        reservation = self._reservation
        if reservation is None:
            return True
        behind = max(0, written - self.granted)
        for quantum in _QUANTA:
            more = behind + quantum
            if self._books.limiter.extend(reservation, Want(0, 0, more, more * self._nano_per_token)):
                self.granted += more
                return True
        return False

    @property
    def limited(self) -> bool:
        """Whether it may write only as much as was granted."""
        return self._reservation is not None

    def read_tokens(self) -> int:
        """
        :return: how many tokens were read, as near as can be told without asking the provider.
        """
        if self._body is None:
            return self.expected.input
        context = self._context
        return expected_input(self._body, context.route.asked.api, context.dialect.name, context.record.model or "")

    @property
    def path(self) -> bytes:
        """As the caller wrote it, without the query."""
        return self._context.path

    # Its attempts

    def attempt(
        self, candidate: Candidate, target: Target, number: int, method: str, *, as_it_is: bool
    ) -> AttemptAccount:
        """
        Open the account of an attempt that is about to be sent.

        :raises CredentialLimited: its credential has no room for it.
        :raises LedgerFull: it could not be written down.
        """
        books, context, grant = self._books, self._context, self._grant
        route = context.route
        key = grant.key
        wall = books.wall()
        input_estimate = 0 if self.operation in _FREE else self.expected.input
        row = Row(
            request_id=context.record.request_id,
            attempt=number,
            at=int(wall * 1e6),
            key=grant.label,
            key_digest=grant.digest,
            group=key.group,
            labels=self._labels,
            provider=candidate.provider,
            credential=candidate.credential,
            dialect=target.dialect.name,
            operation=self.operation,
            method=method,
            model_asked=context.record.model,
            model=candidate.model or context.record.model,
            usage=Usage(input=input_estimate) if input_estimate else NOTHING,
            source=Source.ESTIMATED if input_estimate else Source.NONE,
        )
        limits = books.of_credential(candidate.credential)
        reservation = None
        if limits:
            reservation = self._with_credential(candidate, limits, wall)
        if books.ledger is not None:
            try:
                books.ledger.begin(row)
            except writer.LedgerFull:
                if reservation is not None:
                    books.limiter.settle(reservation, Want(0))
                raise LedgerFull(
                    "This gateway cannot write down what calls use, and takes none until it can."
                ) from None
        api = route.asked.api
        if not as_it_is:
            api = _TRANSLATED_API.get(target.dialect.name, api)
        elif route.operation is Operation.NATIVE:
            api = _NATIVE_API.get(target.dialect.name, api)
        self._running += 1
        self._sent += 1
        return AttemptAccount(books, self, row, target.dialect.name, api, reservation)

    def _with_credential(self, candidate: Candidate, limits: tuple[Limit, ...], wall: float) -> Reservation:
        books, expected = self._books, self.expected
        output = expected.output
        if output is None:
            output = books.expectation.of(candidate.provider, candidate.model)
        rates = books.rates(candidate.provider, candidate.model, wall)
        nano = 0 if rates is None else books.prices.most(rates, expected.input, output, expected.pieces, expected.tier)
        found = books.limiter.reserve(limits, Want(1, expected.input, output, nano))
        if isinstance(found, Refused):
            again_s = 1.0 if found.retry_after_s is None else found.retry_after_s
            raise CredentialLimited(candidate.credential, again_s)
        return found

    def ended(self, usage: Usage, nano: int) -> None:
        """One of its attempts has."""
        self._running -= 1
        self._used_input += usage.input_tokens
        self._used_output += usage.output_tokens
        self._used_nano += nano
        self._settle()

    def over(self) -> None:
        """The call is. One of its attempts may still be read on."""
        self._over = True
        self._settle()

    def _settle(self) -> None:
        reservation = self._reservation
        if reservation is None or self._running or not self._over:
            return
        self._reservation = None
        used = Want(1 if self._sent else 0, self._used_input, self._used_output, self._used_nano)
        self._books.limiter.settle(reservation, used)

    # What its caller is told

    def fields(self) -> Fields:
        """
        :return: headers that tell how the limits stand.
        """
        told = self._grant.told
        if not told:
            return {}
        standings = self._books.limiter.state(told)
        if self._context.dialect is ANTHROPIC:
            headers = anthropic_headers(standings, self._books.wall())
        else:
            headers = openai_headers(standings)
        fields = {_SPELT.get(name) or _spelt(name): [value] for name, value in headers}
        warnings = [_warning(each) for each in standings if each.limit.warn_at is not None]
        if warnings and (said := b", ".join(filter(None, warnings))):
            fields[b"X-Gw-Warning"] = [said]
        return fields


class AttemptAccount:
    """One attempt's: an ``upstream.account.Account``."""

    __slots__ = (
        "_api",
        "_books",
        "_call",
        "_dense",
        "_dialect",
        "_feed_meter",
        "_left",
        "_meter",
        "_noted",
        "_reservation",
        "_row",
        "_started",
        "_stop",
        "reads_on",
    )

    def __init__(
        self, books: Books, call: CallAccount, row: Row, dialect: str, api: Api, reservation: Reservation | None
    ) -> None:
        """
        :param reservation: with the credential's own limits.
        """
        self._books = books
        self._call = call
        self._row = row
        self._dialect = dialect
        self._api = api
        self._reservation = reservation
        self.reads_on = call._grant.key.on_disconnect is OnDisconnect.DRAIN_AND_BILL
        self._started = books.clock.seconds()
        self._meter: Meter | None = None
        self._feed_meter: Callable[[bytes], None] = _nothing
        self._left = 0
        self._noted = 0
        self._dense = False
        """Whether a byte of what comes may be more than one of what was written."""
        self._stop: Callable[[GatewayError], None] = _nothing

    def answered(
        self, status: int, headers: Fields, stop: Callable[[GatewayError], None]
    ) -> Callable[[bytes], None] | None:
        row = self._row
        row.status = status
        if status >= 400:
            # Nobody bills for it.
            row.usage, row.source = NOTHING, Source.NONE
            return None
        types = headers.get(b"Content-Type")
        stream = row.stream = types is not None and types[0].lower().startswith(b"text/event-stream")
        encodings = headers.get(b"Content-Encoding")
        encoded = self._dense = encodings is not None and encodings[0].lower().strip() in CODINGS
        method, path = row.method.encode("ascii"), self._call.path
        self._meter = meter = meter_for(self._dialect, self._api, stream, encoded, method=method, path=path)
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
        if call.limited:
            # No token is shorter than a byte, and most have a frame of many.
            room = 0 if self._dense else call.granted - came
            if room <= 0:
                written = meter.so_far().output_tokens
                if written + _LEAST_LOOK_BYTES > call.granted and not call.extend(written) and written >= call.granted:
                    self._stop(BudgetExceeded("What this key may use is used up; the answer ends here."))
                    return
                # At the pace until now, half of what is left.
                room = int((call.granted - written) * min(came / (written or 1), _MOST_BYTES_PER_TOKEN) / 2)
            next_look = min(next_look, max(room, _LEAST_LOOK_BYTES))
        if came - self._noted >= _PROGRESS_BYTES and self._books.ledger is not None:
            self._noted = came
            so_far = meter.so_far()
            row.usage = msgspec.structs.replace(so_far, input=so_far.input or call.expected.input)
            self._books.ledger.progress(row)
        self._left = next_look

    def over(self, ended: str, error: GatewayError | None, *, whole: bool) -> None:
        books, call, row = self._books, self._call, self._row
        reading = self._reading(error, whole)
        usage = row.usage = reading.usage
        row.source = reading.source
        if reading.model:
            row.model = printable(reading.model, 256)
        row.ended = ended
        row.error = None if error is None else error.kind
        row.duration_us = self._elapsed_us()
        books.rate(row)
        self._stop = self._feed_meter = _nothing
        try:
            if books.ledger is not None:
                books.ledger.end(row)
        finally:
            nano = row.cost or 0
            if self._reservation is not None:
                used = Want(1, usage.input_tokens, usage.output_tokens, nano)
                books.limiter.settle(self._reservation, used)
            if whole and row.source is Source.PROVIDER and call.limited and call.expected.output is None:
                books.expectation.learn(row.provider, row.model or "", usage.output_tokens)
            call.ended(usage, nano)

    def _reading(self, error: GatewayError | None, whole: bool) -> Reading:
        call, meter = self._call, self._meter
        free = call.operation in _FREE
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


_SPELT: dict[bytes, bytes] = {}


def _spelt(name: bytes) -> bytes:
    """As Twisted spells it. There are few."""
    spelt = _SPELT[name] = b"-".join(part.capitalize() for part in name.split(b"-"))
    return spelt


def _warning(standing: Standing) -> bytes:
    """
    :return: that the share for a warning is passed; empty if it is not.
    """
    limit, used = standing.limit, standing.used + standing.held
    if limit.warn_at is None or limit.amount <= 0 or used < limit.warn_at * limit.amount:
        return b""
    return b"%d%% of %b is used" % (used * 100 // limit.amount, limit.name.encode("ascii"))


def _nothing(*_anything: object) -> None:
    pass


_WHOSE = {
    Scope.GLOBAL: "All calls together have",
    Scope.GROUP: "The group of this key has",
    Scope.KEY: "This key has",
    Scope.CREDENTIAL: "The provider's key has",
}
_UNITS = {
    Measure.REQUESTS: "calls",
    Measure.INPUT_TOKENS: "input tokens",
    Measure.OUTPUT_TOKENS: "output tokens",
    Measure.TOKENS: "tokens",
}


def _refusal(refused: Refused, grant: Grant) -> LimitExceeded | LimitsUnreachable:
    limit = refused.limit
    if refused.unreachable:
        return LimitsUnreachable("What is left of a limit cannot be known at present. Send the call again later.")
    headers = {}
    if refused.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(refused.retry_after_s)))
    whose = _WHOSE[limit.scope]
    if limit.measure is Measure.DOLLARS:
        over = "for good" if limit.window is Window.TOTAL else f"per {limit.window.value}"
        message = f"{whose} a budget of ${_dollars_text(limit.amount)} {over}, and not enough of it is left."
        return BudgetExceeded(message, headers=headers)
    if limit.measure is Measure.IN_FLIGHT:
        headers.setdefault("retry-after", "1")
        message = f"{whose} a limit of {limit.amount} calls at the same time, and as many are running."
        return RateExceeded(message, headers=headers)
    message = f"{whose} a limit of {limit.amount} {_UNITS[limit.measure]} per {limit.window.value}, which is reached."
    return RateExceeded(message, headers=headers)


def _dollars_text(nano: int) -> str:
    whole, rest = divmod(nano, 1_000_000_000)
    decimals = f"{rest:09}".rstrip("0")
    return f"{whole}.{decimals:0<2}"


def _unpriced(operation: str, model: str) -> UnpricedModel:
    if operation in _UNPRICED:
        return UnpricedModel(f"A budget counts for this key, and nobody knows beforehand what {operation} cost.")
    if not model:
        return UnpricedModel("A budget counts for this key, and it cannot be told which model this request is for.")
    return UnpricedModel(f"A budget counts for this key, and the model {printable(model)!r} has no price.")
