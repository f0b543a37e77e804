"""The pid file, which twistd looks after for one process and the gateway for two."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.logger import capturedLogs, formatEvent

from llm_gateway.fleet.pid_file import PidFile


def test_file_stays_the_old_programs_until_it_is_taken(tmp_path: Path, monkeypatch: Any) -> None:
    """Until then twistd neither looks at it nor removes it; then it has the new pid, and is removed at the end."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "twistd.pid"
    path.write_text("4711")
    options = {"pidfile": "twistd.pid"}
    new = PidFile(options)
    new.wait()
    assert options == {"pidfile": ""}
    assert path.read_text() == "4711"
    # As --rundir does.
    monkeypatch.chdir("/")
    new.take()
    assert path.read_text() == str(os.getpid())
    assert options == {"pidfile": str(path)}
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_was_left_is_not_removed() -> None:
    """The old program's twistd must not take the new one's file away when it ends."""
    options = {"pidfile": "/run/gateway.pid"}
    PidFile(options).leave()
    assert options == {"pidfile": ""}


def test_program_without_a_pid_file_gets_none(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for options in ({"pidfile": ""}, {}, None):
        file = PidFile(options)
        file.wait()
        file.take()
        file.leave()
        assert options in ({"pidfile": ""}, {}, None)
    assert list(tmp_path.iterdir()) == []


def test_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A folder that only root may write to: the gateway serves all the same, and the log names the file."""
    options = {"pidfile": str(tmp_path / "gone" / "gateway.pid")}
    file = PidFile(options)
    file.wait()
    with capturedLogs() as events:
        file.take()
    [event] = events
    assert "gone/gateway.pid" in formatEvent(event)
    assert options == {"pidfile": ""}
