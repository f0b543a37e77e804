"""The official OpenAI SDK, given no more than a base URL and a virtual key, works through the installed program."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from llm_gateway.config.load import built_in_aiservices
from tests.real.gateway import RunningGateway, running_gateway

KEY = "vk_user1_openai"
KEYS = {
    KEY: {"provider": "openai", "api_key": "sk-real-openai"},
    "vk_user2_anthropic": {"provider": "anthropic", "api_key": "sk-ant-real"},
    "vk_user3_deepseek": {"provider": "deepseek", "api_key": "sk-deepseek-real"},
    "vk_user4_lost": {"provider": "nowhere", "api_key": "sk-lost-real"},
}
MAX_BODY_BYTES = 200_000

PLACE = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": PLACE}}
RESPONSES_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": PLACE, "strict": True}


@pytest.fixture(scope="module")
def gateway(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    options = ("--demo", "--keys", "keys.json", "--aiservices", "aiservices.json")
    more = ("--max-body-size", str(MAX_BODY_BYTES))
    # Each error is one that the provider gave to the call it is about.
    providers = json.loads(Path(built_in_aiservices()).read_text())
    with running_gateway(bin_dir, folder, *options, *more, keys=KEYS, providers=providers) as running:
        yield running


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def with_key(gateway: RunningGateway) -> Iterator[Callable[[str], openai.OpenAI]]:
    """From a virtual key to a client."""
    made = []

    def make(key: str) -> openai.OpenAI:
        made.append(openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0))
        return made[-1]

    yield make
    for each in made:
        each.close()


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def code_of(error: openai.APIError) -> str | None:
    """The gateway's or the provider's own name for an error, as the SDK shows it."""
    return error.code


def test_chat_is_answered(client: openai.OpenAI) -> None:
    """A plain chat call needs nothing but the base URL and the virtual key."""
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=user("Who are you?"))
    assert (
        answer.choices[0].message.content
        == "I am gpt-4o-mini by OpenAI, played by the gateway's built-in demo provider."
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_chat_streams(client: openai.OpenAI) -> None:
    """A streamed answer comes in as many pieces as the provider sent, with the usage that was asked for."""
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o-mini", messages=user("count to 5"), stream=True, stream_options={"include_usage": True}
        )
    )
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert [piece for piece in said if piece] == ["1", " 2", " 3", " 4", " 5"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


def test_chat_stream_helper_assembles_the_answer(client: openai.OpenAI) -> None:
    """``chat.completions.stream`` gives events while the answer comes and the whole of it at the end."""
    with client.chat.completions.stream(model="gpt-4o-mini", messages=user("count to 3")) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "1 2 3"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_chat_calls_a_tool_and_uses_its_result(client: openai.OpenAI, stream: bool) -> None:
    """A whole round: the model calls a tool, gets its result, and answers with it."""
    messages = user("What is the weather in Paris?")
    if stream:
        with client.chat.completions.stream(model="gpt-4o", messages=messages, tools=[CHAT_TOOL]) as events:
            asked = events.get_final_completion().choices[0]
    else:
        asked = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[CHAT_TOOL]).choices[0]  # type: ignore[assignment]
    assert asked.finish_reason == "tool_calls"
    [call] = asked.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"location": "Paris"})
    messages += [
        {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": call.function.to_dict()}]},
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
    ]
    answer = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[CHAT_TOOL])
    assert "get_weather answered: 18 degrees" in (answer.choices[0].message.content or "")


def test_responses_answer_and_stream_alike(client: openai.OpenAI) -> None:
    """The Responses API works plain and streamed, and its stream ends with ``response.completed``."""
    plain = client.responses.create(model="gpt-4o", input="count to 3")
    events = list(client.responses.create(model="gpt-4o", input="count to 3", stream=True))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == plain.output_text == "1 2 3"
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["1", " 2", " 3"]


def test_responses_stream_helper_calls_a_tool_and_uses_its_result(client: openai.OpenAI) -> None:
    """``responses.stream`` assembles a tool call; the call with its result is answered."""
    question = user("weather in Oslo please")
    with client.responses.stream(model="gpt-4o", input=question, tools=[RESPONSES_TOOL]) as stream:
        call = stream.get_final_response().output[0]
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"location": "Oslo"})
    question += [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    final = client.responses.create(model="gpt-4o", input=question, tools=[RESPONSES_TOOL])
    assert "get_weather answered: rain" in final.output_text


def test_embeddings_are_made(client: openai.OpenAI) -> None:
    """Vectors come in the SDK's own packed encoding."""
    made = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert [len(each.embedding) for each in made.data] == [256, 256]
    assert made.data[0].embedding != made.data[1].embedding


def test_uploads_arrive_byte_for_byte(client: openai.OpenAI) -> None:
    """A multipart upload reaches the provider whole: audio to transcribe, and files with every byte in them."""
    content = b"\r\n--x\r\n" + bytes(range(256)) * 400 + b"\r\n"
    heard = client.audio.transcriptions.create(model="whisper-1", file=("hum.wav", content))
    assert heard.text.startswith(f"hum.wav has {len(content)} bytes, says whisper-1")
    file = client.files.create(file=("data.jsonl", content), purpose="batch")
    assert (file.bytes, file.filename, file.purpose) == (len(content), "data.jsonl", "batch")


def test_speech_comes_back_as_sound(client: openai.OpenAI, tmp_path: Path) -> None:
    """Binary answers pass untouched, whole in memory or streamed to a file."""
    asked: Any = {"model": "tts-1", "voice": "alloy", "input": "five words make less noise"}
    whole = client.audio.speech.create(**asked).content
    with client.audio.speech.with_streaming_response.create(**asked) as response:
        response.stream_to_file(tmp_path / "speech.wav")
    assert (tmp_path / "speech.wav").read_bytes() == whole
    with wave.open(io.BytesIO(whole)) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(0.4)


def test_models_are_listed_and_shown(client: openai.OpenAI) -> None:
    """The provider's models come as it lists them."""
    names = [model.id for model in client.models.list()]
    assert "gpt-4o-mini" in names
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"


def test_each_key_reaches_its_own_provider(with_key: Callable[[str], openai.OpenAI]) -> None:
    """The same call with another virtual key is answered by another provider."""
    deepseek = with_key("vk_user3_deepseek").chat.completions.create(model="deepseek", messages=user("Who are you?"))
    assert "deepseek by DeepSeek" in (deepseek.choices[0].message.content or "")


@pytest.mark.parametrize("root", ["", "/v1", "/p/openai/v1", "/p/openai"])
def test_base_url_works_with_and_without_version(gateway: RunningGateway, root: str) -> None:
    """People forget the ``/v1`` or name the provider in the path: chat, responses, embeddings and models all work."""
    with openai.OpenAI(base_url=gateway.url + root, api_key=KEY, max_retries=0) as client:
        chat = client.chat.completions.create(model="gpt-4o", messages=user("count to 2"))
        assert chat.choices[0].message.content == "1 2"
        assert client.responses.create(model="gpt-4o", input="count to 2").output_text == "1 2"
        assert len(client.embeddings.create(model="text-embedding-3-small", input="one").data) == 1
        assert client.models.retrieve("whisper-1").object == "model"


def test_every_answer_names_the_call(client: openai.OpenAI) -> None:
    """``x-gw-request-id`` is on every answer, whole, streamed, binary or refused, and never the same twice."""
    chat = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=user("count to 2"))
    streamed: Any = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=user("count to 2"), stream=True
    )
    assert len(list(streamed.parse())) > 2
    speech = client.audio.speech.with_raw_response.create(model="tts-1", voice="alloy", input="one")
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    answers = [chat.headers, streamed.headers, speech.headers, caught.value.response.headers]
    ids = [headers["x-gw-request-id"] for headers in answers]
    assert len(set(ids)) == len(ids) == 4
    # The provider's own id stays readable, its account and its cookies do not.
    assert chat.headers["x-request-id"].startswith("req_demo")
    assert "openai-organization" not in chat.headers
    assert "set-cookie" not in chat.headers


def test_async_client_works_side_by_side(gateway: RunningGateway) -> None:
    """The asynchronous SDK gets plain, streamed and tool answers at the same time on shared connections."""

    async def converse() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:

            async def plain(number: int) -> str:
                answer = await client.chat.completions.create(model="gpt-4o", messages=user(f"count to {number}"))
                return answer.choices[0].message.content or ""

            async def streamed(number: int) -> str:
                said = ""
                async for chunk in await client.chat.completions.create(
                    model="gpt-4o", messages=user(f"count to {number}"), stream=True
                ):
                    said += chunk.choices[0].delta.content or ""
                return said

            async def helped(number: int) -> str:
                async with client.responses.stream(model="gpt-4o", input=f"count to {number}") as stream:
                    return (await stream.get_final_response()).output_text

            async def tool() -> str:
                async with client.chat.completions.stream(
                    model="gpt-4o", messages=user("weather in Rome"), tools=[CHAT_TOOL]
                ) as stream:
                    [call] = (await stream.get_final_completion()).choices[0].message.tool_calls or []
                    return call.function.arguments

            talks = [talk(number) for number in range(1, 6) for talk in (plain, streamed, helped)]
            return list(await asyncio.gather(*talks, tool()))

    *counted, arguments = asyncio.run(converse())
    assert counted == [text for number in range(1, 6) for text in 3 * [" ".join(map(str, range(1, number + 1)))]]
    assert json.loads(arguments) == {"location": "Rome"}


def test_async_client_raises_its_own_errors(gateway: RunningGateway) -> None:
    """An unknown key and a broken stream are the SDK's own exceptions in the asynchronous client too."""

    async def converse() -> None:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="vk_nobody", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
            chunks = await client.chat.completions.create(model="gpt-4o", messages=user("error midstream"), stream=True)
            with pytest.raises(openai.APIError) as caught:
                _ = [chunk async for chunk in chunks]
            assert code_of(caught.value) == "upstream_disconnected"

    asyncio.run(converse())


def test_unknown_key_is_an_authentication_error(with_key: Callable[[str], openai.OpenAI]) -> None:
    """A virtual key that the gateway does not know: 401, and the answer does not repeat the key."""
    with pytest.raises(openai.AuthenticationError) as caught:
        with_key("vk_nobody").chat.completions.create(model="gpt-4o", messages=user("Hello"))
    assert code_of(caught.value) == "invalid_api_key"
    assert caught.value.response.headers["x-gw-error"] == "invalid_api_key"
    assert "vk_nobody" not in caught.value.response.text


def test_key_of_unconfigured_provider_is_a_bad_request(with_key: Callable[[str], openai.OpenAI]) -> None:
    """A key whose provider is not in ``aiservices.json``: 400, and the message names the provider."""
    with pytest.raises(openai.BadRequestError, match="'nowhere' is not configured") as caught:
        with_key("vk_user4_lost").chat.completions.create(model="gpt-4o", messages=user("Hello"))
    assert code_of(caught.value) == "provider_not_configured"


def test_key_of_another_dialect_is_a_bad_request(with_key: Callable[[str], openai.OpenAI]) -> None:
    """A key for Anthropic on a path that nothing is translated on: 400 in OpenAI's shape, which says what to do."""
    with pytest.raises(openai.BadRequestError, match="speaks Anthropic") as caught:
        with_key("vk_user2_anthropic").moderations.create(input="Hello")
    assert code_of(caught.value) == "dialect_mismatch"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("status", "kind", "retry_after"),
    [
        pytest.param(400, openai.BadRequestError, None, id="400"),
        pytest.param(403, openai.PermissionDeniedError, None, id="403"),
        pytest.param(422, openai.UnprocessableEntityError, None, id="422"),
        pytest.param(429, openai.RateLimitError, "1", id="429"),
        pytest.param(500, openai.InternalServerError, None, id="500"),
        pytest.param(503, openai.InternalServerError, "1", id="503"),
    ],
)
def test_providers_own_errors_pass_through(
    client: openai.OpenAI, status: int, kind: type[openai.APIStatusError], retry_after: str | None, stream: bool
) -> None:
    """What the provider refuses arrives as it said it: status, message, ``retry-after``; no mark of the gateway's."""
    with pytest.raises(kind, match=f"asked to fail with status {status}") as caught:
        client.chat.completions.create(model="gpt-4o", messages=user(f"error {status}"), stream=stream)
    assert caught.value.status_code == status
    assert caught.value.response.headers.get("retry-after") == retry_after
    assert "x-gw-error" not in caught.value.response.headers


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(
            lambda client: client.chat.completions.create(
                model="gpt-4o", messages=user("error midstream"), stream=True
            ),
            id="chat",
        ),
        pytest.param(
            lambda client: client.responses.create(model="gpt-4o", input="error midstream", stream=True),
            id="responses",
        ),
    ],
)
def test_broken_stream_is_an_api_error(client: openai.OpenAI, start: Callable[[openai.OpenAI], Iterator[Any]]) -> None:
    """A provider that breaks off in mid-stream raises in the SDK, after the pieces that came; never a silent end."""
    stream = start(client)
    pieces: list[Any] = []
    with pytest.raises(openai.APIError, match="closed the connection before its answer was whole") as caught:
        pieces.extend(stream)
    assert len(pieces) >= 4
    assert code_of(caught.value) == "upstream_disconnected"


def test_broken_plain_answer_is_a_connection_error(client: openai.OpenAI) -> None:
    """Half a document cannot be mended once it has begun: the SDK sees the connection end, and not a whole answer."""
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="gpt-4o", messages=user("error midstream"))


def test_body_over_the_limit_is_refused(client: openai.OpenAI) -> None:
    """A request larger than ``--max-body-size``: 413 that names the limit, even while the client is still sending."""
    with pytest.raises(openai.APIStatusError, match=f"larger than {MAX_BODY_BYTES} bytes") as caught:
        client.chat.completions.create(model="gpt-4o", messages=user("x" * 5_000_000))
    assert caught.value.status_code == 413
    assert code_of(caught.value) == "request_too_large"


def test_unknown_path_is_not_found(gateway: RunningGateway) -> None:
    """A base URL with a mistake in it: 404 as JSON, which the SDK can read."""
    with (
        openai.OpenAI(base_url=f"{gateway.url}/vone", api_key=KEY, max_retries=0) as client,
        pytest.raises(openai.NotFoundError, match="nothing at /vone/chat/completions") as caught,
    ):
        client.chat.completions.create(model="gpt-4o", messages=user("Hello"))
    assert code_of(caught.value) == "not_found"


def test_path_unknown_to_the_provider_is_its_own_404(client: openai.OpenAI) -> None:
    """Paths that the gateway has never heard of go to the provider, and its answer comes back."""
    with pytest.raises(openai.NotFoundError, match="Unknown path: GET /v1/vector_stores") as caught:
        client.vector_stores.list()
    assert "x-gw-error" not in caught.value.response.headers


def test_sdk_retries_what_the_provider_says_may_be_retried(gateway: RunningGateway) -> None:
    """With its own retries on, the SDK sends a refused call again; the access log shows each."""
    before = len(gateway.lines)
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=1) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model="gpt-4o-retried", messages=user("error 500"))
    last = caught.value.response.headers["x-gw-request-id"]
    gateway.wait_for(rf"POST /v1/chat/completions 500 .*model=gpt-4o-retried .*id={last}", after=before)
    logged = [line for line in gateway.lines[before:] if "model=gpt-4o-retried" in line]
    assert len(logged) == 2
