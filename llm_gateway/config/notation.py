"""How the values of fields are written: types with their limits, their words for messages and for the schemas."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

MAX_TIMEOUT_S: Final = 86_400
"""One day: longer is a slip of the unit, such as milliseconds."""

MAX_TOKENS: Final = 1_000_000_000
"""Beyond it somebody meant something else."""


def one_of(what: str, *choices: str, plural: str = "") -> Meta:
    """
    :param what: what the text names: ``dialect``.
    :param plural: of that, where it is not made with an s.
    """
    extra = {"what": what, "plural": plural, "choices": choices}
    return Meta(extra_json_schema={"enum": list(choices)}, extra=extra)


def about(description: str) -> Meta:
    return Meta(description=description)


Seconds = Annotated[
    float,
    Meta(gt=0, le=MAX_TIMEOUT_S, extra={"expected": f"a number of seconds above 0 and not above {MAX_TIMEOUT_S}"}),
]
Url = Annotated[str, Meta(pattern="^https?://", extra_json_schema={"format": "uri"})]
HeaderName = Annotated[str, Meta(pattern="^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
SecretText = Annotated[str, Meta(min_length=1)]
SECRET_FORMS = (
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
PATTERN = "* in a name stands for any characters."
