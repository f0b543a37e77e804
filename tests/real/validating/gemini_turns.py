"""
The order of contents and of their parts, as Google demands it, and the signatures that have to come back.

Source: ai.google.dev/gemini-api/docs/function-calling, .../thought-signatures, .../document-processing,
.../image-understanding, and the messages of its errors, as people report them.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import attrs

from tests.real.validating.gemini_models import Model

__all__ = ["SKIPPED", "Issued", "Json", "Refused", "check_contents", "check_text", "functions_of"]

Json = dict[str, Any]

SKIPPED = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""What Google documents to write where a call is not one of its own models'."""

_DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult")
_BEGINNINGS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/webp": b"RIFF",
    "image/heic": b"",
    "image/heif": b"",
    "application/pdf": b"%PDF-",
    "text/plain": b"",
    "text/html": b"",
    "text/csv": b"",
    "text/markdown": b"",
    "audio/wav": b"RIFF",
    "audio/mp3": b"",
    "audio/mpeg": b"",
    "video/mp4": b"",
}
_IN_RESULTS = ("image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain")
_ENDING = "Requests ending with a model turn are not supported."


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, message: str, status: int = 400, word: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.word = word


@attrs.define
class Issued:
    """What this provider signed, and wants back as it was."""

    signed: dict[str, Json] = attrs.Factory(dict)
    """The parts by their signatures, without them."""


def functions_of(document: Json) -> list[Json]:
    """What is declared."""
    return [one for tool in document.get("tools") or () for one in tool.get("functionDeclarations") or ()]


def check_contents(document: Json, model: Model, issued: Issued) -> None:
    """
    :param document: of the right form.
    :raises Refused: Google would not take it.
    """
    contents = document["contents"]
    if not contents:
        raise Refused("* GenerateContentRequest.contents: contents is not specified\n")
    for at, content in enumerate(contents):
        place = f"contents[{at}]"
        if content.get("role") not in ("user", "model"):
            raise Refused("Please use a valid role: user, model.")
        if not content.get("parts"):
            raise Refused(f"* GenerateContentRequest.{place}.parts: contents.parts must not be empty.\n")
        for index, part in enumerate(content["parts"]):
            _check_part(part, f"{place}.parts[{index}]", content["role"], model, issued)
    for at in range(len(contents)):
        _check_calls(contents, at)
        _check_results(contents, at)
    _check_end(contents, model)
    _check_current_turn(contents)


def check_text(part: Json, place: str) -> None:
    """
    :raises Refused: it says nothing.
    """
    if not part["text"] and "thoughtSignature" not in part:
        raise Refused(f"{place}: Unable to submit request because it must have a text parameter.")


def _check_part(part: Json, place: str, role: str, model: Model, issued: Issued) -> None:
    kinds = [name for name in _DATA if name in part]
    if len(kinds) != 1:
        raise Refused(
            f"* GenerateContentRequest.{place}.data: required oneof field 'data' must have one initialized field\n"
        )
    kind = kinds[0]
    if kind == "text":
        check_text(part, place)
    elif kind == "inlineData":
        _check_blob(part[kind], place, tuple(_BEGINNINGS))
    elif kind == "fileData":
        _check_file(part[kind], place)
    elif kind == "functionResponse":
        _check_response(part[kind], place, role, model)
    elif role != "model":
        raise Refused(f"{place}: {kind} belongs into a content of the role model.")
    level = (part.get("mediaResolution") or {}).get("level")
    if level is not None and not model.levels:
        raise Refused(f"{place}.media_resolution: is not supported for this model.")
    signature = part.get("thoughtSignature")
    if signature is not None and signature not in SKIPPED:
        unsigned = {name: value for name, value in part.items() if name != "thoughtSignature"}
        if signature not in issued.signed:
            raise Refused("Corrupted thought signature.")
        if issued.signed[signature] != unsigned:
            raise Refused(f"Thought signature is not valid: {place} is not the part that it was on.")


def _check_blob(blob: Json, place: str, types: tuple[str, ...]) -> None:
    if blob.get("mimeType") not in types:
        raise Refused(f"Unsupported MIME type: {blob.get('mimeType')}")
    try:
        data = base64.b64decode(blob.get("data") or "", validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"Invalid value at '{place}.inline_data.data' (TYPE_BYTES), Base64 decoding failed") from None
    if not data or not data.startswith(_BEGINNINGS[blob["mimeType"]]):
        raise Refused(f"Unable to process input image: {place} is not {blob['mimeType']}.")


def _check_file(file: Json, place: str) -> None:
    if not file.get("fileUri", "").startswith(("https://", "http://")):
        raise Refused(f"Invalid or unsupported file uri: {file.get('fileUri')}")
    if file.get("mimeType") not in _BEGINNINGS:
        raise Refused(f"Unsupported MIME type: {file.get('mimeType')} at {place}")


def _check_response(response: Json, place: str, role: str, model: Model) -> None:
    if role != "user":
        raise Refused(f"{place}: functionResponse belongs into a content of the role user.")
    if not response.get("name"):
        raise Refused(f"* GenerateContentRequest.{place}.function_response.name: Name cannot be empty.\n")
    if not isinstance(response.get("response"), dict):
        raise Refused(f"* GenerateContentRequest.{place}.function_response.response: is required.\n")
    for index, inner in enumerate(response.get("parts") or ()):
        if not model.media_in_results:
            raise Refused(f"{place}: Multimodal function responses are not supported by this model.")
        if "inlineData" not in inner:
            raise Refused(f"{place}.function_response.parts[{index}]: must have inline_data.")
        _check_blob(inner["inlineData"], place, _IN_RESULTS)


def _calls(content: Json) -> list[Json]:
    return [part["functionCall"] for part in content["parts"] if "functionCall" in part]


def _responses(content: Json) -> list[Json]:
    return [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]


def _check_calls(contents: list[Json], at: int) -> None:
    calls = _calls(contents[at])
    if not calls:
        return
    if at == 0 or contents[at - 1]["role"] != "user":
        raise Refused(
            "Please ensure that function call turn comes immediately after a user turn or after a function response "
            "turn."
        )
    responses = _responses(contents[at + 1]) if at + 1 < len(contents) else []
    if len(responses) != len(calls):
        raise Refused(
            "Please ensure that the number of function response parts is equal to the number of function call parts of "
            "the function call turn."
        )


def _check_results(contents: list[Json], at: int) -> None:
    responses = _responses(contents[at])
    if not responses:
        return
    calls = _calls(contents[at - 1]) if at else []
    if not calls:
        raise Refused("Please ensure that function response turn comes immediately after a function call turn.")
    by_id = {call.get("id"): call for call in calls}
    for place, response in enumerate(responses):
        call = by_id.pop(response["id"], None) if response.get("id") else calls[place]
        if call is None or call.get("id") != response.get("id"):
            raise Refused(f"functionResponse.id {response.get('id')!r} does not match functionCall.id")
        if call["name"] != response["name"]:
            raise Refused(f"functionResponse.name {response['name']!r} does not match functionCall.name")


def _check_end(contents: list[Json], model: Model) -> None:
    last = contents[-1]
    if model.prefill:
        return
    if last["role"] == "model":
        raise Refused(_ENDING)
    results = [at for at, part in enumerate(last["parts"]) if "functionResponse" in part]
    if results and results[-1] != len(last["parts"]) - 1:
        raise Refused(_ENDING)
    if results and results != list(range(results[0], results[-1] + 1)):
        raise Refused(_ENDING)


def _check_current_turn(contents: list[Json]) -> None:
    """Since the user spoke last, the first call of each step bears a signature."""
    begun = max(
        (at for at, content in enumerate(contents) if content["role"] == "user" and _says_something(content)), default=0
    )
    for at, content in enumerate(contents[begun:], begun):
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            raise Refused(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work"
                " correctly, and missing thought_signature may lead to degraded model performance. Additional data, "
                f"function call `default_api:{first['functionCall']['name']}` , position {at + 1}."
            )


def _says_something(content: Json) -> bool:
    return any("functionResponse" not in part for part in content["parts"])
