"""What is exact for one value and not for another, as the table of values in the documentation says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_gateway.core.apis import Api
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported
from llm_gateway.errors import BadRequest
from tests.markdown import reference, section

HELLO = [{"role": "user", "content": "Hello"}]
MODELS = {
    Api.CHAT: "gpt-4.1",
    Api.RESPONSES: "gpt-5.5",
    Api.MESSAGES: "claude-haiku-5-5",
    Api.GEMINI: "gemini-3.8-flash",
}


def said(caller: Api, document: dict[str, Any], provider: Api) -> tuple[dict[str, Any], list[str]]:
    """
    :return: what the provider is sent, and what of the request could not be said exactly.
    """
    losses = Losses(OnUnsupported.DEFAULT)
    request = CODECS[caller].decode_request(json.dumps(document).encode(), model="m", stream=False)
    body = CODECS[provider].encode_request(
        request, Destination(MODELS[provider], "p", max_output_tokens=64_000), losses
    )
    return json.loads(body), [*losses.dropped, *losses.changed]


def test_too_small_a_limit_is_the_smallest_that_responses_takes() -> None:
    written, lost = said(Api.CHAT, {"model": "m", "messages": HELLO, "max_completion_tokens": 3}, Api.RESPONSES)
    assert (written["max_output_tokens"], lost) == (16, ["max_tokens"])


@pytest.mark.parametrize("provider", [Api.MESSAGES, Api.GEMINI])
def test_too_large_a_limit_is_the_largest_of_the_model(provider: Api) -> None:
    document = {"model": "m", "messages": HELLO, "max_completion_tokens": 999_999}
    written, lost = said(Api.CHAT, document, provider)
    limit = written["max_tokens"] if provider is Api.MESSAGES else written["generationConfig"]["maxOutputTokens"]
    assert (limit, lost) == (64_000, ["max_tokens"])


@pytest.mark.parametrize("provider", [Api.CHAT, Api.RESPONSES])
def test_too_long_a_user_is_told_by_its_hash(provider: Api) -> None:
    document = {"model": "m", "messages": HELLO, "max_tokens": 20, "metadata": {"user_id": "u" * 65}}
    written, lost = said(Api.MESSAGES, document, provider)
    user = written.get("safety_identifier") or written["user"]
    assert (len(user), user.startswith("u"), lost) == (64, False, ["user"])


def test_message_without_a_word_begins_the_conversation_in_another() -> None:
    document = {"model": "m", "messages": [{"role": "user", "content": ""}]}
    written, lost = said(Api.CHAT, document, Api.MESSAGES)
    assert '"Begin."' in json.dumps(written)
    assert lost
    with pytest.raises(BadRequest, match="something to answer"):
        said(Api.CHAT, document, Api.GEMINI)


def test_answer_at_the_beginning_gets_somebody_to_answer() -> None:
    document = {"model": "m", "messages": [{"role": "assistant", "content": "Hi"}, *HELLO]}
    written, lost = said(Api.CHAT, document, Api.MESSAGES)
    assert written["messages"][0] == {"role": "user", "content": "Begin."}
    assert lost


def test_call_at_the_beginning_gets_somebody_to_answer() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "c", "content": "done"}
    document = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}, result]}
    written, lost = said(Api.CHAT, document, Api.GEMINI)
    assert written["contents"][0] == {"role": "user", "parts": [{"text": "Begin."}]}
    assert lost


@pytest.mark.parametrize(
    ("caller", "document", "provider"),
    [
        (Api.CHAT, {"model": "m", "messages": HELLO, "stop": ["\n"]}, Api.MESSAGES),
        (
            Api.GEMINI,
            {"contents": [{"parts": [{"text": "Hello"}]}], "generationConfig": {"stopSequences": list("abcde")}},
            Api.CHAT,
        ),
        (
            Api.MESSAGES,
            {"model": "m", "max_tokens": 9, "messages": HELLO, "stop_sequences": list("abcdef")},
            Api.GEMINI,
        ),
    ],
)
def test_stop_sequences_that_are_not_taken_are_refused(caller: Api, document: dict[str, Any], provider: Api) -> None:
    with pytest.raises(Unsupported):
        said(caller, document, provider)


def test_values_are_documented() -> None:
    text = section(reference("translation"), "Values")
    for fact in ("below 16", "64 characters", "`Begin.`", "white space", "more than four", "more than five"):
        assert fact in text
