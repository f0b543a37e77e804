"""A provider as calls see it: all that does not change from call to call, worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from treq.client import HTTPClient
from twisted.web.http_headers import Headers

from llm_gateway.config.values import Provider, Secret
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.headers import RawHeaders, connection_tokens, to_client_filter, to_provider_filter
from llm_gateway.core.paths import joined

SHORTEST_SECRET = 8
"""Real keys have 20 characters and more."""

SECRET_WORDS = (b"auth", b"key", b"token", b"secret", b"password", b"credential")
"""A header whose name has one of these in it holds a secret."""

_to_client = to_client_filter()


class Target:
    """One provider of the current configuration, ready to be called."""

    def __init__(self, provider: Provider, client: HTTPClient) -> None:
        """
        :param client: sends the calls; its connect timeout is the provider's.
        """
        self.provider = provider
        self.client = client
        self.dialect = DIALECTS[provider.dialect]
        self.url = provider.url.encode("ascii")
        base = urlsplit(provider.base_url)
        self._origin = f"{base.scheme}://{base.netloc}".encode("ascii")
        self._base_path = base.path.rstrip("/").encode("ascii")
        self._filter = to_provider_filter(provider.forward_headers)
        self._defaults = self.dialect.default_headers
        self._extra = [
            (name.lower().encode("ascii"), [value.reveal().encode("latin-1")]) for name, value in provider.headers
        ]

    def url_for(self, suffix: bytes, query: bytes) -> bytes:
        """
        :param suffix: a path below the provider's base URL, checked by ``core.paths.checked_suffix``.
        :param query: the query string without its question mark.
        """
        url = self._origin + joined(self._base_path, suffix)
        return url + b"?" + query if query else url

    def native_url(self, query: bytes) -> bytes:
        """The provider's own URL, as configured, with the client's query behind it."""
        if not query:
            return self.url
        return self.url + (b"&" if b"?" in self.url else b"?") + query

    def secrets_with(self, api_key: Secret) -> tuple[bytes, ...]:
        """
        :return: what calls with this key carry and no client may get to see: the key, and what the operator has set in
            headers that are for secrets. Without those so short, placeholders, that they turn up anywhere.
        """
        values = [api_key.reveal().encode("latin-1")]
        for name, (value,) in self._extra:
            if any(word in name for word in SECRET_WORDS):
                values.append(value.removeprefix(b"Bearer ").strip())
        return tuple(dict.fromkeys(value for value in values if len(value) >= SHORTEST_SECRET))

    def headers_for(self, client_headers: RawHeaders, api_key: Secret) -> Headers:
        """
        :param client_headers: what the client sent; only the allowed ones are passed on.
        :param api_key: the real key.
        """
        headers = dict(self._filter.keep(client_headers))
        for named in connection_tokens(client_headers):
            headers.pop(named, None)
        for name, value in self._defaults:
            headers.setdefault(name, [value])
        headers.update(self._extra)
        if self.provider.auth != "none":
            name, value = auth_header(self.provider.auth, api_key)
            headers[name] = [value]
        return Headers(headers)


def auth_header(style: str, api_key: Secret) -> tuple[bytes, bytes]:
    """
    :param style: ``bearer`` or the name of the header that carries the bare key.
    """
    value = api_key.reveal().encode("latin-1")
    return (b"authorization", b"Bearer " + value) if style == "bearer" else (style.encode("ascii"), value)


def answer_headers(headers: Headers, secrets: Sequence[bytes]) -> list[tuple[bytes, list[bytes]]]:
    """
    :param headers: a provider's.
    :param secrets: what it was called with; a header that repeats one of them is left out.
    :return: what of them the client may see.
    """
    raw = list(headers.getAllRawHeaders())
    named = connection_tokens(raw)
    return [
        (name, values)
        for name, values in _to_client.keep(raw)
        if name not in named
        and not any(secret.lower() in name or any(secret in value for value in values) for secret in secrets)
    ]
