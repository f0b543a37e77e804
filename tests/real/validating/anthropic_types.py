"""The form of a request to Anthropic, by the types of its official SDK: every field known, every value of its type."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import pydantic
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming

__all__ = ["SAMPLING", "fault_of_form"]

SAMPLING = ("temperature", "top_p", "top_k")
"""Fields of the API's version 2023-06-01 that the SDK (2.0 and newer) has no types for: later versions refuse them."""

_TAGS = ("type", "role")


def fault_of_form(document: dict[str, Any], *, counting: bool = False) -> str | None:
    """
    :param counting: only the prompt's tokens are asked for.
    :return: what is wrong with the request, and where; ``None`` for nothing.
    """
    known = {name: value for name, value in document.items() if name not in SAMPLING}
    try:
        understood = _consumed(_adapter(_form(known, counting)).validate_python(known))
    except pydantic.ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in _telling(error)[:3])
    return _difference(known, understood, "")


def _telling(error: pydantic.ValidationError) -> list[Any]:
    """The errors without those of types that the value does not even claim to be of."""
    errors = error.errors(include_url=False)
    others = {each["loc"][:-1] for each in errors if each["type"] == "literal_error" and each["loc"][-1] in _TAGS}
    return [each for each in errors if not any(each["loc"][: len(loc)] == loc for loc in others)] or list(errors)


def _form(document: dict[str, Any], counting: bool) -> type:
    if counting:
        return MessageCountTokensParams
    return MessageCreateParamsStreaming if document.get("stream") is True else MessageCreateParamsNonStreaming


@cache
def _adapter(form: type) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(form)


def _consumed(value: object) -> object:
    """The types say ``Iterable``: the elements are validated while they are read."""
    if isinstance(value, pydantic.BaseModel):
        # One of an answer's blocks, which requests may repeat: they keep fields that they do not know apart.
        return {
            name: _consumed(getattr(value, name)) for name in value.model_fields_set - (value.model_extra or {}).keys()
        }
    if isinstance(value, dict):
        return {name: _consumed(one) for name, one in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return [_consumed(one) for one in value]


def _difference(sent: object, understood: object, place: str) -> str | None:
    if isinstance(sent, dict) and isinstance(understood, dict):
        for name, value in sent.items():
            inner = f"{place}.{name}".lstrip(".")
            if name not in understood:
                return f"{inner}: Extra inputs are not permitted"
            found = _difference(value, understood[name], inner)
            if found is not None:
                return found
        return None
    if isinstance(sent, list) and isinstance(understood, list) and len(sent) == len(understood):
        pairs = enumerate(zip(sent, understood, strict=True))
        return next((found for at, (a, b) in pairs if (found := _difference(a, b, f"{place}.{at}"))), None)
    return None if type(sent) is type(understood) and sent == understood else f"{place}: Input is of the wrong type"
