"""A gateway whose keys have several places to go to, and what must be true of it when every call is over."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import pytest
from msgspec.structs import replace

import llm_gateway.upstream.dispatch
import llm_gateway.web.forward
from llm_gateway.config.values import Configuration, Credential, Provider, Secret, VirtualKey
from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.routing.breaker import State
from llm_gateway.core.routing.settings import CredentialUse, Retries, RoutingSettings
from llm_gateway.upstream.attempt import Attempt
from llm_gateway.upstream.dispatch import Dispatch
from llm_gateway.web.answer import Answer
from tests.memory import Client, FakeResponse, MemoryGateway, Sent, provider
from tests.wires import WIRE

SSE = "text/event-stream"
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
HELLO = [{"role": "user", "content": "Say hi"}]
BODY = b'{ "model" : "m", "messages":[{"role":"user","content":"Say hi"}] }'
EVENT = b'data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
STEADY = Retries(spread=False)
"""Waits as long as they can be: 0.5 s, 1 s, 2 s."""

PROVIDERS = (
    provider("one", "https://one.test/v1/chat/completions"),
    provider("two", "https://two.test/v1/chat/completions"),
    provider("claude", "https://claude.test/v1/messages", "anthropic"),
    provider("google", "https://google.test/v1beta", "gemini"),
)
PROVIDER_OF = {"a": "one", "b": "one", "c": "two", "d": "two", "e": "claude", "f": "google"}
"""The credentials that there are, by name."""


def real_key(credential: str) -> str:
    return f"sk-{credential}-real-canary-0123456789"


def key(
    presented: str,
    *uses: str | CredentialUse,
    models: Sequence[str | ModelRule] | None = None,
    name: str | None = None,
) -> VirtualKey:
    """
    :param uses: its credentials: names, or with order and weight.
    :param models: what it may call only.
    """
    credentials = tuple(use if isinstance(use, CredentialUse) else used(use) for use in uses)
    digest = hashlib.sha256(presented.encode()).digest()
    rules = None
    if models is not None:
        rules = ModelRules([each if isinstance(each, ModelRule) else ModelRule(each) for each in models])
    first = credentials[0]
    return VirtualKey(
        digest,
        digest.hex()[:8],
        name or presented.removeprefix("vk_"),
        first.provider,
        Secret(real_key(first.name)),
        models=rules,
        credentials=credentials,
    )


def used(name: str, order: int = 0, weight: float = 1.0) -> CredentialUse:
    return CredentialUse(name, PROVIDER_OF[name], order, weight)


def configured(
    *keys: VirtualKey, routing: RoutingSettings | None = None, providers: Sequence[Provider] = PROVIDERS
) -> Configuration:
    credentials = {name: Credential(name, of, Secret(real_key(name))) for name, of in PROVIDER_OF.items()}
    return Configuration(
        {each.name: each for each in providers},
        {each.digest: each for each in keys},
        credentials=credentials,
        routing=routing or RoutingSettings(),
    )


class Routed(MemoryGateway):
    """With the short words that these tests are written in."""

    def __init__(
        self,
        *keys: VirtualKey,
        routing: RoutingSettings | None = None,
        retries: Retries = STEADY,
        providers: Sequence[Provider] = PROVIDERS,
        **settings: Any,
    ) -> None:
        """
        :param keys: ``vk``, with the credentials ``a`` and ``b`` of provider ``one`` and ``c`` of ``two``, if none is
            given.
        """
        keys = keys or (key("vk", "a", "b", "c"),)
        super().__init__(configured(*keys, routing=routing, providers=providers), retries=retries, **settings)
        _made.append(self)

    def reload(
        self, *keys: VirtualKey, routing: RoutingSettings | None = None, providers: Sequence[Provider] = PROVIDERS
    ) -> None:
        self.use(configured(*keys, routing=routing, providers=providers))

    def call(self, body: bytes = BODY, path: str = CHAT, presented: str = "vk", **headers: str) -> Client:
        """A client that has sent its call."""
        client = self.client()
        client.ask("POST", path, body, **{"authorization": f"Bearer {presented}", **headers})
        return client

    def stream(self, model: str = "m", presented: str = "vk", **headers: str) -> Client:
        """One that wants a stream."""
        return self.call(chat(model, stream=True), presented=presented, **headers)

    def get(self, path: str, presented: str | None = "vk", **headers: str) -> Client:
        client = self.client()
        if presented is not None:
            headers["authorization"] = f"Bearer {presented}"
        client.ask("GET", path, None, **headers)
        return client

    def page(self, path: str, presented: str | None = None) -> Any:
        """One of the gateway's own, read."""
        status, _, body = self.get(path, presented).answer()
        assert status == 200, body
        return json.loads(body)

    @property
    def last(self) -> Sent:
        """The request that a provider got last."""
        return self.agent.sent[-1]

    @property
    def asked(self) -> list[str]:
        """The credential of every request that was sent, in order."""
        return [credential_of(each) for each in self.agent.sent]

    @property
    def in_use(self) -> int:
        return self.dispatcher.router.admission.in_use

    @property
    def waiting(self) -> int:
        return self.dispatcher.router.admission.waiting()

    def soon(self) -> None:
        """What is to be done at once is done."""
        self.clock.advance(0)


def chat(model: str = "m", **fields: Any) -> bytes:
    """A request of Chat Completions."""
    return json.dumps({"model": model, "messages": HELLO, **fields}).encode()


def messages(model: str = "m", **fields: Any) -> bytes:
    """A request of Anthropic's Messages."""
    return json.dumps({"model": model, "max_tokens": 9, "messages": HELLO, **fields}).encode()


def credential_of(sent: Sent) -> str:
    """The name of the credential that a request was sent with."""
    for name in ("authorization", "x-api-key", "x-goog-api-key"):
        value = sent.header(name)
        if value is not None:
            return value.removeprefix("Bearer ").split("-")[1]
    raise AssertionError("it was sent without a key")


def answered(sent: Sent, status: int, length: int | None, headers: Mapping[str, str]) -> FakeResponse:
    """
    :param headers: ``retry_after="1"`` for ``retry-after``.
    """
    named: Any = headers
    return sent.answer(status, length=length, **named)


def fails(sent: Sent, status: int = 500, body: bytes = b'{"error":{"message":"no"}}', **headers: str) -> FakeResponse:
    """The provider answers with an error."""
    response = answered(sent, status, len(body), headers)
    response.write(body)
    response.end()
    return response


def works(sent: Sent, body: bytes = b'{"id":"1"}', **headers: str) -> FakeResponse:
    """The provider answers."""
    response = answered(sent, 200, len(body), headers)
    response.write(body)
    response.end()
    return response


def streams(sent: Sent, *pieces: bytes) -> FakeResponse:
    """The provider begins a stream of events."""
    response = sent.answer(content_type=SSE)
    for piece in pieces:
        response.write(piece)
    return response


_made: list[Routed] = []
_alive: WeakSet[Any] = WeakSet()
_PARTS: Mapping[tuple[Any, str], type] = {
    (llm_gateway.upstream.dispatch, "Attempt"): Attempt,
    (llm_gateway.upstream.dispatch, "Dispatch"): Dispatch,
    (llm_gateway.web.forward, "Answer"): Answer,
    (llm_gateway.web.forward, "_ForwardedCall"): llm_gateway.web.forward._ForwardedCall,
}


class _Noted:
    """Stands for a class: makes the same, and tells when it is let go of."""

    def __init__(self, part: type) -> None:
        # What has slots cannot be referred to weakly; what is derived from it can.
        self._derived = type(part.__name__, (part,), {})

    def __call__(self, *args: Any, **named: Any) -> Any:
        made = self._derived(*args, **named)
        _alive.add(made)
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._derived, name)


@contextmanager
def nothing_stays(*, collect: bool = False, logged: bool = False) -> Iterator[None]:
    """
    Around a test: when every client of every gateway has left, nothing of any call is there any more.

    :param collect: whether it takes the garbage collector, as for exceptions, which hold what was at work.
    :param logged: whether the log has got one, which it keeps until somebody listens to it.
    """
    _made.clear()
    _alive.clear()
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), part in _PARTS.items():
            patch.setattr(module, name, _Noted(part))
        yield
    try:
        for gateway in _made:
            gateway.close()
            assert_at_rest(gateway)
            gateway.agent.sent.clear()
        if collect and _alive:
            gc.collect()
        left = sorted(type(each).__name__ for each in _alive)
        # Twisted's own channel keeps its last producer for as long as it lives.
        assert logged or WIRE == "twisted" or not left, f"still in memory: {left}"
    finally:
        _made.clear()
        _alive.clear()


def assert_at_rest(gateway: MemoryGateway) -> None:
    """Slots, queues, trials, timers and the list of running calls are as before the first call."""
    router = gateway.dispatcher.router
    admission = router.admission
    gates = [*admission._providers.values(), *admission._credentials.values()]
    assert (admission.in_use, admission.waiting(), len(gateway.live)) == (0, 0, 0)
    assert [gate.name for gate in gates if gate.in_use] == []
    assert [gate.name for gate in admission._providers.values() if gate.tenants] == []
    breakers = router.health._known()
    assert [each.part for each in breakers if each.state is State.HALF_OPEN and each._trial_ends is not None] == []
    assert gateway.dispatcher._queued == {}
    assert timers(gateway) == []


def timers(gateway: MemoryGateway) -> list[str]:
    """What is still to happen for a call: the client's connections have clocks of their own."""
    calls: Sequence[Any] = gateway.clock.getDelayedCalls()
    names = [_called(call.func) for call in calls]
    return [name for name in names if name.startswith(("llm_gateway.upstream.", "llm_gateway.web."))]


def _called(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', '?')}"


def record_of(gateway: MemoryGateway, **fields: object) -> None:
    """Compare fields of the one record that was written."""
    found = {name: getattr(gateway.record, name) for name in fields}
    assert found == fields


def evolved(of: Provider, **changes: Any) -> tuple[Provider, ...]:
    """All providers, one of them changed."""
    return tuple(replace(each, **changes) if each.name == of.name else each for each in PROVIDERS)
