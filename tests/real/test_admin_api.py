"""The admin API of the installed program: one process and several, beside the command, and against its OpenAPI file."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.real.client import eventually
from tests.real.gateway import RunningGateway, clean_environ, running_command, running_gateway
from tests.real.workers import only, worker_pids
from tests.wires import WIRE

ADMIN_KEY = "admin-CANARY-0123456789abcdef"
REAL_KEY = "sk-real-CANARY-0123456789"
FILE_KEY = "vk_CANARY_in_file"
CREDENTIALS = {"main": {"provider": "openai", "api_key": REAL_KEY}, "spare": {"provider": "openai", "api_key": "sk-2"}}
KEYS = {FILE_KEY: {"name": "in file", "credentials": ["main"]}}
NOBODY = {"openai": "http://127.0.0.1:9/v1/chat/completions"}
"""Nothing is sent to it."""

BOUND_S = 20.0


class Operator:
    """Who has the admin key."""

    def __init__(self, gateway: RunningGateway, port: int | None = None) -> None:
        self.gateway = gateway
        self.port = port or gateway.port

    def ask(
        self, method: str, path: str, document: Any = None, key: str = ADMIN_KEY, port: int | None = None
    ) -> tuple[int, Any]:
        """
        :return: status and body.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=BOUND_S)
        headers = {"authorization": f"Bearer {key}"}
        if document is not None:
            headers["content-type"] = "application/json"
        connection.request(method, path, None if document is None else json.dumps(document), headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, json.loads(body) if body else None

    def done(self, method: str, path: str, document: Any = None) -> Any:
        status, answer = self.ask(method, f"/admin/v1{path}", document)
        assert status < 300, answer
        return answer

    def create(self, name: str, **entry: Any) -> tuple[str, str]:
        """
        :return: id and key.
        """
        made = self.done("POST", "/keys", {"name": name, "credentials": ["main"], **entry})
        return made["virtual_key"]["id"], made["key"]

    def opens(self, key: str) -> bool:
        """Whether the gateway takes calls with this key."""
        status, _ = self.ask("GET", "/v1/gateway/key", key=key, port=self.gateway.port)
        assert status in (200, 401)
        return status == 200


@contextmanager
def administered(bin_dir: Path, folder: Path, *options: str) -> Iterator[Operator]:
    """A gateway with an admin API."""
    (folder / "admin").write_text(f"olga: {ADMIN_KEY}\n")
    settings = ("--admin-key-file", "admin", "--health-interval", "0", "--ledger", "ledger.sqlite")
    with running_gateway(
        bin_dir, folder, *settings, *options, keys=KEYS, credentials=CREDENTIALS, providers=NOBODY
    ) as gateway:
        yield Operator(gateway)


def command(bin_dir: Path, folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
    """What ``llmgateway keys`` prints."""
    done = subprocess.run(
        [str(bin_dir / "llmgateway"), "keys", *arguments],
        cwd=folder,
        env=clean_environ(environ),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_key_is_made_used_rotated_and_revoked_and_a_restart_forgets_nothing(bin_dir: Path, tmp_path: Path) -> None:
    with administered(bin_dir, tmp_path) as operator:
        id, first = operator.create("ann", limits={"requests_per_day": 1000})
        assert operator.opens(first)
        assert operator.opens(FILE_KEY)
        second = operator.done("POST", f"/keys/{id}/rotate", {"grace_s": 3600})["key"]
        other, ended = operator.create("carol")
        operator.done("POST", f"/keys/{other}/rotate", {"grace_s": 0})
        assert not operator.opens(ended)
        _, gone = operator.create("bob")
        operator.done("POST", f"/keys/{operator.done('GET', '/keys?name=bob')['data'][0]['id']}/revoke")
        for key, opens in ((first, True), (second, True), (gone, False), (ADMIN_KEY, False)):
            assert operator.opens(key) is opens
        # What a program holds opens nothing here.
        for key in (first, FILE_KEY, REAL_KEY):
            assert operator.ask("GET", "/admin/v1/keys", key=key)[0] == 401
        assert operator.gateway.stop() == 0
        output = operator.gateway.output
    with administered(bin_dir, tmp_path) as operator:
        for key, opens in ((first, True), (second, True), (gone, False)):
            assert operator.opens(key) is opens
        assert [row["action"] for row in operator.done("GET", "/audit")["data"]] == [
            "key.revoke",
            "key.create",
            "key.rotate",
            "key.create",
            "key.rotate",
            "key.create",
        ]
        assert operator.gateway.stop() == 0
        output += operator.gateway.output
    written = b"".join(each.read_bytes() for each in tmp_path.glob("ledger.sqlite*") if each.is_file())
    for secret in (first, second, gone, ADMIN_KEY, REAL_KEY, FILE_KEY):
        assert secret not in output
        assert secret.encode() not in written
    assert "admin:olga" in output


def test_command_and_gateway_work_on_the_same_keys(bin_dir: Path, tmp_path: Path) -> None:
    """Before the gateway runs, and while it does."""
    (tmp_path / "keys.json").write_text(json.dumps({"credentials": CREDENTIALS, "virtual_keys": KEYS}))
    (tmp_path / "aiservices.json").write_text(json.dumps(NOBODY))
    where = ("--ledger", "ledger.sqlite")
    early = command(bin_dir, tmp_path, "create", "early", "--credential", "main", *where).strip()
    with administered(bin_dir, tmp_path) as operator:
        assert operator.opens(early)
        late = command(bin_dir, tmp_path, "create", "late", "--credential", "main", *where).strip()
        eventually(lambda: operator.opens(late), "the key of the command to count")
        for name in ("again", "once more"):
            # Each is another program that opens the database and closes it.
            key = command(bin_dir, tmp_path, "create", name, "--credential", "main", *where).strip()
            eventually(lambda key=key: operator.opens(key), f"the key {name!r} to count")  # type: ignore[misc]
        url = ("--url", operator.gateway.url)
        admin = {"LLMGATEWAY_ADMIN_KEY": ADMIN_KEY}
        assert "late" in command(bin_dir, tmp_path, "list", *url, environ=admin)
        command(bin_dir, tmp_path, "revoke", "early", *url, environ=admin)
        assert not operator.opens(early)
        command(bin_dir, tmp_path, "revoke", "late", *where)
        eventually(lambda: not operator.opens(late), "the command's revocation to count")
        actors = {row["actor"].partition(":")[0] for row in operator.done("GET", "/audit")["data"]}
        assert actors == {"admin", "command"}


def test_every_worker_knows_a_key_within_a_moment(bin_dir: Path, tmp_path: Path) -> None:
    """Whichever of them made it or revoked it; and all of them read the files anew when one is asked to."""
    with administered(bin_dir, tmp_path, "--workers", "2", "--reload-interval", "0") as operator:
        pids = worker_pids(operator.gateway)
        with only(pids[0], pids):
            id, key = operator.create("ann")
            assert operator.opens(key)
        with only(pids[1], pids):
            eventually(lambda: operator.opens(key), "the other worker to know the key")
            operator.done("POST", f"/keys/{id}/revoke")
            assert not operator.opens(key)
        with only(pids[0], pids):
            eventually(lambda: not operator.opens(key), "the first worker to know of the revocation")
        assert len(operator.done("GET", "/health")["workers"]) == 2
        document = {"credentials": CREDENTIALS, "virtual_keys": {**KEYS, "vk_new": {"credentials": ["main"]}}}
        (tmp_path / "keys.json").write_text(json.dumps(document))
        assert operator.done("POST", "/reload")["reloaded"]
        for pid in pids:
            with only(pid, pids):
                eventually(lambda: operator.opens("vk_new"), "the key of the file")
        (tmp_path / "keys.json").write_text('{"virtual_keys": {"vk_new": {"credentials": ["mian"]}}}')
        status, answer = operator.ask("POST", "/admin/v1/reload")
        assert (status, answer["error"]["code"]) == (409, "configuration_refused")
        assert operator.opens("vk_new")


def test_admin_api_can_have_an_address_of_its_own(bin_dir: Path, tmp_path: Path) -> None:
    """Then there is nothing of it where the calls go, and nothing of them where it is."""
    (tmp_path / "admin").write_text(f"olga: {ADMIN_KEY}\n")
    (tmp_path / "keys.json").write_text(json.dumps({"credentials": CREDENTIALS, "virtual_keys": KEYS}))
    (tmp_path / "aiservices.json").write_text(json.dumps(NOBODY))
    twistd = [str(bin_dir / "twistd"), "-n", "--pidfile=", "llmgateway", "--listen", "tcp:0:interface=127.0.0.1"]
    options = ["--admin-key-file", "admin", "--admin-listen", "unix:admin.sock", "--health-interval", "0"]
    with running_command([*twistd, *options], tmp_path) as gateway:
        operator = Operator(gateway)
        status, answer = operator.ask("GET", "/admin/v1/keys")
        assert (status, answer["error"]["code"]) == (404, "not_found")
        curl = ["curl", "-s", "--unix-socket", str(tmp_path / "admin.sock"), "-H", f"Authorization: Bearer {ADMIN_KEY}"]

        def over_socket(path: str) -> Any:
            done = subprocess.run([*curl, f"http://gateway{path}"], capture_output=True, timeout=BOUND_S, check=True)
            return json.loads(done.stdout)

        assert [each["name"] for each in over_socket("/admin/v1/keys")["data"]] == ["in file"]
        assert over_socket("/v1/models")["error"]["code"] == "not_found"


def test_there_is_no_admin_api_unless_it_has_a_key(bin_dir: Path, tmp_path: Path) -> None:
    with running_gateway(
        bin_dir, tmp_path, "--health-interval", "0", keys=KEYS, credentials=CREDENTIALS, providers=NOBODY
    ) as gateway:
        for key in (FILE_KEY, ADMIN_KEY, ""):
            status, answer = Operator(gateway).ask("GET", "/admin/v1/keys", key=key)
            assert (status, answer["error"]["code"]) == (404, "not_found")


# Against its description

NARROWED = {
    "credentials": {"type": "array", "minItems": 1, "maxItems": 1, "items": {"enum": sorted(CREDENTIALS)}},
    "name": {"type": "string", "pattern": "^[a-z]{1,12}$"},
    "models": {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": "string", "pattern": "^[a-z]{1,12}$"},
    },
    "labels": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]{1,12}$"},
        "additionalProperties": {"type": "string", "pattern": "^[a-z]{1,12}$"},
        "maxProperties": 16,
    },
    "limits": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "requests_per_minute": {"enum": [1, 60, {"limit": 10, "burst": 2}]},
            "usd_per_day": {"enum": ["0", "12.50", 3, {"limit": "1", "warn_at": 0.5}]},
        },
    },
}
"""What a schema cannot say of an entry: which names there are, and what goes together."""

PARAMETERS = {
    "since": ["7d", "2026-01-01", "1700000000"],
    "until": ["2100-01-01T00:00:00Z", "2100-01-01"],
    "by": ["model", "day,model", "provider,operation,hour"],
    "model": ["any"],
}
"""The same of questions: names and times, and the one before the other."""

SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "404", "409", "412"]
[[operations]]
include-tag = "admin"
headers = {{ Authorization = "Bearer {admin}" }}
[[operations]]
include-tag = "own"
headers = {{ Authorization = "Bearer {own}" }}
"""


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI file with what only this gateway knows."""
    for name in ("NewVirtualKey", "VirtualKeyPatch"):
        properties = document["components"]["schemas"][name]["properties"]
        properties.update(NARROWED)
        # There are none.
        del properties["group"]
    for item in document["paths"].values():
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["name"] in PARAMETERS:
                parameter["schema"] = {"type": "string", "enum": PARAMETERS[parameter["name"]]}
                parameter.pop("example", None)
    return document


@pytest.mark.skipif(WIRE != "llhttp", reason="what is asked and answered does not depend on how it came")
@pytest.mark.parametrize(
    ("mode", "phases", "examples"), [("positive", "examples,fuzzing,stateful", "6"), ("negative", "fuzzing", "5")]
)
def test_gateway_is_as_its_openapi_file_says(
    bin_dir: Path, tmp_path: Path, mode: str, phases: str, examples: str
) -> None:
    """
    What fits the file is done or refused for a reason that it names; what does not fit is refused; nothing of either
    breaks anything.
    """
    document = json.loads((resources.files("llm_gateway") / "data" / "openapi.json").read_bytes())
    if mode == "positive":
        document = narrowed(document)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS.format(admin=ADMIN_KEY, own=FILE_KEY))
    with administered(bin_dir, tmp_path) as operator:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", "schemathesis.toml"),
                *("run", "openapi.json", "--url", operator.gateway.url, "--mode", mode, "--phases", phases),
                *("--max-examples", examples, "--seed", "1", "--no-shrink"),
            ],
            cwd=tmp_path,
            env=clean_environ({"HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert operator.done("GET", "/health")["status"] == "ok"
        assert operator.gateway.stop() == 0
        assert "Traceback" not in operator.gateway.output
        assert "A fault" not in operator.gateway.output
