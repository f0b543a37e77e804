"""Real keys that have a name, those that have none, and the virtual keys that use them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.config.credentials import Credentials
from llm_gateway.config.load import load_configuration, read_configuration
from llm_gateway.config.values import Configuration, Secret
from llm_gateway.core.routing.settings import CredentialUse, Limits
from llm_gateway.errors import ConfigurationError

SERVICES = {"openai": "https://api.openai.com/v1/chat/completions", "mine": "https://m.example/v1/chat/completions"}
MAIN = {"provider": "openai", "api_key": "sk-main", "in_flight": 50}
SPARE = {"provider": "mine", "api_key": "${SPARE}"}


def load(folder: Path, virtual_keys: dict[str, Any], **credentials: Any) -> Configuration:
    document = {"virtual_keys": virtual_keys} | ({"credentials": credentials} if credentials else {})
    (folder / "keys.json").write_text(json.dumps(document, indent=1))
    (folder / "aiservices.json").write_text(json.dumps(SERVICES))
    files = str(folder / "keys.json"), str(folder / "aiservices.json")
    return load_configuration(*files, {"SPARE": "sk-spare"})


def uses(configuration: Configuration, key: bytes) -> tuple[CredentialUse, ...]:
    found = configuration.key_for(key)
    assert found is not None
    return found.credentials


def warnings(configuration: Configuration) -> list[str]:
    return [f"{each.place}: {each.message}" for each in configuration.warnings]


def test_virtual_key_uses_credentials_by_name(tmp_path: Path) -> None:
    """A real key stands once in the file, as its text or where it is, for any number of virtual keys."""
    configuration = load(
        tmp_path,
        {
            "vk_one": {"credentials": ["main", {"name": "spare", "order": 1, "weight": 0.5}]},
            "vk_two": {"credentials": [{"name": "spare"}]},
        },
        main=MAIN,
        spare=SPARE,
    )
    assert uses(configuration, b"vk_one") == (
        CredentialUse("main", "openai"),
        CredentialUse("spare", "mine", order=1, weight=0.5),
    )
    assert uses(configuration, b"vk_two") == (CredentialUse("spare", "mine"),)
    assert {name: (each.name, each.provider, each.api_key) for name, each in configuration.credentials.items()} == {
        "main": ("main", "openai", Secret("sk-main")),
        "spare": ("spare", "mine", Secret("sk-spare")),
    }
    assert configuration.routing.credentials == {"main": Limits(in_flight=50)}
    assert configuration.warnings == ()


def test_first_credential_is_what_the_key_is_told_by(tmp_path: Path) -> None:
    """Where one provider has to stand for the key, it is that of the first one listed, whatever its order."""
    listed = [{"name": "spare", "order": 1}, "main"]
    configuration = load(tmp_path, {"vk_one": {"credentials": listed}}, main=MAIN, spare=SPARE)
    key = configuration.key_for(b"vk_one")
    assert key is not None
    assert (key.provider, key.api_key) == ("mine", Secret("sk-spare"))


def test_plain_keys_with_the_same_real_key_share_a_credential(tmp_path: Path) -> None:
    """What one of them finds out about the real key holds for the others."""
    configuration = load(
        tmp_path,
        {
            "vk_one": {"provider": "openai", "api_key": "sk-one"},
            "vk_two": {"provider": "openai", "api_key": "sk-one"},
            "vk_three": {"provider": "mine", "api_key": "sk-one"},
        },
    )
    one, two, three = (uses(configuration, key) for key in (b"vk_one", b"vk_two", b"vk_three"))
    digits = hashlib.sha256(b"openai\0sk-one").hexdigest()[:8]
    assert one == (CredentialUse(f"real:{digits}", "openai"),)
    assert two is one
    assert three[0].name != one[0].name
    assert list(configuration.credentials) == [one[0].name, three[0].name]
    assert [each.api_key.reveal() for each in configuration.credentials.values()] == ["sk-one", "sk-one"]


def test_real_keys_with_the_same_digits_are_told_apart() -> None:
    """A call never goes out with another's real key because two digests begin alike."""
    alike = [f"sk-{number}" for number in (919, 21_151)]
    credentials = Credentials()
    first, second = (credentials.without_name("openai", api_key).credentials[0] for api_key in alike)
    digests = [hashlib.sha256(f"openai\0{api_key}".encode()).hexdigest() for api_key in alike]
    assert digests[0][:8] == digests[1][:8]
    assert (first.name, second.name) == (f"real:{digests[0][:8]}", f"real:{digests[1][:16]}")
    assert (first.api_key, second.api_key) == (Secret(alike[0]), Secret(alike[1]))


def test_credential_that_no_key_of_the_file_has_is_for_those_made_at_run_time(tmp_path: Path) -> None:
    """Which nobody knows of when the file is read."""
    configuration = load(tmp_path, {"vk_one": {"credentials": ["main"]}}, main=MAIN, spare=SPARE)
    assert warnings(configuration) == []
    assert list(configuration.credentials) == ["main", "spare"]


def test_credential_of_an_unknown_provider_is_a_warning(tmp_path: Path) -> None:
    """Told once, however many keys have it: its calls are refused, those with other credentials work."""
    keys = {f"vk_{n}": {"credentials": ["main", "lost"]} for n in range(3)}
    configuration = load(tmp_path, keys, main=MAIN, lost={"provider": "opnai", "api_key": "x"})
    assert warnings(configuration) == [
        'credentials.lost.provider: "opnai" is not in aiservices.json, so its calls are refused; did you mean '
        '"openai"? Known providers: mine, openai'
    ]
    assert configuration.credentials["lost"].provider == "opnai"


def test_preset_that_only_a_credential_names_is_there(tmp_path: Path) -> None:
    """A well-known provider needs nothing but a real key, wherever that stands."""
    groq = {"provider": "groq", "api_key": "gsk-1"}
    configuration = load(tmp_path, {"vk_one": {"credentials": ["main", "groq"]}}, main=MAIN, groq=groq)
    assert "groq" in configuration.providers
    assert configuration.warnings == ()


def test_key_of_a_faulty_credential_is_not_blamed(tmp_path: Path) -> None:
    """One mistake is told once, also when hundreds of keys depend on it; and none of them is taken for right."""
    keys = {f"vk_{n}": {"credentials": ["main", "spare"]} for n in range(3)}
    with pytest.raises(
        ConfigurationError, match=r"\A\S+keys\.json:\d+: credentials\.spare\.api_key: must not be empty\Z"
    ):
        load(tmp_path, keys, main=MAIN, spare={"provider": "mine", "api_key": ""})
    reading = read_configuration(str(tmp_path / "keys.json"), str(tmp_path / "aiservices.json"), {})
    assert len(reading.configuration.keys) == 0


def test_reload_notices_a_change_of_a_credential(tmp_path: Path) -> None:
    """Two configurations that differ in one real key or limit are not the same."""
    keys = {"vk_one": {"credentials": ["main", "spare"]}}
    before = load(tmp_path, keys, main=MAIN, spare=SPARE)
    assert load(tmp_path, keys, main=MAIN, spare=SPARE) == before
    assert load(tmp_path, keys, main=MAIN, spare=SPARE | {"api_key": "sk-new"}) != before
    assert load(tmp_path, keys, main=MAIN | {"in_flight": 51}, spare=SPARE) != before


def test_file_of_a_credential_is_watched(tmp_path: Path) -> None:
    """A new key in the file is in use soon after."""
    (tmp_path / "secret").write_text("sk-from-file\n")
    spare = {"provider": "openai", "api_key": "file:secret"}
    configuration = load(tmp_path, {"vk_one": {"credentials": ["spare"]}}, spare=spare)
    assert configuration.credentials["spare"].api_key.reveal() == "sk-from-file"
    assert str(tmp_path / "secret") in configuration.files


def test_a_thousand_keys_share_what_they_have_in_common(tmp_path: Path) -> None:
    """The credentials of a large installation take their room once."""
    keys = {f"vk_{n}": {"credentials": ["main", {"name": "spare", "order": 1}]} for n in range(1_000)}
    configuration = load(tmp_path, keys, main=MAIN, spare=SPARE)
    assert len(configuration.keys) == 1_000
    assert len({id(key.credentials) for key in configuration.keys.values()}) == 1
