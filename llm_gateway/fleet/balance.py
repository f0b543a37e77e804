"""Which of several processes takes the next connection: a small table that all of them see."""

from __future__ import annotations

import mmap
import os
import tempfile

_NOT_HERE = 0xFFFF_FFFF
"""In place of a count: this worker takes no connections."""


class LoadTable:
    """
    How many connections each worker has, in memory that they share.

    The kernel hands a connection to whichever process asks first, and that is mostly the one that is awake already: of
    a hundred clients that come at once and stay, one worker may get them all. Each entry is written by one process
    only, but for the supervisor, which strikes out a worker that is gone.
    """

    def __init__(self, descriptor: int, workers: int) -> None:
        """
        :param descriptor: of memory as :func:`table_memory` makes it; it may be closed after this.
        """
        self._counts = memoryview(mmap.mmap(descriptor, 4 * workers)).cast("I")

    def set(self, worker: int, connections: int) -> None:
        """
        :param worker: from 1.
        """
        self._counts[worker - 1] = connections

    def strike_out(self, worker: int) -> None:
        self._counts[worker - 1] = _NOT_HERE

    def fewest(self) -> int:
        """Among those that take connections."""
        return min(self._counts)


def table_memory(workers: int) -> int:
    """
    :return: a descriptor of memory for a table in which every worker is struck out.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("llmgateway-workers", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.write(descriptor, b"\xff" * 4 * workers)
    return descriptor


class Share:
    """One worker's part of the connections."""

    def __init__(self, table: LoadTable, worker: int) -> None:
        self._table = table
        self._worker = worker
        self._count = 0
        table.set(worker, 0)

    def came(self) -> None:
        self._count += 1
        self._table.set(self._worker, self._count)

    def went(self) -> None:
        self._count -= 1
        self._table.set(self._worker, self._count)

    def ahead(self) -> bool:
        """Whether another worker has so much fewer that the next connection should be its."""
        fewest = self._table.fewest()
        return self._count > fewest + max(1, fewest // 8)
