"""Both databases: each attempt is there once, whoever writes it how often, and the sums of the hours are theirs."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.core.usage.values import Usage
from llm_gateway.ledger import schema
from llm_gateway.ledger.queries import read, row_of
from llm_gateway.ledger.row import INTERRUPTED, Row
from llm_gateway.ledger.schema import COLUMNS, SUBJECTS, SUMS, TOKENS, values_of
from llm_gateway.ledger.store import BadRow, BadUrl, Conflict, Store, StoreError, Written, open_store
from tests.ledger.conftest import new_schema
from tests.ledger.rows import AT, ended, rows, running

Opened = Callable[[str], Store]

MIGRATING = [f"llm_gateway.ledger.{name}.MIGRATIONS" for name in ("store", "sqlite", "postgres")]
"""Where the steps are known."""


def is_summed_up(store: Store) -> bool:
    """:return: whether the sums of the hours are those of the rows, computed anew."""
    told = ", ".join(schema.subject_of(name) for name in SUBJECTS)
    summed = ", ".join(f"sum({each})" for each in SUMS.values())
    by = ", ".join(str(number + 1) for number in range(len(SUBJECTS)))
    with store.reading() as transaction:
        wanted = transaction.rows(f"select {told}, {summed} from attempts group by {by}")
        got = transaction.rows(f"select {', '.join((*SUBJECTS, *SUMS))} from hours where attempts <> 0")
    return sorted(map(_plain, wanted)) == sorted(map(_plain, got))


def _plain(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(value if isinstance(value, str) else int(value) for value in row)


def test_a_row_comes_back_as_it_was_written(store: Store) -> None:
    """Every field is a column, whatever the database."""
    written = [
        ended(1),
        ended(
            2,
            usage=Usage(input=1, image_output=2, pieces={"web_search": 3}, tier="flex"),
            labels={'a"b': "ü\U0001f600"},
        ),
        running(3, group=None, labels={}, stream=True, status=None),
    ]
    assert store.write(written) == Written(new=3)
    assert list(read(store)) == written


def test_what_one_of_many_says_is_written(store: Store) -> None:
    """Columns in which most attempts say nothing are left out of most statements."""
    empty: dict[str, Any] = {"usage": Usage(input=1), "group": None, "labels": {}}
    said: list[dict[str, Any]] = [
        {"group": "team"},
        {"group": ""},
        {"labels": {"app": "chat"}},
        {"error": "upstream_timeout"},
        {"usage": Usage(tier="flex")},
        {"usage": Usage(pieces={"web_search": 1})},
        *({"usage": msgspec.structs.replace(Usage(), **{name: 7})} for name in TOKENS),
    ]
    written: list[Row] = []
    for one in said:
        group = [ended(len(written) + number, **(empty | (one if number == 33 else {}))) for number in range(57)]
        assert store.write(group) == Written(new=57)
        written += group
    assert list(read(store)) == written
    assert is_summed_up(store)


@settings(max_examples=30)
@given(rows())
def test_columns_hold_all_that_a_row_does(row: Row) -> None:
    """What is added to a row must be added to the tables, or this fails."""
    assert row_of(values_of(row)) == row
    assert len(values_of(row)) == len(COLUMNS)


def test_writing_again_changes_nothing(store: Store) -> None:
    """A group is written again where nobody knows whether it was: after a crash, or a lost connection."""
    written = [ended(number) for number in range(250)]
    assert store.write(written) == Written(new=250)
    assert store.write([ended(7, cost=1), *written, ended(251)]) == Written(new=1, known=251)
    assert list(read(store)) == [*written, ended(251)]
    assert is_summed_up(store)


def test_what_was_interrupted_may_have_ended_after_all(store: Store) -> None:
    """A row that says how its attempt ended takes the place of one that only says that nobody knows."""
    store.write([running(1), running(2), ended(3)])
    assert store.write([ended(1), ended(4)]) == Written(new=1, replaced=1)
    assert [row.ended for row in sorted(read(store), key=lambda row: row.at)] == ["ok", INTERRUPTED, "ok", "ok"]
    assert is_summed_up(store)


def test_what_has_ended_stays_so(store: Store) -> None:
    """The other way round nothing is replaced: neither by an interruption nor by another end."""
    store.write([ended(1)])
    assert store.write([running(1), ended(1, ended="timeout")]) == Written(known=2)
    assert list(read(store)) == [ended(1)]


def test_two_of_one_attempt_in_a_group_are_one(store: Store) -> None:
    """The one that says more is kept, in whichever order they come."""
    assert store.write([running(1), ended(1), ended(2), running(2)]) == Written(new=2, replaced=1, known=1)
    assert sorted(read(store), key=lambda row: row.at) == [ended(1), ended(2)]
    assert is_summed_up(store)


def test_any_writing_leaves_each_attempt_once_and_the_sums_right(store: Store) -> None:
    """Whatever is written in whichever groups: the first end counts, and the sums are those of what is there."""

    @settings(max_examples=12)
    @given(st.lists(st.lists(rows(), max_size=6), max_size=3))
    def check(groups: list[list[Row]]) -> None:
        with store.transaction() as transaction:
            transaction.execute("delete from attempts")
            transaction.execute("delete from hours")
        wanted: dict[tuple[str, int], Row] = {}
        for group in groups:
            # First comes what is new; then each interrupted one's first end.
            for row in group:
                wanted.setdefault((row.request_id, row.attempt), row)
            for row in group:
                if row.ended != INTERRUPTED and wanted[row.request_id, row.attempt].ended == INTERRUPTED:
                    wanted[row.request_id, row.attempt] = row
            told = store.write(group)
            assert told.new + told.replaced + told.known == len(group)
        assert {(row.request_id, row.attempt): row for row in read(store)} == wanted
        assert is_summed_up(store)

    check()


def test_several_may_write_at_the_same_time(url: str, opened: Opened) -> None:
    """Workers on one database: nobody's row is lost or counted twice, also where two write the same."""
    faults: list[BaseException] = []
    written = [0, 0, 0]

    def write(number: int) -> None:
        store = opened(url)
        try:
            for start in range(0, 200, 20):
                # Each group has half of its rows in common with another one's.
                group = [ended(each) for each in range(start + number * 10, start + number * 10 + 20)]
                done = False
                while not done:
                    try:
                        written[number] += store.write(group).new
                        done = True
                    except StoreError as error:
                        if "lock" not in str(error):
                            raise
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not faults
    store = opened(url)
    assert sorted(row.at for row in read(store)) == [AT + number * 1_000_000 for number in range(220)]
    assert sum(written) == 220
    assert is_summed_up(store)


def test_those_who_write_at_the_same_time_do_not_wait_for_each_other_for_ever(
    postgres_url: str, opened: Opened
) -> None:
    """Whose rows are of the same hours and keys, but in another order."""
    url = new_schema(postgres_url)
    opened(url).open()
    faults: list[BaseException] = []

    def write(turn: int) -> None:
        store = opened(url)
        keys = [f"key{number:03}" for number in range(120)][:: 1 if turn % 2 else -1]
        try:
            for group in range(5):
                first = turn * 10_000 + group * 1000
                store.write(
                    [
                        ended(group, request_id=f"{first:024x}", attempt=number + 1, key=key)
                        for number, key in enumerate(keys)
                    ]
                )
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not faults
    assert is_summed_up(opened(url))


def by_four(do: Callable[[], None]) -> None:
    """Have four threads do it at the same time."""
    threads = [threading.Thread(target=do) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_several_may_make_the_tables_at_the_same_time(url: str, opened: Opened) -> None:
    """Workers start together on a new database."""
    faults: list[BaseException] = []

    def make() -> None:
        try:
            opened(url).open()
        except BaseException as error:
            faults.append(error)

    by_four(make)
    assert not faults
    with opened(url).reading() as transaction:
        assert transaction.rows("select version from schema_versions") == [(len(schema.MIGRATIONS),)]


def test_none_of_several_finds_a_new_file_locked(tmp_path: Path) -> None:
    """SQLite waits for nobody while it changes how a file is written: each eleventh time one of the four would fail."""
    faults: list[BaseException] = []
    for number in range(50):

        def make(path: str = str(tmp_path / f"{number}.sqlite")) -> None:
            store = open_store(path)
            try:
                store.open()
            except BaseException as error:
                faults.append(error)
            finally:
                store.close()

        by_four(make)
    assert not faults
    assert len(list(tmp_path.iterdir())) == 50


def test_a_database_of_a_newer_version_is_left_alone(store: Store) -> None:
    """An old program must not write rows of which it does not know the half."""
    with store.transaction() as transaction:
        transaction.execute("insert into schema_versions (version, applied_at) values (?, 0)", (99,))
    store.close()
    with pytest.raises(StoreError, match="has version 99 of the tables, and this program knows"):
        store.write([ended(1)])


def test_a_step_is_taken_by_a_database_that_has_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer program adds what it needs, once, and rows stay."""
    store.write([ended(1)])
    store.close()
    step = ("alter table attempts add column more bigint", "create table other (id {id}, detail {json})")
    for name in MIGRATING:
        monkeypatch.setattr(name, (*schema.MIGRATIONS, step))
    store.open()
    store.close()
    assert list(read(store)) == [ended(1)]
    with store.reading() as transaction:
        assert transaction.rows("select more from attempts") == [(None,)]
        assert transaction.rows("select count(*) from schema_versions") == [(len(schema.MIGRATIONS) + 1,)]


def test_a_step_that_fails_is_not_taken_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a step would be neither version."""
    step = ("create table other (id {id})", "create table other (id {id})")
    for name in MIGRATING:
        monkeypatch.setattr(name, (*schema.MIGRATIONS, step))
    with pytest.raises(StoreError, match="already exists"):
        store.open()
    monkeypatch.undo()
    store.write([ended(1)])
    for name in MIGRATING:
        monkeypatch.setattr(name, (*schema.MIGRATIONS, step[:1]))
    store.close()
    store.open()
    with store.reading() as transaction:
        assert transaction.rows("select count(*) from other") == [(0,)]


@pytest.mark.parametrize("bad", [{"status": 2**70}, {"duration_us": 2**63 - 1}])
def test_a_row_that_no_database_takes_is_told_from_a_database_that_is_down(store: Store, bad: dict[str, Any]) -> None:
    """The one must not be tried for ever. Of its group nothing is written."""
    with pytest.raises(BadRow):
        store.write([ended(1), ended(2, **bad), ended(3)])
    assert list(read(store)) == []
    assert store.write([ended(1)]) == Written(new=1)


def test_a_provider_that_says_too_much_does_not_cost_others_their_sums(store: Store) -> None:
    """Numbers that cannot be are cut; all that is added up has room for many of them."""
    mad = Usage(input=10**18, output=2**70, reasoning=-5)
    store.write([ended(number, usage=mad, cost=10**20) for number in range(100)])
    assert [(row.usage, row.cost) for row in read(store)] == [(Usage(input=10**12, output=10**12), 10**15)] * 100
    assert is_summed_up(store)


def test_a_name_that_is_taken_is_told_from_a_database_that_is_down(store: Store) -> None:
    """Whoever keeps other tables in it can tell a person what is wrong."""
    with store.transaction() as transaction:
        transaction.execute("insert into counters (name, value) values (?, ?)", ("mine", 1))

    def take_it() -> None:
        with store.transaction() as transaction:
            transaction.execute("update counters set value = 2 where name = ?", ("mine",))
            transaction.execute("insert into counters (name, value) values (?, ?)", ("mine", 1))

    with pytest.raises(Conflict):
        take_it()
    with store.reading() as transaction:
        assert transaction.rows("select value from counters where name = ?", ("mine",)) == [(1,)]


def test_reading_changes_nothing(store: Store) -> None:
    """What is asked inside ``reading`` leaves no trace."""
    store.open()
    try:
        with store.reading() as transaction:
            transaction.execute("insert into counters (name, value) values ('x', 1)")
    except StoreError:
        pass  # PostgreSQL refuses; SQLite takes it back
    with store.reading() as transaction:
        assert transaction.rows("select * from counters where name = 'x'") == []


def test_who_reads_does_not_wait_for_who_writes(url: str, opened: Opened) -> None:
    """Whoever asks for sums while the gateway writes gets those of before."""
    writing = opened(url)
    writing.write([ended(1)])
    with writing.transaction() as transaction:
        transaction.execute("update attempts set cost = 0")
        assert list(read(opened(url))) == [ended(1)]


def test_who_may_only_read_can(postgres_url: str, opened: Opened) -> None:
    """A person who is to see sums needs no right to change anything."""
    url = new_schema(postgres_url)
    store = opened(url)
    store.write([ended(1)])
    schema_name = url.rpartition("%3D")[2]
    with store.transaction() as transaction:
        transaction.execute(f"create role reader_{schema_name} login")
        transaction.execute(f"grant usage on schema {schema_name} to reader_{schema_name}")
        transaction.execute(f"grant select on all tables in schema {schema_name} to reader_{schema_name}")
    reader = opened(url.replace("tester@", f"reader_{schema_name}@"))
    assert list(read(reader)) == [ended(1)]
    with pytest.raises(StoreError, match="permission denied"):
        reader.write([ended(2)])


def test_old_rows_go_and_their_sums_stay(store: Store) -> None:
    """Retention: a few at a time, the oldest first."""
    store.write([ended(number) for number in range(100)])
    before = AT + 60 * 1_000_000
    assert store.forget(before, most=50)
    assert not store.forget(before, most=50)
    store.tidy()
    assert min(row.at for row in read(store)) == before
    with store.reading() as transaction:
        assert transaction.rows("select sum(attempts) from hours") == [(100,)]


def test_a_file_of_the_ledger_is_for_its_owner_alone(tmp_path: Path, opened: Opened) -> None:
    """Whom a gateway's users are, and what they spend, is not for everybody on the machine."""
    store = opened(f"sqlite:{tmp_path}/ledger.sqlite")
    store.write([ended(1)])
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "ledger.sqlite": 0o600,
        "ledger.sqlite-wal": 0o600,
        "ledger.sqlite-shm": 0o600,
    }


_IN_BETWEEN = """
import sys
from llm_gateway.ledger.store import open_store
store = open_store(sys.argv[1])
with store.transaction() as transaction:
    transaction.execute("update counters set value = value + 1")
store.close()
"""


def test_programs_that_come_and_go_take_nothing_away(tmp_path: Path, opened: Opened) -> None:
    """
    A gateway has several connections to its file, and a command one that it closes: it must not take itself for the
    last one. It would remove the log in which the gateway goes on to write.
    """
    path = str(tmp_path / "ledger.sqlite")
    first, second = opened(path), opened(path)
    first.open()
    second.open()
    first.write([ended(1)])
    for number in (1, 2):
        subprocess.run([sys.executable, "-c", _IN_BETWEEN, path], check=True, timeout=20)
        first.write([ended(number + 1)])
        for store in (first, second):
            with store.reading() as transaction:
                assert transaction.rows("select value from counters") == [(number,)]
    first.close()
    second.close()
    assert [row.request_id for row in read(opened(path))] == [ended(number).request_id for number in (1, 2, 3)]


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path, opened: Opened) -> None:
    """With its path, and as what may be mended while the gateway runs."""
    store = opened(str(tmp_path / "missing" / "ledger.sqlite"))
    with pytest.raises(StoreError, match=r"missing/ledger\.sqlite"):
        store.open()
    (tmp_path / "missing").mkdir()
    store.open()


def test_a_file_that_is_no_database_is_told(tmp_path: Path, opened: Opened) -> None:
    """It stays as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(StoreError, match="not a database"):
        opened(str(path)).open()
    assert path.read_text() == "not a database " * 100


def test_a_server_that_is_not_there_is_told_without_the_password(opened: Opened) -> None:
    """What is logged of it holds no secret."""
    store = opened("postgresql://gateway:canary-secret@/db?host=/nonexistent&password=canary-secret")
    with pytest.raises(StoreError) as told:
        store.open()
    assert "canary-secret" not in str(told.value) + store.shown
    assert store.shown == "postgresql://gateway@/db"


@pytest.mark.parametrize("url", ["", "sqlite:", "mysql://localhost/ledger", "//host/ledger", "sqlite://host/ledger"])
def test_what_names_no_database_is_refused(url: str) -> None:
    """At once, and not with the first row."""
    with pytest.raises(BadUrl):
        open_store(url)


def test_a_lost_connection_is_made_anew(postgres_url: str, opened: Opened) -> None:
    """The group that was under way fails, and the next one is written."""
    url = new_schema(postgres_url)
    store, other = opened(url), opened(url)
    store.write([ended(1)])
    with other.transaction() as transaction:
        transaction.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and backend_type = 'client backend'"
        )
    with pytest.raises(StoreError):
        store.write([ended(2)])
    assert store.write([ended(2)]) == Written(new=1)


def test_zeros_inside_text_are_told_apart(postgres_url: str, opened: Opened) -> None:
    """PostgreSQL has no place for them; whoever writes can mend the row."""
    store = opened(new_schema(postgres_url))
    with pytest.raises(BadRow):
        store.write([msgspec.structs.replace(ended(1), model="a\0b")])
