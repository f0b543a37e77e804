"""Streams as providers really send them, orderly or not."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.chat.answer_in import call_id_for
from llm_gateway.core.translation.chat.codec import ChatCodec
from llm_gateway.core.translation.chat.stream_in import ChatStreamDecoder
from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import (
    Audio,
    Choice,
    Citation,
    Finish,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.events import (
    Begun,
    Delta,
    Ended,
    Event,
    Failed,
    Finished,
    PartBegun,
    PartEnded,
    UsageSeen,
)
from llm_gateway.core.translation.failures import FailureKind
from llm_gateway.errors import UpstreamMalformed
from tests.core.translation.strategies import cuts, unhurried

DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    """One chunk with one choice, as OpenAI writes it."""
    choice = {"index": index, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return frame(
        {"id": "a1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice], **fields}
    )


def frame(document: Any) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def call(
    index: int | None, arguments: str | None = None, call_id: str | None = None, name: str | None = None
) -> dict[str, Any]:
    """A delta with a fragment of one call."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    found: dict[str, Any] = {"index": index, "function": function}
    if call_id is not None:
        found |= {"id": call_id, "type": "function"}
    return {"tool_calls": [found]}


def events(*pieces: bytes, provider: str = "house") -> list[Event]:
    decoder = ChatCodec().stream_decoder(provider=provider)
    return [*decoder.feed(b"".join(pieces)), *decoder.close()]


def choice_of(*pieces: bytes) -> Choice:
    (found,) = collect(events(*pieces)).choices
    return found


def parts(*deltas: dict[str, Any]) -> tuple[Part, ...]:
    return choice_of(*map(chunk, deltas), chunk(finish="stop"), DONE).parts


def assert_orderly(found: list[Event], whole: bool = True) -> None:
    """Every choice has one part open at a time, and nothing behind its reason to finish."""
    begun: set[int] = set()
    finished: set[int] = set()
    assert isinstance(found[0], Begun)
    for event in found[1:]:
        match event:
            case PartBegun(choice=index):
                assert index not in begun | finished
                begun.add(index)
            case Delta(choice=index):
                assert index in begun
            case PartEnded(choice=index):
                begun.remove(index)
            case Finished(choice=index):
                assert index not in begun | finished
                finished.add(index)
    assert not (begun and whole)


def test_stream_as_openai_writes_it() -> None:
    found = events(
        chunk({"role": "assistant", "content": "", "refusal": None}, usage=None),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk(finish="stop"),
        frame(
            {
                "id": "a1",
                "choices": [],
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 2,
                    "total_tokens": 7,
                    "prompt_tokens_details": {"cached_tokens": 1},
                },
            }
        ),
        DONE,
    )
    assert found == [
        Begun("a1", "m", 7),
        PartBegun(Text("")),
        Delta("Hel"),
        Delta("lo"),
        UsageSeen(Usage(5, 2, 1)),
        PartEnded(),
        Finished(Finish(Stop.END)),
        Ended(),
    ]


def test_calls_one_behind_the_other_are_told_as_they_come() -> None:
    decoder = ChatCodec().stream_decoder(provider="house")
    decoder.feed(chunk({"role": "assistant", "content": None}))
    assert list(decoder.feed(chunk(call(0, "", "c1", "look")))) == [PartBegun(ToolCall("c1", "look", ""))]
    assert list(decoder.feed(chunk(call(0, '{"at"')))) == [Delta('{"at"')]
    assert list(decoder.feed(chunk(call(0, ":1}")))) == [Delta(":1}")]
    assert list(decoder.feed(chunk(call(1, "", "c2", "write")))) == [
        PartEnded(),
        PartBegun(ToolCall("c2", "write", "")),
    ]


def test_calls_that_interleave_come_one_behind_the_other() -> None:
    found = events(
        chunk(call(0, "", "c1", "look")),
        chunk(call(1, "", "c2", "write")),
        chunk(call(1, '{"b"')),
        chunk(call(0, '{"a":"}')),
        chunk(call(1, ":2}")),
        chunk(call(0, '"}')),
        chunk({"content": "Done."}),
        chunk(finish="tool_calls"),
        DONE,
    )
    assert_orderly(found)
    assert collect(found).choices == (
        Choice(
            (ToolCall("c1", "look", '{"a":"}"}'), ToolCall("c2", "write", '{"b":2}'), Text("Done.")),
            Finish(Stop.TOOL_CALLS),
        ),
    )


@unhurried
@given(st.data())
def test_any_order_of_fragments_gives_the_same_calls(data: st.DataObject) -> None:
    arguments = data.draw(
        st.lists(st.sampled_from(['{"a":1}', '{"b":"\\\\"}', '{"c":{"d":["}]"]}}']), min_size=1, max_size=3)
    )
    waiting = [
        [call(at, "", f"c{at}", "look"), *(call(at, sign) for sign in said)] for at, said in enumerate(arguments)
    ]
    pieces = []
    # All calls are begun first and in order, as their indices tell.
    for each in waiting:
        pieces.append(chunk(each.pop(0)))
    while waiting := [each for each in waiting if each]:
        pieces.append(chunk(data.draw(st.sampled_from(waiting)).pop(0)))
    found = events(*pieces, chunk(finish="tool_calls"), DONE)
    assert_orderly(found)
    expected = {ToolCall(f"c{at}", "look", said) for at, said in enumerate(arguments)}
    assert set(collect(found).choices[0].parts) == expected


@pytest.mark.parametrize(
    "deltas",
    [
        # The same index for all of them, as Google's interface had it.
        [call(0, '{"a":1}', "c1", "look"), call(0, '{"b":2}', "c2", "write")],
        # No index at all.
        [call(None, '{"a":', "c1", "look"), call(None, "1}"), call(None, '{"b":2}', "c2", "write")],
        # The id again with every fragment.
        [call(0, '{"a":', "c1", "look"), call(0, "1}", "c1"), call(1, '{"b":2}', "c2", "write")],
        # The id again and no index.
        [call(None, '{"a":', "c1", "look"), call(None, "1}", "c1"), call(None, '{"b":2}', "c2", "write")],
        # The name behind the id.
        [call(0, None, "c1"), call(0, None, None, "look"), call(0, '{"a":1}'), call(1, '{"b":2}', "c2", "write")],
        # Empty ids behind the first fragment.
        [call(0, '{"a":', "c1", "look"), call(0, "1}", ""), call(1, '{"b":2}', "c2", "write")],
        # Indices that do not begin at 0.
        [call(1, '{"a":1}', "c1", "look"), call(2, '{"b":2}', "c2", "write")],
    ],
)
def test_calls_of_providers_with_ways_of_their_own(deltas: list[dict[str, Any]]) -> None:
    assert parts(*deltas) == (ToolCall("c1", "look", '{"a":1}'), ToolCall("c2", "write", '{"b":2}'))


def test_calls_without_ids_get_some() -> None:
    first, second = parts(call(0, "{}", None, "look"), call(1, "{}", None, "look"))
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id != second.id


def test_calls_without_arguments_hold_nothing_back_for_good() -> None:
    assert parts(call(0, "", "c1", "look"), call(1, "", "c2", "look"), {"content": "x"}) == (
        ToolCall("c1", "look", ""),
        ToolCall("c2", "look", ""),
        Text("x"),
    )


def test_what_waits_for_a_call_is_bounded() -> None:
    """Arguments that never close are taken for ended when too much has come behind them."""
    pieces = [chunk(call(0, '{"a":', "c1", "look"))] + [chunk({"content": "x" * 1000})] * 100
    found = events(*pieces, chunk(finish="stop"), DONE)
    assert_orderly(found)
    assert collect(found).choices[0].parts == (ToolCall("c1", "look", '{"a":'), Text("x" * 100_000))
    decoder = ChatStreamDecoder("house")
    told = sum(len(event.text) for piece in pieces for event in decoder.feed(piece) if isinstance(event, Delta))
    assert told > 30_000


def test_call_that_goes_on_behind_its_end_is_malformed() -> None:
    with pytest.raises(UpstreamMalformed, match="behind its end"):
        events(chunk(call(0, "{}", "c1", "look")), chunk(call(1, "{}", "c2", "look")), chunk(call(0, "{}")))


def test_custom_call_and_function_of_old() -> None:
    custom = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "patch", "input": ""}}
    more = {"index": 0, "custom": {"input": "}*** Begin"}}
    assert parts({"tool_calls": [custom]}, {"tool_calls": [more]}, {"tool_calls": [more]}) == (
        ToolCall("c1", "patch", "}*** Begin}*** Begin", custom=True),
    )
    assert parts({"function_call": {"name": "look", "arguments": ""}}, {"function_call": {"arguments": "{}"}}) == (
        ToolCall(call_id_for("a1", 0, 0), "look", "{}"),
    )


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_before_text(field: str) -> None:
    assert parts({field: "Hm"}, {field: "."}, {"content": "Yes", field: None}, {"content": "."}) == (
        Thinking("Hm."),
        Text("Yes."),
    )


def test_thinking_in_lists_of_mistral() -> None:
    thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
    assert parts({"content": thought}, {"content": [{"type": "text", "text": "Yes"}]}, {"content": "."}) == (
        Thinking("Hm."),
        Text("Yes."),
    )


def test_details_of_reasoning_are_the_same_as_in_the_whole_answer() -> None:
    def delta(text: str, *details: dict[str, Any]) -> dict[str, Any]:
        return {"reasoning": text, "reasoning_details": list(details)}

    head = {"type": "reasoning.text", "format": "f-v1", "index": 0}
    secret = {"type": "reasoning.encrypted", "data": "c2VjcmV0", "id": "r1", "index": 1}
    streamed = parts(
        delta("H", {**head, "text": "H"}),
        delta("m.", {"type": "reasoning.text", "text": "m.", "index": 0}),
        delta("", {"type": "reasoning.text", "signature": "c2ln", "index": 0}),
        delta("", secret),
        {"content": "Yes."},
    )
    message = {"content": "Yes.", "reasoning_details": [{**head, "text": "Hm.", "signature": "c2ln"}, secret]}
    body = msgspec.json.encode({"id": "a1", "choices": [{"message": message}]})
    assert streamed == ChatCodec().decode_answer(body, provider="house").choices[0].parts


def test_refusal_changes_why_it_finished() -> None:
    found = choice_of(chunk({"refusal": "I "}), chunk({"refusal": "won't."}), chunk(finish="stop"), DONE)
    assert found == Choice((Refusal("I won't."),), Finish(Stop.REFUSAL))


def test_sound_and_its_transcript() -> None:
    found = choice_of(
        chunk({"audio": {"id": "a", "transcript": "Hi"}}),
        chunk({"audio": {"data": "AAAA"}}),
        chunk({"audio": {"data": "BBBB", "transcript": "!"}}),
        chunk(finish="stop"),
        chunk({"audio": {"expires_at": 9}}),
        DONE,
    )
    assert found == Choice((Audio(Inline("audio/pcm", "AAAABBBB"), "a", "Hi!"),), Finish(Stop.END))


def test_images_and_citations_and_signatures_and_logprobs() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "A"}}
    token = {"token": "x", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    logprobs = {"index": 0, "delta": {"content": "x"}, "logprobs": {"content": [token], "refusal": None}}
    found = choice_of(
        frame({"id": "a1", "choices": [logprobs]}),
        chunk({"annotations": [cited]}),
        chunk({"extra_content": {"google": {"thought_signature": "s"}}}),
        chunk({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]}),
        chunk(finish="stop"),
        DONE,
    )
    text = Text("x", (Citation("https://a.test", "A"),), opaque=Opaque("gemini", "house", "s"))
    image = Image(Inline("image/png", "iVBO"))
    assert found == Choice((text, image), Finish(Stop.END), logprobs=(TokenLogprob("x", -0.5),))


def test_several_choices_in_any_order() -> None:
    found = events(
        chunk({"content": "b"}, index=1),
        chunk({"content": "a"}),
        chunk({"content": "B"}, index=1),
        chunk(finish="length"),
        chunk(finish="stop", index=1),
        DONE,
    )
    assert_orderly(found)
    assert collect(found).choices == (
        Choice((Text("a"),), Finish(Stop.LENGTH)),
        Choice((Text("bB"),), Finish(Stop.END), 1),
    )


def test_numbers_come_with_the_last_chunk_or_with_all() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    found = events(
        chunk({"content": "a"}, usage=usage),
        chunk({"content": "b"}, usage=usage),
        chunk(finish="stop", usage={**usage, "completion_tokens": 2}),
        DONE,
    )
    assert [event.usage for event in found if isinstance(event, UsageSeen)] == [Usage(5, 1), Usage(5, 2)]


def test_reason_to_finish_with_every_chunk() -> None:
    found = choice_of(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, "stop"), DONE)
    assert found == Choice((Text("ab"),), Finish(Stop.END))


def test_azures_first_chunk_says_nothing() -> None:
    first = frame({"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": []})
    assert events(first, chunk({"content": "x"}), chunk(finish="stop"), DONE)[0] == Begun("a1", "m", 7)


def test_comments_and_other_events_are_passed_over() -> None:
    found = events(b": OPENROUTER PROCESSING\n\n", b"event: ping\ndata: {}\n\n", chunk({"content": "x"}, "stop"), DONE)
    assert collect(found).choices[0].parts == (Text("x"),)


# How it ends


def test_stream_that_was_cut_has_no_end() -> None:
    found = events(chunk({"content": "x"}))
    assert found == [Begun("a1", "m", 7), PartBegun(Text("")), Delta("x")]
    assert events() == []
    assert events(b'{"id":"a1","choices":[]}') == []
    assert events(DONE) == []


def test_stream_cut_inside_an_event_has_no_end() -> None:
    found = events(chunk({"content": "x"}, "stop"), b"data: [DO")
    assert not any(isinstance(event, Ended) for event in found)


def test_stream_that_said_why_it_finished_has_an_end() -> None:
    assert isinstance(events(chunk({"content": "x"}), chunk(finish="stop"))[-1], Ended)


def test_done_without_a_reason_finishes_too() -> None:
    assert choice_of(chunk({"content": "x"}), DONE).finish == Finish(Stop.OTHER)


def test_nothing_is_read_behind_the_end() -> None:
    decoder = ChatCodec().stream_decoder(provider="house")
    decoder.feed(chunk({"content": "x"}, "stop") + DONE)
    assert not decoder.feed(chunk({"content": "y"}))
    assert not decoder.feed(b"nonsense\n\n")
    assert not decoder.close()


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ({"message": "Slow down.", "code": 429}, 429, FailureKind.RATE_LIMIT),
        ({"message": "Slow down.", "code": "rate_limit_exceeded"}, 429, FailureKind.RATE_LIMIT),
        ({"message": "Slow down.", "code": 502}, 502, FailureKind.SERVER),
        ({"message": "Slow down.", "type": "overloaded_error"}, 503, FailureKind.OVERLOADED),
        ("Slow down.", 500, FailureKind.SERVER),
    ],
)
def test_error_inside_a_stream_ends_it(error: Any, status: int, kind: FailureKind) -> None:
    found = events(chunk({"content": "x"}), frame({"error": error, "choices": []}), chunk({"content": "y"}), DONE)
    assert found[:3] == [Begun("a1", "m", 7), PartBegun(Text("")), Delta("x")]
    (failed,) = found[3:]
    assert isinstance(failed, Failed)
    assert (failed.failure.status, failed.failure.kind, failed.failure.message) == (status, kind, "Slow down.")


def test_event_that_is_called_an_error_is_one() -> None:
    (failed,) = events(b'event: error\ndata: {"message":"Slow down.","type":"overloaded_error"}\n\n')
    assert isinstance(failed, Failed)
    assert failed.failure.kind is FailureKind.OVERLOADED


# What is no stream


@pytest.mark.parametrize(
    "data",
    [
        "nonsense",
        "[]",
        "7",
        '{"choices":7}',
        '{"choices":[{"delta":{"content":7}}]}',
        '{"choices":[{"delta":{"content":[7]}}]}',
        '{"choices":[{"delta":{"tool_calls":[7]}}]}',
        '{"choices":[{"delta":{"reasoning_details":[7]}}]}',
        '{"choices":[{"index":-1,"delta":{}}]}',
        '{"choices":[{"index":99999999,"delta":{}}]}',
        '{"choices":' + "[" * 100_000,
    ],
)
@pytest.mark.parametrize("places", [[], [7], [200]])
def test_broken_event_is_told_behind_what_came_before(data: str, places: list[int]) -> None:
    stream = chunk({"content": "x"}) + f"data: {data}\n\n".encode() + chunk({"content": "y"})
    decoder = ChatCodec().stream_decoder(provider="house")
    found: list[Event] = []

    def read_all() -> None:
        for piece in cuts(stream, places):
            found.extend(decoder.feed(piece))
        found.extend(decoder.close())

    with pytest.raises(UpstreamMalformed):
        read_all()
    assert found[:3] == [Begun("a1", "m", 7), PartBegun(Text("")), Delta("x")]
    assert not any(isinstance(event, Delta) for event in found[3:])
    with pytest.raises(UpstreamMalformed):
        decoder.feed(DONE)


def test_event_that_is_too_long_is_malformed() -> None:
    decoder = ChatStreamDecoder("house", max_event_bytes=1000)
    assert len(decoder.feed(chunk({"content": "x"}) + b"data: " + b"y" * 1001)) == 3
    with pytest.raises(UpstreamMalformed, match="too long"):
        decoder.feed(b"y")


def test_calls_without_end_are_malformed() -> None:
    pieces = [chunk(call(number, "{}", f"c{number}", "look")) for number in range(1024)]
    decoder = ChatStreamDecoder("house")
    decoder.feed(b"".join(pieces))
    with pytest.raises(UpstreamMalformed, match="too many tool calls"):
        decoder.feed(chunk(call(1024, "{}", "c1024", "look")))


_DELTAS = st.sampled_from(
    [
        {"content": "x"},
        {"content": ""},
        {"reasoning_content": "t"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "t", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "d", "index": 1}]},
        {"refusal": "no"},
        {"audio": {"id": "a", "data": "AAAA"}},
        {"annotations": [{"url_citation": {"url": "u"}}]},
        {"images": [{"image_url": {"url": "https://a.test"}}]},
        {"extra_content": {"google": {"thought_signature": "s"}}},
        call(0, "{", "c0", "look"),
        call(0, "}"),
        call(1, "", "c1", "look"),
        call(1, '{"a":"}'),
        call(1, '"}'),
        call(None, "{}", None, "look"),
        {"function_call": {"arguments": "{}"}},
    ]
)


@unhurried
@given(st.lists(st.tuples(_DELTAS, st.integers(0, 1)), max_size=20))
def test_deltas_in_any_order_give_orderly_events(deltas: list[tuple[dict[str, Any], int]]) -> None:
    pieces = [chunk(delta, index=index) for delta, index in deltas]
    decoder = ChatStreamDecoder("house")
    found: list[Event] = []
    try:
        for piece in [chunk({"role": "assistant"}), *pieces, DONE]:
            found.extend(decoder.feed(piece))
    except UpstreamMalformed:
        return
    assert_orderly(found)
    assert isinstance(found[-1], Ended)


@unhurried
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=3), st.booleans())
def test_any_bytes_are_read_or_malformed(data: bytes, places: list[int], framed: bool) -> None:
    stream = b"data: " + data + b"\n\n" if framed else data
    outcomes = []
    for pieces in (cuts(stream, places), [stream]):
        decoder = ChatStreamDecoder("house", max_event_bytes=200)
        found: list[Event] = []
        try:
            for piece in pieces:
                found.extend(decoder.feed(piece))
            found.extend(decoder.close())
        except UpstreamMalformed as error:
            outcomes.append((found, error.message))
        else:
            outcomes.append((found, ""))
    assert outcomes[0] == outcomes[1]


def _broken_chunks() -> st.SearchStrategy[bytes]:
    """Chunks in which something was replaced by something else."""
    whole = chunk({"content": "x", "tool_calls": [call(0, "{}", "c", "n")["tool_calls"][0]], "reasoning": "t"}, "stop")
    values = st.sampled_from([b"null", b"7", b"[]", b"{}", b'"x"', b"-1", b"1e400", b"[[]]", b"true", b'{"a":[]}'])
    places = [at for at, (a, b) in enumerate(pairwise(whole)) if a == ord(":") and b != ord("/")]
    return st.builds(
        lambda at, value: (
            whole[: at + 1] + value + whole[at + 1 :].partition(b",")[1] + whole[at + 1 :].partition(b",")[2]
        ),
        st.sampled_from(places),
        values,
    )


@unhurried
@given(st.lists(_broken_chunks(), max_size=4))
def test_broken_chunks_are_read_or_malformed(pieces: list[bytes]) -> None:
    decoder = ChatStreamDecoder("house")
    found: list[Event] = []
    with suppress(UpstreamMalformed):
        for piece in pieces:
            found.extend(decoder.feed(piece))
        found.extend(decoder.close())
    if found and not isinstance(found[0], Failed):
        assert_orderly(found, whole=False)
