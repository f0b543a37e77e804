"""The form of a request to OpenAI, by the types of its official SDK: every field known, every value of its type."""

from __future__ import annotations

from functools import cache
from typing import Any

import pydantic
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming as Chat,
)
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsStreaming as StreamedChat,
)
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming as Response,
)
from openai.types.responses.response_create_params import (
    ResponseCreateParamsStreaming as StreamedResponse,
)
from pydantic_core import SchemaValidator

__all__ = ["fault_of_chat", "fault_of_response"]

Json = dict[str, Any]

_TAGS = ("type", "role")
_STRICT = ("bool", "float", "int", "str")


def fault_of_chat(document: Json) -> str | None:
    """
    :return: what is wrong with the request, and where; ``None`` for nothing.
    """
    return _fault(_validator(StreamedChat if document.get("stream") is True else Chat), document)


def fault_of_response(document: Json) -> str | None:
    return _fault(_validator(StreamedResponse if document.get("stream") is True else Response), document)


def _fault(validator: SchemaValidator, document: Json) -> str | None:
    try:
        validator.validate_python(document)
    except pydantic.ValidationError as error:
        return "; ".join(f"{_place(each['loc'])}: {each['msg']}" for each in _telling(error)[:3])
    return None


@cache
def _validator(kind: type) -> SchemaValidator:
    return SchemaValidator(_closed(pydantic.TypeAdapter(kind).core_schema))


def _closed(schema: Any) -> Any:
    """The same schema without a tolerance: no other fields, no text for a number, and iterables read at once."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_closed, schema))
    if not isinstance(schema, dict):
        return schema
    made = {name: value if name == "metadata" else _closed(value) for name, value in schema.items()}
    match made.get("type"):
        case "typed-dict":
            made["extra_behavior"] = "forbid"
        case "generator":
            made["type"] = "list"
        case kind if kind in _STRICT:
            made["strict"] = True
    return made


def _telling(error: pydantic.ValidationError) -> list[Any]:
    """The errors without those of types that the value does not even claim to be of."""
    errors = list(error.errors(include_url=False, include_input=False))
    others = {each["loc"][:-1] for each in errors if each["type"] == "literal_error" and each["loc"][-1] in _TAGS}
    left = [each for each in errors if not any(each["loc"][: len(place)] == place for place in others)] or errors
    deepest = max(len(each["loc"]) for each in left)
    return sorted(left, key=lambda each: (each["type"] != "extra_forbidden", deepest - len(each["loc"])))


def _place(location: tuple[int | str, ...]) -> str:
    """Without the names of types that the value may be of."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in location if not _is_type(step)]
    return "".join(steps).lstrip(".")


def _is_type(step: int | str) -> bool:
    return isinstance(step, str) and (step[:1].isupper() or "[" in step or step in ("str", "nullable"))
