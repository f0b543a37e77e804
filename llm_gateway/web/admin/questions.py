"""Reading what an operator asks for: JSON bodies, parameters, times."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from twisted.web.server import Request

from llm_gateway.config.document import MalformedDocument, Node, Object, Scalar, read_document
from llm_gateway.config.problems import nearest, shown
from llm_gateway.issuing.faults import BadQuestion, NotJson, TooLarge

__all__ = ["MAX_BODY_BYTES", "MAX_TEXT", "Parameters", "body_of", "moment_of", "object_in", "span", "struct_in"]

MAX_BODY_BYTES = 65_536
"""An entry of a key has some hundred bytes."""

MAX_TEXT = 256
"""Of a parameter: names of models are the longest."""

_JSON = re.compile(r"application/(?:json|merge-patch\+json)\s*(?:;|$)", re.IGNORECASE)
_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LATEST = datetime(3000, 1, 1, tzinfo=UTC).timestamp()
_US = 1_000_000
_DAY_US = 86_400 * _US

S = TypeVar("S", bound=msgspec.Struct)


def body_of(request: Request) -> bytes:
    """
    :raises TooLarge: it is longer than ``MAX_BODY_BYTES``.
    """
    content: Any = request.content
    content.seek(0)
    whole: bytes = content.read(MAX_BODY_BYTES + 1)
    streamed = getattr(request, "body_stream", None) is not None
    if streamed or len(whole) > MAX_BODY_BYTES or getattr(request, "body_refused", False):
        raise TooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.", headers={"connection": "close"})
    return whole


def object_in(request: Request) -> dict[str, Any]:
    """
    :return: the body, a JSON object.
    :raises BadQuestion: it is none.
    """
    whole = body_of(request)
    kind = request.getHeader(b"content-type")
    if kind is None or not _JSON.match(kind.decode("latin-1").strip()):
        raise NotJson("The body must be JSON, and its content-type application/json.")
    if (request.getHeader(b"content-encoding") or b"identity").lower() != b"identity":
        raise NotJson("The body must not be compressed.")
    try:
        node = read_document(whole.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadQuestion("The body is not UTF-8.") from None
    except MalformedDocument as error:
        message = f"The body is not JSON: line {error.line}, column {error.column}: {error.reason}."
        raise BadQuestion(message) from None
    if not isinstance(node, Object):
        raise BadQuestion(f"The body must be an object, not {node.kind}.")
    value: dict[str, Any] = _value(node)
    return value


def struct_in(request: Request, shape: type[S]) -> S:
    """
    :return: the body; an empty one says nothing, as ``{}`` does.
    :raises BadQuestion: it does not fit.
    """
    if not body_of(request):
        return shape()
    try:
        return msgspec.convert(object_in(request), shape)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        param = place.rstrip("`").lstrip(".") or None
        raise BadQuestion(f"{param}: {message}." if param else f"{message}.", param=param) from None


def _value(node: Node) -> Any:
    """
    :raises BadQuestion: a name is given twice.
    """
    if isinstance(node, Scalar):
        return node.value
    if not isinstance(node, Object):
        return [_value(each) for each in node.items]
    found: dict[str, Any] = {}
    for member in node.members:
        if member.name in found:
            raise BadQuestion(f"The body names a field twice on line {member.line}.")
        found[member.name] = _value(member.node)
    return found


class Parameters:
    """The query of a request, read strictly: what nobody knows is an error."""

    def __init__(self, request: Request, known: Collection[str]) -> None:
        """
        :raises BadQuestion: it has a parameter that is not known, or has one twice, or is not UTF-8.
        """
        self._values: dict[str, str] = {}
        given: Mapping[bytes, list[bytes]] = request.args or {}
        for raw, values in given.items():
            try:
                name, texts = raw.decode("utf-8"), [value.decode("utf-8") for value in values]
            except UnicodeDecodeError:
                raise BadQuestion("The query is not UTF-8.") from None
            if name not in known:
                near = nearest(name, known)
                guess = f"; did you mean {near!r}?" if near else f". Known: {', '.join(sorted(known)) or 'none'}."
                raise BadQuestion(f"There is no parameter {shown(name) or 'of that name'}{guess}")
            if len(texts) > 1:
                raise BadQuestion(f"{name} must be given once.", param=name)
            if len(texts[0]) > MAX_TEXT:
                raise BadQuestion(f"{name} must have {MAX_TEXT} characters at most.", param=name)
            self._values[name] = texts[0]

    def text(self, name: str) -> str | None:
        """:return: ``None`` where it is not given or is empty."""
        return self._values.get(name) or None

    def choice(self, name: str, known: Collection[str]) -> str | None:
        """
        :raises BadQuestion: it is none of those.
        """
        value = self._values.get(name)
        if value is not None and value not in known:
            raise BadQuestion(f"{name} must be one of {', '.join(known)}.", param=name)
        return value

    def whole_number(self, name: str, least: int, most: int) -> int | None:
        """
        :raises BadQuestion: it is none from ``least`` to ``most``.
        """
        value = self.text(name)
        if value is None:
            if name in self._values:
                raise BadQuestion(f"{name} must be a whole number from {least} to {most}.", param=name)
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 19 and least <= int(value) <= most):
            raise BadQuestion(f"{name} must be a whole number from {least} to {most}.", param=name)
        return int(value)

    def moment(self, name: str, now: float) -> int | None:
        """
        :param now: seconds since the epoch.
        :return: microseconds since the epoch.
        :raises BadQuestion: it is no time.
        """
        value = self.text(name)
        if value is None:
            return None
        found = moment_of(value, now)
        if found is None:
            message = f"{name} must be a time, such as 2026-11-01T00:00:00Z or 2026-11-01, or one ago: 7d, 12h."
            raise BadQuestion(message, param=name)
        return found


def moment_of(text: str, now: float | None = None) -> int | None:
    """
    :param text: a time of RFC 3339; a day, which begins in UTC; how long ago: ``90s``, ``15m``, ``12h``, ``7d``,
        ``4w``; or seconds since the epoch.
    :param now: seconds since the epoch; the time of day by default.
    :return: microseconds since the epoch; ``None`` if it is none of these.
    """
    now = time.time() if now is None else now
    ago = _AGO.fullmatch(text)
    if ago is not None:
        seconds = now - int(ago[1]) * _UNITS[ago[2]]
    elif text.isascii() and text.isdigit() and len(text) <= 11:
        seconds = float(text)
    else:
        try:
            moment = datetime.fromisoformat(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return int(seconds * _US) if 0 <= seconds < _LATEST else None


def span(given: Parameters, now: float) -> tuple[int, int]:
    """
    :param now: seconds since the epoch.
    :return: since and until, in microseconds since the epoch; the last day where nothing is said.
    :raises BadQuestion: they are none, or there is nothing between them.
    """
    until = given.moment("until", now)
    until = int(now * _US) if until is None else until
    since = given.moment("since", now)
    since = max(0, until - _DAY_US) if since is None else since
    if since >= until:
        raise BadQuestion("since must be before until.", param="since")
    return since, until
