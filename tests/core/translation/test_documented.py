"""``docs/reference/translation.md`` says what becomes of every field, every ending, every count and every error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from anthropic.types.beta import (
    BetaContentBlockParam,
    BetaToolUnionParam,
)
from anthropic.types.beta import message_create_params as messages_params
from google.genai import types as google
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params as responses_params
from openai.types.responses.response_input_param import ResponseInputItemParam
from openai.types.responses.tool_param import ToolParam

from llm_gateway.core.translation.chat import finishes as chat_finishes
from llm_gateway.core.translation.chat import request_in as chat_in
from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.conversation import (
    Answer,
    Choice,
    Finish,
    Message,
    Part,
    Refusal,
    Request,
    Role,
    Stop,
    Text,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.failures import FailureKind, ProviderFailure
from llm_gateway.core.translation.gemini import finish as gemini_finishes
from llm_gateway.core.translation.gemini import reading as gemini_in
from llm_gateway.core.translation.gemini.fields import camel
from llm_gateway.core.translation.messages import finishes as messages_finishes
from llm_gateway.core.translation.messages import names as messages_names
from llm_gateway.core.translation.responses import read_items, read_request
from tests.core.translation.fates import CODEC, DESTINATIONS, fate
from tests.core.translation.samples import PLAIN, SAMPLES
from tests.markdown import code, reference, section, tables

Json = dict[str, Any]

PAGE = reference("translation")
TITLES = {"chat": "Chat Completions", "responses": "Responses", "messages": "Messages", "gemini": "Gemini"}
PRESETS = {"anthropic": "messages", "gemini": "gemini"}
"""Which dialect a preset speaks; all others speak Chat Completions."""

_CELL = re.compile(r"(exact|mapped|dropped|rejected|refused)(?: \((\d+)\))?")


def cells(caller: str) -> Iterator[tuple[str, str, str, int | None]]:
    """
    :return: field, provider's codec, word and number of the note of every cell of one caller's table.
    """
    text = section(PAGE, f"From {TITLES[caller]}")
    columns = [name for name in TITLES if name != caller]
    assert f"| field | {' | '.join(TITLES[name] for name in columns)} |" in text
    [table] = tables(text)
    for field, *row in table:
        for provider, cell in zip(columns, row, strict=True):
            found = _CELL.fullmatch(cell)
            assert found is not None, (field, cell)
            yield field, provider, found[1], None if found[2] is None else int(found[2])


def laid(under: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """
    :return: the first with the fields of the second, objects joined.
    """
    joined = dict(under)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(joined.get(name), dict)
        joined[name] = laid(joined[name], value) if both else value
    return joined


def fates(caller: str, field: str, provider: str, to: Destination) -> str:
    """
    :return: what becomes of a row's field: the one word for all of its requests.
    """
    samples = SAMPLES[caller][field]
    return "/".join(sorted({fate(caller, laid(PLAIN[caller], sample), provider, to).word for sample in samples}))


# Requests


@pytest.mark.parametrize("caller", SAMPLES)
def test_every_field_has_its_row(caller: str) -> None:
    assert list(dict.fromkeys(field for field, _, _, _ in cells(caller))) == list(SAMPLES[caller])


@pytest.mark.parametrize(
    ("caller", "provider"), [(caller, other) for caller in SAMPLES for other in SAMPLES if other != caller]
)
def test_every_field_fares_as_documented(caller: str, provider: str) -> None:
    documented = {field: word for field, column, word, _ in cells(caller) if column == provider}
    assert documented == {field: fates(caller, field, provider, DESTINATIONS[provider]) for field in SAMPLES[caller]}


@pytest.mark.parametrize("caller", SAMPLES)
def test_notes_say_how_a_field_is_mapped(caller: str) -> None:
    text = section(PAGE, f"From {TITLES[caller]}")
    noted = [number for _, _, _, number in cells(caller) if number is not None]
    assert sorted(set(noted)) == [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert [field for field, _, word, number in cells(caller) if word == "mapped" and number is None] == []


@pytest.mark.parametrize("caller", SAMPLES)
def test_field_is_a_hint_to_all_providers_or_to_none(caller: str) -> None:
    words: dict[str, set[str]] = {}
    for field, _, word, _ in cells(caller):
        words.setdefault(field, set()).add(word)
    assert [field for field, found in words.items() if {"dropped", "rejected"} <= found] == []


@pytest.mark.parametrize(
    ("heading", "word"), [("What is left out by default", "dropped"), ("What is refused by default", "rejected")]
)
def test_default_is_listed(heading: str, word: str) -> None:
    listed = re.findall(r"^- \*\*(.+?):\*\* (.+?)\.$", re.sub(r"\n +", " ", section(PAGE, heading)), re.MULTILINE)
    assert {caller: fields.split("; ") for caller, fields in listed} == {
        title: list(dict.fromkeys(field for field, _, found, _ in cells(caller) if found == word))
        for caller, title in TITLES.items()
    }


def test_documented_models_are_those_that_the_tables_are_about() -> None:
    named = re.findall(r"`([\w.-]+)` for ([\w ]+?)(?:,| and|\.)", section(PAGE, "Requests"))
    assert {title: model for model, title in named} == {
        title: DESTINATIONS[codec].model for codec, title in TITLES.items() if codec != "responses"
    }
    assert DESTINATIONS["responses"] == DESTINATIONS["chat"]


def others() -> list[list[str]]:
    [table] = tables(section(PAGE, "Other models and providers"))
    return table


@pytest.mark.parametrize("row", others(), ids=lambda row: " ".join(row[:3]))
def test_other_models_and_providers_fare_as_documented(row: list[str]) -> None:
    title, field, where, fares, _ = row
    [caller] = [name for name, known in TITLES.items() if known == title]
    preset, model = code(where)
    to = Destination(model, preset, 64_000, None, preset)
    assert fates(caller, field, PRESETS.get(preset, "chat"), to) == fares


# What there is to document


def written(caller: str) -> set[str]:
    """
    :return: every name that stands as code in the first column.
    """
    fields = {field for field, _, _, _ in cells(caller)}
    return {name for field in fields for span in code(field) for name in re.findall(r"\w+", span)}


def kinds(union: Any) -> set[str]:
    """
    :return: every ``type`` that a union of the SDK's has.
    """
    found: set[str] = set()
    for member in get_args(union):
        if get_args(member):
            found |= kinds(member)
        elif hasattr(member, "__total__"):
            # A typed dictionary, of whichever library; answers' own classes are in these unions too.
            found |= set(literals(get_type_hints(member).get("type")))
    return found


def literals(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [value for value in get_args(hint) if isinstance(value, str)]
    return [value for inner in get_args(hint) for value in literals(inner)]


def said(value: Any) -> Iterator[str]:
    """
    :return: every ``type`` in a document.
    """
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield value["type"]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from said(inner)


def fields_of(*shapes: Any) -> set[str]:
    return {name for shape in shapes for name in get_type_hints(shape)}


@pytest.mark.parametrize(
    ("caller", "fields"),
    [
        ("chat", fields_of(chat_params.CompletionCreateParamsStreaming)),
        ("responses", fields_of(responses_params.ResponseCreateParamsStreaming)),
        ("messages", fields_of(messages_params.MessageCreateParamsStreaming)),
        (
            "gemini",
            {
                camel(name)
                for model in (google.GenerationConfig, google.Part, google.Tool)
                for name in model.model_fields
            }
            | {camel(name) for name in google.GenerateContentConfig.model_fields}
            # What the SDK keeps to itself.
            - {"httpOptions", "shouldReturnHttpResponse", "automaticFunctionCalling", "automaticContinuation"},
        ),
    ],
)
def test_every_field_of_the_official_sdk_is_documented(caller: str, fields: set[str]) -> None:
    assert fields
    assert fields - written(caller) == set()


@pytest.mark.parametrize(
    ("caller", "known"),
    [
        ("responses", kinds(ResponseInputItemParam) | kinds(ToolParam)),
        ("messages", kinds(BetaContentBlockParam) | kinds(BetaToolUnionParam)),
    ],
)
def test_every_kind_of_the_official_sdk_is_tried(caller: str, known: set[str]) -> None:
    def dateless(kind: str) -> str:
        return re.sub(r"_20\d{2}_?\d\d_?\d\d$", "", kind)

    tried = {dateless(kind) for samples in SAMPLES[caller].values() for sample in samples for kind in said(sample)}
    assert known
    assert {dateless(kind) for kind in known} - tried == set()


@pytest.mark.parametrize(
    ("caller", "hints"),
    [
        ("chat", chat_in._HINTS - {"max_tokens", "user"}),
        ("responses", read_request._HINTS | read_items._HINTS),
        ("messages", messages_names._TOP_HINTS | messages_names._NESTED_HINTS - {"scope", "transformations"}),
        ("gemini", gemini_in.HINTS | set(gemini_in._TOOL_HINTS)),
    ],
)
def test_every_hint_is_documented_as_one(caller: str, hints: frozenset[str]) -> None:
    dropped = {field for field, _, word, _ in cells(caller) if word == "dropped"}
    listed = {name for field in dropped for span in code(field) for name in re.findall(r"\w+", span)}
    assert {hint.rpartition(".")[2] for hint in hints} - listed == set()


# Why an answer ended

ASKED = Request("m", (Message(Role.USER, (Text("Hi"),)),))

CALL = ToolCall("call_1", "weather", "{}")
ENDINGS: dict[str, tuple[Stop, Part]] = {
    "the model was done": (Stop.END, Text("Ho")),
    "a stop sequence came": (Stop.STOP_SEQUENCE, Text("Ho")),
    "the limit of tokens was reached": (Stop.LENGTH, Text("Ho")),
    "the model calls tools": (Stop.TOOL_CALLS, CALL),
    "the provider's filter cut it": (Stop.FILTERED, Text("Ho")),
    "the model refused, in words": (Stop.REFUSAL, Refusal("No.")),
    "the model refused, without words": (Stop.REFUSAL, Text("Ho")),
    "a long turn paused": (Stop.PAUSE, Text("Ho")),
    "the context window was full": (Stop.CONTEXT, Text("Ho")),
    "the model wrote something malformed": (Stop.ERROR, Text("Ho")),
    "anything else": (Stop.OTHER, Text("Ho")),
}


def stop_of(ending: str) -> Stop:
    # Whether there are words is seen in the answer.
    return Stop.REFUSAL if ending == "the model refused" else ENDINGS[ending][0]


def reasons(codec: str, body: bytes) -> list[str]:
    """
    :return: the words for it.
    """
    document = msgspec.json.decode(body)
    match codec:
        case "chat":
            return [document["choices"][0]["finish_reason"]]
        case "responses":
            more = document["incomplete_details"] or document["error"] or {}
            return [document["status"], *(more[name] for name in ("reason", "code") if name in more)]
        case "messages":
            return [document["stop_reason"]]
        case _:
            return [document["candidates"][0]["finishReason"]]


def test_callers_get_the_documented_words_for_an_ending() -> None:
    table, _ = tables(section(PAGE, "Why an answer ended"))
    assert {ending: dict(zip(TITLES, map(code, row), strict=True)) for ending, *row in table} == {
        ending: {
            codec: reasons(codec, CODEC[codec].encode_answer(Answer("x", "m", (Choice((part,), Finish(stop)),)), ASKED))
            for codec in TITLES
        }
        for ending, (stop, part) in ENDINGS.items()
    }


def test_providers_words_for_an_ending_are_documented() -> None:
    _, table = tables(section(PAGE, "Why an answer ended"))
    documented = {
        codec: {word: stop_of(ending) for ending, *row in table for word in code(row[column])}
        for column, codec in enumerate(TITLES)
    }
    assert documented == {
        "chat": chat_finishes._STOPS,
        "responses": {
            "completed": Stop.END,
            "max_output_tokens": Stop.LENGTH,
            "content_filter": Stop.FILTERED,
            "failed": Stop.ERROR,
            "cancelled": Stop.OTHER,
        },
        "messages": messages_finishes._STOPS,
        "gemini": gemini_finishes._STOPS,
    }


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "max_output_tokens", "content_filter"])
def test_words_of_responses_are_read_as_documented(status: str) -> None:
    _, table = tables(section(PAGE, "Why an answer ended"))
    [stop] = [stop_of(ending) for ending, *row in table if status in code(row[1])]
    reason = None if status in ("completed", "failed", "cancelled") else {"reason": status}
    document: Json = {
        "object": "response",
        "id": "resp_1",
        "model": "m",
        "status": "incomplete" if reason else status,
        "incomplete_details": reason,
        "output": [],
    }
    [choice] = CODEC["responses"].decode_answer(msgspec.json.encode(document), provider="openai").choices
    assert choice.finish is not None
    assert choice.finish.stop is stop


# Usage

COUNTS = {
    "input, all of it": "input",
    "output, all of it": "output",
    "read from the cache": "cached_input",
    "written to the cache": "cache_write",
    "of these, for an hour": "cache_write_1h",
    "reasoning": "reasoning",
    "sound in the input": "audio_input",
    "sound in the output": "audio_output",
    "input that the provider's own tools brought in": "tool_input",
}
COUNTED = Usage(
    input=10_007,
    output=5_003,
    cached_input=2_003,
    cache_write=1_009,
    cache_write_1h=401,
    reasoning=701,
    audio_input=211,
    audio_output=101,
    tool_input=503,
)


def usage(codec: str) -> Json:
    answer = Answer("x", "m", (Choice((Text("Ho"),), Finish(Stop.END)),), COUNTED)
    document = msgspec.json.decode(CODEC[codec].encode_answer(answer, ASKED))
    found: Json = document.get("usage") or document["usageMetadata"]
    return found


def at(document: Any, path: str) -> int:
    """
    :param path: such as ``prompt_tokens_details.cached_tokens`` or ``promptTokensDetails[AUDIO].tokenCount``.
    """
    for name, modality in re.findall(r"(\w+)(?:\[(\w+)\])?", path):
        document = document[name]
        if modality:
            [document] = [one for one in document if one["modality"] == modality]
    assert isinstance(document, int)
    return document


def test_every_count_of_tokens_stands_where_it_is_documented() -> None:
    [table] = tables(section(PAGE, "Usage"))
    assert [count for count, *_ in table] == list(COUNTS)
    for column, codec in enumerate(TITLES):
        document = usage(codec)
        for count, *row in table:
            wanted = getattr(COUNTED, COUNTS[count])
            paths = code(row[column])
            assert row[column] == (" + ".join(f"`{path}`" for path in paths) or "none")
            if paths:
                assert sum(at(document, path) for path in paths) == wanted, (codec, count)
            else:
                assert str(wanted) not in msgspec.json.encode(document).decode(), (codec, count)


def test_every_documented_count_is_read() -> None:
    [table] = tables(section(PAGE, "Usage"))
    answer = Answer("x", "m", (Choice((Text("Ho"),), Finish(Stop.END)),), COUNTED)
    for column, codec in enumerate(TITLES):
        body = CODEC[codec].encode_answer(answer, ASKED)
        read = CODEC[codec].decode_answer(body, provider="p").usage
        for count, *row in table:
            wanted = getattr(COUNTED, COUNTS[count]) if code(row[column]) else None
            assert getattr(read, COUNTS[count]) == wanted, (codec, count)


# Errors

ERRORS = {
    "the request is wrong": FailureKind.INVALID,
    "more tokens than the model takes": FailureKind.CONTEXT_OVERFLOW,
    "the body is too large": FailureKind.TOO_LARGE,
    "the real key is not valid": FailureKind.AUTHENTICATION,
    "the account has no credit": FailureKind.BILLING,
    "the real key may not do that": FailureKind.PERMISSION,
    "no such model": FailureKind.NOT_FOUND,
    "a conflict": FailureKind.CONFLICT,
    "too many calls or tokens": FailureKind.RATE_LIMIT,
    "the prompt was blocked": FailureKind.FILTERED,
    "a fault of the provider's": FailureKind.SERVER,
    "the provider is overloaded": FailureKind.OVERLOADED,
    "the provider took too long": FailureKind.TIMEOUT,
}

SHOWN: dict[str, Callable[[Json], list[str | None]]] = {
    "chat": lambda error: [error["type"], error["code"]],
    "responses": lambda error: [error["type"], error["code"]],
    "messages": lambda error: [error["type"]],
    "gemini": lambda error: [error["status"]],
}


def shown(codec: str, kind: FailureKind) -> str:
    status = 500 if kind is FailureKind.SERVER else 418
    status, body = CODEC[codec].encode_failure(ProviderFailure(status, kind, "It broke."), "id")
    words = SHOWN[codec](msgspec.json.decode(body)["error"])
    return " ".join([str(status), *(f"`{word}`" for word in words if word is not None)])


def test_errors_of_providers_reach_callers_as_documented() -> None:
    [table] = tables(section(PAGE, "Errors of providers"))
    assert {error: dict(zip(TITLES, row, strict=True)) for error, *row in table} == {
        error: {codec: shown(codec, kind) for codec in TITLES} for error, kind in ERRORS.items()
    }
    assert set(ERRORS.values()) == set(FailureKind)
