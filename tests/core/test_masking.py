"""Keeping a key out of what a provider sends."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.core.masking import Mask, masking

SECRET = b"sk-sk-key"


@given(st.lists(st.sampled_from([b"s", b"k", b"-", b"sk-", b"key", SECRET, b"x", b"sk-sk-"]), max_size=12))
@settings(deadline=None)
def test_any_cutting_masks_the_same(pieces: list[bytes]) -> None:
    """A key that comes in pieces is masked as well, all else passes, and the length stays."""
    mask = Mask(SECRET)
    out = b"".join(map(mask.feed, pieces)) + mask.rest()
    joined = b"".join(pieces)
    assert out == joined.replace(SECRET, b"*" * len(SECRET))
    assert len(out) == len(joined)


@given(st.lists(st.sampled_from([b"s", b"k-", b"abc", b"bcd", b"bc", b"d", b"x"]), max_size=12))
@settings(deadline=None)
def test_several_secrets_are_all_masked(pieces: list[bytes]) -> None:
    """Whichever of them turns up, in whatever pieces."""
    masks = masking([b"k-abc", b"bcd"])
    assert masks is not None
    out = b"".join(map(masks.feed, pieces)) + masks.rest()
    assert out == b"".join(pieces).replace(b"k-abc", b"*****").replace(b"bcd", b"***")


def test_nothing_to_hide_needs_no_mask() -> None:
    """A provider that is called without a key."""
    assert masking([]) is None


def test_only_a_possible_beginning_is_held_back() -> None:
    """Text that cannot become the key goes out at once."""
    mask = Mask(SECRET)
    assert mask.feed(b"data: ask me\n\n") == b"data: ask me\n\n"
    assert mask.feed(b"a sk-s") == b"a "
    assert mask.feed(b"un.") == b"sk-sun."
    assert mask.rest() == b""


def test_text_without_the_key_is_not_copied() -> None:
    """The usual piece is passed on as the object it is."""
    piece = b"data: hello\n\n"
    assert Mask(SECRET).feed(piece) is piece
