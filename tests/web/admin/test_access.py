"""Who is let in to the admin API, and what everybody else learns of it: nothing."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import pytest

from llm_gateway.errors import ConfigurationError
from llm_gateway.web.admin.admission import AdminKeys, read_admin_keys
from llm_gateway.web.admin.endpoints import ENDPOINTS, Endpoint
from llm_gateway.web.admin.questions import MAX_BODY_BYTES
from tests.web.admin.operated import ADMIN_KEY, FILE_KEY, OTHER_KEY, REAL_KEY, Operated

ID = "key_0123456789abcdef"
PATHS = [(each.method, "/admin/v1" + each.path.replace("{id}", ID)) for each in ENDPOINTS]
NOT_THERE = [("GET", "/admin/v1"), ("GET", "/admin/v1/"), ("GET", "/admin/v1/nothing"), ("PUT", "/admin/v1/keys")]
HELPLESS = {
    "none": {},
    "a virtual key": {"authorization": f"Bearer {FILE_KEY}"},
    "another one": {"authorization": "Bearer nobody-knows-this-one"},
    "an empty one": {"authorization": "Bearer "},
    "a real key": {"authorization": f"Bearer {REAL_KEY}"},
    "of another scheme": {"authorization": f"Basic {ADMIN_KEY}"},
    "in another place": {"x_api_key": ADMIN_KEY},
    "its digest": {"authorization": f"Bearer sha256:{hashlib.sha256(ADMIN_KEY.encode()).hexdigest()}"},
    "more than it": {"authorization": f"Bearer {ADMIN_KEY}x"},
    "less than it": {"authorization": f"Bearer {ADMIN_KEY[:-1]}"},
}


@pytest.mark.parametrize("sent", HELPLESS.values(), ids=HELPLESS.keys())
def test_nothing_is_there_without_an_admin_key(operated: Operated, sent: dict[str, str]) -> None:
    """Not even whether there is something at a path."""
    answers = set()
    for method, path in [*PATHS, *NOT_THERE]:
        body = b"{}" if method in ("POST", "PATCH", "PUT") else None
        status, headers, document = operated.ask(method, path, body, key=None, **sent)
        assert (status, headers["x-gw-error"]) == (401, "invalid_admin_key"), path
        assert headers["www-authenticate"].startswith("Bearer")
        answers.add(repr(document))
    assert len(answers) == 1
    assert operated.keys.audit(9) == []


def test_key_in_the_query_opens_nothing(operated: Operated) -> None:
    """A URL is logged in many places."""
    assert operated.ask("GET", f"/admin/v1/keys?key={ADMIN_KEY}", key=None)[0] == 401


def test_two_keys_in_one_request_open_nothing(operated: Operated) -> None:
    """Which one a proxy before the gateway has looked at, nobody knows."""
    client = operated.client()
    client.send(
        f"GET /admin/v1/keys HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
        f"Authorization: Bearer {OTHER_KEY}\r\n\r\n".encode()
    )
    assert client.answer()[0] == 401


def test_virtual_key_that_is_an_admin_key_too_opens_nothing(tmp_path: Path) -> None:
    """Somebody has put the same one into both files: what a program holds is no admin key."""
    operated = Operated(tmp_path, {ADMIN_KEY: {"credentials": ["main"]}})
    assert operated.ask("GET", "/admin/v1/keys")[0] == 401
    assert operated.ask("GET", "/admin/v1/keys", key=OTHER_KEY)[0] == 200
    assert operated.admin_keys().also_among(operated.running.current.keys) == ["alice"]
    operated.close()


def test_admin_key_is_no_virtual_key(operated: Operated) -> None:
    status, headers, _ = operated.ask("GET", "/admin/v1/health")
    assert status == 200
    client = operated.gateway.client()
    operated.gateway.site.resource = operated.gateway.resource
    client = operated.gateway.client()
    client.chat(key=ADMIN_KEY)
    status, headers, _ = client.answer()
    assert (status, headers["x-gw-error"]) == (401, "invalid_api_key")


def test_every_credential_is_compared_and_each_in_constant_time() -> None:
    """Looked at in the source: a test that measured it would fail on a busy machine."""
    source = inspect.getsource(AdminKeys.find)
    assert "compare_digest" in source
    assert "break" not in source
    assert source.count("return") == 1 + source.count(":return")


def test_access_log_has_who_it_was_and_no_key(operated: Operated) -> None:
    operated.ask("GET", "/admin/v1/keys?limit=5", key=OTHER_KEY)
    operated.ask("GET", "/admin/v1/keys", key=None)
    first, second = operated.gateway.records.written
    assert (first.key, first.status, first.ended, first.path) == ("admin:bob", 200, "ok", "/admin/v1/keys")
    assert (second.key, second.status, second.ended) == (None, 401, "refused")
    assert OTHER_KEY not in repr(operated.gateway.records.written)


@pytest.mark.parametrize(
    "endpoint", [each for each in ENDPOINTS if each.method in ("POST", "PATCH")], ids=lambda each: each.name
)
def test_body_is_limited(operated: Operated, endpoint: Endpoint) -> None:
    id, _ = operated.create()
    path = "/admin/v1" + endpoint.path.replace("{id}", id)
    before = operated.keys.revision()
    status, headers, _ = operated.ask(endpoint.method, path, b'{"a":"' + b"x" * MAX_BODY_BYTES + b'"}')
    assert (status, headers["x-gw-error"]) == (413, "request_too_large")
    assert operated.keys.revision() == before


def test_body_that_is_no_json_object_is_refused(operated: Operated) -> None:
    for body, word in {
        b"": "not JSON",
        b"[1]": "an object",
        b'{"name": "a", "name": "b"}': "twice",
        b'{"name": NaN}': "not JSON",
        b'{"name": "\xff"}': "UTF-8",
        b'{"name": "\\ud800"}': "surrogate",
        b'{"a":' * 40 + b"1" + b"}" * 40: "deep",
    }.items():
        status, _, document = operated.ask("POST", "/admin/v1/keys", body)
        assert (status, document["error"]["code"]) == (400, "bad_request")
        assert word in document["error"]["message"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        assert operated.ask("POST", "/admin/v1/keys", {}, content_type=kind)[0] == 415
    assert operated.ask("POST", "/admin/v1/keys", {}, content_encoding="gzip")[0] == 415


def test_other_methods_are_told_which_there_are(operated: Operated) -> None:
    status, headers, document = operated.ask("PUT", "/admin/v1/keys", {})
    assert (status, headers["allow"], document["error"]["code"]) == (405, "GET, HEAD, POST", "method_not_allowed")


def test_paths_with_something_encoded_lead_nowhere(operated: Operated) -> None:
    for path in ("/admin/v1/keys%2F", "/admin/v1//keys", "/admin/v1/%6beys", "/admin/v1/keys/a/b/c"):
        assert operated.ask("GET", path)[0] == 404


def test_address_for_the_admin_api_serves_nothing_else(operated: Operated) -> None:
    """Neither calls nor health: it may be reachable by others."""
    for path in (
        "/",
        "/health",
        "/readyz",
        "/v1/models",
        "/v1/chat/completions",
        "/admin",
        "/admin/v2/keys",
        "/admin/v1x",
    ):
        status, headers, _ = operated.ask("GET", path, key=FILE_KEY)
        assert (status, headers["x-gw-error"]) == (404, "not_found")
    assert operated.ask("GET", "/livez", key=None)[0] == 200


def test_fault_of_ours_tells_nothing_of_itself(operated: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object, id: str) -> None:
        raise RuntimeError(f"secret-canary {id}")

    monkeypatch.setattr(type(operated.keeper), "get", broken)
    status, headers, document = operated.ask("GET", f"/admin/v1/keys/{ID}")
    assert (status, headers["x-gw-error"]) == (500, "internal_error")
    assert "canary" not in repr(document)
    assert operated.gateway.records.written[-1].ended == "internal_error"


# The file


def test_file_has_keys_and_digests_with_names(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"of carol, who keeps it elsewhere").hexdigest()
    (tmp_path / "admin").write_text(
        f"# ours\n\n  {ADMIN_KEY}  \nbob: {OTHER_KEY}\ncarol:sha256:{digest}\nsha256:{'0' * 64}\n"
    )
    keys = read_admin_keys(str(tmp_path / "admin"))
    assert keys.find(ADMIN_KEY.encode()) == hashlib.sha256(ADMIN_KEY.encode()).hexdigest()[:8]
    assert keys.find(OTHER_KEY.encode()) == "bob"
    assert keys.find(b"of carol, who keeps it elsewhere") == "carol"
    assert keys.find(b"nobody's") is None
    assert ADMIN_KEY not in repr(keys)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("", None, "no admin key"),
        ("# nothing\n", None, "no admin key"),
        ("short", 1, "24 characters"),
        ("bob: short", 1, "24 characters"),
        (f"{ADMIN_KEY}\n{ADMIN_KEY}", 2, "the same"),
        (f"bob: {ADMIN_KEY}\nbob: {OTHER_KEY}", 2, "the name"),
        ("sha256:12", 1, "64 hexadecimal"),
        (f"{ADMIN_KEY} {OTHER_KEY}", 1, "visible ASCII"),
        (ADMIN_KEY + "\u00e9", 1, "visible ASCII"),
    ],
)
def test_wrong_file_is_an_error_that_shows_nothing_of_it(
    tmp_path: Path, text: str, line: int | None, word: str
) -> None:
    (tmp_path / "admin").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_admin_keys(str(tmp_path / "admin"))
    [problem] = caught.value.problems
    assert (problem.line, word in problem.message) == (line, True)
    assert "canary" not in str(caught.value)
    assert "short" not in problem.message


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        read_admin_keys(str(tmp_path / "nowhere"))
