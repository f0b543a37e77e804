"""Which coding of an answer a provider is asked for."""

from __future__ import annotations

import pytest

from llm_gateway.core.readable import ask_readably


@pytest.mark.parametrize(
    ("accepted", "asked"),
    [
        (None, b"identity"),
        (b"gzip, deflate, br, zstd", b"gzip"),
        (b"br", b"identity"),
        (b"br;q=1.0, gzip;q=0.5", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"gzip;q=0", b"identity"),
        (b"gzip; q=0.000, br", b"identity"),
        (b"not-gzip", b"identity"),
        (b"", b"identity"),
    ],
)
def test_gzip_is_asked_for_where_the_client_takes_it(accepted: bytes | None, asked: bytes) -> None:
    fields = {} if accepted is None else {b"Accept-Encoding": [accepted]}
    ask_readably(fields)
    assert fields == {b"Accept-Encoding": [asked]}


def test_nothing_compressed_is_asked_for_where_something_is_to_be_taken_out() -> None:
    fields = {b"Accept-Encoding": [b"gzip"]}
    ask_readably(fields, compressed=False)
    assert fields == {b"Accept-Encoding": [b"identity"]}
