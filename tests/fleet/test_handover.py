"""Both sides of a hand-over, word by word, with a program that the test plays."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from llm_gateway.fleet.handover import LISTEN_S, READY_S, VARIABLE, Command, HandOver, Inheritance
from llm_gateway.fleet.pid_file import PidFile
from llm_gateway.fleet.sockets import ListeningSockets
from llm_gateway.fleet.succession import Succession, succession

COMMAND = Command(("/opt/bin/twistd", "-n", "llmgateway"), "/srv")


class FakeProcess:
    """The new program as the old one's reactor sees it."""

    pid = 4712

    def __init__(self) -> None:
        self.signals: list[str] = []
        self.gone = False

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(name)


class FakeReactor(Clock):
    """Time, one process that is not started, and connections of which the test has the other end."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[dict[str, Any]] = []
        self.process = FakeProcess()
        self.peers: list[socket.socket] = []
        self.connection: Any = None
        self.transport = StringTransport()
        self.triggers: list[Callable[[], object]] = []
        self.fails: OSError | None = None

    def spawnProcess(
        self,
        protocol: ProcessProtocol,
        program: str,
        words: list[str],
        environ: dict[str, str],
        folder: str,
        childFDs: dict[int, Any],
    ) -> None:
        if self.fails is not None:
            raise self.fails
        self.spawned.append({"program": program, "words": words, "environ": environ, "folder": folder, "fds": childFDs})
        self.protocol: Any = protocol
        self.peers.append(socket.socket(fileno=os.dup(childFDs[3])))
        self.peers[-1].settimeout(5)
        self.protocol.makeConnection(self.process)

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Factory) -> None:
        assert family == socket.AF_UNIX
        self.connection = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.connection.makeConnection(self.transport)

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], object]) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(call)

    def shut_down(self) -> None:
        for trigger in self.triggers:
            trigger()

    def close(self) -> None:
        self.shut_down()
        for peer in self.peers:
            peer.close()


class Old:
    """The program that hands over."""

    def __init__(self, *, daemon: bool = False) -> None:
        self.reactor = FakeReactor()
        self.left: list[str] = []
        self.twistd = {"pidfile": "/run/gateway.pid"}
        self.sockets = ListeningSockets(self.reactor)
        self.hand_over = HandOver(
            self.reactor,
            COMMAND,
            {"PATH": "/bin"},
            self.sockets,
            PidFile(self.twistd),
            leave=lambda: self.left.append("left"),
            daemon=daemon,
        )

    def hears(self, words: bytes) -> None:
        self.reactor.connection.dataReceived(words)

    def loses(self) -> None:
        self.reactor.connection.connectionLost(Failure(ConnectionDone()))

    def said(self) -> bytes:
        return self.reactor.peers[-1].recv(100)


@pytest.fixture
def old() -> Iterator[Old]:
    program = Old()
    yield program
    program.reactor.close()


def test_new_program_gets_the_same_command_and_what_it_inherits(old: Old) -> None:
    """In the folder of the start, with the same environment, output and errors; descriptors are in one variable."""
    old.hand_over.begin()
    [spawned] = old.reactor.spawned
    assert (spawned["program"], spawned["words"], spawned["folder"]) == (COMMAND.words[0], list(COMMAND.words), "/srv")
    environ = dict(spawned["environ"])
    assert json.loads(environ.pop(VARIABLE)) == {"channel": 3, "sockets": []}
    assert environ == {"PATH": "/bin"}
    assert set(spawned["fds"]) >= {1, 2, 3}
    assert spawned["fds"][1] == 1


def test_old_program_leaves_when_the_new_one_has_taken_over(old: Old) -> None:
    """Ready, go, taken: only then does the old one let go of sockets and pid file."""
    old.hand_over.begin()
    old.hears(b"rea")
    old.hears(b"dy 4712\n")
    assert old.said() == b"go\n"
    assert (old.left, old.twistd) == ([], {"pidfile": "/run/gateway.pid"})
    old.hears(b"taken\n")
    assert (old.left, old.twistd) == (["left"], {"pidfile": ""})
    old.loses()
    old.reactor.shut_down()
    old.reactor.advance(READY_S + LISTEN_S)
    assert old.left == ["left"]
    assert old.reactor.process.signals == []


def test_new_program_that_ends_changes_nothing(old: Old) -> None:
    """The old one goes on, says so, and may be asked again."""
    for attempt in (1, 2):
        with capturedLogs() as events:
            old.hand_over.begin()
            old.loses()
        assert "this one goes on. It ended before it was ready" in formatEvent(events[-1])
        assert len(old.reactor.spawned) == attempt
    assert (old.left, old.twistd) == ([], {"pidfile": "/run/gateway.pid"})


def test_new_program_that_takes_too_long_is_given_up(old: Old) -> None:
    """After half a minute it is told to end, and ended if it does not even listen; if it gets ready then, in vain."""
    old.hand_over.begin()
    with capturedLogs() as events:
        old.reactor.advance(READY_S)
    assert formatEvent(events[-1]).endswith("It was not ready within 30 s.")
    assert old.said() == b"no\n"
    old.hears(b"ready 4712\n")
    old.hears(b"taken\n")
    assert old.said() == b""
    old.reactor.advance(LISTEN_S)
    assert old.reactor.process.signals == ["TERM"]
    assert old.left == []


def test_new_program_that_was_given_up_and_has_ended_is_not_ended_again(old: Old) -> None:
    old.hand_over.begin()
    old.reactor.advance(READY_S)
    old.reactor.process.gone = True
    old.reactor.advance(LISTEN_S)
    assert old.reactor.process.signals == []
    assert old.reactor.getDelayedCalls() == []


def test_program_that_cannot_be_started_changes_nothing(old: Old) -> None:
    old.reactor.fails = FileNotFoundError("no such program")
    with capturedLogs() as events:
        old.hand_over.begin()
    assert formatEvent(events[-1]).endswith("It cannot be started: no such program")
    assert old.reactor.getDelayedCalls() == []
    old.reactor.fails = None
    old.hand_over.begin()
    assert len(old.reactor.spawned) == 1


def test_one_new_program_at_a_time(old: Old) -> None:
    """A second SIGUSR2 while a program is being started, or when one has taken over, starts none."""
    old.hand_over.begin()
    old.hand_over.begin()
    old.hears(b"ready 4712\n")
    old.hears(b"taken\n")
    old.hand_over.begin()
    assert len(old.reactor.spawned) == 1


def test_stop_gives_a_new_program_up(old: Old) -> None:
    """SIGTERM while one is being started: it hears at once that it must not stay, and no other is started."""
    old.hand_over.begin()
    old.reactor.shut_down()
    assert old.said() == b"no\n"
    old.loses()
    old.hand_over.begin()
    assert len(old.reactor.spawned) == 1
    assert old.left == []


def test_out_of_place_words_are_passed_over(old: Old) -> None:
    """Nothing is given away to a program that was not ready."""
    old.hand_over.begin()
    old.hears(b"taken\nnonsense\n\n")
    assert old.left == []


def test_daemons_successor_is_heard_until_it_is_one() -> None:
    """What it prints before it goes to the background would be read by nobody."""
    old = Old(daemon=True)
    old.hand_over.begin()
    [spawned] = old.reactor.spawned
    assert (spawned["fds"][1], spawned["fds"][2]) == ("r", "r")
    with capturedLogs() as events:
        old.reactor.protocol.childDataReceived(1, b"keys.json: is wr")
        old.reactor.protocol.childDataReceived(1, b"ong\n")
    assert [formatEvent(event) for event in events] == ["New program: keys.json: is wrong"]
    old.reactor.close()


# The new program


class New:
    """The program that takes over."""

    def __init__(self, pid_file: Path) -> None:
        self.reactor = FakeReactor()
        self.events: list[str] = []
        self.twistd = {"pidfile": str(pid_file)}
        ours, self.peer = socket.socketpair()
        file = PidFile(self.twistd)
        file.wait()
        self.succession = Succession(Inheritance(ours.detach(), [("tcp:1", 9)]), file)
        self.succession.connect(
            self.reactor,
            take=lambda: self.events.append("take"),
            give_up=lambda: self.events.append("give up"),
        )

    def said(self) -> bytes:
        return bytes(self.reactor.transport.value())


@pytest.fixture
def new(tmp_path: Path) -> Iterator[New]:
    program = New(tmp_path / "gateway.pid")
    yield program
    program.peer.close()


def test_new_program_takes_over_when_told_to(new: New, tmp_path: Path) -> None:
    """It says that it is ready, with its pid; what only one can have it takes when the old one agrees."""
    assert new.succession.sockets == [("tcp:1", 9)]
    new.succession.serving()
    assert new.said() == b"ready %d\n" % os.getpid()
    assert new.events == []
    assert not (tmp_path / "gateway.pid").exists()
    new.succession.dataReceived(b"go\n")
    assert new.said().endswith(b"\ntaken\n")
    assert new.events == ["take"]
    assert (tmp_path / "gateway.pid").read_text() == str(os.getpid())
    new.succession.connectionLost()
    assert new.events == ["take"]


def test_new_program_that_is_not_wanted_ends(new: New) -> None:
    """Before or after it was ready: the pid file stays the old one's."""
    new.succession.dataReceived(b"no\n")
    new.succession.serving()
    new.succession.dataReceived(b"go\n")
    new.succession.connectionLost()
    assert new.events == ["give up"]
    assert new.said() == b""
    assert new.twistd == {"pidfile": ""}


def test_new_program_goes_on_alone_when_the_old_one_vanishes(new: New, tmp_path: Path) -> None:
    """An old program that was killed in between leaves the sockets to the new one, which is better than nobody."""
    new.succession.connectionLost()
    assert new.events == ["take"]
    assert (tmp_path / "gateway.pid").read_text() == str(os.getpid())


def test_new_program_that_is_stopped_itself_takes_nothing(new: New, tmp_path: Path) -> None:
    new.succession.serving()
    new.reactor.shut_down()
    new.succession.connectionLost()
    assert new.events == []
    assert not (tmp_path / "gateway.pid").exists()


def test_first_program_succeeds_nobody() -> None:
    assert succession({}, PidFile(None)) is None


@pytest.mark.parametrize("note", ["nonsense", "{}", '{"channel": 99999, "sockets": []}'])
def test_variable_without_sense_is_passed_over(note: str) -> None:
    """Set by accident, or left over from another process: the program starts as usual, and says so."""
    options = {"pidfile": "gateway.pid"}
    with capturedLogs() as events:
        assert succession({VARIABLE: note}, PidFile(options)) is None
    assert f"{VARIABLE} holds nothing that can be taken over" in formatEvent(events[0])
    assert options == {"pidfile": "gateway.pid"}


# The command


def started_as(monkeypatch: pytest.MonkeyPatch, original: list[str], argv: list[str]) -> Command:
    monkeypatch.setattr(sys, "orig_argv", original)
    monkeypatch.setattr(sys, "argv", argv)
    return Command.of_this_process()


def test_script_is_started_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that the interpreter is the one that an upgraded script names."""
    script = tmp_path / "twistd"
    script.write_text("#!/old/bin/python3\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    words = [str(script), "-n", "llmgateway"]
    command = started_as(monkeypatch, ["/old/bin/python3", *words], words)
    assert command == Command(tuple(words), str(tmp_path))


@pytest.mark.parametrize(
    ("original", "argv"),
    [
        pytest.param(["python3.13", "SCRIPT", "-n"], ["SCRIPT", "-n"], id="by another interpreter"),
        pytest.param(["/old/bin/python3", "-W", "error", "SCRIPT"], ["SCRIPT"], id="with options of the interpreter"),
        pytest.param(["/old/bin/python3", "-m", "twisted"], ["/x/twisted/__main__.py"], id="as a module"),
    ],
)
def test_anything_else_is_started_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, original: list[str], argv: list[str]
) -> None:
    """By the same interpreter with the same words."""
    script = tmp_path / "twistd"
    script.write_text("#!/old/bin/python3\n")
    script.chmod(0o755)
    original, argv = ([word.replace("SCRIPT", str(script)) for word in words] for words in (original, argv))
    assert started_as(monkeypatch, original, argv).words == (sys.executable, *original[1:])
