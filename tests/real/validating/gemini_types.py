"""The form of a request to Google, by the types of its official SDK: every field known, every value of its type."""

from __future__ import annotations

import warnings
from typing import Any

import msgspec
import pydantic
from google.genai import types

__all__ = ["fault_of_form"]

_NOT_HERE = frozenset(
    {"audioTimestamp", "routingConfig", "modelSelectionConfig", "partialArgs", "streamFunctionCallArguments"}
)
"""Fields that the SDK has types for and does not send to the Gemini API, but to Vertex AI only."""


class _Request(pydantic.BaseModel):
    """Names as on the wire."""

    model_config = pydantic.ConfigDict(extra="forbid")

    contents: list[types.Content]
    systemInstruction: types.Content | None = None
    tools: list[types.Tool] | None = None
    toolConfig: types.ToolConfig | None = None
    generationConfig: types.GenerationConfig | None = None
    safetySettings: list[types.SafetySetting] | None = None
    serviceTier: types.ServiceTier | None = None
    cachedContent: str | None = None
    labels: dict[str, str] | None = None
    store: bool | None = None


def fault_of_form(document: dict[str, Any]) -> str | None:
    """
    :return: what is wrong with the request, and where; ``None`` for nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            understood = _Request.model_validate_json(msgspec.json.encode(document), strict=True)
            known = understood.model_dump(mode="json", by_alias=True, exclude_unset=True)
    except pydantic.ValidationError as error:
        return "; ".join(
            f"Invalid value at '{'.'.join(map(str, each['loc']))}': {each['msg']}"
            for each in error.errors(include_url=False)[:3]
        )
    except (UserWarning, AttributeError) as fault:
        # Enumerations do not raise errors of validation: they warn, and fail at what is no text.
        return f"Invalid value: {fault}"
    return _difference(document, known, "")


def _difference(sent: object, known: object, place: str) -> str | None:
    if isinstance(sent, dict) and isinstance(known, dict):
        for name, value in sent.items():
            inner = f"{place}.{name}".lstrip(".")
            if name not in known or name in _NOT_HERE:
                return f"Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
            found = _difference(value, known[name], inner)
            if found is not None:
                return found
        return None
    if isinstance(sent, list) and isinstance(known, list):
        pairs = enumerate(zip(sent, known, strict=True))
        return next((found for at, (a, b) in pairs if (found := _difference(a, b, f"{place}[{at}]"))), None)
    return None
