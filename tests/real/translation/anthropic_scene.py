"""The installed gateway in front of a provider that takes nothing but valid requests of the Messages API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.real.gateway import RunningGateway, running_gateway
from tests.real.validating.anthropic_answers import USAGE, Answered, Called, Redacted, Said, Thought
from tests.real.validating.anthropic_provider import KEY, AnthropicProvider, running_anthropic

__all__ = ["COUNTED", "ERRORS", "HELLO", "PARALLEL", "THINKING", "VIRTUAL_KEY", "WEATHER", "Scene", "scene"]

VIRTUAL_KEY = "vk_anthropic"
"""With ``_drop``, ``_pass`` or ``_reject`` behind it: a key with that policy about what Anthropic lacks."""

COUNTED: dict[str, Any] = {
    **USAGE,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 0},
    "output_tokens_details": {"thinking_tokens": 6},
}
"""56 tokens of the prompt, 17 of the answer."""

HELLO = Answered((Said("Grüß Gott, wie geht es Ihnen?"),), usage=COUNTED)

WEATHER = Answered(
    (Said("I look."), Called("toolu_01A", "get_weather", {"location": "Zürich \U0001f5fb", "days": [1, 2]})), "tool_use"
)
PARALLEL = Answered(
    (
        Called("toolu_01B", "get_weather", {"location": "Paris"}),
        Called("toolu_01C", "get_time", {}),
        Called("toolu_01D", "get_weather", {"location": "Rome"}),
    ),
    "tool_use",
)
THINKING = Answered(
    (
        Thought("They want the weather, so I have to look.", "ErUBCkYIBxgCIkDsig+/0=="),
        Redacted("EmwKAhgBEgyredacted+/=="),
        Called("toolu_01E", "get_weather", {"location": "Bern"}),
    ),
    "tool_use",
    usage=COUNTED,
)
"""A thought to read, one that nobody may read, and a call: all have to come back as they were."""

ERRORS = [
    (400, "invalid_request_error", "messages.0: is wrong"),
    (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    (401, "authentication_error", "invalid x-api-key"),
    (402, "billing_error", "Payment is due"),
    (403, "permission_error", "Your API key does not have permission"),
    (404, "not_found_error", "model: claude-none"),
    (409, "conflict_error", "It changed meanwhile"),
    (413, "request_too_large", "Request exceeds the maximum size"),
    (429, "rate_limit_error", "This request would exceed your rate limit"),
    (500, "api_error", "Internal server error"),
    (503, "api_error", "Unavailable"),
    (504, "timeout_error", "Request timed out"),
    (529, "overloaded_error", "Overloaded"),
]
"""Status, type and message of each kind of error."""


@attrs.frozen
class Scene:
    """A gateway and its provider."""

    gateway: RunningGateway
    provider: AnthropicProvider


@contextmanager
def scene(bin_dir: Path, folder: Path) -> Iterator[Scene]:
    """
    :param folder: an empty one for the gateway to run in.
    """
    with running_anthropic() as provider:
        key = {"provider": "anthropic", "api_key": KEY}
        policies = {f"{VIRTUAL_KEY}_{each}": {**key, "on_unsupported": each} for each in ("drop", "pass", "reject")}
        keys = {VIRTUAL_KEY: key, **policies}
        providers = {"anthropic": {"url": provider.url}}
        options = ("--access-log-format", "json", "--health-interval", "0", "--reload-interval", "0")
        with running_gateway(bin_dir, folder, *options, keys=keys, providers=providers) as gateway:
            yield Scene(gateway, provider)
