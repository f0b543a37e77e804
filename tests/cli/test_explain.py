"""``llmgateway explain``: from a running gateway, and from the files alone."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from llm_gateway.cli.main import main
from llm_gateway.core.routing.explain import Explained, Explanation
from llm_gateway.core.routing.outcomes import FALLS_BACK
from tests.cli.fake_gateway import FakeGateway

KEYS: dict[str, Any] = {
    "credentials": {
        "main": {"provider": "openai", "api_key": "sk-canary-1"},
        "spare": {"provider": "openai", "api_key": "sk-canary-2"},
        "claude": {"provider": "anthropic", "api_key": "${CANARY}"},
    },
    "virtual_keys": {
        "vk_canary_team": {"name": "team", "credentials": ["main", {"name": "spare", "order": 1}, "claude"]},
        "vk_canary_one": {"provider": "openai", "api_key": "sk-canary-1", "models": ["gpt-5.4", "gpt-5.4-mini"]},
        "vk_canary_lost": {"provider": "nowhere", "api_key": "sk-canary-4"},
        "vk_canary_twin": {"name": "twin", "provider": "openai", "api_key": "sk-canary-1"},
        "vk_canary_twin_2": {"name": "twin", "provider": "openai", "api_key": "sk-canary-1"},
    },
}
SERVICES: dict[str, Any] = {
    "openai": "https://api.openai.com/v1/chat/completions",
    "anthropic": "https://api.anthropic.com/v1/messages",
    "$routing": {
        "models": {
            "fast": {
                "targets": [{"provider": "openai", "model": "gpt-5.4-mini"}],
                "fallbacks": [{"to": "claude-haiku-5-5", "on": ["overloaded", "context_overflow"]}],
            }
        }
    },
}
WELL = Explained("openai", "main", "gpt-5.4", True, "well", 1)
OPEN = Explained(
    "openai", "spare", "gpt-5.4", False, "credential spare: open, key refused", 2, 1, asked_again_in_s=11.2, in_flight=3
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with two good files, and an environment without settings of whoever runs the tests."""
    for name in ("LLMGATEWAY_KEY", "LLMGATEWAY_MODEL", "LLMGATEWAY_URL", "KEYS_FILE", "AISERVICES_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CANARY", "sk-canary-3")
    monkeypatch.chdir(tmp_path)
    write("keys.json", KEYS)
    write("aiservices.json", SERVICES)
    return tmp_path


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    fake = FakeGateway()
    monkeypatch.setenv("LLMGATEWAY_URL", fake.url)
    yield fake
    fake.close()


def write(name: str, document: Any) -> None:
    Path(name).write_text(json.dumps(document))


def explain(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """:return: the exit status, and what was printed; no key is in that."""
    try:
        status = main(["explain", *arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    assert "canary" not in printed.out + printed.err
    return status, printed.out, printed.err


def offline(capsys: pytest.CaptureFixture[str], key: str, model: str, *more: str) -> tuple[int, str, str]:
    return explain(capsys, "--offline", "--key", key, "--model", model, *more)


def answer(gateway: FakeGateway, *candidates: Explained, model: str = "gpt-5.4") -> None:
    gateway.answer([msgspec.json.encode(Explanation(model, "weighted", True, candidates))])


# From the files


def test_files_alone_tell_every_candidate_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """What is left out stands below what is asked, and a fallback apart, with the outcomes that lead to it."""
    status, printed, complaints = offline(capsys, "vk_canary_team", "fast", "--stream")
    assert (status, complaints) == (0, "")
    assert printed.splitlines() == [
        "call:      fast (chat, streamed)",
        "strategy:  in_order",
        "told by:   keys.json and aiservices.json, as if everything were well",
        "",
        "#  PROVIDER   CREDENTIAL  MODEL             ASKED IN            ORDER  IS   BECAUSE",
        "1  openai     main        gpt-5.4-mini      openai chat         0      in   well",
        "2  openai     spare       gpt-5.4-mini      openai chat         1      in   well",
        "",
        "fallback claude-haiku-5-5, after context_overflow, overloaded:",
        "3  anthropic  claude      claude-haiku-5-5  anthropic messages  0      in   well",
        f"-  openai     main        claude-haiku-5-5{' ' * 29}out  another provider is known to have it",
        f"-  openai     spare       claude-haiku-5-5{' ' * 29}out  another provider is known to have it",
        "",
        "3 of 3 candidates are in.",
    ]


def test_naming_a_file_asks_no_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    write("other.json", KEYS)
    for option, name in (("--keys", "other.json"), ("--aiservices", "aiservices.json")):
        status, printed, _ = explain(capsys, option, name, "--key", "vk_canary_team", "--model", "fast")
        assert status == 0
        assert f"{name}" in printed.splitlines()[2]


def test_variables_name_the_files_and_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write("other.json", KEYS)
    Path("aiservices.json").unlink()
    for name, value in (
        ("KEYS_FILE", "other.json"),
        ("LLMGATEWAY_KEY", "vk_canary_one"),
        ("LLMGATEWAY_MODEL", "gpt-5.4"),
    ):
        monkeypatch.setenv(name, value)
    status, printed, _ = explain(capsys, "--offline")
    assert status == 0
    assert "other.json and the built-in aiservices.json" in printed


@pytest.mark.parametrize("name", ["team", "key:75a6e84a"])
def test_key_can_be_called_what_logs_call_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a key that is in the file as a digest, its operator knows nothing else."""
    assert offline(capsys, name, "fast")[0] == 0


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("taem", "no virtual key in the file is that one or is called so; did you mean 'team'?"),
        ("vk_canary_x", "no virtual key in the file is that one or is called so; `llmgateway check` lists what they"),
        ("Zoë", "no virtual key in the file is that one or is called so; `llmgateway check` lists what they"),
        ("twin", "2 virtual keys have that name: key:"),
    ],
)
def test_key_that_is_not_there_is_explained(name: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, complaints = offline(capsys, name, "fast")
    assert (status, printed) == (2, "")
    assert complaints.startswith(f"llmgateway explain: {complaint}")


@pytest.mark.parametrize(
    ("key", "model", "api", "complaint"),
    [
        ("vk_canary_one", "gtp-5.4", "chat", "model_not_found: This key may not call a model named 'gtp-5.4'. Did you"),
        ("vk_canary_one", "sonnet", "chat", "model_not_found: This key may not call a model named 'sonnet'.\n"),
        ("vk_canary_lost", "m", "chat", "provider_not_configured: The key's provider 'nowhere' is not configured"),
    ],
)
def test_call_that_would_be_refused_ends_with_1(
    key: str, model: str, api: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed, complaints = offline(capsys, key, model, "--api", api)
    assert (status, printed) == (1, "")
    assert complaints.startswith(f"llmgateway explain: {complaint}")


def test_model_that_nobody_knows_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """Providers are sent any name, since it may be a new one: a slip shows only when they refuse it."""
    status, printed, _ = offline(capsys, "vk_canary_team", "gtp-5.4")
    assert status == 0
    assert printed.endswith('No well-known model is called "gtp-5.4"; did you mean "gpt-5.4"?\n')
    assert "well-known" not in offline(capsys, "vk_canary_team", "our-own-model")[1]


def test_own_name_says_what_it_stands_for(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {"vk_canary": {"provider": "openai", "api_key": "sk-canary-1", "models": {"ours": "gpt-5.4"}}}
    write("keys.json", {"virtual_keys": keys})
    status, printed, _ = offline(capsys, "vk_canary", "ours", "--api", "responses")
    assert status == 0
    assert printed.startswith("call:      ours, which stands for gpt-5.4 (responses, not streamed)\n")


def test_api_decides_who_can_answer(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, _ = offline(capsys, "vk_canary_team", "text-embedding-3-small", "--api", "embeddings")
    assert status == 0
    assert "out  the provider has nothing that this could be translated to" in printed


@pytest.mark.parametrize(
    ("api", "model", "asked_in"),
    [
        ("chat", "gpt-5.4", "openai chat"),
        ("responses", "gpt-5.4", "openai responses"),
        ("messages", "gpt-5.4", "openai responses"),
        ("messages", "gpt-4.1", "openai chat"),
        ("chat", "claude-haiku-5-5", "anthropic messages"),
        ("gemini", "claude-haiku-5-5", "anthropic messages"),
        ("embeddings", "text-embedding-3-small", "openai embeddings"),
        ("native", "gpt-5.4", "openai native"),
    ],
)
def test_candidates_tell_what_they_are_asked_in(
    api: str, model: str, asked_in: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed, _ = offline(capsys, "vk_canary_team", model, "--api", api, "--json")
    asked = [each for each in json.loads(printed)["candidates"] if each["in"]]
    assert (status, {f"{each['dialect']} {each['api']}" for each in asked}) == (0, {asked_in})


def test_native_paths_lead_to_the_dialect_of_the_first_provider(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, _ = offline(capsys, "vk_canary_team", "claude-haiku-5-5", "--api", "native")
    assert status == 0
    assert "(native, not streamed)" in printed
    assert "anthropic native" not in printed
    assert "out  the path is not translated, and this provider speaks another dialect" in printed


def test_conversation_decides_who_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    """The same one as in the gateway: no memory is needed to know it."""
    write("aiservices.json", {**SERVICES, "$routing": {"sticky": True}})
    equal = {"vk_canary": {"credentials": ["main", "spare"]}}
    write("keys.json", {"credentials": {**KEYS["credentials"]}, "virtual_keys": equal})
    first = set()
    for number in range(12):
        _, printed, _ = offline(capsys, "vk_canary", "gpt-5.4", "--conversation", f"c{number}", "--json")
        first.add(json.loads(printed)["candidates"][0]["credential"])
    assert first == {"main", "spare"}


def test_faulty_files_are_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """What the right half of a file says would not be what the gateway does."""
    write("aiservices.json", {**SERVICES, "openai": "htps://api.openai.com"})
    status, printed, complaints = offline(capsys, "vk_canary_team", "fast")
    assert (status, printed) == (2, "")
    assert complaints.startswith("error: aiservices.json:1: openai")
    assert complaints.endswith("llmgateway explain: a gateway would not start with these files\n")


def test_bytes_that_are_no_text_do_not_break_it(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, _ = offline(capsys, "team", "m\udcff", "--conversation", "\udcff")
    assert status == 0
    assert "call:      m? (chat" in printed


# From a running gateway


def test_running_gateway_is_asked_with_the_key(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    answer(gateway, WELL)
    arguments = ("--model", "a b&c", "--api", "messages", "--stream", "--conversation", "s-1")
    assert explain(capsys, "--key", "vk_canary", *arguments)[0] == 0
    [(target, headers, _)] = gateway.requests
    assert headers["authorization"] == "Bearer vk_canary"
    assert urlsplit(target).path == "/v1/gateway/route"
    assert parse_qs(urlsplit(target).query) == {
        "model": ["a b&c"],
        "api": ["messages"],
        "stream": ["true"],
        "conversation": ["s-1"],
    }


def test_base_url_of_an_sdk_will_do(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    answer(gateway, WELL)
    assert explain(capsys, "--key", "vk", "--model", "m", "--url", f"{gateway.url}/below/v1/")[0] == 0
    assert gateway.requests[0][0].startswith("/below/v1/gateway/route?")


def test_live_state_is_shown(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    """What is out says until when, and columns with something to tell come up."""
    other = Explained(
        "anthropic",
        "claude",
        "sonnet",
        True,
        "well",
        3,
        0,
        2.5,
        "sonnet",
        tuple(each.value for each in FALLS_BACK),
        usual_s=0.51,
    )
    answer(gateway, WELL, OPEN, other)
    status, printed, complaints = explain(capsys, "--key", "vk", "--model", "gpt-5.4")
    assert (status, complaints) == (0, "")
    assert printed.splitlines() == [
        "call:      gpt-5.4 (chat, not streamed)",
        "strategy:  weighted; a conversation stays with one",
        f"told by:   the gateway at {gateway.url}, as it is now",
        "",
        "#  PROVIDER   CREDENTIAL  MODEL    ORDER  WEIGHT  IN FLIGHT  FIRST TOKEN  IS   BECAUSE",
        "1  openai     main        gpt-5.4  0      1       0                       in   well",
        "2  openai     spare       gpt-5.4  1      1       3                       out  credential spare: open, "
        "key refused; asked again in 12 s",
        "",
        "fallback sonnet, after all that lead to another candidate:",
        "3  anthropic  claude      sonnet   0      2.5     0          0.51 s       in   well",
        "",
        "2 of 3 candidates are in.",
    ]


def test_nobody_in_ends_with_1(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    answer(gateway, OPEN)
    status, printed, _ = explain(capsys, "--key", "vk", "--model", "gpt-5.4")
    assert status == 1
    assert printed.endswith("\nNo candidate is in.\n")


def test_programs_get_the_gateways_own_words(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that this version does not know."""
    document = {"model": "m", "strategy": "in_order", "sticky": False, "new": 1}
    document["candidates"] = [{**msgspec.to_builtins(OPEN), "after": [], "new": 2}]
    gateway.answer([json.dumps(document).encode()])
    status, printed, complaints = explain(capsys, "--key", "vk", "--model", "m", "--json")
    assert (status, complaints) == (1, "")
    assert json.loads(printed) == document


def test_terminal_is_safe_from_names(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    answer(gateway, msgspec.structs.replace(WELL, model="m\x1b[2J", reason="\r\n"), model="\x1b[2J")
    printed = explain(capsys, "--key", "vk", "--model", "m\x07")[1]
    assert not {"\x1b", "\r", "\x07"} & set(printed)


@pytest.mark.parametrize(
    ("status", "kind", "ends"),
    [
        (404, "model_not_found", 1),
        (400, "provider_not_configured", 1),
        (400, "dialect_mismatch", 1),
        (401, "invalid_api_key", 2),
        (503, "gateway_draining", 2),
        (500, None, 2),
    ],
)
def test_refusal_is_one_line(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str], status: int, kind: str | None, ends: int
) -> None:
    """A call without a candidate is an answer to the question; a key that is not known leaves it open."""
    headers = {"x-gw-error": kind} if kind else {}
    gateway.answer([b'{"error": {"message": "It is so.", "code": "c"}}'], status=status, headers=headers)
    found = explain(capsys, "--key", "vk", "--model", "m", "--json")
    assert found == (ends, "", f"llmgateway explain: {status} {kind or 'c'}: It is so.\n")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"object": "list", "data": []}'])
def test_something_else_that_answers_is_no_explanation(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    gateway.answer([body])
    status, printed, complaints = explain(capsys, "--key", "vk", "--model", "m")
    assert (status, printed) == (2, "")
    assert complaints.startswith("llmgateway explain: what came is not an explanation as this version knows it: ")


def test_gateway_that_does_not_run_points_to_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        status, _, complaints = explain(capsys, "--key", "vk", "--model", "m", "--url", url)
    assert status == 2
    assert complaints.splitlines() == [
        f"llmgateway explain: nothing listens at {url}; start a gateway with: twistd -n llmgateway --demo",
        "llmgateway explain: --offline tells what the files alone say",
    ]


# Usage


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "a virtual key is needed: --key KEY, or LLMGATEWAY_KEY in the environment"),
        (["--key", "vk"], "a model is needed: --model MODEL, or LLMGATEWAY_MODEL in the environment"),
        (["--key", "Zoë", "--model", "m"], "a key has printable ASCII characters only"),
        (["--key", "vk", "--model", "m", "--url", "localhost"], "--url must look like http://127.0.0.1:8080, not"),
        (["--key", "vk", "--model", "m", "--api", "chta"], "argument --api: invalid choice: 'chta' (choose from"),
        (["--key", "vk", "--mdoel", "m"], "there is no option --mdoel; did you mean --model?"),
        (["--offline", "--url", "http://x"], "--url asks a running gateway, and --offline, --keys and --aiservices"),
        (["--keys", "vk_canary_team", "--model", "m"], "--keys takes the file with the virtual keys; the key itself"),
    ],
)
def test_wrong_usage_says_what_is_right(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed, complaints = explain(capsys, *arguments)
    assert (status, printed) == (2, "")
    assert complaints.splitlines()[-1].startswith(f"llmgateway explain: error: {complaint}")


def test_help_names_the_variables_and_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, _ = explain(capsys, "-h")
    assert status == 0
    for word in ("LLMGATEWAY_KEY", "LLMGATEWAY_MODEL", "LLMGATEWAY_URL", "KEYS_FILE", "AISERVICES_FILE", "exit status"):
        assert word in printed
