"""
A side look at one answer: what it says that was used, and an estimate where it does not come to say it.

:func:`meter_for` has the right meter for each kind of answer; what they have in common is told in ``held``.
"""

from __future__ import annotations

from collections.abc import Callable

from llm_gateway.core.apis import Api
from llm_gateway.core.usage.answers import AnswerReader
from llm_gateway.core.usage.documents import DocumentMeter
from llm_gateway.core.usage.gemini import GeminiReader
from llm_gateway.core.usage.held import HELD_BYTES
from llm_gateway.core.usage.inflating import InflatingMeter
from llm_gateway.core.usage.kinds import Kind, kind_of
from llm_gateway.core.usage.media import ImagesReader, ReadingReader, SpeechReader, TranscriptionReader
from llm_gateway.core.usage.messages import MessagesReader
from llm_gateway.core.usage.meter import Meter, Reading, Uncounted
from llm_gateway.core.usage.openai import OpenAIReader
from llm_gateway.core.usage.streams import StreamMeter

__all__ = ["HELD_BYTES", "Meter", "Reading", "meter_for"]

# Members of an enum take Python a tenth of a microsecond to find.
_FREE, _UNKNOWN = Kind.FREE, Kind.UNKNOWN

_READERS: dict[str, Callable[[], AnswerReader]] = {"anthropic": MessagesReader, "gemini": GeminiReader}
_OPENAI_READERS: dict[Kind, Callable[[], AnswerReader]] = {
    Kind.READING: ReadingReader,
    Kind.IMAGES: ImagesReader,
    Kind.SPEECH: SpeechReader,
    Kind.TRANSCRIPTION: TranscriptionReader,
}


def meter_for(
    dialect: str, api: Api, stream: bool, encoded: bool = False, *, method: bytes = b"POST", path: bytes = b""
) -> Meter:
    """
    :param dialect: the one that the provider was asked in.
    :param api: what was asked for, by the caller or of the provider.
    :param stream: whether the answer is a stream of events.
    :param encoded: whether it is compressed.
    :param path: the provider's or ours, without the query; it tells more of what ``api`` calls other.
    """
    kind = kind_of(method, api, path)
    if kind is _FREE:
        return Uncounted()
    reader = (_READERS.get(dialect) or _OPENAI_READERS.get(kind, OpenAIReader))()
    billed = kind is not _UNKNOWN
    meter = StreamMeter(reader, billed) if stream else DocumentMeter(reader, billed)
    return InflatingMeter(meter) if encoded else meter
