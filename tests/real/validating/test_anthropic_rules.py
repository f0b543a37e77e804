"""The validating provider of the Messages API refuses what Anthropic refuses: else its tests would show nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.validating.anthropic_models import ADAPTIVE, BUDGETED, NEWEST
from tests.real.validating.anthropic_rules import Issued, Refused, check

TEXT = {"type": "text", "text": "Hello"}
USER = {"role": "user", "content": "Hello"}
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
CALLED = {"role": "assistant", "content": [CALL]}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "sig-1"}
PNG = "iVBORw0KGgo="
MARK = {"cache_control": {"type": "ephemeral"}}
FORMAT: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
ISSUED = Issued(thoughts={"sig-1": "Hm."}, redacted={"data-1"}, orders=[["sig-1", "toolu_1"]])


def asking(*messages: Any, **fields: Any) -> dict[str, Any]:
    tools: Any = {"tools": [TOOL]} if any("tool_" in str(message) for message in messages) else {}
    return {"model": ADAPTIVE, "max_tokens": 2048, "messages": list(messages or (USER,)), **tools, **fields}


def said(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def image(media_type: str = "image/png", data: str = PNG) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def formatted(schema: Any) -> Any:
    return {"format": {"type": "json_schema", "schema": schema}}


TAKEN = {
    "a text": asking(),
    "blocks": asking(said(TEXT, image())),
    "a round with a tool": asking(USER, CALLED, said(RESULT, TEXT)),
    "thinking that comes back": asking(USER, said(THOUGHT, CALL, role="assistant"), said(RESULT)),
    "thinking that does not": asking(USER, CALLED, said(RESULT), thinking={"type": "adaptive"}),
    "sampling": asking(temperature=0.5, top_k=5),
    "prefill": asking(USER, said(TEXT, role="assistant"), model=BUDGETED),
    "a system message": asking(USER, {"role": "system", "content": "Now."}, model=NEWEST),
    "a format": asking(output_config={"effort": "max", **formatted(FORMAT)}),
    "four marks": asking(said(*[{**TEXT, **MARK}] * 4)),
}

REFUSED = {
    "no messages": ({**asking(), "messages": []}, "at least one message"),
    "a field too many": (asking(n=2), "n: Extra inputs"),
    "one in a block": (asking(said({**TEXT, "detail": "low"})), r"messages\[0\].content\[0\].detail: Extra inputs"),
    "one in the assistant's": (asking(USER, said({**TEXT, "x": 1}, role="assistant"), USER), "x: Extra inputs"),
    "another type": (asking(max_tokens="5"), "max_tokens"),
    "a number for true": (asking(tools=[{**TOOL, "strict": 1}]), "strict"),
    "no such model": (asking(model="gpt-5"), "model: gpt-5"),
    "an unknown role": (asking(said(TEXT, role="tool")), "role: Input should be"),
    "the assistant first": (asking(said(TEXT, role="assistant"), USER), "first message"),
    "an empty message": (asking(said()), "non-empty content"),
    "an empty text": (asking(said({"type": "text", "text": ""})), "must be non-empty"),
    "a blank text": (asking({"role": "user", "content": " \n"}), "non-whitespace"),
    "an empty system prompt": (asking(system=[{"type": "text", "text": ""}]), "system.0"),
    "too many tokens": (asking(max_tokens=200_000), "maximum allowed"),
    "a blank stop sequence": (asking(stop_sequences=["\n"]), "stop_sequences"),
    "a long user id": (asking(metadata={"user_id": "u" * 257}), "user_id"),
    "two samplings": (asking(temperature=0.5, top_p=0.5), "cannot both"),
    "a high temperature": (asking(temperature=1.5), "temperature"),
    "sampling on a model without": (asking(model=NEWEST, temperature=1), "not supported"),
    "sampling while thinking": (asking(temperature=0.5, thinking={"type": "adaptive"}), "may only be set to 1"),
    "a low top_p while thinking": (asking(top_p=0.5, thinking={"type": "adaptive"}), "0.95"),
    "top_k while thinking": (asking(top_k=5, thinking={"type": "adaptive"}), "top_k"),
    "one name twice": (asking(tools=[TOOL, TOOL]), "unique"),
    "a dot in a name": (asking(tools=[{**TOOL, "name": "a.b"}]), "pattern"),
    "a schema of no object": (asking(tools=[{**TOOL, "input_schema": {"type": "string"}}]), "'object'"),
    "a schema of alternatives": (
        asking(tools=[{**TOOL, "input_schema": {"type": "object", "anyOf": [FORMAT]}}]),
        "top level",
    ),
    "a broken schema": (
        asking(tools=[{**TOOL, "input_schema": {"type": "object", "properties": {"a": {"type": "STRING"}}}}]),
        "2020-12",
    ),
    "a loose strict tool": (asking(tools=[{**TOOL, "strict": True}]), "additionalProperties"),
    "a choice of no tools": (asking(tool_choice={"type": "auto"}), "while providing tools"),
    "a choice of another tool": (asking(tools=[TOOL], tool_choice={"type": "tool", "name": "x"}), "not found"),
    "a forced tool": (asking(model=NEWEST, tools=[TOOL], tool_choice={"type": "any"}), "forced"),
    "a forced tool while thinking": (
        asking(tools=[TOOL], tool_choice={"type": "any"}, thinking={"type": "adaptive"}),
        "Thinking may not be enabled",
    ),
    "adaptive thinking": (asking(model=BUDGETED, thinking={"type": "adaptive"}), "thinking.type"),
    "no thinking": (asking(model=NEWEST, thinking={"type": "disabled"}), "thinking.type"),
    "a small budget": (asking(thinking={"type": "enabled", "budget_tokens": 1000}), "1024"),
    "a large budget": (asking(thinking={"type": "enabled", "budget_tokens": 2048}), "max_tokens"),
    "an effort": (asking(model=BUDGETED, output_config={"effort": "low"}), "effort"),
    "an open format": (asking(output_config=formatted({"type": "object"})), "additionalProperties"),
    "an unknown keyword": (asking(output_config=formatted({"type": "integer", "minimum": 1})), "minimum"),
    "the same deeper": (
        asking(output_config=formatted({**FORMAT, "properties": {"a": {"type": "string", "maxLength": 1}}})),
        "properties.a",
    ),
    "a format and a prefill": (
        asking(USER, said(TEXT, role="assistant"), model=BUDGETED, output_config=formatted(FORMAT)),
        "prefilled",
    ),
    "five marks": (asking(said(*[{**TEXT, **MARK}] * 5)), "maximum of 4"),
    "a lasting mark behind a short one": (
        asking(said({**TEXT, **MARK}, {**TEXT, "cache_control": {"type": "ephemeral", "ttl": "1h"}})),
        "ttl='1h'",
    ),
    "a system message on an old model": (asking(USER, {"role": "system", "content": "Now."}), "role 'system'"),
    "a system message before the user's": (
        asking(USER, {"role": "system", "content": "Now."}, USER, model=NEWEST),
        "system message",
    ),
    "a call without tools": (asking(USER, CALLED, said(RESULT), tools=[]), "must define tools"),
    "a call without a result": (asking(USER, CALLED, USER), "without `tool_result`"),
    "a call at the end": (asking(USER, CALLED, tools=[TOOL], model=BUDGETED), "without `tool_result`"),
    "a result without a call": (asking(said(RESULT)), "unexpected `tool_use_id`"),
    "a result too late": (asking(USER, CALLED, said(RESULT), said(RESULT)), "unexpected `tool_use_id`"),
    "two results of a call": (asking(USER, CALLED, said(RESULT, RESULT)), "single result"),
    "a result behind a text": (asking(USER, CALLED, said(TEXT, RESULT)), "come first"),
    "one id twice": (asking(USER, CALLED, said(RESULT), CALLED, said(RESULT)), "unique"),
    "an id with a colon": (asking(USER, said({**CALL, "id": "a:b"}, role="assistant")), "tool_use.id"),
    "a call of the user's": (asking(said(CALL)), "not permitted in user"),
    "an image of the assistant's": (asking(USER, said(image(), role="assistant"), USER), "assistant turns"),
    "an image that is none": (asking(said(image("image/jpeg"))), "image/jpeg"),
    "a broken image": (asking(said(image(data="=="))), "base64"),
    "an image of another kind": (asking(said(image("image/bmp"))), "media_type: Input should be .image.jpeg"),
    "an error with an image": (
        asking(USER, CALLED, said({**RESULT, "is_error": True, "content": [image()]})),
        "must be type `text`",
    ),
    "an error without words": (asking(USER, CALLED, said({**RESULT, "is_error": True, "content": ""})), "be empty"),
    "an address that is none": (
        asking(said({"type": "image", "source": {"type": "url", "url": "file:///etc"}})),
        "HTTPS",
    ),
    "a signature of nobody's": (
        asking(USER, said({**THOUGHT, "signature": "x"}, CALL, role="assistant"), said(RESULT)),
        "Invalid `signature`",
    ),
    "a changed thought": (
        asking(USER, said({**THOUGHT, "thinking": "Ha."}, CALL, role="assistant"), said(RESULT)),
        "Invalid `signature`",
    ),
    "redacted data of nobody's": (
        asking(USER, said({"type": "redacted_thinking", "data": "x"}, TEXT, role="assistant"), USER),
        "Invalid `data`",
    ),
    "a thought out of its place": (
        asking(USER, said(CALL, THOUGHT, role="assistant"), said(RESULT)),
        "cannot be modified",
    ),
    "no thought where one must be": (
        asking(USER, CALLED, said(RESULT), thinking={"type": "enabled", "budget_tokens": 1024}),
        "must start with a thinking block",
    ),
    "prefill on a newer model": (asking(USER, said(TEXT, role="assistant")), "prefill"),
    "prefill that ends in a blank": (
        asking(USER, said({"type": "text", "text": "So "}, role="assistant"), model=BUDGETED),
        "trailing whitespace",
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_anthropic_takes_is_taken(name: str) -> None:
    check(TAKEN[name], "2023-06-01", ISSUED)


@pytest.mark.parametrize("name", REFUSED)
def test_what_anthropic_refuses_is_refused_by_name(name: str) -> None:
    document, complaint = REFUSED[name]
    with pytest.raises(Refused, match=complaint):
        check(document, "2023-06-01", ISSUED)


def test_newer_version_of_the_api_has_no_sampling() -> None:
    with pytest.raises(Refused, match="temperature: Extra inputs"):
        check(asking(temperature=1), "2026-10-21", ISSUED)
