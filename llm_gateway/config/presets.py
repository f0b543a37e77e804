"""The presets that ship with the gateway, in ``data/presets.json``."""

from __future__ import annotations

from functools import cache

import msgspec

from llm_gateway.config.values import Provider
from llm_gateway.core.catalogue import Shelf
from llm_gateway.core.model_rules import ModelRules
from llm_gateway.core.presets import Preset
from llm_gateway.shipped import DATA

__all__ = ["PresetsFile", "preset_at", "shelf_of", "shipped_presets"]


class PresetsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``data/presets.json``."""

    date: str
    """The day on which the addresses were looked up, ``YYYY-MM-DD``."""
    presets: dict[str, Preset]


@cache
def shipped_presets() -> PresetsFile:
    """:return: the file as it is."""
    text = (DATA / "presets.json").read_bytes()
    return msgspec.json.decode(text, type=PresetsFile)


def shelf_of(provider: Provider) -> Shelf:
    """
    :return: what is known of its models. A server at an address of its own may have any, and is most likely to have
        those of the providers whose dialect it speaks.
    """
    preset = shipped_presets().presets.get(provider.preset or "")
    nothing = ModelRules()
    return Shelf(
        provider.models,
        provider.family or provider.dialect,
        nothing if preset is None else preset.serves,
        nothing if preset is None else preset.spells,
    )


def preset_at(host: str) -> str | None:
    """
    :param host: of a provider's URL, in lower case.
    :return: the name of the preset whose host that is.
    """
    return next((name for name, preset in shipped_presets().presets.items() if preset.is_at(host)), None)
