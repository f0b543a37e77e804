"""A provider as calls see it."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from llm_gateway.config.values import Secret
from llm_gateway.core.apis import Api
from llm_gateway.errors import BadRequest
from llm_gateway.upstream.client import RelayClient
from llm_gateway.upstream.targets import Target, answer_headers
from tests.memory import FakeAgent, provider

URL = "https://api.test/v1/chat/completions"


def sent_headers(client_headers: dict[str, str], **changes: object) -> dict[str, str]:
    """What a provider gets for these headers of a client."""
    target = Target(provider("p", URL, **changes), RelayClient(FakeAgent()), Clock())  # type: ignore[arg-type]
    raw = Headers({name: [value] for name, value in client_headers.items()})
    headers = target.headers_for(raw, target.own_headers(Secret("sk-real-key")))
    return {name.decode().lower(): values[0].decode() for name, values in headers.getAllRawHeaders()}


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("bearer", {"authorization": "Bearer sk-real-key"}),
        ("x-api-key", {"x-api-key": "sk-real-key"}),
        ("api-key", {"api-key": "sk-real-key"}),
        ("x-goog-api-key", {"x-goog-api-key": "sk-real-key"}),
        ("none", {}),
    ],
)
def test_each_provider_gets_its_key_its_own_way(auth: str, expected: dict[str, str]) -> None:
    """In one place, whatever place the client used."""
    assert sent_headers({"Authorization": "Bearer vk", "X-Api-Key": "vk"}, auth=auth) == expected


def test_operators_headers_go_with_every_call() -> None:
    """And win over the client's."""
    got = sent_headers({"User-Agent": "curl"}, headers=(("User-Agent", Secret("gateway")), ("x-team", Secret("a"))))
    assert (got["user-agent"], got["x-team"]) == ("gateway", "a")


def test_named_headers_of_the_client_go_along() -> None:
    """Only those that the operator names."""
    assert sent_headers({"X-Title": "t", "X-Other": "o"}, forward_headers=("x-title",), auth="none") == {"x-title": "t"}


def test_header_that_connection_names_stays() -> None:
    """It speaks of this connection only."""
    got = sent_headers({"Connection": "Accept", "Accept": "a/b", "Content-Type": "c/d"}, auth="none")
    assert got == {"content-type": "c/d"}


def test_query_of_the_providers_url_is_kept() -> None:
    """Azure has its version there; the client's comes behind."""
    target = Target(provider("p", URL + "?api-version=1"), RelayClient(FakeAgent()), Clock())
    assert target.native_url(b"x=2") == URL.encode() + b"?api-version=1&x=2"
    assert target.native_url(b"") == URL.encode() + b"?api-version=1"


def test_base_url_without_a_path_works() -> None:
    """As DeepSeek's."""
    target = Target(provider("p", "https://api.test/chat/completions"), RelayClient(FakeAgent()), Clock())
    assert target.url_below(b"/v1/chat/completions", 1) == b"https://api.test/chat/completions"
    assert target.url_below(b"/v1/", 1, b"a=b") == b"https://api.test/?a=b"


def test_header_that_repeats_a_secret_is_left_out() -> None:
    """Wherever in it the secret stands, its name included."""
    headers = Headers({"x-debug": ["key=sk-real-key;"], "x-request-id": ["r"], "x-sk-real-key": ["1"]})
    assert answer_headers(headers, [b"other-secret", b"sk-real-key"]) == {b"X-Request-Id": [b"r"]}


def test_secrets_are_the_key_and_what_headers_for_secrets_hold() -> None:
    """Some providers take their key in a header of their own; a team's name is no secret."""
    headers = (("Authorization", Secret("Bearer sk-in-header")), ("x-team", Secret("research-team")))
    target = Target(provider("p", URL, headers=headers), RelayClient(FakeAgent()), Clock())
    assert target.secrets_with(Secret("sk-real-key")) == (b"sk-real-key", b"sk-in-header")


def test_placeholder_key_is_not_looked_for() -> None:
    """A local server's key may be ``x``; masking every x would help nobody."""
    target = Target(provider("p", URL), RelayClient(FakeAgent()), Clock())
    assert target.secrets_with(Secret("x")) == ()


def test_beta_features_that_a_provider_does_not_know_stay_here() -> None:
    """It would refuse the whole call; the header goes if nothing of it is left."""
    known = ("interleaved-*",)
    asked = {"Anthropic-Beta": "interleaved-thinking-1,other-2", "OpenAI-Beta": "assistants=v2"}
    assert sent_headers(asked, forward_beta=known, auth="none") == {"anthropic-beta": "interleaved-thinking-1"}
    assert sent_headers(asked, auth="none")["anthropic-beta"] == "interleaved-thinking-1,other-2"


@pytest.mark.parametrize(
    ("api", "stream", "url"),
    [
        (Api.CHAT, False, "/v1/chat/completions"),
        (Api.RESPONSES, True, "/v1/responses"),
        (Api.GEMINI, False, "/v1/models/a%2Fb:generateContent"),
        (Api.GEMINI, True, "/v1/models/a%2Fb:streamGenerateContent?alt=sse"),
    ],
)
def test_translated_calls_go_where_the_provider_has_them(api: Api, stream: bool, url: str) -> None:
    target = Target(provider("p", URL), RelayClient(FakeAgent()), Clock())
    assert target.url_of(api, "a/b", stream=stream).decode() == "https://api.test" + url


def test_azures_older_paths_name_the_deployment() -> None:
    azure = provider("p", "https://r.openai.azure.test/openai/chat/completions", api_version="2024-10-21")
    target = Target(azure, RelayClient(FakeAgent()), Clock())
    expected = b"https://r.openai.azure.test/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    assert target.url_of(Api.CHAT, "my-gpt", stream=True) == expected
    assert target.url_of_azure(b"/v1/chat/completions", 1, b"api-version=old", "my-gpt") == expected
    with pytest.raises(BadRequest, match="names none"):
        target.url_of_azure(b"/v1/chat/completions", 1, b"", None)
