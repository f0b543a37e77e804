"""The catalogue that ships: sound in itself, and not behind the official SDKs."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any, get_args

import anthropic.types.model
import openai.types.shared.chat_model
import pytest

from llm_gateway.config.catalogue import shipped_catalogue, shipped_models
from llm_gateway.core.model_rules import ModelFacts

MEDIA = {"text", "image", "pdf", "audio", "video"}
OPERATIONS = {"chat", "embeddings", "images", "speech", "transcription", "moderation", "realtime"}

MODELS = [
    pytest.param(facts, id=f"{family}/{name}")
    for family, each in shipped_models().families.items()
    for name, facts in each.models.items()
]


@pytest.mark.parametrize("facts", MODELS)
def test_facts_are_possible(facts: ModelFacts) -> None:
    assert facts.title
    for day in (facts.released, facts.retires):
        assert day is None or date.fromisoformat(day).isoformat() == day
    assert facts.released is None or facts.released <= shipped_models().date
    assert facts.context_window is None or facts.context_window >= 1024
    assert facts.max_output_tokens is None or 0 < facts.max_output_tokens <= (facts.context_window or 0)
    assert set(facts.inputs or ()) <= MEDIA
    assert set(facts.outputs or ()) <= MEDIA
    assert facts.operations
    assert set(facts.operations) <= OPERATIONS


def test_file_says_when_and_from_what_it_was_made() -> None:
    assert date.fromisoformat(shipped_models().date).isoformat() == shipped_models().date
    assert all(family.source for family in shipped_models().families.values())


def test_models_that_had_ended_when_it_was_made_are_left_out() -> None:
    for family in shipped_models().families.values():
        for name, facts in family.models.items():
            assert facts.retires is None or facts.retires > shipped_models().date, name


def literals(union: Any) -> list[str]:
    """The names in a union of a Literal and str."""
    return [name for part in get_args(union) for name in (get_args(part) or [part]) if isinstance(name, str)]


ENDED = {"claude-mythos-preview"}


@pytest.mark.parametrize("name", literals(anthropic.types.model.Model))
def test_every_model_of_the_anthropic_sdk_is_known(name: str) -> None:
    """A new SDK in the lock file may know newer models: look them up and add them."""
    facts = shipped_catalogue().find(name, "anthropic")
    assert name in ENDED or facts.max_output_tokens


def of_the_openai_sdk() -> list[str]:
    """Those of which it does not say that they end."""
    text = Path(openai.types.shared.chat_model.__file__).read_text()
    names, _, ending = text.partition('"""Deprecated values')
    return [name for name in re.findall(r'^ +"(.+)",$', names, re.MULTILINE) if f'"{name}"' not in ending]


@pytest.mark.parametrize("name", of_the_openai_sdk())
def test_every_model_of_the_openai_sdk_is_known(name: str) -> None:
    assert shipped_catalogue().find(name, "openai").context_window


def test_anthropic_s_demand_for_a_limit_can_be_met() -> None:
    """Its API refuses a call without one, so a translated call takes the model's own."""
    for name, facts in shipped_models().families["anthropic"].models.items():
        assert facts.max_output_tokens, name
