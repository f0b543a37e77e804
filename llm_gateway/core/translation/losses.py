"""What a translation leaves out or changes, and whether it may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum

from llm_gateway.errors import BadRequest, GatewayError

__all__ = ["Losses", "OnUnsupported", "Unsupported", "Weight"]


class Weight(Enum):
    """What it means to leave a field out."""

    HINT = "hint"
    """The answer is of the same kind without it: cache marks, user ids, image detail, service tiers."""
    MEANING = "meaning"
    """The answer would be another: tools, formats, penalties, seeds, media."""


class OnUnsupported(Enum):
    """What is done about a field that the provider's dialect cannot say."""

    DEFAULT = "default"
    """Hints are dropped, what carries meaning is refused."""
    REJECT = "reject"
    """Both are refused."""
    DROP = "drop"
    """Both are dropped."""
    PASS = "pass"
    """The field is sent as it came, under its own name, for providers that know more than their dialect; what has no
    name of its own in the request is dropped."""


_NEVER_PASSED = frozenset({"model", "models"})
"""Names that some providers' parsers take for the model's: what a key may call is not for the caller to say."""


class Unsupported(GatewayError):
    """The caller asked for something that its provider's dialect cannot say."""

    status = 400
    kind = "unsupported_field"
    openai_type = "invalid_request_error"
    anthropic_type = "invalid_request_error"
    gemini_status = "INVALID_ARGUMENT"
    ended = "refused"


class _Fields(list[str]):
    """
    Fields in the order in which they came, each once.

    A long conversation can lose one in every part: looking through them all for each would take minutes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def __contains__(self, field: object) -> bool:
        return field in self._seen

    def append(self, field: str) -> None:
        if field not in self._seen:
            self._seen.add(field)
            super().append(field)


class Losses:
    """Collects what one translation drops and changes."""

    def __init__(self, policy: OnUnsupported = OnUnsupported.DEFAULT) -> None:
        self.policy = policy
        self.dropped: list[str] = _Fields()
        """Fields, by their names in the caller's dialect where there is one: ``logit_bias``, ``messages[2].name``."""
        self.changed: list[str] = _Fields()
        """The same of those that say something else now: ``temperature``, ``reasoning_effort``."""

    def drop(self, field: str, weight: Weight, why: str) -> bool:
        """
        Leave a field out.

        :param field: its place in the neutral conversation's or the caller's words, never its value.
        :param why: one sentence for the caller: what the provider's dialect lacks.
        :return: whether to pass it on all the same, which only fields with a name of their own can be.
        :raises Unsupported: the policy refuses that.
        """
        if self.policy is OnUnsupported.REJECT or (self.policy is OnUnsupported.DEFAULT and weight is Weight.MEANING):
            raise Unsupported(f"{field} cannot be sent to this provider: {why}", param=field)
        if self.policy is OnUnsupported.PASS and field.lower() not in _NEVER_PASSED:
            return True
        self.dropped.append(field)
        return False

    def lose(self, field: str, weight: Weight, why: str) -> None:
        """
        Leave out what has no name of its own in the request: no policy can pass that on.

        :raises Unsupported: the policy refuses that.
        """
        if self.drop(field, weight, why):
            self.dropped.append(field)

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """
        While a request is written: what is wrong with it is told in the caller's words.
        """
        try:
            yield
        except BadRequest as error:
            raise self.spelled(error) from error

    def spelled(self, error: BadRequest) -> BadRequest:
        """
        :return: the same for the caller.
        """
        return error

    def rename(self, names: Mapping[str, str]) -> None:
        """
        :param names: the caller's, by those that its tools are told of with from now on.
        """

    def change(self, field: str) -> None:
        """The field is said, but not exactly: mapped to the nearest that there is."""
        self.changed.append(field)
