"""The two files as their authors write them. The JSON Schemas are made from these types."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, field

from llm_gateway.config.presets import shipped_presets
from llm_gateway.core.clocks import Timeouts
from llm_gateway.core.dialects import DIALECTS
from llm_gateway.core.presets import APIS
from llm_gateway.core.translation.losses import OnUnsupported

MAX_TIMEOUT_S: Final = 86_400
"""One day: longer is a slip of the unit, such as milliseconds."""

AUTH_STYLES: Final = ("bearer", "x-api-key", "api-key", "x-goog-api-key", "none")
"""How a provider takes its key. ``none`` is for a provider without one, or with one under ``headers``."""

ON_UNSUPPORTED: Final = tuple(each.value for each in OnUnsupported if each is not OnUnsupported.DEFAULT)
"""What may be done about a field that a provider's dialect does not have. Not to say anything is a fourth way."""

MEDIA: Final = ("text", "image", "pdf", "audio", "video")

OPERATIONS: Final = ("chat", "embeddings", "images", "speech", "transcription", "moderation", "realtime")

MAX_TOKENS: Final = 1_000_000_000
"""Beyond it somebody meant something else."""

_DEFAULT_TIMEOUTS = Timeouts()


def _one_of(what: str, *choices: str, plural: str = "") -> Meta:
    """
    :param what: what the text names: ``dialect``.
    :param plural: of that, where it is not made with an s.
    """
    extra = {"what": what, "plural": plural, "choices": choices}
    return Meta(extra_json_schema={"enum": list(choices)}, extra=extra)


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
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
Tokens = Annotated[
    int, Meta(ge=1, le=MAX_TOKENS, extra={"expected": f"a whole number of tokens from 1 to {MAX_TOKENS}"})
]
PlaceName = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")]
BetaName = Annotated[str, Meta(pattern="^[A-Za-z0-9._=*-]+$")]
AllOfThem = Annotated[bool, Meta(extra_json_schema={"const": True})]
_PATTERN = "* in a name stands for any characters."

_UNSUPPORTED = (
    "What is done about a field of a translated call that the provider's dialect does not have. "
    "Default: fields that carry meaning are refused, hints are dropped."
)


class VirtualKeyEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What one virtual key stands for."""

    provider: Annotated[ProviderName, _about("Name of a provider in aiservices.json.")]
    api_key: Annotated[SecretText, _about(f"The provider's real key. {_SECRET_FORMS}")]
    name: (
        Annotated[str, Meta(min_length=1, max_length=64, description="What logs show in place of the key.")] | UnsetType
    ) = UNSET
    models: (
        Annotated[
            Annotated[list[ModelName], Meta(min_length=1)]
            | Annotated[dict[ModelName, ModelName | AllOfThem], Meta(min_length=1)],
            _about(
                "The models that this key may call: a list of names, or an object with the model that each name "
                f"stands for, or true where it stands for itself. {_PATTERN} Default: all."
            ),
        ]
        | UnsetType
    ) = UNSET
    on_unsupported: (
        Annotated[str, _one_of("policy", *ON_UNSUPPORTED, plural="policies"), _about(_UNSUPPORTED)] | UnsetType
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


class DialectEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """Where a provider speaks one of its dialects."""

    base_url: Annotated[Url, _about("What paths of this dialect are put behind.")]
    url: Annotated[Url, _about("Where chat calls go. Default: base_url with the dialect's own ending.")] | UnsetType = (
        UNSET
    )
    auth: (
        Annotated[str, _one_of("auth style", *AUTH_STYLES), _about("How the key is sent. Default: the provider's way.")]
        | UnsetType
    ) = UNSET


class ModelEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be known of a model, besides or in place of what the catalogue says."""

    upstream_name: (
        Annotated[ModelName, _about("What the provider calls it. Where both names have a *, it stands for the same.")]
        | UnsetType
    ) = UNSET
    title: Annotated[str, Meta(min_length=1, max_length=256), _about("What people call it.")] | UnsetType = UNSET
    context_window: Annotated[Tokens, _about("Tokens that it takes in all.")] | UnsetType = UNSET
    max_output_tokens: (
        Annotated[Tokens, _about("Tokens that it answers at most: the limit of calls that have to have one.")]
        | UnsetType
    ) = UNSET
    reasoning: Annotated[bool, _about("Whether it thinks before it answers.")] | UnsetType = UNSET
    sampling: Annotated[bool, _about("Whether it takes temperature and top_p.")] | UnsetType = UNSET
    inputs: (
        Annotated[list[Annotated[str, _one_of("medium", *MEDIA, plural="media")]], _about("What it reads.")] | UnsetType
    ) = UNSET
    outputs: (
        Annotated[list[Annotated[str, _one_of("medium", *MEDIA, plural="media")]], _about("What it makes.")] | UnsetType
    ) = UNSET
    operations: (
        Annotated[list[Annotated[str, _one_of("operation", *OPERATIONS)]], _about("What it is for.")] | UnsetType
    ) = UNSET


class ProviderEntry(Struct, forbid_unknown_fields=True, kw_only=True):
    """One provider: where it is, or the preset that knows."""

    preset: (
        Annotated[
            str,
            _one_of("preset", *shipped_presets().presets),
            _about("The known provider that this is. Default: the one of this name, else told from the URL."),
        ]
        | UnsetType
    ) = UNSET
    resource: Annotated[PlaceName, _about("Of the preset azure: the resource's name.")] | UnsetType = UNSET
    region: Annotated[PlaceName, _about("Of the preset bedrock: the region.")] | UnsetType = UNSET
    project: Annotated[PlaceName, _about("Of the preset vertex: the project's id.")] | UnsetType = UNSET
    location: Annotated[PlaceName, _about("Of the preset vertex: the location. Default: global.")] | UnsetType = UNSET
    api_version: (
        Annotated[
            str,
            Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$"),
            _about("Of Azure's older API, which names the deployment in the path. Without it, the newer one is used."),
        ]
        | UnsetType
    ) = UNSET
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
    dialects: (
        Annotated[
            Annotated[dict[Annotated[str, _one_of("dialect", *DIALECTS)], Url | DialectEntry], Meta(min_length=1)],
            _about("More dialects that it speaks, each with its base URL. Calls in one of them are not translated."),
        ]
        | UnsetType
    ) = UNSET
    apis: (
        Annotated[
            Annotated[list[Annotated[str, _one_of("API", *APIS)]], Meta(min_length=1)],
            _about("Which of OpenAI's two APIs for conversations it has; calls to the other are translated."),
        ]
        | UnsetType
    ) = UNSET
    models: (
        Annotated[
            list[ModelName] | dict[ModelName, ModelEntry],
            _about(f"Models besides those of the catalogue, and what is to be known of them. {_PATTERN}"),
        ]
        | UnsetType
    ) = UNSET
    on_unsupported: (
        Annotated[
            str, _one_of("policy", *ON_UNSUPPORTED, plural="policies"), _about(f"{_UNSUPPORTED} A key's own word wins.")
        ]
        | UnsetType
    ) = UNSET
    forward_beta: (
        Annotated[
            bool | list[BetaName],
            _about(
                "Which of the client's beta features, in anthropic-beta and openai-beta, are passed on: all, none or "
                "these. * in a name stands for any characters."
            ),
        ]
        | UnsetType
    ) = UNSET
