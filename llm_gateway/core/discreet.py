"""Values that do not show all that they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Discreet"]


class Discreet:
    """
    For a struct, before it among the bases. Printed it says what ``shown`` names and no more: by ``repr``, and by
    ``rich``, which would ask the struct itself.
    """

    __slots__ = ()

    def shown(self) -> Iterable[str]:
        """
        :return: the names of fields and properties that may be seen.
        """
        raise NotImplementedError

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.shown()]

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({said})"
