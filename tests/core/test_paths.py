"""From the client's path to the provider's."""

from __future__ import annotations

import pytest

from llm_gateway.core.paths import checked_query, checked_suffix, dialect_of, joined, without_parameters
from llm_gateway.errors import BadRequest


@pytest.mark.parametrize("raw", [b"/chat/completions", b"/files/a%2Fb", b"/models/ft:gpt:org::id", b"", b"/a..b/c.d"])
def test_paths_pass_as_written(raw: bytes) -> None:
    """Percent-encoding and colons stay."""
    assert checked_suffix(raw) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"/../admin",
        b"/a/..",
        b"/%2e%2e/x",
        b"/.%2E/x",
        b"/a%2f..%2fb",
        b"/a\\..\\b",
        b"/./x",
        b"/a b",
        b"/\xe9",
        b"/\x00",
        b"/a#b",
    ],
)
def test_nobody_climbs_out_of_the_base_url(raw: bytes) -> None:
    """The real key goes with the call, so it must not go anywhere but below the base URL."""
    with pytest.raises(BadRequest):
        checked_suffix(raw)


def test_query_passes_as_written_or_not_at_all() -> None:
    """A fragment would be cut off on the way, and a bare byte is nothing that HTTP can carry."""
    assert checked_query(b'a=%ff&b[]="<>|^`{}') == b'a=%ff&b[]="<>|^`{}'
    for raw in (b"a=\x80", b"a=b#c", b"a= b", b"a=\x7f"):
        with pytest.raises(BadRequest):
            checked_query(raw)


@pytest.mark.parametrize(
    ("base", "suffix", "path"),
    [
        (b"/v1", b"/messages", b"/v1/messages"),
        (b"/v1", b"messages", b"/v1/messages"),
        (b"", b"/chat/completions", b"/chat/completions"),
        (b"/v1", b"/v1/messages", b"/v1/messages"),
        (b"/v1", b"/v1/v1/messages", b"/v1/messages"),
        (b"/v1beta", b"/v1beta/models", b"/v1beta/models"),
        (b"/api", b"/v1/models", b"/api/v1/models"),
        (b"/v1", b"/v1", b"/v1/v1"),
        (b"/models", b"/models/x", b"/models/models/x"),
        (b"/v1", b"", b"/v1"),
        (b"", b"", b"/"),
    ],
)
def test_version_that_both_name_is_named_once(base: bytes, suffix: bytes, path: bytes) -> None:
    """SDKs differ in whether their base URL ends in the version."""
    assert joined(base, suffix) == path


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        (b"key=a", b""),
        (b"alt=sse&key=a&x=%20", b"alt=sse&x=%20"),
        (b"k%65y=a&b=1", b"b=1"),
        (b"monkey=a&keys=1&b", b"monkey=a&keys=1&b"),
        (b"key&key=&x", b"x"),
        (b"a=1;key=b;c=%20", b"a=1&c=%20"),
        (b"a=1;c=%20", b"a=1;c=%20"),
        (b"other=vk+1&x=vk%201&y=vk1", b"y=vk1"),
    ],
)
def test_parameter_is_taken_out_and_the_rest_stays(query: bytes, rest: bytes) -> None:
    """Byte for byte, however the name is encoded."""
    assert without_parameters(query, lambda name, value: name == b"key" or value == b"vk 1") == rest


@pytest.mark.parametrize(
    ("method", "path", "anthropic_version", "dialect"),
    [
        (b"POST", b"/v1/chat/completions", False, "openai"),
        (b"POST", b"/v1/messages", False, "anthropic"),
        (b"POST", b"/messages/count_tokens", False, "anthropic"),
        (b"POST", b"/v1/messagesx", False, "openai"),
        (b"GET", b"/v1/models", False, "openai"),
        (b"GET", b"/v1/models", True, "anthropic"),
        (b"GET", b"/models", True, "anthropic"),
        (b"POST", b"/v1/files", True, "anthropic"),
        (b"GET", b"/v1/models/ft:gpt:org::id", False, "openai"),
        (b"POST", b"/v1/models/gemini-3:generateContent", False, "gemini"),
        (b"GET", b"/v1beta/models", False, "gemini"),
        (b"GET", b"/nope", True, "openai"),
        (b"POST", b"/chat/completions", True, "openai"),
    ],
)
def test_path_tells_the_dialect(method: bytes, path: bytes, anthropic_version: bool, dialect: str) -> None:
    """Where two dialects share a path, what their SDKs always do tells them apart."""
    assert dialect_of(method, path, anthropic_version=anthropic_version).name == dialect
