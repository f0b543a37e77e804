"""Which headers cross the gateway, in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Fields = dict[bytes, list[bytes]]
"""Header fields: names, in any spelling as long as it is always the same, with all their values."""

CREDENTIAL_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
"""The four headers in which a virtual key may come. They never leave."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that speak of one connection only. Source: RFC 9110, section 7.6.1."""

TO_PROVIDER = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"idempotency-key",
        b"openai-beta",
        b"range",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"x-client-request-id",
        b"x-goog-api-client",
    }
)
"""What of a client's headers a provider gets to see, besides those with one of the prefixes."""

TO_PROVIDER_PREFIXES = (b"anthropic-", b"x-stainless-")

NOT_TO_PROVIDER = frozenset(
    {
        b"anthropic-api-key",
        b"anthropic-auth-token",
        b"anthropic-organization-id",
        b"anthropic-workspace-id",
        b"x-stainless-api-key",
    }
)
"""Exceptions from the prefixes: which account pays is the operator's choice, and a key is the gateway's to send."""

NOT_TO_CLIENT = (
    HOP_BY_HOP
    | CREDENTIAL_HEADERS
    | {
        b"alt-svc",
        b"anthropic-organization-id",
        b"anthropic-workspace-id",
        b"clear-site-data",
        b"date",
        b"forwarded",
        b"nel",
        b"openai-organization",
        b"openai-project",
        b"report-to",
        b"reporting-endpoints",
        b"server",
        b"set-cookie",
        b"set-cookie2",
        b"strict-transport-security",
        b"via",
        b"x-goog-user-project",
        b"x-powered-by",
        b"x-served-by",
    }
)
"""What of a provider's headers stays here: one connection's matters, cookies, accounts, its edge. ``date`` is ours."""

NOT_TO_CLIENT_PREFIXES = (b"cf-", b"x-amz-cf-", b"x-envoy-", b"x-gw-")

EVENT_STREAM_HEADERS: Mapping[bytes, bytes] = {b"Cache-Control": b"no-cache", b"X-Accel-Buffering": b"no"}
"""Set on every event stream, so that no proxy on the way holds it up."""


class HeaderFilter:
    """
    Decides header by header, and remembers each name's verdict: the names are few and come with every call.

    :ivar MAX_REMEMBERED: names remembered at most; whoever invents names does not fill the memory.
    :ivar MAX_REMEMBERED_BYTES: the longest that is remembered, for the same reason.
    :ivar MAX_SHAPES: sets of names whose verdicts are remembered together: whoever sends messages sends alike ones. Of
        so many names at most.
    """

    MAX_REMEMBERED = 1024
    MAX_REMEMBERED_BYTES = 64
    MAX_SHAPES, MAX_SHAPE = 128, 64

    __slots__ = ("_allows", "_shapes", "_verdicts")

    def __init__(
        self, *, allowed: frozenset[bytes] | None, prefixes: tuple[bytes, ...], denied: frozenset[bytes]
    ) -> None:
        """
        :param allowed: names that pass, in lower case; ``None`` where all pass but the denied.
        :param prefixes: with ``allowed`` names that pass, without it names that do not.
        :param denied: names that never pass.
        """

        def allows(name: bytes) -> bool:
            if name in denied:
                return False
            if allowed is None:
                return not name.startswith(prefixes)
            return name in allowed or name.startswith(prefixes)

        self._allows = allows
        self._verdicts: dict[bytes, bool] = {}
        self._shapes: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}
        """What does not pass, by names in the order in which they came."""

    def keep(self, fields: Fields) -> Fields:
        """
        :return: those that pass, names and values as they came; without those that a ``connection`` header declares to
            be about this connection only.
        """
        names = tuple(fields)
        out = self._shapes.get(names)
        if out is None:
            out = self._out_of(names)
        kept = fields.copy()
        for name in out:
            del kept[name]
        if b"Connection" in fields or b"connection" in fields:
            named = connection_tokens(fields)
            kept = {name: values for name, values in kept.items() if name.lower() not in named}
        return kept

    def _out_of(self, names: tuple[bytes, ...]) -> tuple[bytes, ...]:
        verdicts = self._verdicts
        out = tuple([name for name in names if not self._judge(name)])
        if len(names) <= self.MAX_SHAPE and all(name in verdicts for name in names):
            if len(self._shapes) >= self.MAX_SHAPES:
                # Those that matter are back at once.
                self._shapes.clear()
            self._shapes[names] = out
        return out

    def _judge(self, name: bytes) -> bool:
        verdict = self._verdicts.get(name)
        if verdict is not None:
            return verdict
        verdict = self._allows(name.lower())
        if len(self._verdicts) < self.MAX_REMEMBERED and len(name) <= self.MAX_REMEMBERED_BYTES:
            self._verdicts[name] = verdict
        return verdict


def to_provider_filter(extra: Iterable[str] = ()) -> HeaderFilter:
    """
    :param extra: more names that this provider's calls may carry, in lower case.
    """
    return HeaderFilter(
        allowed=TO_PROVIDER | {name.encode("ascii") for name in extra},
        prefixes=TO_PROVIDER_PREFIXES,
        denied=NOT_TO_PROVIDER | CREDENTIAL_HEADERS | HOP_BY_HOP | {b"host", b"cookie", b"content-length"},
    )


def to_client_filter() -> HeaderFilter:
    """The filter for providers' answers. Content-length passes: the bytes do too, all of them."""
    return HeaderFilter(allowed=None, prefixes=NOT_TO_CLIENT_PREFIXES, denied=NOT_TO_CLIENT)


def connection_tokens(fields: Fields) -> frozenset[bytes]:
    """
    :return: the names, in lower case, that a ``connection`` header declares to be about this connection only.
    """
    tokens: set[bytes] = set()
    for name in (b"Connection", b"connection"):
        for value in fields.get(name, ()):
            tokens.update(token.strip().lower() for token in value.split(b","))
    return frozenset(tokens)
