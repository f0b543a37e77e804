"""
What Anthropic refuses although every field is of its type: counts, ranges, order, and what one model does not take.

Messages of errors are like the real ones, so that what is wrong is understood at once.

Source: platform.claude.com/docs/en/api/messages, .../api/errors#common-validation-errors and, under
.../build-with-claude, the pages on thinking, structured outputs and prompt caching.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.real.validating.anthropic_models import MODELS, Model
from tests.real.validating.anthropic_schemas import fault_of_strict_schema, fault_of_tool_schema
from tests.real.validating.anthropic_turns import (
    NAME,
    Issued,
    Json,
    Refused,
    blocks_of,
    check_messages,
    check_text,
    thinks,
)
from tests.real.validating.anthropic_types import SAMPLING, fault_of_form

__all__ = ["Issued", "Refused", "check"]

_MOST_MARKS = 4
_LONGEST_USER_ID = 256
_LEAST_BUDGET = 1024
_THINKING_TOP_P = 0.95


def check(document: Any, version: str, issued: Issued, *, counting: bool = False) -> None:
    """
    :param version: of the API, as the caller named it.
    :param counting: only the prompt's tokens are asked for, which has no limit of the answer.
    :raises Refused: Anthropic would not take it.
    """
    if not isinstance(document, dict):
        raise Refused("The request body is not a JSON object")
    _must(fault_of_form(document, counting=counting))
    model = MODELS.get(document["model"])
    if model is None:
        raise Refused(f"model: {document['model']}", 404, "not_found_error")
    if not counting:
        _check_limits(document, model)
    _check_sampling(document, model, version)
    _check_tools(document, model)
    _check_thinking(document, model)
    _check_output(document, model)
    for at, block in enumerate(blocks_of(document.get("system", ()))):
        check_text(block, f"system.{at}")
    _check_marks(document)
    check_messages(document, model, issued)


def _must(fault: str | None) -> None:
    if fault is not None:
        raise Refused(fault)


# Fields


def _check_limits(document: Json, model: Model) -> None:
    asked = document["max_tokens"]
    if not 1 <= asked <= model.max_tokens:
        raise Refused(
            f"max_tokens: {asked} > {model.max_tokens}, which is the maximum allowed number of output tokens for "
            f"{document['model']}"
        )
    if any(not sequence.strip() for sequence in document.get("stop_sequences", ())):
        raise Refused("stop_sequences: each stop sequence must contain non-whitespace")
    if len((document.get("metadata") or {}).get("user_id") or "") > _LONGEST_USER_ID:
        raise Refused(f"metadata.user_id: String should have at most {_LONGEST_USER_ID} characters")


def _check_sampling(document: Json, model: Model, version: str) -> None:
    given = {name: document[name] for name in SAMPLING if name in document}
    for name, value in given.items():
        if version != "2023-06-01":
            raise Refused(f"{name}: Extra inputs are not permitted")
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Refused(f"{name}: Input should be a valid number")
        if not 0 <= value <= (1 if name != "top_k" else 500):
            raise Refused(f"{name}: range: 0..1")
        if not model.sampling:
            raise Refused(f"`{name}` is not supported by this model")
    if {"temperature", "top_p"} <= given.keys() and not model.both_samplings:
        raise Refused("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if thinks(document):
        if given.get("temperature", 1) != 1:
            raise Refused("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")
        if given.get("top_p", 1) < _THINKING_TOP_P:
            raise Refused("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled")
        if "top_k" in given:
            raise Refused("`top_k` must be unset when thinking is enabled")


def _check_tools(document: Json, model: Model) -> None:
    tools = document.get("tools", ())
    choice = document.get("tool_choice")
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        raise Refused("tools: Tool names must be unique.")
    for at, tool in enumerate(tools):
        if "input_schema" not in tool:
            continue
        place = f"tools.{at}.custom"
        if not NAME.fullmatch(tool["name"]):
            raise Refused(f"{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        _must(fault_of_tool_schema(tool["input_schema"], f"{place}.input_schema"))
        if tool.get("strict"):
            _must(fault_of_strict_schema(tool["input_schema"], f"{place}.input_schema"))
    if not tools and any(block["type"] in ("tool_use", "tool_result") for block in _prompt(document)):
        raise Refused("Requests which have `tool_use` or `tool_result` blocks in `messages` must define tools.")
    if choice is None:
        return
    if not tools:
        raise Refused("tool_choice may only be specified while providing tools.")
    if choice["type"] == "tool" and choice["name"] not in names:
        raise Refused(f"Tool '{choice['name']}' not found in provided tools")
    if choice["type"] in ("tool", "any"):
        if not model.forced_tools:
            raise Refused("tool_choice: forced tool use is not supported on this model")
        if thinks(document):
            raise Refused("Thinking may not be enabled when tool_choice forces tool use.")


def _check_thinking(document: Json, model: Model) -> None:
    thinking = document.get("thinking")
    if thinking is None:
        return
    if thinking["type"] not in model.thinking:
        raise Refused(f"thinking.type: {thinking['type']!r} is not supported on this model")
    if thinking["type"] == "enabled":
        budget = thinking["budget_tokens"]
        if budget < _LEAST_BUDGET:
            raise Refused(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_BUDGET}")
        if budget >= document.get("max_tokens", budget + 1):
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_output(document: Json, model: Model) -> None:
    config = document.get("output_config") or {}
    effort = config.get("effort")
    if effort is not None and effort not in model.efforts:
        raise Refused(f"output_config.effort: {effort!r} is not supported on this model")
    form = config.get("format")
    if form is None:
        return
    _must(fault_of_strict_schema(form["schema"], "output_config.format.schema"))
    if document["messages"] and document["messages"][-1]["role"] == "assistant":
        raise Refused("output_config.format: is not compatible with a prefilled answer")
    if any((block.get("citations") or {}).get("enabled") for block in _prompt(document) if block["type"] == "document"):
        raise Refused("output_config.format: Citations are not compatible with structured outputs")


def _prompt(document: Json) -> Iterator[Json]:
    """All blocks that may carry a cache mark, in order."""
    yield from blocks_of(document.get("system", ()))
    for message in document["messages"]:
        for block in blocks_of(message["content"]):
            yield block
            if block["type"] == "tool_result":
                yield from blocks_of(block.get("content", ()))


def _check_marks(document: Json) -> None:
    marks = [
        block["cache_control"]
        for block in (*document.get("tools", ()), *_prompt(document))
        if block.get("cache_control")
    ]
    if len(marks) > _MOST_MARKS:
        raise Refused(f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {len(marks)}.")
    lasting = [mark.get("ttl") == "1h" for mark in marks]
    if lasting != sorted(lasting, reverse=True):
        raise Refused("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")
