"""P10 and design 5.4, 5.5: what callers are told when something fails, and which headers cross, seen on the wire."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.real.certificates import make_certificate, server_side
from tests.real.client import Answer, request_bytes
from tests.real.provider import (
    LAST_CHUNK,
    STREAM_HEAD,
    Exchange,
    Gone,
    Script,
    answer_bytes,
    answer_ok,
    chunk,
    head_bytes,
    plain_listener,
    running_provider,
)
from tests.real.scene import BODY, PATHS, Scene, asking, named, scene
from tests.real.shapes import (
    BAD_REQUEST,
    DISCONNECTED,
    HEADERS_TOO_LARGE,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    MISSING_KEY,
    NOT_CONFIGURED,
    NOT_FOUND,
    UNKNOWN_KEY,
    UNREACHABLE,
    WRONG_DIALECT,
    WRONG_PROVIDER,
    Kind,
    check_broken_stream,
    check_refusal,
)

NATIVE = ("/completions/chat", "/chat/completions")
dialects = pytest.mark.parametrize("dialect", PATHS)
uploads = pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream"])
"""A body of the first kind is gathered before a provider is asked, one of the other may be passed on as it comes."""


@pytest.fixture(scope="module")
def stage(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("errors")
    with (
        socket.socket() as closed,
        running_provider(tls=server_side(make_certificate(folder))) as untrusted,
        plain_listener() as plain,
    ):
        # Bound and not listening: nobody else gets this port, and whoever connects is refused.
        closed.bind(("127.0.0.1", 0))
        hosts = {
            "plain": f"https://127.0.0.1:{plain}",
            "refusing": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "nameless": "http://no-such-host.invalid",
            "untrusted": untrusted.url,
        }

        more = {
            f"{name}-{dialect}": {"base_url": url + ("/v1beta" if dialect == "gemini" else "/v1"), "dialect": dialect}
            for name, url in hosts.items()
            for dialect in PATHS
        }
        with scene(bin_dir, folder, more=lambda _: more) as stage:
            yield stage


@pytest.fixture(autouse=True)
def _fresh(stage: Scene) -> None:
    stage.provider.forget()
    stage.provider.script = answer_ok
    stage.provider.read_bodies = True


# Providers that fail


@dialects
@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ("refusing", "no connection"),
        ("nameless", "host name was not found"),
        ("plain", "TLS failed"),
        ("untrusted", "certificate"),
    ],
)
def test_provider_that_cannot_be_reached_becomes_502(stage: Scene, dialect: str, provider: str, words: str) -> None:
    """The message says what is wrong without saying where."""
    name, header = named()
    answer = stage.call(PATHS[dialect], header, key=f"vk_{provider}-{dialect}")
    message = check_refusal(answer, dialect, UNREACHABLE)
    assert words in message
    assert "127.0.0.1" not in message
    record = stage.logged(name)
    assert (record["ended"], record["error"], record["status"]) == ("upstream_error", "upstream_unreachable", 502)


NOT_HTTP = [
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n",
    b"<html>busy</html>\n\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: snappy\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
]


@dialects
@pytest.mark.parametrize("sent", NOT_HTTP)
def test_provider_that_talks_nonsense_becomes_502(stage: Scene, dialect: str, sent: bytes) -> None:
    """None of the nonsense reaches the caller, and the connection is not used again."""

    def talk(exchange: Exchange) -> None:
        exchange.send(sent)
        exchange.connection.wait_left()
        exchange.connection.close()

    stage.provider.script = talk
    name, header = named()
    answer = stage.call(PATHS[dialect], header, key=f"vk_{dialect}")
    check_refusal(answer, dialect, MALFORMED)
    assert stage.logged(name)["error"] == "upstream_malformed"


@dialects
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nconte", STREAM_HEAD, STREAM_HEAD + b"5\r\ndata"])
@pytest.mark.parametrize("hang_up", ["close", "reset"])
def test_provider_that_hangs_up_becomes_502(stage: Scene, dialect: str, sent: bytes, hang_up: str) -> None:
    """However far it came before the first byte that could be passed on."""

    def leave(exchange: Exchange) -> None:
        exchange.send(sent)
        getattr(exchange.connection, hang_up)()

    stage.provider.script = leave
    answer = stage.call(PATHS[dialect], key=f"vk_{dialect}")
    check_refusal(answer, dialect, DISCONNECTED)
    assert len(stage.provider.seen) == 1, "a call that the provider may have acted on must not be sent again"


@dialects
@pytest.mark.parametrize(
    ("sent", "kind"), [(b"5\r\ndata:", DISCONNECTED), (b"nonsense\r\n", MALFORMED)], ids=["cut", "nonsense"]
)
def test_stream_that_breaks_ends_in_one_error(stage: Scene, dialect: str, sent: bytes, kind: Kind) -> None:
    """After the first byte an error is an event of the dialect."""
    event = b'data: {"n": 1}\n\n'

    def break_off(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD + chunk(event) + sent)
        exchange.connection.close()

    stage.provider.script = break_off
    check_broken_stream(stage.call(PATHS[dialect], key=f"vk_{dialect}"), dialect, kind, event)


def test_connection_that_the_provider_closed_meanwhile_is_not_used(stage: Scene) -> None:
    """Idle connections die all the time; the next call must not."""
    closed: list[Exchange] = []

    def answer_once(exchange: Exchange) -> None:
        exchange.send(answer_bytes())
        exchange.connection.shut()
        stage.provider.tell(closed, exchange)

    stage.provider.script = answer_once
    for number in range(1, 6):
        assert stage.call(PATHS["openai"]).status == 200
        stage.provider.wait_for(lambda number=number: len(closed) == number, "both ends are closed")  # type: ignore[misc]


def test_provider_that_says_close_is_taken_at_its_word(stage: Scene) -> None:
    """Its next call comes on another connection, however long it takes to close this one."""

    def close_soon(exchange: Exchange) -> None:
        exchange.send(answer_bytes(fields={"connection": "close"}))
        exchange.connection.wait_left()
        exchange.connection.close()

    stage.provider.script = close_soon
    with stage.client() as client:
        for _ in range(3):
            assert client.call("POST", PATHS["openai"], asking(), BODY).status == 200
    assert len({id(each) for each in stage.provider.connections}) >= 3


@uploads
def test_provider_that_refuses_an_upload_unread_is_heard(stage: Scene, content_type: str) -> None:
    """Its own 413 or 401 reaches the caller, whose upload then goes no further."""
    stage.provider.read_bodies = False
    left: list[Exchange] = []

    def refuse(exchange: Exchange) -> None:
        exchange.send(answer_bytes(b'{"error": "too large"}', status="413 Payload Too Large"))
        exchange.connection.wait_left()
        stage.provider.tell(left, exchange)
        exchange.connection.close()

    stage.provider.script = refuse
    answer = stage.call("/v1/files", {"Content-Type": content_type}, body=b"x" * 50_000_000)
    assert (answer.status, answer.body) == (413, b'{"error": "too large"}')
    stage.provider.wait_for(lambda: bool(left), "the provider's connection is closed")


@uploads
@pytest.mark.parametrize("hang_up", ["close", "reset"])
def test_provider_that_hangs_up_on_an_upload_becomes_502(stage: Scene, content_type: str, hang_up: str) -> None:
    """Also to a caller that reads nothing before it has sent everything."""
    stage.provider.read_bodies = False
    stage.provider.script = lambda exchange: getattr(exchange.connection, hang_up)()
    answer = stage.call("/v1/files", {"Content-Type": content_type}, body=b"x" * 20_000_000)
    check_refusal(answer, "openai", DISCONNECTED)


@pytest.mark.parametrize(
    "status",
    [
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "409 Conflict",
        "422 Unprocessable Entity",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "529 Overloaded",
        "599 Odd",
    ],
)
def test_error_of_the_provider_passes_unchanged(stage: Scene, status: str) -> None:
    """Status, body and everything that tells an SDK when to try again; nothing of ours but the id."""
    body = b'{ "error":{"message":"rate \xc3\xa9","code":null} }\n'
    told = {
        "retry-after": "17",
        "retry-after-ms": "16500",
        "x-should-retry": "true",
        "x-ratelimit-remaining-requests": "0",
        "anthropic-ratelimit-unified-status": "rejected",
        "x-request-id": "req_openai_1",
        "request-id": "req_anthropic_1",
        "www-authenticate": "Bearer",
    }
    stage.provider.script = lambda exchange: exchange.send(answer_bytes(body, status=status, fields=told))
    name, header = named()
    answer = stage.call(PATHS["openai"], header)
    assert (answer.status, answer.body) == (int(status[:3]), body)
    assert {name: answer.value(name) for name in told} == told
    assert answer.value("x-gw-error") is None
    assert answer.value("x-gw-request-id")
    record = stage.logged(name)
    assert (record["error"], record["status"]) == (None, answer.status)
    assert record["ended"] == ("upstream_error" if answer.status >= 500 else "ok")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(stage: Scene, status: int) -> None:
    """It would take the real key to wherever a provider points."""
    location = f"{stage.provider.url}/v1/elsewhere"
    wire = answer_bytes(b"moved", status=f"{status} Moved", fields={"location": location})
    stage.provider.script = lambda exchange: exchange.send(wire)
    for method in ("GET", "POST"):
        answer = stage.call("/v1/files", method=method)
        assert (answer.status, answer.body, answer.value("location")) == (status, b"moved", location)
    assert [each.target for each in stage.provider.seen] == ["/v1/files", "/v1/files"]


# Headers

STAYS_HERE = {
    "Set-Cookie": "session=1",
    "Set-Cookie2": "a=1",
    "Connection": "keep-alive, X-Of-This-Hop,, not a name",
    "X-Of-This-Hop": "1",
    "Keep-Alive": "timeout=5",
    "Proxy-Authenticate": "Basic",
    "Proxy-Connection": "keep-alive",
    "Trailer": "x-sum",
    "Upgrade": "h2c",
    "OpenAI-Organization": "org-secret",
    "OpenAI-Project": "proj-secret",
    "anthropic-organization-id": "org-secret",
    "X-Goog-User-Project": "secret",
    "Server": "cloudflare",
    "Via": "1.1 google",
    "Alt-Svc": 'h3=":443"',
    "Strict-Transport-Security": "max-age=1",
    "CF-Ray": "1-FRA",
    "Nel": "{}",
    "Report-To": "{}",
    "X-Gw-Error": "forged",
    "X-Gw-Request-Id": "forged",
}
PASSES_BACK = {
    "content-type": "application/json; charset=utf-8",
    "ETag": 'W/"1"',
    "OpenAI-Processing-Ms": "7",
    "OpenAI-Version": "2020-10-01",
    "X-Request-Id": "req_1",
    "Request-Id": "req_2",
    "X-Ratelimit-Limit-Tokens": "1",
    "X-New-Header": "caf\xe9",
}


def test_headers_of_the_provider_pass_but_for_its_own_business(stage: Scene) -> None:
    """Cookies, accounts and this hop's matters stay; what an SDK reads, and what is new tomorrow, passes."""
    fields = {**STAYS_HERE, **PASSES_BACK}
    stage.provider.script = lambda exchange: exchange.send(answer_bytes(fields=fields))
    answer = stage.call(PATHS["openai"])
    assert {name: answer.value(name.lower()) for name in PASSES_BACK} == PASSES_BACK
    ours = {"x-gw-request-id", "x-gw-provider", "x-gw-attempts", "date", "content-length"}
    assert answer.head.names() == {name.lower() for name in PASSES_BACK} | ours
    assert answer.value("x-gw-request-id") != "forged"


def test_repeated_header_of_the_provider_stays_repeated(stage: Scene) -> None:
    """Joining the values would change what some of them mean."""
    wire = answer_bytes().replace(b"\r\n", b"\r\nLink: <a>\r\nLink: <b>\r\n", 1)
    stage.provider.script = lambda exchange: exchange.send(wire)
    answer = stage.call(PATHS["openai"])
    assert [value for name, value in answer.head.fields if name == b"link"] == [b"<a>", b"<b>"]


def test_stream_is_marked_so_that_no_proxy_holds_it_up(stage: Scene) -> None:
    """Whatever the provider said of caching."""
    wire = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\ncache-control: public\r\n\r\n") + chunk(b"data: 1\n\n") + LAST_CHUNK
    stage.provider.script = lambda exchange: exchange.send(wire)
    answer = stage.call(PATHS["openai"])
    assert (answer.value("cache-control"), answer.value("x-accel-buffering")) == ("no-cache", "no")


NEVER_LEAVES = {
    "Cookie": "session=1",
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-Host": "inside",
    "X-Real-Ip": "10.0.0.1",
    "Forwarded": "for=10.0.0.1",
    "Via": "1.1 proxy",
    "Connection": "keep-alive, X-Stainless-Lang",
    "Keep-Alive": "1",
    "Proxy-Authorization": "Basic x",
    "Te": "trailers",
    "Upgrade": "websocket",
    "OpenAI-Organization": "org-other",
    "OpenAI-Project": "proj-other",
    "anthropic-organization-id": "org-other",
    "X-Request-Id": "mine",
    "X-Secret-Of-Mine": "1",
    "X-Stainless-Lang": "named by Connection",
    "Origin": "https://inside",
    "Referer": "https://inside/",
}
LEAVES = {
    "Content-Type": "application/json",
    "Accept": "text/event-stream",
    "Accept-Encoding": "gzip",
    "Accept-Language": "de",
    "User-Agent": "test/1",
    "OpenAI-Beta": "assistants=v2",
    "anthropic-version": "2026-10-21",
    "anthropic-beta": "a,b,c",
    "X-Stainless-Retry-Count": "1",
    "Idempotency-Key": "k-1",
    "Traceparent": "00-1-1-01",
}
AUTH = {
    "openai": {"authorization": "Bearer sk-real-openai"},
    "anthropic": {"x-api-key": "sk-real-anthropic"},
    "gemini": {"x-goog-api-key": "sk-real-gemini"},
}


@dialects
def test_headers_of_the_client_pass_only_if_they_are_listed(stage: Scene, dialect: str) -> None:
    """The provider gets what it can use, the real key in its own place, and no more."""
    keys = dict.fromkeys(("X-Api-Key", "Api-Key", "X-Goog-Api-Key"), f"vk_{dialect}")
    # Anthropic's version header turns a path that others have too into one of Anthropic's.
    leaves = {name: value for name, value in LEAVES.items() if dialect != "openai" or name != "anthropic-version"}
    stage.call(PATHS[dialect], {**NEVER_LEAVES, **leaves, **keys}, key=f"vk_{dialect}")
    [seen] = stage.provider.seen
    assert {name: seen.value(name.lower()) for name in leaves} == leaves
    of_http = {"host", "content-length", "connection"}
    assert seen.names() - of_http == {name.lower() for name in leaves} | AUTH[dialect].keys()
    assert {name: seen.value(name) for name in AUTH[dialect]} == AUTH[dialect]
    assert seen.value("host") == f"127.0.0.1:{stage.provider.port}"


def test_anthropic_version_is_sent_for_those_who_send_none(stage: Scene) -> None:
    """curl users forget it; the provider demands it."""
    stage.call(PATHS["anthropic"], key="vk_anthropic")
    assert stage.provider.seen[-1].value("anthropic-version") == "2023-06-01"


# Keys

PLACES = [
    {"Authorization": "Bearer {}"},
    {"authorization": "bearer   {}"},
    {"x-api-key": "{}"},
    {"api-key": "{}"},
    {"x-goog-api-key": "{}"},
]


@dialects
@pytest.mark.parametrize("place", PLACES)
def test_key_is_taken_from_every_header(stage: Scene, dialect: str, place: dict[str, str]) -> None:
    """Any SDK's way of sending one will do, on any path."""
    fields = {name: value.format(f"vk_{dialect}") for name, value in place.items()}
    for path in (PATHS[dialect], *NATIVE):
        assert stage.call(path, fields, key=None).status == 200
        assert f"vk_{dialect}" not in str(stage.provider.seen[-1].fields)


@pytest.mark.parametrize("query", ["key={}", "alt=sse&key={}", "key={}&alt=sse", "%6Bey={}", "a=1&key={}&b=%20&b="])
def test_key_in_the_query_of_gemini_paths_goes_no_further(stage: Scene, query: str) -> None:
    """Google's way: it opens the door, and neither the provider nor a log gets to see it."""
    name, header = named()
    answer = stage.call(f"{PATHS['gemini']}?{query.format('vk_gemini')}", header, key=None)
    assert answer.status == 200
    [seen] = stage.provider.seen
    rest = "&".join(pair for pair in query.split("&") if "{}" not in pair)
    assert seen.target.partition("?")[2] == rest
    assert stage.logged(name)["path"] == PATHS["gemini"]
    assert "vk_gemini" not in stage.gateway.output


def test_query_of_other_paths_passes_without_virtual_keys(stage: Scene) -> None:
    """A parameter named key is the provider's business there, unless it is one of ours."""
    for query, passed in {
        "beta=true": "beta=true",
        "key=theirs&x=%2F+": "key=theirs&x=%2F+",
        "key=vk_openai&x=1": "x=1",
        "x=1&%6bey=vk_anthropic": "x=1",
        "": "",
        "a&a=&=&&": "a&a=&=&&",
    }.items():
        assert stage.call(f"{PATHS['openai']}?{query}").status == 200
        assert stage.provider.seen[-1].target.partition("?")[2] == passed
        assert stage.call(f"{NATIVE[0]}?{query}").status == 200
        assert stage.provider.seen[-1].target.partition("?")[2] == passed


@pytest.mark.parametrize("path", NATIVE)
def test_native_paths_keep_the_first_contract(stage: Scene, path: str) -> None:
    """Missing or malformed 400, unknown 401, provider not configured 400; errors in OpenAI's shape."""
    check_refusal(stage.call(path, key=None), "openai", MISSING_KEY, status=400)
    for malformed in ("vk_openai", "Bearer", "Bearer ", "Basic dms6", "Bearervk_openai", "Token vk_openai", " "):
        answer = stage.call(path, {"Authorization": malformed}, key=None)
        message = check_refusal(answer, "openai", MISSING_KEY, status=400)
        assert "vk_openai" not in message
    for unknown in ("vk_unknown", "vk_openai ,", "VK_OPENAI", "vk_opena", "sk-real-openai", "\xff"):
        check_refusal(stage.call(path, {"Authorization": f"Bearer {unknown}"}, key=None), "openai", UNKNOWN_KEY)
    check_refusal(stage.call(path, key="vk_nowhere"), "openai", NOT_CONFIGURED)
    assert stage.provider.seen == []


UNTRANSLATED = {
    "openai": "/v1/moderations",
    "anthropic": "/v1/messages/batches",
    "gemini": "/v1beta/models/g:predict",
}


@dialects
def test_dialect_paths_refuse_keys_in_their_dialect(stage: Scene, dialect: str) -> None:
    """An SDK raises its own exception for a bad key."""
    check_refusal(stage.call(PATHS[dialect], key=None), dialect, MISSING_KEY)
    check_refusal(stage.call(PATHS[dialect], {"Authorization": "Basic x"}, key=None), dialect, MISSING_KEY)
    check_refusal(stage.call(PATHS[dialect], key="vk_unknown"), dialect, UNKNOWN_KEY)
    check_refusal(stage.call(PATHS[dialect], key="vk_nowhere"), dialect, NOT_CONFIGURED)
    other = "anthropic" if dialect == "openai" else "openai"
    check_refusal(stage.call(UNTRANSLATED[dialect], key=f"vk_{other}"), dialect, WRONG_DIALECT)
    check_refusal(stage.call(f"/p/{dialect}/x", key=f"vk_{other}"), dialect, WRONG_PROVIDER)
    check_refusal(stage.call(f"/p/{dialect}/x", key="vk_unknown"), dialect, UNKNOWN_KEY)
    assert stage.provider.seen == []


# Paths and methods


@pytest.mark.parametrize(
    ("method", "target", "kind", "allow"),
    [
        ("POST", "/", METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS"),
        ("GET", "//", NOT_FOUND, None),
        ("GET", "//v1/models", NOT_FOUND, None),
        ("GET", "/v1//models", NOT_FOUND, None),
        ("GET", "/index.html", NOT_FOUND, None),
        ("GET", "/V1/models", NOT_FOUND, None),
        ("GET", "/p", NOT_FOUND, None),
        ("GET", "/p/", NOT_FOUND, None),
        ("GET", "/p//x", NOT_FOUND, None),
        ("GET", "/p/nobody/x", NOT_FOUND, None),
        ("OPTIONS", "/nowhere", NOT_FOUND, None),
        ("GET", "/health?provider=nobody", NOT_FOUND, None),
        ("GET", "/chat/completions", METHOD_NOT_ALLOWED, "OPTIONS, POST"),
        ("PUT", "/completions/chat", METHOD_NOT_ALLOWED, "OPTIONS, POST"),
        ("DELETE", "/health", METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS"),
        ("TRACE", "/v1/models", METHOD_NOT_ALLOWED, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        ("PROPFIND", "/livez", METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS"),
        ("GET", "/v1/../admin", BAD_REQUEST, None),
        ("GET", "/v1/files/..", BAD_REQUEST, None),
        ("GET", "/v1/%2e%2E/admin", BAD_REQUEST, None),
        ("GET", "/v1/a%2f..%2fadmin", BAD_REQUEST, None),
        ("GET", "/v1/a%5c..%5cadmin", BAD_REQUEST, None),
        ("GET", "/v1/./x", BAD_REQUEST, None),
        ("GET", "/p/openai/../x", BAD_REQUEST, None),
        ("GET", "/v1/%ff", BAD_REQUEST, None),
        ("GET", "/%c3", BAD_REQUEST, None),
        ("GET", "/v1/\x80", BAD_REQUEST, None),
        ("GET", "/v1/x?q=\x80", BAD_REQUEST, None),
        ("POST", "/chat/completions?q=\x80", BAD_REQUEST, None),
        ("GET", "/v1/x#y", BAD_REQUEST, None),
        ("GET", "/v1/x?a#y", BAD_REQUEST, None),
    ],
)
def test_odd_paths_and_methods_are_refused_in_json(
    stage: Scene, method: str, target: str, kind: Kind, allow: str | None
) -> None:
    """No page of the frameworks underneath is ever seen, and no provider hears of it."""
    answer = stage.call(target, method=method)
    check_refusal(answer, "openai", kind)
    assert answer.value("allow") == allow
    assert stage.provider.seen == []


@dialects
def test_odd_paths_are_refused_in_their_dialect(stage: Scene, dialect: str) -> None:
    """As far as the path tells it."""
    prefix = {"openai": "/v1/files", "anthropic": "/v1/messages", "gemini": "/v1beta/models"}[dialect]
    for target, kind in {"/../x": BAD_REQUEST, "/%fe": BAD_REQUEST}.items():
        check_refusal(stage.call(prefix + target, key=f"vk_{dialect}"), dialect, kind)
    check_refusal(stage.call(f"{prefix}/x", method="TRACE", key=f"vk_{dialect}"), dialect, METHOD_NOT_ALLOWED)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("BREW", "/v1/models"),
        ("!#$%&'*+.^_`|~", "/v1/models"),
        ("X" * 3000, "/livez"),
        ("CONNECT", "provider.test:443"),
    ],
)
def test_methods_that_are_for_nobody_are_refused_in_json(stage: Scene, method: str, target: str) -> None:
    """Some of them before they are taken for a request at all."""
    answer = stage.call(target, method=method)
    kinds = {400: BAD_REQUEST, 404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}
    check_refusal(answer, "openai", kinds[answer.status])
    assert stage.provider.seen == []


def test_star_is_answered_without_a_page(stage: Scene) -> None:
    """``OPTIONS *`` asks for the server as a whole."""
    assert stage.call("*", method="OPTIONS", body=None).status < 300
    answer = stage.call("*", method="GET", body=None)
    assert answer.status >= 400
    assert b"<" not in answer.body


@pytest.mark.parametrize("target", ["/nowhere", "/v1/models", "/chat/completions", "/health?provider=x", "/v1/%ff"])
def test_head_is_refused_without_a_body(stage: Scene, target: str) -> None:
    """With the headers that the same GET has."""
    with stage.client() as client:
        head, get = client.call("HEAD", target), client.call("GET", target)
        assert (head.status, head.body) == (get.status, b"")
        assert head.head.names() == get.head.names()
        assert head.value("content-length") == get.value("content-length")
        assert head.value("x-gw-error") == get.value("x-gw-error")


def test_options_says_what_a_path_takes(stage: Scene) -> None:
    """Without a key and without a provider."""
    for target, allow in {
        "/v1/models": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
        "/chat/completions": "OPTIONS, POST",
        "/health": "GET, HEAD, OPTIONS",
    }.items():
        answer = stage.call(target, method="OPTIONS", body=None, key=None)
        assert (answer.status, answer.body, answer.value("allow")) == (204, b"", allow)
    assert stage.provider.seen == []


@pytest.mark.parametrize(
    "host", ["", "[::1", "a b", ".", "a..b", "x" * 70, "\xff", "a:b:c", "gateway.test:99999", "<b>"]
)
def test_odd_host_headers_change_nothing_or_are_refused(stage: Scene, host: str) -> None:
    """Behind proxies anything may stand there; nothing is looked up by it."""
    for target in ("/livez", "/nowhere", PATHS["openai"]):
        with stage.client() as client:
            client.send(request_bytes("GET", target, asking()).replace(b"gateway.test", host.encode("latin-1"), 1))
            answer = client.answer()
        assert answer.status in (200, 400, 404), answer
        assert b"<" not in answer.body
        assert answer.value("x-gw-request-id")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"GARBAGE\r\n\r\n", BAD_REQUEST),
        (b"GET /v1/models\r\n\r\n", BAD_REQUEST),
        (b"GET  /v1/models HTTP/1.1\r\n\r\n", BAD_REQUEST),
        (b"GET /v1/models HTTP/2.0\r\n\r\n", BAD_REQUEST),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD_REQUEST),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", BAD_REQUEST),
        (b"GET /v1/models HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", BAD_REQUEST),
        (b"GET /v1/models HTTP/1.1\r\nHost: x\r\nbad name: x\r\n\r\n", BAD_REQUEST),
        (b"GET /v1/models HTTP/1.1\r\nHost: x\r\na: \x00\r\n\r\n", BAD_REQUEST),
        (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", BAD_REQUEST),
        (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", BAD_REQUEST),
        (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", BAD_REQUEST),
        (
            b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            BAD_REQUEST,
        ),
        (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nab", BAD_REQUEST),
        (b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", HEADERS_TOO_LARGE),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 300 + b"\r\n", HEADERS_TOO_LARGE),
    ],
)
def test_what_is_no_request_is_told_so(stage: Scene, raw: bytes, kind: Kind) -> None:
    """In JSON, and the connection ends: nobody knows where a next request would begin."""
    with stage.client() as client:
        client.send(raw)
        check_refusal(client.answer(), "openai", kind)
        assert client.ended()
    assert stage.provider.seen == []


@uploads
@pytest.mark.parametrize("body", [b"zz\r\n", b"1\r\nabc\r\n", b"3\r\nabc\r\n-1\r\n"])
def test_body_that_is_not_chunked_as_announced_is_refused(stage: Scene, content_type: str, body: bytes) -> None:
    """To a provider that was asked already, the request never becomes whole."""
    gone: list[Exchange] = []

    def take(exchange: Exchange) -> None:
        with pytest.raises(Gone):
            exchange.read_body()
        stage.provider.tell(gone, exchange)
        raise Gone

    stage.provider.read_bodies = False
    stage.provider.script = take
    fields = {**asking(), "Content-Type": content_type, "Transfer-Encoding": "chunked"}
    with stage.client() as client:
        client.send(request_bytes("POST", "/v1/files", fields) + body)
        check_refusal(client.answer(), "openai", BAD_REQUEST)
        assert client.ended()
    if stage.provider.seen:
        stage.provider.wait_for(lambda: bool(gone), "the provider's connection is closed")


def test_every_answer_has_an_id_of_its_own(stage: Scene) -> None:
    """Whoever answered, and however."""

    def answers() -> Iterator[Answer]:
        with stage.client() as client:
            for method, target in [("POST", PATHS["openai"]), ("GET", "/livez"), ("GET", "/x"), ("OPTIONS", "/health")]:
                yield client.call(method, target, asking())
        yield stage.call(PATHS["openai"], {"X-Gw-Request-Id": "forged"})
        yield stage.call(PATHS["openai"], key="vk_refusing-openai")

    ids = [answer.value("x-gw-request-id") for answer in answers()]
    assert all(each is not None and len(each) == 24 for each in ids)
    assert len(set(ids)) == len(ids)


def test_answers_of_any_size_follow_each_other_on_one_connection(stage: Scene) -> None:
    """Errors, streams and documents in any order: keep-alive goes on."""
    event = chunk(b'data: {"n":1}\n\n')
    scripts: list[Script] = [
        lambda exchange: exchange.send(STREAM_HEAD + event + LAST_CHUNK),
        lambda exchange: exchange.send(answer_bytes(b"{}")),
        lambda exchange: exchange.send(answer_bytes(b"", status="200 OK")),
        lambda exchange: exchange.send(head_bytes("204 No Content")),
        lambda exchange: exchange.send(STREAM_HEAD + LAST_CHUNK),
        partial(_send_and_close, STREAM_HEAD + event),
        partial(_send_and_close, b""),
    ]
    with stage.client() as client:
        for script in scripts * 2:
            stage.provider.script = script
            answer = client.call("POST", PATHS["openai"], asking(), BODY)
            assert answer.whole
            assert client.unread == b""
            assert client.call("GET", "/nowhere").status == 404


def test_requests_that_are_sent_ahead_are_answered_in_order(stage: Scene) -> None:
    """Pipelined, whatever becomes of each."""
    targets = [PATHS["openai"], "/nowhere", "/v1/files", "/v1/../x", "/livez", "/v1/models"]
    with stage.client() as client:
        client.send(b"".join(request_bytes("POST", target, asking(), BODY) for target in targets))
        answers = [client.answer() for _ in targets]
    assert [answer.status for answer in answers] == [200, 404, 200, 400, 405, 200]
    assert [answer.json()["path"] for answer in answers if answer.status == 200] == [targets[0], targets[2], targets[5]]


def _send_and_close(data: bytes, exchange: Exchange) -> None:
    exchange.send(data)
    exchange.connection.close()
