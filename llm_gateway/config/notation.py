"""How the values of fields are written: types with their limits, their words for messages and for the schemas."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta

from llm_gateway.core.prices.said import MAX_DOLLARS, MAX_FACTOR

MAX_TIMEOUT_S: Final = 86_400
"""One day: longer is a slip of the unit, such as milliseconds."""

MAX_TOKENS: Final = 1_000_000_000
"""Beyond it somebody meant something else."""

MAX_COUNT: Final = 1_000_000
"""The same for calls and the like."""


def one_of(what: str, *choices: str, plural: str = "") -> Meta:
    """
    :param what: what the text names: ``dialect``.
    :param plural: of that, where it is not made with an s.
    """
    extra = {"what": what, "plural": plural, "choices": choices}
    return Meta(extra_json_schema={"enum": list(choices)}, extra=extra)


def about(description: str) -> Meta:
    return Meta(description=description)


def from_to(what: str, least: int, most: int) -> Meta:
    """
    :param what: what is wanted: ``a number of seconds``.
    """
    return Meta(ge=least, le=most, extra={"expected": f"{what} from {least} to {most}"})


def above_zero(what: str, most: int) -> Meta:
    return Meta(gt=0, le=most, extra={"expected": f"{what} above 0 and not above {most}"})


Seconds = Annotated[float, above_zero("a number of seconds", MAX_TIMEOUT_S)]
SecondsFrom0 = Annotated[float, from_to("a number of seconds", 0, MAX_TIMEOUT_S)]
Share = Annotated[float, from_to("a number", 0, 1)]
SomeShare = Annotated[float, above_zero("a number", 1)]
Factor = Annotated[float, from_to("a number", 0, MAX_COUNT)]
Count = Annotated[int, from_to("a whole number", 1, MAX_COUNT)]
CountFrom0 = Annotated[int, from_to("a whole number", 0, MAX_COUNT)]
Url = Annotated[str, Meta(pattern="^https?://", extra_json_schema={"format": "uri"})]
HeaderName = Annotated[str, Meta(pattern="^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
SecretText = Annotated[str, Meta(min_length=1)]
SECRET_FORMS = (
    "The text itself, or ${ENV_NAME} for an environment variable (anywhere in the text; $${ stands for ${), "
    "or file:/path for the content of a file, relative to the folder of this one."
)
PROVIDER_NAME: Final = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._-]{1,64}")
"""It is part of the path ``/p/{provider}/``, from which browsers and libraries take ``.`` and ``..`` away. Credentials
are named alike: what the gateway makes up for those without a name has a colon."""
ProviderName = Annotated[str, Meta(pattern=r"^(?!\.\.?$)[A-Za-z0-9._-]{1,64}$")]
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
CredentialName = Annotated[str, Meta(pattern=r"^(?!\.\.?$)[A-Za-z0-9._-]{1,64}$")]
Tokens = Annotated[int, from_to("a whole number of tokens", 1, MAX_TOKENS)]
TokenCount = Annotated[str, Meta(pattern="^[1-9][0-9]{0,9}$")]
PieceName = Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$")]
Price = (
    Annotated[str, Meta(pattern=r"^[0-9]{1,7}([.][0-9]{1,18})?$")]
    | Annotated[float, from_to("a number of dollars", 0, MAX_DOLLARS)]
)
"""Dollars, as text or as a number."""
Times = (
    Annotated[str, Meta(pattern=r"^[0-9]{1,7}([.][0-9]{1,18})?$")]
    | Annotated[float, from_to("a number", 0, MAX_FACTOR)]
)
"""The same, of what prices are multiplied by."""
PlaceName = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")]
BetaName = Annotated[str, Meta(pattern="^[A-Za-z0-9._=*-]+$")]
Name = Annotated[str, Meta(pattern=r"^(?!\.\.?$)[A-Za-z0-9._-]{1,64}$")]
LabelName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,31}$")]
LabelValue = Annotated[str, Meta(min_length=1, max_length=128)]
AllOfThem = Annotated[bool, Meta(extra_json_schema={"const": True})]
PATTERN = "* in a name stands for any characters."
