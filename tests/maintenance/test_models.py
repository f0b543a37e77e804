"""Keeping the shipped catalogue of models: what others know of them is told, and only what was missing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llm_gateway.config.catalogue import CatalogueFile, shipped_models
from maintenance.models import CATALOGUE, NAMES, Source, compared, main, merged, written

KNOWN: dict[str, Any] = {
    "date": "2026-01-01",
    "made_from": ["each family's own source", "models.dev of old"],
    "families": {
        "gemini": {
            "title": "Google Gemini",
            "source": ["https://e.test"],
            "models": {
                "g-1": {"title": "G 1", "context_window": 1000, "operations": ["chat"]},
                "g-0": {"title": "G 0", "operations": ["chat"]},
            },
        },
        "openai": {"title": "OpenAI", "source": ["https://e.test"], "models": {"o-1": {"title": "O 1"}}},
    },
}

THEIRS: dict[str, Any] = {
    "google": {
        "id": "google",
        "models": {
            "g-1": {"id": "g-1", "name": "G 1", "limit": {"context": 2000, "output": 100}, "cost": {"input": 1}},
            "g-1-20260101": {"name": "G 1 (January)"},
            "g-2": {
                "name": "G 2",
                "release_date": "2026-02-03",
                "reasoning": True,
                "temperature": False,
                "limit": {"context": 3000, "output": 0},
                "modalities": {"input": ["image", "text", "smell"], "output": ["text"]},
            },
            "g-old": {"name": "G", "status": "deprecated", "release_date": "2020"},
        },
    }
}


def catalogue() -> CatalogueFile:
    return msgspec.convert(KNOWN, CatalogueFile)


def source() -> Source:
    return Source(json.dumps(THEIRS).encode())


def test_what_is_known_otherwise_is_told() -> None:
    assert [str(each) for each in compared(catalogue(), source())] == [
        "other   gemini/g-1: context_window is 1000 here and 2000 there",
        "missing gemini/g-1: max_output_tokens is 100",
        "gone    gemini/g-0",
        "new     gemini/g-2",
    ]


def test_new_models_and_missing_facts_are_put_in() -> None:
    found = merged(catalogue(), source(), "2026-03-04")
    assert found.date == "2026-03-04"
    assert found.made_from == ("each family's own source", "models.dev, api.json of 2026-03-04")
    models = msgspec.to_builtins(found.families["gemini"].models)
    assert list(models) == ["g-1", "g-0", "g-2"]
    assert models["g-1"] == {
        "title": "G 1",
        "context_window": 1000,
        "max_output_tokens": 100,
        "operations": ("chat",),
    }
    assert models["g-2"] == {
        "title": "G 2",
        "released": "2026-02-03",
        "context_window": 3000,
        "reasoning": True,
        "sampling": False,
        "inputs": ("text", "image"),
        "outputs": ("text",),
        "operations": ("chat",),
    }
    assert found.families["openai"] == catalogue().families["openai"]


def test_facts_are_replaced_where_that_is_asked() -> None:
    found = merged(catalogue(), source(), "2026-03-04", ["g-1"])
    assert found.families["gemini"].models["g-1"].context_window == 2000


def test_shipped_file_is_as_it_would_be_written() -> None:
    assert written(shipped_models()) == CATALOGUE.read_text()


def test_every_family_of_the_catalogue_can_be_looked_up() -> None:
    assert set(NAMES) == set(shipped_models().families)


def test_command_tells_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, theirs = tmp_path / "models.json", tmp_path / "api.json"
    file.write_text(written(catalogue()))
    theirs.write_text(json.dumps(THEIRS))
    options = [str(theirs), "--catalogue", str(file), "--date", "2026-03-04"]
    assert main(options) == 0
    assert "new     gemini/g-2" in capsys.readouterr().out
    assert file.read_text() == written(catalogue())
    assert main([*options, "--write"]) == 0
    assert file.read_text() == written(merged(catalogue(), source(), "2026-03-04"))
    assert main([*options]) == 0
    assert "g-2" not in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("text", ["[]", "{", '{"google": {"models": {"a": {"limit": 5}}}}'])
def test_file_of_another_form_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "api.json"
    theirs.write_text(text)
    assert main([str(theirs)]) == 1
    assert capsys.readouterr().err.startswith("maintenance.models: ")


def test_day_that_is_none_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "api.json"
    theirs.write_text("{}")
    assert main([str(theirs), "--date", "tomorrow"]) == 1
