"""Routing in several processes: each learns for itself, and none has more than its part of a limit."""

from __future__ import annotations

from pathlib import Path

from tests.real.client import eventually
from tests.real.provider import running_provider
from tests.real.routing.stage import CHAT, Flow, MortalProvider, first_and_second, stage
from tests.real.routing.test_queues import Gate, check_answered
from tests.real.workers import only, worker_pids

LIMIT = 4
FEW = 50


def test_workers_survive_an_outage_and_share_a_limit(bin_dir: Path, tmp_path: Path) -> None:
    """All calls succeed whichever process gets them, and a provider has no more calls than its limit."""
    with (
        MortalProvider() as mortal,
        running_provider() as second,
        running_provider() as limited,
        stage(
            bin_dir,
            tmp_path,
            *("--workers", "2"),
            providers={
                **first_and_second("out", [mortal.url, second.url]),
                "limited": {"url": f"{limited.url}{CHAT}", "limits": {"in_flight": LIMIT}},
            },
            routing={"retries": {"repeat": "generations", "first_wait_s": 0.02}},
            keys={"vk_both": ["out-1st", "out-2nd"], "vk_limited": ["limited"]},
        ) as staged,
    ):
        pids = worker_pids(staged.gateway)
        with Flow(staged, "vk_both", clients=8) as flow:
            flow.wait_for_more(FEW)
            mortal.kill()
            flow.wait_for_more(FEW)
            flow.wait_for(lambda calls: {each.attempts for each in calls[-FEW:]} == {1}, "both workers have noticed")
        assert {each.status for each in flow.calls} == {200}
        assert {each.provider for each in flow.calls} == {"out-1st", "out-2nd"}

        gate = Gate(limited)
        clients = []
        for pid in pids:
            # Two more than its part, of which half are waiting.
            with only(pid, pids):
                clients += [staged.asked("vk_limited") for _ in range(LIMIT)]
                eventually(lambda: staged.slots() == (LIMIT // 2, LIMIT // 2), f"half of the calls to {pid} wait")
        eventually(lambda: staged.live_calls() == len(clients), "each worker knows of all calls")
        assert len(gate.wait_for(LIMIT)) == LIMIT
        gate.let(len(clients))
        check_answered(clients)
        assert len(gate.wait_for(len(clients))) == len(clients)
        for pid in pids:
            with only(pid, pids):
                eventually(lambda: staged.slots() == (0, 0), f"no slot of {pid} is in use")
