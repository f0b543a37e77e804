"""What the owner of a virtual key may see: of that key, and of nobody else's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from llm_gateway.core.limits.claims import Standing
from llm_gateway.ledger.keys import digest_of
from llm_gateway.ledger.store import StoreError
from llm_gateway.web.admin.own import MOST_AT_ONCE, OwnKeyPage, OwnUsagePage
from llm_gateway.web.auth import AuthResource
from llm_gateway.web.front import FrontResource
from llm_gateway.web.grants import Grant
from tests.web.admin.operated import Operated, at_once
from tests.web.admin.test_pages import row


class Owned(Operated):
    """The two pages in place of everything else."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.in_thread = at_once

    def page(self, resource: Any, query: str, key: str) -> tuple[int, dict[str, str], Any]:
        gateway = self.gateway
        auth = AuthResource(gateway.grants, gateway.live, resource)
        gateway.site.resource = FrontResource(auth, auth, gateway.grants, gateway.clock, gateway.records)
        client = gateway.client()
        client.ask("GET", f"/v1/gateway/page{query}", None, authorization=f"Bearer {key}")
        gateway.site.resource = self.root
        if not client.received:
            return 0, {}, client
        status, headers, body = client.answer()
        return status, headers, json.loads(body)

    def own_key(self, key: str, query: str = "") -> tuple[int, dict[str, str], Any]:
        return self.page(OwnKeyPage(standings), query, key)

    def own_usage(self, key: str, query: str = "") -> tuple[int, dict[str, str], Any]:
        return self.page(OwnUsagePage(self.parts.usage, self.in_thread, lambda: self.now), query, key)


def standings(grant: Grant) -> list[Standing]:
    """As if two of five had been used of each."""
    return [Standing(limit, 2, 1, limit.amount * 2 // 5, 30.0) for limit in grant.key.limits]


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Owned]:
    made = Owned(tmp_path)
    yield made
    made.close()


def test_owner_sees_what_the_key_may_do_and_what_is_left(owned: Owned) -> None:
    _, key = owned.create(
        "ann",
        group="search",
        models={"fast": "gpt-5"},
        operations=["chat"],
        expires="2028-01-01T00:00:00Z",
        limits={"requests_per_minute": 5, "usd_per_day": {"limit": "2.50", "shadow": True}},
    )
    status, headers, page = owned.own_key(key)
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert page == {
        "name": "ann",
        "fingerprint": digest_of(key)[:8],
        "group": "search",
        "labels": {"team": "search"},
        "expires": "2028-01-01T00:00:00.000Z",
        "models": ["fast"],
        "operations": ["chat"],
        "limits": [
            {
                "name": "requests_per_minute",
                "scope": "key",
                "limit": 5,
                "remaining": 2,
                "resets_in_s": 30.0,
                "shadow": False,
            },
            {
                "name": "usd_per_day",
                "scope": "key",
                "limit": "2.50",
                "remaining": "1.00",
                "resets_in_s": 30.0,
                "shadow": True,
            },
        ],
    }
    # Of the credentials behind it nothing, not even a name.
    assert "'main'" not in repr(page)


def test_owner_sees_the_use_of_that_key_alone(owned: Owned) -> None:
    _, ann = owned.create("ann")
    _, bob = owned.create("bob")
    rows = [
        row(1, key_digest=digest_of(ann)),
        row(2, key_digest=digest_of(ann), model="gpt-4"),
        row(3, key_digest=digest_of(bob)),
    ]
    owned.ledger.write(rows)
    status, _, page = owned.own_usage(ann, "?by=model&since=2h")
    assert status == 200
    assert sorted((each["by"]["model"], each["amount"]["calls"]) for each in page["data"]) == [
        ("gpt-4", 1),
        ("gpt-5", 1),
    ]
    assert page["total"]["usd"] == "0.003"
    assert owned.own_usage(bob)[2]["total"]["calls"] == 1


def test_use_is_the_same_after_a_rotation(owned: Owned) -> None:
    id, first = owned.create("ann")
    owned.ledger.write([row(1, key_digest=digest_of(first))])
    second = owned.post(f"/admin/v1/keys/{id}/rotate")["key"]
    assert [owned.own_usage(key)[2]["total"]["calls"] for key in (first, second)] == [1, 1]


@pytest.mark.parametrize(
    "query",
    ["?by=credential", "?by=key", "?by=label:team", "?by=status", "?key=bob", "?key_digest=0", "?since=x", "?by=a,b"],
)
def test_owner_cannot_ask_about_others(owned: Owned, query: str) -> None:
    _, key = owned.create()
    status, headers, _ = owned.own_usage(key, query)
    assert (status, headers["x-gw-error"]) == (400, "bad_request")


def test_page_about_a_key_takes_no_question(owned: Owned) -> None:
    _, key = owned.create()
    assert owned.own_key(key, "?id=other")[0] == 400


def test_both_need_a_virtual_key(owned: Owned) -> None:
    for page in (owned.own_key, owned.own_usage):
        status, headers, _ = page("vk_nobody")
        assert (status, headers["x-gw-error"]) == (401, "invalid_api_key")


def test_ledger_that_is_away_is_503_in_the_caller_s_dialect(owned: Owned) -> None:
    def fail(*_: object) -> None:
        raise StoreError("no such host db.internal")

    _, key = owned.create()
    msgspec.structs.force_setattr(owned.parts, "usage", fail)
    status, headers, document = owned.own_usage(key)
    assert (status, headers["retry-after"]) == (503, "5")
    assert "internal" not in document["error"]["message"]


def test_owner_who_leaves_is_not_waited_for(owned: Owned) -> None:
    _, key = owned.create()
    owned.gateway.records.written.clear()
    waiting: Deferred[Any] = Deferred()
    owned.in_thread = lambda *_: waiting
    _, _, client = owned.own_usage(key)
    client.leave()
    [record] = owned.gateway.records.written
    assert record.ended == "client_gone"
    # The database answers all the same, and nobody is told.
    waiting.callback([])
    assert len(owned.gateway.records.written) == 1


def test_many_owners_at_once_do_not_take_all_the_threads(owned: Owned) -> None:
    """Which others need: to find providers, and to learn of keys that are revoked. Leaving does not make room."""
    _, key = owned.create()
    waiting: list[Deferred[Any]] = []

    def later(_: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[-1]

    in_thread: Any = later
    page = OwnUsagePage(owned.parts.usage, in_thread, lambda: owned.now)
    for _ in range(MOST_AT_ONCE):
        _, _, client = owned.page(page, "", key)
        client.leave()
    status, headers, _ = owned.page(page, "", key)
    assert (status, headers["x-gw-error"], headers["retry-after"]) == (503, "gateway_busy", "1")
    assert len(waiting) == MOST_AT_ONCE
    waiting[0].callback([])
    waiting[1].errback(StoreError("away"))
    for _ in range(2):
        assert owned.page(page, "", key)[0] == 0
    assert owned.page(page, "", key)[0] == 503


def test_other_methods_are_told_which_there_are(owned: Owned) -> None:
    """And are no calls to a provider, though they are below ``/v1``."""
    owned.gateway.site.resource = owned.gateway.resource
    for page in ("key", "usage", "route"):
        client = owned.client()
        client.ask("PUT", f"/v1/gateway/{page}", b"{}", authorization="Bearer vk_in_file")
        status, headers, _ = client.answer()
        assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")
