"""Limits that hold whatever calls do at the same time, in one process and in two, and after the next start."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.real.accounting.dialects import request
from tests.real.accounting.stage import PRICES, Answered, Caller, HonestProvider, Stage, ledger_rows, stage
from tests.real.accounting.test_bill import by_tag
from tests.real.client import Client, eventually
from tests.real.inbox import BOUND_S
from tests.real.workers import worker_pid

STREAMS = 128
BURST = 40
"""Words that come at once."""
PACE_S = 0.016
LATE = 40
"""So many times as much may come between two looks: a machine with other things to do reads that late."""
OVERSHOOT = STREAMS * BURST * 12
"""Tokens, on such a machine: usually it is nothing. What is stated is more, what comes in 64 KiB of events."""

TOKENS = 150_000
"""More than all streams hold when they begin, so that all do."""
A_TOKEN = PRICES["alpha", "m-1"]["output"] * 1000
NANO = TOKENS * A_TOKEN

FEW = 40
RUNNING = 10


async def all_at_once(staged: Stage, calls: Sequence[tuple[str, dict[str, Any]]], most: int) -> list[Answered]:
    """
    :param calls: all at the same time, each a key and what its call says.
    """

    async def one(key: str, said: dict[str, Any]) -> Answered:
        target, body = request("chat", "m-1", json.dumps(said), stream=True, most=most)
        async with Caller(staged.gateway.port) as caller:
            return await caller.call(key, said["tag"], target, json.dumps(body).encode())

    async with asyncio.timeout(2 * BOUND_S):
        answers = asyncio.gather(*(one(*each) for each in calls))
        if all("after" in said for _, said in calls):
            for _, said in calls:
                await staged.provider.told(f"await?news={said['tag']}+0")
            await staged.provider.told("go?tag=all")
        return await answers


def endless(tag: str, burst: int = BURST) -> dict[str, Any]:
    return {"tag": tag, "do": ["endless"], "words": 1, "burst": burst, "pace_s": PACE_S, "counts": {}}


def short(tag: str) -> dict[str, Any]:
    return {"tag": tag, "do": ["whole"], "words": 1, "counts": {"input": 1, "output": 1}}


def in_one_and_in_two(scenario: Callable[[int, Path, Path], None], bin_dir: Path, folder: Path) -> None:
    """Have a gateway of one process and one of two go through this, side by side: they wait most of the time."""
    with ThreadPoolExecutor() as pool:
        ends = []
        for workers in (1, 2):
            own = folder / f"{workers}"
            own.mkdir()
            ends.append(pool.submit(scenario, workers, bin_dir, own))
    for end in ends:
        end.result()


def test_streams_share_a_budget_to_its_end_and_no_further(bin_dir: Path, tmp_path: Path) -> None:
    """All begin, and all are ended when it is used up. The next start goes on from there."""
    in_one_and_in_two(share_a_budget, bin_dir, tmp_path)


def share_a_budget(workers: int, bin_dir: Path, folder: Path) -> None:
    keys = {
        "vk_tokens": {"credentials": ["alpha"], "limits": {"output_tokens_per_day": TOKENS}},
        "vk_dollars": {"credentials": ["alpha"], "limits": {"usd_total": f"{NANO / 1e9:.9f}"}},
        "vk_calls": {"credentials": ["alpha"], "limits": {"requests_per_day": FEW}},
    }
    budgets = ("tokens", "dollars")
    options = ("--workers", str(workers))
    with HonestProvider() as provider:
        with stage(bin_dir, folder, provider, *options, keys=keys) as staged:
            streams = [
                (f"vk_{budget}", {**endless(f"{budget}-{number}"), "after": "all"})
                for budget in budgets
                for number in range(STREAMS)
            ]
            answers = asyncio.run(all_at_once(staged, streams, most=1_000_000))
            few = [("vk_calls", short(f"few-{number}")) for number in range(3 * FEW)]
            statuses = Counter(each.status for each in asyncio.run(all_at_once(staged, few, most=10)))
            if workers == 1:
                # Most of it is in the journal only, and the next start has to look there first.
                staged.gateway.stop(signal.SIGKILL)
            else:
                staged.stop()
        assert statuses == {200: FEW, 429: 2 * FEW}
        with stage(bin_dir, folder, provider, *options, keys=keys) as staged:
            [late] = asyncio.run(all_at_once(staged, [("vk_calls", short("late"))], most=10))
            assert late.status == 429
            later = [(f"vk_{budget}", endless(f"{budget}-later", 10 * BURST)) for budget in budgets]
            assert {each.status for each in asyncio.run(all_at_once(staged, later, most=1_000_000))} <= {200, 429}
            rows = staged.stop()
        books = by_tag(provider.books())
    before = [row for row in rows if not row["tag"].endswith("later")]
    assert Counter(row["key"] for row in before) == {"tokens": STREAMS, "dollars": STREAMS, "calls": FEW}
    of_tag = {row["tag"]: row for row in rows}
    for (_, said), answer in zip(streams, answers, strict=True):
        row, [entry] = of_tag[said["tag"]], books[said["tag"]]
        assert row["ended"] == "over_limit", row
        assert b'"error"' in answer.body[-400:], answer.body[-400:]
        words = answer.body.count(b"word")
        # What the client has got is paid, and not much more than that.
        assert words <= entry["words"]
        assert 0.8 * words <= row["output"] <= 1.2 * (words + LATE * BURST), (row, words)
    for found in (before, rows):
        wrote = sum(row["output"] for row in found if row["key"] == "tokens")
        spent = sum(row["cost"] for row in found if row["key"] == "dollars")
        print(
            f"{workers} workers: of {TOKENS} tokens, {STREAMS} streams have left {TOKENS - wrote}, and "
            f"{(NANO - spent) // A_TOKEN} tokens' worth of dollars",
            file=sys.stderr,
        )
        # What is left is what running streams seem to have used more than they have.
        assert 0.9 * TOKENS <= wrote <= TOKENS + OVERSHOOT
        assert 0.9 * NANO <= spent <= NANO + OVERSHOOT * A_TOKEN


def test_calls_are_counted_exactly(bin_dir: Path, tmp_path: Path) -> None:
    """So many in a minute and so many at the same time, over all processes, and one that dies takes none with it."""
    in_one_and_in_two(count_exactly, bin_dir, tmp_path)


def count_exactly(workers: int, bin_dir: Path, folder: Path) -> None:
    keys = {
        "vk_minute": {"credentials": ["alpha"], "limits": {"requests_per_minute": FEW}},
        "vk_running": {"credentials": ["alpha"], "limits": {"in_flight": RUNNING}},
    }
    with (
        HonestProvider() as provider,
        stage(bin_dir, folder, provider, "--workers", str(workers), keys=keys) as staged,
    ):
        began = time.monotonic()
        some = [("vk_minute", short(f"minute-{number}")) for number in range(3 * FEW)]
        statuses = Counter(each.status for each in asyncio.run(all_at_once(staged, some, most=10)))
        # One comes free every 60 s / FEW.
        free = int((time.monotonic() - began) * FEW / 60) + 1
        assert FEW <= statuses[200] <= FEW + free, statuses
        assert statuses[429] == 3 * FEW - statuses[200], statuses

        clients = filled(staged, "first", RUNNING)
        for client in clients[:4]:
            client.close()
        clients = clients[4:] + filled(staged, "second", 4)
        if workers > 1:
            after = len(staged.gateway.lines)
            os.kill(worker_pid(staged.gateway, 1), signal.SIGKILL)
            worker_pid(staged.gateway, 1, after=after)
            left = []
            for client in clients:
                if is_cut_off(client):
                    client.reset()
                else:
                    left.append(client)
            cut = RUNNING - len(left)
            eventually(lambda: interrupted(staged) == cut, f"{cut} rows of the dead worker's")
            clients = left + filled(staged, "third", RUNNING - len(left))
        for client in clients:
            client.close()


def filled(staged: Stage, name: str, room: int) -> list[Client]:
    """
    :param room: for so many streams there is room, as soon as the gateway has seen who has left.
    :return: as many, which stand still.
    """
    clients: list[Client] = []

    def one(number: int) -> bool:
        client = staged.call("vk_running", {**short(f"{name}-{number}"), "do": ["hold:1"]}, stream=True)
        status = client.head().status
        if status != 200:
            assert status == 429
            client.close()
            return False
        clients.append(client)
        return True

    for number in range(room):
        eventually(lambda: one(number), f"room for {room} more, and not only for {number}")  # noqa: B023
    assert not any(one(room + number) for number in range(5))
    return clients


def interrupted(staged: Stage) -> int:
    return sum(row["ended"] == "interrupted" for row in ledger_rows(staged.ledger))


def is_cut_off(client: Client) -> bool:
    poll = select.poll()
    poll.register(client._sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
