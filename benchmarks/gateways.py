"""The gateways that are compared: what is written for each of them before it starts, and how it is started."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import attrs

from benchmarks.machine import CannotMeasure
from benchmarks.shapes import MODEL, REAL_KEY, VIRTUAL_KEY, answer
from benchmarks.spoken import CHAT, SPOKEN

NGINX = "nginx"
"""The one to which all others are compared."""

ACCOUNTING = "accounting"
"""This gateway where every call is written down and stands under three limits and a budget."""

_LIMITS = {
    "requests_per_minute": 10**9,
    "tokens_per_minute": 10**11,
    "in_flight": 10**5,
    "usd_per_month": "100000000",
}
"""Limits that are counted and never reached."""

RENAMED_KEY = f"{VIRTUAL_KEY}-renamed"
"""One of ours whose provider calls the model otherwise."""

KEYS_FILE, AISERVICES_FILE, ACCESS_LOG, LEDGER = "keys.json", "aiservices.json", "access.log", "ledger.sqlite"
"""What a gateway of ours has in its folder."""


@attrs.frozen
class Place:
    """Where a gateway is to run: what it has to know, and files of its own in its own folder."""

    folder: Path
    port: int
    """Of 127.0.0.1, to listen on."""
    provider_port: int
    """Of 127.0.0.1, to send calls to."""


@attrs.frozen
class Gateway:
    """A gateway by its name in the tables."""

    name: str
    command: Callable[[Place], list[str]]
    """Writes its files and gives its command line."""
    environ: Mapping[str, str] = attrs.field(factory=dict)


def known_gateways(nginx: str) -> dict[str, Gateway]:
    """
    :param nginx: where the program is.
    :return: by name, in the order in which they are measured.
    """
    found = (
        Gateway(NGINX, lambda place: nginx_command(nginx, "gateway", place)),
        Gateway("llmgateway", lambda place: _llmgateway("llhttp", place)),
        Gateway(ACCOUNTING, lambda place: _llmgateway("llhttp", place, accounting=True)),
        Gateway("twisted", lambda place: _llmgateway("twisted", place)),
    )
    return {gateway.name: gateway for gateway in found}


def peer(option: str) -> Gateway:
    """
    :param option: ``NAME=COMMAND``. In the command ``{port}``, ``{provider_port}`` and ``{folder}`` are replaced; in
        its environment ``OPENAI_API_KEY`` is the provider's key.
    :raises ValueError: it has another form.
    """
    name, equals, command = option.partition("=")
    words = shlex.split(command)
    if not (name and equals and words):
        raise ValueError(f"must be NAME=COMMAND, not {option!r}")

    def fill_in(place: Place) -> list[str]:
        return [_replaced(word, "{%s}", attrs.asdict(place)) for word in words]

    return Gateway(name, fill_in, {"OPENAI_API_KEY": REAL_KEY})


def nginx_command(nginx: str, role: str, place: Place) -> list[str]:
    """
    :param role: which of the templates: ``gateway`` or ``provider``.
    """
    text = template(f"{role}.nginx.conf").read_text()
    values = {"virtual_key": VIRTUAL_KEY, "real_key": REAL_KEY, "answer": answer().decode(), **attrs.asdict(place)}
    (place.folder / "nginx.conf").write_text(_replaced(text, "@%s@", values))
    return [nginx, "-p", str(place.folder), "-c", str(place.folder / "nginx.conf")]


def template(name: str) -> Path:
    """One of the files that the programs are given."""
    return Path(str(resources.files("benchmarks"))) / "templates" / name


def _replaced(text: str, form: str, values: Mapping[str, object]) -> str:
    """
    :param form: what a name looks like in the text.
    """
    for name, value in values.items():
        text = text.replace(form % name, str(value))
    return text


def _llmgateway(wire: str, place: Place, *, accounting: bool = False) -> list[str]:
    """
    As an operator starts it: with keys, health checks, a look at the files every two seconds and an access log.

    :param accounting: whether calls are limited and written down, too.
    """
    twistd = Path(sys.executable).with_name("twistd")
    if not twistd.exists():
        raise CannotMeasure(f"the gateway is not installed beside {sys.executable}: pip install --editable .")
    write_configuration(place, _LIMITS if accounting else None)
    return [
        str(twistd), "-n", "--pidfile=", "llmgateway", "--wire", wire, "--listen", endpoint(place.port),
        "--keys", KEYS_FILE, "--aiservices", AISERVICES_FILE, "--access-log", ACCESS_LOG,
        "--ledger", LEDGER if accounting else "none",
    ]  # fmt: skip


def endpoint(port: int) -> str:
    """Where a gateway of ours listens; as many connections may wait as with nginx."""
    return f"tcp:{port}:interface=127.0.0.1:backlog=4096"


def key_of(provider: str) -> str:
    """
    :param provider: what it speaks.
    :return: the virtual key that leads there, with a gateway of ours.
    """
    return VIRTUAL_KEY if provider == CHAT else f"{VIRTUAL_KEY}-{provider}"


def write_configuration(place: Place, limits: Mapping[str, object] | None = None) -> None:
    """
    Write the two files of a gateway of ours: a provider and a key for each of the dialects.

    :param limits: of every key.
    """
    keys: dict[str, dict[str, object]] = {}
    providers: dict[str, dict[str, object]] = {}
    for name, spoken in SPOKEN.items():
        version = spoken.path.split("/")[1]
        base_url = f"http://127.0.0.1:{place.provider_port}/{version}"
        prices = {"*": {"prices": {"input": "1", "output": "4"}}}
        providers[f"bench-{name}"] = {"base_url": base_url, "dialect": spoken.dialect, "models": prices}
        if spoken.dialect == "openai":
            providers[f"bench-{name}"] |= {"apis": [name]}
        keys[key_of(name)] = {"provider": f"bench-{name}", "api_key": REAL_KEY, "name": name}
        if limits is not None:
            keys[key_of(name)]["limits"] = limits
    keys[RENAMED_KEY] = {**keys[VIRTUAL_KEY], "name": "renamed", "models": {MODEL: f"renamed-{MODEL}"}}
    (place.folder / KEYS_FILE).write_text(json.dumps({"virtual_keys": keys}))
    (place.folder / AISERVICES_FILE).write_text(json.dumps(providers))
