"""Kill -9 of the gateway under load, at every step of a call: after the next start each attempt has its row."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.real.accounting.dialects import CLASSES, request
from tests.real.accounting.mortal import STEPS
from tests.real.accounting.stage import PROVIDERS, ROOT, Answered, Caller, HonestProvider, Stage, cost_of, stage
from tests.real.accounting.test_bill import DIALECTS, KEYS, Case, by_tag, check_limits, is_right, left, one_case
from tests.real.inbox import BOUND_S

AT_ONCE = 12
STANDING = 4
"""Streams that stand still in the middle."""


def load(step: int) -> Iterator[Case]:
    """Calls until one of them is the last."""
    chance = random.Random(step)
    for number in range(20_000):
        [kind] = chance.choices(["whole", "tools", "again", "broken", "refused"], [6, 2, 2, 1, 1])
        yield one_case(chance, f"s{step}-{number}", kind)


async def until_death(staged: Stage, step: int, every: dict[str, Case]) -> dict[str, Answered]:
    """
    Make calls until the gateway is dead.

    :param every: gets those that were made.
    """
    left = load(step)
    answers: dict[str, Answered] = {}

    async def stand(number: int) -> None:
        name = list(PROVIDERS)[number % len(PROVIDERS)]
        tag = f"s{step}-standing-{number}"
        counts = {"input": 500 + number, "cached": 20, "output": 900}
        orders = {"tag": tag, "do": ["hold:3"], "words": 5, "counts": counts}
        every[tag] = Case(tag, "standing", f"vk_{name}", DIALECTS[number], "m-1", True, orders)
        target, body = request(DIALECTS[number], "m-1", json.dumps(orders), stream=True)
        async with Caller(staged.gateway.port) as caller:
            answers[tag] = await caller.call(f"vk_{name}", tag, target, json.dumps(body).encode())

    async def call() -> None:
        caller = Caller(staged.gateway.port)
        for case in left:
            every[case.tag] = case
            target, body = request(case.dialect, case.model, json.dumps(case.orders), stream=case.stream)
            try:
                answers[case.tag] = await caller.call(case.key, case.tag, target, json.dumps(body).encode())
            except ConnectionError:
                return

    async with asyncio.timeout(BOUND_S):
        standing = [asyncio.create_task(stand(number)) for number in range(STANDING)]
        for number in range(STANDING):
            await staged.provider.told(f"await?news=s{step}-standing-{number}+0+stopped")
        await asyncio.gather(*standing, *(call() for _ in range(AT_ONCE)))
    return answers


def test_no_attempt_is_lost_wherever_the_gateway_dies(bin_dir: Path, tmp_path: Path) -> None:
    """One file, and one gateway after the other that dies at the next step: each cleans up after the one before."""
    answers: dict[str, Answered] = {}
    every: dict[str, Case] = {}
    program = [str(bin_dir / "python"), "-m", "tests.real.accounting.mortal"]
    environ = {"PYTHONPATH": str(ROOT)}
    with HonestProvider() as provider:
        with stage(bin_dir, tmp_path, provider, keys=KEYS, program=program, environ=environ) as staged:
            gateway, after = staged.gateway, 0
            for number in range(len(STEPS)):
                gateway.port = int(gateway.wait_for("Listening on http", after=after).rpartition(":")[2])
                after = len(gateway.lines)
                answers |= asyncio.run(until_death(staged, number, every))
                gateway.wait_for(f"gateway {number} has ended with -{signal.SIGKILL:d}$", after=after)
                after = len(gateway.lines)
            assert gateway.ended() == 0
        with stage(bin_dir, tmp_path, provider, keys=KEYS) as staged:
            remaining = {key: left(staged, key) for key in KEYS}
            rows = staged.stop()
        books = provider.books()
    served, written = by_tag(books), by_tag(rows)
    assert len({(row["request_id"], row["attempt"]) for row in rows}) == len(rows)
    unsent = 0
    for tag in {*served, *written}:
        of_tag = sorted(written[tag], key=lambda row: row["attempt"])
        assert len({row["request_id"] for row in of_tag}) == 1, (tag, of_tag)
        # What has come to the provider is written down; what is written down may not have come there, if it is last.
        assert len(of_tag) - len(served[tag]) in (0, 1), (tag, of_tag, served[tag])
        for row, entry in zip(of_tag, served[tag], strict=False):
            if row["ended"] == "interrupted":
                is_known(row, entry["provider"], every[tag])
            else:
                is_right(row, entry, every[tag])
        for row in of_tag[len(served[tag]) :]:
            is_known(row, row["provider"], every[tag])
            unsent += 1
    # Whoever has got an answer to its end has one that is accounted for to its end.
    for tag, answer in answers.items():
        if answer.whole and answer.status == 200 and written[tag][-1]["status"] == 200:
            assert written[tag][-1]["ended"] != "interrupted", (answer, written[tag])
    # The last one counts against the limits what all of them have used.
    check_limits(remaining, rows)
    interrupted = [row for row in rows if row["ended"] == "interrupted"]
    assert sum("standing" in row["tag"] for row in interrupted) == STANDING * len(STEPS)
    assert len(interrupted) <= (STANDING + AT_ONCE) * len(STEPS)
    assert unsent <= AT_ONCE * len(STEPS)
    print(f"{len(rows)} rows, {len(interrupted)} interrupted, {unsent} not sent", file=sys.stderr)


def is_known(row: dict[str, Any], provider: str, case: Case) -> None:
    """Whether a row of an attempt that was not ended says at least what was sent."""
    assert row["ended"] == "interrupted", row
    assert (row["provider"], row["source"]) == (provider, "estimated"), row
    # What was expected of the whole request, which has more letters than what it says.
    letters = len(json.dumps(case.orders))
    assert letters / 5 <= row["input"] <= 2 * letters, (row, case)
    used = {name: row[name] for name in CLASSES}
    assert sum(used.values()) == row["input"], row
    assert row["cost"] == cost_of(provider, case.model, used), row
