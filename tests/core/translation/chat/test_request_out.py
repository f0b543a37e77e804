"""What a provider is sent, and what is said of what it cannot be sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_gateway.core.translation.chat.codec import ChatCodec
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
    Reasoning,
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
from llm_gateway.core.translation.freeform import FREEFORM_PARAMETERS
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported
from llm_gateway.errors import BadRequest
from tests.core.translation.chat.sdk import valid_request

OPENAI = Destination(model="gpt-6", provider="openai")
OTHER = Destination(model="llama", provider="house")
DEEPSEEK = Destination(model="deepseek-chat", provider="deepseek")
MISTRAL = Destination(model="magistral", provider="mistral")
OPENROUTER = Destination(model="z/model", provider="openrouter")

HELLO = Message(Role.USER, (Text("Hello"),))
SCHEMA = msgspec.Raw(b'{"type":"object","properties":{}}')
LOOK = Tool("look", parameters=SCHEMA)
WRITE = Tool("write", parameters=SCHEMA)
PATCH = Tool("patch", "Patches.", custom=msgspec.Raw(b'{"type":"grammar","syntax":"lark","definition":"start: X"}'))
PNG = Image(Inline("image/png", "iVBORw0="))


class Sent:
    """A request as one provider is sent it."""

    def __init__(
        self,
        request: Request,
        to: Destination = OPENAI,
        policy: OnUnsupported = OnUnsupported.DEFAULT,
    ) -> None:
        self.losses = Losses(policy)
        self.body = ChatCodec().encode_request(request, to, self.losses)
        self.document: dict[str, Any] = msgspec.json.decode(self.body)
        self.messages: list[dict[str, Any]] = self.document["messages"]


def asked(*parts: Part, **fields: Any) -> Request:
    return Request("alias", (HELLO, Message(Role.ASSISTANT, parts), HELLO) if parts else (HELLO,), **fields)


def told(*parts: Part, **fields: Any) -> Request:
    return Request("alias", (Message(Role.USER, parts),), **fields)


def called(*results: Message, calls: tuple[str, ...] = ("c1",)) -> Request:
    made = tuple(ToolCall(call_id, "look", "{}") for call_id in calls)
    return Request("alias", (HELLO, Message(Role.ASSISTANT, made), *results))


def refused(request: Request, to: Destination = OPENAI) -> str:
    with pytest.raises(Unsupported) as raised:
        Sent(request, to)
    return raised.value.message


# Messages


def test_smallest_request() -> None:
    sent = Sent(asked())
    assert sent.document == {"model": "gpt-6", "messages": [{"role": "user", "content": "Hello"}]}
    assert (sent.losses.dropped, sent.losses.changed) == ([], [])


def test_developer_is_a_system_message_where_the_role_is_not_known() -> None:
    request = Request("alias", (Message(Role.DEVELOPER, (Text("Be"), Text("brief."))), HELLO))
    assert Sent(request).messages[0] == {
        "role": "developer",
        "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}],
    }
    sent = Sent(request, OTHER)
    assert sent.messages[0] == {"role": "system", "content": "Be\n\nbrief."}
    assert sent.losses.changed == ["messages[0].role"]


def test_results_of_one_turn_become_messages_of_their_own_and_what_else_is_said_follows() -> None:
    message = Message(
        Role.USER, (ToolResult("c2", (Text("b"),)), ToolResult("c1", (Text("a1"), Text("a2"))), Text("Go on."))
    )
    sent = Sent(called(message, calls=("c1", "c2")))
    valid_request(sent.body)
    assert sent.messages[2:] == [
        {"role": "tool", "tool_call_id": "c2", "content": "b"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": t} for t in ("a1", "a2")]},
        {"role": "user", "content": "Go on."},
    ]
    assert sent.losses.changed == []


def test_text_before_a_result_comes_behind_it() -> None:
    sent = Sent(called(Message(Role.USER, (Text("Here:"), ToolResult("c1", (Text("a"),))))))
    assert [message["role"] for message in sent.messages] == ["user", "assistant", "tool", "user"]
    assert sent.losses.changed == ["messages[2].content[1]"]


def test_images_of_results_follow_all_results_of_the_turn() -> None:
    """They are told apart by the calls that they belong to."""
    sent = Sent(
        called(
            Message(Role.USER, (ToolResult("c1", (Text("seen"), PNG)),)),
            Message(Role.USER, (ToolResult("c2", (PNG,)),)),
            calls=("c1", "c2"),
        )
    )
    valid_request(sent.body)
    assert [message["role"] for message in sent.messages] == ["user", "assistant", "tool", "tool", "user"]
    kinds = [(part["type"], part.get("text", "")[-3:]) for part in sent.messages[4]["content"]]
    assert kinds == [("text", "c1:"), ("image_url", ""), ("text", "c2:"), ("image_url", "")]
    assert sent.messages[2]["content"][0]["text"] == "seen"
    assert "next message" in sent.messages[3]["content"]
    assert sent.losses.changed == ["messages[2].content[0].content[1]", "messages[3].content[0].content[0]"]


def test_images_of_results_stand_before_what_the_user_says_next() -> None:
    sent = Sent(called(Message(Role.USER, (ToolResult("c1", (PNG,)), Text("What is it?")))))
    assert [part["type"] for part in sent.messages[3]["content"]] == ["text", "image_url", "text"]
    assert sent.messages[3]["content"][2]["text"] == "What is it?"


def test_failed_result_says_so_in_text() -> None:
    sent = Sent(called(Message(Role.USER, (ToolResult("c1", (Text("no such file"),), is_error=True),))), OTHER)
    assert sent.messages[2]["content"] == "The tool failed.\n\nno such file"
    assert sent.losses.changed == ["messages[2].content[0].is_error"]


def test_result_of_a_call_that_never_was_makes_no_sense() -> None:
    with pytest.raises(BadRequest, match=r"messages\[2\]\.content\[0\]: .* a call that is not"):
        Sent(called(Message(Role.USER, (ToolResult("c9", ()),))))


def test_media_of_a_users_message() -> None:
    sent = Sent(
        told(
            Image(Linked("https://a.test/b.png"), "low"),
            Document(Inline("application/pdf", "JVBERi0="), "a.pdf"),
            Document(Stored("file-1", "openai")),
            Audio(Inline("audio/x-wav", "UklG")),
        )
    )
    valid_request(sent.body)
    assert sent.messages[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://a.test/b.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
    ]


def test_document_of_text_is_sent_as_its_text() -> None:
    sent = Sent(told(Document(Inline("text/plain", "SGkh"), "a.txt", context="From Ann.")))
    assert [part["text"] for part in sent.messages[0]["content"]] == ["From Ann.", "a.txt:\n\nHi!"]
    assert sent.losses.changed == ["messages[0].content[0].context", "messages[0].content[0]"]


@pytest.mark.parametrize(
    "part",
    [
        Image(Stored("file-1", "openai")),
        Document(Linked("https://a.test/b.pdf")),
        Document(Stored("file_1", "anthropic")),
        Document(Inline("application/pdf", "JVBERi0="), "a.pdf", citations=True),
        Audio(Linked("https://a.test/b.wav")),
        Foreign("messages", "search_result", msgspec.Raw(b"{}")),
    ],
)
def test_what_a_user_cannot_say_here_is_refused_or_dropped(part: Part) -> None:
    assert refused(told(Text("x"), part)).startswith("messages[0].content[1]")
    sent = Sent(told(Text("x"), part), policy=OnUnsupported.DROP)
    assert sent.losses.dropped[0].startswith("messages[0].content[1]")


def test_operator_says_text_only() -> None:
    request = Request("alias", (Message(Role.SYSTEM, (Text("Look:"), PNG)), HELLO))
    assert refused(request).startswith("messages[0].content[1]")
    assert Sent(request, policy=OnUnsupported.DROP).messages[0] == {"role": "system", "content": "Look:"}


def test_files_by_url_go_to_those_who_fetch_them() -> None:
    sent = Sent(told(Document(Linked("https://a.test/b.pdf"))), OPENROUTER)
    file = {"filename": "document", "file_data": "https://a.test/b.pdf"}
    assert sent.messages[0]["content"] == [{"type": "file", "file": file}]


@pytest.mark.parametrize("part", [Thinking("Hm."), ToolCall("c1", "look", "{}"), Refusal("No.")])
def test_what_only_the_model_says_makes_no_sense_from_the_user(part: Part) -> None:
    with pytest.raises(BadRequest, match=r"messages\[0\]\.content\[0\]: only the model"):
        Sent(told(part))


@pytest.mark.parametrize("part", [PNG, Audio(Inline("audio/wav", "UklG")), Foreign("gemini", "x", msgspec.Raw(b"{}"))])
def test_what_the_model_cannot_be_shown_as_its_own(part: Part) -> None:
    assert refused(asked(Text("x"), part)).startswith("messages[1].content[1]")
    assert Sent(asked(Text("x"), part), policy=OnUnsupported.DROP).messages[1]["content"] == "x"


def test_hint_of_another_dialect_is_left_out() -> None:
    sent = Sent(told(Text("x"), Foreign("messages", "note", msgspec.Raw(b"{}"), hint=True)))
    assert sent.messages == [{"role": "user", "content": "x"}]
    assert sent.losses.dropped == ["messages[0].content[1]"]


def test_parts_of_this_dialect_are_sent_as_they_came() -> None:
    video = msgspec.Raw(b'{"type":"video_url","video_url":{"url":"https://a.test/v.mp4"}}')
    sent = Sent(told(Foreign("chat", "video_url", video)))
    assert sent.messages[0]["content"] == [msgspec.json.decode(video)]


def test_what_the_model_said_before() -> None:
    sent = Sent(asked(Text("A "), Text("tree."), ToolCall("c1", "look", ""), ToolCall("c2", "patch", "*", custom=True)))
    valid_request(sent.body)
    assert sent.messages[1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "A "}, {"type": "text", "text": "tree."}],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "*"}},
        ],
    }
    other = Sent(asked(Text("A "), Text("tree."), ToolCall("c2", "patch", "*", custom=True)), OTHER).messages[1]
    assert other["content"] == "A tree."
    assert other["tool_calls"][0]["function"] == {"name": "patch", "arguments": '{"input":"*"}'}


def test_citations_and_sound_and_refusals_of_the_model() -> None:
    sent = Sent(asked(Text("x", (Citation("https://a.test"),)), Refusal("No."), Audio(None, "audio-1")))
    valid_request(sent.body)
    assert sent.messages[1] == {
        "role": "assistant",
        "content": "x",
        "refusal": "No.",
        "audio": {"id": "audio-1"},
    }
    assert sent.losses.dropped == ["messages[1].content[0].citations"]
    other = Sent(asked(Refusal("No."), Audio(None, transcript="Never.")), OTHER)
    assert other.messages[1]["content"] == "No.Never."
    assert other.losses.changed == ["messages[1].content[0]", "messages[1].content[1]"]


# Thinking


def test_thinking_goes_where_the_provider_takes_it_back() -> None:
    request = asked(Thinking("Hm."), Text("Yes."))
    assert Sent(request, OTHER).messages[1] == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    assert Sent(request, OPENROUTER).messages[1]["reasoning"] == "Hm."
    assert Sent(request, MISTRAL).messages[1]["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Yes."},
    ]
    sent = Sent(request)
    assert sent.messages[1] == {"role": "assistant", "content": "Yes."}
    assert sent.losses.dropped == ["messages[1].content[0]"]


def test_calls_without_thinking_have_some_where_they_are_refused_otherwise() -> None:
    request = called(Message(Role.USER, (ToolResult("c1", (Text("a"),)),)))
    assert Sent(request, DEEPSEEK).messages[1]["reasoning_content"] == " "
    assert "reasoning_content" not in Sent(asked(Text("x")), DEEPSEEK).messages[1]
    assert "reasoning_content" not in Sent(request, OTHER).messages[1]


def test_opaque_thinking_goes_to_its_maker_only() -> None:
    carried = '{"type":"reasoning.text","signature":"c2ln","format":"f"}'
    request = asked(Thinking("Hm.", Opaque("chat", "openrouter", carried), id="r1"), Text("Yes."))
    assert Sent(request, OPENROUTER).messages[1]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "f", "id": "r1", "index": 0}
    ]
    assert refused(request, OTHER).startswith("messages[1].content[0].signature")
    sent = Sent(request, OTHER, OnUnsupported.DROP)
    assert sent.messages[1] == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}


@pytest.mark.parametrize("to", [OPENAI, OTHER, OPENROUTER])
def test_opaque_thinking_of_another_dialect_is_refused(to: Destination) -> None:
    request = asked(Thinking("Hm.", Opaque("anthropic", "claude", "c2ln")), Text("Yes."))
    assert refused(request, to).startswith("messages[1].content[0].signature")


@pytest.mark.parametrize("data", ["", "nonsense", "[]", '"x"', '{"type":7}'])
def test_opaque_thinking_that_somebody_made_up_does_no_harm(data: str) -> None:
    request = asked(Thinking("Hm.", Opaque("chat", "openrouter", data)), Text("Yes."))
    assert Sent(request, OPENROUTER).messages[1]["reasoning"] == "Hm."


def test_googles_signatures_go_to_google() -> None:
    call = ToolCall("c1", "look", "{}", Opaque("gemini", "google", "dGhvdWdodA=="))
    to = Destination(model="gemini-3", provider="google", preset="gemini")
    sent = Sent(asked(call), to)
    assert sent.messages[1]["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "dGhvdWdodA=="}}
    assert refused(asked(call)).startswith("messages[1].content[0].signature")


# The fields of a request


@pytest.mark.parametrize(
    ("to", "field"),
    [
        (OPENAI, "max_completion_tokens"),
        (Destination(model="deployed", provider="my-azure-eu"), "max_completion_tokens"),
        (Destination(model="gpt-5.2", provider="house"), "max_completion_tokens"),
        (Destination(model="o3", provider="house"), "max_completion_tokens"),
        (Destination(model="llama", provider="fast", preset="groq"), "max_completion_tokens"),
        (OTHER, "max_tokens"),
        (MISTRAL, "max_tokens"),
        (DEEPSEEK, "max_tokens"),
        (Destination(model="openai/gpt-oss-20b", provider="house"), "max_tokens"),
    ],
)
def test_limit_of_tokens_has_the_name_that_the_provider_knows(to: Destination, field: str) -> None:
    document = Sent(asked(max_tokens=7), to).document
    assert document[field] == 7
    assert len([name for name in document if name.startswith("max")]) == 1


def test_usage_is_asked_for_of_every_stream_but_where_it_is_refused() -> None:
    assert Sent(asked(stream=True)).document["stream_options"] == {"include_usage": True}
    assert "stream_options" not in Sent(asked(stream=True), MISTRAL).document
    assert "stream" not in Sent(asked()).document


def test_more_stop_sequences_than_it_takes_are_refused() -> None:
    stop = tuple("abcde")
    plain = Destination(model="gpt-4.1", provider="openai")
    assert refused(asked(stop=stop), plain).startswith("stop[4:]")
    assert Sent(asked(stop=stop), plain, OnUnsupported.DROP).document["stop"] == ["a", "b", "c", "d"]
    assert Sent(asked(stop=stop), OTHER).document["stop"] == list(stop)


SAMPLED = Sampling(temperature=0.5, top_p=1.0, presence_penalty=0.0, frequency_penalty=0.0)


def test_models_that_reason_are_not_told_how_to_sample() -> None:
    sent = Sent(asked(sampling=SAMPLED))
    assert sent.document.keys() == {"model", "messages"}
    assert sent.losses.dropped == ["temperature"]
    told = Sent(asked(sampling=SAMPLED, reasoning=Reasoning(effort="none")), Destination("gpt-5.4", "openai"))
    assert told.document["temperature"] == 0.5
    own = Sent(asked(sampling=SAMPLED, stop=("x",), dialect="chat"))
    assert (own.document["temperature"], own.document["stop"]) == (0.5, ["x"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"sampling": Sampling(presence_penalty=0.5)}, "presence_penalty"),
        ({"sampling": Sampling(logit_bias=msgspec.Raw(b'{"5":3}'))}, "logit_bias"),
        ({"logprobs": True, "top_logprobs": 2}, "logprobs"),
        ({"stop": ("x",)}, "stop"),
    ],
)
def test_models_that_reason_cannot_be_told_what_would_change_the_answer(fields: dict[str, Any], field: str) -> None:
    assert refused(asked(**fields)).startswith(field)
    assert Sent(asked(**fields), policy=OnUnsupported.DROP).document.keys() == {"model", "messages"}
    assert field in Sent(asked(**fields), policy=OnUnsupported.PASS).document
    assert field in Sent(asked(**fields), Destination("gpt-4.1", "openai")).document


def test_seed_is_called_otherwise_at_mistral() -> None:
    assert Sent(asked(sampling=Sampling(seed=7)), MISTRAL).document["random_seed"] == 7


def test_top_k_goes_to_those_who_know_it() -> None:
    request = asked(sampling=Sampling(top_k=7))
    sent = Sent(request)
    assert "top_k" not in sent.document
    assert sent.losses.dropped == ["top_k"]
    assert Sent(request, policy=OnUnsupported.PASS).document["top_k"] == 7
    assert Sent(request, OPENROUTER).document["top_k"] == 7
    assert Sent(msgspec.structs.replace(request, dialect="chat")).document["top_k"] == 7


def test_tools_of_all_kinds() -> None:
    sent = Sent(asked(tools=(LOOK, PATCH), tool_choice=ToolChoice(ChoiceMode.REQUIRED, ("patch",))))
    valid_request(sent.body)
    assert sent.document["tools"] == [
        {"type": "function", "function": {"name": "look", "parameters": msgspec.json.decode(SCHEMA)}},
        {
            "type": "custom",
            "custom": {
                "name": "patch",
                "description": "Patches.",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}},
            },
        },
    ]
    assert sent.document["tool_choice"] == {"type": "custom", "custom": {"name": "patch"}}


def test_function_stands_in_for_a_custom_tool() -> None:
    sent = Sent(asked(tools=(PATCH,), tool_choice=ToolChoice(ChoiceMode.REQUIRED, ("patch",))), OTHER)
    (tool,) = sent.document["tools"]
    assert tool["function"]["parameters"] == msgspec.json.decode(FREEFORM_PARAMETERS)
    assert "start: X" in tool["function"]["description"]
    assert sent.document["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    assert sent.losses.changed == ["tools.patch"]


def test_tools_that_may_be_called_are_listed_or_are_the_only_ones() -> None:
    request = asked(tools=(LOOK, WRITE, PATCH), tool_choice=ToolChoice(ChoiceMode.AUTO, ("look", "write")))
    sent = Sent(request)
    valid_request(sent.body)
    assert sent.document["tool_choice"]["allowed_tools"]["mode"] == "auto"
    other = Sent(request, OTHER)
    assert [tool["function"]["name"] for tool in other.document["tools"]] == ["look", "write"]
    assert other.document["tool_choice"] == "auto"
    assert other.losses.changed == ["tool_choice"]


def test_what_is_about_tools_is_not_sent_without_any() -> None:
    document = Sent(asked(tool_choice=ToolChoice(ChoiceMode.AUTO), parallel_tool_calls=False)).document
    assert set(document) == {"model", "messages"}


def test_tools_that_another_provider_runs_are_refused() -> None:
    search = Foreign("messages", "web_search_20250305", msgspec.Raw(b"{}"))
    assert refused(asked(foreign_tools=(search,))).startswith("tools[0].web_search_20250305")
    own = Foreign("chat", "web_search", msgspec.Raw(b'{"type":"web_search"}'))
    assert Sent(asked(foreign_tools=(own,))).document["tools"] == [{"type": "web_search"}]


def test_output_formats() -> None:
    assert Sent(asked(output=OutputFormat())).document["response_format"] == {"type": "json_object"}
    sent = Sent(asked(output=OutputFormat(SCHEMA, "my form!", strict=True)))
    valid_request(sent.body)
    described = {"name": "my_form_", "schema": msgspec.json.decode(SCHEMA), "strict": True}
    assert sent.document["response_format"] == {"type": "json_schema", "json_schema": described}
    assert sent.losses.changed == ["response_format.json_schema.name"]
    nameless = Sent(asked(output=OutputFormat(SCHEMA))).document["response_format"]
    assert nameless["json_schema"]["name"] == "answer"


def test_schema_is_refused_where_there_is_only_json() -> None:
    request = asked(output=OutputFormat(SCHEMA))
    assert refused(request, DEEPSEEK).startswith("response_format.json_schema")
    sent = Sent(request, DEEPSEEK, OnUnsupported.DROP)
    assert sent.document["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("reasoning", "to", "expected", "changed"),
    [
        (Reasoning(effort="xhigh"), OPENAI, {"reasoning_effort": "xhigh"}, False),
        (Reasoning(enabled=False), OPENAI, {"reasoning_effort": "none"}, False),
        (Reasoning(enabled=True, adaptive=True), OPENAI, {}, False),
        (Reasoning(enabled=True, budget_tokens=10_000), OPENAI, {"reasoning_effort": "medium"}, True),
        (Reasoning(effort="max"), Destination(model="o3", provider="openai"), {"reasoning_effort": "high"}, True),
        (Reasoning(effort="none"), Destination(model="gpt-5", provider="a"), {"reasoning_effort": "minimal"}, True),
        (Reasoning(effort="none"), Destination(model="gpt-5.1", provider="a"), {"reasoning_effort": "none"}, False),
        (Reasoning(effort="minimal"), OTHER, {"reasoning_effort": "none"}, True),
        (Reasoning(effort="none"), DEEPSEEK, {"thinking": {"type": "disabled"}}, False),
        (Reasoning(effort="high"), DEEPSEEK, {"reasoning_effort": "high"}, False),
        (Reasoning(True, budget_tokens=9), OPENROUTER, {"reasoning": {"enabled": True, "max_tokens": 9}}, False),
        (Reasoning(effort="low", show="none"), OPENROUTER, {"reasoning": {"effort": "low", "exclude": True}}, False),
        (Reasoning(effort="none"), Destination(model="gpt-4.1", provider="openai"), {}, False),
    ],
)
def test_reasoning(reasoning: Reasoning, to: Destination, expected: dict[str, Any], changed: bool) -> None:
    sent = Sent(asked(reasoning=reasoning), to)
    assert {name: value for name, value in sent.document.items() if name not in ("model", "messages")} == expected
    assert sent.losses.changed == (["reasoning_effort"] if changed else [])
    assert sent.losses.dropped == []


@pytest.mark.parametrize(
    "to",
    [
        Destination(model="gpt-4o", provider="openai"),
        Destination(model="llama", provider="house", reasoning=False),
    ],
)
def test_effort_is_left_out_for_models_that_do_not_reason(to: Destination) -> None:
    sent = Sent(asked(reasoning=Reasoning(effort="high")), to)
    assert set(sent.document) == {"model", "messages"}
    assert sent.losses.dropped == ["reasoning_effort"]


def test_not_to_think_is_said_to_models_that_do() -> None:
    request = asked(reasoning=Reasoning(enabled=False))
    assert Sent(request, OTHER).losses.dropped == ["thinking"]
    thinker = Destination(model="qwen", provider="house", reasoning=True)
    assert Sent(request, thinker).document["reasoning_effort"] == "none"


def test_what_codex_asks_of_reasoning_is_a_hint() -> None:
    sent = Sent(asked(reasoning=Reasoning(effort="low", show="auto", encrypted=True)))
    assert sent.losses.dropped == ["include.reasoning.encrypted_content", "reasoning.summary"]
    assert sent.document["reasoning_effort"] == "low"


def test_newer_fields_go_to_openai_and_to_those_whose_caller_speaks_their_dialect() -> None:
    request = asked(
        cache_key="k", verbosity="low", service_tier="flex", user="ann", metadata={"a": "b"}, dialect="responses"
    )
    sent = Sent(request)
    valid_request(sent.body)
    assert {
        "prompt_cache_key": "k",
        "verbosity": "low",
        "service_tier": "flex",
        "safety_identifier": "ann",
    }.items() <= sent.document.items()
    assert sent.losses.dropped == ["metadata"]
    other = Sent(request, OTHER)
    assert set(other.document) == {"model", "messages", "user"}
    assert other.losses.dropped == ["prompt_cache_key", "verbosity", "service_tier", "metadata"]
    own = Sent(msgspec.structs.replace(request, dialect="chat"), OTHER)
    assert {"prompt_cache_key", "verbosity", "service_tier", "metadata"} < set(own.document)


def test_service_tiers_of_others_are_said_in_openais_words() -> None:
    sent = Sent(asked(service_tier="standard_only"))
    assert (sent.document["service_tier"], sent.losses.changed) == ("default", ["service_tier"])
    assert Sent(asked(service_tier="gold")).losses.dropped == ["service_tier"]


@pytest.mark.parametrize(("stream", "form"), [(False, "wav"), (True, "pcm16")])
def test_whoever_is_to_speak_is_told_how(stream: bool, form: str) -> None:
    """OpenAI refuses ``modalities`` of sound without a voice and a format, which Google's callers need not say."""
    sent = Sent(asked(modalities=("audio",), stream=stream, dialect="gemini"))
    assert sent.document["modalities"] == ["text", "audio"]
    assert sent.document["audio"] == {"voice": "alloy", "format": form}
    assert sent.losses.changed == ["modalities.audio"]
    assert "audio" not in Sent(asked(modalities=("audio",), dialect="chat")).document


def test_long_ids_of_users_are_shortened_and_stay_apart() -> None:
    first, second = (Sent(asked(user=f"user_{'x' * 80}_{n}")) for n in (1, 2))
    assert len(first.document["safety_identifier"]) == 64
    assert first.document["safety_identifier"] != second.document["safety_identifier"]
    assert first.losses.changed == ["user"]


@pytest.mark.parametrize(
    ("model", "effort", "sent_effort", "changed"),
    [
        ("gpt-5.2", "high", "high", False),
        ("gpt-5.5", "high", None, True),
        ("gpt-5.5", "none", "none", False),
        ("gpt-5.5", None, None, False),
        ("gpt-6", "high", "none", True),
        ("gpt-6", None, "none", True),
    ],
)
def test_tools_can_be_called_although_some_models_do_not_reason_then(
    model: str, effort: str | None, sent_effort: str | None, changed: bool
) -> None:
    """OpenAI refuses tools together with reasoning here, of its newest models even where nothing is said of it."""
    to = Destination(model=model, provider="openai")
    sent = Sent(asked(tools=(LOOK,), reasoning=Reasoning(effort=effort) if effort else None), to)
    assert sent.document.get("reasoning_effort") == sent_effort
    assert sent.losses.changed == (["reasoning_effort"] if changed else [])
    own = Sent(asked(tools=(LOOK,), dialect="chat", reasoning=Reasoning(effort=effort) if effort else None), to)
    assert own.document.get("reasoning_effort") == effort


@pytest.mark.parametrize("to", [OPENAI, OTHER])
def test_alternatives_of_a_tool_are_merged_for_openai(to: Destination) -> None:
    schema = msgspec.Raw(b'{"type":"object","anyOf":[{"properties":{"a":{"type":"string"}}}]}')
    sent = Sent(
        asked(tools=(Tool("a", parameters=schema), Tool("b", parameters=msgspec.Raw(b'{"type":"object"}')))), to
    )
    first, second = (tool["function"]["parameters"] for tool in sent.document["tools"])
    assert ("anyOf" in first) == (to is OTHER)
    assert ("tools.a.parameters" in sent.losses.changed) == (to is OPENAI)
    assert second == {"type": "object", "properties": {}}


def test_tools_are_strict_where_their_schemas_allow_it() -> None:
    loose = msgspec.Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')
    sent = Sent(asked(tools=(Tool("a", parameters=loose, strict=True), Tool("b", strict=True))))
    first, second = (tool["function"] for tool in sent.document["tools"])
    assert (first["strict"], second["strict"]) == (False, True)
    assert second["parameters"]["additionalProperties"] is False
    assert "tools.a.strict" in sent.losses.changed
    own = Sent(asked(tools=(Tool("a", parameters=loose, strict=True),), dialect="chat"))
    assert own.document["tools"][0]["function"]["strict"] is True


@pytest.mark.parametrize("to", [OPENAI, DEEPSEEK])
def test_json_is_asked_for_in_words_too(to: Destination) -> None:
    """Without them it is refused."""
    sent = Sent(asked(output=OutputFormat()), to)
    assert sent.messages[0] == {"role": "system", "content": "Answer with a JSON object."}
    assert sent.losses.changed == ["messages"]
    assert len(Sent(told(Text("As JSON."), output=OutputFormat()), to).messages) == 1
    assert len(Sent(asked(output=OutputFormat(), dialect="chat"), to).messages) == 1


CLOSED = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'


def test_schema_binds_the_answer_as_the_callers_dialect_does() -> None:
    bound = Sent(asked(output=OutputFormat(msgspec.Raw(CLOSED))))
    assert bound.document["response_format"]["json_schema"]["strict"] is True
    assert bound.losses.changed == []
    own = Sent(asked(output=OutputFormat(msgspec.Raw(CLOSED)), dialect="chat"))
    assert "strict" not in own.document["response_format"]["json_schema"]
    loose = Sent(asked(output=OutputFormat(msgspec.Raw(CLOSED.replace(b'["a"]', b"[]")))))
    assert loose.document["response_format"]["json_schema"]["strict"] is False
    assert loose.losses.changed == ["response_format.json_schema.strict"]


def test_model_that_is_asked_to_think_does() -> None:
    """Some of OpenAI's do not by themselves."""
    thinking = asked(reasoning=Reasoning(enabled=True, adaptive=True))
    assert Sent(thinking, Destination(model="gpt-5.4", provider="openai")).document["reasoning_effort"] == "medium"
    assert "reasoning_effort" not in Sent(thinking, Destination(model="gpt-5.6", provider="openai")).document


def test_calls_bear_no_marks_for_the_cache() -> None:
    sent = Sent(asked(ToolCall("c1", "look", "{}", cache=CacheMark())))
    assert sent.losses.dropped == ["cache_control"]


def test_marks_for_the_cache() -> None:
    request = told(Text("long", cache=CacheMark("1h")), Text("short"), tools=(Tool("a", cache=CacheMark()),))
    sent = Sent(request, Destination(model="gpt-5.6", provider="openai"))
    valid_request(sent.body)
    assert sent.messages[0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert (sent.losses.changed[0], sent.losses.dropped) == ("cache_control.ttl", ["cache_control"])
    assert Sent(request, OPENROUTER).messages[0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert Sent(request, OTHER).messages[0]["content"] == "long\n\nshort"


def test_ids_of_calls_fit_mistral() -> None:
    sent = Sent(
        called(Message(Role.USER, (ToolResult("toolu_01", (Text("a"),)),)), calls=("toolu_01", "abcDEF123")), MISTRAL
    )
    first, second = (call["id"] for call in sent.messages[1]["tool_calls"])
    assert (len(first), first.isalnum(), second) == (9, True, "abcDEF123")
    assert sent.messages[2]["tool_call_id"] == first


def test_ids_of_calls_are_not_longer_than_openai_takes() -> None:
    long = "call_" + "x" * 36
    sent = Sent(called(Message(Role.USER, (ToolResult(long, (Text("a"),)),)), calls=(long, long + "y")))
    first, second = (call["id"] for call in sent.messages[1]["tool_calls"])
    assert (len(first), first == second) == (37, False)
    assert sent.messages[2]["tool_call_id"] == first


def test_names_of_participants_are_left_out_where_they_are_refused() -> None:
    request = Request("alias", (Message(Role.USER, (Text("x"),), "ann"),))
    assert Sent(request).messages[0]["name"] == "ann"
    sent = Sent(request, MISTRAL)
    assert ("name" in sent.messages[0], sent.losses.dropped) == (False, ["messages.name"])


# Fields of the caller's own dialect


EXTRAS = {"context_management": msgspec.Raw(b"{}"), "inference_geo": msgspec.Raw(b'"us"')}


def test_fields_of_another_dialect_are_refused_unless_they_are_hints() -> None:
    request = asked(extras=EXTRAS, hints=frozenset({"inference_geo"}), dialect="messages")
    assert refused(request).startswith("context_management")
    sent = Sent(request, policy=OnUnsupported.DROP)
    assert sent.losses.dropped == ["context_management", "inference_geo"]
    passed = Sent(request, policy=OnUnsupported.PASS)
    assert (passed.document["context_management"], passed.document["inference_geo"]) == ({}, "us")


def test_fields_that_responses_has_too_are_said_to_openai() -> None:
    extras = {"store": msgspec.Raw(b"true"), "prompt_cache_retention": msgspec.Raw(b'"24h"')}
    request = asked(extras=extras, hints=frozenset(extras), dialect="responses")
    assert Sent(request).document["store"] is True
    assert Sent(request, OTHER).losses.dropped == ["store", "prompt_cache_retention"]
    unstored = asked(extras={"store": msgspec.Raw(b"false")}, dialect="messages")
    assert Sent(unstored, OTHER).losses.dropped == []


def test_fields_of_its_own_dialect_come_back_to_their_places() -> None:
    body = msgspec.json.encode(
        {
            "model": "gpt-6",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y", "note": 1}]},
                {"role": "assistant", "content": "z", "weight": 1},
            ],
            "stream": True,
            "stream_options": {"include_usage": True, "include_obfuscation": False},
            "tools": [{"type": "function", "function": {"name": "a", "returns": {}}}],
            "store": True,
            "audio": {"format": "wav", "voice": "ash"},
        }
    )
    losses = Losses()
    written = ChatCodec().encode_request(ChatCodec().decode_request(body), OPENAI, losses)
    assert msgspec.json.decode(written) == msgspec.json.decode(body)
    assert losses.dropped == []
