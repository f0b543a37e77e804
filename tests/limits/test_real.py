"""Limits in the installed program, of one process and of two, under many callers at once."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.real.client import Answer, Client
from tests.real.gateway import RunningGateway, running_gateway
from tests.real.provider import STREAM_HEAD, Exchange, Gone, Provider, answer_ok, chunk, running_provider
from tests.real.scene import BODY, PATHS, asking

STREAMS = 128
TOKENS = 600
"""Of each stream, which was told to have 200."""

EVENT_BYTES = 1_024
BUDGET_TOKENS = 30_000
NANO_PER_TOKEN = 1_000_000

READ_BYTES = 65_536
"""What the gateway takes from a connection at a time: what comes of a stream between two looks at it."""

workers = pytest.mark.parametrize("workers", [1, 2])


def event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def told(delta: str) -> bytes:
    """One token, of a size that a kibibyte comes to."""
    document = {"model": "m", "choices": [{"index": 0, "delta": {"content": delta}}], "obfuscation": ""}
    document["obfuscation"] = "x" * (EVENT_BYTES - len(event(document)))
    return event(document)


WORDS = chunk(told(" word") * 10)


def too_long(exchange: Exchange) -> None:
    """An answer that is three times as long as was asked for."""
    exchange.connection.patient()
    try:
        exchange.send(STREAM_HEAD)
        for _ in range(TOKENS // 10):
            exchange.send(WORDS)
        usage = {"prompt_tokens": 1, "completion_tokens": TOKENS, "total_tokens": TOKENS + 1}
        exchange.send(chunk(event({"model": "m", "choices": [], "usage": usage}) + b"data: [DONE]\n\n") + b"0\r\n\r\n")
    except Gone:
        # The gateway ends it.
        exchange.connection.close()


@contextmanager
def limited(
    bin_dir: Path, folder: Path, workers: int, limits: dict[str, Any]
) -> Iterator[tuple[RunningGateway, Provider]]:
    """The program with one key, ``vk_limited``."""
    with running_provider() as provider:
        keys = {"vk_limited": {"provider": "openai", "api_key": "sk-real", "limits": limits}}
        price = {"input": "0", "output": str(NANO_PER_TOKEN // 1_000)}
        url = f"{provider.url}/v1/chat/completions"
        providers = {"openai": {"url": url, "models": {"m": {"prices": price}}}}
        options = ("--workers", str(workers), "--health-interval", "0", "--ledger", str(folder / "ledger.sqlite"))
        with running_gateway(bin_dir, folder, *options, keys=keys, providers=providers) as gateway:
            yield gateway, provider


def at_once(number: int, port: int, call: Callable[[Client], Answer]) -> list[Answer]:
    """:return: the answers to so many calls at the same time."""

    def one(_: int) -> Answer:
        with Client(port) as client:
            return call(client)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


@workers
def test_exactly_as_many_calls_as_the_limit_get_through(bin_dir: Path, tmp_path: Path, workers: int) -> None:
    with limited(bin_dir, tmp_path, workers, {"requests_per_day": 50}) as (gateway, provider):
        provider.script = answer_ok
        answers = at_once(80, gateway.port, lambda one: one.call("POST", PATHS["openai"], asking("vk_limited"), BODY))
        assert Counter(each.status for each in answers) == {200: 50, 429: 30}
        assert len(provider.seen) == 50
        for each in answers:
            assert each.value("x-ratelimit-limit-requests") == "50"
            if each.status == 429:
                assert each.value("x-ratelimit-remaining-requests") == "0"
                assert each.json()["error"]["code"] == "rate_limit_exceeded"


@workers
def test_128_streams_on_one_budget_spend_no_more_than_one_read_each_beyond_it(
    bin_dir: Path, tmp_path: Path, workers: int
) -> None:
    """The stated number. Those that the money does not last for end with an error that says so, and have their row."""
    budget = {"usd_total": str(BUDGET_TOKENS * NANO_PER_TOKEN / 1e9), "in_flight": STREAMS}
    asked = {"model": "m", "stream": True, "max_tokens": 200, "messages": [{"role": "user", "content": "hi"}]}
    body = json.dumps(asked).encode()
    with limited(bin_dir, tmp_path, workers, budget) as (gateway, provider):
        provider.script = too_long
        call = lambda one: one.call("POST", PATHS["openai"], asking("vk_limited"), body)  # noqa: E731
        answers = at_once(STREAMS, gateway.port, call)
        assert gateway.stop(signal.SIGTERM) == 0
    begun = [each for each in answers if each.status == 200]
    cut = [each for each in begun if b"insufficient_quota" in each.body]
    assert cut, "together they want more than twice the budget"
    assert all(each in cut or b"[DONE]" in each.body for each in begun)
    assert all(each.json()["error"]["code"] == "insufficient_quota" for each in answers if each not in begun)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        rows = ledger.execute("select ended, cost from attempts").fetchall()
    assert len(rows) == len(begun)
    assert sum(ended == "over_limit" for ended, _ in rows) == len(cut)
    spent = sum(cost for _, cost in rows) // NANO_PER_TOKEN
    assert spent <= BUDGET_TOKENS + len(cut) * (READ_BYTES // EVENT_BYTES)
    assert spent > BUDGET_TOKENS // 2, "the budget is there to be used"
    relayed = sum(each.body.count(b'" word"') for each in begun)
    assert relayed <= spent, "nothing is given away"
