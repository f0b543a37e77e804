"""What a call is let in for, what is written down of it, and what its caller is told."""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived

from llm_gateway.config.values import Configuration, Credential, Group, Secret
from llm_gateway.core.limits.book import Limiter
from llm_gateway.core.limits.values import Limit, Measure, Scope, Window
from llm_gateway.core.policies import OnDisconnect, OnUnpriced
from llm_gateway.core.routing.settings import (
    Breaking,
    CredentialUse,
    ModelSettings,
    ProviderSettings,
    Retries,
    RoutingSettings,
    Strategy,
)
from llm_gateway.core.usage.values import Source
from llm_gateway.ledger.writer import LedgerFull
from llm_gateway.web.accounts import Books
from llm_gateway.web.attempt_account import AttemptAccount
from llm_gateway.web.call_account import CallAccount
from tests.memory import USUAL, configuration, provider, virtual_key
from tests.web.accounted import AccountedGateway, limit

CHAT = b'{"model":"gpt-5.4-mini","messages":[{"role":"user","content":"Hello there, how are you today?"}]}'
STREAM = CHAT[:-1] + b',"stream":true}'
ANSWER = (
    b'{"id":"x","object":"chat.completion","model":"gpt-5.4-mini-2026-03-17","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Well."},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,'
    b'"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":40},'
    b'"completion_tokens_details":{"reasoning_tokens":5}}}'
)
SSE = "text/event-stream"
DELTA = (
    b'data: {"model":"gpt-5.4-mini","choices":[{"index":0,"delta":{"content":"Some words of mine"}}],"usage":null}\n\n'
)
EXTRA = (
    b'data: {"model":"gpt-5.4-mini","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,'
    b'"total_tokens":120}}\n\n'
)
DONE = b"data: [DONE]\n\n"


def limited(*limits: Limit, base: Configuration = USUAL, **changes: Any) -> Configuration:
    """The usual configuration with limits for all, and changes to every key."""
    keys = {digest: replace(key, **changes) for digest, key in base.keys.items()}
    return replace(base, limits=limits, keys=keys)


@pytest.fixture
def gateways() -> Iterator[list[AccountedGateway]]:
    made: list[AccountedGateway] = []
    yield made
    for each in made:
        each.close()
        # Whatever happened: every attempt has one row, and no limit holds anything.
        assert len(each.ledger.ended) == len(each.ledger.begun)
        assert each.dispatcher.router.admission.in_use == 0
        assert each.books is not None
        limits = each.grants._configuration.limits
        assert each.held(limits) == [0] * len(limits)


@pytest.fixture
def gateway(gateways: list[AccountedGateway]) -> AccountedGateway:
    gateways.append(AccountedGateway())
    return gateways[0]


def test_row_says_what_was_used_and_what_it_costs(gateway: AccountedGateway) -> None:
    client = gateway.client()
    client.chat(CHAT)
    gateway.clock.advance(0.25)
    gateway.plain(client, ANSWER)
    row = gateway.ledger.row
    assert (row.usage.input, row.usage.cached, row.usage.output, row.usage.reasoning) == (60, 40, 15, 5)
    assert (row.source, row.ended, row.status, row.stream) == (Source.PROVIDER, "ok", 200, False)
    assert (row.model_asked, row.model) == ("gpt-5.4-mini", "gpt-5.4-mini-2026-03-17")
    # 0.75, 0.075 and 4.50 dollars per million tokens.
    assert row.cost == 60 * 750 + 40 * 75 + 20 * 4_500
    assert row.price is not None
    assert "genai-prices" in row.price
    assert (row.duration_us, row.first_token_us) == (250_000, 250_000)
    assert (row.provider, row.dialect, row.operation) == ("openai", "openai", "chat")
    assert row.request_id == gateway.record.request_id
    assert row.key == gateway.record.key


def test_stream_is_asked_for_its_numbers_which_stay_here(gateway: AccountedGateway) -> None:
    client = gateway.client()
    client.chat(STREAM)
    sent = json.loads(gateway.sent.body)
    assert sent.pop("stream_options") == {"include_usage": True}
    assert sent == json.loads(STREAM)
    response = gateway.sent.answer(content_type=SSE)
    for piece in (DELTA, DELTA, EXTRA, DONE):
        response.write(piece)
    response.end()
    _, _, body = client.answer()
    assert body == DELTA + DELTA + DONE
    row = gateway.ledger.row
    assert (row.usage.input, row.usage.output, row.source, row.stream) == (100, 20, Source.PROVIDER, True)


def test_client_that_asked_for_the_numbers_gets_them(gateway: AccountedGateway) -> None:
    client = gateway.client()
    body = STREAM[:-1] + b',"stream_options":{"include_usage":true}}'
    client.chat(body)
    assert gateway.sent.body == body
    response = gateway.sent.answer(content_type=SSE)
    response.write(DELTA + EXTRA + DONE)
    response.end()
    assert client.answer()[2] == DELTA + EXTRA + DONE
    assert gateway.ledger.row.source is Source.PROVIDER


def test_operator_may_have_nothing_asked(gateways: list[AccountedGateway]) -> None:
    openai = replace(USUAL.providers["openai"], ask_usage=False)
    gateway = AccountedGateway(replace(USUAL, providers={**USUAL.providers, "openai": openai}))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(STREAM)
    assert gateway.sent.body == STREAM
    response = gateway.sent.answer(content_type=SSE)
    response.write(DELTA + DONE)
    response.end()
    assert client.answer()[2] == DELTA + DONE
    row = gateway.ledger.row
    assert row.source is Source.ESTIMATED
    assert 3 <= row.usage.output <= 6
    assert 5 <= row.usage.input <= 60


@pytest.mark.parametrize("accepted", ["gzip, deflate, br, zstd", "br", "identity", "gzip;q=0"])
def test_answer_is_asked_for_in_a_coding_that_can_be_read(gateway: AccountedGateway, accepted: str) -> None:
    """... if the client takes it; and is passed on as it came."""
    client = gateway.client()
    client.ask("POST", "/v1/chat/completions", CHAT, authorization="Bearer vk_openai", accept_encoding=accepted)
    coding = gateway.sent.header("accept-encoding")
    assert coding == ("gzip" if accepted.startswith("gzip,") else "identity")
    body = gzip.compress(ANSWER) if coding == "gzip" else ANSWER
    headers = {"content_encoding": "gzip"} if coding == "gzip" else {}
    response = gateway.sent.answer(200, length=len(body), **headers)
    for start in range(0, len(body), 7):
        response.write(body[start : start + 7])
    response.end()
    assert client.answer()[2] == body
    assert gateway.ledger.row.usage.output_tokens == 20


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_error_costs_nothing(gateway: AccountedGateway, status: int) -> None:
    client = gateway.client()
    client.chat(CHAT)
    gateway.plain(client, b'{"error":{"message":"no"}}', status)
    row = gateway.ledger.row
    assert (row.usage.input_tokens, row.usage.output_tokens, row.cost, row.source) == (0, 0, 0, Source.NONE)
    assert row.status == status


def test_provider_that_was_not_reached_bills_nothing(gateway: AccountedGateway) -> None:
    gateway.client().chat(CHAT)
    gateway.sent.fail(ConnectionRefusedError())
    row = gateway.ledger.row
    assert (row.source, row.error, row.ended) == (Source.NONE, "upstream_unreachable", "upstream_error")


@pytest.mark.parametrize("end", ["leaves", "broken"])
def test_call_without_an_answer_is_not_free(gateway: AccountedGateway, end: str) -> None:
    client = gateway.client()
    client.chat(CHAT)
    if end == "leaves":
        client.leave()
    else:
        gateway.sent.fail(ResponseNeverReceived([Failure(ConnectionLost())]))
    row = gateway.ledger.row
    assert row.source is Source.ESTIMATED
    assert 5 <= row.usage.input <= 60
    assert row.usage.output == 0
    assert row.cost == row.usage.input * 750
    assert row.ended == ("client_gone" if end == "leaves" else "upstream_error")


@pytest.mark.parametrize("pack", [lambda text: text.encode("utf-16"), lambda text: b"\xef\xbb\xbf" + text.encode()])
def test_body_that_cannot_be_read_is_not_free(gateway: AccountedGateway, pack: Callable[[str], bytes]) -> None:
    """Google's paths name the model, so that such calls are passed on."""
    body = pack('{"contents":[{"parts":[{"text":"' + "Some words of mine. " * 100 + '"}]}]}')
    client = gateway.client()
    client.ask("POST", "/v1beta/models/gemini-2.5-flash:generateContent", body, x_goog_api_key="vk_gemini")
    client.leave()
    row = gateway.ledger.row
    assert (row.ended, row.source) == ("client_gone", Source.ESTIMATED)
    assert row.usage.input >= 500


def test_client_that_leaves_pays_for_what_it_was_sent(gateway: AccountedGateway) -> None:
    client = gateway.client()
    client.chat(STREAM)
    response = gateway.sent.answer(content_type=SSE)
    for _ in range(10):
        response.write(DELTA)
    client.leave()
    row = gateway.ledger.row
    assert (row.ended, row.source) == ("client_gone", Source.ESTIMATED)
    assert 30 <= row.usage.output <= 60
    assert response.transport.closed


def test_answer_may_be_read_on_to_know_what_it_bills(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(limited(on_disconnect=OnDisconnect.DRAIN_AND_BILL))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(STREAM)
    response = gateway.sent.answer(content_type=SSE)
    response.write(DELTA)
    client.leave()
    assert gateway.ledger.ended == []
    response.write(DELTA + EXTRA + DONE)
    response.end()
    row = gateway.ledger.row
    assert (row.ended, row.source, row.usage.output) == ("client_gone", Source.PROVIDER, 20)
    assert gateway.record.ended == "client_gone"


def test_labels_are_the_keys_and_what_callers_may_say(gateways: list[AccountedGateway]) -> None:
    base = replace(
        limited(labels={"team": "blue"}),
        label_from={"feature": "header:x-feature", "project": "metadata:project", "user": "user", "team": "user"},
    )
    gateway = AccountedGateway(base)
    gateways.append(gateway)
    client = gateway.client()
    body = CHAT[:-1] + b',"user":"ann","metadata":{"project":"apollo","other":1}}'
    client.ask("POST", "/v1/chat/completions", body, authorization="Bearer vk_openai", x_feature="search")
    gateway.plain(client, ANSWER)
    assert gateway.ledger.row.labels == {"team": "blue", "feature": "search", "project": "apollo", "user": "ann"}
    assert gateway.sent.header("x-feature") is None


def test_label_that_holds_a_key_is_left_out(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(replace(USUAL, label_from={"user": "user"}))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT[:-1] + b',"user":"sk-proj-0123456789"}')
    gateway.plain(client, ANSWER)
    assert gateway.ledger.row.labels == {}


# Limits


def test_call_beyond_a_limit_is_refused_before_anybody_is_asked(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(limited(limit(Measure.REQUESTS, Window.MINUTE, 1)))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT)
    gateway.plain(client, ANSWER)
    other = gateway.client()
    other.chat(CHAT)
    status, headers, body = other.answer()
    assert (status, headers["x-gw-error"], headers["retry-after"]) == (429, "rate_limit_exceeded", "60")
    assert "1 calls per minute" in json.loads(body)["error"]["message"]
    assert len(gateway.agent.sent) == 1
    assert gateway.records.written[-1].ended == "refused"


def test_limit_that_comes_with_another_configuration_counts_from_then_on(gateways: list[AccountedGateway]) -> None:
    """Nothing was counted before, and nothing of what counts was there."""
    gateway = AccountedGateway(USUAL, ledger=False)
    gateways.append(gateway)

    def ask() -> int:
        client = gateway.client()
        sent = len(gateway.agent.sent)
        client.chat(CHAT)
        if len(gateway.agent.sent) > sent:
            gateway.plain(client, ANSWER)
        return client.answer()[0]

    assert [ask(), ask()] == [200, 200]
    gateway.use(limited(limit(Measure.REQUESTS, Window.DAY, 1)))
    assert [ask(), ask()] == [200, 429]
    gateway.use(USUAL)
    assert ask() == 200


def test_prices_are_read_at_the_start_where_they_decide_and_not_where_they_do_not() -> None:
    """Also where nothing is counted; and not while a call waits."""

    def made() -> Limiter:
        raise AssertionError("nothing is limited here")

    books = Books(made, Clock())
    books.use(USUAL)
    assert not hasattr(books, "prices")
    cheapest = RoutingSettings(models={"m": ModelSettings(strategy=Strategy.CHEAPEST)})
    books.use(replace(USUAL, routing=cheapest))
    assert books.prices.version


def test_calls_at_the_same_time_are_limited(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(limited(limit(Measure.IN_FLIGHT, Window.NOW, 1)))
    gateways.append(gateway)
    first, second, third = gateway.client(), gateway.client(), gateway.client()
    first.chat(CHAT)
    second.chat(CHAT)
    assert second.answer()[0] == 429
    gateway.plain(first, ANSWER)
    third.chat(CHAT)
    gateway.plain(third, ANSWER)
    assert third.answer()[0] == 200


def test_budget_is_settled_by_what_was_used(gateways: list[AccountedGateway]) -> None:
    budget = limit(Measure.DOLLARS, Window.TOTAL, 1_000_000_000)
    gateway = AccountedGateway(limited(budget))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT[:-1] + b',"max_tokens":1000}')
    [held] = gateway.held([budget])
    assert 1000 * 4_500 <= held <= 1000 * 4_500 + 100 * 4_500
    gateway.plain(client, ANSWER)
    assert (gateway.held([budget]), gateway.used([budget])) == ([0], [gateway.ledger.row.cost])


def test_empty_budget_is_refused_and_sdks_do_not_try_again(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(limited(limit(Measure.DOLLARS, Window.TOTAL, 1_000)))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT)
    status, headers, body = client.answer()
    assert (status, headers["x-should-retry"]) == (429, "false")
    assert json.loads(body)["error"]["code"] == "insufficient_quota"
    assert "$0.000001 for good" in json.loads(body)["error"]["message"]
    assert gateway.agent.sent == []


@pytest.mark.parametrize("wish", [b',"max_tokens":1000}', b"}"])
def test_answer_that_cannot_be_ended_early_has_to_fit_as_a_whole(gateways: list[AccountedGateway], wish: bytes) -> None:
    """... where a stream begins with what is left."""
    dollar = 10**9
    gateway = AccountedGateway(limited(limit(Measure.DOLLARS, Window.TOTAL, 5 * dollar // 1000)))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT[:-1] + wish.replace(b"1000", b"100000"))
    assert (client.answer()[0], client.answer()[1]["x-gw-error"]) == (429, "insufficient_quota")
    assert b"tokens has to fit: say a lower max_tokens" in client.answer()[2]
    stream = gateway.client()
    stream.chat(STREAM[:-1] + wish.replace(b"1000", b"100000"))
    assert len(gateway.agent.sent) == 1
    stream.leave()


@pytest.mark.parametrize(
    "path", ["/p/gemini/v1beta/models/{}:generateContent", "/p/gemini/models/{}%3AgenerateContent"]
)
def test_gemini_s_raw_paths_are_calls_like_others(gateways: list[AccountedGateway], path: str) -> None:
    """... for whoever counts, and for whoever allows."""
    budget = limit(Measure.DOLLARS, Window.TOTAL, 10**9)
    gateway = AccountedGateway(limited(budget, operations=frozenset({"chat"})))
    gateways.append(gateway)
    asked = b'{"contents":[{"parts":[{"text":"Hello"}]}],"generationConfig":{"maxOutputTokens":1000}}'
    client = gateway.client()
    client.ask("POST", path.format("gemini-2.5-flash"), asked, x_goog_api_key="vk_gemini")
    [held] = gateway.held([budget])
    assert held > 1000 * 1_000
    gateway.plain(client, b'{"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":90},"modelVersion":"g"}')
    row = gateway.ledger.row
    assert (row.operation, row.model_asked, row.usage.input, row.usage.output) == ("chat", "gemini-2.5-flash", 7, 90)
    other = gateway.client()
    other.ask("POST", path.format("nobody-knows-it"), asked, x_goog_api_key="vk_gemini")
    assert (other.answer()[0], other.answer()[1]["x-gw-error"]) == (400, "model_unpriced")
    gateway.use(limited(operations=frozenset({"models"})))
    third = gateway.client()
    third.ask("POST", path.format("gemini-2.5-flash"), asked, x_goog_api_key="vk_gemini")
    assert (third.answer()[0], third.answer()[1]["x-gw-error"]) == (403, "operation_not_allowed")


@pytest.mark.parametrize("name", [b'"background"', b'"b\\u0061ckground"'])
def test_response_in_the_background_is_refused_where_a_budget_counts(
    gateways: list[AccountedGateway], name: bytes
) -> None:
    """Its answer says nothing of what it will use."""
    gateway = AccountedGateway(limited(limit(Measure.DOLLARS, Window.DAY, 10**12)))
    gateways.append(gateway)
    client = gateway.client()
    body = b'{"model":"gpt-5.4-mini","input":"Hello",%b:true}' % name
    client.ask("POST", "/v1/responses", body, authorization="Bearer vk_openai")
    status, headers, said = client.answer()
    assert (status, headers["x-gw-error"]) == (400, "model_unpriced")
    assert b"responses in the background" in said
    other = gateway.client()
    other.ask("POST", "/v1/responses", body.replace(b"true", b"false"), authorization="Bearer vk_openai")
    assert len(gateway.agent.sent) == 1
    other.leave()


def test_body_may_begin_with_blanks(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(limited(limit(Measure.DOLLARS, Window.DAY, 10**12)))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(b"\r\n \t" + CHAT)
    gateway.plain(client, ANSWER)
    assert (client.answer()[0], gateway.ledger.row.model_asked) == (200, "gpt-5.4-mini")


def test_model_s_name_cannot_hold_what_terminals_obey(gateway: AccountedGateway) -> None:
    client = gateway.client()
    client.chat(CHAT.replace(b"gpt-5.4-mini", b"a\\u001b[31m"))
    gateway.plain(client, b"{}", 400)
    assert (gateway.ledger.row.model, gateway.ledger.row.model_asked) == ("a?[31m", "a?[31m")


def test_stream_ends_in_its_dialect_when_the_money_is_gone(gateways: list[AccountedGateway]) -> None:
    """Not before it is used, and not much later."""
    tokens = 2_000
    gateway = AccountedGateway(limited(limit(Measure.OUTPUT_TOKENS, Window.DAY, tokens)))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(STREAM)
    response = gateway.sent.answer(content_type=SSE)
    written = 0
    while not gateway.ledger.ended and written < 3 * tokens:
        response.write(DELTA)
        written += 4
    assert response.transport.closed
    _, _, body = client.answer()
    last = body.rstrip().split(b"\n\n")[-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "insufficient_quota"
    row = gateway.ledger.row
    assert (row.ended, row.error) == ("over_limit", "insufficient_quota")
    assert tokens * 0.6 <= row.usage.output <= tokens + 300


def test_translated_stream_ends_in_its_caller_s_dialect(gateways: list[AccountedGateway]) -> None:
    """An OpenAI caller of an Anthropic model is told as OpenAI tells, and the row has the provider's own numbers."""
    tokens = 1_500
    gateway = AccountedGateway(limited(limit(Measure.OUTPUT_TOKENS, Window.DAY, tokens)))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(STREAM.replace(b"gpt-5.4-mini", b"claude-haiku-4-5"), key="vk_anthropic")
    response = gateway.sent.answer(content_type=SSE)
    start, delta = MESSAGES.index(b"event: content_block_delta"), MESSAGES.index(b"event: content_block_stop")
    response.write(MESSAGES[:start])
    for _ in range(tokens):
        if not gateway.ledger.ended:
            response.write(MESSAGES[start:delta])
    assert response.transport.closed
    last = client.answer()[2].rstrip().split(b"\n\n")[-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "insufficient_quota"
    row = gateway.ledger.row
    assert (row.ended, row.dialect, row.usage.input, row.source) == ("over_limit", "anthropic", 100, Source.PARTLY)
    assert tokens * 0.6 <= row.usage.output <= tokens + 300


def test_compressed_stream_is_looked_into_as_often(gateways: list[AccountedGateway]) -> None:
    """A few bytes of it may be many tokens."""
    gateway = AccountedGateway(limited(limit(Measure.OUTPUT_TOKENS, Window.DAY, 2_000)))
    gateways.append(gateway)
    client = gateway.client()
    body = STREAM[:-1] + b',"stream_options":{"include_usage":true}}'
    client.ask("POST", "/v1/chat/completions", body, authorization="Bearer vk_openai", accept_encoding="gzip")
    response = gateway.sent.answer(200, content_type=SSE, content_encoding="gzip")
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    for _ in range(300):
        if gateway.ledger.ended:
            break
        response.write(packer.compress(DELTA * 10) + packer.flush(zlib.Z_SYNC_FLUSH))
    assert gateway.ledger.row.ended == "over_limit"
    assert gateway.ledger.row.usage.output <= 2_000 + 1_024


def test_unpriced_model_is_refused_where_a_budget_counts(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(limited(limit(Measure.DOLLARS, Window.DAY, 10**12)))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT.replace(b"gpt-5.4-mini", b"nobody-knows-it"))
    status, headers, _ = client.answer()
    assert (status, headers["x-gw-error"]) == (400, "model_unpriced")
    gateway.use(limited(limit(Measure.DOLLARS, Window.DAY, 10**12), on_unpriced=OnUnpriced.ALLOW))
    other = gateway.client()
    other.chat(CHAT.replace(b"gpt-5.4-mini", b"nobody-knows-it"))
    gateway.plain(other, ANSWER.replace(b"gpt-5.4-mini-2026-03-17", b"nobody-knows-it"))
    assert other.answer()[0] == 200
    assert (gateway.ledger.row.cost, gateway.ledger.row.price) == (None, None)


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/videos"])
def test_what_nobody_can_price_is_refused_where_a_budget_counts(gateways: list[AccountedGateway], path: str) -> None:
    """... but asking about it is free."""
    gateway = AccountedGateway(limited(limit(Measure.DOLLARS, Window.DAY, 10**12)))
    gateways.append(gateway)
    client = gateway.client()
    client.ask("POST", path, b'{"model":"gpt-5.4-mini"}', authorization="Bearer vk_openai")
    assert (client.answer()[0], client.answer()[1]["x-gw-error"]) == (400, "model_unpriced")
    other = gateway.client()
    other.ask("GET", path, authorization="Bearer vk_openai")
    gateway.plain(other, b"{}")
    assert (other.answer()[0], gateway.ledger.row.source) == (200, Source.NONE)


def test_limits_of_the_group_and_of_all_count_too(gateways: list[AccountedGateway]) -> None:
    mine = Limit(Scope.GROUP, "lab", Measure.REQUESTS, Window.DAY, 1)
    base = replace(limited(group="lab"), groups={"lab": Group("lab", (mine,))})
    gateway = AccountedGateway(base)
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT)
    gateway.plain(client, ANSWER)
    assert gateway.ledger.row.group == "lab"
    # Another key of the group.
    other = gateway.client()
    other.ask("POST", "/v1/messages", b'{"model":"claude","max_tokens":5,"messages":[]}', x_api_key="vk_anthropic")
    status, _, body = other.answer()
    assert status == 429
    assert json.loads(body)["error"]["type"] == "rate_limit_error"


def test_credential_without_room_is_passed_over(gateways: list[AccountedGateway]) -> None:
    """... and the call goes to the next one; when there is none, its caller is told to come back."""
    one = Limit(Scope.CREDENTIAL, "first", Measure.REQUESTS, Window.MINUTE, 1)
    two = Limit(Scope.CREDENTIAL, "second", Measure.REQUESTS, Window.MINUTE, 1)
    uses = (CredentialUse("first", "openai"), CredentialUse("second", "openai"))
    key = replace(virtual_key("vk_openai", "openai"), credentials=uses)
    base = configuration([key], [provider("openai", "https://api.openai.test/v1/chat/completions")])
    credentials = {
        "first": Credential("first", "openai", Secret("sk-first"), (one,)),
        "second": Credential("second", "openai", Secret("sk-second"), (two,)),
    }
    gateway = AccountedGateway(replace(base, credentials=credentials), retries=Retries(spread=False))
    gateways.append(gateway)
    asked: list[str | None] = []
    for _ in range(3):
        client = gateway.client()
        client.chat(CHAT)
        gateway.clock.advance(0)
        if len(gateway.agent.sent) > len(asked):
            asked.append(gateway.agent.sent[-1].header("authorization"))
            gateway.plain(client, ANSWER)
    assert asked == ["Bearer sk-first", "Bearer sk-second"]
    status, headers, _ = client.answer()
    assert (status, headers["x-gw-error"]) == (429, "providers_rate_limited")
    assert int(headers["retry-after"]) >= 1


def of_credential(*limits: Limit) -> Configuration:
    """One key, with one credential that has limits."""
    key = replace(virtual_key("vk_openai", "openai"), credentials=(CredentialUse("main", "openai"),))
    base = configuration([key], [provider("openai", "https://api.openai.test/v1/chat/completions")])
    return replace(base, credentials={"main": Credential("main", "openai", Secret("sk-main"), limits)})


def test_stream_ends_when_the_credential_s_money_is_gone(gateways: list[AccountedGateway]) -> None:
    """It holds more as it grows, as for its key."""
    budget = Limit(Scope.CREDENTIAL, "main", Measure.DOLLARS, Window.TOTAL, 6_000 * 4_500)
    gateway = AccountedGateway(of_credential(budget))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(STREAM)
    response = gateway.sent.answer(content_type=SSE)
    written = 0
    while not gateway.ledger.ended and written < 20_000:
        response.write(DELTA)
        written += 4
    assert gateway.ledger.row.ended == "over_limit"
    assert 6_000 * 0.6 <= gateway.ledger.row.usage.output <= 6_000 + 300
    assert gateway.held([budget]) == [0]


def test_unpriced_model_is_refused_where_the_credential_has_a_budget(gateways: list[AccountedGateway]) -> None:
    budget = Limit(Scope.CREDENTIAL, "main", Measure.DOLLARS, Window.TOTAL, 10**12)
    gateway = AccountedGateway(of_credential(budget))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT.replace(b"gpt-5.4-mini", b"nobody-knows-it"))
    assert (client.answer()[0], client.answer()[1]["x-gw-error"]) == (400, "model_unpriced")
    assert gateway.agent.sent == []


@pytest.mark.parametrize("whose", [Scope.GLOBAL, Scope.CREDENTIAL])
def test_budget_in_the_shadow_refuses_no_unpriced_model(gateways: list[AccountedGateway], whose: Scope) -> None:
    subject = "main" if whose is Scope.CREDENTIAL else ""
    budget = Limit(whose, subject, Measure.DOLLARS, Window.TOTAL, 10**12, shadow=True)
    gateway = AccountedGateway(of_credential(budget) if subject else limited(budget))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT.replace(b"gpt-5.4-mini", b"nobody-knows-it"))
    gateway.plain(client, ANSWER)
    assert client.answer()[0] == 200


def test_one_long_answer_keeps_nobody_out(gateways: list[AccountedGateway]) -> None:
    """What is usual for a model may be more than there is room for."""
    budget = limit(Measure.OUTPUT_TOKENS, Window.DAY, 200_000)
    gateway = AccountedGateway(limited(budget))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT)
    gateway.plain(client, ANSWER.replace(b'"completion_tokens":20,"total_tokens":120', b'"completion_tokens":150000'))
    other = gateway.client()
    other.chat(CHAT)
    assert gateway.held([budget]) == [4_096]
    gateway.plain(other, ANSWER)


def test_full_ledger_refuses_calls(gateway: AccountedGateway) -> None:
    gateway.ledger.trouble = LedgerFull("full")
    client = gateway.client()
    client.chat(CHAT)
    status, headers, _ = client.answer()
    assert (status, headers["x-gw-error"], headers["retry-after"]) == (503, "ledger_full", "30")
    assert gateway.agent.sent == []


@pytest.mark.parametrize("trouble", [LedgerFull, RuntimeError])
def test_attempt_that_cannot_be_written_down_holds_nothing(
    gateways: list[AccountedGateway], trouble: type[Exception]
) -> None:
    budget = Limit(Scope.CREDENTIAL, "main", Measure.DOLLARS, Window.TOTAL, 1_000_000_000)
    gateway = AccountedGateway(of_credential(budget))
    gateways.append(gateway)
    gateway.ledger.trouble = trouble()
    client = gateway.client()
    with capturedLogs():
        client.chat(CHAT)
    assert client.answer()[0] >= 500
    assert gateway.agent.sent == []
    assert gateway.held([budget]) == [0]


@pytest.mark.parametrize(("body", "answer"), [(CHAT, ANSWER), (STREAM, DELTA + DONE)], ids=["document", "stream"])
def test_answer_that_the_gateway_cannot_count_is_written_down_all_the_same(
    gateways: list[AccountedGateway], body: bytes, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the estimate of what was asked, and no limit holds anything of it."""

    def fault(*_anything: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(AttemptAccount, "_reading", fault)
    budget = Limit(Scope.CREDENTIAL, "main", Measure.DOLLARS, Window.TOTAL, 1_000_000_000)
    gateway = AccountedGateway(of_credential(budget))
    gateways.append(gateway)
    client = gateway.client()
    with capturedLogs() as logged:
        client.chat(body)
        response = gateway.sent.answer(content_type=SSE if body is STREAM else "application/json")
        response.write(answer)
        response.end()
    assert client.answer()[2] == answer
    assert gateway.ledger.row.source is Source.ESTIMATED
    assert gateway.ledger.row.usage.input > 0
    assert gateway.held([budget]) == [0]
    assert len(logged) == 1


def test_answer_says_how_the_limits_stand(gateways: list[AccountedGateway]) -> None:
    """In place of the provider's headers, which speak of somebody else's account."""
    gateway = AccountedGateway(limited(limit(Measure.REQUESTS, Window.MINUTE, 10)))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT)
    gateway.plain(client, ANSWER, x_ratelimit_limit_requests="5000", x_ratelimit_remaining_requests="4999")
    _, headers, _ = client.answer()
    assert headers["x-ratelimit-limit-requests"] == "10"
    assert headers["x-ratelimit-remaining-requests"] == "9"


@pytest.mark.parametrize(
    ("target", "status"), [("/v1/models", 200), ("/v1/gateway/route", 200), ("/v1/gateway/route?mode=gpt", 400)]
)
def test_answers_of_the_gateway_s_own_say_how_the_limits_stand(
    gateways: list[AccountedGateway], target: str, status: int
) -> None:
    """Also what costs nothing, and what is refused before it is counted."""
    gateway = AccountedGateway(limited(limit(Measure.REQUESTS, Window.MINUTE, 10)))
    gateways.append(gateway)
    client = gateway.client()
    client.ask("GET", target, authorization="Bearer vk_openai")
    found, headers, _ = client.answer()
    assert (found, headers["x-ratelimit-remaining-requests"]) == (status, "10")


def test_provider_s_rate_limits_pass_where_there_are_none_of_ours(gateway: AccountedGateway) -> None:
    client = gateway.client()
    client.chat(CHAT)
    gateway.plain(client, ANSWER, x_ratelimit_limit_requests="5000")
    assert client.answer()[1]["x-ratelimit-limit-requests"] == "5000"


def test_an_account_goes_with_its_call(gateways: list[AccountedGateway]) -> None:
    """Nothing is left for the collector, which may come thousands of calls later: accounts keep requests' bodies."""
    gateway = AccountedGateway(limited(limit(Measure.REQUESTS, Window.MINUTE, 10)))
    gateways.append(gateway)
    gc.collect()
    gc.disable()
    try:
        client = gateway.client()
        client.chat(CHAT)
        gateway.plain(client, ANSWER)
        assert client.answer()[0] == 200
        assert not [each for each in gc.get_objects() if type(each) in (CallAccount, AttemptAccount)]
    finally:
        gc.enable()


def test_expired_key_is_refused(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(limited(expires=1.0))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT)
    assert (client.answer()[0], client.answer()[1]["x-gw-error"]) == (401, "key_expired")


def test_key_may_be_for_some_operations_only(gateways: list[AccountedGateway]) -> None:
    gateway = AccountedGateway(limited(operations=frozenset({"embeddings"})))
    gateways.append(gateway)
    client = gateway.client()
    client.chat(CHAT)
    assert (client.answer()[0], client.answer()[1]["x-gw-error"]) == (403, "operation_not_allowed")
    other = gateway.client()
    other.ask("POST", "/v1/embeddings", b'{"model":"m","input":"a"}', authorization="Bearer vk_openai")
    assert len(gateway.agent.sent) == 1


# Cut at every byte

MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
    b'"model":"claude-haiku-4-5","content":[],"stop_reason":null,"usage":{"input_tokens":100,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text",'
    b'"text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":"Some words of mine"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":'
    b'{"output_tokens":20}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)
STREAMS = {
    "chat": ("/v1/chat/completions", "vk_openai", STREAM, DELTA + DELTA + EXTRA + DONE),
    "messages": (
        "/v1/messages",
        "vk_anthropic",
        b'{"model":"claude-haiku-4-5","max_tokens":50,"stream":true,"messages":[{"role":"user","content":"Hello"}]}',
        MESSAGES,
    ),
}


@pytest.mark.parametrize("who", ["client", "provider"])
@pytest.mark.parametrize("name", STREAMS)
def test_stream_cut_at_any_byte_is_accounted_for_once(gateways: list[AccountedGateway], name: str, who: str) -> None:
    """One row, with at least what was read and what was relayed; nothing stays reserved, and no slot taken."""
    path, key, request, stream = STREAMS[name]
    limits = (
        limit(Measure.DOLLARS, Window.TOTAL, 10**15),
        limit(Measure.TOKENS, Window.DAY, 10**12),
        limit(Measure.IN_FLIGHT, Window.NOW, 3),
    )
    steady = RoutingSettings(
        providers={each: ProviderSettings(breaking=Breaking(enabled=False)) for each in USUAL.providers}
    )
    gateway = AccountedGateway(replace(limited(*limits), routing=steady))
    gateways.append(gateway)
    least = 0
    for size in range(len(stream) + 1):
        client = gateway.client()
        client.ask("POST", path, request, authorization=f"Bearer {key}")
        response = gateway.agent.sent[-1].answer(content_type=SSE)
        if size:
            response.write(stream[:size])
        if who == "client":
            client.leave()
        else:
            response.end(ConnectionLost())
            client.leave()
        assert len(gateway.ledger.ended) == size + 1
        row = gateway.ledger.ended[-1]
        usage = row.usage
        assert usage.input_tokens >= 5
        if row.source is Source.PROVIDER:
            assert (usage.input_tokens, usage.output_tokens) == (100, 20)
        else:
            assert usage.output_tokens >= least
            least = usage.output_tokens
            assert usage.output_tokens <= 20
        assert gateway.held(limits) == [0, 0, 0]
        assert gateway.dispatcher.router.admission.in_use == 0
    assert gateway.used(limits)[0] == sum(each.cost or 0 for each in gateway.ledger.ended)
