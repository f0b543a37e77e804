"""Requests of callers of another dialect, and what the codec writes for them."""

from __future__ import annotations

from typing import Any

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import Message, Part, Request, Role, Text
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from llm_gateway.core.translation.messages.codec import MessagesCodec
from tests.core.translation.messages import sdk

__all__ = ["HELLO", "assistant", "raw", "system", "user", "written"]

OLD = "claude-sonnet-4-5"


def raw(document: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, _parts(parts))


def assistant(*parts: Part | str) -> Message:
    return Message(Role.ASSISTANT, _parts(parts))


def system(*parts: Part | str, role: Role = Role.SYSTEM) -> Message:
    return Message(role, _parts(parts))


def _parts(parts: tuple[Part | str, ...]) -> tuple[Part, ...]:
    return tuple(Text(part) if isinstance(part, str) else part for part in parts)


HELLO = user("Hi")


def written(
    *messages: Message,
    model: str = OLD,
    policy: OnUnsupported = OnUnsupported.DEFAULT,
    losses: Losses | None = None,
    limit: int | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """
    :param model: the provider's.
    :param fields: of the request.
    :return: what the SDK would send, if it is something that the SDK could send.
    """
    request = Request("alias", messages or (HELLO,), **{"dialect": "chat", **fields})
    to = Destination(model, "claude", max_output_tokens=limit)
    return sdk.request(MessagesCodec().encode_request(request, to, losses or Losses(policy)))
