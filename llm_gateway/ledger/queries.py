"""What the ledger is asked: who used how much, what is left of limits after a restart, and the rows themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from llm_gateway.core.limits.values import Measure, Scope
from llm_gateway.core.usage.values import INPUT, OUTPUT, Source, Usage
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.schema import COLUMNS, SUBJECTS, SUMS, TOKENS, subject_of
from llm_gateway.ledger.store import Store, Transaction

__all__ = [
    "DIMENSIONS",
    "LABEL",
    "Line",
    "Rerated",
    "UnknownDimension",
    "Used",
    "dollars",
    "read",
    "rerate",
    "usage",
    "used",
]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
LABEL = "label:"
"""What the name of a label stands behind."""

_TIMES = ("hour", "day", "week", "month")
_IN_HOURS = {
    "key": "key",
    "key_digest": "key_digest",
    "group": "key_group",
    "provider": "provider",
    "credential": "credential",
    "model": "model",
    "operation": "operation",
    "ended": "ended",
}
"""What the sums of hours are told apart by, and the column."""
_IN_ATTEMPTS = {
    "model_asked": "coalesce(model_asked, '')",
    "dialect": "dialect",
    "status": "coalesce(cast(status as text), '')",
    "error": "coalesce(error, '')",
    "source": "source",
    "price": "coalesce(price, '')",
    "tier": "coalesce(tier, '')",
    "stream": "case when stream = 1 then 'yes' else 'no' end",
    "request_id": "request_id",
}
"""What only the rows say, as long as they are kept; labels are among it."""

DIMENSIONS = (*_IN_HOURS, *_TIMES, *_IN_ATTEMPTS)
"""By what use may be told apart, and chosen; besides ``label:NAME``."""

_NOT_ERRORS = "('ok', 'client_gone', 'client_stalled')"


class UnknownDimension(ValueError):
    """Use is not told apart by this."""


class Line(msgspec.Struct, kw_only=True):
    """What was used by those who have ``by`` in common."""

    by: tuple[str, ...]
    """In the order that was asked for; empty where there is none, such as the group of a key without."""
    calls: int = 0
    """Attempts that were the first of their call: where a call went on to another provider, it counts at the first."""
    attempts: int = 0
    errors: int = 0
    """Attempts that did not end well, and not since the caller had left."""
    estimated: int = 0
    """Attempts some of whose tokens are estimated."""
    unpriced: int = 0
    """Attempts that used something for which there was no price: ``cost`` is without them."""
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    cached_audio: int = 0
    image_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0
    image_output: int = 0
    cost: int = 0
    """In billionths of a dollar."""
    duration_us: int = 0
    """Of all attempts together."""
    first_token_us: int = 0
    """Of all that had a first token together..."""
    first_tokens: int = 0
    """... and how many those are."""

    @property
    def input_tokens(self) -> int:
        """Of all classes."""
        return sum([getattr(self, name) for name in INPUT])

    @property
    def output_tokens(self) -> int:
        """Of all classes."""
        return sum([getattr(self, name) for name in OUTPUT])

    def add(self, other: Line) -> None:
        """Add what another one has used."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_SUMMED = ("calls", "attempts", "errors", *(name for name in SUMS if name not in ("calls", "attempts")))


def usage(
    store: Store,
    by: Sequence[str] = (),
    since: float | None = None,
    until: float | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
) -> list[Line]:
    """
    :param by: of ``DIMENSIONS`` or ``label:NAME``; hours, days, weeks (from Monday) and months are those of UTC.
    :param since: seconds since the epoch; attempts are counted by when they were sent.
    :param until: as ``since``; attempts sent then are not counted.
    :param where: only attempts that have one of these values, by dimension.
    :return: in the order of time, where that is asked for first; otherwise the most expensive first.
    :raises UnknownDimension: of ``by`` or ``where``.
    :raises StoreError: the database cannot be used.
    """
    where = where or {}
    for name in (*by, *where):
        if name not in DIMENSIONS and not (name.startswith(LABEL) and len(name) > len(LABEL)):
            raise UnknownDimension(name)
        if name in where and name in _TIMES:
            raise UnknownDimension(f"{name}: since and until choose the time")
    start = 0 if since is None else int(since * 1e6)
    end = 1 << 62 if until is None else int(until * 1e6)
    with store.reading() as transaction:
        found = transaction.rows(*_question(store, by, start, end, where))
    lines: dict[tuple[str, ...], Line] = {}
    for row in found:
        told = tuple(_named(name, value) for name, value in zip(by, row, strict=False))
        line = Line(by=told, **dict(zip(_SUMMED, map(int, row[len(by) :]), strict=True)))
        if not line.attempts:
            continue
        if told in lines:
            lines[told].add(line)
        else:
            lines[told] = line
    if by and by[0] in _TIMES:
        return sorted(lines.values(), key=lambda line: (line.by[0], -line.cost, line.by))
    return sorted(lines.values(), key=lambda line: (-line.cost, -line.input_tokens - line.output_tokens, line.by))


def _question(
    store: Store, by: Sequence[str], start: int, end: int, where: Mapping[str, Sequence[str]]
) -> tuple[str, list[Any]]:
    """:return: a statement that answers the values of ``by`` and then the sums; and its parameters."""
    names = [*dict.fromkeys((*by, *where))]
    if all(name in _IN_HOURS or name in _TIMES for name in names):
        # Whole hours from their sums, and what is left at both ends from the rows.
        first, last = -(-start // HOUR_US) * HOUR_US, end // HOUR_US * HOUR_US
        if first < last:
            attempts, values = _attempts("at >= ? and at < ? or at >= ? and at < ?", (start, first, last, end))
            hours = f"select {', '.join((*SUBJECTS, *SUMS))} from hours where hour >= ? and hour < ?"
            source, values = f"{hours} union all {attempts}", [first, last, *values]
        else:
            source, values = _attempts("at >= ? and at < ?", (start, end))
        columns: dict[str, tuple[str, Sequence[Any]]] = {name: (_column(name), ()) for name in names}
    else:
        known = {**_IN_ATTEMPTS, **{name: subject_of(column) for name, column in _IN_HOURS.items()}}
        known |= {name: subject_of("hour") if name == "hour" else f"at - at % {DAY_US}" for name in _TIMES}
        columns = {name: _label(store, name) if name.startswith(LABEL) else (known[name], ()) for name in names}
        told = [f"{expression} as d{number}" for number, (expression, _) in enumerate(columns.values())]
        sums = [f"{expression} as {name}" for name, expression in SUMS.items()]
        values = [value for _, values in columns.values() for value in values]
        source = f"select ended, {', '.join((*told, *sums))} from attempts where at >= ? and at < ?"
        values += [start, end]
        columns = {name: (f"d{number}", ()) for number, name in enumerate(names)}
    chosen = []
    for name, wanted in where.items():
        chosen.append(f"{columns[name][0]} in ({', '.join('?' * len(wanted))})" if wanted else "1 = 0")
        values += wanted
    told = [columns[name][0] for name in by]
    summed = [f"coalesce(sum({name}), 0)" for name in SUMS]
    summed.insert(2, f"coalesce(sum(case when ended in {_NOT_ERRORS} then 0 else attempts end), 0)")
    statement = f"select {', '.join((*told, *summed))} from ({source}) as used"
    if chosen:
        statement += f" where {' and '.join(chosen)}"
    if told:
        statement += f" group by {', '.join(str(number + 1) for number in range(len(told)))}"
    return statement, values


def _attempts(when: str, values: Sequence[int]) -> tuple[str, list[Any]]:
    """:return: a statement that tells of attempts as ``hours`` does of theirs."""
    told = [f"{subject_of(name)} as {name}" for name in SUBJECTS]
    sums = [f"{expression} as {name}" for name, expression in SUMS.items()]
    return f"select {', '.join((*told, *sums))} from attempts where ({when})", list(values)


def _column(name: str) -> str:
    if name in _TIMES:
        # Weeks and months are put together from days.
        return "hour" if name == "hour" else f"hour - hour % {DAY_US}"
    return _IN_HOURS[name]


def _label(store: Store, name: str) -> tuple[str, Sequence[Any]]:
    expression, values = store.label(name.removeprefix(LABEL))
    return f"coalesce({expression}, '')", values


def _named(name: str, value: Any) -> str:
    """:return: what a value of a dimension is called: ``2026-11-20T13:00Z``, ``2026-11-20``, ``2026-11``."""
    if name not in _TIMES:
        return str(value)
    when = datetime.fromtimestamp(int(value) // 1_000_000, UTC)
    if name == "hour":
        return when.strftime("%Y-%m-%dT%H:00Z")
    if name == "week":
        when -= timedelta(days=when.weekday())
    return when.strftime("%Y-%m" if name == "month" else "%Y-%m-%d")


class Used(msgspec.Struct, frozen=True):
    """What somebody used from some time on, for as long as was asked for."""

    start: float
    """Seconds since the epoch."""
    requests: int
    input_tokens: int
    output_tokens: int
    cost: int
    """In billionths of a dollar."""

    def amount(self, measure: Measure) -> int:
        """:return: as a limit counts it; nothing of what is only counted at the moment."""
        return {
            Measure.REQUESTS: self.requests,
            Measure.INPUT_TOKENS: self.input_tokens,
            Measure.OUTPUT_TOKENS: self.output_tokens,
            Measure.TOKENS: self.input_tokens + self.output_tokens,
            Measure.DOLLARS: self.cost,
            Measure.IN_FLIGHT: 0,
        }[measure]


_SUBJECT = {
    Scope.GLOBAL: "''",
    Scope.GROUP: "key_group",
    Scope.KEY: "key_digest",
    Scope.CREDENTIAL: "credential",
}


def used(
    store: Store, scope: Scope, since: float = 0.0, bucket_s: int = 3600, subjects: Sequence[str] | None = None
) -> dict[str, list[Used]]:
    """
    What was used before: with it limits go on after a restart where they stood.

    :param since: seconds since the epoch; rounded down to a whole bucket.
    :param bucket_s: how long each is. Where it is a multiple of an hour, rows that are not kept any more count as well.
    :param subjects: only these, as ``Limit.subject`` names them; ``None`` for all.
    :return: by subject, the oldest first. A call that was sent several times is one request of its key and its group,
        and several of the credentials that it was sent with.
    :raises StoreError: the database cannot be used.
    """
    width = bucket_s * 1_000_000
    start = int(since * 1e6) // width * width
    subject = _SUBJECT[scope]
    requests = "attempts" if scope is Scope.CREDENTIAL else "calls"
    if bucket_s % 3600:
        source, values = _attempts("at >= ?", (start,))
        # With a moment in place of the hour: buckets are shorter.
        source = source.replace(f"{subject_of('hour')} as hour", "at as hour", 1)
    else:
        source, values = f"select {', '.join((*SUBJECTS, *SUMS))} from hours where hour >= ?", [start]
    statement = (
        f"select {subject}, hour - hour % {width}, sum({requests}), sum({' + '.join(INPUT)}), "
        f"sum({' + '.join(OUTPUT)}), sum(cost) from ({source}) as used "
    )
    if subjects is not None:
        if not subjects:
            return {}
        statement += f"where {subject} in ({', '.join('?' * len(subjects))}) "
        values += subjects
    found: dict[str, list[Used]] = {}
    with store.reading() as transaction:
        for name, begin, *amounts in transaction.rows(statement + "group by 1, 2 order by 2", values):
            found.setdefault(name, []).append(Used(int(begin) / 1e6, *map(int, amounts)))
    return found


# The rows themselves


def read(store: Store, since: float | None = None, until: float | None = None, at_once: int = 500) -> Iterator[Row]:
    """
    :param since: seconds since the epoch.
    :param until: as ``since``; rows of then are not among them.
    :return: in the order in which they were written.
    :raises StoreError: the database cannot be used.
    """
    last = 0
    while True:
        with store.reading() as transaction:
            found = transaction.rows(*_page(since, until, last, at_once))
        for number, *values in found:
            last = number
            yield row_of(values)
        if len(found) < at_once:
            return


def _page(since: float | None, until: float | None, last: int, most: int) -> tuple[str, list[Any]]:
    start = 0 if since is None else int(since * 1e6)
    end = 1 << 62 if until is None else int(until * 1e6)
    which = "from attempts where id > ? and at >= ? and at < ? order by id limit ?"
    return f"select id, {', '.join(COLUMNS)} {which}", [last, start, end, most]


def row_of(values: Sequence[Any]) -> Row:
    """:return: the row that has these values in the order of ``COLUMNS``."""
    told = dict(zip(COLUMNS, values, strict=True))
    counts = {name: told.pop(name) for name in TOKENS}
    pieces, labels = (_document(told.pop(name)) for name in ("pieces", "labels"))
    used = Usage(**counts, pieces=pieces, tier=told.pop("tier"))
    source, stream, group = Source(told.pop("source")), bool(told.pop("stream")), told.pop("key_group")
    return Row(**told, group=group, labels=labels, stream=stream, usage=used, source=source)


def _document(value: Any) -> Any:
    """:return: of a column with JSON, which SQLite answers as text."""
    if value is None:
        return {}
    return msgspec.json.decode(value) if isinstance(value, str) else value


class Rerated(msgspec.Struct):
    """What came of rating rows anew."""

    rows: int = 0
    """That were looked at."""
    changed: int = 0
    """That have another price list's version or another cost now."""
    before: int = 0
    """What all cost together, in billionths of a dollar."""
    after: int = 0
    unpriced: int = 0
    """That have no price now, either."""


Rate = Callable[[Row], tuple[str | None, int | None] | None]
"""Of a row: the version of the price list and the cost, both ``None`` where there is no price; ``None`` to leave it."""


def rerate(
    store: Store,
    rate: Rate,
    since: float | None = None,
    until: float | None = None,
    *,
    dry_run: bool = False,
    at_once: int = 500,
    progress: Callable[[Rerated], None] = lambda _: None,
) -> Rerated:
    """
    Rate rows again, and mend the sums of their hours with them. Only rows that are kept can be.

    Rows are changed in groups; where it is cut short, those that are done stay so, and to do it again does no harm.

    :param dry_run: only say what would change.
    :param progress: called after each group.
    :raises StoreError: the database cannot be used.
    """
    total = Rerated()
    last = 0
    while True:
        with store.reading() if dry_run else store.transaction() as transaction:
            found = transaction.rows(*_page(since, until, last, at_once))
            changes = []
            for last, *values in found:
                row = row_of(values)
                rated = rate(row)
                price, cost = (row.price, row.cost) if rated is None else rated
                total.rows += 1
                total.before += row.cost or 0
                total.after += cost or 0
                total.unpriced += cost is None and row.source is not Source.NONE
                if (price, cost) != (row.price, row.cost):
                    changes.append((price, cost, last))
            total.changed += len(changes)
            if changes and not dry_run:
                _change(store, transaction, changes)
        progress(total)
        if len(found) < at_once:
            return total


def _change(store: Store, transaction: Transaction, changes: Sequence[tuple[str | None, int | None, int]]) -> None:
    ids = [each for _, _, each in changes]
    which = f"from attempts where id in ({', '.join('?' * len(ids))})"
    store.unfold(transaction, which, ids)
    for change in changes:
        transaction.execute("update attempts set price = ?, cost = ? where id = ?", change)
    store.fold(transaction, which, ids)


def dollars(nano: int, digits: int = 9) -> str:
    """
    :param nano: billionths of a dollar.
    :param digits: behind the point, at most nine; rounded half up.
    :return: exact, with at least two digits behind the point: ``0.25``, ``1203.00``, ``0.000012345``.
    """
    unit = 10 ** (9 - digits)
    whole = (abs(nano) + unit // 2) // unit
    text = f"{whole // 10**digits}.{whole % 10**digits:0{digits}}"
    while text[-1] == "0" and text[-3] != ".":
        text = text[:-1]
    return f"-{text}" if nano < 0 and whole else text
