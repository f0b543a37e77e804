"""
What Chat Completions refuses although every field is of its type: counts, ranges, order, and what models do not take.

Messages of errors are like the real ones, so that what is wrong is understood at once.

Source: https://developers.openai.com/api/docs/api-reference/chat/create and the errors that people report. What
others have of their own: https://api-docs.deepseek.com/guides/thinking_mode,
https://openrouter.ai/docs/guides/best-practices/reasoning-tokens and
https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from tests.real.validating.openai_common import (
    NAME,
    Issued,
    Json,
    Refused,
    check_effort,
    check_file,
    check_image,
    check_json_mode,
    check_length,
    check_range,
    check_sampling,
    invalid,
    model_of,
    texts_of,
)
from tests.real.validating.openai_forms import fault_of_chat
from tests.real.validating.openai_models import Model
from tests.real.validating.openai_schemas import fault_of_function, fault_of_strict_schema

__all__ = ["check_chat", "check_deepseek", "check_google", "check_openrouter"]

_MOST_STOPS = 4
_MOST_TOOLS = 128
_MOST_MARKS = 4
_LONGEST_CALL_ID = 40
_PARTICIPANT = re.compile(r"[^\s<|\\/>]+")
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs")


def check_chat(document: Any) -> None:
    """
    :raises Refused: OpenAI would not take it.
    """
    _check_form(document)
    model = model_of(document)
    effort = check_effort(model, document.get("reasoning_effort"), "reasoning_effort")
    _check_limits(document, model)
    check_sampling(document, model, effort, _SAMPLING)
    _check_tools(document)
    if document.get("tools") and effort != "none" and not model.tools_while_reasoning:
        raise Refused(
            f"Function tools with reasoning_effort are not supported for {document['model']} in /v1/chat/completions. "
            "To use function tools, use /v1/responses or set reasoning_effort to 'none'.",
            "reasoning_effort",
        )
    _check_format(document)
    _check_messages(document["messages"])
    _check_marks(document, model)


def check_deepseek(document: Any) -> None:
    """
    :raises Refused: DeepSeek would not take it: it lacks what is newer, and wants its thinking back with calls.
    """
    plain = copy.deepcopy(document)
    thinks = plain.pop("thinking", {}).get("type") != "disabled" if isinstance(plain, dict) else True
    for at, message in enumerate(plain["messages"]):
        thought = message.pop("reasoning_content", None)
        if thinks and message.get("tool_calls") and not thought:
            raise Refused("The `reasoning_content` in the thinking mode must be passed back to the API.")
        if message["role"] == "developer":
            raise Refused(f"messages[{at}].role: unknown variant `developer`")
        if isinstance(message["content"], list) and all(part["type"] == "text" for part in message["content"]):
            raise Refused(f"messages[{at}]: invalid type: sequence, expected a string")
    _check_form(plain)
    unknown = plain.keys() & {"max_completion_tokens", "safety_identifier", "prompt_cache_key", "verbosity", "store"}
    if unknown:
        raise Refused(f"unknown field {sorted(unknown)}")
    if (plain.get("response_format") or {}).get("type") == "json_schema":
        raise Refused("This response_format type is unavailable now")
    _check_tools(plain)
    _check_format(plain)
    _check_messages(plain["messages"])


def check_openrouter(document: Any, issued: Issued) -> None:
    """
    :raises Refused: OpenRouter would not take it: what is sealed in ``reasoning_details`` has to come back as it was.
    """
    plain = copy.deepcopy(document)
    plain.pop("reasoning", None)
    for at, message in enumerate(plain["messages"]):
        said = message.pop("reasoning", None)
        details = message.pop("reasoning_details", ())
        read = "\n\n".join(each.get("text") or each.get("summary") or "" for each in details).strip("\n")
        if details and (said or "") != read:
            raise Refused(f"messages[{at}].reasoning: is another text than in reasoning_details")
        for detail in details:
            seal = detail.get("signature") or detail.get("data")
            if seal is not None and issued.details.get(seal) != detail:
                raise Refused(f"messages[{at}].reasoning_details: Invalid `signature` in `thinking` block")
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            part.pop("cache_control", None)
    _check_form(plain)
    _check_tools(plain)
    _check_format(plain)
    _check_messages(plain["messages"])


def check_google(document: Any, issued: Issued) -> None:
    """
    :raises Refused: Google's interface of this dialect would not take it: a call that it signed comes back signed.
    """
    plain = copy.deepcopy(document)
    for message in plain["messages"]:
        for call in message.get("tool_calls", ()):
            signature = call.pop("extra_content", {}).get("google", {}).get("thought_signature")
            if signature != issued.signatures.get(call["id"]):
                raise Refused(f"Function call `{call['function']['name']}` is missing its thought_signature.")
    _check_form(plain)
    _check_tools(plain)
    _check_format(plain)
    _check_messages(plain["messages"])


def _check_form(document: Any) -> None:
    if not isinstance(document, dict):
        raise Refused("The request body is not a JSON object")
    fault = fault_of_chat(document)
    if fault is not None:
        raise Refused(fault, fault.partition(":")[0], "unknown_parameter" if "Extra" in fault else "invalid_type")


def _check_limits(document: Json, model: Model) -> None:
    check_length(document)
    check_range(document, "temperature", 0, 2)
    check_range(document, "top_p", 0, 1)
    check_range(document, "presence_penalty", -2, 2)
    check_range(document, "frequency_penalty", -2, 2)
    check_range(document, "top_logprobs", 0, 20)
    check_range(document, "n", 1, 128)
    if "max_tokens" in document and model.efforts:
        raise Refused(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'.",
            "max_tokens",
            "unsupported_parameter",
        )
    if document.keys() >= {"max_tokens", "max_completion_tokens"}:
        raise Refused("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    stops = document.get("stop") or ()
    if len(stops) > _MOST_STOPS and not isinstance(stops, str):
        raise invalid("stop", f"array too long. Expected an array with maximum length {_MOST_STOPS}.")
    if stops and not model.stops:
        raise Refused("Unsupported parameter: 'stop' is not supported with this model.", "stop")
    if document.get("top_logprobs") is not None and not document.get("logprobs"):
        raise Refused("The 'logprobs' parameter must be enabled when 'top_logprobs' is used.", "top_logprobs")
    if "stream_options" in document and not document.get("stream"):
        raise Refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if document.get("metadata") and not document.get("store"):
        raise Refused("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
    if document.get("verbosity") not in (None, "medium") and not model.verbosity:
        raise Refused("Unsupported value: 'verbosity' is not supported with this model.", "verbosity")


# Tools and formats


def _check_tools(document: Json) -> None:
    tools = document.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in document:
                raise Refused(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name)
        return
    if not 1 <= len(tools) <= _MOST_TOOLS:
        raise invalid("tools", f"expected 1 to {_MOST_TOOLS} of them, got {len(tools)}.")
    names = set()
    for at, tool in enumerate(tools):
        kind = tool["type"]
        described = tool[kind]
        names.add((kind, described["name"]))
        if not NAME.fullmatch(described["name"]):
            raise invalid(f"tools[{at}].{kind}.name", "string does not match pattern '^[a-zA-Z0-9_-]{1,64}$'.")
        if kind == "function":
            fault = fault_of_function(
                described["name"], described.get("parameters"), strict=bool(described.get("strict"))
            )
            if fault is not None:
                raise Refused(fault, f"tools[{at}].function.parameters", "invalid_function_parameters")
    _check_choice(document.get("tool_choice"), names)


def _check_choice(choice: Any, names: set[tuple[str, str]]) -> None:
    if not isinstance(choice, dict):
        return
    chosen = choice["allowed_tools"]["tools"] if choice["type"] == "allowed_tools" else [choice]
    for tool in chosen:
        named = tool["type"], tool[tool["type"]]["name"]
        if named not in names:
            raise Refused(f"Tool choice '{named[1]}' not found in 'tools' parameter.", "tool_choice")


def _check_format(document: Json) -> None:
    form = document.get("response_format") or {}
    if form.get("type") == "json_object":
        texts = (text for message in document["messages"] for text in texts_of(message.get("content")))
        check_json_mode(texts, "'messages'")
    if form.get("type") != "json_schema":
        return
    described = form["json_schema"]
    if not NAME.fullmatch(described["name"]):
        raise invalid("response_format.json_schema.name", "string does not match pattern '^[a-zA-Z0-9_-]{1,64}$'.")
    if described.get("schema") is None:
        raise Refused("Missing required parameter: 'response_format.json_schema.schema'.")
    if described.get("strict"):
        fault = fault_of_strict_schema(described["schema"], f"Invalid schema for response_format '{described['name']}'")
        if fault is not None:
            raise Refused(fault, "response_format", "invalid_json_schema")


# Messages


def _check_messages(messages: list[Json]) -> None:
    if not messages:
        raise invalid("messages", "empty array. Expected an array with minimum length 1.")
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        place = f"messages[{at}]"
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Refused(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    f"{place}.role",
                )
            open_calls.discard(message["tool_call_id"])
            continue
        _check_answered(open_calls, place)
        if "name" in message and not _PARTICIPANT.fullmatch(message["name"]):
            raise invalid(f"{place}.name", r"string does not match pattern. Expected '^[^\s<|\\/>]+$'.")
        if role == "assistant":
            open_calls = _check_assistant(message, place)
        else:
            _check_content(message["content"], f"{place}.content")
    _check_answered(open_calls, f"messages[{len(messages)}]")


def _check_answered(open_calls: set[str], place: str) -> None:
    if open_calls:
        raise Refused(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
            place,
        )


def _check_assistant(message: Json, place: str) -> set[str]:
    """
    :return: the ids of its calls.
    """
    calls = message.get("tool_calls")
    if calls is not None and not calls:
        raise invalid(f"{place}.tool_calls", "empty array. Expected an array with minimum length 1.")
    if message.get("content") is None and not calls and not any(message.get(k) for k in ("refusal", "audio")):
        raise Refused("Invalid value for 'content': expected a string, got null.", f"{place}.content")
    if isinstance(message.get("content"), list):
        _check_content(message["content"], f"{place}.content")
    ids = [call["id"] for call in calls or ()]
    for at, call in enumerate(calls or ()):
        if not 1 <= len(call["id"]) <= _LONGEST_CALL_ID:
            raise invalid(
                f"{place}.tool_calls[{at}].id",
                f"string too long. Expected a string with maximum length {_LONGEST_CALL_ID}, but got a string with "
                f"length {len(call['id'])} instead.",
                "string_above_max_length",
            )
        if not NAME.fullmatch(call[call["type"]]["name"]):
            raise invalid(f"{place}.tool_calls[{at}].function.name", "string does not match pattern.")
    if len(set(ids)) < len(ids):
        raise Refused(f"Duplicate value for 'tool_call_id' in {place}")
    return set(ids)


def _check_content(content: Any, place: str) -> None:
    if isinstance(content, str):
        return
    if not content:
        raise invalid(place, "empty array. Expected an array with minimum length 1.")
    for at, part in enumerate(content):
        where = f"{place}[{at}]"
        match part["type"]:
            case "image_url":
                check_image(part["image_url"]["url"], f"{where}.image_url.url")
            case "file" if "file_id" in part["file"]:
                raise Refused(f"No such File object: {part['file']['file_id']}", f"{where}.file", status=404)
            case "file":
                if not part["file"].keys() >= {"file_data", "filename"}:
                    raise Refused(f"Missing required parameter: '{where}.file.file_id'.", f"{where}.file")
                check_file(part["file"]["file_data"], f"{where}.file.file_data")


def _check_marks(document: Json, model: Model) -> None:
    parts = [
        part
        for message in document["messages"]
        if isinstance(message.get("content"), list)
        for part in message["content"]
    ]
    marks = [part for part in parts if "prompt_cache_breakpoint" in part]
    if marks and not model.breakpoints:
        raise Refused("Unsupported parameter: 'prompt_cache_breakpoint' is not supported with this model.")
    if len(marks) > _MOST_MARKS:
        raise Refused(f"At most {_MOST_MARKS} cache breakpoints can be written.")
