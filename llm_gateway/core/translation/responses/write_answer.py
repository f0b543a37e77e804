"""
A neutral answer as a Response.

The items here are what a stream's ``response.output_item.done`` and its last event hold, too: both are written from the
same parts by the same code, so that they cannot differ.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

import msgspec

from llm_gateway.core.translation.conversation import (
    Answer,
    Audio,
    Finish,
    Foreign,
    Image,
    Inline,
    Part,
    Refusal,
    Request,
    Role,
    Stop,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
)
from llm_gateway.core.translation.freeform import as_text
from llm_gateway.core.translation.opaque import sealed_thinking
from llm_gateway.core.translation.responses import documents
from llm_gateway.core.translation.responses.builtins import call_item, is_builtin
from llm_gateway.core.translation.responses.carried import for_call, for_text
from llm_gateway.core.translation.responses.documents import Content
from llm_gateway.core.translation.responses.tools import write_choice, write_tools
from llm_gateway.core.translation.responses.write_items import written_citations
from llm_gateway.core.translation.responses.write_request import TIERS, write_format

__all__ = ["Ending", "Items", "ResponseWriter", "Sources", "ending", "logprob", "write_answer"]

_SHOWN = frozenset({"auto", "concise", "detailed"})
_encode = msgspec.json.encode


class Sources(msgspec.Struct, frozen=True):
    """Where what a provider does not say comes from."""

    now: Callable[[], float] = time.time
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex


class _Reasoning(msgspec.Struct, frozen=True):
    effort: str | None
    summary: str | None


class _Text(msgspec.Struct, frozen=True, omit_defaults=True):
    format: documents.Format
    verbosity: str | None = None


class _Echo(msgspec.Struct, frozen=True):
    """What a Response repeats of its request."""

    background: bool
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: None
    prompt_cache_key: str | None
    reasoning: _Reasoning
    safety_identifier: str | None
    service_tier: str | None
    store: bool
    temperature: float | None
    text: _Text
    tool_choice: object
    tools: list[object]
    top_logprobs: int
    top_p: float | None
    truncation: str
    user: None


class _InputDetails(msgspec.Struct, frozen=True):
    cached_tokens: int
    cache_write_tokens: int


class _OutputDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: int
    input_tokens_details: _InputDetails
    output_tokens: int
    output_tokens_details: _OutputDetails
    total_tokens: int


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str


class Ending(msgspec.Struct, frozen=True):
    """How a Response ends."""

    status: str
    reason: str | None = None
    """Of ``incomplete_details``."""
    error: _Error | None = None

    @classmethod
    def failed(cls, code: str, message: str) -> Ending:
        return cls("failed", error=_Error(code, message))


COMPLETED = Ending("completed")


def ending(finish: Finish | None, refused: bool) -> Ending:
    """
    :param refused: whether the answer shows a refusal.
    """
    if finish is None:
        return Ending("incomplete")
    match finish.stop:
        case Stop.LENGTH | Stop.CONTEXT:
            return Ending("incomplete", "max_output_tokens")
        case Stop.FILTERED:
            return Ending("incomplete", "content_filter")
        case Stop.REFUSAL if not refused:
            # A Response says a refusal by its words. Without any, this is what is nearest.
            return Ending("incomplete", "content_filter")
        case Stop.ERROR:
            return Ending.failed("server_error", "The model wrote something malformed.")
    return COMPLETED


class ResponseWriter:
    """Writes the Response of one answer, once or as often as its stream shows it."""

    def __init__(
        self, request: Request, id: str, model: str, created: int | None, service_tier: str | None, sources: Sources
    ) -> None:
        id = id or sources.new_id()
        self.id = id if id.startswith("resp_") else f"resp_{id}"
        self._sources = sources
        moment = int(sources.now()) if created is None else created
        self._head = b'{"id":%b,"object":"response","created_at":%d,"model":%b' % (
            _encode(self.id),
            moment,
            _encode(model),
        )
        # Built once: with a program's tools it is longer than most answers, and a stream shows it three times.
        self._echo = b"," + _encode(_echo(request, service_tier))[1:]

    def document(self, ending: Ending, output: Sequence[bytes] = (), usage: Usage | None = None) -> bytes:
        """
        :param output: the items.
        """
        completed = int(self._sources.now()) if ending.status == "completed" else None
        reason = None if ending.reason is None else {"reason": ending.reason}
        return b'%b,"status":"%b","completed_at":%b,"error":%b,"incomplete_details":%b,"output":[%b],"usage":%b%b' % (
            self._head,
            ending.status.encode(),
            _encode(completed),
            _encode(ending.error),
            _encode(reason),
            b",".join(output),
            _encode(_usage(usage)),
            self._echo,
        )


def _echo(request: Request, service_tier: str | None) -> _Echo:
    first = request.messages[0] if request.messages else None
    instructions = None
    if first is not None and first.role is Role.SYSTEM and len(first.parts) == 1 and isinstance(first.parts[0], Text):
        instructions = first.parts[0].text
    reasoning = request.reasoning
    shown = reasoning.show if reasoning is not None and reasoning.show in _SHOWN else None
    tools: list[object] = [*write_tools(request.tools), *(tool.raw for tool in request.foreign_tools)]
    choice: object = request.extras.get("tool_choice", "auto")
    if request.tool_choice is not None:
        choice = write_choice(request.tool_choice, request.tools)
    parallel = request.parallel_tool_calls
    return _Echo(
        background=False,
        instructions=instructions,
        max_output_tokens=request.max_tokens,
        max_tool_calls=None,
        metadata=request.metadata,
        parallel_tool_calls=True if parallel is None else parallel,
        previous_response_id=None,
        prompt_cache_key=request.cache_key,
        reasoning=_Reasoning(None if reasoning is None else reasoning.effort, shown),
        safety_identifier=request.user,
        service_tier=service_tier if service_tier in TIERS else None,
        # Whatever the caller asked: nothing can be had back by its id.
        store=False,
        temperature=request.sampling.temperature,
        text=_Text(write_format(request.output) or documents.Format(type="text"), request.verbosity),
        tool_choice=choice,
        tools=tools,
        top_logprobs=request.top_logprobs or 0,
        top_p=request.sampling.top_p,
        truncation="disabled",
        user=None,
    )


def _usage(usage: Usage | None) -> _Usage | None:
    if usage is None or (usage.input is None and usage.output is None):
        return None
    taken, given = usage.input or 0, usage.output or 0
    return _Usage(
        taken,
        _InputDetails(usage.cached_input or 0, usage.cache_write or 0),
        given,
        _OutputDetails(usage.reasoning or 0),
        taken + given,
    )


class Items:
    """Makes the items of one answer's output, with ids that follow from the answer's own."""

    def __init__(self, request: Request, id: str) -> None:
        """
        :param id: of the Response.
        """
        self._suffix = id.removeprefix("resp_")
        self._tools = {tool.name: tool for tool in request.tools}

    def id(self, kind: str, index: int) -> str:
        """
        :param kind: ``msg``, ``rs``, ``fc``, ``ctc`` or ``ig``.
        :param index: of the item in the output.
        """
        return f"{kind}_{self._suffix}_{index}"

    def message(self, index: int, content: list[Content], status: str) -> documents.OutputMessage:
        return documents.OutputMessage(id=self.id("msg", index), role="assistant", status=status, content=content)

    @staticmethod
    def text(part: Text | Audio, logprobs: Sequence[TokenLogprob] = ()) -> documents.OutputText:
        said, citations = (part.text, part.citations) if isinstance(part, Text) else (part.transcript or "", ())
        return documents.OutputText(
            text=said, annotations=written_citations(citations, said), logprobs=tuple(map(logprob, logprobs)) or None
        )

    @staticmethod
    def is_content(thinking: Thinking) -> bool:
        """
        The text of another dialect's reasoning is written as a summary: programs show summaries and send them back,
        while Codex, for one, does not send back what stands in ``content``.

        :return: whether it is a reasoning item's own content.
        """
        return thinking.id is not None and not thinking.summary

    def reasoning(self, index: int, thinking: Thinking) -> documents.ReasoningItem:
        texts, summary, content = thinking.text, [], None
        if texts and self.is_content(thinking):
            content = [documents.ReasoningText(text=texts)]
        elif texts:
            summary = [documents.SummaryText(text=texts)]
        return documents.ReasoningItem(
            id=thinking.id or self.id("rs", index),
            summary=summary,
            content=content,
            encrypted_content=sealed_thinking(thinking, "responses"),
        )

    def signature(self, index: int, part: Text | ToolCall) -> documents.ReasoningItem | None:
        """
        :return: an item that carries what signs the part before it.
        """
        if part.opaque is None:
            return None
        content = for_text(part.opaque) if isinstance(part, Text) else for_call(part.opaque, part.id)
        return documents.ReasoningItem(id=self.id("rs", index), summary=[], encrypted_content=content)

    def is_custom(self, call: ToolCall) -> bool:
        tool = self._tools.get(call.name)
        return call.custom or (tool is not None and tool.custom is not None)

    def is_builtin(self, call: ToolCall) -> bool:
        """
        :return: whether the call may become an item of its own kind, which only its arguments can tell.
        """
        tool = self._tools.get(call.name)
        return tool is not None and is_builtin(tool)

    def call(
        self, index: int, call: ToolCall, status: str = "completed"
    ) -> documents.FunctionCall | documents.CustomToolCall | msgspec.Raw:
        tool = self._tools.get(call.name)
        name, namespace = call.name, None
        if tool is not None and tool.namespace is not None:
            namespace, name = tool.namespace
        if self.is_custom(call):
            return documents.CustomToolCall(
                id=self.id("ctc", index),
                call_id=call.id,
                name=name,
                namespace=namespace,
                input=call.arguments if call.custom else as_text(call.arguments),
                status=status,
            )
        builtin = None if tool is None else call_item(tool, call, self.id("fc", index))
        if builtin is not None:
            return builtin
        return documents.FunctionCall(
            id=self.id("fc", index),
            call_id=call.id,
            name=name,
            namespace=namespace,
            arguments=call.arguments or "{}",
            status=status,
        )

    def image(self, index: int, image: Image) -> documents.ImageGenerationCall | None:
        source = image.source
        if not isinstance(source, Inline):
            return None
        form = source.media_type.removeprefix("image/")
        return documents.ImageGenerationCall(
            id=self.id("ig", index), result=source.data, status="completed", output_format=form
        )


def logprob(token: TokenLogprob) -> documents.Logprob:
    return documents.Logprob(
        token.token,
        token.bytes or (),
        token.logprob,
        tuple(documents.TopLogprob(top.token, top.bytes or (), top.logprob) for top in token.top),
    )


def write_answer(answer: Answer, request: Request, sources: Sources) -> bytes:
    writer = ResponseWriter(request, answer.id, answer.model, answer.created, answer.service_tier, sources)
    choice = answer.choices[0] if answer.choices else None
    parts = () if choice is None else choice.parts
    end = ending(None if choice is None else choice.finish, any(isinstance(part, Refusal) for part in parts))
    logprobs = () if choice is None else choice.logprobs or ()
    return writer.document(end, _output(parts, Items(request, writer.id), end, logprobs), answer.usage)


def _output(parts: Sequence[Part], items: Items, ending: Ending, logprobs: Sequence[TokenLogprob]) -> list[bytes]:
    output: list[bytes] = []
    run: list[Content] = []

    def add(item: object) -> None:
        if item is not None:
            output.append(_encode(item))

    def say(status: str) -> None:
        if run:
            add(items.message(len(output), list(run), status))
            run.clear()

    for part in parts:
        match part:
            case Text() | Audio():
                run.append(items.text(part, logprobs))
                logprobs = ()
                if isinstance(part, Text) and part.opaque is not None:
                    say("completed")
                    add(items.signature(len(output), part))
            case Refusal():
                run.append(documents.OutputRefusal(refusal=part.text))
            case Thinking():
                say("completed")
                add(items.reasoning(len(output), part))
            case ToolCall():
                say("completed")
                add(items.call(len(output), part))
                add(items.signature(len(output), part))
            case Image():
                say("completed")
                add(items.image(len(output), part))
            case Foreign(dialect="responses"):
                say("completed")
                add(part.raw)
    say("incomplete" if ending.status == "incomplete" else "completed")
    return output
