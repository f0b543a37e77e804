"""
What the demo provider says. It follows fixed rules, tried in this order:

1. The last line of the user's message is ``error NNN`` with 400 to 599: the provider's own error of that status, with
   ``retry-after`` for 429, 503 and 529. ``error midstream``: the connection closes when part of the answer is out.
   ``error stall``: the answer stops coming; one that is not streamed never starts.
2. The conversation ends with a tool's result: a text that quotes it.
3. A tool is called when ``tool_choice`` demands one, or when the message names it: its name as written
   (``get_weather``), with spaces (``get weather``), or by the last word of a name of several (``weather``). Two tools
   that are named are both called. Arguments are made from the tool's schema; a place is taken from the message
   ("in Paris").
4. The call asks for JSON: an object made from its schema.
5. ``count to N``: the numbers from 1 to N, at most 100,000, one at a time.
6. A question after who is speaking: the model, and the provider that is played.
7. Anything else: a greeting that quotes the message.

Who asks the model to think, as its provider's API has it, gets a thought before the answer, with a signature to be sent
back with it.

Tokens are words. No state is kept between calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from llm_gateway.demo.schema import example_of
from llm_gateway.demo.values import Ask, Refused, Reply, Tool, ToolCall, Trouble

__all__ = ["reply_to", "tools_tokens", "word_count"]

_PLAYED = "played by the gateway's built-in demo provider"
_FAILURE = re.compile(r"error (?:([45]\d\d)|(midstream|stall))[.!]?", re.IGNORECASE)
_COUNT = re.compile(r"count to ([0-9]{1,6})\b", re.IGNORECASE)
_WHO = re.compile(r"\b(?:(?:who|what|which) (?:are you|made you|model|provider)|identify|introduce) ?", re.IGNORECASE)
_PIECE = re.compile(r"\s*\S{1,24}|\s+")
_MAX_COUNT = 100_000
_MAX_QUOTE = 500
_RETRY_AFTER_S = {429: "1", 503: "1", 529: "1"}


def reply_to(ask: Ask) -> Reply:
    """
    :raises Refused: the user asked for an error.
    """
    reply = _unthinking(ask)
    return _with_thought(ask, reply) if ask.thinks else reply


def _with_thought(ask: Ask, reply: Reply) -> Reply:
    doing = "call what was asked for" if reply.calls else "answer that"
    pieces = tuple(_PIECE.findall(f"The user says: {_quote(ask.said)} I shall {doing}."))
    limit = len(pieces) + len(reply.pieces) if ask.max_tokens is None or reply.calls else ask.max_tokens
    # The limit is for both, and an answer that is cut has no end of its own.
    thoughts = pieces[:limit]
    kept = reply.pieces[: limit - len(thoughts)]
    return replace(
        reply,
        thoughts=thoughts,
        pieces=kept,
        output_tokens=reply.output_tokens - len(reply.pieces) + len(kept) + len(thoughts),
        was_cut=reply.was_cut or len(kept) < len(reply.pieces),
    )


def _unthinking(ask: Ask) -> Reply:
    trouble = _failure_asked_for(ask.said)
    if trouble is not None:
        words = (
            f"This answer of {ask.model} will not be finished, because you asked for trouble: error {trouble.value}."
        )
        return _text_reply(ask, words, trouble)
    if not ask.tool_results:
        tools = _tools_asked_for(ask)
        if tools:
            return _tool_reply(ask, tools)
    if ask.json_schema is not None:
        schema = ask.json_schema or {"properties": {"answer": {"const": _greeting(ask)}}}
        return _text_reply(ask, msgspec.json.encode(example_of(schema, ask.said)).decode())
    return _text_reply(ask, _words(ask))


def word_count(texts: Iterable[str]) -> int:
    return sum(len(text.split()) for text in texts)


def tools_tokens(tools: Iterable[Tool]) -> int:
    """What offering tools adds to the input: a name, a description, and a word for each argument."""
    return sum(1 + word_count([tool.description]) + len(tool.schema.get("properties") or ()) for tool in tools)


def _failure_asked_for(said: str) -> Trouble | None:
    # The last line only: coding agents put pages of reminders before what the person typed.
    lines = said.strip().splitlines()
    match = _FAILURE.fullmatch(lines[-1].strip()) if lines else None
    if match is None:
        return None
    if match[1] is None:
        return Trouble(match[2].lower())
    status = int(match[1])
    headers = {"retry-after": _RETRY_AFTER_S[status]} if status in _RETRY_AFTER_S else None
    code = "rate_limit_exceeded" if status == 429 else None
    raise Refused(status, f"The demo provider was asked to fail with status {status}.", code=code, headers=headers)


def _tools_asked_for(ask: Ask) -> tuple[Tool, ...]:
    if ask.tool_choice == "none" or not ask.tools:
        return ()
    if ask.tool_choice.startswith("="):
        forced = ask.tool_choice[1:]
        chosen = tuple(tool for tool in ask.tools if tool.name == forced)
        if not chosen:
            raise Refused(400, f"Tool choice '{forced}' is not among the tools.", param="tool_choice")
        return chosen
    named = tuple(tool for tool in ask.tools if _names(ask.said, tool.name))
    if not named and ask.tool_choice == "any":
        named = ask.tools[:1]
    return named if ask.parallel_tool_calls else named[:1]


def _names(said: str, tool: str) -> bool:
    if re.search(rf"(?<!\w){re.escape(tool)}(?!\w)", said):
        return True
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", tool)
    # A name of one word counts only as written: "write" in a sentence must not call a tool named Write.
    hints = [" ".join(words)] if len(words) > 1 else []
    if hints and len(words[-1]) >= 4:
        hints.append(words[-1])
    return any(re.search(rf"\b{re.escape(hint)}\b", said, re.IGNORECASE) for hint in hints)


def _tool_reply(ask: Ask, tools: Iterable[Tool]) -> Reply:
    calls = []
    for tool in tools:
        arguments = msgspec.json.encode(example_of(tool.schema, ask.said)).decode()
        fragments = tuple(arguments[start : start + 8] for start in range(0, len(arguments), 8))
        calls.append(ToolCall(tool.name, arguments, fragments))
    tokens = sum(1 + len(call.fragments) for call in calls)
    return Reply((), tuple(calls), ask.input_tokens, tokens)


def _text_reply(ask: Ask, text: str, trouble: Trouble | None = None) -> Reply:
    pieces = tuple(_PIECE.findall(text))
    kept = pieces if ask.max_tokens is None else pieces[: ask.max_tokens]
    return Reply(kept, (), ask.input_tokens, len(kept), was_cut=len(kept) < len(pieces), trouble=trouble)


def _words(ask: Ask) -> str:
    if ask.tool_results:
        heard = " ".join(f"{result.name} answered: {_quote(result.text)}" for result in ask.tool_results)
        return f"{heard}\nThat is what I know. I am {ask.model}, {_PLAYED}."
    count = _COUNT.search(ask.said)
    if count:
        return " ".join(map(str, range(1, min(int(count[1]), _MAX_COUNT) + 1)))
    if _WHO.search(ask.said):
        return f"I am {ask.model} by {ask.provider}, {_PLAYED}."
    return _greeting(ask)


def _greeting(ask: Ask) -> str:
    return f"Hello! I am {ask.model}, {_PLAYED}. You said: {_quote(ask.said)}"


def _quote(text: str) -> str:
    text = text.strip() or "nothing"
    return text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE] + " ..."
