"""The installed gateway in front of providers that take nothing but valid requests of OpenAI's dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.real.gateway import RunningGateway, running_gateway
from tests.real.validating.openai_answers import Answered, Called, Counted, Failing, Said, Thought
from tests.real.validating.openai_models import NEWEST, PLAIN
from tests.real.validating.openai_provider import KEY, OpenAIProvider, running_openai

__all__ = [
    "BOTH",
    "CHAT",
    "CLAUDE_CODE",
    "CLAUDE_CODE_DEEPSEEK",
    "DEEPSEEK",
    "ERRORS",
    "GOOGLE",
    "HELLO",
    "MODEL",
    "OPENROUTER",
    "PARALLEL",
    "REASONED",
    "RESPONSES",
    "SIGNED",
    "USAGE",
    "WEATHER",
    "Scene",
    "scene",
]

CHAT, RESPONSES, BOTH = "vk_openai-chat", "vk_openai-responses", "vk_openai"
"""Virtual keys for OpenAI as a provider that has only the one API, only the other, or both."""
DEEPSEEK, OPENROUTER, GOOGLE = "vk_deepseek", "vk_openrouter", "vk_google"
"""Others that speak Chat Completions, each with its own way of telling what a model thinks."""

CLAUDE_CODE, CLAUDE_CODE_DEEPSEEK = "vk_claude-code", "vk_claude-code-deepseek"
"""The same for a program that asks for Claude whatever its provider."""

MODEL = {CHAT: PLAIN, RESPONSES: NEWEST}

USAGE = Counted(input=56, output=17, cached=30, reasoning=6)
HELLO = Answered((Said("Grüß Gott, wie geht es Ihnen?"),), usage=USAGE)
WEATHER = Answered(
    (
        Said("I look."),
        Called(
            "call_01A", "get_weather", json.dumps({"location": "Zürich \U0001f5fb", "days": [1, 2]}, ensure_ascii=False)
        ),
    )
)
PARALLEL = Answered(
    (
        Called("call_01B", "get_weather", '{"location": "Paris"}'),
        Called("call_01C", "get_time"),
        Called("call_01D", "get_weather", '{"location": "Rome"}'),
    )
)
REASONED = Answered(
    (
        Thought("They want the weather, so I have to look.", "gAAAAABqQ+/0=="),
        Called("call_01E", "get_weather", '{"location": "Bern"}'),
    ),
    usage=USAGE,
)
"""A thought to read, with something sealed in it, and a call: all have to come back as they were."""

SIGNED = Answered(
    (Called("call_01F", "get_weather", '{"location": "Bern"}', "CiQBjz1rX+/sig=="), Called("call_01G", "get_time"))
)
"""Google signs the first call of a turn, and has no thought to show."""

_INVALID = "invalid_request_error"
ERRORS = [
    Failing(400, "Invalid 'messages[0]': is wrong", _INVALID, "invalid_value", "messages[0]"),
    Failing(400, "This model's maximum context length is 128000 tokens.", _INVALID, "context_length_exceeded"),
    Failing(400, "Your request was rejected by our safety system.", _INVALID, "content_policy_violation"),
    Failing(401, "Incorrect API key provided.", _INVALID, "invalid_api_key"),
    Failing(403, "Country is not supported.", "request_forbidden", "unsupported_country_region_territory"),
    Failing(404, "The model `gpt-0` does not exist.", _INVALID, "model_not_found"),
    Failing(409, "It changed meanwhile.", _INVALID),
    Failing(413, "Request is too large.", _INVALID),
    Failing(422, "Cannot be processed.", _INVALID),
    Failing(429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    Failing(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    Failing(500, "The server had an error.", "server_error"),
    Failing(503, "The engine is currently overloaded.", "server_error"),
    Failing(504, "Timed out.", "server_error"),
]
"""Each kind of error."""


@attrs.frozen
class Scene:
    """A gateway and its provider."""

    gateway: RunningGateway
    provider: OpenAIProvider


@contextmanager
def scene(bin_dir: Path, folder: Path) -> Iterator[Scene]:
    """
    :param folder: an empty one for the gateway to run in.
    """
    with running_openai() as provider:
        providers = {
            "openai": {"base_url": provider.base_url},
            "openai-chat": {"base_url": provider.base_url, "apis": ["chat"]},
            "openai-responses": {"base_url": provider.base_url, "apis": ["responses"]},
            "deepseek": {"base_url": provider.deepseek_url, "apis": ["chat"]},
            "openrouter": {"base_url": provider.openrouter_url, "apis": ["chat"]},
            "google": {"base_url": provider.google_url, "apis": ["chat"]},
        }
        keys: dict[str, Any] = {f"vk_{name}": {"provider": name, "api_key": KEY} for name in providers}
        keys[CLAUDE_CODE] = {"provider": "openai", "api_key": KEY, "models": {"claude-*": NEWEST}}
        keys[CLAUDE_CODE_DEEPSEEK] = {"provider": "deepseek", "api_key": KEY, "models": {"claude-*": PLAIN}}
        options = ("--access-log-format", "json", "--health-interval", "0", "--reload-interval", "0")
        with running_gateway(bin_dir, folder, *options, keys=keys, providers=providers) as gateway:
            yield Scene(gateway, provider)
