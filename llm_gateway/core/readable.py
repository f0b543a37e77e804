"""Asking providers for answers that can be read beside passing them on."""

from __future__ import annotations

import re

from llm_gateway.core.headers import Fields

__all__ = ["ask_readably"]

_GZIP = re.compile(rb"(?:^|,)[ \t]*(?:x-)?gzip[ \t]*(?:;[ \t]*q[ \t]*=[ \t]*(?!0(?:\.0*)?[ \t]*(?:,|$))[^,]*)?(?:,|$)")


def ask_readably(fields: Fields, *, compressed: bool = True) -> None:
    """
    Ask for an answer that can be read here: compressed by gzip if the client takes that, else not at all.

    :param fields: of a request to a provider.
    :param compressed: whether it may be, at all.
    """
    accepted = fields.get(b"Accept-Encoding")
    wanted = b"gzip" if compressed and accepted and _GZIP.search(b",".join(accepted).lower()) else b"identity"
    fields[b"Accept-Encoding"] = [wanted]
