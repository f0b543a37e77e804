"""Values that look at themselves when they are made."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from msgspec import Meta
from msgspec.structs import replace

from llm_gateway.core.checked import Checked


class Share(Checked, frozen=True):
    of: float
    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    most: Annotated[int, Meta(ge=1)] | None = None


@pytest.mark.parametrize("fields", [{}, {"share": 1}, {"share": 1.0, "most": 1}, {"most": None}])
def test_what_is_within_bounds_is_taken_as_it_is(fields: dict[str, Any]) -> None:
    share = Share(2.0, **fields)
    assert {name: getattr(share, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("share", value) for value in (0, 1.01, float("nan"), "1", True, None)),
        *(("most", value) for value in (0, 1.5, True)),
    ],
)
def test_what_is_not_is_refused_by_name(name: str, value: Any) -> None:
    """Also where it takes the place of what was right."""
    with pytest.raises(ValueError, match=f"'{name}': Expected"):
        Share(2.0, **{name: value})
    with pytest.raises(ValueError, match=f"'{name}': Expected"):
        replace(Share(2.0), **{name: value})


def test_field_without_bounds_is_not_looked_at() -> None:
    anything: Any = "two"
    assert Share(anything).of == anything
