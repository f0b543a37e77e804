"""The models that ship with the gateway, in ``data/models.json``."""

from __future__ import annotations

from functools import cache

import msgspec

from llm_gateway.core.catalogue import Catalogue, Family
from llm_gateway.shipped import DATA

__all__ = ["CatalogueFile", "shipped_catalogue", "shipped_models"]


class CatalogueFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``data/models.json``."""

    date: str
    """The day on which the facts were looked up, ``YYYY-MM-DD``."""
    made_from: tuple[str, ...]
    families: dict[str, Family]


@cache
def shipped_models() -> CatalogueFile:
    """:return: the file as it is."""
    text = (DATA / "models.json").read_bytes()
    return msgspec.json.decode(text, type=CatalogueFile)


@cache
def shipped_catalogue() -> Catalogue:
    """:return: the catalogue made from it, the same one every time."""
    return Catalogue(shipped_models().families)
