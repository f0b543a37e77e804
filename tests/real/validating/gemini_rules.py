"""
What Google refuses although every field is of its type: counts, ranges, order, and what one model does not take.

Messages of errors are like the real ones, so that what is wrong is understood at once.

Source: ai.google.dev/api/generate-content and, under ai.google.dev/gemini-api/docs, the pages on thinking, function
calling, structured output and the newest model; the messages of its errors, as people report them.
"""

from __future__ import annotations

import re
from typing import Any

from tests.real.validating.gemini_models import MODELS, Model
from tests.real.validating.gemini_schemas import fault_of_parameters, fault_of_schema
from tests.real.validating.gemini_turns import Issued, Json, Refused, check_contents, check_text, functions_of
from tests.real.validating.gemini_types import fault_of_form

__all__ = ["Issued", "Refused", "check", "check_count"]

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_MOST_STOPS = 5
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "topP": (0, 1),
    "topK": (1, 1000),
    "candidateCount": (1, 8),
    "presencePenalty": (-2, 1.999),
    "frequencyPenalty": (-2, 1.999),
    "logprobs": (0, 20),
    "seed": (-(2**31), 2**31 - 1),
}
_SAMPLING = ("temperature", "topP", "topK", "presencePenalty", "frequencyPenalty")


def check(document: Any, name: str, issued: Issued) -> None:
    """
    :param name: of the model, as the path says it.
    :raises Refused: Google would not take it.
    """
    model = _model(name)
    if not isinstance(document, dict):
        raise Refused("Invalid JSON payload received. Expected an object.")
    _must(fault_of_form(document))
    config = document.get("generationConfig") or {}
    _check_ranges(config, model)
    _check_functions(document)
    _check_choice(document)
    _check_thinking(config.get("thinkingConfig"), model)
    _check_format(document, config, model)
    _check_system(document.get("systemInstruction"))
    check_contents(document, model, issued)


def check_count(document: Any, name: str, issued: Issued) -> None:
    """
    The same of ``countTokens``, which has contents alone or a whole request.
    """
    _model(name)
    if not isinstance(document, dict) or len(document) != 1:
        raise Refused("contents and generateContentRequest are mutually exclusive.")
    whole = dict(document.get("generateContentRequest", document))
    if "generateContentRequest" in document and whole.pop("model", None) != f"models/{name}":
        raise Refused("* CountTokensRequest.generate_content_request.model: must be the model of the path.\n")
    check(whole, name, issued)


def _model(name: str) -> Model:
    model = MODELS.get(name)
    if model is None:
        raise Refused(
            f"models/{name} is not found for API version v1beta, or is not supported for generateContent. Call "
            "ModelService.ListModels to see the list of available models and their supported methods.",
            404,
            "NOT_FOUND",
        )
    return model


def _must(fault: str | None) -> None:
    if fault is not None:
        raise Refused(fault)


def _check_ranges(config: Json, model: Model) -> None:
    for name, (least, most) in _RANGES.items():
        value = config.get(name)
        if value is not None and not least <= value <= most:
            raise Refused(
                f"* GenerateContentRequest.generation_config.{name}: must be in the range [{least}, {most}]\n"
            )
    if not 1 <= config.get("maxOutputTokens", 1) <= model.max_tokens:
        raise Refused(
            f"Unable to submit request because it has a maxOutputTokens value of {config['maxOutputTokens']} but the "
            f"supported range is from 1 (inclusive) to {model.max_tokens + 1} (exclusive)."
        )
    stops = config.get("stopSequences") or ()
    if len(stops) > _MOST_STOPS or not all(stops):
        raise Refused(f"* GenerateContentRequest.generation_config.stop_sequences: at most {_MOST_STOPS}, none empty\n")
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise Refused("logprobs can only be set if response_logprobs is true.")
    given = [name for name in _SAMPLING if name in config]
    if given and not model.sampling:
        raise Refused(f"{given[0]} is not supported by this model.")


def _check_functions(document: Json) -> None:
    functions = functions_of(document)
    names = [one.get("name") or "" for one in functions]
    for at, one in enumerate(functions):
        place = f"GenerateContentRequest.tools[0].function_declarations[{at}]"
        if not _NAME.fullmatch(names[at]):
            raise Refused(
                f"* {place}.name: Invalid function name. Must start with a letter or an underscore. Must be "
                "alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum "
                "length of 128.\n"
            )
        if names[at] in names[:at]:
            raise Refused(f"Duplicate function declaration found: {names[at]}")
        if "parameters" in one and "parametersJsonSchema" in one:
            raise Refused(f"* {place}: parameters and parameters_json_schema are mutually exclusive.\n")
        if "parametersJsonSchema" in one:
            _must(fault_of_parameters(one["parametersJsonSchema"], f"* {place}.parameters_json_schema"))
    others = [kind for tool in document.get("tools") or () for kind in tool if kind != "functionDeclarations"]
    if functions and others:
        raise Refused(
            "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function "
            "calling."
        )


def _check_choice(document: Json) -> None:
    choice = (document.get("toolConfig") or {}).get("functionCallingConfig")
    if choice is None:
        return
    declared = {one["name"] for one in functions_of(document)}
    if not declared:
        raise Refused("Function calling config is set without function_declarations.")
    allowed = choice.get("allowedFunctionNames") or []
    if allowed and choice.get("mode") not in ("ANY", "VALIDATED"):
        raise Refused("Allowed function names should only be set when function calling mode is ANY or VALIDATED.")
    if set(allowed) - declared:
        raise Refused(f"allowed_function_names: {sorted(set(allowed) - declared)} are not declared.")


def _check_thinking(config: Json | None, model: Model) -> None:
    if config is None:
        return
    level, budget = config.get("thinkingLevel"), config.get("thinkingBudget")
    if level is not None and budget is not None:
        raise Refused("You can only set only one of thinking budget and thinking level.")
    if level is not None and not model.levels:
        raise Refused("Thinking level is not supported for this model.")
    if level is not None and level not in model.levels:
        raise Refused(f"Thinking level is unsupported: THINKING_LEVEL_{level}")
    if budget is not None and model.budget is not None:
        least, most = model.budget
        if budget != -1 and not least <= budget <= most:
            raise Refused(f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}.")
        if budget == 0 and config.get("includeThoughts"):
            raise Refused("Thinking_config.include_thoughts is only enabled when thinking is enabled.")


def _check_format(document: Json, config: Json, model: Model) -> None:
    kind = config.get("responseMimeType")
    if "responseSchema" in config and "responseJsonSchema" in config:
        raise Refused("response_schema and response_json_schema are mutually exclusive.")
    if kind is None or kind == "text/plain":
        if "responseSchema" in config or "responseJsonSchema" in config:
            raise Refused("response_mime_type must be application/json where a schema is set.")
        return
    if kind != "application/json":
        raise Refused(f"* GenerateContentRequest.generation_config.response_mime_type: {kind} is not supported\n")
    if "responseJsonSchema" in config:
        place = "* GenerateContentRequest.generation_config.response_json_schema"
        _must(fault_of_schema(config["responseJsonSchema"], place))
    if functions_of(document) and not model.format_with_functions:
        raise Refused("Function calling with a response mime type: 'application/json' is unsupported")


def _check_system(system: Json | None) -> None:
    if system is None:
        return
    if not system.get("parts"):
        raise Refused("* GenerateContentRequest.system_instruction.parts: must not be empty.\n")
    for index, part in enumerate(system["parts"]):
        if "text" not in part:
            raise Refused("System instruction should only contain text.")
        check_text(part, f"system_instruction.parts[{index}]")
