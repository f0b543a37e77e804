"""
What travels in ``encrypted_content``.

OpenAI binds the encrypted content of a reasoning item to the item's id: sent back with another id, or with one where it
had none, it is refused ("Encrypted content item_id did not match the target item id"). Dialects that keep one opaque
string have no room for an id beside it, so an opaque value of this dialect is the id, a space and the content.

Another dialect's signature is sealed (:mod:`llm_gateway.core.translation.opaque`), and behind a colon stands what it
belongs to where that is not the reasoning of the item itself: Gemini signs calls and texts too, and Anthropic tells
reasoning that it has blacked out from such that it leaves out.
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import Opaque, Thinking
from llm_gateway.core.translation.opaque import sealed, unsealed

__all__ = ["Carried", "carried", "for_call", "for_text", "for_thinking", "made", "own"]

_DIALECT = "responses"


class Carried(msgspec.Struct, frozen=True):
    opaque: Opaque
    redacted: bool = False
    call_id: str | None = None
    """Whose call it signs, if not the item's own reasoning."""
    text: bool = False
    """Whether it signs the text before the item."""


def made(content: str, id: str | None, provider: str | None) -> Carried:
    """
    :param content: the ``encrypted_content`` of an item, as its maker wrote it.
    :param id: of the item.
    :param provider: who made it, where that is known.
    """
    return Carried(Opaque(_DIALECT, provider, f"{id} {content}" if id else content))


def carried(content: str, id: str | None) -> Carried:
    """
    :param content: the ``encrypted_content`` of an item, as a caller sent it back.
    :param id: of the item.
    """
    seal, _, belongs = content.partition(":")
    opaque = unsealed(seal, _DIALECT)
    if opaque.dialect == _DIALECT and opaque.data == seal:
        return made(content, id, None)
    kind, _, call_id = belongs.partition(":")
    return Carried(opaque, kind == "redacted", call_id if kind == "call" else None, kind == "text")


def own(opaque: Opaque) -> tuple[str | None, str]:
    """
    :param opaque: of this dialect.
    :return: the item's id and its encrypted content.
    """
    id, space, content = opaque.data.partition(" ")
    return (id, content) if space else (None, id)


def for_thinking(thinking: Thinking) -> tuple[str | None, str | None]:
    """
    :return: the item's id, if it has one of its own, and its encrypted content, if it has any.
    """
    opaque = thinking.opaque
    if opaque is None:
        return thinking.id, None
    if opaque.dialect == _DIALECT:
        id, content = own(opaque)
        return id or thinking.id, content
    return None, sealed(opaque, _DIALECT) + (":redacted" if thinking.redacted else "")


def for_call(opaque: Opaque, call_id: str) -> str:
    return f"{sealed(opaque, _DIALECT)}:call:{call_id}"


def for_text(opaque: Opaque) -> str:
    return f"{sealed(opaque, _DIALECT)}:text"
