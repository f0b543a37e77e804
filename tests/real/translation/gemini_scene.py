"""The installed gateway in front of a provider that takes nothing but valid requests of the Gemini API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.real.gateway import RunningGateway, running_gateway
from tests.real.validating.gemini_answers import USAGE, Answered, Called, Failing, Said, Thought, details
from tests.real.validating.gemini_provider import KEY, GeminiProvider, running_gemini

__all__ = ["COUNTED", "ERRORS", "HELLO", "PARALLEL", "STEPS", "THINKING", "VIRTUAL_KEY", "WEATHER", "Scene", "scene"]

VIRTUAL_KEY = "vk_gemini"

COUNTED: dict[str, Any] = {
    **USAGE,
    "promptTokenCount": 50,
    "cachedContentTokenCount": 30,
    "toolUsePromptTokenCount": 6,
    "candidatesTokenCount": 11,
    "thoughtsTokenCount": 6,
    "totalTokenCount": 73,
}
"""56 tokens of the prompt, with what tools brought in, and 17 of the answer, with thoughts."""

HELLO = Answered((Said("Grüß Gott, wie geht es Ihnen?"),), usage=COUNTED)

WEATHER = Answered(
    (
        Said("I look."),
        Called("get_weather", {"location": "Zürich \U0001f5fb", "days": [1, 2]}, "fc-1a", "CiQBVKhc7vv/v2hlbGxv"),
    )
)
PARALLEL = Answered(
    (
        Called("get_weather", {"location": "Paris"}, signature="CiQBVKhc7nR3byBjYWxscw=="),
        Called("get_time"),
        Called("get_weather", {"location": "Rome"}),
    )
)
"""Calls without ids, as Google has them often, and one signature for all of them."""
THINKING = Answered(
    (
        Thought("They want the weather, so I have to look."),
        Called("get_weather", {"location": "Bern"}, "fc-2a", "CiQBVKhc7mJlcm4="),
    ),
    usage=COUNTED,
)
STEPS = Answered(
    (Thought("Now I know."), Said("It is 18 degrees, and it will rain.", "CiQBVKhc7nJhaW4=")), usage=COUNTED
)
"""A thought and a text that is signed itself."""

_RETRY = details("RetryInfo", retryDelay="2.4s")

ERRORS = [
    Failing(400, "INVALID_ARGUMENT", "contents is wrong", (details("BadRequest", fieldViolations=[{"field": "x"}]),)),
    Failing(400, "INVALID_ARGUMENT", "The input token count (2000000) exceeds the maximum number of tokens allowed"),
    Failing(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    Failing(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
    Failing(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    Failing(403, "PERMISSION_DENIED", "You may not use this model"),
    Failing(404, "NOT_FOUND", "models/gemini-0 is not found"),
    Failing(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", (_RETRY,)),
    Failing(429, "RESOURCE_EXHAUSTED", "Your prepaid credits are depleted."),
    Failing(500, "INTERNAL", "An internal error has occurred"),
    Failing(503, "UNAVAILABLE", "The model is overloaded"),
    Failing(504, "DEADLINE_EXCEEDED", "Deadline expired"),
]


@attrs.frozen
class Scene:
    """A gateway and its provider."""

    gateway: RunningGateway
    provider: GeminiProvider


@contextmanager
def scene(bin_dir: Path, folder: Path) -> Iterator[Scene]:
    """
    :param folder: an empty one for the gateway to run in.
    """
    with running_gemini() as provider:
        keys = {VIRTUAL_KEY: {"provider": "gemini", "api_key": KEY}}
        providers = {"gemini": {"base_url": provider.base_url}}
        options = ("--access-log-format", "json", "--health-interval", "0", "--reload-interval", "0")
        with running_gateway(bin_dir, folder, *options, keys=keys, providers=providers) as gateway:
            yield Scene(gateway, provider)
