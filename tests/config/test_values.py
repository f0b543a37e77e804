"""The values of a configuration, and how little of them can be seen."""

from __future__ import annotations

import copy
import hashlib
import logging
import pickle

import msgspec
import pytest
from msgspec.structs import replace

from llm_gateway.config.values import (
    Configuration,
    Credential,
    HealthCheck,
    Provider,
    Secret,
    VirtualKey,
    made_up_credential,
)
from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.routing.settings import CredentialUse

DIGEST = hashlib.sha256(b"vk_one").digest()
KEY = VirtualKey(digest=DIGEST, fingerprint=DIGEST.hex()[:8], name=None, provider="openai", api_key=Secret("sk-canary"))
PROVIDER = Provider(
    name="openai",
    url="https://a.example/chat/completions",
    base_url="https://a.example",
    dialect="openai",
    auth="bearer",
    headers=(("x-team", Secret("canary")),),
    forward_headers=(),
    timeouts=Timeouts(),
    health=HealthCheck(url="https://a.example/models"),
)


def test_secret_is_given_only_when_asked_for() -> None:
    """Printing, formatting and logging a secret do not show it."""
    secret = Secret("sk-canary")
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r", (secret, secret), None)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", f"{[secret]}", record.getMessage()]
    assert "canary" not in "".join(shown)
    assert secret.reveal() == "sk-canary"


def test_secret_cannot_be_pickled() -> None:
    """A secret does not get into a cache or onto a queue by accident."""
    with pytest.raises(TypeError, match="a Secret is not pickled"):
        pickle.dumps(Secret("sk-canary"))


def test_secrets_are_compared_by_value() -> None:
    """A reload that brings the same keys brings an equal configuration."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_secret_from_an_environment_that_is_not_utf8_can_be_compared() -> None:
    """Bytes of an environment that are no text reach us as surrogates, which have no encoding."""
    assert Secret("\udcff") != Secret("\udcfe")


def test_copies_of_a_secret_are_the_secret() -> None:
    """Copying a configuration leaves its secrets wrapped."""
    secret = Secret("sk-canary")
    assert copy.deepcopy([secret])[0] is secret
    assert copy.copy(secret) is secret


def test_configuration_shows_neither_keys_nor_digests() -> None:
    """A configuration in a traceback or a debug log gives nothing away: short keys can be guessed from a digest."""
    configuration = Configuration(providers={"openai": PROVIDER}, keys={DIGEST: KEY})
    shown = f"{configuration!r} {configuration} {KEY!r} {PROVIDER} {msgspec.structs.asdict(configuration)['providers']}"
    assert "canary" not in shown
    assert DIGEST.hex() not in shown
    assert repr(DIGEST) not in shown


def test_key_is_found_by_what_the_caller_presents() -> None:
    """Only the whole key opens."""
    configuration = Configuration(providers={}, keys={DIGEST: KEY})
    assert configuration.key_for(b"vk_one") is KEY
    for presented in (b"", b"vk_on", b"vk_one ", b"VK_ONE", DIGEST, DIGEST.hex().encode()):
        assert configuration.key_for(presented) is None


def test_configuration_cannot_be_changed() -> None:
    """Calls share it, so nobody may edit it: not the dictionaries that it was made from either."""
    keys = {DIGEST: KEY}
    configuration = Configuration(providers={}, keys=keys)
    keys.clear()
    assert configuration.key_for(b"vk_one") is KEY
    with pytest.raises(TypeError):
        configuration.keys[DIGEST] = KEY  # type: ignore[index]  # that it cannot is the point
    with pytest.raises(AttributeError):
        configuration.keys = {}  # type: ignore[misc]  # that it cannot is the point


def test_key_without_credentials_has_the_one_that_it_stands_for() -> None:
    """Whoever builds a key from a provider and a real key gets what the loader would make of them."""
    [use] = KEY.credentials
    digits = hashlib.sha256(b"openai\0sk-canary").hexdigest()[:8]
    assert use == CredentialUse(f"real:{digits}", "openai")
    configuration = Configuration(providers={}, keys={DIGEST: KEY})
    assert dict(configuration.credentials) == {use.name: Credential(use.name, "openai", Secret("sk-canary"))}
    assert configuration.credentials[use.name] == made_up_credential("openai", "sk-canary")


def test_key_keeps_the_credentials_that_it_is_given() -> None:
    """Named ones are used as they are named."""
    uses = CredentialUse("main", "openai"), CredentialUse("spare", "openai", order=1)
    assert replace(KEY, credentials=uses).credentials == uses


def test_label_is_the_name_or_the_fingerprint() -> None:
    """Logs show what the operator called the key, else enough of its digest to find it."""
    assert KEY.label == f"key:{hashlib.sha256(b'vk_one').hexdigest()[:8]}"
    assert replace(KEY, name="team a").label == "team a"
