"""What the log says of a fault."""

from __future__ import annotations

from llm_gateway.core.faults import without_words


def fail(secret: str) -> None:
    try:
        int(secret)
    except ValueError as error:
        raise KeyError(secret) from error


def outlined(secret: str) -> str:
    try:
        fail(secret)
    except KeyError as error:
        return without_words(error, error.__traceback__)
    raise AssertionError


def test_places_and_types_are_told_without_words() -> None:
    """Where to look, and nothing of what was looked at."""
    told = outlined("CANARY")
    assert "CANARY" not in told
    first, led_to, then = told.partition("\nled to\n")
    assert led_to
    assert first.endswith("builtins.ValueError")
    assert then.endswith("builtins.KeyError")
    assert "in outlined" in then
    assert "in fail" in first


def test_context_counts_unless_it_was_denied() -> None:
    """As in Python's own tracebacks."""
    context, denied = ValueError(), KeyError()
    context.__context__ = OSError()
    denied.__context__, denied.__suppress_context__ = OSError(), True
    assert without_words(context, None) == "builtins.OSError\nled to\nbuiltins.ValueError"
    assert without_words(denied, None) == "builtins.KeyError"


def test_exceptions_that_lead_to_each_other_end() -> None:
    """Libraries make such rings."""
    one, other = ValueError(), KeyError()
    one.__context__, other.__context__ = other, one
    assert without_words(one, None) == "builtins.KeyError\nled to\nbuiltins.ValueError"
