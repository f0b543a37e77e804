"""Reading one field out of a body that is not touched."""

from __future__ import annotations

import pytest

from llm_gateway.core.peek import model_of


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b'{"messages":[{"a":[1]}],"stream":true,"model":"gpt"}', "gpt"),
        (b'{"stream":"yes","model":"gpt"}', "gpt"),
        (rb'{"user":"cut \ud83d","model":"gpt"}', "gpt"),
        (b'{"model":null}', None),
        (b'{"model":7}', None),
        (b"{}", None),
        (b"[]", None),
        (b"", None),
        (b'{"model":"gp', None),
        (b'{"model":"\xff"}', None),
        (b'{"deep":' + b"[" * 200_000, None),
    ],
)
def test_model_is_seen_and_nothing_is_judged(body: bytes, seen: str | None) -> None:
    """A body that the provider will refuse is the provider's business."""
    assert model_of(body) == seen


def test_model_is_fit_for_a_log() -> None:
    """Control characters and novels are not."""
    model = model_of(b'{"model":"a\\nb\\u001b[31m' + b"x" * 500 + b'"}')
    assert model is not None
    assert model.startswith("a?b?[31m")
    assert len(model) == 128


def test_large_body_is_read_from_a_map() -> None:
    """Any buffer will do."""
    assert model_of(memoryview(b'{"pad":"' + b"x" * 100_000 + b'","model":"m"}')) == "m"
