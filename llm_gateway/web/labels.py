"""Labels that callers give to their calls, where the operator lets them."""

from __future__ import annotations

from collections.abc import Mapping
from mmap import mmap

import msgspec
from twisted.web.server import Request

from llm_gateway.config.owners import label_fault

__all__ = ["LabelSources"]


class _Said(msgspec.Struct):
    user: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()


_said = msgspec.json.Decoder(_Said)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)

MAX_READ_BYTES = 33_554_432


class LabelSources:
    """Where callers may give labels."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """
        :param sources: by label: ``header:NAME``, ``metadata:NAME`` or ``user``.
        """
        self._headers: list[tuple[str, bytes]] = []
        self._metadata: list[tuple[str, str]] = []
        self._user: list[str] = []
        for label, source in sources.items():
            kind, _, name = source.partition(":")
            if kind == "header":
                self._headers.append((label, name.lower().encode("ascii")))
            elif kind == "metadata":
                self._metadata.append((label, name))
            else:
                self._user.append(label)

    def of(self, request: Request, body: bytes | mmap | None, own: Mapping[str, str]) -> dict[str, str]:
        """
        :param own: what the key says of itself, which counts first.
        """
        if not (self._headers or self._metadata or self._user):
            return dict(own) if own else _NONE
        found: dict[str, str] = {}
        for label, name in self._headers:
            value = request.requestHeaders.getRawHeaders(name)
            if value:
                _put(found, label, value[-1].decode("utf-8", "replace"))
        if (self._metadata or self._user) and body is not None and len(body) <= MAX_READ_BYTES:
            self._read(found, body)
        found.update(own)
        return found

    def _read(self, found: dict[str, str], body: bytes | mmap) -> None:
        try:
            said = _said.decode(body)
            if bytes(said.user).startswith(b'"'):
                for label in self._user:
                    _put(found, label, _text.decode(said.user))
            if self._metadata and bytes(said.metadata).startswith(b"{"):
                fields = _fields.decode(said.metadata)
                for label, name in self._metadata:
                    value = bytes(fields.get(name, b""))
                    if value.startswith(b'"'):
                        _put(found, label, _text.decode(value))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The provider says what is wrong with it.
            return


_NONE: dict[str, str] = {}


def _put(found: dict[str, str], label: str, value: str) -> None:
    if label_fault(value) is None:
        found[label] = value
