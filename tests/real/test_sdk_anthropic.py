"""The official Anthropic SDK, given no more than a base URL and a virtual key, works through the installed program."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from llm_gateway.config.load import built_in_aiservices
from tests.real.gateway import RunningGateway, running_gateway

KEY = "vk_user2_anthropic"
KEYS = {
    "vk_user1_openai": {"provider": "openai", "api_key": "sk-real-openai"},
    KEY: {"provider": "anthropic", "api_key": "sk-ant-real"},
    "vk_user4_lost": {"provider": "nowhere", "api_key": "sk-lost-real"},
}
MAX_BODY_BYTES = 200_000

PLACE = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
TOOL: Any = {"name": "get_weather", "input_schema": PLACE}


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
def client(gateway: RunningGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def with_key(gateway: RunningGateway) -> Iterator[Callable[[str], anthropic.Anthropic]]:
    """From a virtual key to a client."""
    made = []

    def make(key: str) -> anthropic.Anthropic:
        made.append(anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0))
        return made[-1]

    yield make
    for each in made:
        each.close()


def asking(text: str, **more: Any) -> Any:
    """The arguments of the smallest call that says ``text``."""
    return {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def kind_of(error: anthropic.APIStatusError) -> str:
    """The ``error.type`` of an answer in Anthropic's shape, checked to name the call as well."""
    body: Any = error.body
    assert body["type"] == "error"
    assert body["request_id"]
    return str(body["error"]["type"])


def test_message_is_answered(client: anthropic.Anthropic) -> None:
    """A plain message needs nothing but the base URL and the virtual key."""
    answer = client.messages.create(**asking("Who are you?"))
    assert text_of(answer) == "I am claude-sonnet-5-5 by Anthropic, played by the gateway's built-in demo provider."
    assert (answer.stop_reason, answer.usage.output_tokens > 0) == ("end_turn", True)


def test_key_as_bearer_token_works_too(gateway: RunningGateway) -> None:
    """Coding agents send their key as ``Authorization: Bearer`` in place of ``x-api-key``."""
    with anthropic.Anthropic(base_url=gateway.url, auth_token=KEY, api_key=None, max_retries=0) as client:
        assert text_of(client.messages.create(**asking("count to 2"))) == "1 2"


def test_message_streams(client: anthropic.Anthropic) -> None:
    """A streamed message comes event by event, from ``message_start`` to ``message_stop``."""
    events: list[Any] = list(client.messages.create(**asking("count to 4"), stream=True))
    assert (events[0].type, events[-1].type) == ("message_start", "message_stop")
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert deltas == ["1", " 2", " 3", " 4"]


def test_stream_helper_assembles_the_message(client: anthropic.Anthropic) -> None:
    """``messages.stream`` gives text while it comes and the whole message at the end."""
    with client.messages.stream(**asking("count to 3")) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert pieces == ["1", " 2", " 3"]
    assert text_of(final) == "1 2 3"
    assert final.usage.output_tokens == 3


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_message_calls_a_tool_and_uses_its_result(client: anthropic.Anthropic, stream: bool) -> None:
    """A whole round: the model calls a tool, gets its result, and answers with it."""
    question = asking("What is the weather in Paris?", tools=[TOOL])
    if stream:
        with client.messages.stream(**question) as events:
            asked: Any = events.get_final_message()
    else:
        asked = client.messages.create(**question)
    assert asked.stop_reason == "tool_use"
    [call] = asked.content
    assert (call.type, call.name, call.input) == ("tool_use", "get_weather", {"location": "Paris"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    use = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
    question["messages"] += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    assert "get_weather answered: 18 degrees" in text_of(client.messages.create(**question))


def test_tokens_are_counted(client: anthropic.Anthropic) -> None:
    """``messages/count_tokens`` is relayed like the message itself."""
    counted = client.messages.count_tokens(model="claude", messages=[{"role": "user", "content": "one two three"}])
    assert counted.input_tokens == 3


def test_models_are_listed_and_shown(client: anthropic.Anthropic) -> None:
    """``/v1/models`` is Anthropic's own for a client that sends ``anthropic-version``."""
    names = [model.id for model in client.models.list()]
    assert "claude-haiku-5-5" in names
    assert client.models.retrieve("claude-haiku-5-5").display_name == "Claude Haiku 5.5"


@pytest.mark.parametrize("root", ["", "/", "/v1", "/p/anthropic"])
def test_base_url_works_with_and_without_version(gateway: RunningGateway, root: str) -> None:
    """The SDK adds ``/v1`` itself; people who add it too, or name the provider in the path, are served as well."""
    with anthropic.Anthropic(base_url=gateway.url + root, api_key=KEY, max_retries=0) as client:
        assert text_of(client.messages.create(**asking("count to 2"))) == "1 2"
        assert client.messages.count_tokens(model="c", messages=[{"role": "user", "content": "a b"}]).input_tokens == 2
        assert "claude-haiku-5-5" in [model.id for model in client.models.list()]


def test_every_answer_names_the_call(client: anthropic.Anthropic) -> None:
    """``x-gw-request-id`` is on every answer, whole, streamed or refused, and never the same twice."""
    plain = client.messages.with_raw_response.create(**asking("count to 2"))
    streamed: Any = client.messages.with_raw_response.create(**asking("count to 2"), stream=True)
    assert len(list(streamed.parse())) > 2
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    ids = [each["x-gw-request-id"] for each in (plain.headers, streamed.headers, caught.value.response.headers)]
    assert len(set(ids)) == len(ids) == 3
    # The provider's own id stays readable, its account and its cookies do not.
    assert plain.headers["request-id"].startswith("req_demo")
    assert "anthropic-organization-id" not in plain.headers
    assert "set-cookie" not in plain.headers


def test_async_client_works_side_by_side(gateway: RunningGateway) -> None:
    """The asynchronous SDK gets plain, streamed and tool answers at the same time on shared connections."""

    async def converse() -> list[Any]:
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:

            async def plain(number: int) -> str:
                return text_of(await client.messages.create(**asking(f"count to {number}")))

            async def streamed(number: int) -> str:
                said = ""
                async for event in await client.messages.create(**asking(f"count to {number}"), stream=True):
                    said += event.delta.text if event.type == "content_block_delta" else ""
                return said

            async def helped(number: int) -> str:
                async with client.messages.stream(**asking(f"count to {number}")) as stream:
                    return "".join([piece async for piece in stream.text_stream])

            async def tool() -> Any:
                async with client.messages.stream(**asking("weather in Rome", tools=[TOOL])) as stream:
                    call: Any = (await stream.get_final_message()).content[0]
                    return call.input

            talks = [talk(number) for number in range(1, 6) for talk in (plain, streamed, helped)]
            return list(await asyncio.gather(*talks, tool()))

    *counted, arguments = asyncio.run(converse())
    assert counted == [text for number in range(1, 6) for text in 3 * [" ".join(map(str, range(1, number + 1)))]]
    assert arguments == {"location": "Rome"}


def test_async_client_raises_its_own_errors(gateway: RunningGateway) -> None:
    """An unknown key and a broken stream are the SDK's own exceptions in the asynchronous client too."""

    async def converse() -> None:
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key="vk_nobody", max_retries=0) as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.models.list()
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
            events = await client.messages.create(**asking("error midstream"), stream=True)
            with pytest.raises(anthropic.APIStatusError) as caught:
                _ = [event async for event in events]
            assert kind_of(caught.value) == "api_error"

    asyncio.run(converse())


def test_unknown_key_is_an_authentication_error(with_key: Callable[[str], anthropic.Anthropic]) -> None:
    """A virtual key that the gateway does not know: 401, and the answer does not repeat the key."""
    with pytest.raises(anthropic.AuthenticationError) as caught:
        with_key("vk_nobody").messages.create(**asking("Hello"))
    assert kind_of(caught.value) == "authentication_error"
    assert caught.value.response.headers["x-gw-error"] == "invalid_api_key"
    assert "vk_nobody" not in caught.value.response.text


def test_key_of_unconfigured_provider_is_a_bad_request(with_key: Callable[[str], anthropic.Anthropic]) -> None:
    """A key whose provider is not in ``aiservices.json``: 400, and the message names the provider."""
    with pytest.raises(anthropic.BadRequestError, match="'nowhere' is not configured") as caught:
        with_key("vk_user4_lost").messages.create(**asking("Hello"))
    assert caught.value.response.headers["x-gw-error"] == "provider_not_configured"
    assert kind_of(caught.value) == "invalid_request_error"


def test_key_of_another_dialect_is_a_bad_request(with_key: Callable[[str], anthropic.Anthropic]) -> None:
    """A key for OpenAI on a path that nothing is translated on: 400 in Anthropic's shape, which says what to do."""
    with pytest.raises(anthropic.BadRequestError, match="speaks OpenAI") as caught:
        with_key("vk_user1_openai").messages.batches.list()
    assert caught.value.response.headers["x-gw-error"] == "dialect_mismatch"
    assert kind_of(caught.value) == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("status", "kind", "name", "retry_after"),
    [
        pytest.param(400, anthropic.BadRequestError, "invalid_request_error", None, id="400"),
        pytest.param(403, anthropic.PermissionDeniedError, "permission_error", None, id="403"),
        pytest.param(429, anthropic.RateLimitError, "rate_limit_error", "1", id="429"),
        pytest.param(500, anthropic.InternalServerError, "api_error", None, id="500"),
        pytest.param(529, anthropic.OverloadedError, "overloaded_error", "1", id="529"),
    ],
)
def test_providers_own_errors_pass_through(
    client: anthropic.Anthropic,
    status: int,
    kind: type[anthropic.APIStatusError],
    name: str,
    retry_after: str | None,
    stream: bool,
) -> None:
    """What the provider refuses arrives as it said it: status, message, ``retry-after``; no mark of the gateway's."""
    with pytest.raises(kind, match=f"asked to fail with status {status}") as caught:
        client.messages.create(**asking(f"error {status}"), stream=stream)
    assert caught.value.status_code == status
    assert kind_of(caught.value) == name
    assert caught.value.response.headers.get("retry-after") == retry_after
    assert "x-gw-error" not in caught.value.response.headers


def test_broken_stream_is_an_error_with_the_calls_id(client: anthropic.Anthropic) -> None:
    """A provider that breaks off in mid-stream raises in the SDK, after the events that came; never a silent end."""
    stream, events = client.messages.create(**asking("error midstream"), stream=True), []
    with pytest.raises(anthropic.APIStatusError, match="closed the connection before its answer was whole") as caught:
        events.extend(stream)
    assert len(events) >= 4
    assert kind_of(caught.value) == "api_error"
    body: Any = caught.value.body
    assert body["request_id"] == caught.value.response.headers["x-gw-request-id"]


def test_stream_helper_raises_on_a_broken_stream(client: anthropic.Anthropic) -> None:
    """``messages.stream`` does not take half a message for a whole one."""
    with pytest.raises(anthropic.APIStatusError), client.messages.stream(**asking("error midstream")) as stream:
        stream.get_final_message()


def test_body_over_the_limit_is_refused(client: anthropic.Anthropic) -> None:
    """A request larger than ``--max-body-size``: 413 that names the limit, even while the client is still sending."""
    with pytest.raises(anthropic.RequestTooLargeError, match=f"larger than {MAX_BODY_BYTES} bytes") as caught:
        client.messages.create(**asking("x" * 5_000_000))
    assert kind_of(caught.value) == "request_too_large"


def test_unknown_path_is_not_found(gateway: RunningGateway) -> None:
    """A base URL with a mistake in it: 404 as JSON, which the SDK can read."""
    with (
        anthropic.Anthropic(base_url=f"{gateway.url}/claude", api_key=KEY, max_retries=0) as client,
        pytest.raises(anthropic.NotFoundError, match="nothing at /claude/v1/messages"),
    ):
        client.messages.create(**asking("Hello"))


def test_path_unknown_to_the_provider_is_its_own_404(client: anthropic.Anthropic) -> None:
    """Paths that the gateway has never heard of go to the provider, and its answer comes back."""
    with pytest.raises(anthropic.NotFoundError, match="Unknown path: GET /v1/messages/batches") as caught:
        client.messages.batches.list()
    assert kind_of(caught.value) == "not_found_error"
    assert "x-gw-error" not in caught.value.response.headers
