"""The error tree."""

from __future__ import annotations

import inspect
import re

import pytest

from llm_gateway import errors
from llm_gateway.core.record import ENDINGS

KINDS = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.GatewayError)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_complete(kind: type[errors.GatewayError]) -> None:
    """A status, a name of its own, a known ending, and a docstring that says what happened."""
    assert 400 <= kind.status <= 599
    assert re.fullmatch(r"[a-z_]+", kind.kind)
    assert kind.ended in ENDINGS
    assert kind.__doc__


def test_names_are_not_shared() -> None:
    """``x-gw-error`` tells the kinds apart; a kind shares its name with the abstract one above it at most."""
    for one in KINDS:
        for other in KINDS:
            if one is not other and one.kind == other.kind:
                assert issubclass(one, other) or issubclass(other, one)


def test_tree_is_drawn_in_full() -> None:
    """The picture at the top of the module shows every kind."""
    assert errors.__doc__ is not None
    for kind in [*KINDS, errors.ConfigurationError]:
        assert re.search(rf"\b{kind.__name__}\b", errors.__doc__), kind


def test_problem_says_where() -> None:
    """File, line and place, as editors understand them."""
    assert str(errors.Problem("keys.json", 7, "virtual_keys[2].provider", "wrong")) == (
        "keys.json:7: virtual_keys[2].provider: wrong"
    )
    assert str(errors.Problem("keys.json", None, "", "missing")) == "keys.json: missing"
