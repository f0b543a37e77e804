"""Which headers cross the gateway."""

from __future__ import annotations

import pytest

from llm_gateway.core.headers import HeaderFilter, connection_tokens, to_client_filter, to_provider_filter


def kept(filter_: HeaderFilter, *names: str) -> list[str]:
    return [name.decode() for name in filter_.keep({name.encode(): [b"v"] for name in names})]


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Type", "Accept", "Accept-Encoding", "Content-Encoding", "Anthropic-Beta", "anthropic-version"),
        *("OpenAI-Beta", "X-Stainless-Lang", "Idempotency-Key", "User-Agent", "traceparent", "tracestate"),
    ],
)
def test_provider_gets_what_it_needs(name: str) -> None:
    """The dialect's own headers, content, tracing."""
    assert kept(to_provider_filter(), name) == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie", "Host", "Content-Length"),
        *("Connection", "Transfer-Encoding", "TE", "Upgrade", "Proxy-Authorization", "Keep-Alive", "Trailer"),
        *("Forwarded", "X-Forwarded-For", "X-Real-IP", "OpenAI-Organization", "OpenAI-Project", "X-Request-Id"),
        *("anthropic-organization-id", "X-Anything"),
    ],
)
def test_provider_gets_nothing_else(name: str) -> None:
    """No credential, no cookie, nothing about the connection, the network or the account."""
    assert kept(to_provider_filter(), name) == []


def test_operator_can_let_more_through_but_no_credential() -> None:
    """A provider's own headers can be named; the ones that may hold a virtual key stay even then."""
    assert kept(to_provider_filter(["x-title", "x-api-key"]), "X-Title", "X-Api-Key") == ["X-Title"]


@pytest.mark.parametrize(
    "name", ["X-Request-Id", "request-id", "Retry-After", "X-RateLimit-Limit-Tokens", "anthropic-ratelimit-x", "ETag"]
)
def test_client_gets_what_the_provider_says(name: str) -> None:
    """Request ids, rate limits and everything unknown pass."""
    assert kept(to_client_filter(), name) == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("Set-Cookie", "OpenAI-Organization", "openai-project", "Anthropic-Organization-Id", "Server", "Date", "Via"),
        *("Connection", "Transfer-Encoding", "CF-Ray", "cf-cache-status", "Alt-Svc", "Strict-Transport-Security"),
        *("x-gw-request-id", "x-envoy-upstream-service-time"),
    ],
)
def test_client_does_not_get_accounts_cookies_or_edges(name: str) -> None:
    """Nor a header that only the gateway may set."""
    assert kept(to_client_filter(), name) == []


def test_values_pass_as_they_came() -> None:
    """All of them, in order, byte for byte."""
    assert to_client_filter().keep({b"X-Odd": [b" a ", b"\xff"]}) == {b"X-Odd": [b" a ", b"\xff"]}


def test_invented_names_do_not_fill_the_memory() -> None:
    """Verdicts are remembered for so many names and no more, and for short ones only."""
    filter_ = to_client_filter()
    assert kept(filter_, "x" * 1000) == ["x" * 1000]
    assert len(filter_._verdicts) == 0
    for number in range(3 * HeaderFilter.MAX_REMEMBERED):
        filter_.keep({b"x-%d" % number: [b"v"]})
    assert len(filter_._verdicts) == HeaderFilter.MAX_REMEMBERED
    assert kept(filter_, "x-new", "set-cookie") == ["x-new"]


def test_connection_header_names_more() -> None:
    """What ``connection`` declares to be about the connection does not pass either."""
    assert connection_tokens({b"Connection": [b"close, X-One", b"x-two"]}) == {b"close", b"x-one", b"x-two"}


def test_many_sets_of_names_are_judged_alike_and_do_not_pile_up() -> None:
    """Whether they are remembered or not, and in any number."""
    filter_ = to_client_filter()
    for number in range(3 * HeaderFilter.MAX_SHAPES):
        names = ("Server", f"X-{number % 200}", "Content-Type", "CF-Ray")
        for _ in range(2):
            assert kept(filter_, *names) == [f"X-{number % 200}", "Content-Type"]
    assert len(filter_._shapes) <= HeaderFilter.MAX_SHAPES
    many = [f"X-{number}" for number in range(HeaderFilter.MAX_SHAPE + 1)]
    filter_._shapes.clear()
    assert kept(filter_, *many) == many
    assert not filter_._shapes
