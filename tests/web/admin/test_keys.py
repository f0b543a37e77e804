"""Keys over the admin API: each thing that can be done, and what the gateway makes of it at once."""

from __future__ import annotations

import msgspec
import pytest

from llm_gateway.issuing.running import RunningKeys
from llm_gateway.ledger.keys import KeyStore, digest_of
from llm_gateway.ledger.store import StoreError
from tests.web.admin.operated import FILE_KEY, OTHER_KEY, REAL_KEY, Operated


def test_key_works_as_soon_as_it_is_made(operated: Operated) -> None:
    status, headers, made = operated.ask(
        "POST", "/admin/v1/keys", {"name": "ann", "credentials": ["main"], "models": {"fast": "gpt-5"}}
    )
    assert status == 201
    assert operated.known(made["key"])
    id = made["virtual_key"]["id"]
    assert headers["location"] == f"/admin/v1/keys/{id}"
    assert headers["etag"] == '"1"'
    assert headers["cache-control"] == "no-store"
    # From now on nobody is shown it.
    for path in ("/admin/v1/keys", f"/admin/v1/keys/{id}", "/admin/v1/audit"):
        assert made["key"] not in repr(operated.get(path))


def test_call_goes_out_with_the_credential_that_the_key_names(operated: Operated) -> None:
    """The whole way: a key made here, a call with it, the real key at the provider."""
    _, key = operated.create("ann", credentials=["spare"])
    operated.gateway.site.resource = operated.gateway.resource
    client = operated.gateway.client()
    client.chat(key=key)
    assert operated.gateway.sent.header("authorization") == f"Bearer {REAL_KEY}2"


def test_listing_is_narrowed_and_paged(operated: Operated) -> None:
    ids = []
    for number in range(5):
        operated.now += 1
        ids.append(operated.create(f"k{number}", **({"group": "search"} if number % 2 else {}))[0])
    operated.post(f"/admin/v1/keys/{ids[0]}/revoke")

    def names(query: str = "") -> list[str]:
        return [each["name"] for each in operated.get(f"/admin/v1/keys{query}")["data"]]

    assert names() == ["in file", "k0", "k1", "k2", "k3", "k4"]
    assert names("?origin=file") == ["in file"]
    assert names("?group=search") == ["k1", "k3"]
    assert names("?state=revoked") == ["k0"]
    assert names("?state=active&origin=database&limit=2") == ["k1", "k2"]
    assert names("?name=k3") == ["k3"]
    page = operated.get("/admin/v1/keys?limit=4")
    assert page["has_more"]
    rest = operated.get(f"/admin/v1/keys?limit=4&after={page['data'][-1]['id']}")
    assert not rest["has_more"]
    assert [each["name"] for each in page["data"] + rest["data"]] == names()


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=1001",
        "?limit=",
        "?limit=x",
        "?state=gone",
        "?state=",
        "?lmit=5",
        "?limit=5&limit=6",
        "?name=" + "x" * 257,
    ],
)
def test_question_that_makes_no_sense_is_refused(operated: Operated, query: str) -> None:
    assert operated.get(f"/admin/v1/keys{query}", 400)["error"]["code"] == "bad_request"


def test_wrong_entry_is_told_with_its_field(operated: Operated) -> None:
    answer = operated.post("/admin/v1/keys", {"name": "ann", "credentials": ["mian"]}, 400)
    assert (answer["error"]["code"], answer["error"]["param"]) == ("invalid_entry", "credentials[1]")
    assert 'did you mean "main"' in answer["error"]["message"]


def test_real_key_in_an_entry_is_refused_and_kept_nowhere(operated: Operated) -> None:
    """Whoever makes keys need not have real ones, and the database has none."""
    entry = {"name": "ann", "provider": "openai", "api_key": "sk-canary-of-somebody"}
    assert operated.post("/admin/v1/keys", entry, 400)["error"]["code"] == "invalid_entry"
    assert operated.keys.audit(9) == []
    operated.close()
    assert b"canary-of-somebody" not in (operated.folder / "ledger.db").read_bytes()


def test_key_is_changed_and_the_change_counts_at_once(operated: Operated) -> None:
    id, key = operated.create("ann", labels={"team": "a"}, limits={"requests_per_minute": 5})
    status, headers, view = operated.ask(
        "PATCH",
        f"/admin/v1/keys/{id}",
        {"labels": None, "limits": {"usd_per_day": "2"}, "name": "eve"},
        content_type="application/merge-patch+json",
        if_match='"1"',
    )
    assert (status, headers["etag"]) == (200, '"2"')
    limits = {"requests_per_minute": 5, "usd_per_day": "2"}
    assert view["entry"] == {"name": "eve", "credentials": ["main"], "limits": limits}
    grant = operated.gateway.grants.find(key.encode())
    assert grant is not None
    assert (grant.label, {each.name for each in grant.key.limits}) == ("eve", set(limits))


def test_older_version_is_not_changed(operated: Operated) -> None:
    id, _ = operated.create()
    operated.ask("PATCH", f"/admin/v1/keys/{id}", {"name": "bob"}, if_match='"1"')
    for method, path in (
        ("PATCH", f"/admin/v1/keys/{id}"),
        ("POST", f"/admin/v1/keys/{id}/rotate"),
        ("POST", f"/admin/v1/keys/{id}/revoke"),
        ("DELETE", f"/admin/v1/keys/{id}"),
    ):
        status, _, document = operated.ask(method, path, {} if method != "DELETE" else None, if_match='"1"')
        assert (status, document["error"]["code"]) == (412, "version_changed"), path
    assert operated.ask("PATCH", f"/admin/v1/keys/{id}", {"name": "eve"}, if_match="*")[0] == 200
    assert operated.ask("PATCH", f"/admin/v1/keys/{id}", {"name": "eve"}, if_match="nonsense")[0] == 400


def test_rotated_key_works_beside_the_new_one_for_the_grace(operated: Operated) -> None:
    id, first = operated.create()
    made = operated.post(f"/admin/v1/keys/{id}/rotate", {"grace_s": 60})
    assert made["virtual_key"]["id"] == id
    old, new = (operated.gateway.grants.find(key.encode()) for key in (first, made["key"]))
    assert old is not None
    assert new is not None
    assert (old.key.expires, new.key.expires) == (operated.now + 60, None)
    assert old.key.account == new.key.account == digest_of(first)
    assert made["virtual_key"]["old_keys"] == [
        {"fingerprint": digest_of(first)[:8], "until": "2027-01-15T08:01:00.000Z"}
    ]


def test_rotation_without_a_body_gives_a_day(operated: Operated) -> None:
    id, _ = operated.create()
    made = operated.post(f"/admin/v1/keys/{id}/rotate")
    assert made["virtual_key"]["old_keys"][0]["until"] == "2027-01-16T08:00:00.000Z"


@pytest.mark.parametrize(
    "body", [{"grace_s": -1}, {"grace_s": "60"}, {"grace": 60}, {"grace_s": 40_000_000}, {"grace_s": None}]
)
def test_rotation_with_a_wrong_grace_changes_nothing(operated: Operated, body: object) -> None:
    id, key = operated.create()
    assert operated.post(f"/admin/v1/keys/{id}/rotate", body, 400)["error"]["code"] == "bad_request"
    assert operated.get(f"/admin/v1/keys/{id}")["version"] == 1
    assert operated.known(key)


def test_revoked_key_is_refused_at_once(operated: Operated) -> None:
    id, key = operated.create()
    view = operated.post(f"/admin/v1/keys/{id}/revoke")
    assert (view["state"], view["revoked_at"]) == ("revoked", "2027-01-15T08:00:00.000Z")
    assert not operated.known(key)
    assert operated.post(f"/admin/v1/keys/{id}/rotate", {}, 409)["error"]["code"] == "key_revoked"
    assert operated.ask("DELETE", f"/admin/v1/keys/{id}")[0] == 204
    assert operated.get(f"/admin/v1/keys/{id}", 404)["error"]["code"] == "key_not_found"


def test_running_call_of_a_revoked_key_goes_on(operated: Operated) -> None:
    """An answer is paid for already; only new calls are refused."""
    id, key = operated.create()
    operated.gateway.site.resource = operated.gateway.resource
    client = operated.gateway.client()
    client.chat(key=key)
    operated.gateway.site.resource = operated.root
    operated.post(f"/admin/v1/keys/{id}/revoke")
    response = operated.gateway.sent.answer(200, length=2)
    response.write(b"{}")
    response.end()
    assert client.answer()[0] == 200


def test_keys_of_the_file_are_read_only(operated: Operated) -> None:
    [view] = operated.get("/admin/v1/keys?origin=file")["data"]
    for method, path, body in (
        ("PATCH", "", {"name": "x"}),
        ("POST", "/rotate", {}),
        ("POST", "/revoke", None),
        ("DELETE", "", None),
    ):
        status, _, document = operated.ask(method, f"/admin/v1/keys/{view['id']}{path}", body)
        assert (status, document["error"]["code"]) == (409, "key_of_file")
    assert operated.known(FILE_KEY)


def test_every_change_has_its_row_and_nothing_else_has(operated: Operated) -> None:
    id, key = operated.create()
    operated.ask("PATCH", f"/admin/v1/keys/{id}", {"name": "eve"}, key=OTHER_KEY)
    rotated = operated.post(f"/admin/v1/keys/{id}/rotate")["key"]
    operated.get(f"/admin/v1/keys/{id}")
    operated.post("/admin/v1/keys", {"name": "eve", "credentials": ["main"]}, 409)
    operated.post(f"/admin/v1/keys/{id}/revoke")
    operated.ask("DELETE", f"/admin/v1/keys/{id}")
    operated.post("/admin/v1/reload")
    rows = operated.get("/admin/v1/audit")["data"]
    assert [(row["action"], row["actor"]) for row in reversed(rows)] == [
        ("key.create", "admin:alice"),
        ("key.edit", "admin:bob"),
        ("key.rotate", "admin:alice"),
        ("key.revoke", "admin:alice"),
        ("key.delete", "admin:alice"),
        ("reload", "admin:alice"),
    ]
    ids = {record.request_id for record in operated.gateway.records.written}
    assert all(row["request_id"] in ids for row in rows)
    assert {row["address"] for row in rows} == {"192.168.1.1"}
    for secret in (key, rotated, digest_of(key), digest_of(rotated)):
        assert secret not in repr(rows)


def test_database_that_is_away_is_503_and_changes_nothing(operated: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    id, key = operated.create()

    def fail(*_: object) -> None:
        raise StoreError("/var/lib/ledger.sqlite: database is locked")

    for name in ("create", "update", "rotate", "revoke", "delete", "get", "page", "audit", "note"):
        monkeypatch.setattr(KeyStore, name, fail)
    for method, path, body in (
        ("GET", "/keys", None),
        ("POST", "/keys", {"name": "bob", "credentials": ["main"]}),
        ("GET", f"/keys/{id}", None),
        ("PATCH", f"/keys/{id}", {"name": "bob"}),
        ("POST", f"/keys/{id}/rotate", {}),
        ("POST", f"/keys/{id}/revoke", None),
        ("DELETE", f"/keys/{id}", None),
        ("GET", "/audit", None),
    ):
        status, headers, document = operated.ask(method, f"/admin/v1{path}", body)
        assert (status, headers["x-gw-error"], headers["retry-after"]) == (503, "database_unavailable", "5")
        assert "sqlite" not in repr(document)
    assert operated.known(key)


def test_client_that_leaves_while_a_key_is_made_is_noticed(operated: Operated) -> None:
    """The key is there afterwards, unknown to anybody: the listing shows it, and it can be rotated or revoked."""
    from twisted.internet.defer import Deferred

    waiting: Deferred[object] = Deferred()
    attempts: list[object] = []

    def later(function: object, *arguments: object) -> Deferred[object]:
        attempts.append((function, arguments))
        return waiting

    msgspec.structs.force_setattr(operated.parts, "in_thread", later)
    client = operated.client()
    client.ask(
        "POST",
        "/admin/v1/keys",
        b'{"name":"ann","credentials":["main"]}',
        authorization="Bearer admin-canary-0123456789abcdef",
    )
    client.leave()
    assert len(attempts) == 1
    [record] = operated.gateway.records.written
    assert record.ended == "client_gone"


def test_change_by_another_process_shows_at_once(operated: Operated) -> None:
    """Reading asks the database, not what this process remembers."""
    from llm_gateway.issuing.keeper import By

    made = operated.keeper.create({"name": "ann", "credentials": ["main"]}, By("command:root"))
    assert operated.get(f"/admin/v1/keys/{made.virtual_key.id}")["name"] == "ann"
    assert not operated.known(made.key)
    assert isinstance(operated.running, RunningKeys)
    operated.running.refresh()
    assert operated.known(made.key)
