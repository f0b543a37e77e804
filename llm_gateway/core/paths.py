"""From the path that a client asked for to the one that a provider is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from llm_gateway.core.dialects import ANTHROPIC, GEMINI, OPENAI, Dialect
from llm_gateway.errors import BadRequest

_PLAIN = re.compile(rb"[!-\"$-~]*")
"""Printable ASCII without the space and "#": all that a request target may hold. Source: RFC 3986."""


def checked_suffix(raw: bytes) -> bytes:
    """
    :param raw: the rest of a path, as the client wrote it, to be put behind a provider's base URL.
    :return: the same bytes.
    :raises BadRequest: they could climb out of the base URL, or are not a path at all.
    """
    if not _PLAIN.fullmatch(raw):
        raise BadRequest("The path holds characters that must be percent-encoded.")
    segments = re.split(rb"[/\\]", unquote_to_bytes(raw)) if b"." in raw or b"%" in raw else ()
    if b".." in segments or b"." in segments:
        raise BadRequest('The path may not hold "." or ".." segments.')
    return raw


def checked_query(raw: bytes) -> bytes:
    """
    :param raw: a query string, as the client wrote it.
    :return: the same bytes.
    :raises BadRequest: it is none; a provider would not get it as it was sent, or not at all.
    """
    if not _PLAIN.fullmatch(raw):
        raise BadRequest("The query holds characters that must be percent-encoded.")
    return raw


def joined(base_path: bytes, suffix: bytes) -> bytes:
    """
    :param base_path: the path of a provider's base URL, without a slash at its end, such as ``/v1``.
    :param suffix: what to put behind it, with or without a slash in front.
    :return: the path to ask the provider for. A version that both name is named once, however often the client names
        it: SDKs differ in whether their base URL ends in it, and so do those who set it.
    """
    suffix = suffix.removeprefix(b"/")
    version, slash, rest = suffix.partition(b"/")
    while slash and base_path.endswith(b"/" + version) and re.fullmatch(rb"v\d+\w*", version):
        suffix = rest
        version, slash, rest = suffix.partition(b"/")
    return base_path + b"/" + suffix if suffix else base_path or b"/"


def without_parameters(query: bytes, unwanted: Callable[[bytes, bytes], bool]) -> bytes:
    """
    :param unwanted: told name and value of each parameter, both decoded.
    :return: a query string without the unwanted ones; all others as they were, byte for byte.
    """
    kept = [
        pair
        for pair in re.split(rb"[&;]", query)
        if not unwanted(*(unquote_to_bytes(part.replace(b"+", b" ")) for part in pair.partition(b"=")[::2]))
    ]
    # Put together anew only where something is missing: separators are of two kinds.
    return b"&".join(kept) if len(kept) <= query.count(b"&") + query.count(b";") else query


def dialect_of(method: bytes, path: bytes, *, anthropic_version: bool, google: bool = False) -> Dialect:
    """
    Tell which dialect a caller speaks, from the path alone where that is enough.

    Both Anthropic and OpenAI have ``/v1/models`` and ``/v1/files``: Anthropic's SDKs always send ``anthropic-version``.
    Google's SDK asks ``/v1/models/M:generateContent``, always with POST; a colon in a GET is a fine-tuned OpenAI model.
    It asks for ``/v1/models`` too, with its key in ``x-goog-api-key``.

    :param path: as the client wrote it, from the gateway's root, without the query.
    :param anthropic_version: whether that header came.
    :param google: whether the key came as Google's SDKs send it.
    """
    rest = path.removeprefix(b"/v1")
    if rest == b"/messages" or rest.startswith(b"/messages/"):
        return ANTHROPIC
    if path.startswith(b"/v1beta/"):
        return GEMINI
    if method == b"POST" and rest.startswith(b"/models/") and b":" in rest:
        return GEMINI
    if google and rest.startswith(b"/models"):
        return GEMINI
    if anthropic_version and (rest is not path or rest.startswith(b"/models")):
        return ANTHROPIC
    return OPENAI
