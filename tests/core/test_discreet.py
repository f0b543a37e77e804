"""Values that do not show all that they hold."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import msgspec
import pytest

import llm_gateway
from llm_gateway.core.discreet import Discreet


class Place(Discreet, msgspec.Struct, frozen=True):
    street: str
    code: str

    def shown(self) -> tuple[str, ...]:
        return ("street",)


class Map(msgspec.Struct):
    places: list[Place]


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(llm_gateway.__path__, "llm_gateway."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def structs() -> list[type[msgspec.Struct]]:
    """Every one of the package."""
    everything = [each for module in modules() for each in vars(module).values() if isinstance(each, type)]
    return sorted({each for each in everything if issubclass(each, msgspec.Struct)}, key=lambda each: each.__qualname__)


def test_nothing_else_is_shown() -> None:
    place = Place("High Street", "canary")
    for text in (repr(place), str(place), f"{place}", repr(Map([place])), repr(place.__rich_repr__())):
        assert "High Street" in text
        assert "canary" not in text
    assert repr(place) == "Place(street='High Street')"


def test_it_is_a_value_like_others() -> None:
    assert Place("a", "b") == Place("a", "b") != Place("a", "c")
    assert hash(Place("a", "b")) == hash(Place("a", "b"))
    assert msgspec.json.encode(Place("a", "b")) == b'{"street":"a","code":"b"}'
    with pytest.raises(AttributeError):
        Place("a", "b").code = "c"  # type: ignore[misc]  # that it cannot is the point


def test_every_struct_that_hides_something_hides_it_from_rich_too() -> None:
    """A struct says all of itself to ``rich`` unless it is told otherwise, whatever its ``repr`` says."""
    own = [each for each in structs() if each.__repr__ is not msgspec.Struct.__repr__]
    assert len(own) >= 10
    assert [each for each in own if not issubclass(each, Discreet)] == []
    for each in own:
        assert set(each.shown(object.__new__(each))) <= set(dir(each)), each  # type: ignore[attr-defined]
