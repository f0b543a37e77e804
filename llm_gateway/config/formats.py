"""The two files as their authors write them. The JSON Schemas are made from these types."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, field

from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.dialects import DIALECTS

MAX_TIMEOUT_S: Final = 86_400
"""One day: longer is a slip of the unit, such as milliseconds."""

AUTH_STYLES: Final = ("bearer", "x-api-key", "api-key", "x-goog-api-key", "none")
"""How a provider takes its key. ``none`` is for a provider without one, or with one under ``headers``."""

_DEFAULT_TIMEOUTS = Timeouts()


def _one_of(what: str, *choices: str) -> Meta:
    """:param what: what the text names: ``dialect``."""
    return Meta(extra_json_schema={"enum": list(choices)}, extra={"what": what, "choices": choices})


def _about(description: str) -> Meta:
    return Meta(description=description)


Seconds = Annotated[
    float,
    Meta(gt=0, le=MAX_TIMEOUT_S, extra={"expected": f"a number of seconds above 0 and not above {MAX_TIMEOUT_S}"}),
]
Url = Annotated[str, Meta(pattern="^https?://", extra_json_schema={"format": "uri"})]
HeaderName = Annotated[str, Meta(pattern="^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
SecretText = Annotated[str, Meta(min_length=1)]
_SECRET_FORMS = (
    "The text itself, or ${ENV_NAME} for an environment variable (anywhere in the text; $${ stands for ${), "
    "or file:/path for the content of a file, relative to the folder of this one."
)
ProviderName = Annotated[str, Meta(pattern=r"^(?!\.\.?$)[A-Za-z0-9._-]{1,64}$")]


class VirtualKeyEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What one virtual key stands for."""

    provider: Annotated[ProviderName, _about("Name of a provider in aiservices.json.")]
    api_key: Annotated[SecretText, _about(f"The provider's real key. {_SECRET_FORMS}")]
    name: (
        Annotated[str, Meta(min_length=1, max_length=64, description="What logs show in place of the key.")] | UnsetType
    ) = UNSET


class KeysFile(Struct, forbid_unknown_fields=True, kw_only=True):
    """keys.json: who may call, and with which real key."""

    schema: Annotated[str, _about("Where editors find the schema of this file.")] | UnsetType = field(
        name="$schema", default=UNSET
    )
    virtual_keys: Annotated[
        dict[str, VirtualKeyEntry],
        _about("By virtual key: the key itself, or sha256: and its SHA-256 in hexadecimal."),
    ]


class TimeoutsEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """The four clocks of a call."""

    connect_s: Annotated[Seconds, _about("From the start to an open connection.")] = _DEFAULT_TIMEOUTS.connect_s
    first_byte_s: Annotated[Seconds, _about("From the request sent to the first byte of the answer.")] = (
        _DEFAULT_TIMEOUTS.first_byte_s
    )
    idle_s: Annotated[Seconds, _about("Between two reads of the answer.")] = _DEFAULT_TIMEOUTS.idle_s
    total_s: Annotated[Seconds, _about("From the start to the end of the answer.")] = _DEFAULT_TIMEOUTS.total_s


class HealthEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """How the provider is probed for GET /health."""

    enabled: Annotated[bool, _about("Whether it is probed at all.")] = True
    url: Annotated[Url, _about("What is probed. Default: base_url + /models, which no provider bills.")] | UnsetType = (
        UNSET
    )
    method: Annotated[str, _one_of("method", "GET", "HEAD"), _about("How it is probed.")] = "GET"


class ProviderEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """One provider. At least one of url and base_url is needed."""

    url: Annotated[Url, _about("Where chat calls go. Default: base_url with the dialect's own ending.")] | UnsetType = (
        UNSET
    )
    base_url: (
        Annotated[Url, _about("What other paths are put behind. Default: url without the dialect's own ending.")]
        | UnsetType
    ) = UNSET
    dialect: (
        Annotated[str, _one_of("dialect", *DIALECTS), _about("Default: told from the URL and the name, else openai.")]
        | UnsetType
    ) = UNSET
    auth: (
        Annotated[str, _one_of("auth style", *AUTH_STYLES), _about("How the key is sent. Default: the dialect's way.")]
        | UnsetType
    ) = UNSET
    headers: (
        Annotated[
            dict[HeaderName, SecretText],
            _about(f"Headers that are sent with every call to this provider. Their values: {_SECRET_FORMS}"),
        ]
        | UnsetType
    ) = UNSET
    forward_headers: (
        Annotated[list[HeaderName], _about("More of the client's headers that are passed on to this provider.")]
        | UnsetType
    ) = UNSET
    timeouts: TimeoutsEntry | UnsetType = UNSET
    health: HealthEntry | UnsetType = UNSET
