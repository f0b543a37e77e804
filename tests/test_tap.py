"""What ``twistd llmgateway`` makes of its options and its environment, and what it builds from them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from twisted.application.service import IService
from twisted.internet.error import ReactorNotRunning
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.web.resource import IResource
from zope.interface.verify import verifyObject

from llm_gateway.demo.listener import demo_keys_file
from llm_gateway.errors import ConfigurationError
from llm_gateway.settings import Settings
from llm_gateway.tap import (
    Options,
    ProcessSignals,
    demo_announcement,
    make_gateway,
    makeService,
)

KEYS = {"virtual_keys": {"vk_one": {"provider": "openai", "api_key": "sk-real-canary"}}}
SERVICES = {"openai": "https://openai.test/v1/chat/completions"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a ``keys.json`` and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys.json").write_text(json.dumps(KEYS))
    return tmp_path


def parsed(*arguments: str, environ: Mapping[str, str] | None = None, parent: Any = None) -> Settings:
    """The settings that a command line leads to."""
    options = Options()
    options.environ = environ or {}
    options.parent = parent
    options.parseOptions(list(arguments))
    return options.settings


def test_without_options_the_defaults_hold(folder: Path) -> None:
    """``twistd -n llmgateway`` reads keys.json, takes the shipped providers and listens on port 8080."""
    listen = ("tcp:8080:backlog=1024",)
    assert parsed() == Settings(
        keys_file=str(folder / "keys.json"),
        aiservices_file=None,
        listen=listen,
        ledger=str(folder / "llmgateway-ledger.sqlite"),
    )


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        pytest.param([], {"KEYS_FILE": "other.json"}, {"keys_file": "other.json"}, id="KEYS_FILE"),
        pytest.param(["--keys", "other.json"], {"KEYS_FILE": "no.json"}, {"keys_file": "other.json"}, id="--keys wins"),
        pytest.param(["-k", "other.json"], {}, {"keys_file": "other.json"}, id="-k"),
        pytest.param([], {"KEYS_FILE": ""}, {"keys_file": "keys.json"}, id="empty KEYS_FILE is none"),
        pytest.param([], {"AISERVICES_FILE": "services.json"}, {"aiservices_file": "services.json"}, id="AISERVICES"),
        pytest.param(
            ["--aiservices", "services.json"],
            {"AISERVICES_FILE": "no.json"},
            {"aiservices_file": "services.json"},
            id="--aiservices wins",
        ),
        pytest.param([], {"GATEWAY_PORT": "3000"}, {"listen": ("tcp:3000:backlog=1024",)}, id="GATEWAY_PORT"),
        pytest.param([], {"GATEWAY_PORT": ""}, {"listen": ("tcp:8080:backlog=1024",)}, id="empty GATEWAY_PORT is none"),
        pytest.param(["--port", "1"], {"GATEWAY_PORT": "3000"}, {"listen": ("tcp:1:backlog=1024",)}, id="--port wins"),
        pytest.param(["-p", "0"], {}, {"listen": ("tcp:0:backlog=1024",)}, id="-p"),
        pytest.param(
            ["--listen", "tcp:1:interface=127.0.0.1", "-l", "unix:gateway.sock"],
            {"GATEWAY_PORT": "3000"},
            {"listen": ("tcp:1:interface=127.0.0.1", "unix:gateway.sock")},
            id="--listen wins and repeats",
        ),
        pytest.param(["--drain-timeout", "1.5"], {}, {"drain_timeout_s": 1.5}, id="--drain-timeout"),
        pytest.param(["--drain-timeout", "0"], {}, {"drain_timeout_s": 0.0}, id="no drain"),
        pytest.param(["--health-interval", "0"], {}, {"health_interval_s": 0.0}, id="no health checks"),
        pytest.param(["--workers", "4"], {}, {"workers": 4}, id="workers"),
        pytest.param(["-w", "auto"], {}, {"workers": len(os.sched_getaffinity(0))}, id="a worker per core"),
        pytest.param(["--health-timeout", "2"], {}, {"health_timeout_s": 2.0}, id="--health-timeout"),
        pytest.param(["--reload-interval", "0"], {}, {"reload_interval_s": 0.0}, id="no looks at the files"),
        pytest.param(["--access-log", "none"], {}, {"access_log": None}, id="no access log"),
        pytest.param(["--access-log", "-"], {}, {"access_log": "-"}, id="access log to standard output"),
        pytest.param(["--access-log", "a.log"], {}, {"access_log": "a.log"}, id="access log to a file"),
        pytest.param(["--access-log-format", "json"], {}, {"access_log_format": "json"}, id="--access-log-format"),
        pytest.param(["--max-body-size", "1"], {}, {"max_body_bytes": 1}, id="--max-body-size"),
        pytest.param(["--pool-size", "0"], {}, {"pool_size": 0}, id="--pool-size"),
        pytest.param(["--pool-idle", "7"], {}, {"pool_idle_s": 7.0}, id="--pool-idle"),
    ],
)
def test_option_or_variable_is_obeyed(
    folder: Path, arguments: list[str], environ: dict[str, str], expected: dict[str, Any]
) -> None:
    """Each option and each variable sets what its name says, and an option wins over its variable."""
    (folder / "other.json").write_text(json.dumps(KEYS))
    (folder / "services.json").write_text(json.dumps(SERVICES))
    settings = parsed(*arguments, environ=environ)
    for name, value in expected.items():
        # Files by their absolute path: a daemon leaves the folder that it was started in.
        is_file = name.endswith("_file") or (name == "access_log" and str(value).endswith(".log"))
        assert getattr(settings, name) == (str(folder / value) if is_file else value)


def test_aiservices_of_the_folder_is_read_without_being_named(folder: Path) -> None:
    """An ``aiservices.json`` beside ``keys.json`` takes the place of the shipped one."""
    (folder / "aiservices.json").write_text(json.dumps(SERVICES))
    assert parsed().aiservices_file == str(folder / "aiservices.json")


def test_demo_needs_no_file_and_stays_on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--demo`` works in an empty folder, with the example keys, for this machine only."""
    monkeypatch.chdir(tmp_path)
    settings = parsed("--demo")
    assert settings.demo
    assert settings.listen == ("tcp:8080:backlog=1024:interface=127.0.0.1",)
    assert "vk_user1_openai" in json.loads(Path(settings.keys_file).read_text())["virtual_keys"]


def test_demo_passes_over_the_folders_files_but_takes_named_ones(folder: Path) -> None:
    """A folder with real keys in it does not change the demo; naming files does."""
    (folder / "aiservices.json").write_text("not JSON")
    unnamed = parsed("--demo")
    assert unnamed.keys_file != str(folder / "keys.json")
    assert unnamed.aiservices_file is None
    assert parsed("--demo", "--keys", "keys.json").keys_file == str(folder / "keys.json")


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        pytest.param({"nodaemon": 1}, "-", id="twistd -n"),
        pytest.param({"nodaemon": 0}, "llmgateway-access.log", id="twistd as a daemon"),
        pytest.param({}, "-", id="twist"),
    ],
)
def test_access_log_goes_where_somebody_can_read_it(folder: Path, parent: dict[str, Any], expected: str) -> None:
    """Standard output in the foreground; a file in the current directory for a daemon, which has no output."""
    assert parsed(parent=parent).access_log == (expected if expected == "-" else str(folder / expected))


NUMBER = "must be a number of at least"
WHOLE = "must be a whole number of at least"


@pytest.mark.parametrize(
    ("arguments", "environ", "complaint"),
    [
        (["--port", "99999"], {}, "--port must be a port number from 0 to 65535, not '99999'"),
        (["--port", "-1"], {}, "--port must be a port number from 0 to 65535, not '-1'"),
        (["--port", " 80"], {}, "--port must be a port number from 0 to 65535, not ' 80'"),
        (["--port", "http"], {}, "--port must be a port number"),
        ([], {"GATEWAY_PORT": "8080x"}, "GATEWAY_PORT must be a port number from 0 to 65535, not '8080x'"),
        (["--port", "1", "--listen", "tcp:1"], {}, "--port and --listen exclude each other"),
        (["--listen", "tcp"], {}, "--listen 'tcp' is not a Twisted endpoint that works"),
        (["--listen", "tcp:x"], {}, "--listen 'tcp:x' is not a Twisted endpoint that works"),
        (["--listen", "carrier-pigeon:1"], {}, "Unknown endpoint type: 'carrier-pigeon'"),
        (["--listen", "ssl:443:privateKey=nowhere.pem"], {}, "No such file or directory: .*nowhere.pem"),
        (["--drain-timeout", "soon"], {}, f"--drain-timeout {NUMBER} 0, not 'soon'"),
        (["--drain-timeout", "nan"], {}, f"--drain-timeout {NUMBER} 0, not 'nan'"),
        (["--drain-timeout", "inf"], {}, f"--drain-timeout {NUMBER} 0, not 'inf'"),
        (["--drain-timeout", "-1"], {}, f"--drain-timeout {NUMBER} 0, not '-1'"),
        (["--workers", "0"], {}, "--workers must be a number from 1 to 1024, or \"auto\", not '0'"),
        (["--workers", "1025"], {}, "--workers must be a number from 1 to 1024, or \"auto\", not '1025'"),
        (["--workers", "many"], {}, "--workers must be a number from 1 to 1024, or \"auto\", not 'many'"),
        (["--health-interval", "-0.1"], {}, f"--health-interval {NUMBER} 0, not '-0.1'"),
        (["--health-timeout", "0"], {}, f"--health-timeout {NUMBER} 0.001, not '0'"),
        (["--reload-interval", ""], {}, f"--reload-interval {NUMBER} 0, not ''"),
        (["--pool-idle", "x"], {}, f"--pool-idle {NUMBER} 0, not 'x'"),
        (["--pool-size", "1.5"], {}, f"--pool-size {WHOLE} 0, not '1.5'"),
        (["--max-body-size", "0"], {}, f"--max-body-size {WHOLE} 1, not '0'"),
        (["--max-body-size", "10M"], {}, f"--max-body-size {WHOLE} 1, not '10M'"),
        (["--access-log-format", "xml"], {}, "--access-log-format must be json or text, not 'xml'"),
        (["--keys"], {}, "--keys requires argument|option --keys requires argument"),
        (["--kyes", "keys.json"], {}, "option --kyes not recognized"),
        (["extra"], {}, "Wrong number of arguments"),
        (["--keys", "nowhere.json"], {}, "nowhere.json: does not exist"),
        ([], {"KEYS_FILE": "nowhere.json"}, "nowhere.json: does not exist"),
        (["--aiservices", "nowhere.json"], {}, "nowhere.json: does not exist"),
        (["--keys", "broken.json"], {}, r"broken.json:2: .*not JSON"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_option_is_explained(folder: Path, arguments: list[str], environ: dict[str, str], complaint: str) -> None:
    """What is wrong is named: the option, what it takes, and what it was given."""
    (folder / "broken.json").write_text('{\n"virtual_keys": oops}')
    with pytest.raises((usage.UsageError, SystemExit), match=complaint):
        parsed(*arguments, environ=environ)


def test_everything_wrong_with_the_files_is_told_at_once(folder: Path) -> None:
    """One start shows every mistake in both files."""
    (folder / "keys.json").write_text('{"virtual_keys": {"vk": {"provider": "openai", "api_kee": "sk"}}, "more": 1}')
    (folder / "aiservices.json").write_text('{"openai": "ftp://openai.test"}')
    with pytest.raises(SystemExit) as caught:
        parsed()
    complaint, *problems = str(caught.value).splitlines()
    assert "cannot be used" in complaint
    assert [Path(problem.split(":")[0]).name for problem in problems] == 3 * ["keys.json"] + ["aiservices.json"]


def test_help_tells_every_option_variable_and_signal() -> None:
    """``twistd llmgateway --help`` is the whole story, within the width of a terminal."""
    shown = Options().getUsage(80)
    for name in (
        "KEYS_FILE",
        "AISERVICES_FILE",
        "GATEWAY_PORT",
        "SIGHUP",
        "SIGTERM",
        "SIGINT",
        "SIGUSR2",
        "--demo",
        "--listen",
    ):
        assert name in shown
    for option in Options().longOpt:
        assert f"--{option}" in shown
    assert "twistd -n llmgateway --demo" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints one line and ends well."""
    with pytest.raises(SystemExit) as caught:
        parsed("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("llm-gateway ")


def test_making_the_service_opens_nothing(folder: Path) -> None:
    """``makeService`` gives a service that listens nowhere until it is started."""
    options = Options()
    options.environ = {}
    options.parseOptions(["--port", "0", "--access-log", "access.log"])
    service = makeService(options)
    assert verifyObject(IService, service)
    assert not service.running
    assert sorted(path.name for path in folder.iterdir()) == ["keys.json"]


def test_gateway_without_addresses_is_a_resource_only(folder: Path) -> None:
    """``Settings(listen=())`` is for mounting in another program's site: no socket of its own, started or not."""
    reactor = MemoryReactorClock()
    gateway = make_gateway(Settings(listen=(), access_log=None, aiservices_file=None), reactor, environ={})
    assert verifyObject(IResource, gateway.resource)
    gateway.service.startService()
    assert (reactor.tcpServers, reactor.sslServers, reactor.unixServers) == ([], [], [])
    gateway.service.stopService()
    assert not gateway.service.running


LOADING = """
import sys
from llm_gateway.options import Options
from llm_gateway.tap import make_gateway
from twisted.internet.testing import MemoryReactorClock

options = Options()
options.parseOptions(["--keys", "keys.json", *sys.argv[1:]])
gateway = make_gateway(options.settings, MemoryReactorClock())
gateway.parts.use(gateway.parts.store.current)
print(*(name for name in sys.modules if name.startswith("llm_gateway.")))
"""

COUNTING = {
    "llm_gateway.core.limits.book",
    "llm_gateway.core.prices.book",
    "llm_gateway.core.prices.lists",
    "llm_gateway.core.usage.streams",
    "llm_gateway.ledger.writer",
    "llm_gateway.web.call_account",
}
WRITING = {
    "llm_gateway.administration",
    "llm_gateway.issuing.running",
    "llm_gateway.seeding",
}
SUPERVISING = {"llm_gateway.fleet.supervisor", "llm_gateway.fleet.messages"}
SELDOM = {
    "llm_gateway.core.prices.lists",
    "llm_gateway.web.explaining",
    "llm_gateway.web.models",
    "llm_gateway.web.translating",
    "llm_gateway.wire.stock",
}
"""What only some call or option needs."""


@pytest.mark.parametrize(
    ("keys", "arguments", "loaded"),
    [
        (KEYS, ["--ledger", "none"], set()),
        (KEYS, ["--ledger", "none", "--wire", "twisted"], {"llm_gateway.wire.stock"}),
        ({**KEYS, "limits": {"requests_per_day": 5}}, ["--ledger", "none"], COUNTING),
        (KEYS, [], COUNTING | WRITING),
    ],
)
def test_what_a_gateway_does_not_do_it_does_not_load(
    folder: Path, keys: dict[str, Any], arguments: list[str], loaded: set[str]
) -> None:
    """All of it would be two megabytes."""
    (folder / "keys.json").write_text(json.dumps(keys))
    said = subprocess.run(
        [sys.executable, "-c", LOADING, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert (COUNTING | WRITING | SUPERVISING | SELDOM) & set(said.stdout.split()) == loaded


def test_gateway_is_not_made_from_files_that_are_wrong(tmp_path: Path) -> None:
    """A program that embeds the gateway gets the same errors, as an exception."""
    settings = Settings(keys_file=str(tmp_path / "nowhere.json"), listen=())
    with pytest.raises(ConfigurationError, match=r"nowhere\.json: does not exist"):
        make_gateway(settings, MemoryReactorClock(), environ={})


class FakeReactor:
    """Starts, stops, and runs at once what signal handlers hand to it."""

    def __init__(self) -> None:
        self.stopped = 0
        self.on_start: list[Callable[[], object]] = []

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        self.on_start.append(call)

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()

    def stop(self) -> None:
        if self.stopped:
            raise ReactorNotRunning
        self.stopped += 1


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[int, FrameType | None], None]]:
    """The process's signal handlers, without changing those of the process that runs the tests."""
    installed: dict[int, Callable[[int, FrameType | None], None]] = {}
    monkeypatch.setattr(signal, "signal", installed.__setitem__)
    return installed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_stops_and_the_next_hurries(
    handlers: dict[int, Callable[[int, FrameType | None], None]], number: int
) -> None:
    """SIGTERM or SIGINT once: an orderly stop. Again: no more waiting, as often as it is sent."""
    reactor, told = FakeReactor(), []
    ProcessSignals(reactor).install(lambda: told.append("reload"), lambda: told.append("hurry"))
    handlers[number](number, None)
    assert (reactor.stopped, told) == (1, [])
    handlers[number](number, None)
    handlers[signal.SIGINT](signal.SIGINT, None)
    assert (reactor.stopped, told) == (1, ["hurry", "hurry"])


def test_hangup_reloads(handlers: dict[int, Callable[[int, FrameType | None], None]]) -> None:
    """SIGHUP reads the configuration again and stops nothing."""
    reactor, told = FakeReactor(), []
    ProcessSignals(reactor).install(lambda: told.append("reload"), lambda: told.append("hurry"))
    handlers[signal.SIGHUP](signal.SIGHUP, None)
    assert (reactor.stopped, told) == (0, ["reload"])


def test_second_user_signal_hands_over(handlers: dict[int, Callable[[int, FrameType | None], None]]) -> None:
    """SIGUSR2 starts a new program where there is something to start it with; it stops nothing by itself."""
    reactor, told = FakeReactor(), []
    ProcessSignals(reactor, lambda: told.append("hand over")).install(lambda: None, lambda: None)
    handlers[signal.SIGUSR2](signal.SIGUSR2, None)
    assert (reactor.stopped, told) == (0, ["hand over"])


def test_handlers_outlive_the_start_of_the_reactor(
    handlers: dict[int, Callable[[int, FrameType | None], None]],
) -> None:
    """The reactor puts its own handlers in when it starts; ours are there before and after that."""
    reactor = FakeReactor()
    ProcessSignals(reactor).install(lambda: None, lambda: None)
    assert set(handlers) == {signal.SIGHUP, signal.SIGTERM, signal.SIGINT}
    handlers.clear()
    for start in reactor.on_start:
        start()
    assert set(handlers) == {signal.SIGHUP, signal.SIGTERM, signal.SIGINT}


def test_demo_prints_six_lines_with_commands_to_paste() -> None:
    """Four of them are curl commands that a shell understands, one for each key."""
    lines = demo_announcement("http://127.0.0.1:1234", demo_keys_file()).splitlines()
    assert len(lines) == 6
    commands = [shlex.split(line) for line in lines if line.strip().startswith("curl")]
    bodies = [json.loads(command[-1]) for command in commands]
    assert all(body.get("messages") or body.get("contents") for body in bodies)
    assert {key for command in commands for key in command if "vk_" in key} == {
        "Authorization: Bearer vk_user1_openai",
        "Authorization: Bearer vk_user2_anthropic",
        "Authorization: Bearer vk_user3_deepseek",
        "x-goog-api-key: vk_user4_gemini",
    }


def test_demo_with_other_keys_says_where_they_are_and_none_of_them() -> None:
    """The example keys would be refused, and those of a file are nobody's to print."""
    told = demo_announcement("http://127.0.0.1:1234", "/etc/llmgateway/keys.json")
    assert "http://127.0.0.1:1234" in told.splitlines()[0]
    assert "/etc/llmgateway/keys.json" in told
    assert "vk_" not in told
