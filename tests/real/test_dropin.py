"""That ``twistd`` finds the gateway where it is installed, what that costs, and what is in the wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from tests.real.gateway import STOP_S, clean_environ

# No gateway runs here.
pytestmark = pytest.mark.any_wire

ROOT = Path(__file__).parents[2]
BUILD_S = 60.0


def told_by(bin_dir: Path, folder: Path, program: str) -> Any:
    """
    :param program: Python that prints one JSON document, run by the interpreter of the environment under test.
    """
    # Isolated, so that neither the current folder nor the user's site can stand in for what is installed.
    command = [str(bin_dir / "python"), "-I", "-c", program]
    ended = subprocess.run(command, cwd=folder, env=clean_environ(), capture_output=True, text=True, timeout=STOP_S)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_twistd_finds_the_gateway(bin_dir: Path, tmp_path: Path) -> None:
    """Installing the package is all that it takes: the plugin is there, once, with its name and what it does."""
    found = told_by(
        bin_dir,
        tmp_path,
        """
import json
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "llmgateway"]
print(json.dumps([[maker.module, maker.description] for maker in makers]))
""",
    )
    [[module, description]] = found
    assert module == "llm_gateway.tap"
    assert "gateway" in description


@pytest.mark.parametrize("program", ["twistd", "twist"])
def test_gateway_is_listed_among_the_commands(bin_dir: Path, tmp_path: Path, program: str) -> None:
    """``twistd --help`` and ``twist --help`` show it with a line on what it is."""
    shown = subprocess.run(
        [str(bin_dir / program), "--help"],
        cwd=tmp_path,
        env=clean_environ({"COLUMNS": "200"}),
        capture_output=True,
        text=True,
        timeout=STOP_S,
    )
    [line] = [line for line in shown.stdout.splitlines() if line.split()[:1] == ["llmgateway"]]
    assert "virtual keys" in line


def test_being_found_imports_nothing_of_the_gateway(bin_dir: Path, tmp_path: Path) -> None:
    """Every other ``twistd`` command loads the drop-in too: it must cost nothing, break nothing, choose no reactor."""
    imported = told_by(
        bin_dir,
        tmp_path,
        """
import json, sys
import twisted.plugins.llmgateway_dropin
print(json.dumps(sorted(sys.modules)))
""",
    )
    heavy = ("llm_gateway", "klein", "treq", "werkzeug", "attrs", "msgspec", "twisted.web", "twisted.internet.reactor")
    assert [name for name in imported if name.startswith(heavy)] == []
    assert "twisted.plugins.llmgateway_dropin" in imported


def test_importing_the_gateway_touches_no_network(bin_dir: Path, tmp_path: Path) -> None:
    """Nothing is looked up, bound or connected at import, and nothing is left running on the reactor."""
    told = told_by(
        bin_dir,
        tmp_path,
        """
import json, sys
events = []
sys.addaudithook(lambda event, details: events.append(event))
import llm_gateway.tap
from twisted.internet import reactor
from twisted.internet.interfaces import IListeningPort
listening = [each for each in reactor.getReaders() if IListeningPort.providedBy(each)]
network = [each for each in events if each.startswith(("socket.", "urllib", "http.client", "ssl", "subprocess"))]
print(json.dumps({
    "network": sorted(set(network)),
    "imports": events.count("import"),
    "listening": len(listening),
    "timers": len(reactor.getDelayedCalls()),
}))
""",
    )
    assert told.pop("imports") > 0
    assert told == {"network": [], "listening": 0, "timers": 0}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel that this tree builds, opened."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_S)
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_wheel_holds_the_drop_in_and_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    """What works from the tree works from the wheel: modules, settings files, schemas, the mark that it is typed."""
    packed = set(wheel.namelist())
    ours = [
        path
        for path in (ROOT / "llm_gateway").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".json", ".typed")
    ]
    wanted = {path.relative_to(ROOT).as_posix() for path in ours} | {"twisted/plugins/llmgateway_dropin.py"}
    assert {"llm_gateway/py.typed", "llm_gateway/data/keys.example.json", "llm_gateway/data/aiservices.json"} <= wanted
    assert {"llm_gateway/data/keys.schema.json", "llm_gateway/data/aiservices.schema.json"} <= wanted
    assert wanted - packed == set()


def test_wheel_holds_nothing_that_is_not_the_gateways(wheel: zipfile.ZipFile) -> None:
    """No tests, no keys; and of Twisted's folders only our file, since an ``__init__.py`` there would hide Twisted."""
    ours = ("llm_gateway/", "llm_gateway-", "twisted/plugins/llmgateway_dropin.py")
    assert [name for name in wheel.namelist() if not name.startswith(ours)] == []
    assert [name for name in wheel.namelist() if name.endswith(("dropin.cache", ".pyc"))] == []


def test_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    """Installed, it gives ``llmgateway`` beside ``twistd llmgateway``, and says what it needs."""
    [entry_points] = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    scripts = ConfigParser()
    scripts.read_string(wheel.read(entry_points).decode())
    assert dict(scripts["console_scripts"]) == {"llmgateway": "llm_gateway.cli.main:main"}
    [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    described = wheel.read(metadata).decode().splitlines()
    assert "Requires-Python: >=3.11" in described
    needed = {re.split(r"[^\w-]", line.split()[1])[0] for line in described if line.startswith("Requires-Dist:")}
    assert {"httptools", "klein", "msgspec", "treq", "twisted"} <= needed
