"""
Halves of characters in JSON.

Programs that count in UTF-16 cut texts in the middle of a character, and write the half as an escape: ``"\\ud83d"``.
Python and JavaScript read that, stricter parsers refuse the whole document. It is no character and cannot be said in
UTF-8, so U+FFFD stands for it here, as for any other broken text.
"""

from __future__ import annotations

import re

__all__ = ["mended"]

_HALF = re.compile(
    # A first half, with the second one if it is there; or a second one alone.
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2})"
)
_BACKSLASH = ord("\\")
_REPLACEMENT = rb"\ufffd"


def mended(document: bytes) -> bytes:
    """
    :param document: JSON that could not be read.
    :return: the same with U+FFFD for every half of a character, and as long as before.
    """
    return _HALF.sub(_whole, document)


def _whole(found: re.Match[bytes]) -> bytes:
    document, at = found.string, found.start()
    while at and document[at - 1] == _BACKSLASH:
        at -= 1
    # Behind an odd number of backslashes its own is the second of a pair: the text of a backslash and a "u".
    plain, second = (found.start() - at) % 2, found[1]
    if second is None:
        return found[0] if plain else _REPLACEMENT
    return found[0].removesuffix(second) + _REPLACEMENT if plain else found[0]
