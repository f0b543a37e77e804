"""What one call may use, and what all of its attempts have used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llm_gateway.core.apis import Api
from llm_gateway.core.limits.claims import Refused, Reservation, Want
from llm_gateway.core.limits.values import Limit, Measure
from llm_gateway.core.operations import operation_of
from llm_gateway.core.policies import OnDisconnect, OnUnpriced
from llm_gateway.core.prices.values import Rates
from llm_gateway.core.record import printable
from llm_gateway.core.routing.candidates import Candidate
from llm_gateway.core.usage.foreseen import Foreseen, expected_input
from llm_gateway.core.usage.values import Source, Usage
from llm_gateway.errors import CredentialLimited, LedgerFull
from llm_gateway.ledger import writer
from llm_gateway.ledger.row import Row
from llm_gateway.upstream.targets import Target
from llm_gateway.web.allowances import UNPRICED, refusal, unpriced
from llm_gateway.web.attempt_account import AttemptAccount
from llm_gateway.web.context import CallContext, Operation
from llm_gateway.web.grants import Grant
from llm_gateway.web.room import QUANTUM, more_room

if TYPE_CHECKING:
    from llm_gateway.web.accounts import Books
    from llm_gateway.web.request_body import RequestBody
    from llm_gateway.web.routes import Plan

__all__ = ["QUANTUM", "CallAccount"]

# Members of an enum take Python a tenth of a microsecond to find.
_DRAIN_AND_BILL = OnDisconnect.DRAIN_AND_BILL
_NATIVE = Operation.NATIVE
_ESTIMATED = Source.ESTIMATED

_FREE = frozenset({"count_tokens", "files", "moderation"})
"""Operations that are not billed by the token, even where something is sent."""

_API_OF = {"openai": Api.CHAT, "anthropic": Api.MESSAGES, "gemini": Api.GEMINI}
"""What an answer is that was translated, or asked for on a native path. Responses are told by their look."""


class CallAccount:
    """One call's: what it may use, and what all of its attempts have used."""

    __slots__ = (
        "_billed",
        "_body",
        "_books",
        "_context",
        "_grant",
        "_labels",
        "_over",
        "_plan",
        "_rates",
        "_reservation",
        "_running",
        "_sent",
        "_used_input",
        "_used_nano",
        "_used_output",
        "expected",
        "free",
        "granted",
        "operation",
    )

    def __init__(
        self,
        books: Books,
        context: CallContext,
        grant: Grant,
        plan: Plan,
        expected: Foreseen,
        labels: dict[str, str],
        body: bytes | None,
        *,
        background: bool = False,
    ) -> None:
        """
        :param background: whether its answer is only the beginning of what is billed.
        :param body: where it is short enough to be kept, in case that its tokens have to be counted after all.
        """
        self._body = body
        self._books = books
        self._context = context
        self._grant = grant
        self._plan = plan
        self._labels = labels
        self.expected = expected
        self.operation = operation_of(context.route.asked.api, context.path)
        self._billed = "background" if background and self.operation == "chat" else self.operation
        """What it is when it comes to prices."""
        self.free = self.operation in _FREE or context.record.method != "POST"
        """Whether it is not billed by the token, whatever comes."""
        self._reservation: Reservation | None = None
        self.granted = 0
        """Tokens that may be written, all in all, as far as has been asked for."""
        self._rates: Sequence[Rates] = ()
        """Of its candidates, where a budget counts."""
        self._running = 0
        self._sent = 0
        self._over = False
        self._used_input = self._used_output = self._used_nano = 0

    # Being let in

    def reserve(self, body: RequestBody) -> None:
        """
        :param body: of its request.
        :raises GatewayError: a limit does not let it in, or nobody knows what it would cost.
        """
        books, limits, expected = self._books, self._grant.limits, self.expected
        candidates = self._plan.candidates
        output = expected.output
        if self.free:
            output = 0
        elif output is None:
            first = candidates[0]
            output = books.expectation.of(first.provider, first.model)
        if self._grant.budgeted:
            self._find_rates(candidates)
        want = Want(1, expected.input, output, self._nano(output))
        # Only a stream can be ended when there is no more.
        enough, way_out = min(output, QUANTUM), ""
        if enough < output and not self._comes_as_stream(body):
            # What is usual for a model may be what one long answer had, of somebody else.
            enough = min(output, books.expectation.UNKNOWN) if expected.output is None else output
            if self.operation == "chat":
                way_out = f" An answer of {enough:,} tokens has to fit: say a lower max_tokens, or ask for a stream."
        at_least = None if enough == output else Want(1, expected.input, enough, self._nano(enough))
        found = books.limiter.reserve(limits, want, at_least=at_least)
        if isinstance(found, Refused):
            raise refusal(found, way_out)
        self._reservation = found
        self.granted = found.granted.output

    def _comes_as_stream(self, body: RequestBody) -> bool:
        asked = self._context.route.asked.stream
        if asked is None:
            asked = self._context.path.endswith(b":streamGenerateContent") or body.wants_stream()
        return asked

    def _find_rates(self, candidates: Iterable[Candidate]) -> None:
        """
        :raises UnpricedModel: nobody knows what the call may cost.
        """
        at = self._books.wall()
        found = [self._rates_of(each, at, self._grant.limits) for each in candidates]
        self._rates = [each for each in found if each is not None]

    def _rates_of(self, candidate: Candidate, at: float, limits: Iterable[Limit]) -> Rates | None:
        """
        :param limits: that it is for.
        :return: ``None`` where it is free, or counts as that.
        :raises UnpricedModel: nobody knows what the call may cost.
        """
        if self.free:
            return None
        model = candidate.model or self._context.record.model or ""
        rates = None if self._billed in UNPRICED else self._books.rates(candidate.provider, model, at)
        if (
            rates is None
            and self._grant.key.on_unpriced is OnUnpriced.REFUSE
            and any(each.measure is Measure.DOLLARS and not each.shadow for each in limits)
        ):
            raise unpriced(self._billed, model)
        return rates

    def _nano(self, output: int) -> int:
        """:return: what it costs at most, with so many tokens written."""
        nano = 0
        for rates in self._rates:
            most = self.most(rates, output)
            if most > nano:
                nano = most
        return nano

    def most(self, rates: Rates, output: int) -> int:
        """:return: what it costs at most at these rates, with so many tokens written."""
        expected = self.expected
        return self._books.prices.most(rates, expected.input, output, expected.pieces, expected.tier)

    def extend(self, written: int) -> bool:
        """
        Ask for room for some more tokens.

        :param written: how many have been, so far.
        :return: whether there is.
        """
        reservation = self._reservation
        if reservation is None:
            return True
        before = self.granted
        self.granted = more_room(self._books.limiter, reservation, before, written, self._nano)
        return self.granted > before

    @property
    def reads_on(self) -> bool:
        """Whether answers are read to their end although the client has left."""
        return self._grant.key.on_disconnect is _DRAIN_AND_BILL

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

    def without_keys(self, text: str, credential: str) -> str:
        """
        :param text: of an answer to an attempt with this credential.
        :return: what may be written down of it.
        """
        for way in self._grant.ways[credential].values():
            for secret in way.secrets:
                text = text.replace(secret.decode("latin-1"), "*" * len(secret))
        return text

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
        :raises UnpricedModel: its credential has a budget, and nobody knows what the call may cost.
        :raises LedgerFull: it could not be written down.
        """
        books, context = self._books, self._context
        route = context.route
        wall = books.wall()
        input_estimate = 0 if self.free else self.expected.input
        record = context.record
        known = self._plan.rows.get(candidate)
        if known is None:
            known = self._plan.rows[candidate] = self._row(candidate, target, method)
        row = known.__copy__()  # type: ignore[attr-defined]  # as every struct; ``copy`` asks for it first
        row.request_id, row.attempt, row.at = record.request_id, number, int(wall * 1e6)
        row.labels, row.operation, row.model_asked = self._labels, self.operation, record.model
        if not row.model:
            row.model = record.model
        if input_estimate:
            row.usage, row.source = Usage(input=input_estimate), _ESTIMATED
        limits = books.of_credential(candidate.credential)
        reservation = rates = None
        if limits:
            reservation, rates = self._with_credential(candidate, limits, wall)
        try:
            self._begin(row)
        except Exception:
            if reservation is not None:
                books.limiter.settle(reservation, Want(0))
            raise
        api = route.asked.api
        if not as_it_is or route.operation is _NATIVE:
            api = _API_OF.get(target.dialect.name, api)
        self._running += 1
        self._sent += 1
        return AttemptAccount(books, self, row, target.dialect.name, api, reservation, rates)

    def _begin(self, row: Row) -> None:
        ledger = self._books.ledger
        if ledger is None:
            return
        try:
            ledger.begin(row)
        except writer.LedgerFull:
            raise LedgerFull("This gateway cannot write down what calls use, and takes none until it can.") from None

    def _row(self, candidate: Candidate, target: Target, method: str) -> Row:
        """What is the same in all calls of this key that go there."""
        grant = self._grant
        return Row(
            request_id="",
            attempt=0,
            at=0,
            key=grant.label,
            key_digest=grant.digest,
            group=grant.key.group,
            provider=candidate.provider,
            credential=candidate.credential,
            dialect=target.dialect.name,
            method=method,
            model=printable(candidate.model, 256) or None,
        )

    def _with_credential(
        self, candidate: Candidate, limits: tuple[Limit, ...], wall: float
    ) -> tuple[Reservation, Rates | None]:
        books, output = self._books, self.expected.output
        if output is None:
            output = books.expectation.of(candidate.provider, candidate.model)
        rates = None
        if any(each.measure is Measure.DOLLARS for each in limits):
            rates = self._rates_of(candidate, wall, limits)
        nano = 0 if rates is None else self.most(rates, output)
        found = books.limiter.reserve(limits, Want(1, self.expected.input, output, nano))
        if isinstance(found, Refused):
            again_s = 1.0 if found.retry_after_s is None else found.retry_after_s
            raise CredentialLimited(candidate.credential, again_s)
        return found, rates

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
