"""No key, virtual or real, in anything that is written down: not even of callers and providers who give theirs away."""

from __future__ import annotations

import json
from pathlib import Path

from tests.real.accounting.dialects import request
from tests.real.accounting.stage import PROVIDERS, HonestProvider, Stage, ledger_rows, stage
from tests.real.client import Client, eventually
from tests.real.scene import asking

VIRTUAL = {name: f"vk_Canary{name}7f3kQ92mXw5T" for name in PROVIDERS}
REAL = {name: f"sk-real-{name}" for name in PROVIDERS}
"""As ``stage`` has them."""
CANARIES = [each.encode() for each in (*VIRTUAL.values(), *REAL.values())]

KEYS = {
    VIRTUAL[name]: {"name": f"key of {name}", "credentials": [name], "limits": {"usd_total": "5", "in_flight": 9}}
    for name in PROVIDERS
}
LABELS = {"who": "user", "app": "metadata:app", "where": "header:x-where"}


def all_kinds(staged: Stage) -> list[bytes]:
    """
    Calls that end in all kinds of ways and say their key wherever they can.

    :return: what their callers got.
    """
    got = []
    for name, dialect in PROVIDERS.items():
        key = VIRTUAL[name]
        api = {"openai": "chat", "anthropic": "messages", "gemini": "gemini"}[dialect]
        for number, do in enumerate(["whole", "tools", "error:400", "error:500", "event", "break:1", "close", "mute"]):
            for stream in (False, True):
                for echo in ({}, {"echo": True}):
                    orders = {"tag": f"{name}{number}{stream}", "do": [do], "words": 3, "counts": {"input": 2}, **echo}
                    target, body = request(api, "m-1", json.dumps(orders), stream=stream)
                    if dialect != "gemini":
                        body |= {"user": key, "metadata": {"app": REAL[name], "user_id": key}}
                    fields = {**asking(key), "x-where": key, "x-call": REAL[name]}
                    with Client(staged.gateway.port) as client:
                        answer = client.call("POST", f"{target}", fields, json.dumps(body).encode())
                    got += [answer.body, *(value for _, value in answer.head.fields)]
        # Who may not call, or names what there is not.
        for target, body in (request(api, "no-such-model", "{}", stream=False), ("/v1/nowhere", {"model": 1})):
            for bad in (key, key + "x"):
                with Client(staged.gateway.port) as client:
                    answer = client.call("POST", target, asking(bad), json.dumps(body).encode())
                got += [answer.body, *(value for _, value in answer.head.fields)]
    return got


def test_no_key_is_written_down_or_told(bin_dir: Path, tmp_path: Path) -> None:
    """Looked for in every file while calls run and after them, in the output, and in the answers."""
    options = ("--access-log-format", "json")
    with HonestProvider() as provider, stage(bin_dir, tmp_path, provider, *options, keys=KEYS, labels=LABELS) as staged:
        got = all_kinds(staged)
        standing = []
        for name in PROVIDERS:
            orders = {"tag": f"stands {name}", "do": ["hold:1"], "words": 2, "counts": {}, "echo": True}
            client = staged.call(VIRTUAL[name], orders, stream=True)
            standing.append(client)
            client.head()
        looked_at = look(tmp_path)
        assert any("journal" in each for each in looked_at), looked_at
        for client in standing:
            client.close()
        eventually(lambda: sum(row["ended"] == "client_gone" for row in ledger_rows(staged.ledger)) == 3, "all left")
        assert "ledger.sqlite" in look(tmp_path)
        rows = staged.stop()
    look(tmp_path)
    assert len(rows) > 3 * 16 * 2
    everything = [*got, staged.gateway.output.encode(), repr(rows).encode()]
    for canary in CANARIES:
        for each in everything:
            assert canary not in each, (canary, each[:300])


def look(folder: Path) -> list[str]:
    """
    :return: every file but the one in which keys stand; none holds any.
    """
    found = []
    for each in sorted(folder.rglob("*")):
        if not each.is_file() or each.name == "keys.json":
            continue
        found.append(str(each.relative_to(folder)))
        held = each.read_bytes()
        for canary in CANARIES:
            place = held.find(canary)
            assert place < 0, (each, held[max(0, place - 200) : place + 100])
    return found
