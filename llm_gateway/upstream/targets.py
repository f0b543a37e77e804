"""A provider as calls see it: all that does not change from call to call, worked out once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from urllib.parse import quote, urlsplit

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from llm_gateway.config.values import Provider, Secret
from llm_gateway.core.apis import Api
from llm_gateway.core.azure import asked_of_azure
from llm_gateway.core.betas import BetaFilter
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.headers import Fields, to_client_filter, to_provider_filter
from llm_gateway.core.paths import checked_suffix, joined
from llm_gateway.upstream.watch import Watch
from llm_gateway.wire.fields import fields_of, headers_of

SHORTEST_SECRET = 8
"""Real keys have 20 characters and more."""

SECRET_WORDS = (b"auth", b"key", b"token", b"secret", b"password", b"credential")
"""A header whose name has one of these in it holds a secret."""

_APIS: Mapping[str, frozenset[Api]] = {
    "openai": frozenset({Api.CHAT, Api.RESPONSES, Api.EMBEDDINGS}),
    "anthropic": frozenset({Api.MESSAGES, Api.COUNT_TOKENS}),
    "gemini": frozenset({Api.GEMINI, Api.GEMINI_EMBEDDINGS, Api.GEMINI_COUNT_TOKENS}),
}
_ALWAYS = ("messages", "count_tokens", "gemini", "gemini_embeddings", "gemini_count_tokens", "embeddings")
_PREFERRED = (Api.CHAT, Api.RESPONSES, Api.MESSAGES, Api.GEMINI)
_SUFFIXES = {
    Api.CHAT: b"/chat/completions",
    Api.RESPONSES: b"/responses",
    Api.MESSAGES: b"/messages",
    Api.COUNT_TOKENS: b"/messages/count_tokens",
    Api.EMBEDDINGS: b"/embeddings",
}
_OF_DIALECT = re.compile(rb"(?:Anthropic|Openai|X-Stainless|X-Goog|Content|Accept|Range)\b", re.IGNORECASE)

_VERBS = {Api.GEMINI_EMBEDDINGS: "batchEmbedContents", Api.GEMINI_COUNT_TOKENS: "countTokens"}

_BETAS = frozenset({b"Anthropic-Beta", b"Openai-Beta"})
"""As Twisted spells them."""

_to_client = to_client_filter()


class Target:
    """One provider of the current configuration, ready to be called."""

    MAX_REMEMBERED = 1024
    MAX_REMEMBERED_BYTES = 128
    """Longer paths are worked out every time: nobody fills the memory with paths that he invents."""

    def __init__(
        self, provider: Provider, client: HTTPClient, clock: IReactorTime, others: Sequence[Target] = ()
    ) -> None:
        """
        :param client: sends the calls; its connect timeout is the provider's.
        :param clock: for the provider's other timeouts.
        :param others: the same provider in the other dialects that it speaks.
        """
        self.others = others
        self.provider = provider
        self.client = client
        self.dialect = DIALECTS[provider.dialect]
        self.apis = _APIS[provider.dialect].intersection(map(Api, (*provider.apis, *_ALWAYS)))
        """What of its dialect the gateway knows this provider to have."""
        self.conversation = next(api for api in _PREFERRED if api in self.apis)
        """How conversations of other dialects are held with it."""
        self.names_models = provider.api_version is not None
        """Whether its paths name the model, as those of Azure's older API do."""
        self.url = provider.url.encode("ascii")
        base = urlsplit(provider.base_url)
        self._origin = f"{base.scheme}://{base.netloc}".encode("ascii")
        self._base_path = base.path.rstrip("/").encode("ascii")
        self.watch = Watch(clock, provider.timeouts.first_look_s)
        """Looks at the calls to this provider when a clock of theirs can have run out."""
        self.remembered_url = lru_cache(self.MAX_REMEMBERED)(self.url_below)
        """``url_below`` for short paths without a query."""
        self._filter = to_provider_filter(provider.forward_headers)
        self._betas = None if provider.forward_beta is None else BetaFilter(provider.forward_beta)
        self._defaults = _spelt(self.dialect.default_headers)
        self._extra = [
            (name.lower().encode("ascii"), value.reveal().encode("latin-1")) for name, value in provider.headers
        ]

    def url_below(self, path: bytes, ours: int, query: bytes = b"") -> bytes:
        """
        :param path: as the client wrote it.
        :param ours: how many leading segments of the path are the gateway's; the others go below the base URL.
        :param query: the query string without its question mark.
        :raises BadRequest: this path would lead elsewhere.
        """
        url = self._origin + joined(self._base_path, checked_suffix(below_of(path, ours)))
        return url + b"?" + query if query else url

    def url_of(self, api: Api, model: str, *, stream: bool) -> bytes:
        """
        :param api: one that it has.
        :return: where to ask for it.
        """
        if api in _VERBS:
            return self.url_of_gemini(model, _VERBS[api], b"")
        if api is Api.GEMINI:
            verb = "streamGenerateContent" if stream else "generateContent"
            return self.url_of_gemini(model, verb, b"alt=sse" if stream else b"")
        if self.names_models:
            return self.url_of_azure(_SUFFIXES[api], 0, b"", model)
        return self.url_below(_SUFFIXES[api], 0)

    def url_of_gemini(self, model: str, verb: str, query: bytes) -> bytes:
        """
        :param model: as this provider calls it.
        """
        name = quote(model.removeprefix("models/"), safe="")
        return self.url_below(f"/models/{name}:{verb}".encode("ascii"), 0, query)

    def url_of_azure(self, path: bytes, ours: int, query: bytes, model: str | None) -> bytes:
        """
        As ``url_below``, for a provider whose paths name the model.

        :raises BadRequest: none is named.
        """
        assert self.provider.api_version is not None
        below = checked_suffix(below_of(path, ours))
        path, query = asked_of_azure(below, query, model, self.provider.api_version)
        return self._origin + joined(self._base_path, path) + b"?" + query

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
        for name, value in self._extra:
            if any(word in name for word in SECRET_WORDS):
                values.append(value.removeprefix(b"Bearer ").strip())
        return tuple(dict.fromkeys(value for value in values if len(value) >= SHORTEST_SECRET))

    def own_headers(self, api_key: Secret) -> Fields:
        """
        :return: what every call with this real key carries besides the client's headers: the key, and what the operator
            has set.
        """
        own = list(self._extra)
        if self.provider.auth != "none":
            own.append(auth_header(self.provider.auth, api_key))
        return _spelt(own)

    def headers_for(self, client: Headers, own: Fields) -> Headers:
        """
        :param client: what the client sent; only the allowed ones are passed on.
        :param own: what ``own_headers`` gave; these win.
        """
        fields = self._filter.keep(fields_of(client))
        if self._betas is not None:
            for name in _BETAS.intersection(fields):
                fields[name] = self._betas.keep(fields[name])
                if not fields[name]:
                    del fields[name]
        for name, values in self._defaults.items():
            fields.setdefault(name, values)
        fields.update(own)
        return headers_of(fields)

    def headers_for_translated(self, client: Headers, own: Fields) -> Headers:
        """
        The same for a body that is not the client's.

        What speaks of the client's body, or in the client's dialect, stays here.
        """
        fields = self._filter.keep(fields_of(client))
        for name in [name for name in fields if _OF_DIALECT.match(name)]:
            del fields[name]
        fields[b"Content-Type"] = [b"application/json"]
        fields[b"Accept-Encoding"] = [b"identity"]
        for name, values in self._defaults.items():
            fields[name] = values
        fields.update(own)
        return headers_of(fields)


def below_of(path: bytes, ours: int) -> bytes:
    """
    :param ours: as for ``Target.url_below``.
    :return: the rest of the path, with its slash.
    """
    return b"/" + path.split(b"/", ours + 1)[-1] if path.count(b"/") > ours else b""


def _spelt(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Names as Twisted spells them, values with nothing in them that could end a line."""
    return fields_of(Headers({name: [value] for name, value in fields}))


def auth_header(style: str, api_key: Secret) -> tuple[bytes, bytes]:
    """
    :param style: ``bearer`` or the name of the header that carries the bare key.
    """
    value = api_key.reveal().encode("latin-1")
    return (b"authorization", b"Bearer " + value) if style == "bearer" else (style.encode("ascii"), value)


def answer_headers(headers: Headers, secrets: Sequence[bytes]) -> Fields:
    """
    :param headers: a provider's.
    :param secrets: what it was called with; a header that repeats one of them is left out.
    :return: what of them the client may see.
    """
    fields = _to_client.keep(fields_of(headers))
    if secrets:
        # Without regard to case, in which names were respelt on the way.
        everything = b"\n".join(chain(fields, chain.from_iterable(fields.values()))).lower()
        for secret in secrets:
            if secret.lower() in everything:
                return {name: values for name, values in fields.items() if not _repeats(name, values, secrets)}
    return fields


def _repeats(name: bytes, values: Sequence[bytes], secrets: Sequence[bytes]) -> bool:
    # The name's letters were made large or small on the way.
    return any(secret.lower() in name.lower() or any(secret in value for value in values) for secret in secrets)
