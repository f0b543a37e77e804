"""The bill: what the ledger says was used is what the provider says it served, whatever happened on the way."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from tests.real.accounting.dialects import CLASSES, request
from tests.real.accounting.honest import HALT
from tests.real.accounting.stage import PROVIDERS, Answered, Caller, HonestProvider, Stage, cost_of, stage
from tests.real.client import Client, eventually
from tests.real.scene import asking

CALLS = int(os.environ.get("LLMGATEWAY_TEST_BILL_CALLS", "1200"))
"""How many; 10,000 take some half a minute."""

AT_ONCE = 24

DRAINED = frozenset({"vk_alpha_drained", "vk_beta_drained", "vk_gamma_drained"})

TOKENS, DOLLARS, RUNNING = 10**11, 10**6, 1000
LIMITS = {"tokens_per_day": TOKENS, "usd_total": DOLLARS, "in_flight": RUNNING}
"""More than is used, to see that they count what the rows have."""

KEYS: dict[str, dict[str, Any]] = {
    **{f"vk_{name}": {"credentials": [name]} for name in PROVIDERS},
    **{f"vk_{name}_drained": {"credentials": [name], "on_disconnect": "drain_and_bill"} for name in PROVIDERS},
    "vk_any": {"credentials": [{"name": name, "order": order} for order, name in enumerate(PROVIDERS)]},
    "vk_nobody": {"credentials": [{"name": "nobody"}, {"name": "alpha", "order": 1}]},
}
for each in KEYS.values():
    each["limits"] = LIMITS

DIALECTS = ("chat", "responses", "messages", "gemini")


@attrs.frozen
class Case:
    """One call of a client's."""

    tag: str
    kind: str
    key: str
    dialect: str
    model: str
    stream: bool
    orders: dict[str, Any]
    leaves: str | None = None
    """When the client does, if it does: ``midway``, ``before`` an answer, or when ``both`` of two are silent."""


KINDS = {
    "whole": 44,
    "tools": 12,
    "zipped": 4,
    "mute": 4,
    "refused": 4,
    "again": 9,
    "never": 3,
    "silence": 2,
    "broken": 5,
    "left": 4,
    "left before": 2,
    "drained": 5,
    "nobody": 2,
}
"""By kind of call: how many of a hundred."""


def cases(count: int, seed: int) -> list[Case]:
    """Calls of all kinds, one as the other each time."""
    chance = random.Random(seed)
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=count)
    return [one_case(chance, f"c{number}", kind) for number, kind in enumerate(kinds)]


def one_case(chance: random.Random, tag: str, kind: str) -> Case:
    stream = chance.random() < 0.6
    key = chance.choice([f"vk_{name}" for name in PROVIDERS] + ["vk_any"])
    words = chance.randrange(2, 12)
    place = chance.randrange(1, words + 1)
    failures = ["error:500", "error:503", "error:429", "event" if stream else "error:502"]
    do, leaves = ["whole"], None
    if kind in ("tools", "zipped", "mute"):
        do = [kind]
    elif kind == "refused":
        do = ["error:400"]
    elif kind == "again":
        do = [*chance.choices(failures, k=chance.randrange(1, 3)), chance.choice(["whole", "tools"])]
    elif kind == "never":
        do = [chance.choice(failures)]
    elif kind == "silence":
        do = ["close", "whole"]
    elif kind == "broken":
        stream, do = True, [f"break:{place}"]
    elif kind == "left":
        stream, do, leaves = True, [f"hold:{place}"], "midway"
    elif kind == "left before":
        do, leaves = ["hold:0"], "before"
    elif kind == "drained":
        key = chance.choice(sorted(DRAINED))
        do, leaves = ([f"pause:{place}"], "midway") if stream else (["pause:0"], "before")
    elif kind == "nobody":
        key = "vk_nobody"
    counts = {
        "input": chance.randrange(1, 5000),
        "cached": chance.choice([0, 0, chance.randrange(3000)]),
        "cache_write": chance.choice([0, 0, chance.randrange(3000)]),
        "output": words if kind == "mute" else chance.randrange(1, 2000),
        "reasoning": chance.choice([0, 0, chance.randrange(1000)]),
    }
    orders = {"tag": tag, "do": do, "words": words, "counts": counts}
    return Case(tag, kind, key, chance.choice(DIALECTS), chance.choice(["m-1", "m-2"]), stream, orders, leaves)


async def make_all(staged: Stage, every: Iterable[Case]) -> dict[str, Answered]:
    """Make all of these calls, many at a time."""
    left = iter(every)
    answers = {}

    control = staged.provider.told

    async def client() -> None:
        caller = Caller(staged.gateway.port)
        for case in left:
            target, body = request(
                case.dialect, case.model, json.dumps(case.orders), stream=case.stream, tools=case.kind == "tools"
            )
            until = HALT.encode() if case.leaves == "midway" else None
            leave = None
            if case.leaves in ("before", "both"):
                leave = control(f"await?news={case.tag}+{int(case.leaves == 'both')}+stopped")
            answers[case.tag] = await caller.call(
                case.key, case.tag, target, json.dumps(body).encode(), until=until, leave=leave
            )
            if case.kind == "drained":
                await control(f"go?tag={case.tag}")
        caller.leave()

    await asyncio.wait_for(asyncio.gather(*(client() for _ in range(AT_ONCE))), 300)
    return answers


def test_the_ledger_says_what_the_provider_says(bin_dir: Path, tmp_path: Path) -> None:
    """A row for each attempt, with the provider's numbers where they came, and within the stated rule elsewhere."""
    every = cases(CALLS, seed=6)
    with HonestProvider() as provider:
        with stage(bin_dir, tmp_path, provider, keys=KEYS) as staged:
            answers = asyncio.run(make_all(staged, every))
            eventually(lambda: all(left(staged, key)["in_flight"] == RUNNING for key in KEYS), "no call runs")
            remaining = {key: left(staged, key) for key in KEYS}
            rows = staged.stop()
        books = provider.books()
    served = by_tag(books)
    written = by_tag(rows)
    assert len({(row["request_id"], row["attempt"]) for row in rows}) == len(rows)
    assert set(written) == {case.tag for case in every}
    for case in every:
        of_case = sorted(written[case.tag], key=lambda row: row["attempt"])
        assert len({row["request_id"] for row in of_case}) == 1, (case, of_case)
        assert [row["attempt"] for row in of_case] == list(range(1, len(of_case) + 1)), (case, of_case)
        asked = [row for row in of_case if row["provider"] != "nobody"]
        assert len(asked) == len(served[case.tag]), (case, of_case, served[case.tag])
        for row, entry in zip(asked, served[case.tag], strict=True):
            is_right(row, entry, case)
        for row in of_case:
            if row["provider"] == "nobody":
                assert (row["source"], row["cost"], row["ended"]) == ("none", 0, "upstream_error"), row
    said = Counter((case.kind, answers[case.tag].status) for case in every)
    for kind in ("whole", "tools", "zipped", "mute", "again", "silence", "nobody"):
        assert said[kind, 200] == sum(case.kind == kind for case in every), said
    assert {status for (kind, status), _ in said.items() if kind == "refused"} == {400}

    # The sums are those of the provider's books, by key and model: of what came whole, to the token.
    billed: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for case in every:
        for entry in served[case.tag]:
            if entry["counts"] is not None:
                billed[case.key.removeprefix("vk_"), case.model].update(entry["counts"])
                billed[case.key.removeprefix("vk_"), case.model]["cost"] += cost_of(
                    entry["provider"], entry["model"], entry["counts"]
                )
    summed = sums([row for row in rows if row["source"] == "provider"])
    assert summed == billed
    # What was reserved is given back, and what is counted against the limits is what the rows have.
    check_limits(remaining, rows)
    # And the sums of the command are the rows'.
    assert by_command(bin_dir, staged) == sums(rows)


def left(staged: Stage, key: str) -> dict[str, Any]:
    """:return: what a key's owner is told: by limit, what is left of it."""
    with Client(staged.gateway.port) as client:
        said = client.call("GET", "/v1/gateway/key", asking(key)).json()
    return {limit["name"]: limit["remaining"] for limit in said["limits"]}


def check_limits(remaining: dict[str, dict[str, Any]], rows: Sequence[dict[str, Any]]) -> None:
    """
    :param remaining: by key, as ``left`` has it.
    """
    for key, still in remaining.items():
        of_key = [row for row in rows if row["key"] == key.removeprefix("vk_")]
        assert still["tokens_per_day"] == TOKENS - sum(row[name] for row in of_key for name in CLASSES), key
        nano = int(Decimal(still["usd_total"]) * 1_000_000_000)
        assert nano == DOLLARS * 1_000_000_000 - sum(row["cost"] for row in of_key), key


def by_tag(found: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    gathered: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in found:
        gathered[each["tag"]].append(each)
    return gathered


def sums(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], Counter[str]]:
    """By key and model: the tokens of each class, and billionths of a dollar."""
    found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row["key"], row["model"]].update({name: row[name] for name in (*CLASSES, "cost")})
    return found


def test_both_of_two_that_raced_have_a_row(bin_dir: Path, tmp_path: Path) -> None:
    """A provider that was late is paid for what it has read, whoever has the answer."""
    keys = {"vk_two": {"credentials": ["alpha", {"name": "beta", "order": 1}], "limits": LIMITS}}
    hedging = {"hedging": {"after_s": 0.02, "share": 1.0, "reserve": 1000}}
    every = []
    for number in range(80):
        both = number % 2
        # The first one never answers; the second does, or the client leaves while both are silent.
        orders = {"tag": f"c{number}", "do": ["hold:0", "hold:0" if both else "whole"], "words": 2}
        orders["counts"] = {"input": 7, "output": 5}
        dialect = DIALECTS[number % len(DIALECTS)]
        every.append(Case(f"c{number}", "raced", "vk_two", dialect, "m-1", True, orders, "both" if both else None))
    with HonestProvider() as provider:
        with stage(bin_dir, tmp_path, provider, keys=keys, routing=hedging) as staged:
            answers = asyncio.run(make_all(staged, every))
            eventually(lambda: left(staged, "vk_two")["in_flight"] == RUNNING, "no call runs")
            remaining = {"vk_two": left(staged, "vk_two")}
            rows = staged.stop()
        served = by_tag(provider.books())
    check_limits(remaining, rows)
    for tag, of_call in by_tag(rows).items():
        assert len(of_call) == len(served.pop(tag)), of_call
        assert [row["attempt"] for row in of_call] == list(range(1, len(of_call) + 1)), of_call
        ended = Counter((row["ended"], row["source"]) for row in of_call)
        if answers[tag].status is None:
            assert ended == {("client_gone", "estimated"): 2}, of_call
        else:
            # Whichever came to the provider first is the silent one.
            assert ended == {("superseded", "estimated"): 1, ("ok", "provider"): 1}, of_call
    assert not served


def by_command(bin_dir: Path, staged: Stage) -> dict[tuple[str, str], Counter[str]]:
    command = [bin_dir / "llmgateway", "usage", "--ledger", staged.ledger, "--by", "key,model", "--format", "json"]
    command += ["--since", "all"]
    said = subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60).stdout
    found = {}
    for line in json.loads(said)["lines"]:
        counted = Counter({name: line[name] for name in CLASSES})
        counted["cost"] = int(Decimal(line["dollars"]) * 1_000_000_000)
        found[line["by"]["key"], line["by"]["model"]] = counted
    return found


def is_right(row: dict[str, Any], entry: dict[str, Any], case: Case) -> None:
    """Whether a row says of an attempt what the provider's books do."""
    about = (dict(row), entry, case)
    used = {name: row[name] for name in CLASSES}
    assert (row["provider"], row["credential"]) == (entry["provider"], entry["provider"]), about
    assert row["key"] == case.key.removeprefix("vk_"), about
    assert (row["model_asked"], row["model"]) == (case.model, case.model), about
    assert row["stream"] == (case.stream and entry["status"] == 200), about
    assert row["status"] == entry["status"], about
    assert row["cost"] == cost_of(row["provider"], row["model"], used), about
    what = entry["do"].partition(":")[0]
    if what in ("error", "event"):
        assert (row["source"], sum(used.values())) == ("none", 0), about
        return
    if entry["counts"] is not None:
        assert row["source"] == "provider", about
        assert used == entry["counts"], about
        assert row["ended"] == "ok" or (case.leaves is not None and row["ended"] == "client_gone"), about
        return
    # Estimated, and marked so: what was read, and at least as much as was written.
    assert row["ended"] == {"mute": "ok", "hold": "client_gone"}.get(what, "upstream_error"), about
    if entry["told_input"]:
        assert row["source"] == "partly", about
        told = case.orders["counts"]
        assert [used[name] for name in ("input", "cached", "cache_write")] == [
            told[name] for name in ("input", "cached", "cache_write")
        ], about
    else:
        assert row["source"] == "estimated", about
        assert_about(used["input"], len(json.dumps(case.orders)), about)
    # The words of these answers are one token each; what there is without a tokenizer is near that.
    assert 0.75 * entry["words"] <= used["output"] <= 1.5 * entry["words"] + 2, about


def assert_about(tokens: int, letters: int, about: object) -> None:
    """Of text that is mostly marks and numbers a token has between one letter and five."""
    assert letters / 5 <= tokens <= letters, about
