"""What the gateways under measurement are given."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.gateways import (
    NGINX,
    RENAMED_KEY,
    Place,
    key_of,
    known_gateways,
    nginx_command,
    peer,
    write_configuration,
)
from benchmarks.shapes import REAL_KEY, VIRTUAL_KEY, answer
from benchmarks.spoken import SPOKEN
from llm_gateway.config.load import load_configuration
from llm_gateway.options import Options


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, 40_001, 40_002)


@pytest.mark.parametrize("role", ["gateway", "provider"])
def test_nothing_is_left_open_in_nginx_s_file(role: str, place: Place) -> None:
    command = nginx_command("/usr/sbin/nginx", role, place)
    written = Path(command[-1]).read_text()
    assert command[0] == "/usr/sbin/nginx"
    assert not re.search(r"@\w+@", written)
    assert "listen 127.0.0.1:40001 " in written
    assert f'"Bearer {REAL_KEY}"' in written


def test_nginx_as_a_provider_has_the_answer(place: Place) -> None:
    command = nginx_command("nginx", "provider", place)
    # Neither a quote nor a variable that nginx would look for.
    assert not {b"'", b"$"} & {bytes([byte]) for byte in answer()}
    assert f"return 200 '{answer().decode()}'" in Path(command[-1]).read_text()


def test_configuration_of_our_gateway_is_right(place: Place) -> None:
    write_configuration(place)
    loaded = load_configuration(str(place.folder / "keys.json"), str(place.folder / "aiservices.json"), {})
    assert loaded.warnings == ()
    assert {name: each.base_url for name, each in loaded.providers.items() if name.startswith("bench-")} == {
        "bench-chat": "http://127.0.0.1:40002/v1",
        "bench-responses": "http://127.0.0.1:40002/v1",
        "bench-messages": "http://127.0.0.1:40002/v1",
        "bench-gemini": "http://127.0.0.1:40002/v1beta",
    }
    keys = json.loads((place.folder / "keys.json").read_text())["virtual_keys"]
    assert {key_of(name): f"bench-{name}" for name in SPOKEN} == {
        key: entry["provider"] for key, entry in keys.items() if key != RENAMED_KEY
    }
    assert keys[RENAMED_KEY]["provider"] == keys[VIRTUAL_KEY]["provider"]


@pytest.mark.parametrize(("name", "wire"), [("llmgateway", "llhttp"), ("twisted", "twisted")])
def test_our_gateway_is_started_whole(name: str, wire: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Access log, health checks and reloading are what they are for everybody."""
    command = known_gateways("nginx")[name].command(place)
    monkeypatch.chdir(place.folder)
    options = Options()
    options.parseOptions(command[command.index("llmgateway") + 1 :])
    settings, defaults = options.settings, type(options.settings)()
    assert settings.wire == wire
    assert settings.access_log == str(place.folder / "access.log")
    assert settings.listen == ("tcp:40001:interface=127.0.0.1:backlog=4096",)
    assert (settings.health_interval_s, settings.reload_interval_s) == (
        defaults.health_interval_s,
        defaults.reload_interval_s,
    )


def test_nginx_comes_first() -> None:
    assert list(known_gateways("nginx")) == [NGINX, "llmgateway", "accounting", "twisted"]


def test_peer_is_told_where_to_listen_and_where_the_provider_is(place: Place) -> None:
    gateway = peer("other=run-other --port {port} --to 'http://127.0.0.1:{provider_port}/v1' --in {folder}/x a=b")
    assert gateway.name == "other"
    assert gateway.command(place) == [
        "run-other", "--port", "40001", "--to", "http://127.0.0.1:40002/v1", "--in", f"{place.folder}/x", "a=b",
    ]  # fmt: skip
    assert gateway.environ == {"OPENAI_API_KEY": REAL_KEY}


@pytest.mark.parametrize("option", ["other", "=run", "other=", "other='run"])
def test_peer_of_another_form_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=COMMAND|quotation"):
        peer(option)
