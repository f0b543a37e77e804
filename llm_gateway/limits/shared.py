"""
Counts that the processes of one machine share, exact across all of them.

The rows of all limits lie in one file that every process maps. Whoever counts holds the file's lock, so that one
operation on all limits of a call is one step. The lock is the kernel's (``flock``): it is free again at once when its
holder dies. The next one sees that it was not done, and works out again what can be (``Counter.mend``); the call of the
dead process may have been counted in some of its limits and not in others, all others are exact.

Each process has a seat: a file of its own that it keeps locked, and in each row a place with what it holds. A seat
whose file can be locked is dead, and what it holds is given back. Who comes when nobody has a seat begins with an empty
file: what was used before is the ledger's to say.

Measured: a lock and its release cost 0.9 us; a transaction of LMDB with the reads and writes of four limits costs 4 us,
and the packing of rows comes on top. The lock is asked for without letting go of the interpreter: another thread of the
same process would take it, for up to 5 ms, while all other processes wait.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

from twisted.logger import Logger

from llm_gateway.core.limits.clock import Steady
from llm_gateway.core.limits.contract import StoreLost
from llm_gateway.core.limits.counter import HELD, SEATS, SUM, Cells
from llm_gateway.core.limits.table import Table
from llm_gateway.limits.machine import passed

__all__ = ["SharedStore"]

_log = Logger()

_MAGIC = 0x6C6C6D67_77000001
"""Another layout has another number, and another name of the file: programs of both can run side by side."""

_MAGIC_AT, _OFFSET_AT, _END_AT, _BUSY_AT, _SEATS_AT, _PIDS_AT = range(6)
"""Places of the head: what it is, the clock, where rows end, whether somebody is counting, seats, who sits where."""

_HEAD = 256
_MAX_SEATS = 128
_ROW_HEAD = 3
"""Two places for the name's digest, one for the length."""

_STEP_BYTES = 1 << 20
"""The file grows by this much; it is really there, so that a full disk is noticed here and not by a signal later."""

_MAX_BYTES = 1 << 30
"""More than a million limits."""

_PATIENCE_S = 0.25
"""For how long a process waits for the lock, which others hold for some microseconds: longer, and one was stopped."""

_TRIES = 10

_SWEEP_NS = 100_000_000


def _flock() -> Callable[[int, int], int]:
    """:return: ``flock`` that keeps the interpreter: 0 where it worked. It is only ever asked not to wait."""
    try:
        return ctypes.PyDLL(None).flock
    except (AttributeError, OSError):

        def flock(descriptor: int, operation: int) -> int:
            try:
                fcntl.flock(descriptor, operation)
            except OSError:
                return -1
            return 0

        return flock


_LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB


class SharedStore(Table):
    """
    A ``Store`` for processes of one machine and one user.

    It is opened when it is first used, in the process that uses it: it must not be taken along by a fork.
    """

    def __init__(self, folder: Path, processes: int = 1) -> None:
        """
        :param folder: where its files are, on a local disk, best in memory: ``/run`` or ``/dev/shm``. It is made when
            it does not exist, for this user alone. Nothing else may delete files in it while a gateway runs.
        :param processes: how many there usually are. There are four times as many seats, at least 16: a new program
            may begin before the old one has ended.
        """
        super().__init__()
        self._path = folder / "limits-1"
        self._wanted_seats = min(_MAX_SEATS, max(16, 4 * processes))
        self._lock = _flock()
        self._file = -1
        self._own_seat = -1
        self._own_descriptor = -1
        self._map: memoryview[int] | None = None
        self._mapped = 0
        self._scanned = _HEAD
        self._places: dict[bytes, int] = {}
        self._offset_s = time.time() - passed()
        self._swept = 0
        self._closed = False
        self.intact = True
        """Whether others that start find the same counts; looked after by ``sweep``."""
        self.clock = Steady(0.0, self._now).__call__
        """The same time in all processes, which nobody sets. It should be read after ``open``."""

    def _now(self) -> float:
        return self._offset_s + passed()

    def open(self) -> None:
        """
        Take a seat. It is done by itself when it is used; done before, the clock is the others' from the start.

        :raises StoreLost: when the files cannot be used, or no seat is free.
        """
        if self._own_seat >= 0:
            return
        if self._closed:
            raise StoreLost(f"{self._path} was closed")
        try:
            self._open()
        except (OSError, ValueError) as problem:
            self._shut()
            raise StoreLost(f"cannot use {self._path}: {problem}") from problem
        except StoreLost:
            self._shut()
            raise

    def close(self) -> None:
        """
        Give back all that this process holds, and its seat. There is no way back: somebody else may sit there.

        The last one takes the files away: where they are in memory, they take room there.
        """
        self._closed = True
        if self._own_seat < 0:
            return
        with contextlib.suppress(StoreLost):
            self._enter()
            try:
                self._vacate(self._own_seat)
                self._remove_if_last()
            finally:
                self._leave()
        self._shut()

    def sweep(self) -> int:
        self._enter()
        try:
            return self._sweep()
        finally:
            self._leave()

    def _remove_if_last(self) -> None:
        assert self._map is not None
        pids = [(seat, self._map[_PIDS_AT + seat]) for seat in range(self._seats)]
        if self._is_there() and all(self._free(seat, pid) for seat, pid in pids if pid):
            for seat, _ in pids:
                self._seat_path(seat).unlink(missing_ok=True)
            self._path.unlink()
            with contextlib.suppress(OSError):
                self._path.parent.rmdir()

    def _open(self) -> None:
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                self._open_file()
                self._acquire()
                # Who had it last may have taken it away since it was opened.
                if self._is_there():
                    break
            self._shut()
        else:
            raise StoreLost(f"{self._path} is removed again and again")
        try:
            self._join()
        finally:
            self._lock(self._file, fcntl.LOCK_UN)

    def _open_file(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = os.lstat(self._path.parent)
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
            # In a folder such as /dev/shm anybody could have made it first, and take our files away.
            raise OSError(errno.EPERM, "is not a folder that this user alone can write to", str(self._path.parent))
        self._file = _private(self._path)

    def _join(self) -> None:
        dead = self._dead_seats()
        if dead is None:
            self._begin()
            dead = []
        self._view(os.fstat(self._file).st_size)
        assert self._map is not None
        self._offset_s = self._map[_OFFSET_AT] / 1e9
        self._seats = self._map[_SEATS_AT]
        self._sit()
        for seat in dead:
            self._vacate(seat)
        if self._map[_BUSY_AT]:
            self._mend()

    def _dead_seats(self) -> list[int] | None:
        """:return: the seats whose processes are dead, and ``None`` if nobody is there."""
        size = os.fstat(self._file).st_size
        if size < _HEAD * 8:
            return None
        head = memoryview(os.pread(self._file, _HEAD * 8, 0)).cast("q")
        if head[_MAGIC_AT] != _MAGIC:
            return None
        seats = range(head[_SEATS_AT])
        living = [seat for seat in seats if not self._free(seat, head[_PIDS_AT + seat])]
        return [seat for seat in seats if head[_PIDS_AT + seat] and seat not in living] if living else None

    def _begin(self) -> None:
        """Make an empty file."""
        os.ftruncate(self._file, 0)
        os.posix_fallocate(self._file, 0, _STEP_BYTES)
        head = memoryview(bytearray(_HEAD * 8)).cast("q")
        head[_OFFSET_AT] = int((time.time() - passed()) * 1e9)
        head[_END_AT] = _HEAD
        head[_SEATS_AT] = self._wanted_seats
        head[_MAGIC_AT] = _MAGIC
        os.pwrite(self._file, head.cast("B"), 0)

    def _sit(self) -> None:
        """
        Take a free seat.

        :raises StoreLost: there is none.
        """
        assert self._map is not None
        for seat in range(self._seats):
            descriptor = _private(self._seat_path(seat))
            if self._lock(descriptor, _LOCK) == 0:
                self._own_descriptor = descriptor
                self._own_seat = seat
                self._vacate(seat)
                self._map[_PIDS_AT + seat] = os.getpid()
                self._seat = SEATS + seat
                return
            os.close(descriptor)
        raise StoreLost(f"all {self._seats} seats of {self._path} are taken")

    def _seat_path(self, seat: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{seat}")

    def _free(self, seat: int, pid: int) -> bool:
        """
        :param pid: of who sat there last.
        :return: whether nobody who lives has this seat.
        """
        if seat == self._own_seat:
            return False
        try:
            descriptor = os.open(self._seat_path(seat), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Nobody has sat there yet, or somebody cleans up where it is not theirs: a lock cannot tell any more.
            return not pid or not _lives(pid)
        try:
            return self._lock(descriptor, _LOCK) == 0
        finally:
            os.close(descriptor)

    def _shut(self) -> None:
        """Let go of everything. Rows that counters still have stay where they are, and nobody reads them."""
        for descriptor in (self._own_descriptor, self._file):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._own_descriptor = self._own_seat = -1
        self._map = None
        self._mapped = self._seat = 0
        self._scanned = _HEAD
        self._places.clear()
        self._rows.clear()
        self._counters.clear()
        self._plans.clear()

    def _acquire(self) -> None:
        """
        Take the lock.

        :raises StoreLost: others have it for too long.
        """
        if self._lock(self._file, _LOCK) == 0:
            return
        for _ in range(50):
            os.sched_yield()
            if self._lock(self._file, _LOCK) == 0:
                return
        deadline = time.monotonic() + _PATIENCE_S
        while self._lock(self._file, _LOCK) != 0:
            if time.monotonic() > deadline:
                raise StoreLost(f"{self._path} is locked by a process that does not go on")
            time.sleep(0.000_05)

    def _enter(self) -> None:
        if self._own_seat < 0:
            self.open()
        if self._lock(self._file, _LOCK) != 0:
            self._acquire()
        view = self._map
        assert view is not None
        if view[_BUSY_AT]:
            self._mend()
        view[_BUSY_AT] = 1

    def _leave(self) -> None:
        assert self._map is not None
        self._map[_BUSY_AT] = 0
        self._lock(self._file, fcntl.LOCK_UN)

    def _found_dead(self, now: int) -> bool:
        if now - self._swept < _SWEEP_NS:
            return False
        self._swept = now
        return self.sweep() > 0

    def _sweep(self) -> int:
        assert self._map is not None
        if self.intact and not self._is_there():
            self.intact = False
            _log.error(
                "{path} was removed while it is in use: processes that start from now on count apart from the others",
                path=str(self._path),
            )
        dead = [seat for seat in range(self._seats) if (pid := self._map[_PIDS_AT + seat]) and self._free(seat, pid)]
        for seat in dead:
            self._vacate(seat)
        return len(dead)

    def _is_there(self) -> bool:
        """:return: whether the file's name still stands for it."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file))
        except OSError:
            return False

    def _vacate(self, seat: int) -> None:
        """Give back all that is held from a seat."""
        assert self._map is not None
        for cells in self._all_rows():
            held = cells[SEATS + seat]
            if held:
                cells[SEATS + seat] = 0
                cells[HELD] -= held
        self._map[_PIDS_AT + seat] = 0

    def _mend(self) -> None:
        """Work out again what a process that died while it counted may have left unfinished."""
        for cells in self._all_rows():
            ring = SEATS + self._seats
            cells[HELD] = sum(cells[SEATS:ring])
            if len(cells) > ring:
                cells[SUM] = sum(cells[ring:])

    def _all_rows(self) -> Iterator[memoryview[int]]:
        self._scan()
        view = self._map
        assert view is not None
        for at in self._places.values():
            yield view[at + _ROW_HEAD : at + _ROW_HEAD + view[at + 2]]

    def _scan(self) -> None:
        """Learn of the rows that others have begun."""
        assert self._map is not None
        end = self._map[_END_AT]
        if end > self._mapped:
            self._view(os.fstat(self._file).st_size)
        view = self._map
        while self._scanned < end:
            at = self._scanned
            self._places[view[at : at + 2].tobytes()] = at
            self._scanned += _ROW_HEAD + view[at + 2]

    def _row(self, name: str, length: int) -> Cells:
        row = self._rows.get(name)
        if row is not None:
            return row
        digest = blake2b(name.encode(), digest_size=16).digest()
        self._scan()
        at = self._places.get(digest)
        if at is None:
            at = self._append(digest, length)
        assert self._map is not None
        row = self._rows[name] = self._map[at + _ROW_HEAD : at + _ROW_HEAD + length]
        return row

    def _append(self, digest: bytes, length: int) -> int:
        """Begin a row; it is there for others only when all of it is written."""
        assert self._map is not None
        at = self._map[_END_AT]
        end = at + _ROW_HEAD + length
        if end > self._mapped:
            size = self._mapped * 8
            if size + _STEP_BYTES > _MAX_BYTES:
                raise StoreLost(f"{self._path} has {_MAX_BYTES} bytes, which is the most")
            try:
                os.posix_fallocate(self._file, size, _STEP_BYTES)
                self._view(size + _STEP_BYTES)
            except OSError as problem:
                raise StoreLost(f"cannot make {self._path} larger: {problem}") from problem
        view = self._map
        view[at], view[at + 1] = memoryview(digest).cast("q")
        view[at + 2] = length
        view[_END_AT] = end
        self._scan()
        return at

    def _view(self, size: int) -> None:
        """Map the file as it is now. Rows that are in use keep the old view of it, which shows the same."""
        self._map = memoryview(mmap.mmap(self._file, size)).cast("q")
        self._mapped = size // 8


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _private(path: Path) -> int:
    """
    :return: a descriptor of a file that is this user's alone, made when it is not there.
    :raises OSError: it is somebody else's, or no file.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        os.close(descriptor)
        raise OSError(errno.EPERM, "is not a file of this user alone", str(path))
    return descriptor
