"""What Google answers, whole and streamed, with everything that it leaves out or says its own way."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.core.translation.collect import collect
from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Document,
    Finish,
    Foreign,
    Image,
    Inline,
    Linked,
    Opaque,
    Part,
    Refusal,
    Request,
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
from llm_gateway.core.translation.explode import exploded
from llm_gateway.core.translation.failures import FailureKind
from llm_gateway.core.translation.gemini.codec import GeminiCodec
from llm_gateway.core.translation.gemini.frames import ArrayCutter, EventCutter
from llm_gateway.core.translation.gemini.stream import GeminiStreamDecoder
from llm_gateway.errors import UpstreamMalformed
from tests.core.translation.gemini import sdk
from tests.core.translation.gemini.reach import CODEC
from tests.core.translation.strategies import cuts

ASKED = Request("m", ())
SIGNED = Opaque("gemini", "google", "c2ln")


def document(*parts: Any, finish: str | None = "STOP", **fields: Any) -> Any:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate | fields], "modelVersion": "gemini-3-flash", "responseId": "r1"}


def whole(answer: Any) -> Answer:
    return CODEC.decode_answer(json.dumps(answer, indent=2).encode(), provider="google")


def said(*parts: Any, **fields: Any) -> tuple[Part, ...]:
    return whole(document(*parts, **fields)).choices[0].parts


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def array(*chunks: Any) -> bytes:
    return b"[" + b"\n,\r\n".join(json.dumps(chunk, indent=2).encode() for chunk in chunks) + b"\n]\n"


def events(*data: bytes) -> list[Event]:
    decoder = CODEC.stream_decoder(provider="google")
    return [event for piece in data for event in decoder.feed(piece)] + list(decoder.close())


# Whole answers


def test_a_whole_answer() -> None:
    usage = {"promptTokenCount": 8, "candidatesTokenCount": 3, "totalTokenCount": 11}
    answer = whole(document({"text": "Hello."}) | {"usageMetadata": usage, "createTime": "2023-11-14T22:13:20.5Z"})
    assert answer == Answer(
        "r1",
        "gemini-3-flash",
        (Choice((Text("Hello."),), Finish(Stop.END, detail="STOP")),),
        Usage(input=8, output=3),
        1_700_000_000,
    )


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("STOP", Stop.END),
        ("MAX_TOKENS", Stop.LENGTH),
        ("SAFETY", Stop.FILTERED),
        ("RECITATION", Stop.FILTERED),
        ("LANGUAGE", Stop.FILTERED),
        ("BLOCKLIST", Stop.FILTERED),
        ("PROHIBITED_CONTENT", Stop.FILTERED),
        ("SPII", Stop.FILTERED),
        ("IMAGE_SAFETY", Stop.FILTERED),
        ("MODEL_ARMOR", Stop.FILTERED),
        ("MALFORMED_FUNCTION_CALL", Stop.ERROR),
        ("UNEXPECTED_TOOL_CALL", Stop.ERROR),
        ("TOO_MANY_TOOL_CALLS", Stop.ERROR),
        ("CONTINUATION", Stop.PAUSE),
        ("OTHER", Stop.OTHER),
        ("SOMETHING_NEW", Stop.OTHER),
    ],
)
def test_every_reason_is_a_stop(reason: str, stop: Stop) -> None:
    assert whole(document({"text": "x"}, finish=reason)).choices[0].finish == Finish(stop, detail=reason)


def test_calls_end_an_answer_though_google_says_stop() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    finishes = [whole(document(call, finish=reason)).choices[0].finish for reason in ("STOP", "MAX_TOKENS")]
    assert finishes == [Finish(Stop.TOOL_CALLS, detail="STOP"), Finish(Stop.LENGTH, detail="MAX_TOKENS")]


@pytest.mark.parametrize("reason", ["SAFETY", "PROHIBITED_CONTENT", "JAILBREAK"])
def test_a_blocked_prompt_is_an_answer_that_was_filtered(reason: str) -> None:
    blocked: Any = {"promptFeedback": {"blockReason": reason}, "responseId": "r1"}
    blocked["usageMetadata"] = {"promptTokenCount": 4, "totalTokenCount": 4}
    answer = whole(blocked)
    assert answer.choices == (Choice((), Finish(Stop.FILTERED, detail=reason)),)
    assert answer.usage == Usage(input=4, output=0)
    assert collect(events(sse(blocked))) == answer
    assert isinstance(events(sse(blocked))[-1], Ended)
    again = sdk.response(CODEC.encode_answer(answer, ASKED))
    if reason == "JAILBREAK":
        assert again.prompt_feedback is not None
        assert again.prompt_feedback.block_reason == "JAILBREAK"
    else:
        assert again.candidates is not None
        assert again.candidates[0].finish_reason == reason


def test_an_answer_about_nothing_is_one_all_the_same() -> None:
    answer = whole({"usageMetadata": {"promptTokenCount": 4}, "modelVersion": "m"})
    assert answer.choices == (Choice((), Finish(Stop.OTHER)),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"<html>",
        b'{"candidates":5}',
        b'{"candidates":[{"content":{"parts":[{"text":1}]}}]}',
        b'{"candidates":[{"index":64}]}',
        b'{"candidates":[{"index":-1}]}',
        b'{"error":{"code":500}}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":[1]}}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"audio/wav","data":"!"}}]}}]}',
        b'{"modelVersion":"\xff"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        CODEC.decode_answer(body, provider="google")


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ([{"text": "a"}, {"text": "b"}], [Text("ab")]),
        ([{"text": "a", "thought": True}, {"text": "b"}], [Thinking("a", summary=True), Text("b")]),
        (
            [{"text": "a"}, {"text": "", "thoughtSignature": "c2ln"}, {"text": "b"}],
            [Text("a", opaque=SIGNED), Text("b")],
        ),
        ([{"thoughtSignature": "c2ln"}], [Text("", opaque=SIGNED)]),
        ([{"text": ""}], []),
        (
            [{"functionCall": {"id": "c1", "name": "f", "args": {"a": [1, "ü"]}}, "thoughtSignature": "c2ln"}],
            [ToolCall("c1", "f", '{"a":[1,"\\u00fc"]}', SIGNED)],
        ),
        ([{"functionCall": {"id": "c1", "name": "f"}}], [ToolCall("c1", "f", "{}")]),
        ([{"inlineData": {"mimeType": "image/png", "data": "QQ=="}}], [Image(Inline("image/png", "QQ=="))]),
        (
            [{"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}}],
            [Document(Inline("application/pdf", "QQ=="))],
        ),
        (
            [{"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a"}}],
            [Image(Linked("https://example.com/a", "image/png"))],
        ),
        (
            [{"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "QQ=="}}],
            [Audio(Inline("audio/L16;rate=24000", "QQ=="))],
        ),
    ],
)
def test_parts_of_an_answer(wire: list[Any], expected: list[Part]) -> None:
    assert said(*wire) == tuple(expected)


def test_parts_that_only_google_has_are_kept_whole() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}, "thoughtSignature": "c2ln"}
    film = {"inlineData": {"mimeType": "video/mp4", "data": "QQ=="}}
    found = said({"text": "a"}, code, film)
    assert [(part.kind, json.loads(bytes(part.raw))) for part in found if isinstance(part, Foreign)] == [
        ("executableCode", code),
        ("inlineData", film),
    ]


def test_calls_without_ids_get_some_of_their_own_in_every_answer() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    first, second = document(call, call), document(call)
    second["responseId"] = "r2"
    ids = [
        part.id for answer in (first, second) for part in whole(answer).choices[0].parts if isinstance(part, ToolCall)
    ]
    assert len(set(ids)) == 3
    assert whole(first) == whole(first) == collect(events(sse(first)))
    assert all(len(call_id) <= 40 for call_id in ids)


def test_an_answer_without_an_id_gets_one() -> None:
    answer = document({"text": "x"})
    del answer["responseId"]
    assert whole(answer).id.startswith("gw-")


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"promptTokenCount": 5}, Usage(input=5)),
        ({"promptTokenCount": 5, "totalTokenCount": 5}, Usage(input=5, output=0)),
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 12},
            Usage(input=5, output=7, reasoning=4),
        ),
        (
            {"promptTokenCount": 5, "toolUsePromptTokenCount": 6, "thoughtsTokenCount": 4, "totalTokenCount": 17},
            Usage(input=11, output=6, reasoning=4, tool_input=6),
        ),
        (
            {
                "promptTokenCount": 5,
                "cachedContentTokenCount": 2,
                "candidatesTokenCount": 3,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}, {"modality": "AUDIO", "tokenCount": 4}],
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
            },
            Usage(input=5, output=3, cached_input=2, audio_input=4, audio_output=3),
        ),
        ({"promptTokenCount": "many"}, Usage()),
    ],
)
def test_usage(counts: Any, usage: Usage) -> None:
    assert whole(document({"text": "x"}) | {"usageMetadata": counts}).usage == usage


def test_logprobs() -> None:
    chosen = [{"token": "a", "tokenId": 5, "logProbability": -0.5}, {"token": "b", "logProbability": -1}]
    result = {"chosenCandidates": chosen, "topCandidates": [{"candidates": chosen}]}
    answer = whole(document({"text": "ab"}, logprobsResult=result, avgLogprobs=-0.75))
    expected = (TokenLogprob("a", -0.5, top=(TokenLogprob("a", -0.5), TokenLogprob("b", -1))), TokenLogprob("b", -1))
    assert answer.choices[0].logprobs == expected
    again = sdk.response(CODEC.encode_answer(answer, ASKED))
    assert again.candidates is not None
    assert again.candidates[0].avg_logprobs == -0.75


GROUNDING = {
    "webSearchQueries": ["rain"],
    "groundingChunks": [
        {"web": {"uri": "https://example.com/a", "title": "A"}},
        {"retrievedContext": {"uri": "gs://b/c", "title": "C", "text": "It will."}},
    ],
    "groundingSupports": [
        {"segment": {"startIndex": 7, "endIndex": 13, "text": "Regen."}, "groundingChunkIndices": [0, 1, 9]},
        {"segment": {"endIndex": 6, "text": "Ärger"}, "groundingChunkIndices": [0]},
    ],
}
CITED = (
    Citation("https://example.com/a", "A", start=6, end=12),
    Citation("gs://b/c", "C", "It will.", start=6, end=12),
    Citation("https://example.com/a", "A", start=0, end=5),
)


def test_sources_of_searches_are_counted_in_characters() -> None:
    assert said({"text": "Ärger Regen."}, groundingMetadata=GROUNDING) == (Text("Ärger Regen.", CITED),)
    chunks = [document({"text": text}, finish=None) for text in ("Ärger ", "Rege")]
    chunks.append(document({"text": "n."}, groundingMetadata=GROUNDING))
    assert collect(events(sse(*chunks))).choices[0].parts == (Text("Ärger Regen.", CITED),)


def test_a_source_is_of_the_text_that_has_its_passage() -> None:
    support = {"segment": {"partIndex": 2, "endIndex": 4, "text": "rain"}, "groundingChunkIndices": [0]}
    grounding = {"groundingChunks": GROUNDING["groundingChunks"], "groundingSupports": [support]}
    code = {"executableCode": {"code": "1"}}
    first, _code, second = said({"text": "rainy"}, code, {"text": "rain"}, groundingMetadata=grounding)
    assert first == Text("rainy")
    assert second == Text("rain", (Citation("https://example.com/a", "A", start=0, end=4),))


def test_recitations_are_sources_too() -> None:
    cited = {"citationSources": [{"startIndex": 0, "endIndex": 3, "uri": "https://example.com/poem", "license": "x"}]}
    text, _call = said({"text": "abcdef"}, {"functionCall": {"name": "f"}}, citationMetadata=cited)
    assert text == Text("abcdef", (Citation("https://example.com/poem", start=0, end=3),))


@pytest.mark.parametrize("name", ["groundingMetadata", "citationMetadata", "logprobsResult"])
@pytest.mark.parametrize("broken", [5, [], {"groundingChunks": 5, "citationSources": 5, "chosenCandidates": 5}])
def test_text_is_read_whatever_is_wrong_with_its_sources(name: str, broken: Any) -> None:
    assert said({"text": "x"}, **{name: broken}) == (Text("x"),)


# Streams


def test_a_stream_says_what_it_knows_as_soon_as_it_does() -> None:
    usage = {"promptTokenCount": 8, "candidatesTokenCount": 1}
    decoder = CODEC.stream_decoder(provider="google")
    first = decoder.feed(sse(document({"text": "Hel"}, finish=None) | {"usageMetadata": usage}))
    second = decoder.feed(sse(document({"text": "lo"}, finish=None) | {"usageMetadata": usage}))
    last = decoder.feed(
        sse(document({"text": ""}) | {"usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 2}})
    )
    assert first == [
        Begun("r1", "gemini-3-flash"),
        UsageSeen(Usage(input=8, output=1)),
        PartBegun(Text("")),
        Delta("Hel"),
    ]
    assert second == [Delta("lo")]
    assert last == []
    assert decoder.close() == [
        PartEnded(),
        Finished(Finish(Stop.END, detail="STOP")),
        UsageSeen(Usage(input=8, output=2)),
        Ended(),
    ]


def test_choices_may_interleave() -> None:
    def chunk(index: int, text: str, finish: str | None = None) -> Any:
        return document({"text": text}, finish=finish, index=index)

    stream = sse(chunk(0, "a"), chunk(1, "x"), chunk(0, "b", "STOP"), chunk(1, "y", "MAX_TOKENS"))
    answer = collect(events(stream))
    assert [(choice.index, choice.parts) for choice in answer.choices] == [(0, (Text("ab"),)), (1, (Text("xy"),))]
    assert isinstance(events(stream)[-1], Ended)
    assert not any(isinstance(event, Ended) for event in events(stream[: stream.rindex(b"data: ")]))


@pytest.mark.parametrize("form", [sse, array])
def test_a_stream_that_says_no_reason_was_cut(form: Any) -> None:
    found = events(
        form(document({"text": "a"}, finish=None), document({"text": "b"}, finish="FINISH_REASON_UNSPECIFIED"))
    )
    assert not any(isinstance(event, Ended) for event in found)
    assert collect(found).choices == (Choice((Text("ab"),), None),)


def test_sound_that_comes_in_pieces_is_one_recording() -> None:
    sound = bytes(range(11))
    pieces = [sound[:2], sound[2:3], sound[3:7], sound[7:]]

    def chunk(data: bytes) -> Any:
        return document({"inlineData": {"mimeType": "audio/wav", "data": base64.b64encode(data).decode()}}, finish=None)

    answer = collect(events(sse(*map(chunk, pieces))))
    assert answer.choices[0].parts == (Audio(Inline("audio/wav", base64.b64encode(sound).decode())),)


def test_sound_is_written_in_whole_groups() -> None:
    data = base64.b64encode(bytes(range(11))).decode()
    encoder = CODEC.stream_encoder(ASKED)
    begun: list[Event] = [Begun("r", "m"), PartBegun(Audio(Inline("audio/wav", "")))]
    deltas: list[Event] = [Delta(audio=data[at : at + 3]) for at in range(0, len(data), 3)]
    stream = encoder.encode([*begun, *deltas, PartEnded(), Finished(Finish(Stop.END)), Ended()])
    for chunk in stream.removesuffix(b"\r\n\r\n").split(b"\r\n\r\n"):
        sdk.response(chunk.removeprefix(b"data: "))
    assert collect(events(stream)).choices[0].parts == (Audio(Inline("audio/wav", data)),)


ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    "data",
    [
        sse(ERROR),
        array(ERROR),
        json.dumps(ERROR, indent=2).encode(),
        sse(document({"text": "a"}, finish=None), ERROR),
        array(document({"text": "a"}, finish=None), ERROR),
        sse(document({"text": "a"}, finish=None), ERROR, document({"text": "b"})),
    ],
)
def test_an_error_ends_a_stream(data: bytes) -> None:
    found = events(data)
    assert isinstance(found[-1], Failed)
    assert found[-1].failure.kind is FailureKind.OVERLOADED
    assert found[-1].failure.status == 503
    assert not any(isinstance(event, Ended) for event in found)


STREAM = [
    document({"text": 'Sch\u00f6n "{[\\', "thought": True}, finish=None),
    document({"text": "a\u2028b }]\\\\"}, finish=None) | {"usageMetadata": {"promptTokenCount": 3}},
    document({"functionCall": {"name": "f", "args": {"a": '"{'}}}, {"functionCall": {"name": "f"}}),
]


@given(form=st.sampled_from([sse, array]), places=st.lists(st.integers(0, 5000), max_size=12))
def test_a_stream_may_be_cut_anywhere(form: Any, places: list[int]) -> None:
    data = form(*STREAM)
    assert events(*cuts(data, places)) == events(data)


@pytest.mark.parametrize("form", [sse, array])
def test_a_stream_may_come_byte_by_byte(form: Any) -> None:
    data = form(*STREAM)
    assert events(*(data[at : at + 1] for at in range(len(data)))) == events(data)


def test_events_of_any_shape_are_read() -> None:
    one, two, three = (json.dumps(chunk) for chunk in STREAM)
    lines = json.dumps(STREAM[0], indent=1).splitlines()
    odd = ": hello\n\n" + "".join(f"data: {line}\n" for line in lines) + f"\ndata:{two}\n\nid: 5\ndata: {three}\r\n\r\n"
    assert (
        events(odd.encode())
        == events(f"data: {one}\n\ndata: {two}\n\ndata: {three}\n\n".encode())
        == events(sse(*STREAM))
    )
    first = f"data: {one}\n\n".encode()
    assert events(first, f"data: {two}\n\n: x\n\ndata: {three}\n\n".encode()) == events(sse(*STREAM))


@pytest.mark.parametrize("lead", [b"", b": x\r\n", b"event: message\r\n"])
def test_many_events_in_one_piece_are_many(lead: bytes) -> None:
    first, *rest = (sse(chunk) for chunk in (*STREAM[:2], *STREAM[1:]))
    assert events(first, lead + b"".join(rest)) == events(first, *rest)


@pytest.mark.parametrize(
    "data",
    [
        b'[{"a":1} x]',
        b"[5]",
        b'["a"]',
        b'{"candidates":[]} trailing',
        b"data: {\r\n\r\n",
        b"data: 5\n\n",
    ],
)
def test_what_is_no_stream_is_malformed(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        events(data)


def test_an_end_of_openais_is_passed_over() -> None:
    assert events(sse(*STREAM) + b"data: [DONE]\r\n\r\n") == events(sse(*STREAM))


@pytest.mark.parametrize("cut", [b'data: {"candidates"', b'[{"candidates":[', b'[{"a":"'])
def test_a_stream_that_breaks_off_within_a_chunk_is_malformed(cut: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        events(cut)


@pytest.mark.parametrize("cutter", [EventCutter, ArrayCutter])
def test_a_chunk_may_not_be_longer_than_there_is_room_for(cutter: Any) -> None:
    held = cutter(1000)
    held.feed(b"data: {" if cutter is EventCutter else b"[{")
    with pytest.raises(UpstreamMalformed):
        fill(held)


def fill(cutter: EventCutter | ArrayCutter) -> None:
    for _ in range(1000):
        cutter.feed(b'"aaaaaaaaaa",')


def test_a_picture_of_many_megabytes_is_read() -> None:
    data = "A" * 4_000_000
    stream = sse(document({"inlineData": {"mimeType": "image/png", "data": data}}))
    pieces = [stream[at : at + 65_536] for at in range(0, len(stream), 65_536)]
    assert collect(events(*pieces)).choices[0].parts == (Image(Inline("image/png", data)),)


def test_long_text_is_not_held_for_the_sake_of_its_sources() -> None:
    decoder = GeminiStreamDecoder("google")
    chunk = sse(document({"text": "x" * 10_000}, finish=None))
    for _ in range(200):
        decoder.feed(chunk)
    last = decoder.feed(sse(document({"text": ""}, groundingMetadata=GROUNDING)))
    citations = [event.citation for event in last if isinstance(event, Delta) and event.citation is not None]
    assert {citation.start for citation in citations} == {None}
    assert {citation.url for citation in citations} == {"https://example.com/a", "gs://b/c"}


ANSWER = document(
    {"text": "a", "thought": True},
    {"text": "b", "thoughtSignature": "c2ln"},
    {"functionCall": {"id": "x", "name": "f", "args": {"a": 1}}},
    {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
    groundingMetadata=GROUNDING,
    logprobsResult={"chosenCandidates": [{"token": "a", "logProbability": -1}]},
) | {"usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}]}}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "STOP", "audio/wav", "QQ=="])
    | st.lists(st.integers(0, 5), max_size=2)
    | st.dictionaries(st.sampled_from(["text", "index", "x"]), st.integers(-1, 100), max_size=2)
)


def places(value: Any) -> list[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [found for key in keys for found in places(value[key])]


@given(st.lists(st.tuples(st.integers(0, 1000), VALUES), min_size=1, max_size=3), st.sampled_from([sse, array]))
def test_whatever_a_provider_sends_is_read_or_malformed(broken: list[tuple[int, Any]], form: Any) -> None:
    answer = json.loads(json.dumps(ANSWER))
    for number, value in broken:
        found = places(answer)
        container, key = found[number % len(found)]
        container[key] = value
    with contextlib.suppress(UpstreamMalformed):
        CODEC.encode_answer(whole(answer), ASKED)
    with contextlib.suppress(UpstreamMalformed):
        CODEC.stream_encoder(ASKED).encode(events(form(answer, answer)))


# For Google's callers


def test_every_chunk_has_a_part() -> None:
    answer = Answer(
        "r",
        "m",
        (
            Choice(
                (Thinking("a", Opaque("messages", "anthropic", "x")), Text("b"), ToolCall("c", "f", "{}")),
                Finish(Stop.END),
            ),
        ),
        Usage(input=1, output=1),
    )
    stream = CODEC.stream_encoder(ASKED).encode(exploded(answer))
    chunks = [sdk.response(piece[6:]) for piece in stream.removesuffix(b"\r\n\r\n").split(b"\r\n\r\n")]
    for chunk in chunks:
        assert chunk.candidates is not None
        assert chunk.candidates[0].content is not None
        assert chunk.candidates[0].content.parts
        assert chunk.response_id == "r"
        assert chunk.model_version == "m"


def test_a_filtered_stream_has_nothing_in_its_chunk() -> None:
    events: list[Event] = [Begun("r", "m"), Finished(Finish(Stop.FILTERED)), Ended()]
    chunk = sdk.response(CODEC.stream_encoder(ASKED).encode(events)[6:])
    assert chunk.candidates is not None
    assert chunk.candidates[0].content is None
    assert chunk.candidates[0].finish_reason == "SAFETY"


def test_an_array_is_one_document() -> None:
    assert GeminiCodec().stream_type == b"text/event-stream"
    assert GeminiCodec(sse=False).stream_type == b"application/json"
    encoder = GeminiCodec(sse=False).stream_encoder(ASKED)
    stream = encoder.encode([Begun("r", "m"), PartBegun(Text("")), Delta("a"), Delta("b"), PartEnded()])
    stream += encoder.encode([Finished(Finish(Stop.END)), UsageSeen(Usage(input=1, output=2)), Ended()])
    texts = [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in json.loads(stream)]
    assert texts == ["a", "b", ""]


def test_line_ends_that_are_none_are_escaped() -> None:
    encoder = CODEC.stream_encoder(ASKED)
    stream = encoder.encode([Begun("r", "m"), PartBegun(Text("")), Delta("a\u2028b\u2029c\x85d")])
    assert len(stream.decode().splitlines()) == len(stream.split(b"\r\n")) - 1
    assert json.loads(stream[6:])["candidates"][0]["content"]["parts"] == [{"text": "a\u2028b\u2029c\x85d"}]


CODE = Foreign("gemini", "executableCode", msgspec.Raw(b'{"executableCode":{"language":"PYTHON","code":"1"}}'))


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (Image(Inline("image/png", "QQ==")), {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}),
        (
            Image(Linked("https://example.com/a.png")),
            {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}},
        ),
        (Document(Inline("text/plain", "QQ==")), {"inlineData": {"mimeType": "text/plain", "data": "QQ=="}}),
        (Audio(Inline("audio/wav", "QUJD")), {"inlineData": {"mimeType": "audio/wav", "data": "QUJD"}}),
        (CODE, {"executableCode": {"language": "PYTHON", "code": "1"}}),
        (Refusal("No."), {"text": "No."}),
        (ToolCall("a", "f", "x", custom=True), {"functionCall": {"id": "a", "name": "f", "args": {"input": "x"}}}),
        (ToolCall("a", "f", '{"a":'), {"functionCall": {"id": "a", "name": "f", "args": {"input": '{"a":'}}}),
        (ToolCall("gwfc_1", "f", ""), {"functionCall": {"name": "f", "args": {}}}),
        (
            ToolCall("a", "f", "{}", SIGNED),
            {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "c2ln"},
        ),
        (Audio(None, "audio_1", "Said."), None),
        (Foreign("messages", "web_search_tool_result", msgspec.Raw(b"{}")), None),
    ],
)
def test_every_kind_of_part_is_written_in_both_forms(part: Part, wire: Any) -> None:
    answer = Answer("r", "m", (Choice((Text("a"), part, Text("b")), Finish(Stop.END)),), Usage(input=1, output=1))
    expected = [{"text": "a"}, *([] if wire is None else [wire]), {"text": "b"}]
    joined = "".join(one.get("text", "|") for one in expected)

    whole = CODEC.encode_answer(answer, ASKED)
    sdk.response(whole)
    parts = json.loads(whole)["candidates"][0]["content"]["parts"]
    assert "".join(one.get("text", "|") for one in parts) == joined
    assert "text" in (wire or {"text": ""}) or parts == expected

    stream = CODEC.stream_encoder(ASKED).encode(exploded(answer))
    chunks = [piece[6:] for piece in stream.removesuffix(b"\r\n\r\n").split(b"\r\n\r\n")]
    for chunk in chunks:
        sdk.response(chunk)
    streamed = [one for chunk in chunks for one in json.loads(chunk)["candidates"][0]["content"]["parts"]]
    assert streamed == [*expected, {"text": ""}]


def test_what_is_cited_far_into_a_long_answer_has_no_place() -> None:
    long = Text("x" * 40_000, (Citation("https://example.com", start=0, end=1),))
    answer = Answer("r", "m", (Choice((long, Text("yes", (Citation("https://example.com"),))), Finish(Stop.END)),))
    (candidate,) = json.loads(CODEC.encode_answer(answer, ASKED))["candidates"]
    assert [support["segment"] for support in candidate["groundingMetadata"]["groundingSupports"]] == [{}, {}]


def test_texts_that_are_one_part_are_counted_as_one() -> None:
    """As other providers cite: a text of its own for each passage."""
    texts = (Text("Ä. "), Text("B.", (Citation("https://example.com/b", "B", "b"),)), Text(" C."))
    answer = Answer("r", "m", (Choice((Thinking("t"), *texts), Finish(Stop.END)),))
    (candidate,) = json.loads(CODEC.encode_answer(answer, ASKED))["candidates"]
    assert candidate["content"]["parts"][1] == {"text": "Ä. B. C."}
    assert candidate["groundingMetadata"] == {
        "groundingChunks": [{"retrievedContext": {"uri": "https://example.com/b", "title": "B", "text": "b"}}],
        "groundingSupports": [
            {
                "segment": {"partIndex": 1, "startIndex": 4, "endIndex": 6, "text": "B."},
                "groundingChunkIndices": [0],
            }
        ],
    }


def test_an_answer_made_long_ago_or_in_the_far_future_has_a_time() -> None:
    for created in (-5, 0, 2**60):
        sdk.response(CODEC.encode_answer(Answer("r", "m", (Choice((Text("x"),), None),), created=created), ASKED))
