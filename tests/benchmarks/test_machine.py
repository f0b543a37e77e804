"""What the benchmarks read about processes and programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import (
    PACKAGES,
    CannotMeasure,
    Cpu,
    cpu_of,
    description,
    find_tools,
    idle_s,
    memory_of,
    process_tree,
)

FAMILY = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import os; print(os.getpid(), flush=True); input()"])
"""
"""A process with a child, until its standard input ends.

It is the child that says which it is: one that has only just been started has nothing in memory yet.
"""


def test_tree_has_the_children_of_a_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            assert process_tree(process.pid) == [process.pid, child]
            assert memory_of([process.pid, child]) > memory_of([process.pid]) > 0
        finally:
            assert process.stdin is not None
            process.stdin.close()


def test_own_process_has_used_time() -> None:
    used = cpu_of([os.getpid()])
    assert used.total_s > 0
    assert used.total_s == used.user_s + used.system_s


def test_process_that_is_gone_counts_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    assert cpu_of([process.pid]) == Cpu(0.0, 0.0)
    assert memory_of([process.pid]) == 0


def test_times_are_subtracted_apart() -> None:
    assert Cpu(3.0, 2.0) - Cpu(1.0, 0.5) == Cpu(2.0, 1.5)


def test_core_that_is_not_there_is_told() -> None:
    assert idle_s(min(os.sched_getaffinity(0))) > 0
    with pytest.raises(CannotMeasure, match="no core 4096"):
        idle_s(4096)


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path: "/bin/taskset" if name == "taskset" else None)
    with pytest.raises(CannotMeasure, match=r"wrk and nginx must be installed.*apt-get install wrk nginx-light"):
        find_tools(["wrk", "nginx", "taskset"])


def test_program_outside_the_path_of_a_user_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in PACKAGES:
        (tmp_path / name).touch(0o755)
    assert find_tools(PACKAGES) == {name: str(tmp_path / name) for name in PACKAGES}


def test_machine_is_described_in_one_line() -> None:
    assert f"{os.cpu_count()} cores" in description()
    assert "\n" not in description()
