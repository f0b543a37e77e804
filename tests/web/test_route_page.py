"""``GET /v1/gateway/route`` as a page among others: what is kept of it, and what it suggests."""

from __future__ import annotations

from msgspec.structs import replace

from llm_gateway.core.model_rules import ModelRule, ModelRules
from tests.memory import USUAL, MemoryGateway


def test_answer_holds_for_the_moment_only() -> None:
    """A proxy that kept it would show yesterday's outage."""
    client = MemoryGateway().client()
    client.ask("GET", "/v1/gateway/route?model=m", authorization="Bearer vk_openai")
    status, headers, _ = client.answer()
    assert (status, headers["cache-control"]) == (200, "no-store")


def test_question_leaves_a_line_in_the_access_log() -> None:
    """It needs a key, and is accounted to it."""
    gateway = MemoryGateway()
    gateway.client().ask("GET", "/v1/gateway/route?model=m", authorization="Bearer vk_openai")
    assert (gateway.record.path, gateway.record.key, gateway.record.attempts) == ("/v1/gateway/route", "Ann", 0)


def test_model_that_the_key_may_not_call_is_told_the_nearest_that_it_may() -> None:
    rules = ModelRules([ModelRule("gpt-5.4"), ModelRule("claude-*")])
    keys = {digest: replace(key, models=rules) for digest, key in USUAL.keys.items()}
    gateway = MemoryGateway(replace(USUAL, keys=keys))
    messages = []
    for name in ("gtp-5.4", "sonnet"):
        client = gateway.client()
        client.ask("GET", f"/v1/gateway/route?model={name}", authorization="Bearer vk_openai")
        status, headers, body = client.answer()
        assert (status, headers["x-gw-error"]) == (404, "model_not_found")
        messages.append(body.decode())
    assert "Did you mean 'gpt-5.4'?" in messages[0]
    assert "Did you mean" not in messages[1]
