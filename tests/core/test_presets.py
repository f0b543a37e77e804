"""Filling the addresses of presets."""

from __future__ import annotations

import pytest

from llm_gateway.core.presets import Address, MissingPlace, Place, Preset

CLOUD = Preset(
    title="Cloud",
    source=(),
    dialects={"openai": Address("https://{host}/v1/{project}"), "gemini": Address("https://g.{zone}.example")},
    places={
        "project": Place("the project"),
        "zone": Place(
            "the zone", "world", {"world": "cloud.example", "cn-*": "{zone}.cn", "*": "{zone}-cloud.example"}
        ),
    },
)
LOCAL = Preset(title="Local", source=(), dialects={"openai": Address("http://localhost:1/v1")})


@pytest.mark.parametrize(
    ("places", "filled"),
    [
        ({"project": "p"}, "https://cloud.example/v1/p"),
        ({"project": "p", "zone": "eu"}, "https://eu-cloud.example/v1/p"),
        ({"project": "p", "zone": "cn-1"}, "https://cn-1.cn/v1/p"),
    ],
)
def test_address_depends_on_what_was_said(places: dict[str, str], filled: str) -> None:
    assert CLOUD.filled("https://{host}/v1/{project}", places) == filled


def test_what_is_missing_is_named() -> None:
    with pytest.raises(MissingPlace) as caught:
        CLOUD.filled("https://{host}/v1/{project}", {"zone": "eu"})
    assert (caught.value.name, caught.value.about) == ("project", "the project")


@pytest.mark.parametrize("host", ["cloud.example", "eu-west-4-cloud.example", "a.cn", "g.eu.example"])
def test_preset_knows_its_hosts(host: str) -> None:
    assert CLOUD.is_at(host)


@pytest.mark.parametrize("host", ["example", "x.cloud.example", "a.b.cn", "cloud-example", "", "g..example"])
def test_preset_does_not_take_others_for_its_own(host: str) -> None:
    assert not CLOUD.is_at(host)


def test_this_machine_is_nobody_s() -> None:
    """Anything may listen there."""
    assert not LOCAL.is_at("localhost")
