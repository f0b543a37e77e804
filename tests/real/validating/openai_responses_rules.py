"""
What the Responses API refuses although every field is of its type.

Messages of errors are like the real ones, so that what is wrong is understood at once.

Source: https://developers.openai.com/api/docs/api-reference/responses/create, the guides to reasoning and to function
calling, and the errors that people report.
"""

from __future__ import annotations

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
from tests.real.validating.openai_forms import fault_of_response
from tests.real.validating.openai_models import Model
from tests.real.validating.openai_schemas import fault_of_function, fault_of_strict_schema

__all__ = ["check_response"]

_SMALLEST_LIMIT = 16
_LONGEST_CALL_ID = 64
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}
_CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
_FILES = ("application/pdf", "text/plain", "text/csv", "text/html", "text/markdown", "application/json")


def check_response(document: Any, issued: Issued) -> None:
    """
    :raises Refused: OpenAI would not take it.
    """
    if not isinstance(document, dict):
        raise Refused("The request body is not a JSON object")
    fault = fault_of_response(document)
    if fault is not None:
        raise Refused(fault, fault.partition(":")[0], "unknown_parameter" if "Extra" in fault else "invalid_type")
    model = model_of(document)
    reasoning = document.get("reasoning") or {}
    effort = check_effort(model, reasoning.get("effort"), "reasoning.effort")
    _check_limits(document, model, reasoning)
    check_sampling(document, model, effort, ("temperature", "top_p", "top_logprobs"))
    _check_tools(document)
    _check_format(document)
    if isinstance(document.get("input"), list):
        _check_items(document, issued)


def _check_limits(document: Json, model: Model, reasoning: Json) -> None:
    check_length(document)
    check_range(document, "temperature", 0, 2)
    check_range(document, "top_p", 0, 1)
    check_range(document, "top_logprobs", 0, 20)
    limit = document.get("max_output_tokens")
    if limit is not None and limit < _SMALLEST_LIMIT:
        raise invalid("max_output_tokens", f"integer below minimum value. Expected a value >= {_SMALLEST_LIMIT}.")
    if "stream_options" in document and not document.get("stream"):
        raise Refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if not document.get("input"):
        raise Refused('One of "input" or "previous_response_id" must be provided.', "input")
    sealed = "reasoning.encrypted_content" in document.get("include", ())
    if not model.efforts and (sealed or reasoning.get("summary")):
        what = "Encrypted content" if sealed else "reasoning.summary"
        raise Refused(f"{what} is not supported with this model.", "include")
    if document.get("store") is not False:
        raise Refused("this provider's callers do not ask it to keep anything", "store")


def _check_tools(document: Json) -> None:
    names = set()
    for at, tool in enumerate(document.get("tools", ())):
        if tool["type"] not in ("function", "custom", "namespace"):
            continue
        members = tool["tools"] if tool["type"] == "namespace" else [tool]
        for member in members:
            names.add((member["type"], member["name"]))
            if not NAME.fullmatch(member["name"]):
                raise invalid(f"tools[{at}].name", "string does not match pattern '^[a-zA-Z0-9_-]{1,64}$'.")
            if member["type"] != "function":
                continue
            strict = member.get("strict") is not False
            fault = fault_of_function(member["name"], member["parameters"], strict=strict)
            if fault is not None:
                raise Refused(fault, f"tools[{at}].parameters", "invalid_function_parameters")
    choice = document.get("tool_choice")
    if choice not in (None, "none", "auto") and not names:
        raise Refused("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
    if isinstance(choice, dict):
        chosen = choice["tools"] if choice["type"] == "allowed_tools" else [choice]
        for tool in chosen:
            if (tool["type"], tool["name"]) not in names:
                raise Refused(f"Tool choice '{tool['name']}' not found in 'tools' parameter.", "tool_choice")


def _check_format(document: Json) -> None:
    form = (document.get("text") or {}).get("format") or {}
    if form.get("type") == "json_object":
        items = document["input"]
        contents = [items] if isinstance(items, str) else [item.get("content") for item in items]
        check_json_mode((text for content in contents for text in texts_of(content)), "Response input messages")
    if form.get("type") != "json_schema":
        return
    if not NAME.fullmatch(form["name"]):
        raise invalid("text.format.name", "string does not match pattern '^[a-zA-Z0-9_-]{1,64}$'.")
    if form.get("strict"):
        fault = fault_of_strict_schema(form["schema"], f"Invalid schema for response_format '{form['name']}'")
        if fault is not None:
            raise Refused(fault, "text.format.schema", "invalid_json_schema")


# Items


def _check_items(document: Json, issued: Issued) -> None:
    items = document["input"]
    calls: dict[str, str] = {}
    answered: set[str] = set()
    for at, item in enumerate(items):
        place = f"input[{at}]"
        kind = item.get("type", "message")
        prefix = _PREFIXES.get(kind)
        given = item.get("id")
        if prefix is not None and given is not None and not given.startswith(prefix):
            raise invalid(f"{place}.id", f"'{given}'. Expected an ID that begins with '{prefix}'.")
        if kind == "message":
            _check_message(item, place)
        elif kind == "reasoning":
            _check_reasoning(items, at, issued)
        elif kind in _CALLS:
            if not 1 <= len(item["call_id"]) <= _LONGEST_CALL_ID:
                raise invalid(f"{place}.call_id", f"string too long. Expected maximum length {_LONGEST_CALL_ID}.")
            if not NAME.fullmatch(item["name"]):
                raise invalid(f"{place}.name", "string does not match pattern '^[a-zA-Z0-9_-]{1,64}$'.")
            if item["call_id"] in calls:
                raise Refused(f"Duplicate item found with call_id {item['call_id']}.", "input")
            calls[item["call_id"]] = _CALLS[kind]
        elif kind in _CALLS.values():
            if calls.get(item["call_id"]) != kind:
                raise Refused(f"No tool call found for function call output with call_id {item['call_id']}.", "input")
            answered.add(item["call_id"])
            _check_content(item["output"], f"{place}.output")
    missing = calls.keys() - answered
    if missing:
        raise Refused(f"No tool output found for function call {sorted(missing)[0]}.", "input")


def _check_message(item: Json, place: str) -> None:
    content = item["content"]
    if isinstance(content, str):
        return
    own = item["role"] == "assistant"
    for at, part in enumerate(content):
        if (part["type"] in ("output_text", "refusal")) != own:
            values = "'output_text' and 'refusal'" if own else "'input_text', 'input_image' and 'input_file'"
            raise Refused(f"Invalid value: '{part['type']}'. Supported values are: {values}.", f"{place}.content[{at}]")
    if own and not content:
        raise invalid(f"{place}.content", "empty array. Expected an array with minimum length 1.")
    _check_content(content, f"{place}.content")


def _check_content(content: Any, place: str) -> None:
    for at, part in enumerate(content if isinstance(content, list) else ()):
        where = f"{place}[{at}]"
        if part["type"] == "input_image":
            if part.get("image_url") is None:
                raise Refused(f"Missing required parameter: '{where}.image_url'.", where)
            check_image(part["image_url"], f"{where}.image_url")
        elif part["type"] == "input_file":
            given = [name for name in ("file_data", "file_url", "file_id") if part.get(name) is not None]
            if len(given) != 1:
                raise Refused(f"Invalid '{where}': exactly one of file_id, file_data and file_url is needed.", where)
            if given == ["file_data"]:
                if "filename" not in part:
                    raise Refused(f"Missing required parameter: '{where}.filename'.", where)
                check_file(part["file_data"], f"{where}.file_data", _FILES)


def _check_reasoning(items: list[Json], at: int, issued: Issued) -> None:
    item = items[at]
    sealed = item.get("encrypted_content")
    if not sealed:
        raise Refused(
            f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false.", "input"
        )
    if item.get("content"):
        raise invalid(f"input[{at}].content", "array too long. Expected an array with maximum length 0.")
    original = issued.items.get(sealed)
    why = None
    if original is None:
        why = "Encrypted content could not be decrypted or parsed."
    elif original["id"] != item["id"]:
        why = "Encrypted content item_id did not match the target item id."
    if why is not None or original is None:
        raise Refused(
            f"The encrypted content for item {item['id']} could not be verified. Reason: {why}",
            None,
            "invalid_encrypted_content",
        )
    if original["summary"] != item["summary"]:
        raise Refused(f"input[{at}].summary: is another than the provider had written", "input")
    behind = items[at + 1].get("type", "message") if at + 1 < len(items) else None
    if behind != issued.behind.get(sealed):
        raise Refused(
            f"Item '{item['id']}' of type 'reasoning' was provided without its required following item.", "input"
        )
