"""The meter of an answer that is one JSON document."""

from __future__ import annotations

from collections.abc import Mapping

from llm_gateway.core.estimate import estimate_text
from llm_gateway.core.usage.held import Held
from llm_gateway.core.usage.meter import NO_PIECES, Expected, Reading
from llm_gateway.core.usage.scanning import Scan
from llm_gateway.core.usage.values import NOTHING, Source, Usage

__all__ = ["DocumentMeter"]

# Members of an enum take Python a tenth of a microsecond to find.
_PROVIDER = Source.PROVIDER


class DocumentMeter(Held):
    """Of a JSON document."""

    __slots__ = ()

    def _fold(self) -> None:
        if self._scan is None:
            self._scan = Scan(self._reader)
        self._scan.feed(self._drop(len(self._kept)))

    def so_far(self) -> Usage:
        return NOTHING

    def finish(self, whole: bool, expected: Expected = 0, pieces: Mapping[str, int] = NO_PIECES) -> Reading:
        reader, scan = self._reader, self._scan
        body = bytes(self._kept)
        self._dropped += len(body)
        self._kept.clear()
        tokens = 0.0
        if scan is None:
            told = reader.take(body)
            if told and whole:
                counted = reader.counted()
                if counted is not None and counted.has_input:
                    # Nearly all answers.
                    return Reading(counted.usage, _PROVIDER, reader.model)
            if told is None:
                # Cut, or no JSON at all.
                scan = Scan(reader, exact=True)
            elif not told:
                tokens = estimate_text(reader.said(body))
        if scan is not None:
            scan.feed(body)
            counted = reader.counted()
            tokens = 0.0 if counted is not None and counted.has_output else scan.tokens
        return self._reading(whole, tokens, expected, pieces)
