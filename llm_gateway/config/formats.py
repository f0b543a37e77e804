"""The two files as their authors write them. The JSON Schemas are made from these types."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, field

from llm_gateway.config.limits import LimitSetEntry
from llm_gateway.config.notation import (
    PATTERN,
    SECRET_FORMS,
    AllOfThem,
    BetaName,
    Count,
    CountFrom0,
    CredentialName,
    HeaderName,
    LabelName,
    LabelValue,
    ModelName,
    Name,
    PieceName,
    PlaceName,
    Price,
    ProviderName,
    Seconds,
    SecretText,
    Share,
    Times,
    TokenCount,
    Tokens,
    Url,
    about,
    one_of,
)
from llm_gateway.config.presets import shipped_presets
from llm_gateway.config.routing_formats import BreakingEntry, CredentialUseEntry, LimitsEntry
from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.operations import OPERATIONS as CALL_OPERATIONS
from llm_gateway.core.policies import OnDisconnect, OnUnpriced
from llm_gateway.core.presets import APIS
from llm_gateway.core.routing.settings import ProviderSettings
from llm_gateway.core.translation.losses import OnUnsupported

AUTH_STYLES: Final = ("bearer", "x-api-key", "api-key", "x-goog-api-key", "none")
"""How a provider takes its key. ``none`` is for a provider without one, or with one under ``headers``."""

ON_UNSUPPORTED: Final = tuple(each.value for each in OnUnsupported if each is not OnUnsupported.DEFAULT)
"""What may be done about a field that a provider's dialect does not have. Not to say anything is a fourth way."""

MEDIA: Final = ("text", "image", "pdf", "audio", "video")

OPERATIONS: Final = ("chat", "embeddings", "images", "speech", "transcription", "moderation", "realtime")

MAX_LABELS: Final = 16
LABEL_SOURCE: Final = r"^(header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}|metadata:.{1,64}|user)$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})$"

_DEFAULT_TIMEOUTS = Timeouts()
_DEFAULT_SETTINGS = ProviderSettings()

_UNSUPPORTED = (
    "What is done about a field of a translated call that the provider's dialect does not have. "
    "Default: fields that carry meaning are refused, hints are dropped."
)


class VirtualKeyEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What one virtual key stands for."""

    provider: Annotated[ProviderName, about("Name of a provider in aiservices.json.")] | UnsetType = UNSET
    api_key: Annotated[SecretText, about(f"The provider's real key. {SECRET_FORMS}")] | UnsetType = UNSET
    credentials: (
        Annotated[
            Annotated[list[CredentialName | CredentialUseEntry], Meta(min_length=1)],
            about("In place of provider and api_key: names of credentials at the top of this file, or objects."),
        ]
        | UnsetType
    ) = UNSET
    name: (
        Annotated[str, Meta(min_length=1, max_length=64, description="What logs show in place of the key.")] | UnsetType
    ) = UNSET
    models: (
        Annotated[
            Annotated[list[ModelName], Meta(min_length=1)]
            | Annotated[dict[ModelName, ModelName | AllOfThem], Meta(min_length=1)],
            about(
                "The models that this key may call: a list of names, or an object with the model that each name "
                f"stands for, or true where it stands for itself. {PATTERN} Default: all."
            ),
        ]
        | UnsetType
    ) = UNSET
    on_unsupported: (
        Annotated[str, one_of("policy", *ON_UNSUPPORTED, plural="policies"), about(_UNSUPPORTED)] | UnsetType
    ) = UNSET
    operations: (
        Annotated[
            Annotated[list[Annotated[str, one_of("operation", *CALL_OPERATIONS)]], Meta(min_length=1)],
            about("What this key may be used for. Default: everything."),
        ]
        | UnsetType
    ) = UNSET
    expires: (
        Annotated[
            str,
            Meta(pattern=_MOMENT, extra_json_schema={"format": "date-time"}),
            about("From when on it is refused, with the difference from UTC: 2027-01-31T00:00:00Z."),
        ]
        | UnsetType
    ) = UNSET
    group: Annotated[Name, about("One of the groups at the top of this file: its limits count, too.")] | UnsetType = (
        UNSET
    )
    labels: (
        Annotated[
            Annotated[dict[LabelName, LabelValue], Meta(max_length=MAX_LABELS)],
            about('What the ledger says of its calls, to add up by: {"team": "search"}.'),
        ]
        | UnsetType
    ) = UNSET
    limits: Annotated[LimitSetEntry, about("What its calls may use.")] | UnsetType = UNSET
    on_disconnect: (
        Annotated[
            str,
            one_of("policy", *(each.value for each in OnDisconnect), plural="policies"),
            about(
                "What is done where the client leaves before the end of an answer: the provider's connection is closed "
                "at once and what it wrote is estimated, or its answer is read to the end to know what it bills. "
                "Default: abort_and_estimate."
            ),
        ]
        | UnsetType
    ) = UNSET
    on_unpriced: (
        Annotated[
            str,
            one_of("policy", *(each.value for each in OnUnpriced), plural="policies"),
            about(
                "What becomes of calls for models without a price where a budget counts: refused, or counted as "
                "free of charge. Default: refuse."
            ),
        ]
        | UnsetType
    ) = UNSET


class GroupEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """Virtual keys that have something in common."""

    limits: Annotated[LimitSetEntry, about("What they may use together.")] | UnsetType = UNSET
    labels: (
        Annotated[
            Annotated[dict[LabelName, LabelValue], Meta(max_length=MAX_LABELS)],
            about("Of all of them; a key's own label of that name counts before it."),
        ]
        | UnsetType
    ) = UNSET


class CredentialEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """A real key under a name, for any number of virtual keys."""

    provider: Annotated[ProviderName, about("Name of a provider in aiservices.json.")]
    api_key: Annotated[SecretText, about(f"The provider's real key. {SECRET_FORMS}")]
    in_flight: Annotated[Count, about("Calls with it at the same time. Default: no limit.")] | UnsetType = UNSET
    limits: (
        Annotated[LimitSetEntry, about("What all calls with it may use; calls that it has no room for go elsewhere.")]
        | UnsetType
    ) = UNSET


class KeysFile(Struct, forbid_unknown_fields=True, kw_only=True):
    """keys.json: who may call, and with which real key."""

    schema: Annotated[str, about("Where editors find the schema of this file.")] | UnsetType = field(
        name="$schema", default=UNSET
    )
    credentials: (
        Annotated[
            dict[CredentialName, CredentialEntry],
            about("Real keys by name. Virtual keys name them under credentials; logs show the names."),
        ]
        | UnsetType
    ) = UNSET
    groups: Annotated[dict[Name, GroupEntry], about("By name; virtual keys name theirs.")] | UnsetType = UNSET
    limits: Annotated[LimitSetEntry, about("What all calls together may use.")] | UnsetType = UNSET
    label_from: (
        Annotated[
            Annotated[dict[LabelName, Annotated[str, Meta(pattern=LABEL_SOURCE)]], Meta(max_length=MAX_LABELS)],
            about(
                "Labels that callers give, and where: header:NAME, metadata:NAME (a field of the body's metadata) or "
                "user. A key's own labels count before them."
            ),
        ]
        | UnsetType
    ) = UNSET
    virtual_keys: Annotated[
        dict[str, VirtualKeyEntry],
        about("By virtual key: the key itself, or sha256: and its SHA-256 in hexadecimal."),
    ]


class TimeoutsEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """The four clocks of a call."""

    connect_s: Annotated[Seconds, about("From the start to an open connection.")] = _DEFAULT_TIMEOUTS.connect_s
    first_byte_s: Annotated[Seconds, about("From the request sent to the first byte of the answer.")] = (
        _DEFAULT_TIMEOUTS.first_byte_s
    )
    idle_s: Annotated[Seconds, about("Between two reads of the answer.")] = _DEFAULT_TIMEOUTS.idle_s
    total_s: Annotated[Seconds, about("From the start to the end of the answer.")] = _DEFAULT_TIMEOUTS.total_s


class HealthEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """How the provider is probed for GET /health."""

    enabled: Annotated[bool, about("Whether it is probed at all.")] = True
    url: Annotated[Url, about("What is probed. Default: base_url + /models, which no provider bills.")] | UnsetType = (
        UNSET
    )
    method: Annotated[str, one_of("method", "GET", "HEAD"), about("How it is probed.")] = "GET"


class DialectEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """Where a provider speaks one of its dialects."""

    base_url: Annotated[Url, about("What paths of this dialect are put behind.")]
    url: Annotated[Url, about("Where chat calls go. Default: base_url with the dialect's own ending.")] | UnsetType = (
        UNSET
    )
    auth: (
        Annotated[str, one_of("auth style", *AUTH_STYLES), about("How the key is sent. Default: the provider's way.")]
        | UnsetType
    ) = UNSET
    models: (
        Annotated[
            list[ModelName],
            about(f"Models that are served there: calls for them go there, in whatever dialect. {PATTERN}"),
        ]
        | UnsetType
    ) = UNSET


class ClassPricesEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is different for some calls."""

    input: Annotated[Price, about("Tokens that are read, and have no class of their own.")] | UnsetType = UNSET
    cached: Annotated[Price, about("Read from a cache. Default: input.")] | UnsetType = UNSET
    cache_write: Annotated[Price, about("Written to a cache. Default: input.")] | UnsetType = UNSET
    cache_write_1h: Annotated[Price, about("Written to a cache for an hour. Default: cache_write.")] | UnsetType = UNSET
    audio_input: Annotated[Price, about("Default: input.")] | UnsetType = UNSET
    cached_audio: Annotated[Price, about("Default: audio_input, or cached where that is not given.")] | UnsetType = (
        UNSET
    )
    image_input: Annotated[Price, about("Default: input.")] | UnsetType = UNSET
    output: Annotated[Price, about("Tokens that are written, and have no class of their own.")] | UnsetType = UNSET
    reasoning: Annotated[Price, about("Default: output.")] | UnsetType = UNSET
    audio_output: Annotated[Price, about("Default: output.")] | UnsetType = UNSET
    image_output: Annotated[Price, about("Default: output.")] | UnsetType = UNSET


class TierPricesEntry(ClassPricesEntry, forbid_unknown_fields=True, kw_only=True):
    """What is different in a service tier."""

    above: (
        Annotated[dict[TokenCount, ClassPricesEntry], about("What is different above so many tokens read.")] | UnsetType
    ) = UNSET


class PricesEntry(TierPricesEntry, forbid_unknown_fields=True, kw_only=True):
    """What a model costs, in dollars per million tokens, in place of the list of prices."""

    request: Annotated[Price, about("Dollars for each call in which tokens were used.")] | UnsetType = UNSET
    pieces: (
        Annotated[
            dict[PieceName, Price],
            about("Dollars for each piece of what is not counted in tokens: web_search, images, seconds, characters."),
        ]
        | UnsetType
    ) = UNSET
    tiers: (
        Annotated[
            dict[PieceName, TierPricesEntry],
            about("What is different in a service tier, by the name that answers have for it: priority, flex, batch."),
        ]
        | UnsetType
    ) = UNSET
    times: (
        Annotated[Times, about("In place of all others: what is charged is the list's price times this.")] | UnsetType
    ) = UNSET


class ModelEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be known of a model, besides or in place of what the catalogue says."""

    upstream_name: (
        Annotated[ModelName, about("What the provider calls it. Where both names have a *, it stands for the same.")]
        | UnsetType
    ) = UNSET
    title: Annotated[str, Meta(min_length=1, max_length=256), about("What people call it.")] | UnsetType = UNSET
    context_window: Annotated[Tokens, about("Tokens that it takes in all.")] | UnsetType = UNSET
    max_output_tokens: (
        Annotated[Tokens, about("Tokens that it answers at most: the limit of calls that have to have one.")]
        | UnsetType
    ) = UNSET
    reasoning: Annotated[bool, about("Whether it thinks before it answers.")] | UnsetType = UNSET
    sampling: Annotated[bool, about("Whether it takes temperature and top_p.")] | UnsetType = UNSET
    inputs: (
        Annotated[list[Annotated[str, one_of("medium", *MEDIA, plural="media")]], about("What it reads.")] | UnsetType
    ) = UNSET
    outputs: (
        Annotated[list[Annotated[str, one_of("medium", *MEDIA, plural="media")]], about("What it makes.")] | UnsetType
    ) = UNSET
    operations: (
        Annotated[list[Annotated[str, one_of("operation", *OPERATIONS)]], about("What it is for.")] | UnsetType
    ) = UNSET
    prices: (
        Annotated[
            PricesEntry,
            about("What it costs, in dollars per million tokens, in place of what the list of prices says."),
        ]
        | UnsetType
    ) = UNSET


class ProviderEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """One provider: where it is, or the preset that knows."""

    preset: (
        Annotated[
            str,
            one_of("preset", *shipped_presets().presets),
            about("The known provider that this is. Default: the one of this name, else told from the URL."),
        ]
        | UnsetType
    ) = UNSET
    resource: Annotated[PlaceName, about("Of the preset azure: the resource's name.")] | UnsetType = UNSET
    region: Annotated[PlaceName, about("Of the preset bedrock: the region.")] | UnsetType = UNSET
    project: Annotated[PlaceName, about("Of the preset vertex: the project's id.")] | UnsetType = UNSET
    location: Annotated[PlaceName, about("Of the preset vertex: the location. Default: global.")] | UnsetType = UNSET
    api_version: (
        Annotated[
            str,
            Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$"),
            about("Of Azure's older API, which names the deployment in the path. Without it, the newer one is used."),
        ]
        | UnsetType
    ) = UNSET
    url: Annotated[Url, about("Where chat calls go. Default: base_url with the dialect's own ending.")] | UnsetType = (
        UNSET
    )
    base_url: (
        Annotated[Url, about("What other paths are put behind. Default: url without the dialect's own ending.")]
        | UnsetType
    ) = UNSET
    dialect: (
        Annotated[str, one_of("dialect", *DIALECTS), about("Default: told from the URL and the name, else openai.")]
        | UnsetType
    ) = UNSET
    auth: (
        Annotated[str, one_of("auth style", *AUTH_STYLES), about("How the key is sent. Default: the dialect's way.")]
        | UnsetType
    ) = UNSET
    headers: (
        Annotated[
            dict[HeaderName, SecretText],
            about(f"Headers that are sent with every call to this provider. Their values: {SECRET_FORMS}"),
        ]
        | UnsetType
    ) = UNSET
    forward_headers: (
        Annotated[list[HeaderName], about("More of the client's headers that are passed on to this provider.")]
        | UnsetType
    ) = UNSET
    timeouts: TimeoutsEntry | UnsetType = UNSET
    health: HealthEntry | UnsetType = UNSET
    dialects: (
        Annotated[
            Annotated[dict[Annotated[str, one_of("dialect", *DIALECTS)], Url | DialectEntry], Meta(min_length=1)],
            about("More dialects that it speaks, each with its base URL. Calls in one of them are not translated."),
        ]
        | UnsetType
    ) = UNSET
    apis: (
        Annotated[
            Annotated[list[Annotated[str, one_of("API", *APIS)]], Meta(min_length=1)],
            about("Which of OpenAI's two APIs for conversations it has; calls to the other are translated."),
        ]
        | UnsetType
    ) = UNSET
    models: (
        Annotated[
            list[ModelName] | dict[ModelName, ModelEntry],
            about(f"Models besides those of the catalogue, and what is to be known of them. {PATTERN}"),
        ]
        | UnsetType
    ) = UNSET
    on_unsupported: (
        Annotated[
            str, one_of("policy", *ON_UNSUPPORTED, plural="policies"), about(f"{_UNSUPPORTED} A key's own word wins.")
        ]
        | UnsetType
    ) = UNSET
    ask_usage: Annotated[
        bool,
        about(
            "Whether streams of Chat Completions are asked for their numbers of tokens where the client has not asked; "
            "the chunk that has them is kept from it."
        ),
    ] = True
    limits: LimitsEntry | UnsetType = UNSET
    breaking: BreakingEntry | UnsetType = UNSET
    retry_share: Annotated[
        Share, about("Of the calls that come to it, so many may be sent to it once more. From 0 to 1.")
    ] = _DEFAULT_SETTINGS.retry_share
    retry_reserve: Annotated[CountFrom0, about("So many may be beyond the share; the share fills it up again.")] = (
        _DEFAULT_SETTINGS.retry_reserve
    )
    forward_beta: (
        Annotated[
            bool | list[BetaName],
            about(
                "Which of the client's beta features, in anthropic-beta and openai-beta, are passed on: all, none or "
                "these. * in a name stands for any characters."
            ),
        ]
        | UnsetType
    ) = UNSET
