"""What is remembered of a call."""

from __future__ import annotations

import pytest

from llm_gateway.core.record import ENDINGS, printable


@pytest.mark.parametrize(
    ("text", "shown"), [("plain", "plain"), ("a\nb\x1b[0m", "a?b?[0m"), ("é☃", "é☃"), ("x" * 9, "xxxxx"), ("", "")]
)
def test_text_for_a_log_trips_nothing(text: str, shown: str) -> None:
    """Neither a terminal nor a parser of lines."""
    assert printable(text, 7 if len(text) < 9 else 5) == shown


def test_endings_are_told_in_words() -> None:
    """One for each way in which a call can end."""
    assert set(ENDINGS) >= {"ok", "client_gone", "upstream_error", "timeout", "refused", "drained"}
    assert all(ENDINGS.values())
