"""What a process that is the gateway's alone sets for itself; a gateway inside another program leaves this to that."""

from __future__ import annotations

import ctypes
import gc
import linecache
import resource
from contextlib import suppress
from typing import Any

_YOUNG_OBJECTS = 10_000
"""So many objects more than before, and the collector looks for cycles among them. Calls leave none behind; at Python's
700 it would look at those of the calls under way every few calls, for a twelfth of the time that a call takes."""


def raise_descriptor_limit() -> None:
    """
    Let the process open as many descriptors as it may without being root.

    Every stream takes two, and 1024, the usual soft limit, is kept low for programs that still use ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def spare_the_collector(reactor: Any) -> None:
    """
    Have the garbage collector look less often, and never at what was there when the reactor started; give back what
    only starting has needed.
    """

    def spare() -> None:
        # Sources that libraries have put there for their generated code; a traceback reads again what it shows.
        linecache.clearcache()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
        _trim()

    reactor.callWhenRunning(spare)


def _trim() -> None:
    """Give free memory back to the system: a megabyte. Only glibc would keep it, and is asked for it."""
    # A Python without dynamic loading has neither.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
