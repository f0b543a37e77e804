"""What the gateway says of its own routing: the list of models, where a call would go, and how providers are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.error import ConnectionRefusedError

from llm_gateway.core.model_rules import ModelRule, ModelRules
from llm_gateway.core.routing.settings import (
    Breaking,
    Fallback,
    Limits,
    ModelSettings,
    ProviderSettings,
    Retries,
    RoutingSettings,
    Target,
)
from tests.memory import Client
from tests.web.routed import (
    EVENT,
    PROVIDERS,
    Routed,
    assert_at_rest,
    evolved,
    fails,
    key,
    nothing_stays,
    real_key,
    streams,
    used,
    works,
)

ROUTE = "/v1/gateway/route"
ONCE = Retries(attempts=1)


@pytest.fixture(autouse=True)
def all_is_given_back() -> Iterator[None]:
    with nothing_stays():
        yield


# GET /v1/models


def listed(client: Client) -> list[str]:
    status, _, body = client.answer()
    assert status == 200, body
    return [each["id"] for each in json.loads(body)["data"]]


KNOWN = evolved(PROVIDERS[0], models=ModelRules([ModelRule("m"), ModelRule("n")]))


def test_models_of_all_of_a_keys_providers_are_listed() -> None:
    """Nobody is asked: no single provider could tell."""
    providers = [*KNOWN]
    providers[1] = replace(providers[1], models=ModelRules([ModelRule("n"), ModelRule("o")]))
    gateway = Routed(key("vk", "a", "b", "c"), providers=providers)
    assert listed(gateway.get("/v1/models")) == ["m", "n", "o"]
    assert gateway.agent.sent == []


def test_operators_names_that_lead_somewhere_come_first() -> None:
    """Those whose providers the key has no credential of are left out."""
    models = {
        "fast": ModelSettings((Target("two", "x"), Target("one", "m"))),
        "far": ModelSettings((Target("google", "g"),)),
        "m": ModelSettings(fallbacks=(Fallback("n"),)),
    }
    gateway = Routed(key("vk", "a"), routing=RoutingSettings(models=models), providers=KNOWN)
    assert listed(gateway.get("/v1/models")) == ["fast", "m", "n"]


def test_limited_key_lists_what_it_may_call() -> None:
    """Under its own names; of the operator's names too."""
    models = {"fast": ModelSettings((Target("one", "m"),)), "slow": ModelSettings((Target("one", "n"),))}
    gateway = Routed(
        key("vk", "a", "c", models=[ModelRule("gpt", "fast"), "n"]),
        routing=RoutingSettings(models=models),
        providers=KNOWN,
    )
    assert sorted(listed(gateway.get("/v1/models"))) == ["gpt", "n"]
    for name in ("gpt", "n"):
        status, _, body = gateway.get(f"/v1/models/{name}").answer()
        assert (status, json.loads(body)["id"]) == (200, name)
    for name in ("fast", "slow", "m"):
        assert gateway.get(f"/v1/models/{name}").answer()[0] == 404


def test_every_listed_model_can_be_called() -> None:
    """What the list says is so."""
    models = {"fast": ModelSettings((Target("one", "m"),))}
    for limits in (None, ["fast", "n"]):
        gateway = Routed(key("vk", "a", "c", models=limits), routing=RoutingSettings(models=models), providers=KNOWN)
        for name in listed(gateway.get("/v1/models")):
            before = len(gateway.agent.sent)
            gateway.call(json.dumps({"model": name, "messages": []}).encode())
            assert len(gateway.agent.sent) == before + 1, name


def test_one_provider_that_the_gateway_knows_nothing_of_is_asked() -> None:
    """With the next credential if the first is refused."""
    gateway = Routed(key("vk", "a", "b"))
    client = gateway.get("/v1/models")
    fails(gateway.last, 401)
    gateway.soon()
    assert gateway.asked == ["a", "b"]
    works(gateway.last, b'{"data":[]}')
    assert client.answer()[2] == b'{"data":[]}'


# GET /v1/gateway/route


def route(gateway: Routed, query: str = "model=m", presented: str = "vk") -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = gateway.page(f"{ROUTE}?{query}", presented)["candidates"]
    return shown


def test_route_shows_the_candidates_in_their_order() -> None:
    """For the caller's own key, with nothing of the real keys."""
    gateway = Routed(key("vk", used("a", order=1), used("c", weight=2), "e"), key("vk_other", "f"))
    status, headers, body = gateway.get(f"{ROUTE}?model=m").answer()
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "application/json", "no-store")
    page = json.loads(body)
    assert (page["model"], page["strategy"], page["sticky"]) == ("m", "in_order", False)
    assert [(each["position"], each["provider"], each["credential"]) for each in page["candidates"]] == [
        (1, "two", "c"),
        (2, "claude", "e"),
        (3, "one", "a"),
    ]
    assert page["candidates"][0] == {
        "provider": "two",
        "credential": "c",
        "model": "m",
        "in": True,
        "reason": "well",
        "position": 1,
        "order": 0,
        "weight": 2.0,
        "fallback": None,
        "after": [],
        "asked_again_in_s": None,
        "in_flight": 0,
        "usual_s": None,
        "dialect": "openai",
        "api": "chat",
    }
    assert not any(real_key(name).encode() in body for name in "abcdef")
    assert [each["credential"] for each in route(gateway, presented="vk_other")] == ["f"]
    assert gateway.agent.sent == []


def test_route_says_why_a_candidate_is_out() -> None:
    """And from when it is in again; how many calls run with it and how long it takes."""
    gateway = Routed(key("vk", "a", "c"), retries=ONCE)
    gateway.call()
    fails(gateway.last, 429, retry_after="30")
    gateway.clock.advance(10)
    gateway.call()
    gateway.clock.advance(2)
    streams(gateway.last, EVENT)
    first, second = route(gateway)
    assert (first["credential"], first["in"], first["asked_again_in_s"]) == ("a", False, 18.0)
    assert first["reason"].startswith("credential a, model m: cooling, rate limited (status 429)")
    assert (second["credential"], second["in"], second["in_flight"], second["usual_s"]) == ("c", True, 1, 2.0)


def test_route_shows_fallbacks_and_what_is_left_out() -> None:
    """With the outcomes that lead there, and the reason."""
    routing = RoutingSettings(models={"one/m": ModelSettings(fallbacks=(Fallback("two/n"), Fallback("two/o")))})
    gateway = Routed(key("vk", "a", "c", models=["one/m", "two/n"]), routing=routing)
    shown = route(gateway, "model=one/m")
    assert [(each["provider"], each["model"], each["fallback"], each["in"]) for each in shown] == [
        ("one", "m", None, True),
        ("two", "n", "two/n", True),
        ("two", "o", "two/o", False),
    ]
    assert "overloaded" in shown[1]["after"]
    assert shown[2]["position"] is None
    assert "may not call" in shown[2]["reason"]


@pytest.mark.parametrize(
    ("api", "names"),
    [("chat", ["c", "e"]), ("responses", ["c", "e"]), ("messages", ["c", "e"]), ("embeddings", ["c"])],
)
def test_route_is_of_the_operation(api: str, names: list[str]) -> None:
    """Not every provider has each."""
    gateway = Routed(key("vk", "c", "e"))
    shown = route(gateway, f"model=m&api={api}&stream=true")
    assert [each["credential"] for each in shown if each["in"]] == names


def test_route_of_a_conversation_is_where_its_calls_go() -> None:
    """The same draw."""
    gateway = Routed(key("vk", "a", "b", "c", "d"), routing=RoutingSettings(sticky=True))
    for number in range(8):
        shown = route(gateway, f"model=m&conversation=u{number}")
        gateway.call(json.dumps({"model": "m", "user": f"u{number}", "messages": []}).encode())
        assert gateway.asked[-1] == shown[0]["credential"]


def test_first_of_the_route_is_who_is_asked() -> None:
    """Whatever state the candidates are in."""
    breaking = {name: ProviderSettings(breaking=Breaking(failures=1)) for name in ("one", "two", "claude")}
    gateway = Routed(key("vk", "a", "b", "c", "e"), routing=RoutingSettings(providers=breaking), retries=ONCE)
    for status in (401, 429, 503, 500, 503):
        shown = route(gateway)
        first = min((each for each in shown if each["in"]), key=lambda each: each["position"], default=None)
        if first is None:
            break
        gateway.call()
        assert gateway.asked[-1] == first["credential"]
        fails(gateway.last, status)


def test_asking_for_the_route_changes_nothing() -> None:
    """No trial is made by it, and no chance used up."""
    routing = RoutingSettings(providers={"one": ProviderSettings(breaking=Breaking(failures=1), limits=Limits(1))})
    gateway = Routed(key("vk", "a"), routing=routing, retries=ONCE)
    gateway.call()
    fails(gateway.last, 503)
    for _ in range(3):
        assert [each["in"] for each in route(gateway)] == [False]
    gateway.clock.advance(6)
    before = [(change.part, change.after) for change in gateway.changes]
    for _ in range(3):
        assert route(gateway)[0]["reason"].endswith("due for a trial")
    assert [(change.part, change.after) for change in gateway.changes] == before
    assert_at_rest(gateway)
    gateway.call()
    assert gateway.asked == ["a", "a"]
    works(gateway.last)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("model=m&api=speech", 400, "api must be one of"),
        ("model=m&stream=yes", 400, "stream must be"),
        ("model=m&model=n", 400, "model must be given once"),
        ("model=m&modle=n", 400, "no parameter 'modle'"),
        ("model=%ff", 400, "must be UTF-8"),
        ("model=two/n", 404, "may not call"),
        ("model=" + "x" * 300, 404, "more than 256"),
    ],
)
def test_wrong_question_is_told(query: str, status: int, words: str) -> None:
    """As an error of the caller's dialect, with a line in the access log."""
    gateway = Routed(key("vk", "a", models=["m"]))
    client = gateway.get(f"{ROUTE}?{query}")
    got, _, body = client.answer()
    assert got == status
    assert words in json.loads(body)["error"]["message"]
    assert gateway.record.ended == "refused"
    assert gateway.agent.sent == []


@pytest.mark.parametrize("presented", [None, "vk_stranger"])
def test_route_is_for_those_with_a_key(presented: str | None) -> None:
    """It names providers and credentials."""
    gateway = Routed()
    client = gateway.get(f"{ROUTE}?model=m", presented)
    assert client.answer()[0] == 401
    assert b"one" not in client.answer()[2]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", f"{ROUTE}?model=m", 200),
        ("POST", ROUTE, 405),
        ("DELETE", ROUTE, 405),
        ("GET", "/v1/gateway/rout", 404),
        ("POST", "/v1/gateway/keys", 404),
        ("GET", "/v1/gateway/", 404),
        ("GET", "/v1/gateway/route/more", 404),
    ],
)
def test_pages_of_the_gateway_are_no_providers_business(method: str, path: str, status: int) -> None:
    """Nothing below their path is passed on, whatever is asked."""
    gateway = Routed()
    client = gateway.client()
    client.ask(method, path, authorization="Bearer vk")
    assert client.answer()[0] == status
    assert gateway.agent.sent == []


# GET /health


def health(gateway: Routed, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in gateway.page("/health")["providers"] if each["name"] == name)
    return found


def test_health_is_that_of_calls_too() -> None:
    """What has failed, since when and why; what is out, and nobody's words."""
    gateway = Routed(key("vk", "a", "b", "c"), retries=ONCE)
    assert health(gateway, "one") | {"url": ""} == {
        "name": "one",
        "url": "",
        "online": False,
        "checked_at": None,
        "latency_ms": None,
        "error": "not checked yet",
        "state": "closed",
        "since": None,
        "reason": None,
        "calls": {"passed": 0, "failed": 0, "rate_limited": 0, "in_flight": 0, "waiting": 0},
        "out": [],
    }
    for _ in range(3):
        gateway.call()
        fails(gateway.last, 401, b"the provider's own words")
    gateway.call()
    assert gateway.asked == ["a", "a", "a", "b"]
    fails(gateway.last, 429, retry_after="20")
    gateway.call()
    assert gateway.asked[-1] == "c"
    works(gateway.last)
    shown = health(gateway, "one")
    assert shown["calls"] == {"passed": 0, "failed": 3, "rate_limited": 1, "in_flight": 0, "waiting": 0}
    assert shown["state"] == "closed"
    out = {each["credential"]: each for each in shown["out"]}
    assert (out["a"]["state"], out["a"]["model"]) == ("open", None)
    assert out["a"]["reason"] == "3 times in a row: key refused (status 401)"
    assert (out["b"]["state"], out["b"]["model"], out["b"]["reason"]) == ("cooling", "m", "rate limited (status 429)")
    assert out["a"]["since"].endswith("Z")
    assert health(gateway, "two")["calls"]["passed"] == 1
    assert "own words" not in json.dumps(shown)


def test_provider_that_nobody_reaches_is_open() -> None:
    """As a whole; and comes back by trials."""
    gateway = Routed(key("vk", "c"), retries=ONCE)
    for _ in range(5):
        gateway.call()
        gateway.last.fail(ConnectionRefusedError())
    shown = health(gateway, "two")
    assert (shown["state"], shown["calls"]["failed"], shown["out"]) == ("open", 5, [])
    refused = gateway.call()
    assert (refused.answer()[0], refused.answer()[1]["x-gw-error"]) == (503, "no_provider_available")
    assert int(refused.answer()[1]["retry-after"]) in (5, 6)
    gateway.clock.advance(5.6)
    assert health(gateway, "two")["state"] == "half_open"
    for _ in range(2):
        gateway.call()
        works(gateway.last)
    shown = health(gateway, "two")
    assert (shown["state"], shown["reason"], shown["calls"]["passed"]) == ("closed", "it answers again", 2)
    assert len(gateway.agent.sent) == 7


def test_page_stays_short_whatever_callers_name() -> None:
    """Twenty models that are out are enough to see what is wrong."""
    breaking = {"one": ProviderSettings(breaking=Breaking(failures=1))}
    gateway = Routed(key("vk", "a"), routing=RoutingSettings(providers=breaking), retries=ONCE)
    for number in range(30):
        gateway.call(json.dumps({"model": f"m-{number}", "messages": []}).encode())
        fails(gateway.last, 503)
    shown = health(gateway, "one")
    assert (len(shown["out"]), shown["state"]) == (20, "closed")
