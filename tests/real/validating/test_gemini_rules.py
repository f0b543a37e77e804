"""The validating provider of the Gemini API refuses what Google refuses: else its tests would show nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.validating.files import PDF_BASE64, PNG_BASE64
from tests.real.validating.gemini_models import BUDGETED, LEVELLED, NEWEST
from tests.real.validating.gemini_rules import Issued, Refused, check, check_count
from tests.real.validating.gemini_turns import SKIPPED

TEXT = {"text": "Hello"}
OBJECT = {"type": "object", "properties": {}}
LOOK = {"functionDeclarations": [{"name": "look", "parametersJsonSchema": OBJECT}]}
CALL: Any = {"functionCall": {"name": "look", "args": {}}}
SIGNED = {**CALL, "thoughtSignature": "c2lnbmVk"}
RESULT: Any = {"functionResponse": {"name": "look", "response": {"output": "seen"}}}
NAMED = {"functionResponse": {"name": "look", "response": {"output": "seen"}, "id": "a"}}
PNG = {"inlineData": {"mimeType": "image/png", "data": PNG_BASE64}}
ISSUED = Issued(signed={"c2lnbmVk": CALL, "dGV4dA==": TEXT})


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def asking(*contents: Any, **fields: Any) -> dict[str, Any]:
    return {"contents": list(contents or (user(TEXT),)), **fields}


def config(**fields: Any) -> dict[str, Any]:
    return asking(generationConfig=fields)


def declaring(*declarations: Any, **fields: Any) -> dict[str, Any]:
    return asking(tools=[{"functionDeclarations": list(declarations)}], **fields)


def choosing(**choice: Any) -> dict[str, Any]:
    return {"toolConfig": {"functionCallingConfig": choice}}


def formatted(schema: Any) -> dict[str, Any]:
    return config(responseMimeType="application/json", responseJsonSchema=schema)


def with_media(result: Any, *parts: Any) -> Any:
    return {"functionResponse": {**result["functionResponse"], "parts": list(parts)}}


ROUND = (user(TEXT), model(SIGNED), user(RESULT))

TAKEN = {
    "a text": (asking(), NEWEST),
    "media": (asking(user(TEXT, PNG, {"inlineData": {"mimeType": "application/pdf", "data": PDF_BASE64}})), NEWEST),
    "an address": (
        asking(user({"fileData": {"mimeType": "image/png", "fileUri": "https://a.test/b"}}, TEXT)),
        NEWEST,
    ),
    "a round with a function": (asking(*ROUND, tools=[LOOK]), NEWEST),
    "the same from elsewhere": (
        asking(user(TEXT), model({**CALL, "thoughtSignature": SKIPPED[0]}), user(RESULT), tools=[LOOK]),
        NEWEST,
    ),
    "an old call without a signature": (asking(user(TEXT), model(CALL), user(RESULT), user(TEXT)), NEWEST),
    "a signed text": (asking(user(TEXT), model({**TEXT, "thoughtSignature": "dGV4dA=="}), user(TEXT)), NEWEST),
    "words before results": (asking(user(TEXT), model(SIGNED), user(TEXT, RESULT)), NEWEST),
    "words behind results, once": (asking(user(TEXT), model(SIGNED), user(RESULT, TEXT)), LEVELLED),
    "a picture in a result": (asking(user(TEXT), model(SIGNED), user(with_media(RESULT, PNG))), NEWEST),
    "prefill": (asking(user(TEXT), model(TEXT)), LEVELLED),
    "sampling": (config(temperature=1.5, topP=0.5, topK=40, presencePenalty=1, seed=-5), LEVELLED),
    "a level": (config(thinkingConfig={"thinkingLevel": "LOW", "includeThoughts": True}), NEWEST),
    "a budget": (config(thinkingConfig={"thinkingBudget": 100}), BUDGETED),
    "no thinking": (config(thinkingConfig={"thinkingBudget": 0}), BUDGETED),
    "a forced function": (declaring({"name": "a"}, **choosing(mode="ANY", allowedFunctionNames=["a"])), BUDGETED),
    "a format": (formatted({"$defs": {"a": OBJECT}, "$ref": "#/$defs/a"}), BUDGETED),
    "a format beside functions": ({**formatted(OBJECT), "tools": [LOOK]}, LEVELLED),
    "instructions": (asking(systemInstruction={"parts": [TEXT]}), NEWEST),
}

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no contents": ({"contents": []}, NEWEST, "not specified"),
    "a field too many": (asking(messages=[]), NEWEST, "messages"),
    "one in a part": (asking(user({**TEXT, "detail": "low"})), NEWEST, "detail"),
    "one of the configuration": (config(n=2), NEWEST, "n"),
    "one of the other spelling": (config(top_p=0.5), LEVELLED, "top_p"),
    "one of Vertex AI": (config(audioTimestamp=True), NEWEST, "audioTimestamp"),
    "another type": (config(maxOutputTokens="5"), NEWEST, "maxOutputTokens"),
    "a value that is none": (config(thinkingConfig={"thinkingLevel": "HUGE"}), NEWEST, "ThinkingLevel"),
    "a schema's other types": (declaring({"name": "a", "parameters": {"type": ["STRING"]}}), NEWEST, "Invalid value"),
    "no such model": (asking(), "gpt-5", "models/gpt-5 is not found"),
    "an unknown role": (asking({"role": "tool", "parts": [TEXT]}), NEWEST, "valid role"),
    "no role": (asking({"parts": [TEXT]}), NEWEST, "valid role"),
    "no parts": (asking(user()), NEWEST, "must not be empty"),
    "an empty part": (asking(user({"thought": True})), NEWEST, "oneof field 'data'"),
    "two kinds in a part": (asking(user({**TEXT, **PNG})), NEWEST, "oneof field 'data'"),
    "an empty text": (asking(user({"text": ""})), NEWEST, "text parameter"),
    "instructions that are a picture": (asking(systemInstruction={"parts": [PNG]}), NEWEST, "only contain text"),
    "empty instructions": (asking(systemInstruction={"parts": [{"text": ""}]}), NEWEST, "text parameter"),
    "a picture of another kind": (
        asking(user({"inlineData": {"mimeType": "image/gif", "data": PNG_BASE64}})),
        NEWEST,
        "Unsupported MIME type: image/gif",
    ),
    "a picture that is none": (
        asking(user({"inlineData": {"mimeType": "image/jpeg", "data": PNG_BASE64}})),
        NEWEST,
        "not image/jpeg",
    ),
    "a broken picture": (asking(user({"inlineData": {"mimeType": "image/png", "data": "="}})), NEWEST, "inlineData"),
    "a file that is nowhere": (
        asking(user({"fileData": {"mimeType": "image/png", "fileUri": "file-1"}})),
        NEWEST,
        "file uri",
    ),
    "a file of no type": (asking(user({"fileData": {"fileUri": "https://a.test/b"}})), NEWEST, "MIME type"),
    "a resolution": (asking(user({**PNG, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}})), BUDGETED, "resolut"),
    "a call first": (asking(model(SIGNED), user(RESULT)), NEWEST, "immediately after a user turn"),
    "two turns with calls": (
        asking(user(TEXT), model(SIGNED), model(SIGNED), user(RESULT)),
        NEWEST,
        "number of function response parts",
    ),
    "a call without a result": (asking(user(TEXT), model(SIGNED), user(TEXT)), NEWEST, "number of function response"),
    "a call at the end": (asking(user(TEXT), model(SIGNED)), LEVELLED, "number of function response"),
    "a result too many": (asking(user(TEXT), model(SIGNED), user(RESULT, RESULT)), NEWEST, "number of function resp"),
    "a result without a call": (asking(user(RESULT)), NEWEST, "immediately after a function call turn"),
    "a result too late": (asking(user(TEXT), model(SIGNED), user(TEXT), user(RESULT)), NEWEST, "number of function"),
    "a result of the model's": (asking(user(TEXT), model(RESULT)), NEWEST, "role user"),
    "a call of the user's": (asking(user(CALL)), NEWEST, "role model"),
    "a result by another id": (asking(user(TEXT), model(SIGNED), user(NAMED)), NEWEST, "does not match functionCall"),
    "a result by another name": (
        asking(user(TEXT), model(SIGNED), user({"functionResponse": {"name": "see", "response": {}}})),
        NEWEST,
        "name 'see' does not match",
    ),
    "a result that is a text": (
        asking(user(TEXT), model(SIGNED), user({"functionResponse": {"name": "look", "response": "x"}})),
        NEWEST,
        "response",
    ),
    "a picture in an old model's result": (
        asking(user(TEXT), model(SIGNED), user(with_media(RESULT, PNG))),
        BUDGETED,
        "Multimodal",
    ),
    "an address in a result": (
        asking(user(TEXT), model(SIGNED), user(with_media(RESULT, {"fileData": {"fileUri": "https://a.test/b.png"}}))),
        NEWEST,
        "inline_data",
    ),
    "words behind results": (asking(user(TEXT), model(SIGNED), user(RESULT, TEXT)), NEWEST, "ending with a model turn"),
    "a picture behind results": (asking(user(TEXT), model(SIGNED), user(RESULT, PNG)), NEWEST, "ending with a model"),
    "prefill on a newer model": (asking(user(TEXT), model(TEXT)), NEWEST, "ending with a model turn"),
    "a call without a signature": (asking(user(TEXT), model(CALL), user(RESULT)), BUDGETED, "missing a thought_sign"),
    "one in a later step": (
        asking(*ROUND, model(CALL), user(RESULT)),
        NEWEST,
        "`default_api:look` , position 4",
    ),
    "a signature of nobody's": (
        asking(user(TEXT), model({**CALL, "thoughtSignature": "eA=="}), user(RESULT)),
        NEWEST,
        "Corrupted thought signature",
    ),
    "a signature on another part": (
        asking(user(TEXT), model({"text": "Hi", "thoughtSignature": "dGV4dA=="}), user(TEXT)),
        NEWEST,
        "not the part",
    ),
    "too many tokens": (config(maxOutputTokens=70_000), NEWEST, "65537"),
    "too hot": (config(temperature=3), LEVELLED, "temperature"),
    "sampling on a newer model": (config(temperature=1), NEWEST, "temperature is not supported"),
    "penalties on a newer model": (config(presencePenalty=1), NEWEST, "presencePenalty is not supported"),
    "a seed too large": (config(seed=2**31), NEWEST, "seed"),
    "nine candidates": (config(candidateCount=9), NEWEST, "candidateCount"),
    "six stop sequences": (config(stopSequences=list("abcdef")), NEWEST, "at most 5"),
    "an empty stop sequence": (config(stopSequences=[""]), NEWEST, "none empty"),
    "logprobs unasked": (config(logprobs=3), NEWEST, "response_logprobs"),
    "a digit first": (declaring({"name": "1a"}), NEWEST, "Invalid function name"),
    "a blank in a name": (declaring({"name": "a b"}), NEWEST, "Invalid function name"),
    "one name twice": (declaring({"name": "a"}, {"name": "a"}), NEWEST, "Duplicate function declaration"),
    "parameters that are no object": (
        declaring({"name": "a", "parametersJsonSchema": {"type": "string"}}),
        NEWEST,
        "type OBJECT",
    ),
    "parameters of any type": (declaring({"name": "a", "parametersJsonSchema": {}}), NEWEST, "type OBJECT"),
    "two kinds of parameters": (
        declaring({"name": "a", "parametersJsonSchema": OBJECT, "parameters": {"type": "OBJECT"}}),
        NEWEST,
        "mutually exclusive",
    ),
    "a broken schema": (formatted({"type": "STRING"}), NEWEST, "not a valid JSON schema"),
    "more beside a reference": (
        formatted({"$defs": {"a": OBJECT}, "properties": {"b": {"$ref": "#/$defs/a", "title": "B"}}}),
        NEWEST,
        "alongside unsupported fields title",
    ),
    "a reference to nothing": (formatted({"properties": {"b": {"$ref": "#/$defs/a"}}}), NEWEST, "undefined schema"),
    "two kinds of tools": (asking(tools=[LOOK, {"googleSearch": {}}]), NEWEST, "include_server_side_tool_invocations"),
    "a choice of nothing": (asking(**choosing(mode="AUTO")), NEWEST, "without function_declarations"),
    "names that may be called": (
        declaring({"name": "a"}, **choosing(mode="AUTO", allowedFunctionNames=["a"])),
        NEWEST,
        "ANY or VALIDATED",
    ),
    "a name that nobody declared": (
        declaring({"name": "a"}, **choosing(mode="ANY", allowedFunctionNames=["b"])),
        NEWEST,
        "not declared",
    ),
    "a level on an old model": (config(thinkingConfig={"thinkingLevel": "LOW"}), BUDGETED, "Thinking level"),
    "a level that it has not": (config(thinkingConfig={"thinkingLevel": "MINIMAL"}), NEWEST, "LEVEL_MINIMAL"),
    "level and budget": (config(thinkingConfig={"thinkingLevel": "LOW", "thinkingBudget": 5}), NEWEST, "only one"),
    "a large budget": (config(thinkingConfig={"thinkingBudget": 30_000}), BUDGETED, "budget 30000"),
    "thoughts of no thinking": (
        config(thinkingConfig={"thinkingBudget": 0, "includeThoughts": True}),
        BUDGETED,
        "include_thoughts",
    ),
    "a schema alone": (config(responseJsonSchema=OBJECT), NEWEST, "response_mime_type"),
    "another format": (config(responseMimeType="text/xml"), NEWEST, "text/xml"),
    "a format beside an old model's functions": ({**formatted(OBJECT), "tools": [LOOK]}, BUDGETED, "unsupported"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_google_takes_is_taken(name: str) -> None:
    document, asked = TAKEN[name]
    check(document, asked, ISSUED)


@pytest.mark.parametrize("name", REFUSED)
def test_what_google_refuses_is_refused_by_name(name: str) -> None:
    document, asked, complaint = REFUSED[name]
    with pytest.raises(Refused, match=complaint):
        check(document, asked, ISSUED)


def test_count_is_of_contents_or_of_a_whole_request() -> None:
    check_count(asking(), NEWEST, ISSUED)
    check_count({"generateContentRequest": {"model": f"models/{NEWEST}", **asking(tools=[LOOK])}}, NEWEST, ISSUED)
    with pytest.raises(Refused, match="mutually exclusive"):
        check_count(asking(tools=[LOOK]), NEWEST, ISSUED)
    with pytest.raises(Refused, match="model of the path"):
        check_count({"generateContentRequest": {"model": f"models/{LEVELLED}", **asking()}}, NEWEST, ISSUED)
