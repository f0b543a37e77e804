"""What is sealed into another dialect comes out of it as it was, whatever the SDK between did to its base64."""

from __future__ import annotations

import base64
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.conversation import Opaque, Thinking
from llm_gateway.core.translation.opaque import sealed, sealed_thinking, unsealed, unsealed_thinking

OPAQUES = st.builds(Opaque, st.sampled_from(["anthropic", "openai"]), st.none() | st.text(), st.text())


def as_is(data: str) -> str:
    return data


def url_safe(data: str) -> str:
    """What google-genai makes of a ``thoughtSignature`` that it read."""
    return base64.urlsafe_b64encode(base64.b64decode(data)).decode()


def unpadded(data: str) -> str:
    return data.rstrip("=")


TRAVELS = st.sampled_from([as_is, url_safe, unpadded])
THINKINGS = st.builds(
    Thinking, text=st.text(), opaque=OPAQUES, redacted=st.booleans(), id=st.none() | st.text(), summary=st.booleans()
)


@given(travelled=TRAVELS, opaque=OPAQUES)
def test_it_is_known_again(travelled: Callable[[str], str], opaque: Opaque) -> None:
    data = sealed(opaque, "gemini")
    assert base64.b64decode(data, validate=True)
    assert unsealed(travelled(data), "gemini") == opaque


@given(opaque=OPAQUES)
def test_its_makers_dialect_gets_it_unchanged(opaque: Opaque) -> None:
    assert sealed(opaque, opaque.dialect) == opaque.data


@given(data=st.text() | st.text().map(lambda text: "Z3cx" + text))
def test_what_was_not_sealed_is_the_dialects_own(data: str) -> None:
    assert unsealed(data, "gemini") == Opaque("gemini", None, data)


@given(travelled=TRAVELS, thinking=THINKINGS)
def test_what_belongs_to_a_thinking_travels_with_it(travelled: Callable[[str], str], thinking: Thinking) -> None:
    data = sealed_thinking(thinking, "gemini")
    assert data is not None
    assert unsealed_thinking(thinking.text, travelled(data), "gemini") == thinking


def test_a_thinking_without_opaque_data_has_nothing_to_seal() -> None:
    assert sealed_thinking(Thinking("readable"), "gemini") is None


def test_a_thinking_in_its_makers_dialect_keeps_its_data() -> None:
    assert sealed_thinking(Thinking("", Opaque("gemini", None, "c2ln")), "gemini") == "c2ln"
    assert unsealed_thinking("", "c2ln", "gemini") == Thinking("", Opaque("gemini", None, "c2ln"))
