"""The form of a request, by the types of an official SDK: every field known, every value of its type."""

from __future__ import annotations

from functools import cache
from typing import Any

import pydantic
from pydantic_core import SchemaValidator

__all__ = ["fault_of_type"]

_TAGS = ("type", "role")
_STRICT = ("bool", "float", "int", "str")


def fault_of_type(kind: Any, document: object) -> str | None:
    """
    :param kind: what the SDK's method takes.
    :return: what is wrong with the request, and where; ``None`` for nothing.
    """
    try:
        _validator(kind).validate_python(document)
    except pydantic.ValidationError as error:
        return "; ".join(f"{_place(each['loc'])}: {each['msg']}" for each in _telling(error)[:3])
    return None


@cache
def _validator(kind: Any) -> SchemaValidator:
    return SchemaValidator(_closed(pydantic.TypeAdapter(kind).core_schema))


def _closed(schema: Any) -> Any:
    """The same schema without a tolerance: no other fields, no text for a number, and iterables read at once."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_closed, schema))
    if not isinstance(schema, dict):
        return schema
    made = {name: value if name == "metadata" else _closed(value) for name, value in schema.items()}
    match made.get("type"):
        case "typed-dict" | "model-fields":
            made["extra_behavior"] = "forbid"
        case "generator":
            made["type"] = "list"
        case "model":
            # Its fields alone: of a class that was used before, pydantic takes the tolerant validator that it has.
            fields = made["schema"]
            return {**fields, "ref": made["ref"]} if "ref" in made else fields
        case kind if kind in _STRICT:
            made["strict"] = True
    return made


def _telling(error: pydantic.ValidationError) -> list[Any]:
    """The errors without those of types that the value does not even claim to be of."""
    errors = list(error.errors(include_url=False, include_input=False))
    others = {each["loc"][:-1] for each in errors if each["type"] == "literal_error" and each["loc"][-1] in _TAGS}
    left = [each for each in errors if not any(each["loc"][: len(place)] == place for place in others)] or errors
    left = _likeliest(left)
    deepest = max(len(each["loc"]) for each in left)
    return sorted(left, key=lambda each: (each["type"] != "extra_forbidden", deepest - len(each["loc"])))


def _likeliest(errors: list[Any]) -> list[Any]:
    """Of several types that a value may be of, the errors of the one that fits best: deep inside, and few."""
    kept: list[Any] = []
    unions: dict[tuple[int | str, ...], dict[int | str, list[Any]]] = {}
    for error in errors:
        location = error["loc"]
        at = next((at for at, step in enumerate(location) if _is_type(step)), None)
        if at is None:
            kept.append(error)
        else:
            unions.setdefault(location[:at], {}).setdefault(location[at], []).append(error)
    return kept + [error for kinds in unions.values() for error in min(kinds.values(), key=_misfit)]


def _misfit(errors: list[Any]) -> tuple[int, int]:
    return -max(len(each["loc"]) for each in errors), len(errors)


def _place(location: tuple[int | str, ...]) -> str:
    """Without the names of types that the value may be of."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in location if not _is_type(step)]
    return "".join(steps).lstrip(".")


def _is_type(step: int | str) -> bool:
    return isinstance(step, str) and (step[:1].isupper() or "[" in step or step in ("str", "nullable"))
