"""A request of another dialect, written: exact where it can be, and what cannot be said is told."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Audio,
    CacheMark,
    ChoiceMode,
    Citation,
    Document,
    Foreign,
    Image,
    Inline,
    Linked,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Refusal,
    Request,
    Role,
    Sampling,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported
from llm_gateway.core.translation.messages.codec import MessagesCodec
from llm_gateway.errors import BadRequest
from tests.core.translation.messages.asking import HELLO, assistant, raw, user, written

NEW = "claude-opus-5-5"
SCHEMA = raw({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
CLOSED = raw({**msgspec.json.decode(SCHEMA), "additionalProperties": False})
LOOK = Tool("look", "Looks.", SCHEMA)
OTHER = Tool("other", None, SCHEMA)


def content(*parts: Part, role: Role = Role.USER, losses: Losses | None = None) -> list[dict[str, Any]]:
    """
    :return: the blocks of a message with these parts.
    """
    before = (HELLO,) if role is Role.ASSISTANT else ()
    document = written(*before, Message(role, parts), losses=losses)
    found: list[dict[str, Any]] = document["messages"][-1]["content"]
    return found


# The limit


@pytest.mark.parametrize(
    ("model", "asked", "limit", "expected", "changed"),
    [
        ("claude-sonnet-4-5", 5, None, 5, []),
        ("claude-sonnet-4-5", None, 64_000, 64_000, []),
        ("claude-sonnet-4-5", None, None, 32_000, []),
        ("claude-3-haiku-20240307", None, None, 4096, []),
        ("other", None, None, 8192, []),
        ("claude-sonnet-4-5", 100_000, 64_000, 64_000, ["max_tokens"]),
    ],
)
def test_limit_that_the_dialect_demands(
    model: str, asked: int | None, limit: int | None, expected: int, changed: list[str]
) -> None:
    losses = Losses()

    assert written(model=model, max_tokens=asked, limit=limit, losses=losses)["max_tokens"] == expected
    assert losses.changed == changed


def test_model_is_the_providers() -> None:
    document = written(model="claude-opus-5", stream=True)

    assert (document["model"], document["stream"]) == ("claude-opus-5", True)


# Parts


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            Image(Inline("image/jpg", "QQ=="), "auto"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QQ=="}},
        ),
        (Image(Linked("https://x/a")), {"type": "image", "source": {"type": "url", "url": "https://x/a"}}),
        (Image(Stored("f", "anthropic")), {"type": "image", "source": {"type": "file", "file_id": "f"}}),
        (
            Document(Inline("application/pdf", "QQ=="), "a.pdf", cache=CacheMark()),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
                "title": "a.pdf",
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            Document(Inline("text/csv; charset=utf-8", base64.b64encode("ä;b".encode()).decode())),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ä;b"}},
        ),
        (Document(Linked("https://x/a")), {"type": "document", "source": {"type": "url", "url": "https://x/a"}}),
    ],
)
def test_media(part: Part, block: object) -> None:
    losses = Losses()

    assert content(part, losses=losses) == [block]
    assert losses.dropped == losses.changed == []


@pytest.mark.parametrize(
    ("part", "role", "place"),
    [
        (Image(Inline("image/tiff", "QQ==")), Role.USER, "messages[0].content[0]"),
        (Image(Stored("file-1", "openai")), Role.USER, "messages[0].content[0]"),
        (Document(Inline("application/zip", "QQ==")), Role.USER, "messages[0].content[0]"),
        (Document(Inline("text/plain", "not base64")), Role.USER, "messages[0].content[0]"),
        (Audio(Inline("audio/wav", "QQ==")), Role.USER, "messages[0].content[0]"),
        (Foreign("responses", "computer_call", raw({})), Role.USER, "messages[0].content[0]"),
        (Image(Linked("https://x/a")), Role.ASSISTANT, "messages[1].content[0]"),
        (Document(Linked("https://x/a")), Role.ASSISTANT, "messages[1].content[0]"),
        (Thinking("hm", Opaque("responses", "openai", "enc")), Role.ASSISTANT, "messages[1].content[0]"),
        (Thinking("hm", Opaque("messages", "another", "sig")), Role.ASSISTANT, "messages[1].content[0]"),
        (Text("a", opaque=Opaque("gemini", "google", "sig")), Role.ASSISTANT, "messages[1].content[0].signature"),
    ],
)
def test_what_carries_meaning_and_cannot_be_said_is_refused_or_named(part: Part, role: Role, place: str) -> None:
    said = (HELLO, Message(role, (part,))) if role is Role.ASSISTANT else (Message(role, (part,)),)
    with pytest.raises(Unsupported, match=f"^{place.replace('[', '.').replace(']', '.')} cannot be sent"):
        written(*said)

    for policy in (OnUnsupported.DROP, OnUnsupported.PASS):
        losses = Losses(policy)
        written(*said, losses=losses)
        assert losses.dropped == [place]


@pytest.mark.parametrize(
    ("part", "role", "place"),
    [
        (Image(Linked("https://x/a"), "high"), Role.USER, "messages[0].content[0].detail"),
        (Foreign("responses", "note", raw({}), hint=True), Role.USER, "messages[0].content[0]"),
        (Thinking("unsigned"), Role.ASSISTANT, "messages[1].content[0]"),
        (Text("a", (Citation("https://x"),)), Role.ASSISTANT, "messages[1].content[0].citations"),
    ],
)
def test_hints_are_dropped_and_named(part: Part, role: Role, place: str) -> None:
    losses = Losses()
    said = (HELLO, Message(role, (part,))) if role is Role.ASSISTANT else (Message(role, (part,)),)

    written(*said, losses=losses)

    assert losses.dropped == [place]


def test_thinking_goes_back_to_who_signed_it() -> None:
    parts = (
        Thinking("hm", Opaque("messages", "claude", "sig")),
        Thinking("mh", Opaque("messages", None, "sig2")),
        Thinking(opaque=Opaque("messages", "claude", "data"), redacted=True),
        Text("So."),
    )

    assert content(*parts, role=Role.ASSISTANT)[:3] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "thinking", "thinking": "mh", "signature": "sig2"},
        {"type": "redacted_thinking", "data": "data"},
    ]


def test_unsigned_thinking_goes_to_providers_that_sign_nothing() -> None:
    document = written(HELLO, assistant(Thinking("hm"), "So."), user("on"), model="deepseek-reasoner")

    assert document["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": ""}


def test_refusals_and_transcripts_are_texts_in_a_history() -> None:
    losses = Losses()
    said = (HELLO, assistant(Refusal("No.")), user("Say"), assistant(Audio(None, "a", "Said.")), user("on"))

    document = written(*said, losses=losses)

    assert [message["content"] for message in document["messages"]] == ["Hi", "No.", "Say", "Said.", "on"]
    assert losses.changed == ["messages[1].content[0]", "messages[3].content[0]"]


def test_own_citations_go_back_as_they_came() -> None:
    page = {
        "type": "page_location",
        "document_title": None,
        "cited_text": "p",
        "document_index": 0,
        "start_page_number": 1,
        "end_page_number": 2,
    }

    [block] = content(Text("a", (Citation(cited_text="p", raw=raw(page)),)), role=Role.ASSISTANT)

    assert block["citations"] == [page]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        (" ", {}),
        ('{"a": 1', {"INVALID_JSON": '{"a": 1'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ("[" * 9999, {"INVALID_JSON": "[" * 9999}),
    ],
)
def test_arguments_are_an_object_whatever_the_model_wrote(arguments: str, expected: object) -> None:
    said = (HELLO, assistant(ToolCall("a", "look", arguments)), user(ToolResult("a", (Text("x"),))))

    assert written(*said)["messages"][1]["content"][0]["input"] == expected


def results(*parts: Any, **fields: Any) -> Any:
    said = (HELLO, assistant(ToolCall("a", "look", "")), user(ToolResult("a", parts, is_error=True)))
    return written(*said, **fields)["messages"][2]["content"]


def test_results_with_pictures() -> None:
    result = ToolResult("a", (Text("seen"), Text(" "), Image(Linked("https://x/a"))), cache=CacheMark("1h"))
    said = (HELLO, assistant(ToolCall("a", "look", "")), user(result))

    assert written(*said)["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [
                {"type": "text", "text": "seen"},
                {"type": "image", "source": {"type": "url", "url": "https://x/a"}},
            ],
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        }
    ]


@pytest.mark.parametrize(("said", "expected"), [("no", "no"), (" ", "The tool failed.")])
def test_failed_calls_say_something(said: str, expected: str) -> None:
    """An error without content is an error itself."""
    assert results(Text(said)) == [
        {"type": "tool_result", "tool_use_id": "a", "content": expected, "is_error": True},
    ]


def test_failed_calls_with_pictures_say_so_in_words() -> None:
    """Marked as errors they may have text only."""
    losses = Losses()

    [block] = results(Text("look"), Image(Linked("https://x/a")), losses=losses)

    assert "is_error" not in block
    assert [one.get("text") for one in block["content"]] == ["The tool failed.", "look", None]
    assert losses.changed[0] == "messages[2].content[0].is_error"


def test_custom_call_has_its_text_as_the_one_argument() -> None:
    said = (HELLO, assistant(ToolCall("a", "patch", "*** Begin", custom=True)), user(ToolResult("a", (), custom=True)))

    assert written(*said)["messages"][1]["content"][0]["input"] == {"input": "*** Begin"}


def test_participants_have_no_names() -> None:
    losses = Losses()

    written(Message(Role.USER, (Text("Hi"),), "Ada"), losses=losses)

    assert losses.dropped == ["messages[0].name"]


def test_four_cache_marks_at_most_the_last_ones() -> None:
    losses = Losses()
    marked = [Text(str(number), cache=CacheMark()) for number in range(5)]

    document = written(user(*marked), tools=(msgspec.structs.replace(LOOK, cache=CacheMark()),), losses=losses)

    assert ["cache_control" in block for block in document["messages"][0]["content"]] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert losses.dropped == ["cache_control"]


# Tools


def test_tools() -> None:
    losses = Losses()

    document = written(tools=(LOOK, Tool("now"), Tool("any", parameters=raw({"properties": {}}))), losses=losses)

    assert document["tools"] == [
        {"name": "look", "description": "Looks.", "input_schema": msgspec.json.decode(SCHEMA)},
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
        {"name": "any", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert losses.changed == []


def test_strict_tools_get_a_schema_that_strictness_takes() -> None:
    losses = Losses()
    open_, closed = Tool("a", None, SCHEMA, strict=True), Tool("b", None, CLOSED, strict=True)

    tools = written(tools=(open_, closed, Tool("c", None, SCHEMA, strict=False)), losses=losses)["tools"]

    assert [tool.get("strict") for tool in tools] == [True, True, None]
    assert tools[0]["input_schema"] == tools[1]["input_schema"] == msgspec.json.decode(CLOSED)
    assert losses.changed == ["tools[0].parameters"]


def test_strictness_is_a_hint_where_the_model_has_none() -> None:
    losses = Losses()

    [tool] = written(model="claude-sonnet-4-20250514", tools=(Tool("a", strict=True),), losses=losses)["tools"]

    assert "strict" not in tool
    assert losses.dropped == ["tools[0].strict"]


def test_function_stands_in_for_a_custom_tool() -> None:
    losses = Losses()
    form = raw({"type": "grammar", "syntax": "lark", "definition": "start: A"})

    [tool] = written(tools=(Tool("patch", "Edits.", custom=form),), losses=losses)["tools"]

    assert tool["input_schema"]["required"] == ["input"]
    assert "start: A" in tool["description"]
    assert losses.changed == ["tools[0]"]


def test_tools_of_another_provider_are_refused() -> None:
    foreign = Foreign("responses", "file_search", raw({}))

    with pytest.raises(Unsupported, match=r"^tools.file_search. cannot be sent"):
        written(foreign_tools=(foreign,))

    losses = Losses()
    written(foreign_tools=(msgspec.structs.replace(foreign, hint=True),), losses=losses)
    assert losses.dropped == ["tools[file_search]"]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected", "names"),
    [
        (None, None, None, ["look", "other"]),
        (None, True, None, ["look", "other"]),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}, ["look", "other"]),
        (ToolChoice(ChoiceMode.AUTO), None, {"type": "auto"}, ["look", "other"]),
        (ToolChoice(ChoiceMode.NONE), False, {"type": "none"}, ["look", "other"]),
        (ToolChoice(ChoiceMode.REQUIRED), False, {"type": "any", "disable_parallel_tool_use": True}, ["look", "other"]),
        (ToolChoice(ChoiceMode.REQUIRED, ("look",)), None, {"type": "tool", "name": "look"}, ["look", "other"]),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, expected: object, names: list[str]) -> None:
    losses = Losses()
    document = written(tools=(LOOK, OTHER), tool_choice=choice, parallel_tool_calls=parallel, losses=losses)

    assert document.get("tool_choice") == expected
    assert [tool["name"] for tool in document["tools"]] == names
    assert losses.changed == []


@pytest.mark.parametrize(
    ("choice", "expected", "names"),
    [
        (ToolChoice(ChoiceMode.AUTO, ("look",)), {"type": "auto"}, ["look"]),
        (ToolChoice(ChoiceMode.REQUIRED, ("other", "look")), {"type": "any"}, ["look", "other"]),
    ],
)
def test_model_does_not_hear_of_tools_that_it_may_not_call(
    choice: ToolChoice, expected: object, names: list[str]
) -> None:
    losses = Losses()
    document = written(tools=(LOOK, OTHER), tool_choice=choice, losses=losses)

    assert document["tool_choice"] == expected
    assert [tool["name"] for tool in document["tools"]] == names
    assert losses.changed == ["tool_choice"]


@pytest.mark.parametrize("strict", [None, True])
def test_schema_of_alternatives_is_merged(strict: bool | None) -> None:
    losses = Losses()
    schema = {"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}]}

    [tool] = written(tools=(Tool("look", parameters=raw(schema), strict=strict),), losses=losses)["tools"]

    found = tool["input_schema"]
    assert (found["type"], found["properties"], "anyOf" in found) == ("object", {"a": {"type": "string"}}, False)
    assert found.get("additionalProperties", True) is not strict
    assert losses.changed == ["tools[0].parameters"]


def test_tool_choice_without_tools_says_nothing_or_makes_no_sense() -> None:
    assert "tool_choice" not in written(tool_choice=ToolChoice(ChoiceMode.AUTO), parallel_tool_calls=False)
    with pytest.raises(BadRequest, match=r"^tool_choice: there is no tool to call\.$"):
        written(tool_choice=ToolChoice(ChoiceMode.REQUIRED))


def test_calls_in_the_conversation_have_their_tools_even_if_no_more_are_wanted() -> None:
    losses = Losses()
    said = (HELLO, assistant(ToolCall("a", "look", "")), user(ToolResult("a", (Text("seen"),))))

    document = written(*said, losses=losses)

    assert document["tools"] == [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    assert document["tool_choice"] == {"type": "none"}
    assert losses.changed == ["tools"]


def test_models_that_cannot_be_forced_are_not() -> None:
    forced = ToolChoice(ChoiceMode.REQUIRED, ("look",))

    with pytest.raises(Unsupported, match=r"^tool_choice cannot be sent"):
        written(model=NEW, tools=(LOOK, OTHER), tool_choice=forced)

    losses = Losses(OnUnsupported.DROP)
    document = written(model=NEW, tools=(LOOK, OTHER), tool_choice=forced, losses=losses)
    assert (document["tool_choice"], [tool["name"] for tool in document["tools"]]) == ({"type": "auto"}, ["look"])
    assert losses.dropped == ["tool_choice"]

    passed = written(model=NEW, tools=(LOOK, OTHER), tool_choice=forced, policy=OnUnsupported.PASS)
    assert passed["tool_choice"] == {"type": "tool", "name": "look"}


# The rest


def test_structured_output() -> None:
    losses = Losses()

    document = written(output=OutputFormat(CLOSED, "n", strict=True), losses=losses)

    assert document["output_config"] == {"format": {"type": "json_schema", "schema": msgspec.json.decode(CLOSED)}}
    assert losses.changed == losses.dropped == []


def test_schema_is_closed_and_that_is_told() -> None:
    losses = Losses()

    document = written(output=OutputFormat(SCHEMA, "n"), losses=losses)

    assert document["output_config"]["format"]["schema"] == msgspec.json.decode(CLOSED)
    assert losses.changed == ["response_format"]


def test_description_of_a_format_stands_in_its_schema() -> None:
    losses = Losses()

    document = written(output=OutputFormat(CLOSED, "n", "What it is."), losses=losses)

    schema = {"description": "What it is.", **msgspec.json.decode(CLOSED)}
    assert document["output_config"]["format"]["schema"] == schema
    assert losses.changed == ["response_format.description"]

    described = raw({**msgspec.json.decode(CLOSED), "description": "Its own."})
    document = written(output=OutputFormat(described, "n", "What it is."))
    assert document["output_config"]["format"]["schema"]["description"] == "Its own."


@pytest.mark.parametrize(
    ("ttl", "expected", "changed"),
    [
        (None, {}, []),
        ("5m", {"ttl": "5m"}, []),
        ("1h", {"ttl": "1h"}, []),
        ("12h", {"ttl": "1h"}, ["cache_control.ttl"]),
    ],
)
def test_marks_last_as_long_as_they_can(ttl: str | None, expected: dict[str, str], changed: list[str]) -> None:
    losses = Losses()
    tool = msgspec.structs.replace(LOOK, cache=CacheMark(ttl))

    document = written(user(Text("Hi", cache=CacheMark(ttl))), tools=(tool,), losses=losses)

    mark = {"type": "ephemeral", **expected}
    assert document["tools"][0]["cache_control"] == mark
    assert document["messages"][0]["content"][0]["cache_control"] == mark
    assert losses.changed == changed


def test_any_json_is_asked_for_in_words() -> None:
    losses = Losses()

    document = written(output=OutputFormat(), losses=losses)

    assert document["system"] == "Answer with one JSON object and nothing else."
    assert losses.changed == ["response_format"]


def test_models_without_structured_output_refuse_it() -> None:
    with pytest.raises(Unsupported, match=r"^response_format cannot be sent"):
        written(model="claude-sonnet-4-20250514", output=OutputFormat(CLOSED))


def test_stop_sequences_of_white_space_are_refused() -> None:
    assert written(stop=("a", "b\n"))["stop_sequences"] == ["a", "b\n"]
    with pytest.raises(Unsupported, match=r"^stop cannot be sent"):
        written(stop=("a", "\n"))


@pytest.mark.parametrize(
    ("tier", "expected", "dropped"),
    [
        ("auto", "auto", []),
        ("default", "standard_only", []),
        ("flex", None, ["service_tier"]),
        ("priority", None, ["service_tier"]),
    ],
)
def test_tiers(tier: str, expected: str | None, dropped: list[str]) -> None:
    losses = Losses()

    assert written(service_tier=tier, losses=losses).get("service_tier") == expected
    assert losses.dropped == dropped


def test_user_is_metadata_and_other_metadata_is_a_hint() -> None:
    losses = Losses()

    assert written(user="u", metadata={"a": "b"}, losses=losses)["metadata"] == {"user_id": "u"}
    assert losses.dropped == ["metadata"]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"sampling": Sampling(presence_penalty=0.5)}, "presence_penalty"),
        ({"sampling": Sampling(frequency_penalty=0.5)}, "frequency_penalty"),
        ({"sampling": Sampling(logit_bias=raw({"1": 2}))}, "logit_bias"),
        ({"sampling": Sampling(seed=0)}, "seed"),
        ({"choices": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"modalities": ("text", "audio")}, "modalities"),
        ({"extras": {"prediction": raw({})}}, "prediction"),
    ],
)
def test_fields_with_meaning_are_refused_dropped_or_passed_on(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(Unsupported, match=f"^{name} cannot be sent to this provider: "):
        written(**fields)

    losses = Losses(OnUnsupported.DROP)
    assert name not in written(**fields, losses=losses)
    assert losses.dropped == [name]

    assert name in passed(**fields)


def passed(**fields: Any) -> dict[str, Any]:
    request = Request("m", (HELLO,), **fields)
    body = MessagesCodec().encode_request(request, Destination("m", "claude"), Losses(OnUnsupported.PASS))
    document: dict[str, Any] = msgspec.json.decode(body)
    return document


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"verbosity": "low"}, "verbosity"),
        ({"cache_key": "k"}, "prompt_cache_key"),
        ({"extras": {"store": raw(True)}, "hints": frozenset({"store"})}, "store"),
    ],
)
def test_hints_are_dropped_unless_refused_or_passed_on(fields: dict[str, Any], name: str) -> None:
    losses = Losses()

    assert name not in written(**fields, losses=losses)
    assert losses.dropped == [name]
    assert name in passed(**fields)
    with pytest.raises(Unsupported):
        written(**fields, policy=OnUnsupported.REJECT)


@pytest.mark.parametrize(
    "fields",
    [
        {"sampling": Sampling(presence_penalty=0.0, frequency_penalty=0.0, logit_bias=raw({}))},
        {"choices": 1, "logprobs": False, "top_logprobs": 0, "modalities": ("text",), "include_usage": True},
    ],
)
def test_what_is_the_case_anyway_is_no_loss(fields: dict[str, Any]) -> None:
    losses = Losses(OnUnsupported.REJECT)

    written(**fields, losses=losses)

    assert losses.dropped == losses.changed == []


def test_nested_extras_of_another_dialect_are_told_by_their_place() -> None:
    losses = Losses()
    extras = {"messages[0].content[0].cache": raw(1), "stream_options.more": raw(2)}

    written(extras=extras, hints=frozenset(extras), losses=losses)

    assert losses.dropped == list(extras)


def test_own_extras_are_written_back_where_they_stood() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "u"}}
    call = {"type": "tool_use", "id": "i", "name": "n", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "i", "content": "r"}
    document = {
        "model": "m",
        "max_tokens": 5,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1;"},
            {"type": "text", "text": "S", "cache_control": {"type": "ephemeral", "scope": "global"}},
        ],
        "messages": [
            {"role": "user", "content": [{**image, "transformations": {}}]},
            {"role": "assistant", "content": [{**call, "toolset_name": "t"}]},
            {"role": "user", "content": [{**result, "toolset_name": "t"}]},
            {"role": "system", "content": "Go on.", "clear_at": "end"},
        ],
        "tools": [
            {
                "name": "n",
                "input_schema": {"type": "object"},
                "defer_loading": True,
                "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "s"},
            }
        ],
        "tool_choice": {"type": "auto", "of_tomorrow": 1},
        "metadata": {"user_id": "u", "more": 1},
        "output_config": {"effort": "max", "task_budget": {"total": 9}},
        "thinking": {"type": "between_tools"},
        "container": {"id": "c"},
        "of_tomorrow": [1],
    }
    codec = MessagesCodec()
    request = codec.decode_request(msgspec.json.encode(document))

    again = msgspec.json.decode(codec.encode_request(request, Destination("m", "claude"), Losses(OnUnsupported.REJECT)))

    assert again == document
