"""The validating provider of OpenAI's dialects refuses what OpenAI refuses: else its tests would show nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.validating.openai_chat_rules import check_chat, check_deepseek, check_google, check_openrouter
from tests.real.validating.openai_common import Issued, Refused
from tests.real.validating.openai_models import NEWEST, PLAIN, REASONING
from tests.real.validating.openai_responses_rules import check_response

Json = dict[str, Any]

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0xLjQ="
USER: Json = {"role": "user", "content": "Hello"}
STRICT: Json = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
LOOSE: Json = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}


def refused(check: Any, document: Any, complaint: str, *more: Any) -> None:
    with pytest.raises(Refused, match=complaint):
        check(document, *more)


# Chat Completions


def tool(**fields: Any) -> Json:
    return {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {}}, **fields},
    }


def chat(*messages: Json, **fields: Any) -> Json:
    return {"model": PLAIN, "messages": list(messages or (USER,)), **fields}


def said(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts)}


def image(url: str = PNG) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


def file(**fields: str) -> Json:
    return {"type": "file", "file": fields}


def formatted(schema: Any, *, strict: bool = True, name: str = "answer") -> Json:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": strict}}


CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLED: Json = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT: Json = {"role": "tool", "tool_call_id": "call_1", "content": "seen"}
TEXT: Json = {"type": "text", "text": "Look."}

CHAT_TAKEN = {
    "a text": chat(),
    "parts": chat(said(TEXT, image(), image("https://a.test/x.png"), file(filename="a.pdf", file_data=PDF))),
    "a round with a tool": chat(USER, CALLED, RESULT, tools=[tool()], tool_choice="auto"),
    "an older conversation": chat(
        {"role": "system", "content": "S"}, USER, {"role": "assistant", "content": "x"}, USER
    ),
    "sampling": chat(temperature=0.5, top_p=1, stop=["a"], seed=1, logit_bias={"1": -100}, logprobs=True),
    "the default on a model that reasons": chat(model=REASONING, temperature=1, reasoning_effort="low"),
    "tools without reasoning": chat(model=NEWEST, tools=[tool()], reasoning_effort="none"),
    "tools with reasoning, as it once was": chat(model=REASONING, tools=[tool()], reasoning_effort="low"),
    "a strict tool": chat(tools=[tool(parameters=STRICT, strict=True)]),
    "a schema": chat(response_format=formatted(STRICT)),
    "a loose schema": chat(response_format=formatted(LOOSE, strict=False)),
    "JSON": chat({"role": "user", "content": "In JSON"}, response_format={"type": "json_object"}),
    "usage in a stream": chat(stream=True, stream_options={"include_usage": True}),
}

CHAT_REFUSED = {
    "no messages": ({"model": PLAIN, "messages": []}, "empty array"),
    "a field too many": (chat(top_k=5), "top_k: Extra inputs"),
    "one in a message": (chat({**USER, "cache_control": {}}), r"messages\[0\].cache_control: Extra inputs"),
    "one in a part": (chat(said({**TEXT, "citations": []})), r"messages\[0\].content\[0\].citations: Extra"),
    "a part that is none": (chat(said({"type": "document"})), r"messages\[0\]"),
    "a text for a number": (chat(temperature="1"), "temperature: Input should be a valid number"),
    "true for a number": (chat(seed=True), "seed: Input should be a valid integer"),
    "an unknown role": (chat({"role": "model", "content": "x"}), "role: Input should be"),
    "an image in a result": (chat(USER, CALLED, {**RESULT, "content": [image()]}), r"messages\[2\].content"),
    "no such model": (chat(model="claude-opus-5"), "does not exist"),
    "the old limit on a new model": (chat(model=REASONING, max_tokens=5), "max_completion_tokens"),
    "both limits": (chat(max_tokens=5, max_completion_tokens=5), "at the same time"),
    "five stop sequences": (chat(stop=list("abcde")), "array too long"),
    "one on a model without": (chat(model=REASONING, stop=["a"]), "'stop' is not supported"),
    "a high temperature": (chat(temperature=2.5), "between 0 and 2"),
    "one on a model that reasons": (chat(model=REASONING, temperature=0.5), "'temperature' is not supported"),
    "logprobs on such a model": (chat(model=REASONING, logprobs=True), "'logprobs' is not supported"),
    "top logprobs alone": (chat(top_logprobs=3), "must be enabled"),
    "an effort on a model without": (chat(reasoning_effort="low"), "'reasoning_effort' is not supported"),
    "an effort that it has not": (chat(model=REASONING, reasoning_effort="none"), "does not support 'none'"),
    "tools with an effort": (chat(model="gpt-5.4", tools=[tool()], reasoning_effort="low"), "use /v1/responses"),
    "tools with the effort that it has anyway": (chat(model=NEWEST, tools=[tool()]), "use /v1/responses"),
    "stream options alone": (chat(stream_options={"include_usage": True}), "only allowed when 'stream'"),
    "metadata alone": (chat(metadata={"a": "b"}), "only allowed when 'store'"),
    "a long user": (chat(user="u" * 65), "maximum length 64"),
    "a choice of no tools": (chat(tool_choice="auto"), "only allowed when 'tools'"),
    "no parallel calls of no tools": (chat(parallel_tool_calls=False), "only allowed when 'tools'"),
    "an empty list of tools": (chat(tools=[]), "expected 1 to 128"),
    "a dot in a name": (chat(tools=[tool(name="a.b")]), "pattern"),
    "a long name": (chat(tools=[tool(name="a" * 65)]), "pattern"),
    "a choice of another tool": (
        chat(tools=[tool()], tool_choice={"type": "function", "function": {"name": "x"}}),
        "'x' not found",
    ),
    "a schema of no object": (chat(tools=[tool(parameters={"type": "string"})]), "got 'type: \"string\"'"),
    "a schema of alternatives": (chat(tools=[tool(parameters={**LOOSE, "anyOf": [LOOSE]})]), "at the top level"),
    "an array of anything": (
        chat(tools=[tool(parameters={"type": "object", "properties": {"a": {"type": "array"}}})]),
        "missing items",
    ),
    "a broken schema": (
        chat(tools=[tool(parameters={"type": "object", "properties": {"a": {"type": "STRING"}}})]),
        "STRING",
    ),
    "a schema without properties": (chat(tools=[tool(parameters={"type": "object"})]), "missing properties"),
    "a loose strict tool": (chat(tools=[tool(parameters=LOOSE, strict=True)]), "additionalProperties"),
    "a loose strict schema": (chat(response_format=formatted(LOOSE)), "additionalProperties"),
    "an optional field of one": (chat(response_format=formatted({**STRICT, "required": []})), "'required'"),
    "an unknown keyword in one": (
        chat(response_format=formatted({**STRICT, "properties": {"a": {"type": "string", "x": 1}}})),
        "'x' is not permitted",
    ),
    "a name with a blank": (chat(response_format=formatted(STRICT, name="a b")), "pattern"),
    "JSON that nobody asks for": (chat(response_format={"type": "json_object"}), "the word 'json'"),
    "a call without a result": (chat(USER, CALLED, USER), "must be followed by tool messages"),
    "a call at the end": (chat(USER, CALLED), "must be followed by tool messages"),
    "a result without a call": (chat(USER, RESULT), "must be a response to"),
    "two results of a call": (chat(USER, CALLED, RESULT, RESULT), "must be a response to"),
    "no calls": (chat(USER, {"role": "assistant", "content": "x", "tool_calls": []}, USER), "empty array"),
    "nothing said": (chat(USER, {"role": "assistant", "content": None}, USER), "got null"),
    "no parts": (chat(said()), "empty array"),
    "a long id": (
        chat(USER, {**CALLED, "tool_calls": [{**CALL, "id": "c" * 41}]}, {**RESULT, "tool_call_id": "c" * 41}),
        "maximum length 40",
    ),
    "a participant's name with a blank": (chat({**USER, "name": "a b"}), "pattern"),
    "an image that is none": (chat(said(image(PNG.replace("png", "jpeg")))), "valid image"),
    "an image of another kind": (chat(said(image(PNG.replace("png", "bmp")))), "unsupported image"),
    "a broken image": (chat(said(image("data:image/png;base64,=="))), "data URL"),
    "an address that is none": (chat(said(image("file:///etc"))), "data URL"),
    "a file of text": (chat(said(file(filename="a", file_data="data:text/plain;base64,YQ=="))), "MIME type"),
    "a file without a name": (chat(said(file(file_data=PDF))), "file_id"),
    "a file by address": (chat(said(file(filename="a", file_data="https://a.test/x.pdf"))), "data URL"),
    "a file of another provider's": (chat(said(file(file_id="file_01"))), "No such File"),
    "a mark on an older model": (chat(said({**TEXT, "prompt_cache_breakpoint": {"mode": "explicit"}})), "breakpoint"),
}


@pytest.mark.parametrize("name", CHAT_TAKEN)
def test_what_chat_takes_is_taken(name: str) -> None:
    check_chat(CHAT_TAKEN[name])


@pytest.mark.parametrize("name", CHAT_REFUSED)
def test_what_chat_refuses_is_refused_by_name(name: str) -> None:
    refused(check_chat, *CHAT_REFUSED[name])


def test_deepseek_wants_its_thinking_back_with_calls() -> None:
    thought = {**CALLED, "reasoning_content": "Hm."}
    check_deepseek(chat(USER, thought, RESULT, tools=[tool()]))
    check_deepseek(chat(USER, CALLED, RESULT, tools=[tool()], thinking={"type": "disabled"}))
    refused(check_deepseek, chat(USER, CALLED, RESULT, tools=[tool()]), "reasoning_content")


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (chat({"role": "developer", "content": "x"}), "developer"),
        (chat(said(TEXT)), "expected a string"),
        (chat(max_completion_tokens=5), "max_completion_tokens"),
        (chat(response_format=formatted(STRICT)), "unavailable"),
    ],
)
def test_deepseek_lacks_what_is_newer(document: Json, complaint: str) -> None:
    refused(check_deepseek, document, complaint)


def test_openrouter_wants_its_seals_back_as_they_were() -> None:
    detail = {"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "f", "index": 0}
    issued = Issued(details={"s": detail})

    def back(**fields: Any) -> Json:
        return chat(USER, {"role": "assistant", "content": "x", **fields}, USER)

    check_openrouter(back(reasoning="Hm.", reasoning_details=[detail]), issued)
    refused(
        check_openrouter, back(reasoning="Hm.", reasoning_details=[{**detail, "signature": "t"}]), "Invalid", issued
    )
    refused(check_openrouter, back(reasoning="Ha.", reasoning_details=[{**detail, "text": "Ha."}]), "Invalid", issued)
    refused(check_openrouter, back(reasoning="Ha.", reasoning_details=[detail]), "another text", issued)


def test_google_wants_its_signatures_back_with_their_calls() -> None:
    issued = Issued(signatures={"call_1": "sig"})

    def back(**fields: Any) -> Json:
        return chat(USER, {**CALLED, "tool_calls": [{**CALL, **fields}]}, RESULT, tools=[tool()])

    check_google(back(extra_content={"google": {"thought_signature": "sig"}}), issued)
    refused(check_google, back(extra_content={"google": {"thought_signature": "other"}}), "thought_signature", issued)
    refused(check_google, back(), "thought_signature", issued)


# The Responses API


def function(**fields: Any) -> Json:
    return {
        "type": "function",
        "name": "look",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
        **fields,
    }


def asked(*items: Any, **fields: Any) -> Json:
    return {"model": NEWEST, "input": list(items) or "Hello", "store": False, **fields}


def message(*parts: Json, role: str = "user") -> Json:
    return {"type": "message", "role": role, "content": list(parts)}


INPUT: Json = {"type": "input_text", "text": "Look."}
OUTPUT: Json = {"type": "output_text", "text": "Seen.", "annotations": []}
RESPONSE_CALL: Json = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
RESPONSE_RESULT: Json = {"type": "function_call_output", "call_id": "call_1", "output": "seen"}
THOUGHT: Json = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "gAAA",
}
ISSUED = Issued(items={"gAAA": THOUGHT}, behind={"gAAA": "function_call"})
REASONED = (USER, THOUGHT, RESPONSE_CALL, RESPONSE_RESULT)


def pictured(url: str) -> Json:
    return message(INPUT, {"type": "input_image", "image_url": url, "detail": "auto"})


def filed(**fields: str) -> Json:
    return message({"type": "input_file", **fields})


RESPONSE_TAKEN = {
    "a text": asked(),
    "a short message": asked(USER),
    "parts": asked(pictured(PNG), pictured("https://a.test/x.png"), filed(file_url="https://a.test/x.pdf")),
    "a file": asked(filed(filename="a.pdf", file_data=PDF)),
    "a round with a tool": asked(USER, RESPONSE_CALL, RESPONSE_RESULT, tools=[function()], tool_choice="auto"),
    "a result with an image": asked(USER, RESPONSE_CALL, {**RESPONSE_RESULT, "output": pictured(PNG)["content"]}),
    "its own reasoning": asked(*REASONED),
    "a seal that is asked for": asked(include=["reasoning.encrypted_content"], reasoning={"effort": "max"}),
    "the assistant's own": asked(
        USER, {**message(OUTPUT, role="assistant"), "id": "msg_1", "status": "completed"}, USER
    ),
    "the default sampling": asked(temperature=1),
    "sampling on a model that takes it": asked(model=PLAIN, temperature=0.5),
    "a format": asked(text={"format": {"type": "json_schema", "name": "a", "schema": STRICT, "strict": True}}),
}

RESPONSE_REFUSED = {
    "no input": (asked(input=[]), "must be provided"),
    "a field too many": (asked(stop=["a"]), "stop: Extra inputs"),
    "one in an item": (asked({**RESPONSE_CALL, "type": "function_call", "index": 0}), r"input\[0\].index: Extra"),
    "one in a part": (asked(message({**INPUT, "cache_control": {}})), r"content\[0\].cache_control: Extra"),
    "no such model": (asked(model="claude-opus-5"), "does not exist"),
    "a small limit": (asked(max_output_tokens=5), ">= 16"),
    "sampling on a model that reasons": (asked(temperature=0.5), "'temperature' is not supported"),
    "an effort that it has not": (asked(model=REASONING, reasoning={"effort": "max"}), "does not support 'max'"),
    "a seal of a model that does not reason": (
        asked(model=PLAIN, include=["reasoning.encrypted_content"]),
        "Encrypted content is not supported",
    ),
    "a summary of one": (asked(model=PLAIN, reasoning={"summary": "auto"}), "reasoning.summary"),
    "something to keep": ({"model": NEWEST, "input": "x"}, "keep anything"),
    "a dot in a name": (asked(tools=[function(name="a.b")]), "pattern"),
    "a tool that is strict by itself": (asked(tools=[function(strict=None)]), "additionalProperties"),
    "a choice of no tools": (asked(tool_choice="required"), "must be specified with 'tools'"),
    "a choice of another tool": (
        asked(tools=[function()], tool_choice={"type": "function", "name": "x"}),
        "'x' not found",
    ),
    "JSON that nobody asks for": (asked(text={"format": {"type": "json_object"}}), "the word 'json'"),
    "a name with a blank": (
        asked(text={"format": {"type": "json_schema", "name": "a b", "schema": STRICT}}),
        "pattern",
    ),
    "a call without a result": (asked(USER, RESPONSE_CALL, USER), "No tool output found"),
    "a result without a call": (asked(USER, RESPONSE_RESULT), "No tool call found"),
    "a result of another kind": (
        asked(USER, RESPONSE_CALL, {**RESPONSE_RESULT, "type": "custom_tool_call_output"}),
        "No tool call found",
    ),
    "one call twice": (asked(RESPONSE_CALL, RESPONSE_CALL, RESPONSE_RESULT), "Duplicate item"),
    "a long id": (asked({**RESPONSE_CALL, "call_id": "c" * 65}), "maximum length 64"),
    "an id of another kind": (asked({**RESPONSE_CALL, "id": "call_1"}, RESPONSE_RESULT), "begins with 'fc'"),
    "a message's id of another kind": (
        asked({**message(OUTPUT, role="assistant"), "id": "chatcmpl-1", "status": "completed"}),
        "begins with 'msg'",
    ),
    "the user's text as the assistant's": (asked(message(INPUT, role="assistant")), "'output_text' and 'refusal'"),
    "a seal of nobody's": (asked(USER, {**THOUGHT, "encrypted_content": "x"}, *REASONED[2:]), "could not be verified"),
    "a seal under another id": (asked(USER, {**THOUGHT, "id": "rs_2"}, *REASONED[2:]), "did not match"),
    "a changed summary": (asked(USER, {**THOUGHT, "summary": []}, *REASONED[2:]), "another than"),
    "reasoning without a seal": (
        asked(USER, {**THOUGHT, "encrypted_content": None}, *REASONED[2:]),
        "not persisted",
    ),
    "reasoning without an id": (
        asked(USER, {name: value for name, value in THOUGHT.items() if name != "id"}, *REASONED[2:]),
        r"input\[1\].id: Field required",
    ),
    "reasoning to read": (
        asked(USER, {**THOUGHT, "content": [{"type": "reasoning_text", "text": "x"}]}, *REASONED[2:]),
        "maximum length 0",
    ),
    "reasoning out of its place": (asked(USER, THOUGHT, USER), "required following item"),
    "reasoning at the end": (asked(USER, THOUGHT), "required following item"),
    "an image that is none": (asked(pictured(PNG.replace("png", "jpeg"))), "valid image"),
    "no image": (asked(message({"type": "input_image", "detail": "auto"})), "Missing required parameter"),
    "a file without a name": (asked(filed(file_data=PDF)), "filename"),
    "a file that is two": (asked(filed(file_url="https://a.test", file_id="file-1")), "exactly one"),
    "an unknown file": (asked(filed(filename="a", file_data="data:application/zip;base64,YQ==")), "MIME type"),
}


@pytest.mark.parametrize("name", RESPONSE_TAKEN)
def test_what_responses_takes_is_taken(name: str) -> None:
    check_response(RESPONSE_TAKEN[name], ISSUED)


@pytest.mark.parametrize("name", RESPONSE_REFUSED)
def test_what_responses_refuses_is_refused_by_name(name: str) -> None:
    document, complaint = RESPONSE_REFUSED[name]
    refused(check_response, document, complaint, ISSUED)
