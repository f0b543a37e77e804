"""Writing down a fault of the gateway's own, for a log that must not hold what the fault was about."""

from __future__ import annotations

import traceback
from types import TracebackType


def without_words(error: BaseException | None, trace: TracebackType | None) -> str:
    """
    Say where an exception was raised, and from which others, without what they say: an exception may quote the bytes
    that it was raised for, which may be a prompt or a key.

    :param trace: the exception's own, which libraries may have taken off it.
    :return: lines as Python writes them, the exception raised first at the top, types in place of messages.
    """
    parts: list[str] = []
    found = error
    known: set[int] = set()
    while found is not None and id(found) not in known:
        known.add(id(found))
        parts.append("".join(traceback.format_tb(trace)) + f"{type(found).__module__}.{type(found).__qualname__}")
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
        trace = None if found is None else found.__traceback__
    return "\nled to\n".join(reversed(parts))
