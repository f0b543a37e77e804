"""The official SDKs understand everything that the demo provider says, and raise what they raise for the real ones."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import Message, ModelInfo
from anthropic.types import RawMessageStreamEvent as AnthropicEvent
from openai.types import CreateEmbeddingResponse, FileObject, Model
from openai.types.audio import Transcription
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.demo.conftest import KEY

PLACE = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": PLACE}}
RESPONSES_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": PLACE, "strict": True}
MESSAGES_TOOL: Any = {"name": "get_weather", "input_schema": PLACE}


@pytest.fixture
def gpt(demo_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{demo_url}/openai/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(demo_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"{demo_url}/anthropic", api_key=KEY, max_retries=0) as client:
        yield client


def strictly(kind: Any, value: Any) -> None:
    """Validate against the SDK's own type; by itself an SDK builds its objects without looking at what they hold."""
    TypeAdapter(kind).validate_python(value.to_dict(), strict=False)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_chat_answers_and_says_who_it_is(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(model="gpt-4o-mini", messages=user("Hello there"))
    strictly(ChatCompletion, answer)
    text = answer.choices[0].message.content
    assert text == "Hello! I am gpt-4o-mini, played by the gateway's built-in demo provider. You said: Hello there"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, len(text.split()))
    assert answer._request_id is not None


def test_chat_streams_the_same_answer_with_usage_when_asked(gpt: openai.OpenAI) -> None:
    plain = gpt.chat.completions.create(model="gpt-4o-mini", messages=user("Hello there"))
    chunks = list(
        gpt.chat.completions.create(
            model="gpt-4o-mini",
            messages=user("Hello there"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    for chunk in chunks:
        strictly(ChatCompletionChunk, chunk)
    *rest, last = chunks
    assert "".join(c.choices[0].delta.content or "" for c in rest) == plain.choices[0].message.content
    assert last.choices == []
    assert last.usage == plain.usage
    assert [chunk.usage for chunk in rest] == [None] * len(rest)
    assert len({chunk.id for chunk in chunks}) == 1


def test_chat_stream_without_usage_has_none(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.chat.completions.create(model="gpt-4o-mini", messages=user("count to 3"), stream=True))
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"


def test_chat_calls_a_tool_and_uses_its_result(gpt: openai.OpenAI) -> None:
    messages = user("What is the weather in New York?")
    with gpt.chat.completions.stream(model="gpt-4o", messages=messages, tools=[CHAT_TOOL]) as stream:
        streamed = stream.get_final_completion()
    plain = gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[CHAT_TOOL])
    strictly(ChatCompletion, plain)
    for answer in (plain, streamed):
        assert answer.choices[0].finish_reason == "tool_calls"
        [call] = answer.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("get_weather", '{"location":"New York"}')
    assistant: Any = plain.choices[0].message.to_dict()
    tool: Any = {"role": "tool", "tool_call_id": assistant["tool_calls"][0]["id"], "content": "18 degrees"}
    final = gpt.chat.completions.create(model="gpt-4o", messages=[*messages, assistant, tool], tools=[CHAT_TOOL])
    assert (final.choices[0].message.content or "").startswith("get_weather answered: 18 degrees\n")


def test_chat_parses_into_the_asked_for_schema(gpt: openai.OpenAI) -> None:
    schema: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE, "strict": True}}
    answer = gpt.chat.completions.create(model="gpt-4o", messages=user("A town in Italy"), response_format=schema)
    assert answer.choices[0].message.content == '{"location":"Italy"}'


def test_chat_stops_at_the_token_limit(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(model="gpt-4o", messages=user("count to 9"), max_completion_tokens=3)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("1 2 3", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_deepseek_is_played_too(demo_url: str) -> None:
    with openai.OpenAI(base_url=f"{demo_url}/deepseek/v1", api_key=KEY, max_retries=0) as client:
        answer = client.chat.completions.create(model="deepseek-v4-flash", messages=user("Who are you?"))
        assert "deepseek-v4-flash" in client.models.list().data[0].id
    assert "I am deepseek-v4-flash by DeepSeek" in (answer.choices[0].message.content or "")


def test_responses_answer_plain_and_streamed_alike(gpt: openai.OpenAI) -> None:
    plain = gpt.responses.create(model="gpt-4o", input="Hello there", instructions="Be brief")
    strictly(Response, plain)
    assert plain.usage is not None
    assert plain.usage.input_tokens == 4
    assert plain.usage.total_tokens == 4 + len(plain.output_text.split())
    events = list(gpt.responses.create(model="gpt-4o", input="Hello there", instructions="Be brief", stream=True))
    for event in events:
        strictly(ResponseStreamEvent, event)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert [kind for kind in kinds if kind != "response.output_text.delta"] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == plain.output_text
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == plain.output_text


def test_responses_call_a_tool_and_use_its_result(gpt: openai.OpenAI) -> None:
    question: Any = user("weather in Oslo please")
    with gpt.responses.stream(model="gpt-4o", input=question, tools=[RESPONSES_TOOL]) as stream:
        events = list(stream)
        answer = stream.get_final_response()
    call = answer.output[0]
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", '{"location":"Oslo"}')
    fragments = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert len(fragments) > 1
    assert "".join(fragments) == call.arguments
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    history: Any = [*question, {"type": "function_call", **call.to_dict()}, result]
    final = gpt.responses.create(model="gpt-4o", input=history, tools=[RESPONSES_TOOL])
    strictly(Response, final)
    assert final.output_text.startswith("get_weather answered: rain\n")


def test_responses_stop_at_the_token_limit(gpt: openai.OpenAI) -> None:
    *_, last = gpt.responses.create(model="gpt-4o", input="count to 90", max_output_tokens=20, stream=True)
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert len(last.response.output_text.split()) == 20


def test_models_are_listed_and_shown(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    for model in gpt.models.list():
        strictly(Model, model)
        assert gpt.models.retrieve(model.id) == model
    for info in claude.models.list():
        strictly(ModelInfo, info)
        assert claude.models.retrieve(info.id) == info
    with pytest.raises(openai.NotFoundError) as caught:
        gpt.models.retrieve("no-such-model")
    assert caught.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("no-such-model")


def test_embeddings_are_the_same_in_both_encodings(gpt: openai.OpenAI) -> None:
    packed = gpt.embeddings.create(model="text-embedding-3-small", input=["one two", "three"])
    plain = gpt.embeddings.create(model="text-embedding-3-small", input=["one two", "three"], encoding_format="float")
    strictly(CreateEmbeddingResponse, plain)
    assert [len(each.embedding) for each in plain.data] == [256, 256]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert plain.data[0].embedding != plain.data[1].embedding
    assert plain.usage.prompt_tokens == 3
    short = gpt.embeddings.create(model="text-embedding-3-small", input=[5, 6, 7], dimensions=8)
    assert (len(short.data), len(short.data[0].embedding), short.usage.total_tokens) == (1, 8, 3)


def test_uploads_arrive_byte_for_byte(gpt: openai.OpenAI) -> None:
    content = b"\r\n--x\r\n" + bytes(range(256)) * 40 + b"\r\n"
    file = gpt.files.create(file=("data.jsonl", content), purpose="batch")
    strictly(FileObject, file)
    assert (file.bytes, file.filename, file.purpose) == (len(content), "data.jsonl", "batch")
    heard = gpt.audio.transcriptions.create(model="whisper-1", file=("hum.wav", content))
    strictly(Transcription, heard)
    assert heard.text.startswith(f"hum.wav has {len(content)} bytes, says whisper-1")


def test_speech_is_a_sound_that_plays(gpt: openai.OpenAI) -> None:
    audio = gpt.audio.speech.create(model="tts-1", voice="alloy", input="five words make less noise")
    with wave.open(io.BytesIO(audio.content)) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(0.4)
    pcm = gpt.audio.speech.create(model="tts-1", voice="alloy", input="one", response_format="pcm")
    assert len(pcm.content) == 2 * 8_000 * 0.08


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_openai_sdk_raises_its_own_errors(
    gpt: openai.OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        gpt.chat.completions.create(model="gpt-4o", messages=user(f"Error {status}"), stream=stream)
    assert caught.value.status_code == status
    assert caught.value.response.headers.get("retry-after") == ("1" if status in (429, 503) else None)
    with pytest.raises(kind):
        gpt.responses.create(model="gpt-4o", input=f"error {status}", stream=stream)


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_sdk_raises_its_own_errors(
    claude: anthropic.Anthropic, status: int, kind: type[anthropic.APIStatusError], name: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        claude.messages.create(model="claude", max_tokens=9, messages=user(f"error {status}"), stream=stream)
    assert caught.value.status_code == status
    assert caught.value.response.headers.get("retry-after") == ("1" if status in (429, 529) else None)
    body: Any = caught.value.body
    assert body["error"]["type"] == name
    assert body["request_id"] == caught.value.request_id


def test_wrong_keys_are_refused_in_each_dialect(demo_url: str) -> None:
    with openai.OpenAI(base_url=f"{demo_url}/openai/v1", api_key="wrong", max_retries=0) as gpt:
        with pytest.raises(openai.AuthenticationError) as refused:
            gpt.models.list()
        assert refused.value.code == "invalid_api_key"
    claude = anthropic.Anthropic(base_url=f"{demo_url}/anthropic", api_key="wrong", max_retries=0)
    with claude, pytest.raises(anthropic.AuthenticationError) as caught:
        claude.models.list()
    body: Any = caught.value.body
    assert body["error"]["type"] == "authentication_error"


def test_messages_answer_plain_and_streamed_alike(claude: anthropic.Anthropic) -> None:
    question: Any = {"model": "claude-sonnet-5-5", "max_tokens": 100, "system": "Be kind", "messages": user("Hi you")}
    plain = claude.messages.create(**question)
    strictly(Message, plain)
    [block] = plain.content
    assert block.type == "text"
    assert block.text.startswith("Hello! I am claude-sonnet-5-5, played by")
    assert (plain.usage.input_tokens, plain.usage.output_tokens) == (4, len(block.text.split()))
    events = list(claude.messages.create(**question, stream=True))
    for event in events:
        strictly(AnthropicEvent, event)
    kinds = [event.type for event in events]
    assert [kind for kind in kinds if kind != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    with claude.messages.stream(**question) as stream:
        final = stream.get_final_message()
    assert final.content[0].type == "text"
    assert (final.content[0].text, final.stop_reason) == (block.text, "end_turn")
    assert final.usage.output_tokens == plain.usage.output_tokens
    counted = claude.messages.count_tokens(**{k: v for k, v in question.items() if k != "max_tokens"})
    assert counted.input_tokens == plain.usage.input_tokens


def test_messages_call_tools_and_use_their_results(claude: anthropic.Anthropic) -> None:
    time_tool: Any = {
        "name": "get_time",
        "input_schema": {"type": "object", "properties": {"utc": {"type": "boolean"}}},
    }
    question: Any = {
        "model": "claude",
        "max_tokens": 100,
        "tools": [MESSAGES_TOOL, time_tool],
        "messages": user("the weather in Rome and the time"),
    }
    plain = claude.messages.create(**question)
    strictly(Message, plain)
    with claude.messages.stream(**question) as stream:
        streamed = stream.get_final_message()
    answers: list[Any] = [plain, streamed]
    for answer in answers:
        assert answer.stop_reason == "tool_use"
        assert [(block.name, block.input) for block in answer.content] == [
            ("get_weather", {"location": "Rome"}),
            ("get_time", {"utc": True}),
        ]
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "fine"}]}
        for block in plain.content
        if block.type == "tool_use"
    ]
    assistant = {"role": "assistant", "content": [block.to_dict() for block in plain.content]}
    question["messages"] += [assistant, {"role": "user", "content": results}]
    final = claude.messages.create(**question)
    assert final.content[0].type == "text"
    assert final.content[0].text.startswith("get_weather answered: fine get_time answered: fine\n")


def test_messages_obey_tool_choice(claude: anthropic.Anthropic) -> None:
    def stop_reason(choice: Any) -> str | None:
        answer = claude.messages.create(
            model="claude", max_tokens=50, messages=user("Hello"), tools=[MESSAGES_TOOL], tool_choice=choice
        )
        return answer.stop_reason

    assert stop_reason({"type": "any"}) == "tool_use"
    assert stop_reason({"type": "tool", "name": "get_weather"}) == "tool_use"
    assert stop_reason({"type": "auto"}) == "end_turn"
    assert stop_reason({"type": "none"}) == "end_turn"


def test_deepseek_thinks_aloud_when_asked_to(demo_url: str) -> None:
    with openai.OpenAI(base_url=f"{demo_url}/deepseek/v1", api_key=KEY, max_retries=0) as client:
        asked: Any = {"model": "deepseek-v4-pro", "messages": user("Hello there"), "reasoning_effort": "high"}
        plain = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
    message: Any = plain.choices[0].message
    assert message.reasoning_content == "The user says: Hello there I shall answer that."
    deltas: list[Any] = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == message.reasoning_content
    assert "".join(delta.content or "" for delta in deltas) == message.content
    assert plain.usage is not None
    assert plain.usage.completion_tokens_details is not None
    assert plain.usage.completion_tokens_details.reasoning_tokens == len(message.reasoning_content.split())


def test_chat_of_openai_counts_thoughts_and_shows_none(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(model="gpt-5.4", messages=user("Hello"), reasoning_effort="low")
    strictly(ChatCompletion, answer)
    assert "reasoning_content" not in answer.choices[0].message.to_dict()
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens


def test_messages_think_when_asked_to(claude: anthropic.Anthropic) -> None:
    """And take their own thoughts back, but nobody else's."""
    asked: Any = {
        "model": "claude-opus-5-5",
        "max_tokens": 9_000,
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
        "tools": [MESSAGES_TOOL],
        "messages": user("the weather in Rome"),
    }
    plain = claude.messages.create(**asked)
    strictly(Message, plain)
    thought, call = plain.content
    assert thought.type == "thinking"
    assert call.type == "tool_use"
    assert thought.thinking == "The user says: the weather in Rome I shall call what was asked for."
    for event in claude.messages.create(**asked, stream=True):
        strictly(AnthropicEvent, event)
    with claude.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert [block.to_dict() | {"id": ""} for block in streamed.content] == [
        block.to_dict() | {"id": ""} for block in plain.content
    ]
    assert streamed.usage.output_tokens == plain.usage.output_tokens
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "mild"}
    turns: Any = [block.to_dict() for block in plain.content]
    asked["messages"] += [{"role": "assistant", "content": turns}, {"role": "user", "content": [result]}]
    assert claude.messages.create(**asked).content[-1].type == "text"
    turns[0]["signature"] = "bWluZQ=="
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        claude.messages.create(**asked)


@pytest.mark.parametrize(
    ("thinking", "kinds"),
    [
        ({"type": "adaptive", "display": "omitted"}, ["thinking", "text"]),
        ({"type": "adaptive"}, ["thinking", "text"]),
        ({"type": "disabled"}, ["text"]),
    ],
)
def test_messages_show_their_thoughts_or_not(claude: anthropic.Anthropic, thinking: Any, kinds: list[str]) -> None:
    asked: Any = {"model": "claude", "max_tokens": 99, "thinking": thinking, "messages": user("Hello")}
    with claude.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    answers: list[Any] = [streamed, claude.messages.create(**asked)]
    for answer in answers:
        assert [block.type for block in answer.content] == kinds
        first = answer.content[0]
        if first.type == "thinking":
            assert bool(first.thinking) == ("display" not in thinking)
            assert first.signature


def test_limit_can_end_a_thought(claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    message = claude.messages.create(
        model="claude", max_tokens=3, thinking={"type": "enabled", "budget_tokens": 2}, messages=user("Hello")
    )
    assert [block.type for block in message.content] == ["thinking"]
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)
    *_, last = gpt.responses.create(
        model="gpt", input="Hello", max_output_tokens=3, reasoning={"effort": "low"}, stream=True
    )
    assert last.type == "response.incomplete"
    assert [item.type for item in last.response.output] == ["reasoning"]


@pytest.mark.parametrize("tools", [[], [RESPONSES_TOOL]], ids=["text", "tool"])
def test_responses_think_when_asked_to(gpt: openai.OpenAI, tools: list[Any]) -> None:
    """With a summary for those who want one, and the whole thought encrypted for those who keep it."""
    asked: Any = {
        "model": "gpt-5.4",
        "input": user("weather in Oslo please"),
        "tools": tools,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    plain = gpt.responses.create(**asked)
    strictly(Response, plain)
    thought, said = plain.output
    assert thought.type == "reasoning"
    assert said.type == ("function_call" if tools else "message")
    assert thought.summary[0].text.startswith("The user says: weather in Oslo please I shall")
    assert plain.usage is not None
    assert plain.usage.output_tokens_details.reasoning_tokens == len(thought.summary[0].text.split())
    for event in gpt.responses.create(**asked, stream=True):
        strictly(ResponseStreamEvent, event)
    with gpt.responses.stream(**asked) as stream:
        events = list(stream)
        streamed = stream.get_final_response()
    assert streamed.output[0].to_dict() | {"id": ""} == thought.to_dict() | {"id": ""}
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    assert added == [0, 1]
    again: Any = [*asked["input"], thought.to_dict(), *user("And?")]
    assert gpt.responses.create(**asked | {"input": again}).output
    again[1] = {**thought.to_dict(), "encrypted_content": "bWluZQ=="}
    with pytest.raises(openai.BadRequestError, match="signature"):
        gpt.responses.create(**asked | {"input": again})
    asked |= {"reasoning": {"effort": "low"}, "include": []}
    shown = gpt.responses.create(**asked).output[0]
    assert shown.type == "reasoning"
    assert (shown.summary, shown.encrypted_content) == ([], None)


def test_break_in_the_stream_is_seen_by_both_sdks(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    chunks = gpt.chat.completions.create(model="gpt-4o", messages=user("error midstream"), stream=True)
    assert len([next(chunks) for _ in range(4)]) == 4
    with pytest.raises(openai.APIConnectionError):
        next(chunks)
    with pytest.raises(openai.APIConnectionError):
        gpt.chat.completions.create(model="gpt-4o", messages=user("error midstream"))
    events = claude.messages.create(model="claude", max_tokens=50, messages=user("error midstream"), stream=True)
    # This SDK lets its HTTP library's error through.
    with pytest.raises(httpx2.RemoteProtocolError):
        list(events)
