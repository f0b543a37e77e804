"""Promises of the readers of the two files: whatever stands in them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import strategies as st

from tests.config.test_secrecy import INSIDE, KEYS, REAL, SERVICES, VIRTUAL, everything_said
from tests.fuzz.fuzzing import fuzzed
from tests.fuzz.inputs import bent, hostile

WORDS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u0000", b"null", b"-", b"{}", b'"x"', b"\xff", b"// x\n"),
    *(b"${", b"${CANARY}", b"file:", b"sha256:", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"%b"' % REAL.encode()),
    *(b'"%b": 1, ' % REAL.encode(), b'"%b": {}, ' % VIRTUAL.encode(), b'"url": "%b", ' % REAL.encode()),
)
SIMPLE = '{"a": "https://a.test/v1", "groq": {}}'


def damaged(*texts: str) -> st.SearchStrategy[bytes]:
    whole = st.sampled_from(texts)
    return bent(whole.map(str.encode), WORDS, most=1) | hostile(whole.map(json.loads))


@fuzzed(keys=damaged(KEYS), services=damaged(SERVICES, SIMPLE))
def test_settings(keys: bytes, services: bytes) -> None:
    """Both files are read or their faults are told, in sentences without anything secret of what is in them."""
    with tempfile.TemporaryDirectory() as folder:
        said = everything_said(Path(folder), keys, services)
    assert INSIDE not in said
