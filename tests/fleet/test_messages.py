"""What goes through the pipes between the supervisor and its workers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_gateway.config.values import Credential, Endpoint, HealthCheck, Secret
from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.model_rules import ModelFacts, ModelRule, ModelRules
from llm_gateway.core.routing.outcomes import OutcomeKind
from llm_gateway.core.routing.settings import (
    Breaking,
    CredentialUse,
    Fallback,
    Hedging,
    Limits,
    ModelSettings,
    ProviderSettings,
    Repeat,
    Retries,
    RoutingSettings,
    Strategy,
    Target,
)
from llm_gateway.core.translation.losses import OnUnsupported
from llm_gateway.fleet.lines import Lines
from llm_gateway.fleet.messages import (
    AskCalls,
    Begin,
    Calls,
    Content,
    Drain,
    FromWorker,
    Health,
    Hurry,
    OthersCalls,
    Ready,
    Reopen,
    ShowCalls,
    ShownCalls,
    ToWorker,
    Use,
    Using,
    Workers,
    encode,
    from_worker,
    to_worker,
)
from llm_gateway.settings import Settings
from llm_gateway.upstream.prober import ProviderHealth
from llm_gateway.web.live import LiveCall, WorkerState
from tests.fleet.processes import live_call
from tests.memory import configuration, provider, virtual_key

ROUTING = RoutingSettings(
    strategy=Strategy.WEIGHTED,
    models={
        "fast": ModelSettings(
            targets=(Target("openai", "gpt", weight=2.5),),
            fallbacks=(Fallback("smart", frozenset({OutcomeKind.CONTEXT_OVERFLOW})), Fallback("other")),
        )
    },
    providers={"openai": ProviderSettings(Limits(in_flight=3), Breaking(failures=2), retry_share=0.5)},
    credentials={"openai-main": Limits(in_flight=2)},
    retries=Retries(repeat=Repeat.GENERATIONS),
    hedging=Hedging(after_s=1.5),
)
PLAIN = configuration(
    [
        virtual_key("vk_a", "openai", 'sk-real-\u00e9\n"', name="Ann"),
        replace(virtual_key("vk_b", "anthropic"), models=ModelRules([ModelRule("claude-*")])),
    ],
    [
        provider("openai", "https://openai.test/v1/chat/completions", headers=(("x-team", Secret("s-1")),)),
        provider(
            "anthropic",
            "https://anthropic.test/v1/messages",
            "anthropic",
            forward_headers=("x-more",),
            timeouts=Timeouts(1.5, 2.5, 3.5, 4.5),
            health=HealthCheck("https://anthropic.test/health", enabled=False, method="HEAD"),
            others=(Endpoint("openai", "https://a.test/chat", "https://a.test", "bearer"),),
            preset="anthropic",
            family="anthropic",
            apis=("chat",),
            api_version="2024-10-21",
            models=ModelRules([ModelRule("big", "claude-big", ModelFacts(context_window=5, inputs=("text",)))]),
            on_unsupported=OnUnsupported.DROP,
            forward_beta=("a*",),
        ),
    ],
)
FULL = replace(
    PLAIN,
    keys={
        digest: replace(key, credentials=(CredentialUse("openai-main", "openai", order=1, weight=0.5),))
        for digest, key in PLAIN.keys.items()
    },
    credentials={"openai-main": Credential("openai-main", "openai", Secret("sk-real-main"))},
    routing=ROUTING,
)
WAITING = LiveCall("b", None, None, None, None, "GET", "/a\nb", "waiting", 0, "2027-01-15T08:00:00.000Z", 0.5, 0, 2)
"""A call of which little is known."""
STATE = ProviderHealth("openai", "https://openai.test", True, 1.25, 0.5, None)
EVERYTHING = Settings(listen=("tcp:1", "unix:/a b"), access_log=None, workers=3, drain_timeout_s=1.5)


def test_configuration_arrives_as_it_was() -> None:
    """Providers, keys, real keys, routing and all: a worker decides about a call as its supervisor would."""
    message = to_worker(encode(Use(7, Content.of(FULL))).rstrip(b"\n"))
    assert isinstance(message, Use)
    assert message.content.configuration() == replace(FULL, warnings=(), files=())
    assert message.content.configuration().key_for(b"vk_a") == FULL.key_for(b"vk_a")
    assert list(message.content.configuration().providers) == ["openai", "anthropic"]


def test_message_does_not_show_secrets_when_printed() -> None:
    """A message that ends up in a log or a traceback gives no real key away."""
    assert "sk-real" not in repr(Use(7, Content.of(FULL)))
    assert "sk-real" not in repr(to_worker(encode(Use(7, Content.of(FULL)))))


@pytest.mark.parametrize(
    "message",
    [
        Begin(2, EVERYTHING, [("tcp:1", 5)], 3, Content([], [])),
        Health([STATE, replace(STATE, online=False, checked_at=None, latency_s=None, error="x")]),
        Workers([WorkerState(1, None, "restarting", 0, 4), WorkerState(2, 77, "ready", 3, 0)]),
        Reopen(),
        Drain(True),
        Hurry(),
        ShowCalls(4711),
        OthersCalls(4711, 2, [live_call("a"), WAITING]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_message_to_a_worker_is_one_line_and_arrives(message: ToWorker) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert to_worker(line[:-1]) == message


@pytest.mark.parametrize(
    "message",
    [Ready(), Using(3), Calls(12), AskCalls([4711, 4712]), ShownCalls(4711, 3, [live_call("a"), WAITING])],
    ids=lambda message: type(message).__name__,
)
def test_message_from_a_worker_is_one_line_and_arrives(message: FromWorker) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert from_worker(line[:-1]) == message


def test_only_secrets_are_revealed() -> None:
    """A value that no message knows is an error and no guess."""
    with pytest.raises(NotImplementedError, match="no message holds a object"):
        encode(Calls(object()))  # type: ignore[arg-type]  # that is the point


@settings(deadline=None)
@given(st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b"")), max_size=6), st.data())
def test_any_chunking_gives_the_same_lines(lines: list[bytes], data: st.DataObject) -> None:
    """Pipes cut where they like."""
    stream, cut, got = b"".join(line + b"\n" for line in lines) + b"rest", Lines(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += cut.feed(stream[:size])
        stream = stream[size:]
    assert got == lines
    assert cut.rest() == b"rest"
