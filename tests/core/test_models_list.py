"""What a provider says of its own models."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_gateway.core.dialects import ANTHROPIC, GEMINI, OPENAI, Dialect
from llm_gateway.core.model_rules import NOTHING, ModelFacts
from llm_gateway.core.models_list import MAX_MODELS, models_listed


@pytest.mark.parametrize(
    ("dialect", "document", "expected"),
    [
        (OPENAI, {"data": [{"id": "a", "created": 1750000000}]}, {"a": ModelFacts(released="2025-06-15")}),
        (OPENAI, [{"id": "a", "created": "2025-06-15T01:02:03.5Z"}], {"a": ModelFacts(released="2025-06-15")}),
        (OPENAI, {"data": [{"id": "a", "created": 0}, {"object": "model"}]}, {"a": NOTHING}),
        (
            OPENAI,
            {"data": [{"id": "a", "created": 1e300}, {"id": "b", "created": "soon"}]},
            {"a": NOTHING, "b": NOTHING},
        ),
        (
            OPENAI,
            {"data": [{"id": "x/a", "name": "X: A", "context_length": 5, "pricing": {}}, {"id": "b", "name": "b"}]},
            {"x/a": ModelFacts(title="X: A", context_window=5), "b": NOTHING},
        ),
        (OPENAI, {"data": [{"id": "a", "max_model_len": 7}]}, {"a": ModelFacts(context_window=7)}),
        (OPENAI, {"data": [{"id": "a", "max_model_len": -7, "max_tokens": 2**70}]}, {"a": NOTHING}),
        (
            ANTHROPIC,
            {
                "data": [
                    {
                        "type": "model",
                        "id": "claude-x",
                        "display_name": "Claude X",
                        "created_at": "2025-02-19T00:00:00Z",
                        "max_input_tokens": 200_000,
                        "max_tokens": 8_000,
                    }
                ],
                "has_more": False,
            },
            {
                "claude-x": ModelFacts(
                    title="Claude X", released="2025-02-19", context_window=200_000, max_output_tokens=8_000
                )
            },
        ),
        (
            GEMINI,
            {"models": [{"name": "models/g", "displayName": "G", "inputTokenLimit": 9, "outputTokenLimit": 3}]},
            {"g": ModelFacts(title="G", context_window=9, max_output_tokens=3)},
        ),
        (GEMINI, {}, {}),
    ],
)
def test_what_each_dialect_and_many_of_its_speakers_say_is_known(
    dialect: Dialect, document: Any, expected: dict[str, ModelFacts]
) -> None:
    assert models_listed(dialect, json.dumps(document).encode()) == expected


def test_no_list_fills_the_memory() -> None:
    document = {"data": [{"id": f"m-{number}"} for number in range(MAX_MODELS + 5)]}
    assert len(models_listed(OPENAI, json.dumps(document).encode())) == MAX_MODELS
