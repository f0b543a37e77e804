"""What the ledger answers equals what the rows add up to, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.core.limits.values import Measure, Scope
from llm_gateway.core.usage.values import INPUT, OUTPUT, Source, Usage
from llm_gateway.ledger.queries import DIMENSIONS, Line, UnknownDimension, Used, dollars, read, rerate, usage, used
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.store import Store
from tests.ledger.rows import AT, ended, rows, running
from tests.ledger.test_store import is_summed_up

HOUR_S = 3600
START = AT / 1e6


def told(row: Row, name: str) -> str:
    """:return: what a row says of a dimension, computed from the row alone."""
    when = datetime.fromtimestamp(row.at // 1_000_000, UTC)
    plain: dict[str, Callable[[], str]] = {
        "group": lambda: row.group or "",
        "model": lambda: row.model if row.model is not None else row.model_asked or "",
        "hour": lambda: when.strftime("%Y-%m-%dT%H:00Z"),
        "day": lambda: when.strftime("%Y-%m-%d"),
        "week": lambda: (when - timedelta(days=when.weekday())).strftime("%Y-%m-%d"),
        "month": lambda: when.strftime("%Y-%m"),
        "stream": lambda: "yes" if row.stream else "no",
        "source": lambda: row.source.value,
        "tier": lambda: row.usage.tier or "",
        "status": lambda: "" if row.status is None else str(row.status),
    }
    if name.startswith("label:"):
        return row.labels.get(name.removeprefix("label:"), "")
    return plain[name]() if name in plain else getattr(row, name) or ""


def added_up(given: Sequence[Row], by: Sequence[str]) -> dict[tuple[str, ...], Line]:
    """:return: what ``usage`` should answer, summed up without a database."""
    lines: dict[tuple[str, ...], Line] = {}
    for row in given:
        key = tuple(told(row, name) for name in by)
        line = lines.setdefault(key, Line(by=key))
        counts = {name: getattr(row.usage, name) for name in (*INPUT, *OUTPUT)}
        line.add(
            Line(
                by=key,
                calls=int(row.attempt == 1),
                attempts=1,
                errors=int(row.ended not in ("ok", "client_gone", "client_stalled")),
                estimated=int(row.source in (Source.PARTLY, Source.ESTIMATED)),
                unpriced=int(row.cost is None and row.source is not Source.NONE),
                cost=row.cost or 0,
                duration_us=row.duration_us or 0,
                first_token_us=row.first_token_us or 0,
                first_tokens=int(row.first_token_us is not None),
                **counts,
            )
        )
    return lines


_dimensions = st.lists(st.sampled_from([*DIMENSIONS, "label:app", 'label:q"', "label:a b"]), max_size=3, unique=True)
_moments = st.none() | st.integers(-31 * HOUR_S, 31 * HOUR_S).map(lambda seconds: START + seconds) | st.just(START)


def test_use_is_what_the_rows_add_up_to(store: Store) -> None:
    """By any dimensions, between any times, and of whomever: from the sums of hours or from rows, it is the same."""

    @settings(max_examples=15)
    @given(
        st.lists(rows(), max_size=15, unique_by=lambda row: (row.request_id, row.attempt)),
        _dimensions,
        _moments,
        _moments,
        st.none() | st.tuples(st.sampled_from(["key", "group", "ended", "label:app", "model"]), st.integers(0, 14)),
    )
    def check(
        given: list[Row], by: list[str], since: float | None, until: float | None, chosen: tuple[str, int] | None
    ) -> None:
        with store.transaction() as transaction:
            transaction.execute("delete from attempts")
            transaction.execute("delete from hours")
        store.write(given)
        where = {}
        if chosen is not None and given:
            name, number = chosen
            where = {name: [told(given[number % len(given)], name), "nobody"]}
        wanted = [
            row
            for row in given
            if (since is None or row.at >= since * 1e6)
            and (until is None or row.at < until * 1e6)
            and all(told(row, name) in values for name, values in where.items())
        ]
        got = usage(store, by, since, until, where)
        assert {line.by: line for line in got} == added_up(wanted, by)
        assert len(got) == len({line.by for line in got})

    check()


def test_the_most_expensive_comes_first_and_time_in_its_order(store: Store) -> None:
    """As a person wants to read it."""
    day = 24 * HOUR_S
    store.write([ended(1, key="bob", cost=5), ended(2, cost=7), ended(day, key="bob", cost=9)])
    assert [(line.by, line.cost) for line in usage(store, ["key"])] == [(("bob",), 14), (("alice",), 7)]
    assert [line.by for line in usage(store, ["day", "key"])] == [
        ("2026-11-22", "alice"),
        ("2026-11-22", "bob"),
        ("2026-11-23", "bob"),
    ]


def test_use_outlives_the_rows(store: Store) -> None:
    """After retention has removed rows, all but what only rows say is answered as before."""
    store.write([ended(number) for number in range(20)])
    before = usage(store, ["key", "model", "day"])
    store.forget(AT + 10**12)
    assert not list(read(store))
    assert usage(store, ["key", "model", "day"]) == before
    assert usage(store, ["label:app"]) == []


def test_a_ledger_without_rows_has_no_use(store: Store) -> None:
    """Not one line of zeros, either."""
    assert usage(store) == []
    assert usage(store, ["key"], START, START + 5) == []
    assert used(store, Scope.KEY) == {}


@pytest.mark.parametrize("name", ["keys", "label:", "id", "at; drop table attempts"])
def test_what_nobody_is_told_apart_by_is_refused(store: Store, name: str) -> None:
    """Before the database sees it."""
    with pytest.raises(UnknownDimension, match=name):
        usage(store, [name])
    with pytest.raises(UnknownDimension):
        usage(store, where={name: ["x"]})


def test_time_is_not_chosen_by_name(store: Store) -> None:
    """Since and until do that."""
    with pytest.raises(UnknownDimension, match="since and until"):
        usage(store, where={"day": ["2026-11-22"]})


def test_limits_learn_what_was_used_before(store: Store) -> None:
    """By subject and in buckets: a call counts once for its key, and each time for the credentials."""
    store.write(
        [
            ended(0, cost=10, usage=Usage(input=5, cached=2, output=3, reasoning=1)),
            ended(0, attempt=2, credential="spare", cost=20, usage=Usage(output=4)),
            ended(HOUR_S + 1, cost=40, usage=Usage(audio_input=7)),
            ended(5, key_digest="b2" * 32, group=None, cost=None),
        ]
    )
    key, other = "a1" * 32, "b2" * 32
    by_key = used(store, Scope.KEY)
    assert by_key[key] == [Used(START, 1, 7, 8, 30), Used(START + HOUR_S, 1, 7, 0, 40)]
    assert [each.cost for each in by_key[other]] == [0]
    by_credential = used(store, Scope.CREDENTIAL)
    assert {name: [each.requests for each in found] for name, found in by_credential.items()} == {
        "main": [2, 1],
        "spare": [1],
    }
    assert sorted(used(store, Scope.GROUP)) == ["", "team"]
    assert [each.requests for each in used(store, Scope.GLOBAL)[""]] == [2, 1]
    assert used(store, Scope.KEY, subjects=[other]).keys() == {other}
    assert used(store, Scope.KEY, subjects=[]) == {}
    everything = by_key[key][0]
    assert [everything.amount(measure) for measure in Measure] == [1, 7, 8, 15, 0, 30]


@pytest.mark.parametrize("bucket_s", [60, 3600, 86_400])
def test_buckets_lose_nothing(store: Store, bucket_s: int) -> None:
    """Whatever they hold, together they hold all since then."""
    given = [ended(number * 47, cost=number) for number in range(100)]
    store.write(given)
    since = START + 700
    found = used(store, Scope.GLOBAL, since, bucket_s)[""]
    first = since // bucket_s * bucket_s
    assert found[0].start == first
    assert all(each.start % bucket_s == 0 for each in found)
    assert sum(each.cost for each in found) == sum(row.cost or 0 for row in given if row.at >= first * 1e6)


def test_seconds_of_buckets_need_rows_and_hours_do_not(store: Store) -> None:
    """A limit for good has its use also when the rows are gone."""
    store.write([ended(1)])
    store.forget(AT + 10**12)
    assert used(store, Scope.KEY, 0, 60) == {}
    assert [each.requests for each in used(store, Scope.KEY, 0, 3600)["a1" * 32]] == [1]


def test_rating_again_mends_rows_and_sums(store: Store) -> None:
    """What has another price now costs that, in every answer; the rest is as it was."""
    given = [ended(number, cost=100) for number in range(30)] + [ended(30, price=None, cost=None), running(31)]
    store.write(given)

    def rate(row: Row) -> tuple[str | None, int | None] | None:
        if row.cost is None:
            return ("list 2", 7) if row.ended == "ok" else (None, None)
        return ("list 2", 150) if row.at % 2_000_000 else None

    foreseen = rerate(store, rate, dry_run=True, at_once=8)
    assert list(read(store)) == given
    steps = []
    done = rerate(store, rate, at_once=8, progress=lambda total: steps.append(total.rows))
    assert done == foreseen
    assert (done.rows, done.changed, done.before, done.after, done.unpriced) == (
        32,
        16,
        3000,
        15 * 100 + 15 * 150 + 7,
        0,
    )
    assert steps == [8, 16, 24, 32, 32]
    assert [row.cost for row in read(store)] == [100, 150] * 15 + [7, None]
    assert [line.cost for line in usage(store)] == [done.after]
    assert is_summed_up(store)
    assert rerate(store, rate).changed == 0


def test_rows_are_read_between_times(store: Store) -> None:
    """In the order in which they were written."""
    given = [ended(number) for number in (5, 1, 3)]
    store.write(given)
    assert list(read(store, START + 2)) == [given[0], given[2]]
    assert list(read(store, START + 1, START + 5, at_once=1)) == given[1:]


@pytest.mark.parametrize(
    ("nano", "digits", "text"),
    [
        (0, 9, "0.00"),
        (1, 9, "0.000000001"),
        (250_000_000, 9, "0.25"),
        (1_203_000_000_000, 9, "1203.00"),
        (12_345, 9, "0.000012345"),
        (-12_345, 9, "-0.000012345"),
        (-1, 2, "0.00"),
        (4_999_999, 2, "0.00"),
        (5_000_000, 2, "0.01"),
        (999_999_999_999, 4, "1000.00"),
        (2**62, 9, "4611686018.427387904"),
    ],
)
def test_money_is_shown_to_the_last_digit(nano: int, digits: int, text: str) -> None:
    """Without a float on the way."""
    assert dollars(nano, digits) == text


def test_a_line_can_be_told_in_json() -> None:
    """For those who answer with it."""
    assert msgspec.json.decode(msgspec.json.encode(Line(by=("x",), cost=3)))["cost"] == 3
