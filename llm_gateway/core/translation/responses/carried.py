"""
What travels in ``encrypted_content``.

OpenAI binds the encrypted content of a reasoning item to the item's id: sent back with another id, or with one where it
had none, it is refused ("Encrypted content item_id did not match the target item id"). So the two stay together.

Another dialect's signature is sealed (:mod:`llm_gateway.core.translation.opaque`). Gemini signs calls and texts too,
for which a Response has no place: an item of its own carries such a signature, behind what it signs, and after a colon
stands which that is.
"""

from __future__ import annotations

import msgspec

from llm_gateway.core.translation.conversation import Opaque, Thinking
from llm_gateway.core.translation.opaque import sealed, unsealed, unsealed_thinking

__all__ = ["Signature", "for_call", "for_text", "sealed_elsewhere", "signature"]

_DIALECT = "responses"


class Signature(msgspec.Struct, frozen=True):
    """Of something that is not the reasoning of the item that carries it."""

    opaque: Opaque
    call_id: str | None
    """Of the call that it signs; ``None`` for the text before the item."""


def signature(content: str) -> Signature | None:
    """
    :param content: the ``encrypted_content`` of an item, as a caller sent it back.
    """
    seal, colon, signed = content.partition(":")
    opaque = unsealed(seal, _DIALECT)
    if not colon or opaque.data == seal:
        return None
    kind, _, call_id = signed.partition(":")
    return Signature(opaque, call_id if kind == "call" else None)


def sealed_elsewhere(text: str, content: str) -> Thinking | None:
    """
    :param text: what is readable of the item's reasoning.
    :param content: its ``encrypted_content``.
    :return: the reasoning that this codec wrote so; ``None`` where OpenAI did.
    """
    thinking = unsealed_thinking(text, content, _DIALECT)
    opaque = thinking.opaque
    return None if opaque is None or opaque.data == content else thinking


def for_call(opaque: Opaque, call_id: str) -> str:
    return f"{sealed(opaque, _DIALECT)}:call:{call_id}"


def for_text(opaque: Opaque) -> str:
    return f"{sealed(opaque, _DIALECT)}:text"
