"""What makes a URL one that a provider can be reached at."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qsl, urlsplit

_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"https?://")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?P<port>:.*)?")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_KEY_PARAMETERS = frozenset(
    {
        *("key", "api_key", "api-key", "apikey", "x-api-key", "subscription-key", "code", "sig", "client_secret"),
        *("token", "access_token", "auth", "password", "secret"),
    }
)


def url_fault(url: str, *, query: bool) -> str | None:
    """
    Find what is wrong with the URL of a provider.

    :param query: whether it may hold a query, which is sent along as it is.
    :return: the second half of a sentence that never quotes the URL, or None when nothing is wrong.
    """
    if "${" in url:
        return "must be written out: environment variables are filled in only in api_key and headers"
    if not _SCHEME.match(url):
        return 'must begin with "http://" or "https://"'
    if not _CHARACTERS.fullmatch(url):
        return "must not hold white space or other characters that a URL does not have; write them as %XX"
    if _BAD_ESCAPE.search(url):
        return 'must have two hexadecimal digits after each "%"'
    if "#" in url:
        return 'must not hold a fragment ("#...")'
    authority = re.split(r"[/?]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        return "must not hold a user name or password: keys belong in keys.json"
    return _authority_fault(authority) or _query_fault(url.partition("?"), allowed=query)


def _authority_fault(authority: str) -> str | None:
    match = _HOST_AND_PORT.fullmatch(authority)
    if match is None:
        return "must name a host after the scheme"
    if not match["host"]:
        return "must name a host after the scheme"
    if not _is_host(match["host"]):
        return "must name a valid host"
    port = match["port"]
    if port is not None and not (re.fullmatch(r":[0-9]{1,5}", port) and 1 <= int(port[1:]) <= 65535):
        return "must have a port from 1 to 65535"
    return None


def _is_host(host: str) -> bool:
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
            return "%" not in host
        labels = host.removesuffix(".").split(".")
        if labels[-1].isdigit():
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def _query_fault(parts: tuple[str, str, str], *, allowed: bool) -> str | None:
    _, mark, query = parts
    if mark and not allowed:
        return 'must not hold a query ("?...")'
    if any(name.casefold() in _KEY_PARAMETERS for name, _ in parse_qsl(query, keep_blank_values=True)):
        return "must not hold a key in its query: keys belong in keys.json"
    return None


def origin_and_path(url: str) -> tuple[str, str]:
    """:return: ``https://host:port`` and the path up to the query, without slashes at its end."""
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    return f"{scheme}://{authority}", rest[len(authority) :].partition("?")[0].rstrip("/")


def host_of(url: str) -> str:
    """:return: the host of a URL that has no fault, in lower case."""
    return (urlsplit(url).hostname or "").removesuffix(".")
