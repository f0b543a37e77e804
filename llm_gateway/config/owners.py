"""Who pays for calls and what they may be used for: groups, labels, expiry, allowed operations, policies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from llm_gateway.config.credentials import tells
from llm_gateway.config.document import List, Object, Scalar
from llm_gateway.config.formats import LABEL_SOURCE, MAX_LABELS, GroupEntry
from llm_gateway.config.limits import read_limits
from llm_gateway.config.notation import PROVIDER_NAME
from llm_gateway.config.problems import Spot, begins_like_key, suggestion
from llm_gateway.config.shape import is_object, members, read_fields
from llm_gateway.config.values import Group
from llm_gateway.core.limits.values import Scope
from llm_gateway.core.operations import OPERATIONS

MAX_LABEL = 128
_LABEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_LABEL_SOURCE = re.compile(LABEL_SOURCE)


class Groups(msgspec.Struct, frozen=True):
    """All groups of one file."""

    names: frozenset[str] = frozenset()
    """Every name that is written, so that whoever uses a faulty group is not reported too."""
    right: Mapping[str, Group] = {}


def read_groups(spot: Spot) -> Groups:
    """
    :param spot: stands at an object.
    """
    found: dict[str, Group] = {}
    names = set()
    for name, there in members(spot, what="group", quote=False):
        names.add(name)
        if not PROVIDER_NAME.fullmatch(name) or tells(name):
            there.report.add(there.line, there.place, 'the name of a group is 1 to 64 letters, digits, ".", "_" or "-"')
        elif is_object(there):
            read_fields(there, GroupEntry, quote=False, aside=frozenset({"limits", "labels"}))
            limits, labels = there.field("limits"), there.field("labels")
            found[name] = Group(
                name,
                () if limits is there else read_limits(limits, Scope.GROUP, name),
                {} if labels is there else read_labels(labels),
            )
    return Groups(frozenset(names), found)


def read_labels(spot: Spot, check: Callable[[str], str | None] | None = None) -> dict[str, str]:
    """
    :param check: tells what is wrong with a value, if anything.
    """
    if not is_object(spot):
        return {}
    found: dict[str, str] = {}
    for name, there in members(spot, what="label", quote=False):
        value = there.node.value if isinstance(there.node, Scalar) else None
        if not _LABEL_NAME.fullmatch(name):
            message = "the name of a label is 1 to 32 small letters, digits and _, and begins with a letter"
            there.report.add(there.line, there.place, message)
        elif not isinstance(value, str):
            there.wrong(f"must be a string, not {there.node.kind}")
        elif check is not None and (fault := check(value)) is not None:
            there.wrong(fault)
        else:
            found[name] = value
    if len(found) > MAX_LABELS:
        spot.wrong(f"must be {MAX_LABELS} labels at most")
    return found


def label_fault(value: str) -> str | None:
    """
    :return: what is wrong with the value of a label, if anything.
    """
    if not 0 < len(value) <= MAX_LABEL or not value.isprintable():
        return f"must be 1 to {MAX_LABEL} printable characters"
    return "must not hold a key: the ledger shows it" if begins_like_key(value) else None


def source_fault(value: str) -> str | None:
    """
    :return: what is wrong with where a label comes from, if anything.
    """
    return None if _LABEL_SOURCE.fullmatch(value) else "must be header:NAME, metadata:NAME or user"


def read_group(spot: Spot, groups: Groups) -> str | None:
    """
    Check the name of the group of one key.

    :param spot: stands at the name.
    """
    name = spot.node.value if isinstance(spot.node, Scalar) else None
    if not isinstance(name, str):
        spot.wrong(f"must be a string, not {spot.node.kind}")
    elif name not in groups.names:
        spot.wrong(f"there is no such group{suggestion(name, groups.names, what='groups')}")
    else:
        return name
    return None


def read_expiry(spot: Spot) -> float | None:
    """
    :return: seconds since the epoch.
    """
    value = spot.node.value if isinstance(spot.node, Scalar) else None
    if not isinstance(value, str):
        spot.wrong(f"must be a string, not {spot.node.kind}")
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "T" not in value:
        spot.wrong("must be a time with its difference from UTC, such as 2027-01-31T00:00:00Z")
        return None
    return moment.timestamp()


def read_operations(spot: Spot) -> frozenset[str] | None:
    """
    :return: ``None`` where something has been reported.
    """
    if not isinstance(spot.node, List):
        spot.wrong(f"must be a list, not {spot.node.kind}")
        return None
    if not spot.node.items:
        spot.wrong("must not be empty; without it, the key may be used for everything")
        return None
    found: set[str] = set()
    for there in spot.items():
        value: Any = there.node.value if isinstance(there.node, Scalar) else None
        if not isinstance(value, str):
            there.wrong(f"must be a string, not {there.node.kind}")
        elif value not in OPERATIONS:
            there.wrong(f"unknown operation{suggestion(value, OPERATIONS, what='operations')}")
        else:
            found.add(value)
    return frozenset(found)


def fields_of(spot: Spot) -> frozenset[str]:
    """
    :return: the names of what is written there.
    """
    return frozenset(member.name for member in spot.node.members) if isinstance(spot.node, Object) else frozenset()
