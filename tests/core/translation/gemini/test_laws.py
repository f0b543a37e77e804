"""What is written and read again is the same; how a stream is cut changes nothing; and whole or streamed is one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import Answer, Request
from llm_gateway.core.translation.events import Event
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.gemini.codec import GeminiCodec
from llm_gateway.core.translation.losses import Losses, OnUnsupported
from tests.core.translation.gemini.reach import CODEC, REACH, TO, made_by, sayable
from tests.core.translation.strategies import answers, cuts, requests, streams

ASKED = Request("gemini-3-flash", ())
IN_ANY_ORDER = replace(REACH, canonical=False, refusals=True)
PLACES = st.lists(st.integers(0, 10_000), max_size=8)


def read(data: list[bytes], codec: GeminiCodec = CODEC) -> list[Event]:
    decoder = codec.stream_decoder(provider="google")
    return [event for piece in data for event in decoder.feed(piece)] + list(decoder.close())


@given(requests(REACH).map(sayable))
def test_a_request_that_is_written_is_read_as_it_was(request: Request) -> None:
    losses = Losses(OnUnsupported.REJECT)
    body = CODEC.encode_request(request, TO, losses)
    assert CODEC.decode_request(body, model=request.model, stream=request.stream) == request
    assert losses.dropped == []
    assert losses.changed == []


@given(answers(REACH))
def test_an_answer_that_is_written_is_read_as_it_was(answer: Answer) -> None:
    read = CODEC.decode_answer(CODEC.encode_answer(answer, ASKED), provider="google")
    assert read == made_by(answer, "google")


@given(streams(REACH), st.booleans(), PLACES)
def test_a_stream_that_is_written_is_read_as_it_was(
    stream: tuple[Answer, list[Event]], sse: bool, places: list[int]
) -> None:
    answer, events = stream
    data = GeminiCodec(sse=sse).stream_encoder(ASKED).encode(events)
    assert collect(read(cuts(data, places))) == made_by(answer, "google")


@given(streams(REACH), st.booleans(), PLACES)
def test_a_stream_may_be_cut_anywhere(stream: tuple[Answer, list[Event]], sse: bool, places: list[int]) -> None:
    data = GeminiCodec(sse=sse).stream_encoder(ASKED).encode(stream[1])
    assert read(cuts(data, places)) == read([data])


@given(streams(REACH), st.lists(st.integers(0, 100), max_size=5))
def test_events_may_come_one_by_one_or_all_at_once(stream: tuple[Answer, list[Event]], places: list[int]) -> None:
    events = stream[1]
    whole = CODEC.stream_encoder(ASKED).encode(events)
    encoder = CODEC.stream_encoder(ASKED)
    assert b"".join(encoder.encode([event]) for event in events) == whole


@given(answers(REACH) | answers(IN_ANY_ORDER))
def test_a_stream_that_is_collected_is_the_whole_answer(answer: Answer) -> None:
    streamed = CODEC.stream_encoder(ASKED).encode(exploded(answer))
    whole = CODEC.encode_answer(answer, ASKED)
    assert collect(read([streamed])) == CODEC.decode_answer(whole, provider="google")
