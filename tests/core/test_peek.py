"""Reading two fields out of a body that is not touched."""

from __future__ import annotations

import pytest

from llm_gateway.core.peek import peek


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b'{"messages":[{"a":[1]}],"stream":true,"model":"gpt"}', ("gpt", True)),
        (b'{"model":"gpt"}', ("gpt", False)),
        (b'{"stream":null,"model":null}', (None, False)),
        (b'{"stream":"yes","model":"gpt"}', ("gpt", False)),
        (b'{"model":7}', (None, False)),
        (b"[]", (None, False)),
        (b"", (None, False)),
        (b'{"model":"gp', (None, False)),
        (b'{"model":"\xff"}', (None, False)),
    ],
)
def test_fields_are_seen_and_nothing_is_judged(body: bytes, seen: tuple[str | None, bool]) -> None:
    """A body that the provider will refuse is the provider's business."""
    assert peek(body) == seen


def test_model_is_fit_for_a_log() -> None:
    """Control characters and novels are not."""
    model, _ = peek(b'{"model":"a\\nb\\u001b[31m' + b"x" * 500 + b'"}')
    assert model is not None
    assert model.startswith("a?b?[31m")
    assert len(model) == 128


def test_large_body_is_read_from_a_map() -> None:
    """Any buffer will do."""
    assert peek(memoryview(b'{"pad":"' + b"x" * 100_000 + b'","model":"m"}')) == ("m", False)
