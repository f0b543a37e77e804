"""What an operator can look at, and have done to the gateway itself."""

from __future__ import annotations

import msgspec
import pytest
from twisted.internet.defer import Deferred, succeed

from llm_gateway import __version__
from llm_gateway.core.usage.values import Source, Usage
from llm_gateway.ledger.queries import DIMENSIONS
from llm_gateway.ledger.row import Row
from llm_gateway.ledger.store import StoreError
from llm_gateway.web.live import MOST_CALLS, Elsewhere, WorkerState
from tests.fleet.processes import live_call
from tests.web.admin.operated import ADMIN_KEY, NOW, Operated

HOUR = 3_600_000_000
AT = int(NOW * 1_000_000)


def row(number: int, key: str = "ann", ago: int = HOUR, **said: object) -> Row:
    """One attempt, an hour ago."""
    usual: dict[str, object] = {
        "request_id": f"{number:024x}",
        "attempt": 1,
        "at": AT - ago,
        "key": key,
        "key_digest": key * 8,
        "provider": "openai",
        "credential": "main",
        "operation": "chat",
        "model": "gpt-5",
        "status": 200,
        "ended": "ok",
        "usage": Usage(input=10, cached=5, output=3, reasoning=1),
        "source": Source.PROVIDER,
        "price": "1",
        "cost": 1_500_000,
        "duration_us": 1,
    }
    return Row(**{**usual, **said})  # type: ignore[arg-type]  # as above


def test_usage_is_added_up_by_what_is_asked(operated: Operated) -> None:
    rows = [
        row(1),
        row(2, labels={"team": "search"}),
        row(3, "bob", cost=None, model="gpt-4"),
        row(4, "bob", source=Source.ESTIMATED, ended="timeout"),
        row(5, ago=30 * HOUR),
    ]
    operated.ledger.write(rows)
    found = operated.get("/admin/v1/usage?by=key,model")
    assert (found["since"], found["until"]) == ("2027-01-14T08:00:00.000Z", "2027-01-15T08:00:00.000Z")
    assert [(each["by"], each["amount"]["calls"], each["amount"]["usd"]) for each in found["data"]] == [
        ({"key": "ann", "model": "gpt-5"}, 2, "0.003"),
        ({"key": "bob", "model": "gpt-5"}, 1, "0.0015"),
        ({"key": "bob", "model": "gpt-4"}, 1, "0.00"),
    ]
    total = found["total"]
    assert {name: total[name] for name in ("calls", "attempts", "errors", "estimated", "unpriced", "usd")} == {
        "calls": 4,
        "attempts": 4,
        "errors": 1,
        "estimated": 1,
        "unpriced": 1,
        "usd": "0.0045",
    }
    assert (total["input_tokens"], total["output_tokens"]) == (60, 16)
    assert (total["tokens"]["cached"], total["tokens"]["reasoning"]) == (20, 4)
    assert operated.get("/admin/v1/usage?since=3d")["total"]["calls"] == 5
    assert operated.get("/admin/v1/usage?since=2027-01-13&until=2027-01-14T12:00:00Z")["total"]["calls"] == 1
    assert operated.get("/admin/v1/usage?key=bob&model=gpt-4")["total"]["calls"] == 1
    by_label = operated.get("/admin/v1/usage?by=label:team")["data"]
    assert sorted((each["by"]["label:team"] or "", each["amount"]["calls"]) for each in by_label) == [
        ("", 3),
        ("search", 1),
    ]


@pytest.mark.parametrize("by", [each for each in DIMENSIONS if each != "request_id"])
def test_usage_is_told_apart_by_everything_that_there_is(operated: Operated, by: str) -> None:
    operated.ledger.write([row(1)])
    [only] = operated.get(f"/admin/v1/usage?by={by}")["data"]
    assert set(only["by"]) == {by}
    assert only["amount"]["calls"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "by=request_id",
        "by=colour",
        "by=label:",
        "by=key,model,provider,day,hour",
        "since=yesterday",
        "since=1d&until=2d",
        "since=2027-01-15&until=2027-01-15",
        "since=99999999999999",
        "since=-5",
        "colour=red",
    ],
)
def test_usage_of_what_cannot_be_is_refused(operated: Operated, query: str) -> None:
    assert operated.get(f"/admin/v1/usage?{query}", 400)["error"]["code"] == "bad_request"


def test_usage_of_too_many_things_is_refused_rather_than_cut(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_gateway.web.admin.adding.MOST_ROWS", 2)
    operated.ledger.write([row(number, f"k{number}") for number in range(3)])
    assert operated.get("/admin/v1/usage?by=key", 400)["error"]["param"] == "by"
    assert operated.get("/admin/v1/usage")["total"]["calls"] == 3


def test_usage_without_its_database_is_503(operated: Operated) -> None:
    def fail(*_: object) -> None:
        raise StoreError("no such host db.internal")

    msgspec.structs.force_setattr(operated.parts, "usage", fail)
    answer = operated.get("/admin/v1/usage", 503)
    assert answer["error"]["code"] == "database_unavailable"
    assert "internal" not in answer["error"]["message"]


def test_live_calls_are_shown_as_they_are(operated: Operated) -> None:
    """Who, to whom, since when and how far; not what."""
    _, key = operated.create("ann")
    operated.gateway.site.resource = operated.gateway.resource
    client = operated.gateway.client()
    client.chat(b'{"model":"gpt-5","messages":[{"role":"user","content":"canary"}]}', key=key)
    operated.gateway.clock.advance(2)
    operated.gateway.site.resource = operated.root
    page = operated.get("/admin/v1/calls")
    [call] = page["data"]
    assert (page["calls"], page["worker"]) == (1, 0)
    assert {name: call[name] for name in ("key", "provider", "credential", "model", "state", "attempts", "path")} == {
        "key": "ann",
        "provider": "openai",
        "credential": "main",
        "model": "gpt-5",
        "state": "asked",
        "attempts": 1,
        "path": "/v1/chat/completions",
    }
    assert call["duration_s"] == 2.0
    assert call["started_at"] == "2027-01-15T07:59:58.000Z"
    response = operated.gateway.sent.answer(200, length=20)
    response.write(b'{"half":')
    [call] = operated.get("/admin/v1/calls")["data"]
    assert (call["state"], call["bytes_out"]) == ("answering", 8)
    assert "canary" not in repr(page)
    response.write(b" " * 11 + b"}")
    response.end()
    assert operated.get("/admin/v1/calls")["data"] == []


def test_calls_of_other_processes_are_among_them_the_oldest_first(operated: Operated) -> None:
    """Each with the process that answers it; those that have not said what they answer are named, as known last."""
    _, key = operated.create("ann")
    operated.gateway.live.worker = 2
    operated.gateway.site.resource = operated.gateway.resource
    operated.gateway.client().chat(b'{"model":"gpt-5","messages":[]}', key=key)
    operated.gateway.site.resource = operated.root
    there = Elsewhere(
        2, [live_call("younger", 1, second=1), live_call("older", 3)], [WorkerState(4, 4714, "ready", 7, 1)]
    )
    operated.elsewhere = lambda: succeed(there)
    operated.now = NOW + 0.5
    page = operated.get("/admin/v1/calls")
    own = next(call["request_id"] for call in page["data"] if call["worker"] == 2)
    shown = [(call["request_id"], call["worker"]) for call in page["data"]]
    assert shown == [("older", 3), (own, 2), ("younger", 1)]
    assert (page["worker"], page["calls"], page["left_out"]) == (2, 3, 0)
    assert page["missing"] == [{"number": 4, "pid": 4714, "state": "ready", "calls": 7, "restarts": 1}]


def test_no_more_than_a_thousand_calls_are_shown_and_the_rest_is_counted(operated: Operated) -> None:
    """The oldest of all processes, in about 300 KB."""
    some = [live_call(f"{worker}-{second}", worker, second) for second in range(50) for worker in range(1, 26)]
    operated.elsewhere = lambda: succeed(Elsewhere(20_000, some[::-1]))
    page = operated.get("/admin/v1/calls")
    assert (page["calls"], len(page["data"]), page["left_out"]) == (20_000, MOST_CALLS, 19_000)
    assert {call["request_id"] for call in page["data"]} == {call.request_id for call in some[:MOST_CALLS]}


def test_operator_who_leaves_is_not_waited_for(operated: Operated) -> None:
    asked: Deferred[Elsewhere] = Deferred()
    operated.elsewhere = lambda: asked
    client = operated.client()
    client.ask("GET", "/admin/v1/calls", authorization=f"Bearer {ADMIN_KEY}")
    assert not asked.called
    client.leave()
    assert asked.called
    [record] = operated.gateway.records.written
    assert record.ended == "client_gone"


def test_reload_takes_the_files_as_they_are_now(operated: Operated) -> None:
    operated.create()
    operated.write({"vk_one": {"credentials": ["main"]}, "vk_two": {"credentials": ["main"]}})
    assert operated.post("/admin/v1/reload") == {
        "reloaded": True,
        "file_keys": 2,
        "database_keys": 1,
        "providers": 1,
    }
    assert operated.known("vk_two")


def test_reload_of_wrong_files_changes_nothing_and_says_what_is_wrong(operated: Operated) -> None:
    operated.write({"vk_one": {"credentials": ["mian"]}})
    answer = operated.post("/admin/v1/reload", None, 409)
    assert answer["error"]["code"] == "configuration_refused"
    assert 'did you mean "main"' in answer["error"]["message"]
    assert operated.known("vk_in_file")
    [last] = operated.get("/admin/v1/audit?limit=1")["data"]
    assert (last["action"], last["detail"]) == ("reload", {"problems": 1})


def test_health_says_how_the_gateway_is(operated: Operated) -> None:
    id, _ = operated.create()
    operated.post(f"/admin/v1/keys/{id}/rotate")
    operated.gateway.live.told([WorkerState(1, 4711, "ready", 3, 0)])
    assert operated.get("/admin/v1/health") == {
        "status": "ok",
        "version": __version__,
        "calls": 0,
        "worker": 0,
        "workers": [{"number": 1, "pid": 4711, "state": "ready", "calls": 3, "restarts": 0}],
        "file_keys": 1,
        "database_keys": 1,
        "providers": 1,
        "database": True,
        "ledger": {"waiting": 0},
    }
    operated.gateway.live.draining = True
    assert operated.get("/admin/v1/health")["status"] == "draining"


def test_health_tells_of_a_database_that_is_away(operated: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it answers itself: it asks nobody."""

    def fail(*_: object) -> None:
        raise StoreError("locked")

    monkeypatch.setattr(type(operated.keys), "revision", fail)
    operated.running.refresh()
    page = operated.get("/admin/v1/health")
    assert (page["status"], page["database"]) == ("degraded", False)


def test_audit_goes_on_where_it_ended(operated: Operated) -> None:
    for number in range(5):
        operated.create(f"k{number}")
    page = operated.get("/admin/v1/audit?limit=3")
    rest = operated.get(f"/admin/v1/audit?limit=3&before={page['data'][-1]['id']}")
    assert (page["has_more"], rest["has_more"]) == (True, False)
    names = [each["detail"]["entry"]["name"] for each in page["data"] + rest["data"]]
    assert names == ["k4", "k3", "k2", "k1", "k0"]


def test_head_answers_as_get_without_the_body(operated: Operated) -> None:
    for path in ("keys", "health", "audit", "calls", "usage", "nothing"):
        got, asked = (operated.ask(method, f"/admin/v1/{path}") for method in ("GET", "HEAD"))
        assert asked[0] == got[0]
        assert asked[1]["content-length"] == got[1]["content-length"]
        assert asked[2] is None
