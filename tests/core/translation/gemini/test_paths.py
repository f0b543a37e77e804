"""Model and verb are in the path."""

from __future__ import annotations

import pytest

from llm_gateway.core.translation.gemini.paths import Asked, asked, path_for, wants_events


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1beta/models/gemini-3-flash:generateContent", Asked("gemini-3-flash", "generateContent", "v1beta")),
        ("/v1/models/gpt-5.4-mini:streamGenerateContent", Asked("gpt-5.4-mini", "streamGenerateContent", "v1")),
        ("/v1beta/models/openai/gpt-5:countTokens", Asked("openai/gpt-5", "countTokens", "v1beta")),
        ("/v1beta/models/openai%2Fgpt-5:countTokens", Asked("openai/gpt-5", "countTokens", "v1beta")),
        ("/v1beta/models/ft:gpt-4o:acme:embedContent", Asked("ft:gpt-4o:acme", "embedContent", "v1beta")),
        ("/v1beta/tunedModels/mine:generateContent", Asked("tunedModels/mine", "generateContent", "v1beta")),
        (
            "/v1/projects/p/locations/global/publishers/google/models/gemini-3-flash:generateContent",
            Asked("gemini-3-flash", "generateContent", "v1"),
        ),
        ("/v1beta/models", None),
        ("/v1beta/models/gemini-3-flash", None),
        ("/v1/chat/completions", None),
        ("/v1beta/models/:generateContent", None),
    ],
)
def test_paths(path: str, expected: Asked | None) -> None:
    assert asked(path) == expected


def test_only_one_verb_streams() -> None:
    assert [Asked("m", verb, "v1").stream for verb in ("generateContent", "streamGenerateContent")] == [False, True]


@pytest.mark.parametrize("model", ["gemini-3-flash", "tunedModels/mine", "openai/gpt-5", "ft:gpt-4o:a", "mit leer%"])
def test_what_is_written_is_read_as_it_was(model: str) -> None:
    path = path_for(model, "generateContent")
    assert path.isascii()
    assert " " not in path
    assert asked(path) == Asked(model, "generateContent", "v1beta")


def test_the_version_may_be_in_the_base_url() -> None:
    assert path_for("models/gemini-3-flash", "countTokens", "") == "/models/gemini-3-flash:countTokens"


@pytest.mark.parametrize(
    ("query", "events"),
    [("alt=sse", True), ("key=x&alt=sse", True), ("", False), ("alt=json", False), ("xalt=sse", False)],
)
def test_streams_are_events_if_they_are_asked_for(query: str, events: bool) -> None:
    assert wants_events(query) is events
