"""Halves of characters: what Python reads and strict parsers refuse can be read then, and nothing else changes."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.surrogates import mended

_HALVES = re.compile("[\ud800-\udfff]")


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        (r'"\ud83d"', r'"\ufffd"'),
        (r'"\uDE00"', r'"\ufffd"'),
        (r'"a\ud83db"', r'"a\ufffdb"'),
        (r'"\ude00\ud83d"', r'"\ufffd\ufffd"'),
        (r'"\ud83d\ud83d\ude00\ude00"', r'"\ufffd\ud83d\ude00\ufffd"'),
        (r'"\ud83d\u0041"', r'"\ufffd\u0041"'),
        (r'"\\\ud83d"', r'"\\\ufffd"'),
        (r'"\\ud83d\ude00"', r'"\\ud83d\ufffd"'),
    ],
)
def test_half_of_a_character_is_replaced(written: str, becomes: str) -> None:
    assert mended(written.encode()) == becomes.encode()
    assert len(written) == len(becomes)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(written)
    assert msgspec.json.decode(becomes) == _HALVES.sub("\ufffd", json.loads(written))


@pytest.mark.parametrize(
    "written", [r'"\ud83d\ude00"', r'"\\ud83d"', r'"\\\\ude00"', r'"\\ud83d\\ude00"', '"\U0001f600"', ""]
)
def test_all_else_stays(written: str) -> None:
    assert mended(written.encode()) == written.encode()


_TEXTS = st.lists(st.sampled_from(["\\", "u", "d83d", "\ud83d", "\ude00", "\U0001f600", '"', "x"])).map("".join)


@given(st.dictionaries(_TEXTS, st.lists(_TEXTS)))
def test_what_python_writes_can_be_read(document: dict[str, list[str]]) -> None:
    """Python writes halves, and reads two of them that come together as one character."""
    written = json.dumps(document)
    expected = {_HALVES.sub("\ufffd", name): texts for name, texts in json.loads(written).items()}
    found = msgspec.json.decode(mended(written.encode()))
    assert found.keys() == expected.keys()
    assert found == json.loads(_HALVES.sub("\ufffd", json.dumps(json.loads(written), ensure_ascii=False)))
