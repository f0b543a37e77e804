"""Values that look at themselves when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["Checked"]


class Checked(msgspec.Struct, frozen=True):
    """
    Its fields say what they may be: ``Annotated[int, Meta(ge=0)]``.

    :raises ValueError: one of them is something else; the message names it.
    """

    def __post_init__(self) -> None:
        for name, kind in _bounded(type(self)):
            try:
                msgspec.convert(getattr(self, name), kind)
            except msgspec.ValidationError as error:
                raise ValueError(f"'{name}': {error}") from None


@cache
def _bounded(kind: type[Checked]) -> Sequence[tuple[str, Any]]:
    """:return: the fields with bounds, and what they may be."""
    hints = get_type_hints(kind, include_extras=True)
    return [(name, hint) for name, hint in hints.items() if _has_bounds(hint)]


def _has_bounds(hint: Any) -> bool:
    return get_origin(hint) is Annotated or any(get_origin(each) is Annotated for each in get_args(hint))
