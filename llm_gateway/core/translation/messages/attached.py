"""
Signatures of texts and tool calls, which this dialect has no field for.

Some models sign a call or a text rather than the thought behind it, and want the signature back with the part. Here it
travels as a ``redacted_thinking`` block of its own, sealed, directly before its part: callers have to send such blocks
back, and it stands where this dialect's own models put their thinking. Only where a signature comes behind its part in
a stream does its block stand behind it too, unless that is the answer's last: agents take an answer's last block for
what it says, so that a program that waits for Claude Code's would get nothing. Google signs the end of a text, and
takes the text back without that.

Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from llm_gateway.core.translation.conversation import Opaque, Part, Text, Thinking, ToolCall
from llm_gateway.core.translation.messages.names import NAME
from llm_gateway.core.translation.opaque import sealed

__all__ = ["attach", "carried"]

_NEXT = "next:"
_LAST = "last:"


def carried(opaque: Opaque, *, behind: bool = False) -> str:
    """
    :param opaque: another dialect's.
    :param behind: its part is the one before, not the one after.
    :return: the ``data`` of the block that carries it.
    """
    marked = Opaque(opaque.dialect, opaque.provider, (_LAST if behind else _NEXT) + opaque.data)
    return sealed(marked, NAME)


def attach(parts: Iterable[Part]) -> tuple[Part, ...]:
    """
    Give signatures back to their parts.

    :return: the parts without the blocks that carried something; one whose part is missing is dropped with it.
    """
    found: list[Part] = []
    waiting: Opaque | None = None
    for part in parts:
        opaque = part.opaque if isinstance(part, Thinking) else None
        if opaque is None or opaque.dialect == NAME or opaque.data[:5] not in (_NEXT, _LAST):
            if waiting is not None and isinstance(part, Text | ToolCall):
                part = msgspec.structs.replace(part, opaque=waiting)
                waiting = None
            found.append(part)
            continue
        plain = Opaque(opaque.dialect, opaque.provider, opaque.data[5:])
        if opaque.data.startswith(_NEXT):
            waiting = plain
        elif found and isinstance(found[-1], Text | ToolCall):
            found[-1] = msgspec.structs.replace(found[-1], opaque=plain)
    return tuple(found)
