"""Lines out of pipes between processes."""

from __future__ import annotations

__all__ = ["Lines"]


class Lines:
    """Cuts what comes through a pipe into lines, of any length: the peer is ours."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """
        :return: the lines that have become whole, without their ends.
        """
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join(self._pieces) + whole[0]
            self._pieces.clear()
        if rest:
            self._pieces.append(rest)
        return whole

    def rest(self) -> bytes:
        """
        :return: what has come of a line without an end.
        """
        return b"".join(self._pieces)
