"""Fallbacks that speak another dialect than the caller and the provider before them: real SDKs notice nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import attrs
import openai
import pytest

from tests.real.routing.stage import MortalProvider, Stage, saying, stage
from tests.real.translation import anthropic_scene, openai_scene
from tests.real.validating import anthropic_provider, openai_provider
from tests.real.validating.anthropic_provider import AnthropicProvider, running_anthropic
from tests.real.validating.openai_models import PLAIN
from tests.real.validating.openai_provider import OpenAIProvider, running_openai

CLAUDE = "claude-sonnet-4-5"
TEXT = "Grüß Gott, wie geht es Ihnen?"
KEY = "vk_everything"


@attrs.frozen
class Cast:
    """A gateway whose first providers are down, and those behind them."""

    stage: Stage
    mortal: MortalProvider
    claude: AnthropicProvider
    gpt: OpenAIProvider

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.stage.gateway.url}/v1", api_key=KEY, max_retries=0)

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.stage.gateway.url, api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def cast(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    with ExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        # Bound and not listening: nobody else gets this port, and whoever connects is refused.
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        mortal = stack.enter_context(MortalProvider())
        claude, gpt = stack.enter_context(running_anthropic()), stack.enter_context(running_openai())
        providers = {
            "down-gpt": {"base_url": nowhere, "dialect": "openai"},
            "down-claude": {"base_url": nowhere, "dialect": "anthropic"},
            "mortal": {"base_url": f"{mortal.url}/v1", "dialect": "openai"},
            "claude": {"url": claude.url, "dialect": "anthropic"},
            "gpt": {"base_url": gpt.base_url, "dialect": "openai"},
        }
        credentials = {
            "claude": {"provider": "claude", "api_key": anthropic_provider.KEY},
            "gpt": {"provider": "gpt", "api_key": openai_provider.KEY},
        }
        models = {
            "smart": {"targets": [f"down-gpt/{PLAIN}", f"claude/{CLAUDE}"]},
            "wise": {"targets": [f"down-claude/{CLAUDE}", f"gpt/{PLAIN}"]},
            "frail": {"targets": [f"mortal/{PLAIN}", f"claude/{CLAUDE}"]},
            "own": {"targets": [f"down-gpt/{PLAIN}"], "fallbacks": ["wise"]},
        }
        staged = stack.enter_context(
            stage(
                bin_dir,
                tmp_path_factory.mktemp("dialects"),
                providers=providers,
                credentials=credentials,
                routing={"models": models, "retries": {"repeat": "generations", "first_wait_s": 0.02}},
                keys={KEY: list(providers)},
            )
        )
        yield Cast(staged, mortal, claude, gpt)
        claude.forget()
        gpt.forget()


@pytest.fixture(autouse=True)
def _no_slot_is_left(cast: Cast) -> Iterator[None]:
    """After every test all is zero."""
    yield
    cast.stage.wait_for_slots(0)


def asking(text: str = "Hello") -> list[Any]:
    return [{"role": "user", "content": text}]


def test_openai_caller_streams_from_an_anthropic_fallback(cast: Cast) -> None:
    """The first provider refuses connections; the stream that comes is translated, and whole."""
    cast.claude.plays(anthropic_scene.HELLO)
    with cast.openai() as client:
        raw = client.chat.completions.with_raw_response.create(model="smart", messages=asking(), stream=True)
        chunks = list(raw.parse())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert (raw.headers["x-gw-provider"], raw.headers["x-gw-attempts"]) == ("claude", "2")
    assert cast.claude.last["model"] == CLAUDE


def test_anthropic_caller_streams_from_an_openai_fallback(cast: Cast) -> None:
    """The other way round."""
    cast.gpt.plays(openai_scene.HELLO)
    with (
        cast.anthropic() as client,
        client.messages.stream(model="wise", max_tokens=64, messages=asking()) as stream,
    ):
        assert "".join(stream.text_stream) == TEXT
        assert stream.get_final_message().stop_reason == "end_turn"
        assert stream.response.headers["x-gw-provider"] == "gpt"
    assert cast.gpt.last["model"] == PLAIN


def test_model_falls_back_on_another_name(cast: Cast) -> None:
    """A fallback is a name as callers use them, with all that it stands for; what cannot be reached is passed over."""
    cast.gpt.plays(openai_scene.HELLO)
    answer = cast.stage.call(KEY, saying("Hello", model="own"))
    assert answer.json()["choices"][0]["message"]["content"] == TEXT
    assert answer.value("x-gw-provider") == "gpt"


def test_sdk_survives_the_end_of_the_provider_that_has_its_call(cast: Cast) -> None:
    """It is killed while the SDK waits: the answer comes from elsewhere, in another dialect, on the same call."""
    cast.claude.plays(anthropic_scene.HELLO)
    got: list[Any] = []

    def call() -> None:
        with cast.openai() as client:
            got.append(client.chat.completions.with_raw_response.create(model="frail", messages=asking("wait")))

    calling = threading.Thread(target=call)
    calling.start()
    cast.stage.wait_for_slots(1)
    cast.mortal.kill()
    calling.join()
    [raw] = got
    assert raw.parse().choices[0].message.content == TEXT
    assert (raw.headers["x-gw-provider"], raw.headers["x-gw-attempts"]) == ("claude", "2")
