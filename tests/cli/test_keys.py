"""``llmgateway keys``: the same whether it works on the database itself or asks a running gateway."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.cli.main import main
from llm_gateway.ledger.keys import digest_of
from tests.web.admin.operated import ADMIN_KEY, OTHER_KEY, REAL_KEY, Operated

ENVIRONMENT = ("LEDGER", "KEYS_FILE", "AISERVICES_FILE", "LLMGATEWAY_URL", "LLMGATEWAY_ADMIN_KEY", "LLMGATEWAY_KEY")


@pytest.fixture
def operated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    """A gateway, in whose folder the command is called."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    made = Operated(tmp_path)
    yield made
    made.close()


@pytest.fixture
def url(operated: Operated) -> Iterator[str]:
    """Where the gateway's admin API answers."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            line = self.rfile.readline()
            head = b""
            while (header := self.rfile.readline()) not in (b"\r\n", b""):
                head += header
            lengths = [each.split(b":")[1] for each in head.lower().splitlines() if each.startswith(b"content-length")]
            body = self.rfile.read(int(lengths[0])) if lengths else b""
            client = operated.gateway.client()
            client.send(line + head + b"\r\n" + body)
            self.wfile.write(client.received)
            self.close_connection = True

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class Command:
    """The command, with what says where it is done."""

    def __init__(self, where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        self.where = where
        self._capsys = capsys

    def __call__(self, action: str, *arguments: str, status: int = 0) -> tuple[str, str]:
        """
        :return: what it prints to standard output and to standard error.
        """
        assert main(["keys", action, *self.where, *arguments]) == status
        captured = self._capsys.readouterr()
        return captured.out, captured.err

    def json(self, action: str, *arguments: str) -> Any:
        return json.loads(self(action, "--json", *arguments)[0])

    def create(self, name: str = "ann", *arguments: str) -> str:
        return self("create", name, "--credential", "main", *arguments)[0].strip()


@pytest.fixture(params=["database", "api"])
def keys(
    request: pytest.FixtureRequest, operated: Operated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    if request.param == "database":
        return Command(["--ledger", str(tmp_path / "ledger.db")], capsys)
    return Command(["--url", request.getfixturevalue("url"), "--admin-key-file", str(tmp_path / "admin")], capsys)


def opens(operated: Operated, key: str) -> Any:
    """What the gateway makes of a key once it has looked."""
    operated.running.refresh()
    grant = operated.gateway.grants.find(key.encode())
    return None if grant is None else grant.key


def test_new_key_is_all_that_goes_to_standard_output(keys: Command, operated: Operated) -> None:
    """So that it can be piped to where it is needed."""
    out, err = keys("create", "ann", "--credential", "main")
    key = out.removesuffix("\n")
    assert key.startswith("vk_")
    assert opens(operated, key).name == "ann"
    assert key not in err
    assert "shown this once" in err


def test_all_that_an_entry_can_say_can_be_said(keys: Command, operated: Operated) -> None:
    key = keys.create(
        "ann", "--credential", "spare", "--model", "fast=gpt-5", "--model", "gpt-*", "--operation", "chat",
        "--group", "search", "--label", "team=own", "--label", "app=a=b", "--limit", "usd_per_month=20",
        "--limit", "requests_per_minute=60", "--expires", "2030-01-01T00:00:00Z",
    )  # fmt: skip
    found = opens(operated, key)
    assert [each.name for each in found.credentials] == ["main", "spare"]
    assert found.models.find("fast").target == "gpt-5"
    assert found.models.find("gpt-4").target_of("gpt-4") == "gpt-4"
    assert found.operations == {"chat"}
    assert (found.group, found.labels) == ("search", {"team": "own", "app": "a=b"})
    assert {each.name: each.amount for each in found.limits} == {
        "usd_per_month": 20_000_000_000,
        "requests_per_minute": 60,
    }
    assert found.expires == 1_893_456_000.0


def test_entry_of_a_file_and_options_come_together(keys: Command, tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('{"on_disconnect": "drain_and_bill", "limits": {"usd_total": {"limit": "1"}}}')
    keys.create("ann", "--entry", "more.json", "--limit", "in_flight=2")
    entry = keys.json("show", "ann")["entry"]
    assert entry["on_disconnect"] == "drain_and_bill"
    assert entry["limits"] == {"usd_total": {"limit": "1"}, "in_flight": 2}


def test_edit_changes_what_is_said_and_nothing_else(keys: Command, operated: Operated) -> None:
    key = keys.create(
        "ann", "--limit", "usd_per_day=1", "--limit", "in_flight=2", "--label", "a=b", "--model", "x=y", "--model", "z"
    )
    out, _ = keys(
        "edit", "ann", "--name", "eve", "--limit", "usd_per_day=2.50", "--remove", "limits.in_flight",
        "--remove", "labels", "--model", "x=new",
    )  # fmt: skip
    assert "eve" in out
    found = opens(operated, key)
    assert {each.name: each.amount for each in found.limits} == {"usd_per_day": 2_500_000_000}
    assert (found.name, found.labels) == ("eve", {})
    assert [rule.pattern for rule in found.models.rules] == ["x"]


def test_rotated_key_works_beside_the_new_one(keys: Command, operated: Operated) -> None:
    first = keys.create()
    out, err = keys("rotate", "ann", "--grace", "12h")
    second = out.strip()
    assert first != second
    assert f"key:{digest_of(first)[:8]}) works until" in err
    assert opens(operated, second).expires is None
    assert opens(operated, first).expires is not None
    assert first not in err


def test_revoked_key_is_refused_and_can_be_deleted(keys: Command, operated: Operated) -> None:
    key = keys.create()
    _, err = keys("delete", "ann", status=1)
    assert "Revoke it first" in err
    assert "revoked" in keys("revoke", "ann")[0]
    assert opens(operated, key) is None
    keys("delete", "ann")
    assert keys.json("list", "--state", "revoked")["data"] == []


def test_list_shows_both_kinds_and_no_key(keys: Command) -> None:
    key = keys.create("ann", "--group", "search", "--limit", "usd_per_day=3")
    out, _ = keys("list")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "in", "ann"]
    assert "keys.json" in lines[1]
    assert "usd_per_day=3" in lines[2]
    assert key not in out
    assert REAL_KEY not in out
    assert [each["name"] for each in keys.json("list", "--group", "search")["data"]] == ["ann"]


def test_keys_are_named_by_what_logs_call_them(keys: Command) -> None:
    made = json.loads(keys("create", "ann", "--credential", "main", "--json")[0])["virtual_key"]
    for name in ("ann", made["id"], f"key:{made['fingerprint']}"):
        assert keys.json("show", name)["id"] == made["id"]
    _, err = keys("show", "nobody", status=1)
    assert "nobody" in err
    _, err = keys("show", "vk_0123456789abcdef0123456789", status=1)
    assert "vk_" not in err


def test_key_of_the_file_is_shown_and_not_changed(keys: Command) -> None:
    assert keys.json("show", "in file")["origin"] == "file"
    for action in (
        ["edit", "in file", "--name", "x"],
        ["rotate", "in file"],
        ["revoke", "in file"],
        ["delete", "in file"],
    ):
        _, err = keys(*action, status=1)
        assert "keys.json" in err


def test_wrong_entry_is_told_in_one_line(keys: Command) -> None:
    _, err = keys("create", "ann", "--credential", "mian", "--limit", "usd_per_yaer=3", status=1)
    assert 'did you mean "main"' in err
    assert "usd_per_day" in err
    assert err.count("\n") == 1


def test_what_was_done_says_who_did_it(keys: Command, operated: Operated) -> None:
    keys.create()
    [row] = operated.keys.audit(9)
    assert row.audit.actor.startswith(("command:", "admin:alice"))
    assert row.audit.actor not in ("command:", "admin:")


@pytest.mark.parametrize(
    "arguments",
    [
        ["edit", "ann"],
        ["rotate", "ann", "--grace", "soon"],
        ["rotate", "ann", "--grace", "9999d"],
        ["create", "bob", "--credential", "main", "--limit", "usd_per_day"],
        ["create", "bob", "--credential", "main", "--label", "=x"],
        ["create", "bob", "--operation", "dance"],
        ["create"],
        ["list", "--state", "gone"],
    ],
)
def test_wrong_usage_ends_with_2(keys: Command, arguments: list[str]) -> None:
    keys.create()
    with pytest.raises(SystemExit) as caught:
        keys(*arguments)
    assert caught.value.code == 2


# Of one of both


def test_database_is_made_with_the_first_key_and_by_nothing_else(
    operated: Operated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = Command(["--ledger", str(tmp_path / "new.db")], capsys)
    for action in (["list"], ["show", "ann"], ["revoke", "ann"]):
        with pytest.raises(SystemExit) as caught:
            keys(*action)
        assert caught.value.code == 1
        assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "new.db").exists()
    keys.create()
    assert [each["name"] for each in keys.json("list")["data"]] == ["in file", "ann"]
    assert (tmp_path / "new.db").stat().st_mode & 0o077 == 0


def test_ledger_comes_from_the_environment_too(
    operated: Operated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEDGER", str(tmp_path / "ledger.db"))
    Command([], capsys).create()
    assert [each.name for each in operated.keys.all()] == ["ann"]


def test_broken_files_are_told_and_nothing_is_made(
    operated: Operated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys.json").write_text("{")
    _, err = Command(["--ledger", str(tmp_path / "ledger.db")], capsys)(
        "create", "ann", "--credential", "main", status=1
    )
    assert "keys.json:1" in err
    assert "--url asks a running gateway" in err
    assert operated.keys.all() == []


def test_key_is_revoked_whatever_the_files_are_like(
    operated: Operated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has to do it now may not have the secrets that they name."""
    there = ["--ledger", str(tmp_path / "ledger.db"), "--keys", str(tmp_path / "keys.json")]
    keys = Command(there, capsys)
    keys.create()
    (tmp_path / "keys.json").write_text("{")
    assert "revoked" in keys("revoke", "ann")[0]
    [stored] = operated.keys.all()
    assert stored.revoked_at is not None
    keys("delete", "ann")
    assert operated.keys.all() == []


def test_admin_key_comes_from_the_environment_too(
    url: str, operated: Operated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMGATEWAY_ADMIN_KEY", OTHER_KEY)
    Command(["--url", url], capsys).create()
    [row] = operated.keys.audit(9)
    assert row.audit.actor == "admin:bob"


def test_wrong_admin_key_is_refused_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMGATEWAY_ADMIN_KEY", "wrong-canary-0123456789abcdef")
    _, err = Command(["--url", url], capsys)("list", status=1)
    assert "401 invalid_admin_key" in err
    assert "canary" not in err


@pytest.mark.parametrize("text", ["", "# nothing", f"sha256:{'0' * 64}", f"ann: sha256:{'0' * 64}"])
def test_file_without_a_key_is_wrong_usage(
    url: str, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(SystemExit) as caught:
        Command(["--url", url, "--admin-key-file", str(tmp_path / "key")], capsys)("list")
    assert caught.value.code == 2


def test_gateway_and_database_exclude_each_other(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for where in (
        ["--url", url, "--admin-key-file", str(tmp_path / "admin"), "--ledger", "x"],
        ["--url", url, "--admin-key-file", str(tmp_path / "admin"), "--keys", "keys.json"],
        ["--admin-key-file", str(tmp_path / "admin")],
    ):
        with pytest.raises(SystemExit) as caught:
            Command(where, capsys)("list")
        assert caught.value.code == 2


def test_gateway_that_is_not_there_is_said_in_one_line(
    operated: Operated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        _, err = Command(["--url", url, "--admin-key-file", str(tmp_path / "admin")], capsys)("list", status=1)
    assert err.startswith("llmgateway keys: nothing listens")
    assert ADMIN_KEY not in err


def test_many_keys_are_listed_page_by_page(
    url: str, operated: Operated, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_gateway.cli.keys.PAGE", 2)
    for number in range(4):
        operated.now += 1
        operated.create(f"k{number}")
    keys = Command(["--url", url, "--admin-key-file", str(tmp_path / "admin")], capsys)
    assert [each["name"] for each in keys.json("list")["data"]] == ["in file", "k0", "k1", "k2", "k3"]
