"""Who may pass, and what those hear who may not."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.memory import MemoryGateway


@pytest.fixture
def gateway() -> Iterator[MemoryGateway]:
    gateway = MemoryGateway()
    yield gateway
    gateway.close()


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v1/chat/completions", {"authorization": "Bearer vk_openai"}),
        ("/v1/chat/completions", {"authorization": "bearer  vk_openai "}),
        ("/v1/chat/completions", {"x_api_key": "vk_openai"}),
        ("/v1/chat/completions", {"api_key": "vk_openai"}),
        ("/v1/chat/completions", {"x_goog_api_key": "vk_openai"}),
        ("/v1/chat/completions", {"authorization": "Bearer dummy", "x_api_key": "vk_openai"}),
        ("/v1/chat/completions", {"authorization": "Basic abc", "x_api_key": "vk_openai"}),
        ("/chat/completions", {"x_api_key": "vk_openai"}),
        ("/v1beta/models/g:generateContent?key=vk_gemini", {}),
        ("/v1/models/g:generateContent?alt=sse&key=vk%5Fgemini", {}),
    ],
)
def test_key_is_found_in_each_of_its_places(gateway: MemoryGateway, target: str, headers: dict[str, str]) -> None:
    """Whatever header your SDK uses."""
    gateway.client().ask("POST", target, b"{}", **headers)
    assert len(gateway.agent.sent) == 1


@pytest.mark.parametrize("path", ["/chat/completions", "/completions/chat"])
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "missing_key"),
        ({"authorization": "vk_openai"}, 400, "missing_key"),
        ({"authorization": "Basic vk_openai"}, 400, "missing_key"),
        ({"authorization": "Bearer "}, 400, "missing_key"),
        ({"authorization": "Bearer vk_unknown"}, 401, "invalid_api_key"),
        ({"authorization": "Bearer vk_lost"}, 400, "provider_not_configured"),
    ],
)
def test_native_paths_keep_their_codes(
    gateway: MemoryGateway, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    """400 for a missing or malformed header, 401 for an unknown key, 400 for a provider that is not configured."""
    client = gateway.client()
    client.ask("POST", path, b"{}", **headers)
    got, _, body = client.answer()
    assert (got, json.loads(body)["error"]["code"]) == (status, code)
    assert gateway.agent.sent == []
    assert gateway.record.ended == "refused"


@pytest.mark.parametrize(
    ("target", "where", "value"),
    [
        ("/v1/chat/completions", ("error", "code"), "missing_key"),
        ("/v1/messages", ("error", "type"), "authentication_error"),
        ("/v1beta/models/g:generateContent", ("error", "status"), "UNAUTHENTICATED"),
        ("/p/anthropic/v1/messages", ("error", "type"), "authentication_error"),
    ],
)
def test_missing_key_is_401_in_the_paths_dialect(
    gateway: MemoryGateway, target: str, where: tuple[str, str], value: str
) -> None:
    """On every path but the native two."""
    client = gateway.client()
    client.ask("POST", target, b"{}")
    status, _, body = client.answer()
    assert status == 401
    assert json.loads(body)[where[0]][where[1]] == value


def test_key_in_the_query_goes_no_further(gateway: MemoryGateway) -> None:
    """Neither to the provider nor into the log; the other parameters do."""
    gateway.client().ask("POST", "/v1beta/models/g:streamGenerateContent?alt=sse&key=vk_gemini&x=1", b"{}")
    assert gateway.sent.url == b"https://gemini.test/v1beta/models/g:streamGenerateContent?alt=sse&x=1"
    assert gateway.sent.header("x-goog-api-key") == "gm-real-canary-555"


def test_key_in_the_query_of_another_dialect_goes_no_further(gateway: MemoryGateway) -> None:
    """It is not looked for there, and a virtual key is not passed on all the same; a parameter that is none is."""
    gateway.client().ask("GET", "/v1/files?key=vk_openai&a=1", authorization="Bearer vk_openai")
    gateway.client().ask("GET", "/v1/files?key=sort&a=1", authorization="Bearer vk_openai")
    gateway.client().ask("GET", "/v1/files?a=1;api_key=vk_openai", authorization="Bearer vk_openai")
    assert [sent.url.partition(b"?")[2] for sent in gateway.agent.sent] == [b"a=1", b"key=sort&a=1", b"a=1"]


@pytest.mark.parametrize(
    ("target", "key", "status", "code"),
    [
        ("/v1/messages", "vk_openai", 400, None),
        ("/v1/files", "vk_anthropic", 400, "dialect_mismatch"),
        ("/v1beta/models/g:generateContent", "vk_openai", 400, None),
        ("/p/anthropic/v1/messages", "vk_openai", 403, None),
        ("/p/openai/v1/files", "vk_anthropic", 403, "provider_not_allowed"),
        ("/p/nobody/v1/files", "vk_openai", 404, "not_found"),
        ("/v1/../secret", "vk_openai", 400, "bad_request"),
        ("/p/openai/%2e%2e/secret", "vk_openai", 400, "bad_request"),
    ],
)
def test_key_opens_its_own_provider_only(
    gateway: MemoryGateway, target: str, key: str, status: int, code: str | None
) -> None:
    """Another dialect, another provider, or a way out of the base URL: a clear 4xx and nobody is asked."""
    client = gateway.client()
    client.ask("POST", target, b"{}", authorization=f"Bearer {key}")
    got, headers, body = client.answer()
    assert got == status
    assert code is None or json.loads(body)["error"]["code"] == code
    assert headers["x-gw-error"]
    assert gateway.agent.sent == []


def test_refusal_never_repeats_the_key(gateway: MemoryGateway) -> None:
    """An unknown key may be somebody's real one, mistyped."""
    client = gateway.client()
    client.ask("POST", "/v1/chat/completions", b"{}", authorization="Bearer sk-somebodys-real-key")
    assert b"somebodys" not in client.received
