"""The streams of the benchmarks are such as providers of each dialect send, and are read however they are cut."""

from __future__ import annotations

import pytest

from benchmarks.shapes import ANSWERED, CONTENT, EVENTS, WrongStream, is_answer
from benchmarks.spoken import SPOKEN, Spoken
from llm_gateway.core.apis import Api
from llm_gateway.core.translation.codecs import CODECS
from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import Text

EACH = pytest.mark.parametrize("spoken", SPOKEN.values(), ids=SPOKEN)


def stream(spoken: Spoken, *, clock: int = 0) -> list[bytes]:
    return [spoken.opening, *(spoken.event(number, clock) for number in range(EVENTS)), spoken.closing]


def read(spoken: Spoken, pieces: list[bytes]) -> list[int]:
    check = spoken.check()
    clocks = [clock for piece in pieces for clock in check.feed(piece)]
    check.finish()
    return clocks


@EACH
def test_stream_is_one_of_its_dialect(spoken: Spoken) -> None:
    decoder = CODECS[Api(spoken.name)].stream_decoder(provider="bench")
    events = [event for piece in stream(spoken) for event in decoder.feed(piece)]
    [choice] = collect([*events, *decoder.close()]).choices
    [said] = choice.parts
    assert isinstance(said, Text)
    assert said.text == "".join((CONTENT % (number, 0)).decode() for number in range(EVENTS))
    assert choice.finish is not None


@EACH
def test_answer_and_call_are_of_the_dialect(spoken: Spoken) -> None:
    codec = CODECS[Api(spoken.name)]
    [choice] = codec.decode_answer(spoken.answer, provider="bench").choices
    assert choice.parts == (Text(ANSWERED),)
    assert is_answer(spoken.answer)
    asked = codec.decode_request(spoken.call, model="m", stream=True)
    assert asked.stream
    assert asked.max_tokens is not None
    assert spoken.asks_for_stream(spoken.call)
    assert 900 < len(spoken.call) < 1200


@EACH
@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_any_cut_gives_every_event_once(spoken: Spoken, size: int) -> None:
    body = b"".join(stream(spoken, clock=5))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert read(spoken, pieces) == [5] * EVENTS


@EACH
def test_wrong_stream_is_seen(spoken: Spoken) -> None:
    events = stream(spoken)
    for wrong in (events[:-1], [*events[:40], *events[41:]], [*events[:41], *events[40:]]):
        with pytest.raises(WrongStream):
            read(spoken, wrong)
