"""
What one process has begun and ended, in files that outlive it: no system call for an entry, and none waits for a disk.

The entries stand in segments, files that are mapped into memory: what has been copied there is the kernel's, and is
read again whatever becomes of the process. A loss of power takes what the kernel had not written yet.

A segment begins with ``_HEAD``, and how far the store has its rows. Each entry is ``_ENTRY`` and a row as MessagePack.
A length of zero is the end; so is an entry that does not match its checksum, in whose middle the process ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from llm_gateway.ledger.row import Row

__all__ = ["Entry", "Journal", "JournalFull", "Kind", "Orphan", "Segment", "alone", "decode", "orphans"]

SEGMENT_BYTES = 2 * 1024 * 1024
"""Some 4,000 attempts. It takes 0.1 ms to make one, and two are there even if nothing happens. With very many attempts
at the same time they become larger, so that most of what is in them is new."""
ROW_BYTES = 64 * 1024
"""The largest row. What makes one large are its labels, which the configuration bounds."""
_TYPICAL_BYTES = 2048
"""What is kept free for the end of each attempt that has begun, while there is no room for another segment: three times
what a row has that has some labels."""

_HEAD = struct.Struct("<8sQ")
_MAGIC = b"LGWJ\x02\r\n\0"
_DONE = struct.Struct("<Q")
_DONE_AT = 8
_ENTRY = struct.Struct("<IIB")
"""The length of the row, the checksum of kind and row, the kind."""
_ENTRY_BYTES = _ENTRY.size
_pack_entry = _ENTRY.pack


class Kind:
    """What an entry says of its row."""

    BEGUN = 1
    """Its attempt goes on: the row is what is known of it so far. The last one counts."""
    ENDED = 2
    """The row is complete."""


_BEGUN, _ENDED = Kind.BEGUN, Kind.ENDED


class Entry(NamedTuple):
    """One, as it is read."""

    kind: int
    row: bytes
    """As ``Journal`` encodes it: for ``decode``."""
    end: int
    """Where the next one begins."""


decode = msgspec.msgpack.Decoder(Row).decode
"""
:return: the row of an entry.
:raises msgspec.DecodeError: it is none.
"""


class JournalFull(Exception):
    """There is no room for another attempt: the disk is full, or as much waits for the store as may."""


class Journal:
    """
    The writing side. All of it is for one thread; what another one may read are ``number`` and ``tail``.

    :ivar number: of the segment that is written to, from 1.
    :ivar tail: where its next entry goes.
    :ivar oldest: of the first segment that something may stand in which has not ended.
    """

    def __init__(self, folder: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        """
        :param folder: shared with other processes; made where it is missing.
        """
        self.folder = folder
        self.name = ""
        self.number = 0
        self.tail = 0
        self.oldest = 1
        self.running: dict[tuple[str, int], Row] = {}
        """What has begun, and does in this segment or was brought into it."""
        self._older: dict[tuple[str, int], Row] = {}
        """What has begun in the segment before, and was not ended."""
        self._segment_bytes = segment_bytes
        self._limit = 0
        self._bringing = False
        self._map: mmap.mmap | None = None
        self._spares: deque[mmap.mmap] = deque()
        """The next segments, at least one if there is room for it."""
        self._spare_bytes = 0
        self._lock: int | None = None
        self._encode = msgspec.msgpack.Encoder().encode

    def open(self) -> None:
        """
        :raises OSError: the folder cannot be written to, or has no room for two segments.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self.name, self._lock = _lock_new(self.folder)
        try:
            self._map = self._made(1)
            self.number = 1
            self._limit = len(self._map)
            self._add_spare()
        except OSError:
            self.close(keep=False)
            raise
        self.tail = _HEAD.size

    def close(self, *, keep: bool) -> None:
        """
        :param keep: whether the files stay, for whoever opens a journal in this folder next.
        """
        for each in (self._map, *self._spares):
            if each is not None:
                each.close()
        self._map = None
        self._spares.clear()
        if self._lock is not None:
            if not keep:
                for number in _segments(self.folder, self.name):
                    _remove(self.path(number))
                _remove(_lock_path(self.folder, self.name))
            os.close(self._lock)
            self._lock = None

    def path(self, number: int) -> str:
        """:return: of the segment's file."""
        return _segment_path(self.folder, self.name, number)

    def __len__(self) -> int:
        """:return: how many attempts have begun and not ended."""
        return len(self.running) + len(self._older)

    def begin(self, row: Row) -> None:
        """
        :param row: it is kept until its end, and may change until then.
        :raises JournalFull: there might be no room for the row's end. Nothing is written.
        """
        wanted = (len(self.running) + len(self._older) + 1) * _TYPICAL_BYTES
        if wanted > self._limit - self.tail + self._spare_bytes:
            self._make_room(wanted)
        self._append(_BEGUN, row)
        self.running[row.request_id, row.attempt] = row

    def progress(self, row: Row) -> None:
        """
        Write down what is known now of an attempt that goes on; what is not heard of again ends with this.

        It is a wish: where the room is short it is kept for ends. Of what has not begun nothing is written.
        """
        key = (row.request_id, row.attempt)
        if self._spares and (key in self.running or key in self._older):
            self._append(Kind.BEGUN, row)

    def end(self, row: Row) -> bool:
        """
        :return: whether it had begun, and not ended before; nothing is written otherwise.
        :raises JournalFull: there is no room. The row counts as unfinished until it is ended again.
        """
        key = (row.request_id, row.attempt)
        if key not in self.running and key not in self._older:
            return False
        self._append(_ENDED, row)
        # To make room may have brought it from one into the other.
        if self.running.pop(key, None) is None:
            del self._older[key]
        return True

    def _append(self, kind: int, row: Row) -> None:
        try:
            data = self._encode(row)
        except (UnicodeEncodeError, OverflowError):
            data = self._encode(_mended(row))
        size = len(data)
        if size > ROW_BYTES:
            data = self._encode(_without_labels(row))
            size = len(data)
        position = self.tail
        after = position + size + _ENTRY_BYTES
        if after > self._limit:
            self._roll()
            position = self.tail
            after = position + size + _ENTRY_BYTES
            if after > self._limit:
                raise JournalFull("there is no room for what has begun")
        assert self._map is not None
        # In one copy: where the process ends inside it, the checksum will not match.
        self._map[position:after] = _pack_entry(size, crc32(data, kind), kind) + data
        self.tail = after

    def _roll(self) -> None:
        """
        Go on with the next segment.

        :raises JournalFull: there is none.
        """
        if not self._spares:
            self._make_room(0)
        assert self._map is not None
        self._map.close()
        self._map = self._spares.popleft()
        self._limit = len(self._map)
        self._spare_bytes -= self._limit
        # Who reads sees the new number first, and then finds nothing before its tail.
        self.tail = _HEAD.size
        self.number += 1
        if not self._spares:
            # Where that fails it is tried again when one is needed.
            with contextlib.suppress(OSError):
                self._add_spare()
        # What has begun before the segment that is full now is brought along, so that those before it can go.
        brought = self._older
        self._older, self.running = self.running, brought
        number, is_first = self.number, not self._bringing
        self._bringing = True
        try:
            for row in tuple(brought.values()):
                # Where they do not fit into one segment this begins anew inside.
                self._append(Kind.BEGUN, row)
        finally:
            if is_first:
                self._bringing = False
        if is_first:
            self.oldest = number - 1

    def _make_room(self, wanted: int) -> None:
        """
        Have another segment at hand, and so many bytes in all: what has begun must find room to end.

        :raises JournalFull: the disk has none.
        """
        try:
            while not self._spares or self._limit - self.tail + self._spare_bytes < wanted:
                self._add_spare()
        except OSError as error:
            raise JournalFull(f"there is no room for another segment of the journal: {error.strerror}") from error

    def _add_spare(self) -> None:
        """
        :raises OSError: it cannot be made.
        """
        self._spares.append(self._made(self.number + len(self._spares) + 1))
        self._spare_bytes += len(self._spares[-1])

    def _made(self, number: int) -> mmap.mmap:
        """
        :raises OSError: it cannot be made.
        """
        size = self._segment_bytes
        while size < len(self) * 4 * _TYPICAL_BYTES:
            size *= 2
        path = self.path(number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # The blocks, too, are taken now: to write to a page that the disk has no room for ends the process.
            _allocate(descriptor, size)
            made = mmap.mmap(descriptor, size)
            made[: _HEAD.size] = _HEAD.pack(_MAGIC, _HEAD.size)
        except OSError:
            _remove(path)
            raise
        finally:
            os.close(descriptor)
        return made


class Segment:
    """The reading side of one, which another thread or process may be writing to."""

    def __init__(self, path: str) -> None:
        """
        :raises OSError: it cannot be read.
        :raises ValueError: it is no segment.
        """
        descriptor = os.open(path, os.O_RDWR)
        try:
            is_long = os.fstat(descriptor).st_size >= _HEAD.size
            self._map = mmap.mmap(descriptor, 0) if is_long else mmap.mmap(-1, _HEAD.size)
        finally:
            os.close(descriptor)
        magic, done = _HEAD.unpack_from(self._map)
        if magic != _MAGIC:
            self.close()
            raise ValueError(f"{path} is not a segment of a journal, or one of another version")
        self.done: int = done
        """Before this, the store has every row that ended."""

    def __len__(self) -> int:
        """:return: its bytes."""
        return len(self._map)

    def entries(self, start: int = _HEAD.size, end: int | None = None) -> Iterator[Entry]:
        """
        :param end: as far as it is known to be written; ``None`` where nobody writes to it any more.
        """
        data = self._map
        size = len(data)
        limit = size if end is None else end
        position = start
        while position + _ENTRY.size <= limit:
            length, checksum, kind = _ENTRY.unpack_from(data, position)
            begin = position + _ENTRY.size
            position = begin + length
            if not length or position > size:
                return
            row = data[begin:position]
            if crc32(row, kind) != checksum:
                return
            yield Entry(kind, row, position)

    def ended(self, start: int, end: int | None) -> Iterator[tuple[bytes, int]]:
        """
        What has ended, of a journal whose process is this one: nothing in it can be broken.

        :param start: where an entry begins.
        :param end: as for ``entries``.
        :return: the row and where the next entry begins; after the last one an empty row, and where that is.
        """
        data = self._map
        size = len(data)
        limit = size if end is None else end
        unpack, head = _ENTRY.unpack_from, _ENTRY.size
        position = start
        while position + head <= limit:
            length, _, kind = unpack(data, position)
            if not length:
                break
            begin = position + head
            position = begin + length
            if kind == Kind.ENDED:
                yield data[begin:position], position
        yield b"", position

    def mark(self, done: int) -> None:
        """Say that the store has all that ended before ``done``."""
        _DONE.pack_into(self._map, _DONE_AT, done)
        self.done = done

    def close(self) -> None:
        """It is not read any more."""
        self._map.close()


class Orphan:
    """The journal of a process that has ended without closing it. It is ours until it is closed."""

    def __init__(self, folder: str, name: str, lock: int) -> None:
        self.name = name
        self._folder = folder
        self._lock: int | None = lock

    def paths(self) -> list[str]:
        """:return: of its segments, in their order."""
        return [_segment_path(self._folder, self.name, number) for number in _segments(self._folder, self.name)]

    def remove(self) -> None:
        """Remove it: the store has all of it."""
        for path in self.paths():
            _remove(path)
        _remove(_lock_path(self._folder, self.name))
        self.close()

    def close(self) -> None:
        """Leave it to others."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def orphans(folder: str) -> list[Orphan]:
    """
    :return: those in the folder whose processes have ended; each is locked against others who look for them.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        if name.endswith(_LOCK):
            lock = _locked(os.path.join(folder, name), os.O_RDWR)
            if lock is not None:
                found.append(Orphan(folder, name.removesuffix(_LOCK), lock))
    return found


@contextlib.contextmanager
def alone(folder: str) -> Iterator[None]:
    """
    Wait until nobody else who asks for it is inside, in any process.

    :raises OSError: the folder cannot be used.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


_LOCK = ".lock"
_SEGMENT = re.compile(r"(?P<name>[0-9a-f-]+)\.(?P<number>\d{8})\.journal")


def _lock_path(folder: str, name: str) -> str:
    return os.path.join(folder, name + _LOCK)


def _segment_path(folder: str, name: str, number: int) -> str:
    return os.path.join(folder, f"{name}.{number:08}.journal")


def _segments(folder: str, name: str) -> list[int]:
    found = map(_SEGMENT.fullmatch, os.listdir(folder))
    return sorted(int(each["number"]) for each in found if each is not None and each["name"] == name)


def _lock_new(folder: str) -> tuple[str, int]:
    """
    :return: a name that no other journal in the folder has, and the descriptor that holds its lock.
    """
    while True:
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        lock = _locked(_lock_path(folder, name), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        if lock is not None:
            return name, lock


def _locked(path: str, flags: int) -> int | None:
    """
    :return: a descriptor that locks the file while it is open; ``None`` where another process's does, or did until it
        removed the file.
    """
    try:
        descriptor = os.open(path, flags, 0o600)
    except (FileNotFoundError, FileExistsError):
        return None
    try:
        # It belongs to the open file, not to the process: it goes with the process however that ends.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise
    os.close(descriptor)
    return None


def _allocate(descriptor: int, size: int) -> None:
    """
    :raises OSError: the disk has no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        # macOS
        os.pwrite(descriptor, bytes(size), 0)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _mended(row: Row) -> Row:
    """
    :return: the row without halves of characters, which a label or a model's name may have and UTF-8 does not, and with
        numbers that have room in 64 bits.
    """

    def clean(value: object) -> object:
        if isinstance(value, str):
            return value.encode("utf-8", "replace").decode()
        if isinstance(value, dict):
            return {clean(name): clean(each) for name, each in value.items()}
        if isinstance(value, int) and not -_MOST <= value <= _MOST:
            return _MOST if value > 0 else -_MOST
        if isinstance(value, msgspec.Struct):
            return cleaned(value)
        return value

    def cleaned(values: Any) -> Any:
        names = values.__struct_fields__
        return msgspec.structs.replace(values, **{name: clean(getattr(values, name)) for name in names})

    found: Row = cleaned(row)
    return found


_MOST = 2**63 - 1


def _without_labels(row: Row) -> Row:
    """:return: the row, small."""
    short = {
        name: value[:512]
        for name in row.__struct_fields__
        if isinstance(value := getattr(row, name), str) and name != "request_id"
    }
    return msgspec.structs.replace(row, labels={}, **short)
