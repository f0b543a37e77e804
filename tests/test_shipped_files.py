"""The example files: what the seed contract shows, and the same in the tree as in the wheel."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHIPPED = resources.files("llm_gateway") / "data"


@pytest.mark.parametrize("name", ["aiservices.json", "keys.example.json"])
def test_file_in_the_wheel_is_the_one_in_the_tree(name: str) -> None:
    """Whoever installs the wheel starts from the same example as whoever clones the tree."""
    assert (SHIPPED / name).read_bytes() == (ROOT / name).read_bytes()


def test_example_keys_are_the_documented_ones() -> None:
    """The three virtual keys that every example uses are there, in the plain form."""
    assert json.loads((ROOT / "keys.example.json").read_text()) == {
        "virtual_keys": {
            "vk_user1_openai": {"provider": "openai", "api_key": "sk-real-openai-key-123"},
            "vk_user2_anthropic": {"provider": "anthropic", "api_key": "sk-ant-real-anthropic-key-456"},
            "vk_user3_deepseek": {"provider": "deepseek", "api_key": "sk-deepseek-key-abc123"},
        }
    }


def test_keys_of_the_demo_are_the_example_and_one_for_what_else_it_plays() -> None:
    """Whatever works with the example works with the demo."""
    demo = json.loads((SHIPPED / "keys.demo.json").read_text())["virtual_keys"]
    example = json.loads((SHIPPED / "keys.example.json").read_text())["virtual_keys"]
    assert demo.items() >= example.items()
    assert [demo[name]["provider"] for name in demo.keys() - example.keys()] == ["gemini"]


def test_default_services_are_the_three_providers() -> None:
    """A key for OpenAI, Anthropic or DeepSeek works with no service configured by hand."""
    assert json.loads((ROOT / "aiservices.json").read_text()) == {
        "openai": "https://api.openai.com/v1/chat/completions",
        "anthropic": "https://api.anthropic.com/v1/messages",
        "deepseek": "https://api.deepseek.com/v1/chat/completions",
    }
