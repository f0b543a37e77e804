"""One line per call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from llm_gateway.core.record import CallRecord, timestamp
from llm_gateway.web.access_log import FileAccessLog, as_json, as_text
from llm_gateway.wire.outbox import Outbox


def record(**changes: object) -> CallRecord:
    """A call that went well."""
    values: dict[str, object] = {
        "request_id": "abc",
        "method": "POST",
        "path": "/v1/chat/completions",
        "time": timestamp(1_795_000_000.5),
        "key": "Ann",
        "provider": "openai",
        "credential": None,
        "attempts": 0,
        "model": "gpt",
        "dialect": "openai",
        "status": 200,
        "bytes_in": 5,
        "bytes_out": 7,
        "first_byte_s": 0.1235,
        "duration_s": 1.5,
        "ended": "ok",
    }
    return CallRecord(**{**values, **changes})  # type: ignore[arg-type]


def test_json_line_has_every_field() -> None:
    """One object per line, nothing left out, whatever happened."""
    assert json.loads(as_json(record())) == {
        "time": "2026-11-18T11:06:40.500Z",
        "request_id": "abc",
        "client_request_id": None,
        "key": "Ann",
        "provider": "openai",
        "credential": None,
        "attempts": 0,
        "model": "gpt",
        "dialect": "openai",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "duration_s": 1.5,
        "first_byte_s": 0.1235,
        "bytes_in": 5,
        "bytes_out": 7,
        "dropped": None,
        "ended": "ok",
        "error": None,
    }


def test_text_line_tells_of_more_than_one_attempt() -> None:
    """Of one there is nothing to tell."""
    assert b" provider=openai credential=main attempts=3 model=gpt " in as_text(record(credential="main", attempts=3))
    assert b"attempts" not in as_text(record(credential="main", attempts=1))


def test_text_line_leaves_out_what_is_not_there() -> None:
    """For people."""
    assert as_text(record(status=None, key=None, first_byte_s=None, ended="client_gone")).decode() == (
        "2026-11-18T11:06:40.500Z POST /v1/chat/completions - ended=client_gone provider=openai model=gpt "
        "duration_s=1.5 in=5 out=7 id=abc"
    )


@pytest.mark.parametrize("name", ["Ann B", 'a"b', "a=b", ""])
def test_odd_names_cannot_forge_fields(name: str) -> None:
    """A name or a model with a space is quoted."""
    assert f" key={json.dumps(name)} " in as_text(record(key=name)).decode()


def test_lines_are_appended_and_there_at_once(tmp_path: Path) -> None:
    """Nothing waits in a buffer while the process may be killed."""
    path = tmp_path / "access.log"
    path.write_text("before\n")
    log = FileAccessLog(str(path), "json")
    log.open()
    log.write(record())
    assert path.read_text().splitlines()[0] == "before"
    assert json.loads(path.read_text().splitlines()[1])["request_id"] == "abc"
    log.close()


def test_rotated_log_is_opened_anew(tmp_path: Path) -> None:
    """After a rename, lines go to the new file from the next ``open`` on."""
    path = tmp_path / "access.log"
    log = FileAccessLog(str(path), "text")
    log.open()
    path.rename(tmp_path / "access.log.1")
    log.write(record(request_id="first"))
    log.open()
    log.write(record(request_id="second"))
    log.close()
    assert "id=first" in (tmp_path / "access.log.1").read_text()
    assert "id=second" in path.read_text()
    assert "id=first" not in path.read_text()


def test_folder_that_is_gone_keeps_the_old_file(tmp_path: Path) -> None:
    """A reload that cannot open the log anew loses no line."""
    path = tmp_path / "logs" / "access.log"
    path.parent.mkdir()
    log = FileAccessLog(str(path), "text")
    log.open()
    kept = path.rename(tmp_path / "kept.log")
    path.parent.rmdir()
    with pytest.raises(FileNotFoundError):
        log.open()
    log.write(record(request_id="late"))
    log.close()
    assert "id=late" in kept.read_text()


def test_full_disk_takes_no_call_down() -> None:
    """``/dev/full`` refuses every write; the operator hears of it once, not per call."""
    log = FileAccessLog("/dev/full", "text")
    log.open()
    with capturedLogs() as events:
        log.write(record())
        log.write(record())
    assert len(events) == 1
    assert "lines are lost" in events[0]["log_format"]
    log.close()


def test_closed_log_drops_lines_without_a_word() -> None:
    """A call that ends after the end."""
    log = FileAccessLog("-", "text")
    log.write(record())
    assert log._file is None


@pytest.fixture
def a_round() -> Iterator[Outbox]:
    """Of the reactor, in which sockets are served."""
    outbox = Outbox(Clock())
    outbox.round_begins()
    yield outbox
    outbox.round_is_over()


def test_lines_of_one_round_are_written_before_its_answers_are_sent(tmp_path: Path, a_round: Outbox) -> None:
    """Together: who has an answer finds its line."""
    path = tmp_path / "access.log"
    log = FileAccessLog(str(path), "text")
    log.open()
    for name in ("first", "second"):
        log.write(record(request_id=name))
    assert path.read_text() == ""
    sent: list[str] = []
    a_round.waiting.append(Transport(lambda: sent.append(path.read_text())))  # type: ignore[arg-type]  # is sent
    a_round.send()
    assert sent[0].count("\n") == 2
    log.write(record(request_id="third"))
    a_round.round_is_over()
    assert path.read_text().count("\n") == 3
    log.write(record(request_id="fourth"))
    assert path.read_text().count("\n") == 4
    log.close()


class Transport:
    """Has something to send."""

    def __init__(self, send: Callable[[], object]) -> None:
        self.send = send


def test_log_that_is_moved_or_closed_in_a_round_loses_no_line(tmp_path: Path, a_round: Outbox) -> None:
    path = tmp_path / "access.log"
    log = FileAccessLog(str(path), "text")
    log.open()
    log.write(record(request_id="first"))
    path.rename(tmp_path / "access.log.1")
    log.open()
    log.write(record(request_id="second"))
    log.close()
    assert "id=first" in (tmp_path / "access.log.1").read_text()
    assert "id=second" in path.read_text()
    a_round.round_is_over()
    assert path.read_text().count("\n") == 1


def test_full_disk_takes_no_round_down(a_round: Outbox) -> None:
    log = FileAccessLog("/dev/full", "text")
    log.open()
    with capturedLogs() as events:
        log.write(record())
        a_round.send()
        log.write(record())
        a_round.round_is_over()
    assert len(events) == 1
    log.close()
