"""What a caller's name for a model comes to: the operator's own names, fallbacks, what a key may call, and whose turn
it is in a conversation."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.routing.outcomes import OutcomeKind
from llm_gateway.core.routing.settings import (
    Fallback,
    Limits,
    ModelSettings,
    ProviderSettings,
    Retries,
    RoutingSettings,
    Strategy,
    Target,
)
from llm_gateway.web.routes import RouteBook
from tests.memory import Client
from tests.web.routed import (
    BODY,
    MESSAGES,
    PROVIDERS,
    STEADY,
    Routed,
    chat,
    configured,
    evolved,
    fails,
    key,
    messages,
    nothing_stays,
    record_of,
    used,
    works,
)

HI = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"n","content":[{"type":"text","text":"Hi"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}'
)


@pytest.fixture(autouse=True)
def all_is_given_back() -> Iterator[None]:
    with nothing_stays():
        yield


def named(name: str, *targets: Target, **settings: object) -> dict[str, ModelSettings]:
    return {name: ModelSettings(targets, **settings)}  # type: ignore[arg-type]  # whatever it takes


def falls_back(model: str, *to: str, on: OutcomeKind | None = None) -> RoutingSettings:
    fallbacks = tuple(Fallback(each) if on is None else Fallback(each, frozenset({on})) for each in to)
    return RoutingSettings(models={model: ModelSettings(fallbacks=fallbacks)})


def models_of(gateway: Routed) -> list[str]:
    """The names that the providers were asked for, in order."""
    return [json.loads(each.body)["model"] for each in gateway.agent.sent]


def refused(client: Client, status: int = 404, kind: str = "model_not_found") -> bool:
    return (client.answer()[0], client.answer()[1].get("x-gw-error")) == (status, kind)


# Names


def test_operators_own_name_leads_to_its_targets() -> None:
    """In their order, with every credential of the key; the record has the caller's word."""
    targets = (Target("two", "gpt-2"), Target("one", "gpt-1"))
    gateway = Routed(
        routing=RoutingSettings(models=named("fast", *targets)),
        retries=replace(STEADY, again=0, attempts=9),
    )
    gateway.call(chat("fast"))
    for status in (429, 429, 429):
        fails(gateway.last, status)
        gateway.soon()
    assert gateway.asked == ["c", "a", "b"]
    assert models_of(gateway) == ["gpt-2", "gpt-1", "gpt-1"]
    record_of(gateway, model="fast", provider="one", credential="b", status=429)


def test_name_of_a_target_of_another_dialect_is_translated() -> None:
    """One name for whoever has it."""
    gateway = Routed(key("vk", "e"), routing=RoutingSettings(models=named("fast", Target("claude", "n"))))
    client = gateway.call(chat("fast"))
    assert models_of(gateway) == ["n"]
    works(gateway.last, HI)
    assert json.loads(client.answer()[2])["choices"][0]["message"]["content"] == "Hi"


def test_provider_may_be_named_before_the_model() -> None:
    """Then nobody else is asked."""
    gateway = Routed(retries=replace(STEADY, again=0))
    client = gateway.call(chat("two/m"))
    assert (gateway.asked, models_of(gateway)) == (["c"], ["m"])
    fails(gateway.last, 503)
    gateway.soon()
    assert (client.answer()[0], gateway.asked) == (503, ["c"])
    record_of(gateway, model="two/m")


def test_slash_that_names_no_provider_of_the_key_belongs_to_the_model() -> None:
    """As in ``openai/gpt-oss-120b``."""
    gateway = Routed(key("vk", "a"))
    gateway.call(chat("two/m"))
    assert (gateway.asked, models_of(gateway)) == (["a"], ["two/m"])


def test_provider_known_to_have_the_model_is_asked_rather_than_others() -> None:
    """What the operator says of a provider's models counts."""
    gateway = Routed(providers=evolved(PROVIDERS[1], models=ModelRules([ModelRule("m", "m-2026")])))
    gateway.call()
    assert (gateway.asked, models_of(gateway)) == (["a"], ["m"])
    # "m" is in nobody's catalogue: there is no telling that provider one has it not.
    gateway = Routed(
        key("vk", "a", "c"),
        providers=evolved(PROVIDERS[1], models=ModelRules([ModelRule("claude-sonnet-4-5", "s")])),
    )
    gateway.call(chat("claude-sonnet-4-5"))
    assert (gateway.asked, models_of(gateway)) == (["c"], ["s"])


def test_order_and_weight_of_credentials_count() -> None:
    """A higher order is for when the lower ones are out; no weight for when the others of its order are."""
    uses = (used("a", order=1), used("c", weight=0), used("b"))
    gateway = Routed(key("vk", *uses), retries=replace(STEADY, again=0))
    client = gateway.call()
    for _ in range(3):
        fails(gateway.last, 401)
        gateway.soon()
    assert gateway.asked == ["b", "c", "a"]
    assert client.answer()[0] == 401


@pytest.mark.parametrize(
    ("strategy", "asked"),
    [(Strategy.IN_ORDER, ["a", "a", "a"]), (Strategy.LEAST_BUSY, ["a", "c", "d"])],
)
def test_strategy_is_the_operators(strategy: Strategy, asked: list[str]) -> None:
    """For all models, or for one."""
    gateway = Routed(key("vk", "a", "c", "d"), routing=RoutingSettings(strategy=strategy))
    for _ in range(3):
        gateway.call()
    assert sorted(gateway.asked) == asked
    own = RoutingSettings(models={"m": ModelSettings(strategy=strategy)})
    gateway = Routed(key("vk", "a", "c", "d"), routing=own)
    for _ in range(3):
        gateway.call()
    assert sorted(gateway.asked) == asked


# Fallbacks


def test_fallback_comes_when_nobody_has_the_model_itself() -> None:
    """With the other model's name, in the dialect of who has it."""
    gateway = Routed(key("vk", "a", "e"), routing=falls_back("one/m", "claude/n"))
    client = gateway.call(chat("one/m"))
    fails(gateway.last, 503)
    gateway.clock.advance(0.5)
    assert (gateway.asked, models_of(gateway)) == (["a", "a"], ["m", "m"])
    fails(gateway.last, 503)
    gateway.soon()
    assert gateway.last.url == b"https://claude.test/v1/messages"
    works(gateway.last, HI)
    _, headers, body = client.answer()
    assert json.loads(body)["choices"][0]["message"]["content"] == "Hi"
    assert (headers["x-gw-provider"], headers["x-gw-attempts"]) == ("claude", "3")
    record_of(gateway, model="one/m", provider="claude", credential="e", dialect="anthropic")


@pytest.mark.parametrize(
    ("on", "status", "body", "falls"),
    [
        (None, 503, b"{}", True),
        (None, 400, b'{"error":{"code":"context_length_exceeded"}}', True),
        (None, 404, b"{}", False),
        (None, 400, b"{}", False),
        (OutcomeKind.NOT_FOUND, 404, b"{}", True),
        (OutcomeKind.INVALID, 400, b"{}", True),
        (OutcomeKind.FILTERED, 400, b'{"error":{"code":"content_filter"}}', True),
        (OutcomeKind.CONTEXT_OVERFLOW, 503, b"{}", False),
        (OutcomeKind.CONTEXT_OVERFLOW, 413, b'{"error":{"code":"context_length_exceeded"}}', True),
    ],
)
def test_fallback_is_for_the_outcomes_that_the_operator_says(
    on: OutcomeKind | None, status: int, body: bytes, falls: bool
) -> None:
    """Without a word, for those after which another candidate is asked too."""
    gateway = Routed(
        key("vk", "a", "c"),
        routing=falls_back("one/m", "two/n", on=on),
        retries=replace(STEADY, again=0),
    )
    client = gateway.call(chat("one/m"))
    fails(gateway.last, status, body)
    gateway.soon()
    assert models_of(gateway) == (["m", "n"] if falls else ["m"])
    if falls:
        works(gateway.last)
    assert client.answer()[0] == (200 if falls else status)


def test_fallback_of_a_fallback_does_not_count() -> None:
    """Nobody would know where a call ends."""
    routing = RoutingSettings(
        models={
            "one/m": ModelSettings(fallbacks=(Fallback("two/n"),)),
            "two/n": ModelSettings(fallbacks=(Fallback("claude/o"),)),
        }
    )
    gateway = Routed(key("vk", "a", "c", "e"), routing=routing, retries=replace(STEADY, again=0))
    client = gateway.call(chat("one/m"))
    fails(gateway.last, 503)
    gateway.soon()
    fails(gateway.last, 503, b"the end")
    gateway.clock.advance(60)
    assert gateway.asked == ["a", "c"]
    assert client.answer()[2] == b"the end"


def test_operators_name_may_fall_back_on_another() -> None:
    """Both with several targets."""
    models = {
        **named("fast", Target("one", "f-1"), fallbacks=(Fallback("slow"),)),
        **named("slow", Target("two", "s-2"), Target("claude", "s-3")),
    }
    gateway = Routed(
        key("vk", "a", "c", "e"),
        routing=RoutingSettings(models=models),
        retries=replace(STEADY, again=0),
    )
    client = gateway.call(chat("fast"))
    for _ in range(2):
        fails(gateway.last, 503)
        gateway.soon()
    assert models_of(gateway) == ["f-1", "s-2", "s-3"]
    works(gateway.last, HI)
    assert client.answer()[0] == 200


def test_model_that_nobody_has_may_still_fall_back() -> None:
    """When its providers are of none of the key's."""
    models = named("fast", Target("two", "n"), fallbacks=(Fallback("one/m"),))
    gateway = Routed(key("vk", "a"), routing=RoutingSettings(models=models))
    gateway.call(chat("fast"))
    assert (gateway.asked, models_of(gateway)) == (["a"], ["m"])


# What a key may call


def test_key_gets_no_model_by_a_fallback_that_it_may_not_call() -> None:
    """Its operator has said which it may."""
    routing = falls_back("m", "two/n", "two/o")
    gateway = Routed(key("vk", "a", "c", models=["m"]), routing=routing, retries=replace(STEADY, again=0))
    client = gateway.call()
    for _ in range(2):
        fails(gateway.last, 503)
        gateway.soon()
    assert models_of(gateway) == ["m", "m"]
    assert client.answer()[0] == 503
    some = Routed(key("vk", "a", "c", models=["m", "two/o"]), routing=routing, retries=replace(STEADY, again=0))
    some.call()
    for _ in range(2):
        fails(some.last, 503)
        some.soon()
    assert models_of(some) == ["m", "m", "o"]


def test_name_that_a_key_gives_another_model_allows_that_one_only() -> None:
    """``n`` is the key's own word for ``cheap``: the real ``n`` is not for it, by no fallback either."""
    rules: list[str | ModelRule] = ["m", ModelRule("n", "cheap")]
    gateway = Routed(key("vk", "a", models=rules), routing=falls_back("m", "n"), retries=replace(STEADY, again=0))
    client = gateway.call()
    fails(gateway.last, 503)
    gateway.soon()
    assert models_of(gateway) == ["m"]
    assert client.answer()[0] == 503
    gateway.call(chat("n"))
    assert models_of(gateway) == ["m", "cheap"]


def test_keys_own_name_may_stand_for_the_operators() -> None:
    """And what the operator's name leads to is allowed with it; its fallbacks are other names."""
    models = named("fast", Target("one", "f-1"), Target("two", "f-2"), fallbacks=(Fallback("two/n"),))
    gateway = Routed(
        key("vk", "a", "c", models=[ModelRule("gpt", "fast")]),
        routing=RoutingSettings(models=models),
        retries=replace(STEADY, again=0),
    )
    assert refused(gateway.call(chat("fast")))
    assert refused(gateway.call(chat("f-1")))
    assert refused(gateway.call(chat("one/f-1")))
    client = gateway.call(chat("gpt"))
    for _ in range(2):
        fails(gateway.last, 503)
        gateway.soon()
    assert models_of(gateway) == ["f-1", "f-2"]
    assert client.answer()[0] == 503


def test_limited_key_is_held_to_its_models_on_every_path() -> None:
    """Also with a provider's name before the model, and where another provider has the path."""
    gateway = Routed(key("vk", "a", "e", models=["m"]))
    for path, body in [
        ("/v1/chat/completions", chat("n")),
        ("/v1/chat/completions", chat("one/m")),
        ("/chat/completions", chat("n")),
        ("/p/one/v1/chat/completions", chat("n")),
        ("/p/claude/v1/messages", messages("n")),
        (MESSAGES, messages("n")),
        ("/v1beta/models/n:generateContent", b'{"contents":[]}'),
    ]:
        assert refused(gateway.call(body, path=path)), path
    assert gateway.agent.sent == []


def test_path_of_one_provider_is_for_its_credentials_only() -> None:
    """With as many of them as the key has, and no other provider's."""
    gateway = Routed(retries=replace(STEADY, again=0))
    client = gateway.call(path="/p/one/v1/chat/completions")
    fails(gateway.last, 429)
    gateway.soon()
    fails(gateway.last, 429, b"none left")
    gateway.soon()
    assert gateway.asked == ["a", "b"]
    assert client.answer()[2] == b"none left"
    assert refused(gateway.call(path="/p/claude/v1/messages"), 403, "provider_not_allowed")


def test_native_path_goes_to_providers_of_one_dialect() -> None:
    """Nothing is translated there; each has its own URL."""
    gateway = Routed(key("vk", "a", "e", "c"))
    client = gateway.call(path="/chat/completions")
    fails(gateway.last, 503)
    gateway.soon()
    assert [each.url for each in gateway.agent.sent] == [
        b"https://one.test/v1/chat/completions",
        b"https://two.test/v1/chat/completions",
    ]
    works(gateway.last)
    assert client.answer()[0] == 200


def test_key_whose_first_provider_is_not_configured_uses_the_next() -> None:
    """A warning told the operator."""
    gateway = Routed(key("vk", "a", "c"), providers=PROVIDERS[1:])
    client = gateway.call()
    assert gateway.asked == ["c"]
    works(gateway.last)
    assert client.answer()[1]["x-gw-provider"] == "two"
    assert refused(gateway.call(path="/p/one/v1/models"), 400, "provider_not_configured")


# Conversations


STICKY = RoutingSettings(strategy=Strategy.LEAST_BUSY, sticky=True)


@pytest.mark.parametrize("said", ["x-claude-code-session-id", "session_id", "prompt_cache_key", "user", "metadata"])
def test_conversation_stays_with_one_place(said: str) -> None:
    """By a header or a field; others go elsewhere, and each as often as it comes."""
    gateway = Routed(key("vk", "a", "b", "c", "d"), routing=STICKY)
    places: dict[str, set[str]] = {}
    for _ in range(3):
        for conversation in map(str, range(12)):
            before = len(gateway.agent.sent)
            if said in ("x-claude-code-session-id", "session_id"):
                client = gateway.client()
                head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer vk\r\n{said}: "
                client.send(f"{head}{conversation}\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY)
            elif said == "metadata":
                gateway.call(messages(metadata={"user_id": conversation}), path=MESSAGES)
            else:
                gateway.call(chat(**{said: conversation}))
            places.setdefault(conversation, set()).update(gateway.asked[before:])
    assert {len(each) for each in places.values()} == {1}
    assert len(set().union(*places.values())) > 2


def test_conversation_moves_while_its_place_is_out_and_comes_back() -> None:
    """To its second choice, each time the same."""
    gateway = Routed(key("vk", "a", "c", "e"), routing=STICKY)
    client = gateway.call(chat(user="u"))
    fails(gateway.last, 429, retry_after="30")
    gateway.soon()
    first, second = gateway.asked
    works(gateway.last, HI if second == "e" else b"{}")
    assert client.answer()[0] == 200
    gateway.call(chat(user="u"))
    assert gateway.asked == [first, second, second]
    gateway.clock.advance(30)
    gateway.call(chat(user="u"))
    assert gateway.asked == [first, second, second, first]


# What is stored at one account


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/files/f_1", None),
        ("POST", "/v1/batches", b'{"input_file_id":"f_1"}'),
        ("DELETE", "/v1/files/f_1", None),
        ("GET", "/v1/responses/resp_1", None),
        ("POST", "/v1/responses", b'{"model":"m","previous_response_id":"resp_1","input":"Hi"}'),
        ("POST", "/v1/responses", b'{"model":"m","conversation":"conv_1","input":"Hi"}'),
        ("POST", "/v1/responses", b'{"model":"m","conversation":{"id":"conv_1"},"input":"Hi"}'),
    ],
)
def test_what_is_stored_at_one_account_is_asked_for_there(method: str, path: str, body: bytes | None) -> None:
    """The first; another knows nothing of it. It may be asked again."""
    gateway = Routed(key("vk", "a", "b", "c"), routing=RoutingSettings(strategy=Strategy.LEAST_BUSY))
    gateway.call()
    client = gateway.client()
    client.ask(method, path, body, authorization="Bearer vk")
    assert gateway.asked[1:] == ["a"]
    fails(gateway.last, 429, retry_after="1")
    gateway.clock.advance(1.1)
    assert gateway.asked[1:] == ["a", "a"]
    works(gateway.last)
    assert client.answer()[0] == 200


@pytest.mark.parametrize(
    "body", [b'{"model":"m","input":"Hi"}', b'{"model":"m","previous_response_id":null,"input":""}']
)
def test_new_conversation_is_asked_for_anywhere(body: bytes) -> None:
    """Nothing of it is stored yet."""
    gateway = Routed()
    gateway.call(body, path="/v1/responses")
    fails(gateway.last, 429)
    gateway.soon()
    assert gateway.asked == ["a", "b"]


def test_what_generates_without_storing_goes_elsewhere() -> None:
    """Embeddings, images, speech."""
    for path in ("/v1/embeddings", "/v1/images/generations", "/v1/audio/speech", "/v1/moderations", "/v1/completions"):
        gateway = Routed(key("vk", "a", "b"))
        gateway.call(path=path)
        fails(gateway.last, 429)
        gateway.soon()
        assert gateway.asked == ["a", "b"], path


# Memory


@pytest.mark.parametrize("body", [chat("x" * 257), chat("x" * 1_500_000)])
def test_name_that_no_model_has_is_refused(body: bytes) -> None:
    """What is known of a name is kept: callers must not fill the memory with long ones."""
    gateway = Routed(max_body_bytes=4_000_000)
    assert refused(gateway.call(body))
    assert gateway.agent.sent == []
    record_of(gateway, ended="refused", attempts=0, model="x" * 128)


def test_names_that_callers_invent_are_forgotten() -> None:
    """The plans of others are made anew then."""
    gateway = Routed()
    gateway.routes.MAX_REMEMBERED = 3
    for number in range(8):
        gateway.call(chat(f"m-{number}"))
        works(gateway.last)
        assert len(gateway.routes._plans) <= 3


# Counting


def test_count_is_sent_to_who_can_count() -> None:
    """With the key's other credentials behind it."""
    gateway = Routed(key("vk", "e", "f"))
    client = gateway.call(messages(), path=MESSAGES + "/count_tokens")
    assert gateway.last.url == b"https://claude.test/v1/messages/count_tokens"
    fails(gateway.last, 529)
    gateway.soon()
    assert gateway.last.url == b"https://google.test/v1beta/models/m:countTokens"
    works(gateway.last, b'{"totalTokens":7}')
    assert json.loads(client.answer()[2]) == {"input_tokens": 7}


def test_count_is_not_sent_to_who_cannot_count() -> None:
    """What the first one said is the answer; an estimate would count another model's tokens."""
    gateway = Routed(key("vk", "e", "a"), retries=replace(STEADY, again=0))
    client = gateway.call(messages(), path=MESSAGES + "/count_tokens")
    fails(gateway.last, 529, b'{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}')
    gateway.soon()
    assert gateway.asked == ["e"]
    assert client.answer()[0] == 529
    assert "x-gw-estimated" not in client.answer()[1]


def test_count_is_estimated_where_the_first_place_cannot_count() -> None:
    """As ever; nobody is asked."""
    gateway = Routed(key("vk", "a", "e"))
    client = gateway.call(messages(), path=MESSAGES + "/count_tokens")
    assert (client.answer()[0], client.answer()[1]["x-gw-estimated"]) == (200, "input_tokens")
    assert gateway.agent.sent == []


# A reload in the middle


def test_retry_goes_where_the_call_could_go_when_it_came() -> None:
    """With its keys and addresses, whatever has been read since."""
    gateway = Routed(key("vk", "a", "c"))
    client = gateway.call()
    gateway.reload(key("vk", "e"), providers=evolved(PROVIDERS[1], base_url="https://new.test/v1"))
    fails(gateway.last, 503)
    gateway.soon()
    assert (gateway.asked, gateway.last.url) == (["a", "c"], b"https://two.test/v1/chat/completions")
    works(gateway.last)
    assert client.answer()[0] == 200
    gateway.call()
    assert gateway.asked == ["a", "c", "e"]


def test_key_that_is_taken_away_ends_no_call_that_runs() -> None:
    """And no retry of one; the next call is refused."""
    gateway = Routed(key("vk", "a"), key("vk_other", "c"))
    client = gateway.call()
    fails(gateway.last, 503)
    gateway.reload(key("vk_other", "c"))
    gateway.clock.advance(0.5)
    works(gateway.last)
    assert client.answer()[0] == 200
    assert gateway.call().answer()[0] == 401


def test_new_real_key_is_not_held_to_what_the_old_one_did() -> None:
    """Nor a provider at another address."""
    gateway = Routed(key("vk", "a"), retries=Retries(attempts=1))
    gateway.call()
    fails(gateway.last, 429, retry_after="50")
    assert refused(gateway.call(), 429, "providers_rate_limited")
    gateway.reload(key("vk", "a"))
    assert refused(gateway.call(), 429, "providers_rate_limited")
    gateway.reload(key("vk", "a"), providers=evolved(PROVIDERS[0], base_url="https://new.test/v1"))
    gateway.call()
    assert gateway.asked == ["a", "a"]
    works(gateway.last)


@pytest.mark.parametrize(("workers", "let_in"), [(1, 5), (2, 2), (3, 1), (9, 1)])
def test_limits_are_shared_by_workers(workers: int, let_in: int) -> None:
    """Each of several processes lets in its part, and one at least."""
    routing = RoutingSettings(providers={"one": ProviderSettings(limits=Limits(5))}, credentials={"c": Limits(5)})
    configuration = configured(key("vk", "a"), key("vk_two", "c"), routing=routing)
    gateway = Routed()
    RouteBook(gateway.grants, gateway.dispatcher, workers).use(configuration)
    gateway.grants.use(configuration)
    for presented in ("vk", "vk_two"):
        before = gateway.in_use
        for _ in range(6):
            gateway.call(presented=presented)
        assert gateway.in_use - before == let_in


# Names in paths


def test_model_in_a_path_of_googles_is_each_providers_own() -> None:
    """And is written into the body where the next provider wants it there."""
    models = named("fast", Target("google", "g-1"), Target("one", "o-2"))
    gateway = Routed(key("vk", "f", "a"), routing=RoutingSettings(models=models))
    client = gateway.call(
        b'{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}', path="/v1beta/models/fast:generateContent"
    )
    assert gateway.last.url == b"https://google.test/v1beta/models/g-1:generateContent"
    fails(gateway.last, 503, b'{"error":{"code":503,"status":"UNAVAILABLE","message":"Busy"}}')
    gateway.soon()
    assert gateway.last.url == b"https://one.test/v1/chat/completions"
    assert json.loads(gateway.last.body)["model"] == "o-2"
    answer = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    works(gateway.last, json.dumps({"id": "1", "model": "o-2", "choices": [answer]}).encode())
    assert json.loads(client.answer()[2])["candidates"][0]["content"]["parts"] == [{"text": "Hi"}]


def test_model_in_a_path_of_azures_is_each_providers_own() -> None:
    """Whether it stands in the path or in the body there."""
    models = named("fast", Target("one", "o-1"), Target("two", "t-2"))
    providers = evolved(PROVIDERS[1], api_version="2024-10-21")
    gateway = Routed(key("vk", "a", "c"), routing=RoutingSettings(models=models), providers=providers)
    path = "/openai/deployments/fast/chat/completions?api-version=2024-06-01"
    client = gateway.call(b'{ "messages":[] }', path=path)
    assert gateway.last.url == b"https://one.test/v1/chat/completions"
    assert json.loads(gateway.last.body) == {"model": "o-1", "messages": []}
    fails(gateway.last, 503)
    gateway.soon()
    assert b"/deployments/t-2/chat/completions?api-version=2024-10-21" in gateway.last.url
    works(gateway.last)
    assert client.answer()[0] == 200


def test_head_is_sent_elsewhere_like_any_reading() -> None:
    """Though an error has no body then."""
    gateway = Routed(key("vk", "a", "b"))
    client = gateway.client()
    client.ask("HEAD", "/v1/images/generations", authorization="Bearer vk")
    fails(gateway.last, 429, b"")
    gateway.soon()
    assert gateway.asked == ["a", "b"]
    gateway.last.answer(200, content_length="7").end()
    status, headers, body = client.answer()
    assert (status, headers["content-length"], headers["x-gw-attempts"], body) == (200, "7", "2", b"")
