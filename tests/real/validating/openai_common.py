"""What both of OpenAI's ways of holding a conversation refuse."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

import attrs

from tests.real.validating.openai_models import MODELS, Model

__all__ = [
    "NAME",
    "Issued",
    "Json",
    "Refused",
    "check_effort",
    "check_file",
    "check_image",
    "check_json_mode",
    "check_length",
    "check_range",
    "check_sampling",
    "invalid",
    "model_of",
    "texts_of",
]

Json = dict[str, Any]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Of a function, a custom tool or a format."""

_LONGEST = {"user": 64, "safety_identifier": 64, "prompt_cache_key": 64}
_BEGINNINGS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
    "application/pdf": b"%PDF-",
}


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status
        self.kind = kind


@attrs.define
class Issued:
    """What this provider gave out sealed, and wants back as it was."""

    items: dict[str, Json] = attrs.Factory(dict)
    """Reasoning items by what is sealed in them."""
    behind: dict[str, str] = attrs.Factory(dict)
    """The kind of the item that came behind each."""
    details: dict[str, Json] = attrs.Factory(dict)
    """OpenRouter's entries for the same."""
    signatures: dict[str, str] = attrs.Factory(dict)
    """Google's, by the ids of the calls that bear them."""


def invalid(place: str, why: str, code: str | None = "invalid_value") -> Refused:
    return Refused(f"Invalid '{place}': {why}", place, code)


def model_of(document: Json) -> Model:
    """
    :raises Refused: there is none of this name.
    """
    model = MODELS.get(document["model"])
    if model is None:
        raise Refused(
            f"The model `{document['model']}` does not exist or you do not have access to it.",
            None,
            "model_not_found",
            status=404,
        )
    return model


def check_length(document: Json) -> None:
    """
    :raises Refused: a text is longer than OpenAI takes.
    """
    for name, longest in _LONGEST.items():
        if len(document.get(name) or "") > longest:
            raise invalid(
                name,
                f"string too long. Expected a string with maximum length {longest}, but got a string with length "
                f"{len(document[name])} instead.",
                "string_above_max_length",
            )


def check_range(document: Json, name: str, least: float, most: float) -> None:
    """
    :raises Refused: the number is not between the two.
    """
    value = document.get(name)
    if value is not None and not least <= value <= most:
        raise invalid(name, f"decimal outside of range. Expected a value between {least} and {most}.")


def check_effort(model: Model, effort: str | None, place: str) -> str:
    """
    :return: what it comes to.
    :raises Refused: the model has no such effort.
    """
    if effort is None:
        return model.effort
    if not model.efforts:
        raise Refused(f"Unsupported parameter: '{place}' is not supported with this model.", place, None)
    if effort not in model.efforts:
        raise Refused(
            f"Unsupported value: '{place}' does not support '{effort}' with this model. Supported values are: "
            f"{', '.join(model.efforts)}.",
            place,
            "unsupported_value",
        )
    return effort


def check_sampling(document: Json, model: Model, effort: str, names: Iterable[str]) -> None:
    """
    :raises Refused: the model takes no other values than its own.
    """
    for name, value in ((name, document.get(name)) for name in names):
        if value is not None and effort not in model.sampling and not (name in ("temperature", "top_p") and value == 1):
            raise Refused(f"Unsupported parameter: '{name}' is not supported with this model.", name, None)


def check_image(url: str, place: str) -> None:
    """
    :raises Refused: it is neither an address nor an image.
    """
    if url.startswith(("https://", "http://")):
        return
    media_type, data = _data_url(url, place)
    if not media_type.startswith("image/") or media_type not in _BEGINNINGS:
        raise Refused(
            "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
            "['png', 'jpeg', 'gif', 'webp'].",
            place,
            "image_parse_error",
        )
    if not data.startswith(_BEGINNINGS[media_type]):
        raise Refused("The image data you provided does not represent a valid image.", place, "invalid_image")


def check_file(data: str, place: str, media_types: tuple[str, ...] = ("application/pdf",)) -> None:
    """
    :param data: a data URL.
    :raises Refused: it is no file that can be read.
    """
    media_type, content = _data_url(data, place)
    if media_type not in media_types:
        raise Refused(
            f"Invalid file data: '{place}'. Expected a base64-encoded data URL with an application/pdf MIME type, but "
            f"got unsupported MIME type '{media_type}'.",
            place,
            "invalid_value",
        )
    if not content.startswith(_BEGINNINGS.get(media_type, b"")):
        raise Refused(f"Invalid file data: '{place}' is not what it says.", place, "invalid_value")


def _data_url(url: str, place: str) -> tuple[str, bytes]:
    found = re.fullmatch(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", url, re.DOTALL)
    try:
        if found is not None:
            return found[1], base64.b64decode(found[2], validate=True)
    except (binascii.Error, ValueError):
        pass
    raise Refused(f"Invalid '{place}'. Expected a base64-encoded data URL, but got an invalid one.", place)


def check_json_mode(texts: Iterable[str], where: str) -> None:
    """
    :param texts: of all messages.
    :raises Refused: none of them tells the model what to write.
    """
    if not any("json" in text.lower() for text in texts):
        raise Refused(f"{where} must contain the word 'json' in some form, to use a format of type 'json_object'.")


def texts_of(content: Any) -> list[str]:
    """
    :param content: of a message: a text or parts.
    """
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or () if "text" in part]
