"""RFC 9112 read word by word: which requests there are in some bytes without any doubt, and which answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

REQUEST_LINE = re.compile(rb"(?:\r\n)?([A-Z-]+) ([!-~]+) HTTP/1\.([01])\r\n")
FIELD = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*\r\n"
)
CHUNK = re.compile(rb"(0*[0-9A-Fa-f]{1,16})(?:;[\t -~\x80-\xff]*)?\r\n")
HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
TARGET = re.compile(rb"\*|/[^#]*|(?i:https?)://([^/?#]+)((?:[/?][^#]*)?)")


@attrs.frozen
class Sure:
    """A request that everybody finds in these bytes."""

    method: bytes
    target: bytes
    """Its path and query, of an absolute one too."""
    fields: dict[bytes, list[bytes]]
    """Names in lower case."""
    body: bytes


def requests(raw: bytes) -> Iterator[Sure]:
    """Those at the beginning of some bytes, up to the last one of the connection or the first doubt."""
    at = 0
    while (line := REQUEST_LINE.match(raw, at)) is not None:
        method, target, minor = line.groups()
        fields, at = _fields(raw, line.end())
        place = TARGET.fullmatch(target)
        if at < 0 or place is None or not _one_host(fields.get(b"host", []), minor):
            return
        if place[1] is not None:
            if not _one_host([place[1]], minor):
                return
            target = place[2] if place[2].startswith(b"/") else b"/" + place[2]
        body, at = _body(raw, at, fields, minor)
        if at < 0:
            return
        yield Sure(method, target, fields, body)
        told = fields.get(b"connection", []) + fields.get(b"proxy-connection", [])
        if minor == b"0" or b"close" in [word.strip(b" \t").lower() for value in told for word in value.split(b",")]:
            return


def _fields(raw: bytes, at: int) -> tuple[dict[bytes, list[bytes]], int]:
    fields: dict[bytes, list[bytes]] = {}
    while (field := FIELD.match(raw, at)) is not None:
        fields.setdefault(field[1].lower(), []).append(field[2])
        at = field.end()
    return fields, at + 2 if raw[at : at + 2] == b"\r\n" else -1


def _one_host(hosts: list[bytes], minor: bytes) -> bool:
    return all(HOST.fullmatch(host) for host in hosts) and len(hosts) in ((1,) if minor == b"1" else (0, 1))


def _body(raw: bytes, at: int, fields: dict[bytes, list[bytes]], minor: bytes) -> tuple[bytes, int]:
    lengths, codings = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None or minor == b"0" or [coding.lower() for coding in codings] != [b"chunked"]:
            return b"", -1
        return _chunks(raw, at)
    if lengths is None:
        return b"", at
    if len(lengths) > 1 or re.fullmatch(rb"[0-9]{1,18}", lengths[0]) is None:
        return b"", -1
    end = at + int(lengths[0])
    return raw[at:end], end if end <= len(raw) else -1


def _chunks(raw: bytes, at: int) -> tuple[bytes, int]:
    body = b""
    while (line := CHUNK.match(raw, at)) is not None:
        begin, size = line.end(), int(line[1], 16)
        if size == 0:
            trailers, at = _fields(raw, begin)
            return body, -1 if {b"content-length", b"transfer-encoding"} & trailers.keys() else at
        body += raw[begin : begin + size]
        at = begin + size + 2
        if raw[begin + size : at] != b"\r\n":
            break
    return b"", -1


@attrs.frozen
class Answered:
    """An answer that is whole."""

    status: int
    fields: dict[bytes, bytes]
    """Names in lower case; of several values the last."""
    body: bytes


STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]|[6-9][0-9][0-9]) [\t -~\x80-\xff]*\r\n")


def answers(raw: bytes, methods: Sequence[bytes]) -> tuple[list[Answered], bytes]:
    """
    :param methods: of the requests that may have been answered, in order.
    :return: every whole answer but the informational ones, and the beginning of one that is not whole.
    :raises AssertionError: these are no answers.
    """
    found: list[Answered] = []
    rest = raw
    while rest and b"\r\n\r\n" in rest:
        line = STATUS_LINE.match(rest)
        assert line is not None, "no status line"
        several, at = _fields(rest, line.end())
        assert at > 0, "no header fields"
        fields, status = {name: values[-1] for name, values in several.items()}, int(line[1])
        body, size = b"", int(fields.get(b"content-length", b"0"))
        if status >= 200:
            assert len(found) < len(methods), "an answer that nobody has asked for"
            if methods[len(found)] == b"HEAD" or status in (204, 304):
                size = 0
            elif b"transfer-encoding" in fields:
                assert fields[b"transfer-encoding"] == b"chunked"
                assert b"content-length" not in fields
                body, end = _chunks(rest, at)
                if end < 0:
                    break
                at, size = end, 0
            elif b"content-length" not in fields:
                size = len(rest) - at
        if len(rest) < at + size:
            break
        if status >= 200:
            found.append(Answered(status, fields, body or rest[at : at + size]))
        rest = rest[at + size :]
    return found, rest
