"""The reference pages name all that there is, and nothing that there is not."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llm_gateway.cli import chat, check, explain, prices, usage
from llm_gateway.cli import keys as keys_command
from llm_gateway.config.formats import (
    ON_UNSUPPORTED,
    CredentialEntry,
    DialectEntry,
    GroupEntry,
    HealthEntry,
    KeysFile,
    ModelEntry,
    ProviderEntry,
    TimeoutsEntry,
    VirtualKeyEntry,
)
from llm_gateway.config.limits import LimitEntry, LimitSetEntry
from llm_gateway.config.load import load_configuration
from llm_gateway.config.presets import shipped_presets
from llm_gateway.config.routing_formats import (
    CredentialUseEntry,
    FallbackEntry,
    ModelRoutingEntry,
    RoutingEntry,
    TargetEntry,
)
from llm_gateway.core import estimate, headers
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.paths import dialect_of
from llm_gateway.core.presets import Preset
from llm_gateway.core.record import ENDINGS, CallRecord
from llm_gateway.core.routing.calls import Router
from llm_gateway.core.routing.settings import RoutingSettings
from llm_gateway.errors import GatewayError
from llm_gateway.options import Options
from llm_gateway.settings import Settings
from llm_gateway.upstream.prober import ProviderHealth
from llm_gateway.web.access_log import as_json, as_text
from llm_gateway.web.app import GatewayApp
from llm_gateway.web.forward import METHODS
from llm_gateway.web.health import _routed, _shown
from llm_gateway.wire import bounds
from tests.markdown import ROOT, anchors, blocks, bullets, code, links, pages, reference, section, tables

COMMANDS: dict[str, Any] = {
    "chat": chat,
    "check": check,
    "explain": explain,
    "keys": keys_command,
    "prices": prices,
    "usage": usage,
}
"""Of ``llmgateway``, each with its module."""

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def first_spans(text: str) -> list[str]:
    """The code in the first column of every table."""
    return [span for table in tables(text) for row in table for span in code(row[0])]


def option_names(text: str) -> set[str]:
    """``--keys`` for `` `--keys FILE`, `-k` ``."""
    return {span.split()[0] for span in first_spans(text) if span.startswith("--")}


# Options, environment, commands


def test_every_option_of_the_service_is_documented() -> None:
    options = Options()
    assert option_names(section(reference("options"), "twistd llmgateway")) == {
        "--" + name.removesuffix("=") for name in options.longOpt
    }


def test_short_options_are_documented() -> None:
    documented = {
        span for span in first_spans(section(reference("options"), "twistd llmgateway")) if re.fullmatch("-[a-z]", span)
    }
    assert documented == {f"-{letter}" for letter in Options().shortOpt.replace(":", "")}


def test_documented_defaults_are_those_of_the_options() -> None:
    [table] = tables(section(reference("options"), "twistd llmgateway"))
    documented = {code(option)[0].split()[0][2:]: code(default) for option, default, _ in table if code(default)}
    # These are worked out later and are None here.
    later = {
        "keys": "keys.json",
        "port": "8080",
        "aiservices": "aiservices.json",
        "access-log": "-",
        "ledger": "llmgateway-ledger.sqlite",
    }
    assert documented == {
        name: [later.get(name, str(value))] for name, value in Options().items() if value or name in later
    }


def test_every_environment_variable_is_documented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "llm_gateway").rglob("*.py"))
    read = set(re.findall(r'environ(?:\.get\(|\[)\s*"(\w+)"', source))
    assert read
    assert set(first_spans(section(reference("options"), "Environment"))) == read


def own_options(name: str) -> set[str]:
    """The options of a subcommand of ``llmgateway``, and of the commands below it."""
    subparsers = argparse.ArgumentParser().add_subparsers()
    COMMANDS[name].add_parser(subparsers)
    return set(_options_of(subparsers.choices[name]))


def _options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _options_of(below)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented(name: str) -> None:
    documented = option_names(section(reference("options"), f"llmgateway {name}"))
    assert documented == own_options(name) - {"-h", "--help"}


def test_there_is_no_command_without_a_page() -> None:
    modules = {
        path.stem for path in (ROOT / "llm_gateway" / "cli").glob("*.py") if "def add_parser(" in path.read_text()
    }
    assert modules == set(COMMANDS)


# Paths


def test_every_route_and_its_methods_are_documented() -> None:
    real = {as_written(rule.rule): rule.methods for rule in GatewayApp.app.url_map.iter_rules()}
    named = {"all methods": {method.decode() for method in METHODS}, "GET": {"GET", "HEAD"}, "POST": {"POST"}}
    sections = [section(reference("paths"), heading) for heading in ("Calls to providers", "The gateway's own pages")]
    [calls], [ours] = map(tables, sections)
    assert {path: named[row[1]] for row in [*calls, *ours] for path in code(row[0])} == real


def as_written(rule: str) -> str:
    """``/p/{provider}/...`` for ``/p/<provider>/<path:rest>``."""
    return re.sub(r"<(\w+)>", r"{\1}", re.sub(r"<path:\w+>", "...", rule))


def test_documented_dialects_of_paths_are_those_that_they_speak() -> None:
    [table] = tables(section(reference("paths"), "Which dialect a path speaks"))
    named = {dialect.title: dialect for dialect in DIALECTS.values()}
    checked = 0
    for paths, dialect in table:
        sent, google = ("anthropic-version" in code(paths), "x-goog-api-key" in code(paths))
        for path in code(paths):
            method, _, path = ("GET " + path if path.startswith("/") else path).rpartition(" ")
            if path.startswith("/") and dialect in named:
                asked = re.sub(r"\{\w+\}|\.\.\.", "x", path).encode()
                spoken = dialect_of(method.encode(), asked, anthropic_version=sent, google=google)
                assert spoken is named[dialect], path
                checked += 1
    assert checked == 14


def test_every_place_for_the_key_is_documented() -> None:
    places = [row[1] for row in tables(section(reference("paths"), "The virtual key"))[0]]
    named = [re.split("[:=]", code(place)[0])[0].lower().removeprefix("?") for place in places]
    assert set(named) == {name.decode() for name in headers.CREDENTIAL_HEADERS} | {"key"}


# Headers


def names(*sets: Iterable[bytes]) -> set[str]:
    return {name.decode() for each in sets for name in each}


def prefixes(*sets: Iterable[bytes]) -> set[str]:
    return {f"{prefix.decode()}*" for each in sets for prefix in each}


def test_every_header_that_a_provider_sees_is_documented() -> None:
    passed, _ = bullets(section(reference("headers"), "From the client to the provider"))
    assert set(passed) == names(headers.TO_PROVIDER) | prefixes(headers.TO_PROVIDER_PREFIXES)


def test_headers_that_never_reach_a_provider_do_not_even_when_configured() -> None:
    _, never = bullets(section(reference("headers"), "From the client to the provider"))
    assert names(headers.NOT_TO_PROVIDER, headers.CREDENTIAL_HEADERS) <= set(never)
    everything = headers.to_provider_filter(never)
    assert everything.keep({name.encode(): [b"value"] for name in never}) == {}


def test_every_header_that_a_client_does_not_see_is_documented() -> None:
    [held] = bullets(section(reference("headers"), "From the provider to the client"))
    assert set(held) == names(headers.NOT_TO_CLIENT) | prefixes(headers.NOT_TO_CLIENT_PREFIXES)
    assert set(held[:9]) == names(headers.HOP_BY_HOP)


def test_every_header_of_an_event_stream_is_documented() -> None:
    _, streams = tables(section(reference("headers"), "From the gateway"))
    documented = {code(name)[0]: code(value)[0] for name, value in streams}
    assert documented == {name.decode().lower(): value.decode() for name, value in headers.EVENT_STREAM_HEADERS.items()}


def test_every_header_of_the_gateway_itself_is_documented() -> None:
    rooms = [ROOT / "llm_gateway" / room for room in ("web", "wire")]
    source = "".join(path.read_text() for room in rooms for path in room.rglob("*.py"))
    ours = {name.lower() for name in re.findall(r'b"(x-gw-[a-z-]+)"', source, re.IGNORECASE)}
    assert ours
    assert ours <= set(first_spans(section(reference("headers"), "From the gateway")))


def test_documented_limits_are_the_site_s() -> None:
    limits = [code(row[1]) or [row[1]] for row in tables(section(reference("headers"), "Limits"))[0]]
    assert limits == [
        [str(bounds.MAX_HEADERS)],
        [f"{bounds.MAX_HEADER_BYTES:,} bytes"],
        ["--max-body-size"],
        [f"{bounds.IDLE_S:g} s"],
    ]


# Errors


def kinds(root: type[GatewayError]) -> Iterable[type[GatewayError]]:
    """The ends of the tree, which are what is raised."""
    below = root.__subclasses__()
    return [leaf for each in below for leaf in kinds(each)] if below else [root]


def test_every_error_kind_is_documented_as_it_is() -> None:
    [table] = tables(section(reference("errors"), "Kinds"))
    documented = [[*code(row[0]), row[1], *code("".join(row[2:5])), row[5]] for row in table]
    real = [
        [
            error.kind,
            str(error.status),
            error.openai_type,
            error.anthropic_type,
            error.gemini_status,
            "yes" if error.retryable else "no",
        ]
        for error in kinds(GatewayError)
    ]
    assert sorted(documented) == sorted(real)


def test_error_examples_have_the_shape_of_their_dialect() -> None:
    from llm_gateway.errors import UnknownKey

    error, request_id = UnknownKey("The virtual key is not known to this gateway."), "6b01687fc8b5737a4681250c"
    examples = [json.loads(each) for each in blocks(reference("errors"), "json")]
    assert examples == [json.loads(dialect.error_body(error, request_id)) for dialect in DIALECTS.values()]


# Configuration


def fields(shape: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(shape)}


@pytest.mark.parametrize(
    ("heading", "position", "shape"),
    [
        ("keys.json", 0, KeysFile),
        ("keys.json", 1, VirtualKeyEntry),
        ("Credentials", 0, CredentialEntry),
        ("Credentials", 1, CredentialUseEntry),
        ("Groups and labels", 0, GroupEntry),
        ("Limits and budgets", 0, LimitSetEntry),
        ("Limits and budgets", 1, LimitEntry),
        ("aiservices.json", 0, ProviderEntry),
        ("timeouts", 0, TimeoutsEntry),
        ("health", 0, HealthEntry),
        ("dialects", 0, DialectEntry),
        ("models", 0, ModelEntry),
        ("$routing", 0, RoutingEntry),
        ("$routing", 1, ModelRoutingEntry),
        ("$routing", 2, TargetEntry),
        ("$routing", 3, FallbackEntry),
    ],
)
def test_every_field_of_the_files_is_documented(heading: str, position: int, shape: type[msgspec.Struct]) -> None:
    table = tables(section(reference("configuration"), heading))[position]
    assert {field for row in table for field in code(row[0])} == fields(shape)


def test_every_preset_is_documented_as_it_is() -> None:
    [table] = tables(section(reference("configuration"), "presets"))
    documented = [[code(row[0])[0], row[1], code(row[2]), code(row[3])] for row in table]
    assert documented == [
        [
            name,
            preset.title,
            [address.base_url.replace("{host}", usual_host(preset)) for address in preset.dialects.values()],
            [place for place, each in preset.places.items() if each.default is None],
        ]
        for name, preset in shipped_presets().presets.items()
    ]


def usual_host(preset: Preset) -> str:
    return "".join(place.hosts["*"] for place in preset.places.values() if place.hosts)


def test_every_policy_for_what_is_not_supported_is_documented() -> None:
    [table] = tables(section(reference("configuration"), "on_unsupported"))
    assert [span for row in table for span in code(row[0])] == list(ON_UNSUPPORTED)


def test_documented_timeouts_are_the_defaults() -> None:
    [table] = tables(section(reference("configuration"), "timeouts"))
    documented = {code(field)[0]: float(default) for field, default, _ in table}
    assert documented == msgspec.structs.asdict(TimeoutsEntry())


def test_documented_costs_of_media_are_those_that_are_counted() -> None:
    *_, table = tables(section(reference("models"), "Estimated tokens"))
    said = {what: [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", cost)] for what, cost in table}
    assert said["PDF"] == [estimate.OTHER_PAGE, estimate.PAGE["anthropic"], estimate.PAGE["gemini"]]
    assert said["sound"] == [estimate.OTHER_SECOND, estimate.SECOND["gemini"]]


def test_every_dialect_is_documented() -> None:
    [table] = tables(section(reference("configuration"), "url and base_url"))
    documented = [(code(row[0])[0], code(row[1]), code(row[2])[0], code(row[3])) for row in table]
    assert documented == [
        (
            dialect.name,
            list(dialect.chat_endings),
            dialect.auth,
            [f"{name.decode()}: {value.decode()}" for name, value in dialect.default_headers],
        )
        for dialect in DIALECTS.values()
    ]


# Access log and health


def full_record() -> CallRecord:
    names = ("client_request_id", "key", "provider", "credential", "model", "dialect", "dropped", "ended", "error")
    text = dict.fromkeys(names, "x")
    seconds = {"first_byte_s": 1.0, "duration_s": 1.0}
    return CallRecord("t", "id", method="POST", path="/v1", status=200, attempts=2, **seconds, **text)  # type: ignore[arg-type]  # mypy cannot see which fields these are


def test_every_field_of_the_access_log_is_documented() -> None:
    [table] = tables(section(reference("access-log"), "json"))
    assert [code(row[0])[0] for row in table] == list(json.loads(as_json(full_record())))
    in_text = {name.removesuffix("=") for row in table for name in code(row[1])}
    assert in_text == set(re.findall(r"(\w+)=", as_text(full_record()).decode()))


def test_the_access_log_examples_have_every_field() -> None:
    [example] = blocks(reference("access-log"), "json")
    assert list(json.loads(example)) == list(json.loads(as_json(full_record())))


def test_every_ending_of_a_call_is_documented() -> None:
    [table] = tables(section(reference("access-log"), "How a call ends"))
    assert [code(row[0])[0] for row in table] == list(ENDINGS)


def test_every_field_of_the_health_page_is_documented() -> None:
    router = Router(RoutingSettings(), float, lambda change: None, lambda ticket: None)
    provider = _shown(ProviderHealth("openai", "https://x", True, None, None, None)) | _routed(
        "openai", (), router, abs
    )
    page = reference("health")
    documented = first_spans(section(page, "GET /health"))
    assert documented == ["status", "providers", *provider]
    assert [list(each) for each in json.loads(blocks(page, "json")[0])["providers"]] == [list(provider)] * 2


# Every page


@PAGES
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        if re.match("[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_every_page_can_be_found_from_the_contents() -> None:
    contents = ROOT / "docs" / "README.md"
    linked = {(contents.parent / link).resolve() for link in links(contents.read_text())}
    assert {page for page in pages() if contents.parent in page.parents} - {contents} <= linked


@PAGES
def test_json_examples_are_configurations_that_load(page: Path, tmp_path: Path) -> None:
    documents = [json.loads(block) for block in blocks(page.read_text(), "json")]
    keys_files = [each for each in documents if "virtual_keys" in each]
    services = [each for each in documents if each and all(_is_services_entry(*entry) for entry in each.items())]
    if page.stem == "configuration":
        assert (len(keys_files), len(services)) == (3, 6)
    for keys in keys_files or [{"virtual_keys": {"vk": {"provider": "openai", "api_key": "sk"}}}]:
        for providers in services or [json.loads((ROOT / "aiservices.json").read_text())]:
            entries = [*keys["virtual_keys"].values(), *keys.get("credentials", {}).values()]
            named = {entry["provider"] for entry in entries if "provider" in entry}
            _load(keys, {**dict.fromkeys(named, "https://example.com/v1/chat/completions"), **providers}, tmp_path)


def _is_services_entry(name: str, value: Any) -> bool:
    if isinstance(value, dict):
        return bool(set(value) & fields(RoutingEntry if name == "$routing" else ProviderEntry))
    return isinstance(value, str) and value.startswith("https://")


def _load(keys: Any, providers: Any, folder: Path) -> None:
    """Load both with every secret there that they point to."""
    (folder / "secret").write_text("sk-secret\n")
    paths = []
    for name, document in (("keys.json", keys), ("aiservices.json", providers)):
        text = re.sub(r'"file:[^"]+"', '"file:secret"', json.dumps(document))
        paths.append(folder / name)
        paths[-1].write_text(text)
    named = dict.fromkeys(re.findall(r"\$\{(\w+)\}", json.dumps([keys, providers])), "sk-secret")
    loaded = load_configuration(str(paths[0]), str(paths[1]), named)
    assert loaded.warnings == ()
    assert len(loaded.keys) == len(keys["virtual_keys"])


@PAGES
def test_commands_use_options_that_exist(page: Path) -> None:
    options = {f"--{name.removesuffix('=')}" for name in Options().longOpt}
    for block in blocks(page.read_text(), "sh", "ini", "dockerfile"):
        for command in block.replace("\\\n", " ").splitlines():
            # In unit files and container files the program has other options before it, or is a list.
            words = re.sub(r'["\[\],]', " ", command)
            daemon = re.search(r"(?:\btwistd?\b.* llmgateway|^CMD) (.*)", words)
            own = re.search(rf"\bllmgateway ({'|'.join(COMMANDS)}) (.*)", words)
            if daemon is not None:
                assert set(re.findall(r"(?<!\S)--[a-z-]+", daemon[1])) <= options, command
            elif own is not None:
                assert set(re.findall(r"(?<!\S)--[a-z-]+", own[2])) <= own_options(own[1]), command


@PAGES
def test_python_examples_are_python(page: Path) -> None:
    for number, block in enumerate(blocks(page.read_text(), "python")):
        compile(block, f"{page.name}[{number}]", "exec")


@pytest.mark.parametrize("name", ["systemd", "container"])
def test_whoever_stops_the_gateway_waits_longer_than_it_drains(name: str) -> None:
    page = (ROOT / "docs" / "howto" / f"{name}.md").read_text()
    waits = re.findall(
        r"(?:TimeoutStopSec=|--stop-timeout |stop_grace_period: |terminationGracePeriodSeconds: )(\d+)", page
    )
    assert waits
    assert all(int(wait) > Settings().drain_timeout_s for wait in waits)
