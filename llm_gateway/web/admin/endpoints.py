"""What the admin API has: the routes are made from this, and the OpenAPI file."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from llm_gateway.config.formats import VirtualKeyEntry
from llm_gateway.issuing.faults import (
    BadQuestion,
    Changed,
    Fault,
    FilesRefused,
    InvalidEntry,
    KeptInFile,
    NameInUse,
    NoSuchKey,
    NotJson,
    Revoked,
    StillWorking,
    TooLarge,
    Unavailable,
)
from llm_gateway.issuing.keeper import KeyView, Made
from llm_gateway.web.admin.adding import BY, MAX_BY
from llm_gateway.web.admin.questions import MAX_TEXT
from llm_gateway.web.admin.values import AuditPage, Health, KeyPage, LiveCalls, Reloaded, Rotation, Usage

__all__ = ["ENDPOINTS", "MOST_KEYS", "ORIGINS", "STATES", "TEXT", "TIMES", "Endpoint", "Parameter"]

MOST_KEYS: Final = 1_000
"""Of one page."""
MOST_AUDIT: Final = 1_000
LAST_AUDIT: Final = (1 << 53) - 1
"""As large as JSON's numbers are exact."""
FIRST_KEYS: Final = 100
"""Of a page where nobody says how many."""
STATES: Final = ("active", "expired", "revoked", "faulty")
ORIGINS: Final = ("file", "database")

WHERE: Final = ("key", "group", "model", "provider", "credential", "operation", "ended", "error", "tier")
"""What use can be narrowed down by, one value each."""


class Parameter(Struct, frozen=True):
    """One parameter of the query."""

    name: str
    about: str
    schema: dict[str, Any]
    example: Any = None


class Endpoint(Struct, frozen=True):
    """One thing that can be asked for."""

    name: str
    """The method of ``AdminApp`` that does it; also the id of the operation."""
    method: str
    path: str
    """Below ``/admin/v1``; in braces what it takes from the path."""
    about: str
    more: str = ""
    parameters: tuple[Parameter, ...] = ()
    takes: type[Struct] | None = None
    patch: bool = False
    """Whether what it takes is a merge patch of that."""
    optional: bool = False
    """Whether it takes nothing just as well."""
    gives: type[Struct] | None = None
    status: int = 200
    versioned: bool = False
    """Whether it takes ``if-match``."""
    faults: tuple[type[Fault], ...] = ()
    """Those of its own."""


_ID = (NoSuchKey, Unavailable)
_CHANGES = (NoSuchKey, KeptInFile, Changed, BadQuestion, Unavailable)
_BODY = (BadQuestion, TooLarge, NotJson)
_TIMES = "A time (2026-11-01T00:00:00Z), a day, seconds since the epoch, or how long ago: 12h, 7d."
_NUMBER: Final = {"type": "integer", "minimum": 1}
TEXT: Final = {"type": "string", "maxLength": MAX_TEXT}

TIMES: Final = (
    Parameter("since", f"From when on. {_TIMES} Default: a day ago.", TEXT, "7d"),
    Parameter("until", f"Up to when. {_TIMES} Default: now.", TEXT),
)

ENDPOINTS: Final = (
    Endpoint(
        "list_keys",
        "GET",
        "/keys",
        "List virtual keys",
        "Those of keys.json first, which can be read here and not changed; then those of the database, the oldest "
        "first.",
        (
            Parameter("origin", "Only those that are kept there.", {"type": "string", "enum": list(ORIGINS)}),
            Parameter("state", "Only those in this state.", {"type": "string", "enum": list(STATES)}),
            Parameter("group", "Only those of this group.", TEXT),
            Parameter("name", "Only the one of this name.", TEXT),
            Parameter("after", "Only those behind the one with this id.", TEXT),
            Parameter("limit", "At most so many.", {**_NUMBER, "maximum": MOST_KEYS, "default": FIRST_KEYS}),
        ),
        gives=KeyPage,
        faults=(BadQuestion, Unavailable),
    ),
    Endpoint(
        "create_key",
        "POST",
        "/keys",
        "Create a virtual key",
        "Takes what would stand in keys.json, with a name and with names of credentials of that file. The answer shows "
        "the key, this once: it is kept as its SHA-256 only.",
        takes=VirtualKeyEntry,
        gives=Made,
        status=201,
        faults=(*_BODY, InvalidEntry, NameInUse, Unavailable),
    ),
    Endpoint("get_key", "GET", "/keys/{id}", "Show a virtual key", gives=KeyView, faults=_ID),
    Endpoint(
        "edit_key",
        "PATCH",
        "/keys/{id}",
        "Change a virtual key",
        "Takes a merge patch (RFC 7396) of its entry: null takes a field away, objects are merged, lists replaced.",
        takes=VirtualKeyEntry,
        patch=True,
        gives=KeyView,
        versioned=True,
        faults=(*_CHANGES, *_BODY, InvalidEntry, NameInUse, Revoked),
    ),
    Endpoint(
        "delete_key",
        "DELETE",
        "/keys/{id}",
        "Delete a virtual key that is revoked",
        "Its name can be used again. What it used stays in the ledger.",
        status=204,
        versioned=True,
        faults=(*_CHANGES, StillWorking),
    ),
    Endpoint(
        "rotate_key",
        "POST",
        "/keys/{id}/rotate",
        "Hand out another key for the same entry",
        "The answer shows the new key, this once. The old one works for as long as is said, by default for a day. What "
        "was used counts on, and so do limits.",
        takes=Rotation,
        optional=True,
        gives=Made,
        versioned=True,
        faults=(*_CHANGES, *_BODY, Revoked),
    ),
    Endpoint(
        "revoke_key",
        "POST",
        "/keys/{id}/revoke",
        "Revoke a virtual key",
        "For good: its keys are refused from now on. Calls that are being answered go on.",
        gives=KeyView,
        versioned=True,
        faults=(*_CHANGES, TooLarge),
    ),
    Endpoint(
        "usage",
        "GET",
        "/usage",
        "Add up what was used",
        "",
        (
            Parameter(
                "by",
                f"What it is told apart by: up to {MAX_BY} of {', '.join(BY)} and label:NAME, with commas between. "
                "Default: nothing, which is the total.",
                TEXT,
                "key,day",
            ),
            *TIMES,
            *(Parameter(name, f"Only what has this {name}.", TEXT) for name in WHERE),
        ),
        gives=Usage,
        faults=(BadQuestion, Unavailable),
    ),
    Endpoint(
        "live_calls",
        "GET",
        "/calls",
        "List the calls that are being answered",
        "By all processes of the gateway. One that hangs is waited for no longer than a second, and named as missing.",
        gives=LiveCalls,
    ),
    Endpoint(
        "reload",
        "POST",
        "/reload",
        "Read keys.json and aiservices.json again, now",
        "All or nothing: files that are wrong change nothing.",
        gives=Reloaded,
        faults=(FilesRefused, TooLarge, Unavailable),
    ),
    Endpoint("health", "GET", "/health", "Say how the gateway is", gives=Health),
    Endpoint(
        "audit",
        "GET",
        "/audit",
        "List what was done, and by whom",
        "The newest first. It holds no key.",
        (
            Parameter("limit", "At most so many.", {**_NUMBER, "maximum": MOST_AUDIT, "default": FIRST_KEYS}),
            Parameter(
                "before", "Only what has a smaller id.", {"type": "integer", "minimum": 0, "maximum": LAST_AUDIT}
            ),
        ),
        gives=AuditPage,
        faults=(BadQuestion, Unavailable),
    ),
)
