"""Header fields: read once, remembered within bounds, and nobody's changes are another's."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.web.http_headers import Headers

from llm_gateway.wire.fields import (
    MAX_FORM_BYTES,
    MAX_FORMS,
    MAX_LINE_BYTES,
    MAX_LINES,
    Fields,
    Lines,
    _forms,
    fields_of,
    headers_of,
    read,
    written,
)
from tests.wire.serving import Doing, Server, get

RAW = b"host: h\r\nx-a:1\r\nETAG: \t x \r\nX-A: 2\r\nx-b:"


def test_lines_become_fields_as_twisted_spells_them() -> None:
    """Values without the blanks around them; those of one name together, in order."""
    fields = read(RAW, Lines())
    assert fields == {b"Host": [b"h"], b"X-A": [b"1", b"2"], b"ETag": [b"x"], b"X-B": [b""]}
    assert written(fields) == b"Host: h\r\nX-A: 1\r\nX-A: 2\r\nETag: x\r\nX-B: \r\n"


def test_line_says_the_same_whenever_it_comes() -> None:
    """Whether it is remembered or not."""
    lines = Lines()
    assert [read(RAW, lines) for _ in range(3)] == [read(RAW, Lines())] * 3


def change_by_adding(headers: Any) -> None:
    headers.addRawHeader("x-a", "3")
    assert headers.getRawHeaders(b"x-a") == [b"1", b"2", b"3"]
    headers.addRawHeader(b"host", b"i")
    assert headers.getRawHeaders("host") == ["h", "i"]
    headers.addRawHeader(b"x-new", b"n")


def change_what_is_given(headers: Any) -> None:
    headers.getRawHeaders(b"host").append(b"i")


def change_what_is_listed(headers: Any) -> None:
    for _, values in headers.getAllRawHeaders():
        values.append(b"i")


def change_by_setting(headers: Any) -> None:
    headers.setRawHeaders(b"host", [b"i"])
    headers.removeHeader(b"x-a")
    fields_of(headers)[b"X-B"] = [b"i"]


def change_a_copy(headers: Any) -> None:
    copy = headers.copy()
    assert copy == headers
    change_by_adding(copy)


@pytest.mark.parametrize(
    "change", [change_by_adding, change_what_is_given, change_what_is_listed, change_by_setting, change_a_copy]
)
def test_changed_headers_change_no_others(change: Any) -> None:
    """However the headers of one message are changed, those of the next one with the same lines are as they came."""
    lines = Lines()
    read(RAW, lines)
    change(headers_of(read(RAW, lines)))
    assert headers_of(read(RAW, lines)) == Headers(read(RAW, Lines()))


def test_resource_that_changes_a_requests_headers_changes_only_them() -> None:
    """The next request with the same headers is seen as it came."""
    seen: list[Any] = []

    def render(request: Any) -> bytes:
        seen.append(list(request.requestHeaders.getAllRawHeaders()))
        request.requestHeaders.addRawHeader(b"x-a", b"2")
        return b""

    server = Server(Doing(render))
    server.send(get(b"/", b"X-A: 1"), get(b"/", b"X-A: 1")).leave()
    server.send(get(b"/", b"X-A: 1"))
    assert seen == [[(b"Host", [b"h"]), (b"X-A", [b"1"])]] * 3
    server.close()


def test_lines_are_remembered_within_bounds() -> None:
    """In number and length: whoever invents lines does not fill the memory. And no secret stays."""
    lines = Lines()
    for number in range(3 * MAX_LINES):
        read(b"X-Number: %d" % number, lines)
        assert len(lines) <= MAX_LINES
    lines.clear()
    read(b"X-Long: " + b"x" * MAX_LINE_BYTES, lines)
    read(b"authorization: Bearer vk\r\nx-api-key: vk\r\nX-Goog-Api-Key: vk\r\ncookie: a\r\nSet-Cookie: b", lines)
    assert lines == {}
    read(b"X-Short: x", lines)
    assert lines == {b"X-Short: x": (b"X-Short", [b"x"])}


def test_fields_are_written_as_they_are_whatever_was_written_before() -> None:
    """Names with a percent sign, empty values and names without one among them."""
    several: list[Fields] = [
        {},
        {b"X-A": [b"1"], b"X%b": [b"%s"], b"X-C": [b""]},
        {b"X-A": [], b"X%b": [b"1", b"2"], b"X-C": [b"3"]},
        {b"X-A": [b"1"], b"X%b": [b"2"], b"X-C": [b"3"]},
        {b"X-A": [b"1", b"1"], b"X-C": [b"3"]},
        {b"X-C": [b"1"], b"X-A": [b"2"]},
    ]
    for fields in several * 2:
        plainly = b"".join(b"%b: %b\r\n" % (name, value) for name, values in fields.items() for value in values)
        assert written(fields) == plainly


def test_ever_new_names_do_not_pile_up() -> None:
    for number in range(3 * MAX_FORMS):
        written({b"X-%d" % number: [b"1"]})
    assert len(_forms) <= MAX_FORMS
    _forms.clear()
    written({b"X" * MAX_FORM_BYTES: [b"1"]})
    assert not _forms
