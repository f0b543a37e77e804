"""
The order of messages and of their blocks, as Anthropic demands it.

Source: platform.claude.com/docs/en/build-with-claude/working-with-messages, .../mid-conversation-system-messages,
.../thinking, .../vision, .../agents-and-tools/tool-use/handle-tool-calls, and errors that people report.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import attrs

from tests.real.validating.anthropic_models import Model

__all__ = ["NAME", "Issued", "Json", "Refused", "blocks_of", "check_messages", "check_text", "thinks"]

Json = dict[str, Any]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
"""Of a tool."""

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_THINKING = ("thinking", "redacted_thinking")
_USERS = frozenset({"text", "image", "document", "search_result", "tool_result", "container_upload"})
_BEGINNINGS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
    "application/pdf": b"%PDF-",
}


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind


@attrs.define
class Issued:
    """What this provider signed, and wants back as it was."""

    thoughts: dict[str, str] = attrs.Factory(dict)
    """Texts by their signatures."""
    redacted: set[str] = attrs.Factory(set)
    orders: list[list[str]] = attrs.Factory(list)
    """Of each answer with thinking: signatures, redacted data and ids of calls, in the order in which they came."""


def blocks_of(content: Any) -> list[Json]:
    """Of a message, a result or the system prompt; a text stands for a block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)


def thinks(document: Json) -> bool:
    """Whether the request itself turns thinking on."""
    return (document.get("thinking") or {}).get("type") in ("enabled", "adaptive")


def check_messages(document: Json, model: Model, issued: Issued) -> None:
    """
    :param document: of the right form.
    :raises Refused: Anthropic would not take it.
    """
    messages = document["messages"]
    if not messages:
        raise Refused("messages: at least one message is required")
    if messages[0]["role"] != "user":
        raise Refused('messages: first message must use the "user" role')
    ids: set[str] = set()
    for at, message in enumerate(messages):
        place = f"messages.{at}"
        blocks = blocks_of(message["content"])
        last = at == len(messages) - 1
        if not blocks and not (last and message["role"] == "assistant"):
            raise Refused(
                f"{place}: all messages must have non-empty content except for the optional final assistant message"
            )
        for index, block in enumerate(blocks):
            _check_block(block, f"{place}.content.{index}", message["role"], issued)
        if message["role"] == "system":
            _check_system_message(messages, at, model)
        elif message["role"] == "assistant":
            _check_calls(messages, at, ids)
        else:
            _check_results(messages, at)
    _check_end(document, model)
    _check_returned_thinking(document, issued)


def _check_system_message(messages: list[Json], at: int, model: Model) -> None:
    if not model.system_messages:
        raise Refused(f"messages.{at}: role 'system' is not supported on this model")
    behind = messages[at + 1]["role"] if at + 1 < len(messages) else "assistant"
    if messages[at - 1]["role"] != "user" or behind != "assistant":
        raise Refused(f"messages.{at}: a system message must directly follow a user turn and end it")


def _check_calls(messages: list[Json], at: int, ids: set[str]) -> None:
    called = [block["id"] for block in blocks_of(messages[at]["content"]) if block["type"] == "tool_use"]
    if ids & set(called) or len(set(called)) < len(called):
        raise Refused(f"messages.{at}: `tool_use` ids must be unique")
    ids.update(called)
    behind = blocks_of(messages[at + 1]["content"]) if at + 1 < len(messages) else []
    missing = set(called) - {block["tool_use_id"] for block in behind if block["type"] == "tool_result"}
    if missing:
        raise Refused(
            f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(missing))}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message."
        )


def _check_results(messages: list[Json], at: int) -> None:
    blocks = blocks_of(messages[at]["content"])
    before = blocks_of(messages[at - 1]["content"]) if at else []
    called = {block["id"] for block in before if block["type"] == "tool_use"}
    answered: set[str] = set()
    for index, block in enumerate(blocks):
        if block["type"] != "tool_result":
            continue
        place = f"messages.{at}.content.{index}"
        name = block["tool_use_id"]
        if name not in called:
            raise Refused(
                f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. Each `tool_result` block "
                "must have a corresponding `tool_use` block in the previous message."
            )
        if name in answered:
            raise Refused(f"{place}: each tool_use must have a single result. Found multiple `tool_result` blocks")
        if index != len(answered):
            raise Refused(f"{place}: `tool_result` blocks must come first in the content")
        answered.add(name)


def _check_block(block: Json, place: str, role: str, issued: Issued) -> None:
    kind = block["type"]
    if (role == "user") != (kind in _USERS) and kind != "text":
        raise Refused(f"{place}: `{kind}` blocks are not permitted in {role} turns")
    match kind:
        case "text":
            check_text(block, place)
            if role != "assistant" and block.get("citations"):
                raise Refused(f"{place}.citations: Extra inputs are not permitted")
        case "thinking":
            if issued.thoughts.get(block["signature"]) != block["thinking"]:
                raise Refused(f"{place}: Invalid `signature` in `thinking` block")
        case "redacted_thinking":
            if block["data"] not in issued.redacted:
                raise Refused(f"{place}: Invalid `data` in `redacted_thinking` block")
        case "tool_use":
            if not _ID.fullmatch(block["id"]):
                raise Refused(f"{place}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not NAME.fullmatch(block["name"]):
                raise Refused(f"{place}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        case "tool_result":
            _check_result(block, place, issued)
        case "image" | "document":
            _check_source(block["source"], f"{place}.{kind}.source")


def check_text(block: Json, place: str) -> None:
    """
    :raises Refused: it says nothing.
    """
    if not block["text"]:
        raise Refused(f"{place}: text content blocks must be non-empty")
    if not block["text"].strip():
        raise Refused(f"{place}: text content blocks must contain non-whitespace text")


def _check_result(block: Json, place: str, issued: Issued) -> None:
    inner = blocks_of(block.get("content", ()))
    for index, one in enumerate(inner):
        _check_block(one, f"{place}.content.{index}", "user", issued)
    if block.get("is_error"):
        if not inner:
            raise Refused(f"{place}.tool_result: content cannot be empty if `is_error` is true")
        if any(one["type"] != "text" for one in inner):
            raise Refused(f"{place}.tool_result: all content must be type `text` if `is_error` is true")


def _check_source(source: Json, place: str) -> None:
    if source["type"] == "url" and not source["url"].startswith(("https://", "http://")):
        raise Refused(f"{place}.url: Only HTTPS URLs are supported.")
    if source["type"] == "base64":
        try:
            data = base64.b64decode(source["data"], validate=True)
        except (binascii.Error, ValueError):
            raise Refused(f"{place}.base64.data: invalid base64 data") from None
        if not data.startswith(_BEGINNINGS[source["media_type"]]):
            raise Refused(
                f"{place}.base64: The file was specified as {source['media_type']} but does not appear to be one"
            )
    if source["type"] == "content":
        raise Refused(f"{place}.content: this provider knows no content sources")
    if source["type"] == "text" and not source["data"]:
        raise Refused(f"{place}.text.data: document text cannot be empty")


def _check_end(document: Json, model: Model) -> None:
    last = document["messages"][-1]
    if last["role"] != "assistant":
        return
    if not model.prefill:
        raise Refused(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if thinks(document):
        raise Refused("messages: an answer cannot be prefilled while thinking is enabled")
    blocks = blocks_of(last["content"])
    if blocks and blocks[-1]["type"] == "text" and blocks[-1]["text"] != blocks[-1]["text"].rstrip():
        raise Refused("messages: final assistant content cannot end with trailing whitespace")


def _check_returned_thinking(document: Json, issued: Issued) -> None:
    """The latest turn of the assistant's with thinking has it all and in order, or none of it."""
    messages = document["messages"]
    at = next((at for at in reversed(range(len(messages))) if messages[at]["role"] == "assistant"), None)
    if at is None:
        return
    blocks = blocks_of(messages[at]["content"])
    thoughts = [block for block in blocks if block["type"] in _THINKING]
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    if thoughts:
        order = [
            block.get("signature") or block.get("data") or block["id"] for block in blocks if block["type"] != "text"
        ]
        if order not in issued.orders:
            raise Refused(
                f"messages.{at}.content: `thinking` or `redacted_thinking` blocks in the latest assistant message "
                "cannot be modified. These blocks must remain as they were in the original response."
            )
    elif calls and (document.get("thinking") or {}).get("type") == "enabled":
        raise Refused(
            f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{blocks[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block."
        )
