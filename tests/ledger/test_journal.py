"""The journal: what has been written to it is read again, wherever its process ended."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.core.usage.values import Usage
from llm_gateway.ledger.journal import Journal, JournalFull, Kind, Segment, decode, orphans
from llm_gateway.ledger.row import Row
from tests.ledger.rows import ended, running

SMALL = 8192
"""Bytes of a segment with room for some sixteen attempts."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """One with small segments, open."""
    journal = Journal(str(tmp_path), SMALL)
    journal.open()
    yield journal
    journal.close(keep=True)


def entries(journal: Journal) -> list[tuple[int, Row]]:
    """:return: what is in the segments that have to be kept."""
    found = []
    for number in range(journal.oldest, journal.number + 1):
        segment = Segment(journal.path(number))
        found += [(each.kind, decode(each.row)) for each in segment.entries()]
        segment.close()
    return found


def test_what_is_written_is_there_at_once(journal: Journal) -> None:
    """Whoever maps the file sees it: nothing has to be flushed."""
    journal.begin(running(1))
    journal.progress(running(1, status=200))
    journal.begin(running(2))
    assert journal.end(ended(1))
    assert entries(journal) == [
        (Kind.BEGUN, running(1)),
        (Kind.BEGUN, running(1, status=200)),
        (Kind.BEGUN, running(2)),
        (Kind.ENDED, ended(1)),
    ]
    assert len(journal) == 1


def test_an_attempt_ends_once(journal: Journal) -> None:
    """Of several ends the first one counts, and what has not begun does not end."""
    journal.begin(running(1))
    assert journal.end(ended(1))
    assert not journal.end(ended(1, ended="timeout"))
    assert not journal.end(ended(2))
    journal.progress(running(1))
    journal.progress(running(2))
    assert [kind for kind, _ in entries(journal)] == [Kind.BEGUN, Kind.ENDED]


def test_half_an_entry_is_none(journal: Journal) -> None:
    """Wherever inside its last entry the process ended, all before it is read, and nothing of that."""
    journal.begin(running(1))
    start = journal.tail
    journal.begin(running(2))
    path = Path(journal.path(1))
    whole = path.read_bytes()
    for cut in range(start, journal.tail):
        path.write_bytes(whole[:cut] + bytes(len(whole) - cut))
        segment = Segment(str(path))
        assert [entry.end for entry in segment.entries()] == [start]
        segment.close()


@given(st.binary(max_size=400), st.integers(0, 600))
def test_whatever_stands_in_a_file_is_read_without_a_fault(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int
) -> None:
    """A disk may say anything after a loss of power."""
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(str(folder), SMALL)
    journal.open()
    for number in range(3):
        journal.begin(running(number))
    path = Path(journal.path(1))
    written = bytearray(path.read_bytes())
    written[16 + at : 16 + at + len(data)] = data
    path.write_bytes(written)
    segment = Segment(str(path))
    for entry in segment.entries():
        assert 16 < entry.end <= SMALL
    segment.close()
    journal.close(keep=False)


@pytest.mark.parametrize("content", [b"", b"short", b"another file" * 100])
def test_a_file_that_is_no_segment_is_told(tmp_path: Path, content: bytes) -> None:
    """It is not taken for an empty one."""
    path = tmp_path / "x.00000001.journal"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.00000001\.journal"):
        Segment(str(path))


def test_what_runs_long_does_not_hold_up_what_is_done(journal: Journal) -> None:
    """It is brought along from segment to segment, so that all but the last ones can go."""
    long = running(0)
    journal.begin(long)
    for number in range(1, 200):
        journal.begin(running(number))
        long.status = number
        journal.end(ended(number))
    assert journal.number > 6
    assert journal.oldest == journal.number - 1
    assert (Kind.BEGUN, long) not in entries(journal)
    brought = [row for kind, row in entries(journal) if kind is Kind.BEGUN and row.request_id == long.request_id]
    assert brought
    assert all(0 < row.status < 199 for row in brought if row.status is not None), "as it was when it was brought"
    assert len(journal) == 1


def test_segments_grow_with_what_runs_at_the_same_time(journal: Journal) -> None:
    """A thousand attempts at once do not fit into a segment, and are not brought along all the time."""
    for number in range(1000):
        journal.begin(running(number))
    before = journal.number
    for number in range(1000):
        journal.end(ended(number))
        journal.begin(running(number + 1000))
    assert journal.number - before < 8
    assert len(journal) == 1000


def _law(steps: list[tuple[int, int]], folder: Path) -> None:
    """Do what is drawn, and read what a crash would leave after each tenth step."""
    journal = Journal(str(folder), 4096)
    journal.open()
    began: dict[int, Row] = {}
    done: dict[int, Row] = {}
    seen: dict[str, Row] = {}
    for step, (number, kind) in enumerate(steps):
        row = running(number, status=step)
        if kind == 0 and number not in began and number not in done:
            journal.begin(row)
            began[number] = row
        elif kind == 1 and number in began:
            began[number].status = step
            journal.progress(began[number])
        elif kind == 2 and number in began:
            began[number].ended = "ok"
            journal.end(began[number])
            done[number] = began.pop(number)
        if step % 10 == 0:
            there = dict[str, Row]()
            for at, row in entries(journal):
                if at == Kind.BEGUN:
                    there[row.request_id] = row
                else:
                    there.pop(row.request_id, None)
                    seen[row.request_id] = row
            assert there == {row.request_id: row for row in began.values()}
    journal.close(keep=False)
    assert {row.request_id for row in done.values()} >= set(seen)
    assert not list(folder.iterdir())


def test_a_crash_leaves_all_that_runs_and_nothing_else(tmp_path: Path) -> None:
    """At any time the segments that are kept say of each running attempt what is known of it, and of no other."""

    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=150))
    def check(steps: list[tuple[int, int]]) -> None:
        _law(steps, tmp_path)

    check()


class FullDisk:
    """A disk on which there is no room for new files from some time on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self._allocate = os.posix_fallocate
        monkeypatch.setattr(os, "posix_fallocate", self)

    def __call__(self, descriptor: int, offset: int, length: int) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._allocate(descriptor, offset, length)


def test_a_full_disk_lets_end_what_has_begun(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """New attempts are refused while there is still room for the ends of the others; nothing is lost."""
    disk = FullDisk(monkeypatch)
    disk.is_full = True
    began = []

    def begin_more() -> None:
        for number in range(1000):
            journal.begin(running(number))
            began.append(number)

    with pytest.raises(JournalFull, match="No space left"):
        begin_more()
    assert len(began) > 4, began
    for number in began:
        journal.progress(running(number, status=200))
        assert journal.end(ended(number))
    assert [row for kind, row in entries(journal) if kind == Kind.ENDED] == [ended(number) for number in began]
    disk.is_full = False
    for number in range(1000, 1100):
        journal.begin(running(number))
        assert journal.end(ended(number))


def test_an_end_that_finds_no_room_may_come_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as running until then."""
    large = {f"label{number}": "x" * 100 for number in range(60)}
    journal.begin(running(1))
    FullDisk(monkeypatch).is_full = True
    for number in (2, 3):
        journal.begin(running(number, labels=large))
        journal.end(ended(number))
    with pytest.raises(JournalFull):
        journal.end(ended(1, labels=large))
    assert len(journal) == 1
    monkeypatch.undo()
    assert journal.end(ended(1, labels=large))


def test_a_journal_without_room_for_two_segments_does_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves nothing behind."""
    FullDisk(monkeypatch).is_full = True
    with pytest.raises(OSError, match="No space"):
        Journal(str(tmp_path)).open()
    assert not list(tmp_path.iterdir())


def test_a_system_that_cannot_allocate_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no such call: the room is taken by writing zeros."""
    monkeypatch.delattr(os, "posix_fallocate")
    journal = Journal(str(tmp_path), SMALL)
    journal.open()
    account = running(1)
    journal.begin(account)
    assert entries(journal) == [(Kind.BEGUN, account)]
    assert [path.stat().st_size for path in tmp_path.glob("*.journal")] == [SMALL, SMALL]
    journal.close(keep=False)


def test_text_that_is_no_utf8_is_written_without_what_is_wrong(journal: Journal) -> None:
    """A half of a character in a label or a model's name must not cost the account."""
    journal.begin(running(1, model_asked="half \ud800", labels={"x\udfff": "\ud800"}))
    [(_, row)] = entries(journal)
    assert (row.model_asked, row.labels) == ("half ?", {"x?": "?"})


def test_a_number_that_has_no_room_is_written_as_the_largest(journal: Journal) -> None:
    """What a provider says must not cost the account, either."""
    journal.begin(running(1))
    journal.end(running(1, cost=-(2**80), usage=Usage(output=2**70, pieces={"web_search": 2**65})))
    [_, (_, row)] = entries(journal)
    most = 2**63 - 1
    assert (row.cost, row.usage) == (-most, Usage(output=most, pieces={"web_search": most}))


def test_a_row_that_is_too_large_is_written_without_labels(tmp_path: Path) -> None:
    """The account is kept, and what makes it large is not."""
    journal = Journal(str(tmp_path))
    journal.open()
    journal.begin(running(1, labels={"x": "y" * 100_000}, model_asked="z" * 1000))
    [(_, row)] = entries(journal)
    assert (row.labels, row.model_asked) == ({}, "z" * 512)
    journal.close(keep=False)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Folder and files: they tell who uses what."""
    journal = Journal(str(tmp_path / "journals"), SMALL)
    journal.open()
    assert (tmp_path / "journals").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "journals").iterdir()} == {0o600}
    journal.close(keep=False)


def test_the_journal_of_a_process_that_lives_is_nobodys(tmp_path: Path, journal: Journal) -> None:
    """Only once it is gone, others see it; and of those only one has it at a time."""
    assert orphans(str(tmp_path)) == []
    journal.begin(running(1))
    journal.close(keep=True)
    [found] = orphans(str(tmp_path))
    assert found.name == journal.name
    assert orphans(str(tmp_path)) == []
    assert found.paths() == [journal.path(1), journal.path(2)]
    found.close()
    [again] = orphans(str(tmp_path))
    again.remove()
    assert not list(tmp_path.iterdir())


def test_journals_of_one_folder_have_names_of_their_own(tmp_path: Path) -> None:
    """Also those of one process."""
    journals = [Journal(str(tmp_path), SMALL) for _ in range(5)]
    for each in journals:
        each.open()
    assert len({each.name for each in journals}) == 5
    for each in journals:
        each.close(keep=False)
    assert not list(tmp_path.iterdir())
