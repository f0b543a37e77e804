"""
The ledger of one process: what its calls begin and end goes to the journal at once, and from there to the store.

The journal is the queue. A thread of the ledger's own reads it behind the calls, writes what has ended in groups, and
removes what the store has. While the store cannot be used rows wait there, and calls do not.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from llm_gateway.ledger.journal import (
    SEGMENT_BYTES,
    Journal,
    JournalFull,
    Kind,
    Orphan,
    Segment,
    alone,
    decode,
    orphans,
)
from llm_gateway.ledger.row import INTERRUPTED, Row
from llm_gateway.ledger.store import BadRow, Store, StoreError

__all__ = ["WHEN_FULL", "Counts", "Ledger", "LedgerFull"]

WHEN_FULL = ("refuse", "drop")
"""What becomes of a call whose attempts would find no room: it is refused, or it goes on and is not accounted for."""
_BATCH = 500
"""Rows of one transaction. Larger ones are not cheaper, and hold up other processes."""
_AT_ONCE = 100
"""Rows that are read from the journal before the thread with the calls may go on: they take 0.2 ms."""
_NAP_S = 0.001
_LINGER_S = 1.0
"""From the end of an attempt until it is written, so that many are written together."""
_LOOK_S = 30.0
"""Between two looks for journals of processes that have ended."""
_TIDY_S = 3600.0
"""Between two removals of what is too old."""
_STOP_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
"""After the store has failed; it doubles."""

_log = Logger()


class LedgerFull(JournalFull):
    """Nothing more can be written down for now, and calls that are not written down are to be refused."""


class Counts(msgspec.Struct, frozen=True):
    """What a ledger has done since it was started, in rows."""

    running: int = 0
    """Attempts that have begun and not ended."""
    waiting: int = 0
    """Ended, and not in the store yet."""
    written: int = 0
    replaced: int = 0
    """Of ``written``: those that took the place of one that had been interrupted."""
    known: int = 0
    """Those that the store turned out to have already."""
    interrupted: int = 0
    """Of ``written``: attempts of a process that ended before they did."""
    deferred: int = 0
    """Those that had to wait, since the store could not be used."""
    failures: int = 0
    """How often the store could not be used."""
    rejected: int = 0
    """Those that no store takes; they are in the file ``rejected.jsonl`` of the journal's folder."""
    lost: int = 0
    """Those that were not written down at all, by the policy ``drop``."""


class Reactor(Protocol):
    """What is needed of it."""

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None: ...

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> Any: ...


class Ledger:
    """
    Where attempts are written down. Its methods are for the reactor's thread, and none of them waits for a disk.

    Each row is begun once and ended once. A row that was not ended when the process did is in the store afterwards as
    ``INTERRUPTED``, with what was known of it last: as soon as a ledger with the same folder is started, or after half
    a minute by one that runs.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        reactor: Reactor,
        *,
        when_full: str = "refuse",
        most_rows: int = 1_000_000,
        most_bytes: int = 1 << 30,
        retention_days: float | None = None,
        linger_s: float = _LINGER_S,
        segment_bytes: int = SEGMENT_BYTES,
        now: Callable[[], float] = time.time,
        rate: Callable[[Row], None] = lambda _row: None,
        recovered: Callable[[Row], None] = lambda _row: None,
    ) -> None:
        """
        :param store: of the ledger's own from now on.
        :param folder: of the journals; other processes on the same database have the same one.
        :param most_rows: how many may wait for the store.
        :param most_bytes: how large the journal may become.
        :param retention_days: how long rows stay; the sums of their hours do for good. ``None`` for ever.
        :param now: the time of day, for ``retention_days``.
        :param rate: says what an attempt costs whose process ended before it; called by any thread.
        :param recovered: is told of each such attempt when it is in the store; likewise.
        """
        self._store = store
        self._reactor = reactor
        self._drops = when_full == "drop"
        self._most_rows = most_rows
        self._most_segments = max(2, most_bytes // segment_bytes)
        self._retention_s = None if retention_days is None else retention_days * 86_400.0
        self._linger_s = linger_s
        self._now = now
        self._rate = rate
        self._recovered = recovered
        self._journal = Journal(folder, segment_bytes)
        self._delivery = _Delivery(self._journal)
        self._unwritten: dict[tuple[str, int], Row] = {}
        """Ended, while the journal had no room for that."""
        self._ended = 0
        self._lost = 0
        self._unasked = 0
        self._asleep = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._stopped: Deferred[None] | None = None
        # From here on it is the thread's.
        self._tally = dict.fromkeys(
            ("stored", "written", "replaced", "known", "interrupted", "deferred", "failures", "rejected"), 0
        )
        self._error: str | None = None
        self._pause_s = 0.0
        self._next_look = self._next_tidy = 0.0
        self._waiters: list[tuple[int, Deferred[None]]] = []
        self._lock = threading.Lock()

    # For the reactor's thread

    def start(self) -> None:
        """
        Open the journal, and begin to write, first what processes that have ended have left.

        :raises OSError: the journal's folder cannot be used.
        """
        self._journal.open()
        self._delivery.start()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def recover(self) -> None:
        """
        Have what processes left that have ended in the store, now, as far as the store can be used. Waits for it: to be
        called before ``start``, by who wants to know at the start what was used before. Of several processes that
        start together each waits for the one that does it.

        :raises OSError: the journal's folder cannot be used.
        """
        with alone(self._journal.folder):
            self._recover_all()
        self._store.close()

    def stop(self) -> Deferred[None]:
        """
        Write what has ended, if the store can be used; what cannot be written waits in the journal for the next start.

        :return: fires after that; at the latest after ten seconds.
        """
        if self._stopped is None:
            self._stopped = Deferred()
            if self._thread is None:
                self._stopped.callback(None)
                return self._stopped
            self._write_unwritten()
            self._stopping = True
            deadline = self._reactor.callLater(_STOP_S, self._end, None)
            threading.Thread(target=self._join, args=(deadline,), name="ledger's end", daemon=True).start()
            self._hurry.set()
            self._wake.set()
        return self._stopped

    def begin(self, row: Row) -> None:
        """
        An attempt begins. The row is kept until its end, and may change until then, but for what names it.

        :raises LedgerFull: there is no room and the call is to be refused.
        """
        try:
            self._unasked -= 1
            if self._unasked < 0:
                if self.full:
                    raise JournalFull("too much waits for the database")
                # So many may begin before that can have changed.
                self._unasked = min(32, self._most_rows - self._waiting - 1)
            self._journal.begin(row)
        except JournalFull as error:
            if not self._drops:
                raise LedgerFull(f"The ledger is full: {error}") from error
            self._lost += 1

    def progress(self, row: Row) -> None:
        """Much more is known of an attempt that goes on than when it began, or was at the last call of this."""
        self._journal.progress(row)

    def end(self, row: Row) -> None:
        """An attempt has ended, and the row is complete. Only the first end of what has begun counts."""
        try:
            if not self._journal.end(row):
                return
        except JournalFull:
            self._unwritten[row.request_id, row.attempt] = row
            return
        self._ended += 1
        if self._asleep:
            self._asleep = False
            self._wake.set()
        if self._unwritten:
            self._write_unwritten()

    @property
    def full(self) -> bool:
        """Whether as much waits as may."""
        return self._waiting >= self._most_rows or self._journal.number - self._delivery.first >= self._most_segments

    @property
    def _waiting(self) -> int:
        return self._ended - self._tally["stored"]

    @property
    def refuses(self) -> bool:
        """Whether calls are to be refused: there is no room, and that is the policy."""
        return self.full and not self._drops

    @property
    def healthy(self) -> bool:
        """Whether the store could be used when that was last tried."""
        return self._error is None

    @property
    def error(self) -> str | None:
        """Why the store cannot be used."""
        return self._error

    def counts(self) -> Counts:
        """:return: as of now."""
        tally = dict(self._tally)
        waiting = self._ended - tally.pop("stored") + len(self._unwritten)
        return Counts(running=len(self._journal), waiting=waiting, lost=self._lost, **tally)

    def flush(self) -> Deferred[None]:
        """:return: fires when the store has all that has ended until now."""
        done: Deferred[None] = Deferred()
        self._write_unwritten()
        with self._lock:
            if self._tally["stored"] < self._ended:
                self._waiters.append((self._ended, done))
                self._hurry.set()
                self._wake.set()
                return done
        done.callback(None)
        return done

    def _write_unwritten(self) -> None:
        for key, row in tuple(self._unwritten.items()):
            try:
                self._ended += self._journal.end(row)
            except JournalFull:
                return
            del self._unwritten[key]

    def _join(self, deadline: Any) -> None:
        assert self._thread is not None
        self._thread.join()
        self._reactor.callFromThread(self._end, deadline)

    def _end(self, deadline: Any) -> None:
        assert self._stopped is not None
        if self._stopped.called:
            return
        if deadline is not None:
            # Not while the thread may still be reading.
            deadline.cancel()
            is_empty = not len(self._journal) and self._tally["stored"] == self._ended
            self._delivery.close()
            self._journal.close(keep=not is_empty)
        waiters, self._waiters = self._waiters, []
        for _, done in waiters:
            done.errback(StoreError("the ledger was stopped, and rows wait for the next start"))
        self._stopped.callback(None)

    # For the ledger's thread

    def _run(self) -> None:
        more = False
        while True:
            is_stopping = self._stopping
            try:
                more = self._turn()
            except Exception as error:
                # A fault of the ledger's own, or of a disk. What is not written stays in the journal.
                self._reactor.callFromThread(_log.failure, "A fault in the ledger", Failure())
                self._failed(StoreError(f"a fault in the ledger: {error!r}"))
            if self._error is not None:
                if is_stopping:
                    break
                self._pause(self._pause_s)
            elif not more:
                if is_stopping:
                    break
                self._wait(max(0.0, self._next_look - time.monotonic()))
        self._store.close()

    def _turn(self) -> bool:
        """
        :return: whether there may be more to write at once.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._recover_all()
        if self._retention_s is not None and now >= self._next_tidy and self._forget():
            self._next_tidy = now + _TIDY_S
        return self._deliver()

    def _wait(self, longest_s: float) -> None:
        """Until something has ended, and then a little longer, for what else does."""
        self._asleep = True
        if self._ended > self._tally["stored"] or self._wake.wait(longest_s):
            self._pause(self._linger_s)
        self._asleep = False
        self._wake.clear()

    def _pause(self, seconds: float) -> None:
        if not self._stopping and self._hurry.wait(seconds):
            self._hurry.clear()

    def _deliver(self) -> bool:
        """
        Write one batch of what has ended.

        :return: whether there may be more.
        """
        is_written = False
        try:
            rows = self._delivery.gather(_BATCH)
            is_written = not rows or self._write(rows)
        finally:
            if not is_written:
                self._delivery.back()
        if not is_written:
            return True
        self._delivery.done()
        with self._lock:
            self._tally["stored"] += len(rows)
            stored = self._tally["stored"]
            fired = [done for target, done in self._waiters if target <= stored]
            self._waiters = [each for each in self._waiters if each[0] > stored]
        for done in fired:
            self._reactor.callFromThread(done.callback, None)
        return len(rows) == _BATCH

    def _write(self, rows: Sequence[Row]) -> bool:
        """
        :return: whether they are in the store.
        """
        try:
            written = self._store.write(rows)
        except BadRow as error:
            if len(rows) == 1:
                return self._write_mended(rows[0], error)
            return all(self._write([row]) for row in rows)
        except StoreError as error:
            self._failed(error)
            return False
        self._tally["written"] += written.new + written.replaced
        self._tally["replaced"] += written.replaced
        self._tally["known"] += written.known
        self._worked()
        return True

    def _write_mended(self, row: Row, error: BadRow) -> bool:
        """Write a row without what a database does not take; or put it where a person finds it."""
        try:
            written = self._store.write([_mended(row)])
        except BadRow:
            self._reject(msgspec.structs.asdict(row), error)
        except StoreError as failure:
            self._failed(failure)
            return False
        else:
            self._tally["written"] += written.new + written.replaced
        return True

    def _reject(self, row: dict[str, Any], error: Exception) -> None:
        path = os.path.join(self._journal.folder, "rejected.jsonl")
        try:
            with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
                file.write(msgspec.json.encode(row) + b"\n")
        except OSError as failure:
            self._say("error", "A row that the ledger does not take cannot be kept, either: {failure}", failure=failure)
        self._tally["rejected"] += 1
        self._say("error", "The ledger does not take a row: {error}. It is in {path}", error=error, path=path)

    def _failed(self, error: StoreError) -> None:
        if self._error is None:
            self._say("error", "The ledger's database cannot be used, and rows wait: {error}", error=error)
        self._error = str(error)
        self._tally["failures"] += 1
        self._pause_s = min(max(_FIRST_PAUSE_S, self._pause_s * 2), _LONGEST_PAUSE_S)

    def _worked(self) -> None:
        if self._error is not None:
            waited = self._ended - self._tally["stored"]
            self._tally["deferred"] += waited
            self._error = None
            self._say("info", "The ledger's database can be used again; {rows} rows have waited", rows=waited)
        self._pause_s = 0.0

    def _say(self, level: str, text: str, **values: object) -> None:
        # What observes the log is written for one thread.
        self._reactor.callFromThread(getattr(_log, level), text, **values)

    def _forget(self) -> bool:
        """
        Remove what is too old.

        :return: whether that is done.
        """
        assert self._retention_s is not None
        before = int((self._now() - self._retention_s) * 1e6)
        try:
            while self._store.forget(before):
                # Calls end meanwhile, too.
                if self._stopping or self._ended - self._tally["stored"] > _BATCH:
                    return False
            self._store.tidy()
        except StoreError as error:
            self._failed(error)
            return False
        return True

    # What others have left

    def _recover_all(self) -> None:
        try:
            found = orphans(self._journal.folder)
        except OSError as error:
            self._say("error", "The journals of processes that have ended cannot be found: {error}", error=error)
            return
        try:
            for orphan in found:
                if not self._recover(orphan):
                    break
                orphan.remove()
        except OSError as error:
            self._say("error", "The journal of a process that has ended cannot be read: {error}", error=error)
        finally:
            for orphan in found:
                orphan.close()

    def _recover(self, orphan: Orphan) -> bool:
        """
        :return: whether the store has all of it.
        """
        unfinished: dict[tuple[str, int], Row] = {}
        for path in orphan.paths():
            try:
                segment = Segment(path)
            except ValueError as error:
                # Made, and not begun; or not ours.
                self._say("warn", "{error}", error=error)
                continue
            try:
                if not self._recover_segment(segment, unfinished):
                    return False
            finally:
                segment.close()
        for row in unfinished.values():
            row.ended = INTERRUPTED
            self._rate(row)
        rows = list(unfinished.values())
        for start in range(0, len(rows), _BATCH):
            before = self._tally["written"]
            if not self._write(rows[start : start + _BATCH]):
                return False
            written = self._tally["written"] - before
            self._tally["interrupted"] += written
            # Where some were known already, they have been told of before.
            for row in rows[start : start + _BATCH] if written else ():
                self._recovered(row)
        return True

    def _recover_segment(self, segment: Segment, unfinished: dict[tuple[str, int], Row]) -> bool:
        rows: list[Row] = []
        done = segment.done
        for entry in segment.entries():
            try:
                row = decode(entry.row)
            except (msgspec.DecodeError, UnicodeError) as error:
                self._reject({"entry": entry.row}, error)
                continue
            if entry.kind == Kind.BEGUN:
                unfinished[row.request_id, row.attempt] = row
                continue
            unfinished.pop((row.request_id, row.attempt), None)
            if entry.end > done:
                rows.append(row)
            if len(rows) == _BATCH:
                if not self._write(rows):
                    return False
                segment.mark(entry.end)
                rows.clear()
        return not rows or self._write(rows)


class _Delivery:
    """Reads a journal behind the one who writes it, and removes what is not needed any more."""

    def __init__(self, journal: Journal) -> None:
        self.first = 1
        """The number of the first segment that is still there."""
        self._journal = journal
        self._number = 1
        self._position = 0
        self._segment: Segment | None = None
        self._read: list[Segment] = []
        """Segments that the rows under way have the rest of."""
        self._start = (1, 0)

    def start(self) -> None:
        """:raises OSError: it cannot be read."""
        self._open(1)
        self._start = (1, self._position)

    def gather(self, most: int) -> list[Row]:
        """
        :return: the next rows that have ended.
        """
        rows: list[Row] = []
        while len(rows) < most:
            # In this order: where it goes on to the next segment in between, the tail is too low and not too high.
            number = self._journal.number
            end = self._journal.tail if number == self._number else None
            assert self._segment is not None
            for row, after in self._segment.ended(self._position, end):
                self._position = after
                if row:
                    rows.append(decode(row))
                    if len(rows) == most:
                        return rows
                    if not len(rows) % _AT_ONCE:
                        # Without this, who waits for Python's lock would get it after 5 ms.
                        time.sleep(_NAP_S)
            if end is not None:
                break
            self._read.append(self._segment)
            self._open(self._number + 1)
        return rows

    def done(self) -> None:
        """The store has what was gathered."""
        for segment in self._read:
            segment.mark(len(segment))
            segment.close()
        self._read.clear()
        assert self._segment is not None
        if self._position > self._segment.done:
            self._segment.mark(self._position)
        self._start = (self._number, self._position)
        while self.first < min(self._number, self._journal.oldest):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._journal.path(self.first))
            self.first += 1

    def back(self) -> None:
        """It does not; gather it again."""
        number, position = self._start
        if number != self._number:
            self.close()
            self._open(number)
        self._position = position

    def close(self) -> None:
        """Nothing is read any more."""
        for segment in (*self._read, self._segment):
            if segment is not None:
                segment.close()
        self._read.clear()
        self._segment = None

    def _open(self, number: int) -> None:
        self._segment = Segment(self._journal.path(number))
        self._number, self._position = number, self._segment.done


def _mended(row: Row) -> Row:
    """:return: the row without zero characters, which PostgreSQL does not take, and with numbers that have a place."""

    def mend(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if isinstance(value, dict):
            return {mend(name): mend(each) for name, each in value.items()}
        if isinstance(value, int) and not isinstance(value, bool):
            return max(-_MOST, min(_MOST, value))
        if isinstance(value, msgspec.Struct):
            return _each(value)
        return value

    def _each(value: Any) -> Any:
        return msgspec.structs.replace(value, **{name: mend(getattr(value, name)) for name in value.__struct_fields__})

    mended: Row = _each(row)
    return mended


_MOST = 2**53
"""The largest number in a row that was mended: no tokens and no dollars come near it, and sums have room above it."""
