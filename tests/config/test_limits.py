"""Limits, groups, labels, expiry and policies of virtual keys, right and wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_gateway.config.load import load_configuration
from llm_gateway.config.values import Configuration, VirtualKey
from llm_gateway.core.limits.values import Limit, Measure, Scope, Unreachable, Window
from llm_gateway.core.policies import OnDisconnect, OnUnpriced
from llm_gateway.errors import ConfigurationError
from llm_gateway.fleet.messages import Content, Use, encode, to_worker

HERE = {"provider": "openai", "api_key": "sk-one"}


def read(folder: Path, keys: dict[str, Any]) -> Configuration:
    file = folder / "keys.json"
    file.write_text(json.dumps(keys, indent=0))
    return load_configuration(str(file), None, {})


def key(folder: Path, top: dict[str, Any] | None = None, **fields: Any) -> VirtualKey:
    [found] = read(folder, {**(top or {}), "virtual_keys": {"vk_one": {**HERE, **fields}}}).keys.values()
    return found


def wrong(folder: Path, keys: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, keys)
    return [f"{each.place}: {each.message}" for each in caught.value.problems]


def test_limits_count_for_whom_they_stand_at(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "limits": {"usd_total": "0.000000001"},
            "groups": {"lab": {"limits": {"tokens_per_day": 5}}},
            "credentials": {"main": {**HERE, "limits": {"in_flight": 2}}},
            "virtual_keys": {"vk_one": {"credentials": ["main"], "group": "lab", "limits": {"requests_per_minute": 3}}},
        },
    )
    [one] = found.keys.values()
    assert found.limits == (Limit(Scope.GLOBAL, "", Measure.DOLLARS, Window.TOTAL, 1),)
    assert found.groups["lab"].limits == (Limit(Scope.GROUP, "lab", Measure.TOKENS, Window.DAY, 5),)
    assert found.credentials["main"].limits == (Limit(Scope.CREDENTIAL, "main", Measure.IN_FLIGHT, Window.NOW, 2),)
    assert one.limits == (Limit(Scope.KEY, one.digest.hex(), Measure.REQUESTS, Window.MINUTE, 3),)
    assert one.group == "lab"


@pytest.mark.parametrize(
    ("written", "nano"),
    [
        ("12.50", 12_500_000_000),
        (12.5, 12_500_000_000),
        (0.1, 100_000_000),
        (12, 12_000_000_000),
        (1e-9, 1),
        ("0", 0),
        ("999999999.999999999", 999_999_999_999_999_999),
    ],
)
def test_dollars_are_read_as_they_are_written(tmp_path: Path, written: Any, nano: int) -> None:
    [limit] = key(tmp_path, limits={"usd_per_month": written}).limits
    assert (limit.amount, limit.window, limit.name) == (nano, Window.MONTH, "usd_per_month")


def test_limit_as_object_says_more(tmp_path: Path) -> None:
    [limit] = key(
        tmp_path,
        limits={
            "requests_per_second": {
                "limit": 9,
                "burst": 3,
                "warn_at": 0.5,
                "shadow": True,
                "unreachable": "local_share",
            }
        },
    ).limits
    assert (limit.amount, limit.burst, limit.warn_at, limit.shadow) == (9, 3, 0.5, True)
    assert limit.unreachable is Unreachable.LOCAL


def test_policies_and_expiry_are_read(tmp_path: Path) -> None:
    plain = key(tmp_path)
    assert (plain.expires, plain.operations, plain.labels, plain.limits) == (None, None, {}, ())
    assert (plain.on_disconnect, plain.on_unpriced) == (OnDisconnect.ABORT_AND_ESTIMATE, OnUnpriced.REFUSE)
    found = key(
        tmp_path,
        expires="1970-01-01T01:00:10+01:00",
        operations=["chat"],
        on_disconnect="drain_and_bill",
        on_unpriced="allow",
    )
    assert (found.expires, found.operations) == (10.0, frozenset({"chat"}))
    assert (found.on_disconnect, found.on_unpriced) == (OnDisconnect.DRAIN_AND_BILL, OnUnpriced.ALLOW)


@pytest.mark.parametrize("value", ["5f3a9c0d1e2b3c4d5e6f7a8b", "a" * 128, "018f2c3e-9d1a-7c44-8a55-0242ac120002"])
def test_label_may_be_any_name_or_number_that_people_go_by(tmp_path: Path, value: str) -> None:
    assert key(tmp_path, labels={"user": value}).labels == {"user": value}


def test_own_label_counts_before_that_of_the_group(tmp_path: Path) -> None:
    top = {"groups": {"lab": {"labels": {"team": "blue", "site": "north"}}}}
    assert key(tmp_path, top, group="lab", labels={"team": "red"}).labels == {"team": "red", "site": "north"}


def test_worker_gets_the_same(tmp_path: Path) -> None:
    keys = {
        "limits": {"usd_total": "5"},
        "label_from": {"user": "user"},
        "groups": {"lab": {"limits": {"in_flight": 5}}},
        "virtual_keys": {"vk_one": {**HERE, "group": "lab", "expires": "2999-01-01T00:00:00Z", "operations": ["chat"]}},
    }
    found = read(tmp_path, keys)
    sent = to_worker(encode(Use(1, Content.of(found))))
    assert isinstance(sent, Use)
    again = sent.content.configuration()
    assert again.keys == found.keys
    assert (again.limits, again.groups, again.label_from) == (found.limits, found.groups, found.label_from)


def vk(**fields: Any) -> dict[str, Any]:
    return {"virtual_keys": {"vk_one": {**HERE, **fields}}}


AMOUNT = 'must be a whole number, or an object with "limit", not'
DOLLARS = 'must be dollars from 0 to 999999999, with nine decimals at most: "12.50"'
PLACE = "virtual_keys[1]"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (vk(limits=[]), f"{PLACE}.limits: must be an object, not a list"),
        (vk(limits={"requests_per_minute": "5"}), f"{PLACE}.limits.requests_per_minute: {AMOUNT} a string"),
        (
            vk(limits={"requests_per_minute": 1.5}),
            f"{PLACE}.limits.requests_per_minute: must be a whole number from 0 to 1000000000000",
        ),
        (vk(limits={"in_flight": {}}), f'{PLACE}.limits.in_flight: needs a field "limit"'),
        (vk(limits={"usd_per_day": "1,50"}), f"{PLACE}.limits.usd_per_day: {DOLLARS}"),
        (vk(limits={"usd_per_day": -1}), f"{PLACE}.limits.usd_per_day: {DOLLARS}"),
        (vk(limits={"usd_per_day": {"limit": "x"}}), f"{PLACE}.limits.usd_per_day.limit: {DOLLARS}"),
        (
            vk(limits={"requests_per_minute": {"limit": 5, "burst": 6}}),
            f"{PLACE}.limits.requests_per_minute.burst: must not be above the limit itself",
        ),
        (
            vk(limits={"requests_per_day": {"limit": 5, "burst": 2}}),
            f"{PLACE}.limits.requests_per_day.burst: is of limits per second, minute or hour only",
        ),
        (vk(group="lab"), f"{PLACE}.group: there is no such group; known groups: none"),
        (vk(expires="2027-01-31"), f"{PLACE}.expires: must be a time with its difference from UTC, such as "),
        (vk(expires="2027-01-31T00:00:00"), f"{PLACE}.expires: must be a time with its difference from UTC, such as "),
        (vk(operations=[]), f"{PLACE}.operations: must not be empty; without it, the key may be used for everything"),
        (vk(operations=["chats"]), f'{PLACE}.operations[1]: unknown operation; did you mean "chat"?'),
        (vk(labels={"Team": "x"}), f"{PLACE}.labels[1]: the name of a label is 1 to 32 small letters"),
        (vk(labels={"team": "sk-abc"}), f"{PLACE}.labels[1]: must not hold a key: the ledger shows it"),
        (vk(on_disconnect="drain"), f'{PLACE}.on_disconnect: unknown policy "drain"; known policies: '),
        ({**vk(), "label_from": {"a": "body"}}, "label_from[1]: must be header:NAME, metadata:NAME or user"),
        ({**vk(), "groups": {"vk_one": {}}}, "groups[1]: the name of a group is 1 to 64"),
        ({**vk(), "groups": {"a": {"limit": 1}}}, 'groups[1]: unknown field; did you mean "limits"?'),
    ],
)
def test_what_is_wrong_is_explained(tmp_path: Path, keys: dict[str, Any], problem: str) -> None:
    [said] = wrong(tmp_path, keys)
    assert said.startswith(problem)
