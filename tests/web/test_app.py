"""The routes, and what lies beside them: JSON everywhere, HTML nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from llm_gateway.web.front import FrontResource
from llm_gateway.web.live import LiveCalls
from tests.memory import MemoryGateway


@pytest.fixture
def gateway() -> Iterator[MemoryGateway]:
    gateway = MemoryGateway()
    yield gateway
    gateway.close()


@pytest.mark.parametrize("target", ["/nope", "/v2/chat", "//v1/models", "/completions", "/p", "/v1//models"])
def test_unknown_path_is_404_in_json(gateway: MemoryGateway, target: str) -> None:
    """With a hint where calls go."""
    client = gateway.client()
    client.ask("POST", target, b"{}", authorization="Bearer vk_openai")
    status, headers, body = client.answer()
    assert (status, headers["content-type"]) == (404, "application/json")
    assert json.loads(body)["error"]["code"] == "not_found"
    assert gateway.record.error == "not_found"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_root_says_that_somebody_is_there(gateway: MemoryGateway, method: str) -> None:
    """Coding agents look there first."""
    client = gateway.client()
    client.ask(method, "/")
    assert client.answer()[0] == 200
    assert gateway.records.written == []


@pytest.mark.parametrize("status", [429, 529, 418, 599])
def test_status_line_never_says_unknown(gateway: MemoryGateway, status: int) -> None:
    """The usual phrase, or none."""
    client = gateway.client()
    client.chat()
    gateway.sent.answer(status).end()
    assert client.received.startswith(b"HTTP/1.1 %d " % status)
    assert b"nknown" not in client.received


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", "/chat/completions", "OPTIONS, POST"),
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
        ("TRACE", "/v1/models", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
    ],
)
def test_wrong_method_is_405_and_says_which_are_right(
    gateway: MemoryGateway, method: str, target: str, allow: str
) -> None:
    """In ``allow``, for machines, and in the message, for people."""
    client = gateway.client()
    client.ask(method, target, authorization="Bearer vk_openai")
    status, headers, body = client.answer()
    assert (status, headers["allow"]) == (405, allow)
    assert allow in json.loads(body)["error"]["message"]


def test_method_that_nobody_knows_is_refused_in_json(gateway: MemoryGateway) -> None:
    """As one that is not allowed or, where HTTP is parsed by llhttp, as no HTTP at all."""
    client = gateway.client()
    client.ask("BREW", "/v1/models", authorization="Bearer vk_openai")
    status, headers, _ = client.answer()
    assert status in (400, 405)
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("target", ["/chat/completions", "/v1/messages", "/health", "/p/openai/x"])
def test_options_says_what_is_allowed(gateway: MemoryGateway, target: str) -> None:
    """Without a key, without a body, without asking a provider."""
    client = gateway.client()
    client.ask("OPTIONS", target)
    status, headers, body = client.answer()
    assert (status, body) == (204, b"")
    assert "OPTIONS" in headers["allow"]
    assert gateway.agent.sent == []


@pytest.mark.parametrize("target", [b"/\xff", b"/v1/%ff", b"/%c3%28"])
def test_undecodable_path_is_400_in_json(gateway: MemoryGateway, target: bytes) -> None:
    """Not the router's own page."""
    client = gateway.client()
    client.send(b"GET %b HTTP/1.1\r\nhost: g\r\n\r\n" % target)
    status, headers, body = client.answer()
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(body)["error"]["code"] == "bad_request"


@pytest.mark.parametrize("host", ["a" * 70, ".", "a..b", ""])
def test_odd_host_header_never_brings_html(gateway: MemoryGateway, host: str) -> None:
    """Behind proxies anything may stand in it."""
    client = gateway.client()
    client.ask("GET", "/v1/models", host=host, authorization="Bearer vk_openai")
    assert b"html" not in client.received
    assert gateway.agent.sent or client.answer()[1]["content-type"] == "application/json"


@pytest.mark.parametrize("target", ["/p%2Fopenai", "/v1%2Fchat/completions", "/p%2F", "http://u:vk_openai@g/v1/models"])
def test_path_that_could_be_read_two_ways_is_404(gateway: MemoryGateway, target: str) -> None:
    """What is routed and what is sent on is the same path; what is none is not logged either."""
    client = gateway.client()
    client.ask("POST", target, b"{}", authorization="Bearer vk_openai")
    assert client.answer()[0] in (400, 404)
    assert gateway.agent.sent == []
    assert "vk_openai" not in str(gateway.records)


def test_request_without_a_host_is_served(gateway: MemoryGateway) -> None:
    """HTTP/1.0 does not have one."""
    client = gateway.client()
    client.send(b"GET /livez HTTP/1.0\r\n\r\n")
    assert client.answer()[0] == 200


def test_fault_of_ours_is_500_without_details(gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gets an id to name, the log gets the rest."""

    def broken(self: LiveCalls) -> None:
        raise ZeroDivisionError("canary detail")

    monkeypatch.setattr(LiveCalls, "refuse_while_draining", broken)
    client = gateway.client()
    client.ask("POST", "/v1/messages", b"{}", x_api_key="vk_anthropic")
    status, headers, body = client.answer()
    document = json.loads(body)
    assert (status, document["error"]["type"], headers["x-gw-error"]) == (500, "api_error", "internal_error")
    assert document["request_id"] == headers["x-gw-request-id"]
    assert b"canary" not in client.received
    assert gateway.record.ended == "internal_error"


def test_requests_of_one_connection_are_answered_in_turn(gateway: MemoryGateway) -> None:
    """A client may send its next request before the answer to the last."""
    client = gateway.client()
    client.ask("GET", "/livez")
    client.ask("GET", "/readyz")
    assert client.received.count(b"HTTP/1.1 200 OK") == 2
    assert not client.closed


def test_mounted_below_another_root_paths_are_counted_from_there(gateway: MemoryGateway) -> None:
    """In somebody else's tree the segments that lead to the gateway are not part of the call."""
    from twisted.web.resource import Resource

    root = Resource()
    root.putChild(b"llm", gateway.resource)
    gateway.site.resource = root
    client = gateway.client()
    client.ask("POST", "/llm/v1/files/a%2Fb", b"{}", authorization="Bearer vk_openai")
    assert gateway.sent.url == b"https://api.openai.test/v1/files/a%2Fb"


def test_path_is_routed_once(gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the router decided is remembered, errors on the way included, and does not grow without bound."""
    client = gateway.client()
    client.chat()
    monkeypatch.setattr(gateway.resource, "_router", None)
    gateway.client().chat()
    assert [sent.url for sent in gateway.agent.sent] == [b"https://api.openai.test/v1/chat/completions"] * 2
    stranger = gateway.client()
    stranger.chat(key="vk_unknown")
    assert stranger.answer()[0] == 401
    monkeypatch.setattr(LiveCalls, "refuse_while_draining", None)
    unlucky = gateway.client()
    unlucky.chat()
    assert (unlucky.answer()[0], unlucky.answer()[1]["x-gw-error"]) == (500, "internal_error")


def test_remembered_paths_do_not_fill_the_memory(gateway: MemoryGateway) -> None:
    """Every file has a path of its own, and a path may be as long as all headers."""
    assert isinstance(gateway.resource, FrontResource)
    gateway.client().ask("GET", "/v1/files/" + "f" * FrontResource.MAX_REMEMBERED_BYTES)
    assert len(gateway.resource._remembered) == 0
    for number in range(FrontResource.MAX_REMEMBERED + 10):
        gateway.client().ask("GET", f"/v1/files/f_{number}")
    assert len(gateway.resource._remembered) == 10


def test_body_over_the_limit_of_a_foreign_site_is_413(gateway: MemoryGateway) -> None:
    """The limit holds also where another site has read the body already."""
    gateway.site.max_body_bytes = 10**9
    client = gateway.client()
    client.chat(b"x" * 1_000_001)
    assert client.answer()[0] == 413
    assert gateway.agent.sent == []
