"""
Asking for numbers on the client's behalf, and keeping from it what only the gateway asked for.

OpenAI's streams of completions carry ``usage`` only where ``stream_options.include_usage`` is set, in one chunk more,
which has no choices. Two splices do it: one into the request, one out of the answer. All else stays as it is.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from mmap import mmap

import msgspec

from llm_gateway.core.surrogates import mended

__all__ = ["WithoutUsage", "asked", "can_be_asked"]

_MAX_PLACES = 64
"""Where the body says ``stream_options``, texts included, that are tried. Requests have one."""

_ALWAYS_TELLS = frozenset({"openrouter", "perplexity"})
"""Send their numbers whether asked or not: what the client gets of them is not ours to take out."""

_ABSENT = msgspec.Raw()
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@lru_cache(maxsize=1024)
def can_be_asked(provider: str, preset: str | None = None, model: str = "") -> bool:
    """
    Mistral refuses a request that has the option.

    :param provider: its name.
    :param preset: the one that it is, if it is one.
    :return: whether the option may be sent to it.
    """
    if preset in _ALWAYS_TELLS or provider in _ALWAYS_TELLS:
        return False
    # Of translation nothing more is needed, and often not even that.
    from llm_gateway.core.translation.chat.flavours import flavour_of
    from llm_gateway.core.translation.codec import Destination

    return flavour_of(Destination(model=model, provider=provider, preset=preset)).usage_option


class _Request(msgspec.Struct, gc=False):
    stream: msgspec.Raw = _ABSENT
    stream_options: msgspec.Raw = _ABSENT


class _Options(msgspec.Struct, gc=False):
    include_usage: msgspec.Raw = _ABSENT


_request = msgspec.json.Decoder(_Request).decode
_options = msgspec.json.Decoder(_Options).decode
_OPTIONS_HERE = re.compile(rb'"stream_options"[ \t\r\n]*+:[ \t\r\n]*+')
_USAGE_HERE = re.compile(rb'"include_usage"[ \t\r\n]*+:[ \t\r\n]*+')
_BRACE = re.compile(rb"[ \t\r\n]*+\{")
_WHOLE = b'"stream_options":{"include_usage":true}'


def asked(body: bytes | mmap) -> tuple[Sequence[bytes | memoryview], bool] | None:
    """
    :param body: of a request for completions. Of a long one that is mapped no copy is made, unless it has options.
    :return: the body in pieces, and whether the extra chunk has to be taken out of the answer; the body as it is, and
        false, if the client has asked by itself. ``None`` if it wants no stream, or its options are none that could be
        added to.
    """
    readable: bytes | mmap = body
    try:
        found = _request(body)
    except _BROKEN:
        try:
            # As long as before: every value is where it was.
            readable = mended(bytes(body))
            found = _request(readable)
        except _BROKEN:
            return None
    if bytes(found.stream) != b"true":
        return None
    old = bytes(found.stream_options)
    if not old:
        brace = _BRACE.match(body)
        assert brace is not None, "msgspec took for an object what is none"
        return [body[: brace.end()], _WHOLE + b",", memoryview(body)[brace.end() :]], True
    body, readable = bytes(body), bytes(readable)
    new = _asking(old)
    if new is None:
        return None
    if new is old:
        return [body], False
    for place in _places(_OPTIONS_HERE, readable, old):
        # Texts and deeper objects may say the same: it is the right one if it is another now.
        pieces = [body[:place], new, body[place + len(old) :]]
        if bytes(_request(b"".join((readable[:place], new, readable[place + len(old) :]))).stream_options) == new:
            return pieces, True
    return None


def _asking(options: bytes) -> bytes | None:
    """
    :return: the same options with the wish for numbers; the very same if they have it.
    """
    if options == b"null":
        return b'{"include_usage":true}'
    if not options.startswith(b"{"):
        return None
    wish = bytes(_options(options).include_usage)
    if wish == b"true":
        return options
    if wish not in (b"", b"false", b"null"):
        return None
    if not wish:
        rest = options[1:]
        return b'{"include_usage":true' + (b"" if rest.lstrip(b" \t\r\n") == b"}" else b",") + rest
    for place in _places(_USAGE_HERE, options, wish):
        changed = options[:place] + b"true" + options[place + len(wish) :]
        if bytes(_options(changed).include_usage) == b"true":
            return changed
    return None


def _places(name: re.Pattern[bytes], document: bytes, value: bytes) -> list[int]:
    """:return: where the value stands behind its name. Of several members of one name the last counts."""
    found = [each.end() for each in name.finditer(document) if document.startswith(value, each.end())]
    return found[: -_MAX_PLACES - 1 : -1]


class _Chunk(msgspec.Struct, gc=False):
    choices: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = _ABSENT


_chunk = msgspec.json.Decoder(_Chunk).decode
_EVENT_END = re.compile(rb"(?>\r\n|\r|\n){2}")
_DATA = re.compile(rb"(?:\A|[\r\n])(?:\xef\xbb\xbf)?data:([^\r\n]*+)")


class WithoutUsage:
    """Takes the one chunk out that the client did not ask for. What reads the numbers has to see the stream before."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False
        """Whether it has come."""

    def feed(self, events: bytes) -> bytes:
        """
        :param events: whole events of the stream, as ``framing.WholeEvents`` lets them out.
        :return: the same without the chunk.
        """
        # From behind it is found, or not, in half the time.
        if self.done or events.rfind(b'_tokens"') < 0:
            return events
        start = 0
        for end in [*(each.end() for each in _EVENT_END.finditer(events)), len(events)]:
            if _is_extra(events[start:end]):
                self.done = True
                return events[:start] + events[end:]
            start = end
        return events


def _is_extra(event: bytes) -> bool:
    lines = _DATA.findall(event)
    if not lines or b'_tokens"' not in event:
        return False
    try:
        chunk = _chunk(b"\n".join(lines))
    except _BROKEN:
        return False
    return chunk.choices == [] and bytes(chunk.usage)[:1] == b"{"
