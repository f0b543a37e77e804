"""
The neutral conversation: what all dialects can say, in one vocabulary.

A dialect's codec reads its own documents into these values and writes them from these values; it never knows another
dialect. What only one dialect can say stays in ``extras`` or in a :class:`Foreign` part, so that the writer of another
can tell what it has to leave out.

Text is text as the model or the user wrote it. Documents that are only carried (schemas, arguments, foreign parts) are
kept as the JSON text that came, and are not built.
"""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = [
    "Answer",
    "Audio",
    "CacheMark",
    "Choice",
    "ChoiceMode",
    "Citation",
    "Document",
    "Finish",
    "Foreign",
    "Image",
    "Inline",
    "Linked",
    "Message",
    "Opaque",
    "OutputFormat",
    "Part",
    "Reasoning",
    "Refusal",
    "Request",
    "Role",
    "Sampling",
    "Stop",
    "Stored",
    "Text",
    "Thinking",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "Usage",
]


class Role(Enum):
    """Who says a message."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    """OpenAI's newer name for the operator of the model's application; elsewhere the same as ``SYSTEM``."""
    USER = "user"
    ASSISTANT = "assistant"


# Where the bytes of an image, a document or a recording are


class Inline(msgspec.Struct, frozen=True, gc=False, tag=True):
    """In the request itself."""

    media_type: str
    data: str
    """In base64, as it came."""


class Linked(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Where the provider fetches it."""

    url: str
    media_type: str | None = None


class Stored(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Uploaded to the provider before: only that provider can read it."""

    file_id: str
    dialect: str
    media_type: str | None = None


Source = Inline | Linked | Stored


class CacheMark(msgspec.Struct, frozen=True, gc=False):
    """All of the prompt up to here is worth caching. A hint."""

    ttl: str | None = None
    """``5m`` or ``1h``; ``None`` for the provider's default."""


class Opaque(msgspec.Struct, frozen=True, gc=False):
    """
    What only its maker can read and has to get back unchanged: a signature or an encrypted chain of thought.

    See :mod:`llm_gateway.core.translation.opaque` for how it travels through a dialect that is not its maker's.
    """

    dialect: str
    provider: str | None
    """``None`` where it is not known: it came through its maker's own dialect."""
    data: str


# Parts of a message


class Citation(msgspec.Struct, frozen=True, gc=False):
    """Where a piece of text comes from."""

    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    """Of the cited passage in this text, in characters, where the dialect says so."""
    end: int | None = None
    raw: msgspec.Raw | None = None
    """As it came, for its own dialect."""


class Text(msgspec.Struct, frozen=True, gc=False, tag=True):
    text: str
    citations: tuple[Citation, ...] = ()
    cache: CacheMark | None = None
    opaque: Opaque | None = None
    """Gemini signs text parts too."""


class Image(msgspec.Struct, frozen=True, gc=False, tag=True):
    source: Source
    detail: str | None = None
    """``auto``, ``low``, ``high`` or ``original``; a hint."""
    cache: CacheMark | None = None


class Document(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A PDF, a text file or any other file to read."""

    source: Source
    name: str | None = None
    context: str | None = None
    citations: bool = False
    """Whether the model shall cite it."""
    cache: CacheMark | None = None


class Audio(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Sound, said by either side."""

    source: Inline | Linked | Stored | None
    """``None`` where an answer is referred to by ``id`` only."""
    id: str | None = None
    transcript: str | None = None
    expires_at: int | None = None


class ToolCall(msgspec.Struct, frozen=True, gc=False, tag=True):
    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it; whole in messages, perhaps not valid. Empty for no arguments."""
    opaque: Opaque | None = None
    """Gemini's signature of the thought behind the call."""
    custom: bool = False
    """Whether the tool takes free text (OpenAI's custom tools): ``arguments`` is that text then."""
    cache: CacheMark | None = None


class ToolResult(msgspec.Struct, frozen=True, gc=False, tag=True):
    """What a tool answered. Always in a message of the user's role."""

    call_id: str
    parts: tuple[Text | Image | Document | Foreign, ...]
    is_error: bool = False
    name: str | None = None
    """The tool's name where the dialect says it; the codecs that need it look it up by ``call_id``."""
    cache: CacheMark | None = None
    custom: bool = False


class Thinking(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The model's reasoning: readable, opaque or both."""

    text: str = ""
    opaque: Opaque | None = None
    redacted: bool = False
    """Whether there is nothing to read on purpose (Anthropic's ``redacted_thinking``)."""
    id: str | None = None
    """The item's id in Responses."""
    summary: bool = False
    """Whether ``text`` is a summary of the reasoning rather than the reasoning itself."""


class Refusal(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The model says that it will not."""

    text: str


class Foreign(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Something that only one dialect has, such as the call of a tool that its provider runs itself."""

    dialect: str
    kind: str
    """Its ``type`` in that dialect, for messages: ``web_search_tool_result``."""
    raw: msgspec.Raw
    hint: bool = False
    """Whether leaving it out is the loss of a hint only, as the codec that read it knows."""


Part = Text | Image | Document | Audio | ToolCall | ToolResult | Thinking | Refusal | Foreign


class Message(msgspec.Struct, frozen=True, gc=False):
    """
    One message. Tool results are parts of a user's message, whatever the dialect calls the role.

    Codecs read messages one for one, in the order in which they came, and join or split them when they write, as their
    dialect demands.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    """Who of several participants; a hint."""


# A request


class Tool(msgspec.Struct, frozen=True, gc=False):
    """A function that the caller runs."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw | None = None
    """JSON Schema; ``None`` for no arguments."""
    strict: bool | None = None
    cache: CacheMark | None = None
    custom: msgspec.Raw | None = None
    """The format of a custom tool (free text, grammar) in place of ``parameters``; OpenAI only. Where a dialect has no
    such tools, :mod:`~.freeform` says how a function stands in for one."""
    namespace: tuple[str, str] | None = None
    """Responses' namespace and the tool's name in it, where ``name`` joins the two."""


class ChoiceMode(Enum):
    """Whether the model calls tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    """One or more, of its own choice."""


class ToolChoice(msgspec.Struct, frozen=True, gc=False):
    mode: ChoiceMode
    names: tuple[str, ...] = ()
    """Only these tools. With ``REQUIRED`` and one name: that one must be called."""


class OutputFormat(msgspec.Struct, frozen=True, gc=False):
    """What the text of the answer must be."""

    schema: msgspec.Raw | None = None
    """JSON Schema; ``None`` for any JSON object."""
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    """How much the model thinks first. Fields that are ``None`` were not said."""

    enabled: bool | None = None
    effort: str | None = None
    """``none``, ``minimal``, ``low``, ``medium``, ``high``, ``xhigh``, ``max``."""
    budget_tokens: int | None = None
    adaptive: bool = False
    """The model decides how much (Anthropic's ``adaptive``, Gemini's budget of -1)."""
    show: str | None = None
    """What of it is shown: ``none``, ``auto``, ``concise``, ``detailed``, ``full``."""
    encrypted: bool = False
    """Whether the caller wants it back encrypted, to send it with its next request (Responses' ``include``)."""


class Sampling(msgspec.Struct, frozen=True, gc=False):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: msgspec.Raw | None = None
    seed: int | None = None


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a caller asks."""

    model: str
    messages: tuple[Message, ...]
    """System messages stand where they came; those of dialects that have a field for them come first."""
    stream: bool = False
    include_usage: bool = False
    """Whether a Chat Completions caller wants the chunk with the usage; other dialects always have it."""
    max_tokens: int | None = None
    """Of the answer, reasoning included."""
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    foreign_tools: tuple[Foreign, ...] = ()
    """Tools that the provider runs, as their dialect has them."""
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output: OutputFormat | None = None
    reasoning: Reasoning | None = None
    sampling: Sampling = Sampling()
    choices: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    user: str | None = None
    """An id of the end user, for the provider's abuse detection; a hint."""
    metadata: dict[str, str] = {}
    service_tier: str | None = None
    cache_key: str | None = None
    """OpenAI's ``prompt_cache_key``; a hint."""
    verbosity: str | None = None
    modalities: tuple[str, ...] = ()
    """What the answer may be made of besides text: ``audio``, ``image``."""
    extras: dict[str, msgspec.Raw] = {}
    """Fields of the caller's dialect that are not above, as they came, by their names there (dotted for nested)."""
    hints: frozenset[str] = frozenset()
    """Those names of ``extras`` that are hints (:class:`~.losses.Weight`), as the codec that read them knows; leaving
    out any other changes the meaning."""
    dialect: str = ""
    """The name of the codec that read it: ``extras`` are written back by that one only."""
    legacy_functions: bool = False
    """Whether a Chat Completions caller has ``functions``, the forerunner of tools: it gets ``function_call`` back."""


# An answer


class Stop(Enum):
    """Why an answer ended."""

    END = "end"
    """The model was done."""
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    """``max_tokens`` were reached."""
    TOOL_CALLS = "tool_calls"
    FILTERED = "filtered"
    """The provider's filter cut it: content policy, safety, recitation."""
    REFUSAL = "refusal"
    """The model refused."""
    PAUSE = "pause"
    """A long turn paused (Anthropic's ``pause_turn``): send it back to go on."""
    CONTEXT = "context"
    """The context window was full."""
    ERROR = "error"
    """The model produced something malformed (Gemini's ``MALFORMED_FUNCTION_CALL``)."""
    OTHER = "other"


class Finish(msgspec.Struct, frozen=True, gc=False):
    stop: Stop
    sequence: str | None = None
    """The stop sequence that came."""
    detail: str | None = None
    """The provider's own word for it, for the log and for dialects that can show it."""


class TokenLogprob(msgspec.Struct, frozen=True, gc=False):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple[TokenLogprob, ...] = ()


class Usage(msgspec.Struct, frozen=True, gc=False):
    """
    Tokens. ``None`` is not known, which is not 0.

    ``input`` and ``output`` are totals: cached and cache-written tokens are in ``input``, reasoning in ``output``.
    """

    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    """Read from the cache."""
    cache_write: int | None = None
    """Written to the cache, all of them."""
    cache_write_1h: int | None = None
    """Of ``cache_write``, those that stay for an hour."""
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    tool_input: int | None = None
    """Of ``input``, what tools of the provider's own brought in (Gemini's ``toolUsePromptTokenCount``)."""


class Choice(msgspec.Struct, frozen=True, gc=False):
    parts: tuple[Part, ...]
    finish: Finish | None
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] | None = None


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a provider answered."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage = Usage()
    created: int | None = None
    """Seconds since the epoch."""
    service_tier: str | None = None
    extras: dict[str, msgspec.Raw] = {}
