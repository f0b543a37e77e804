"""``llmgateway chat``: a client to try a gateway with, one question or a conversation."""

from __future__ import annotations

import argparse
import http.client
import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, TextIO

import msgspec

from llm_gateway.cli.answers import Stopped, Text, Thinking, ToolCalled, read_answer, refusal
from llm_gateway.cli.gateway import NoAnswer, RunningGateway, add_arguments, key_of, url_of
from llm_gateway.core.discreet import Discreet

__all__ = ["add_parser", "default_model"]

_TIMEOUT_S = 600.0
# Anthropic demands a limit. Room for a long answer, and no model of theirs allows less.
_ANTHROPIC_MAX_TOKENS = 4096
_MODELS = {
    "anthropic": "claude-haiku-5-5",
    "claude": "claude-haiku-5-5",
    "deepseek": "deepseek-v4-flash",
    "gemini": "gemini-3.8-flash",
}
_OTHER_MODEL = "gpt-5.4-mini"
_PROMPT = "you> "

_EPILOG = f"""\
The question goes to URL/chat/completions, which passes it on to the key's provider as it is; so its shape must be the
provider's own. With --dialect auto it is Anthropic's for a model named claude and OpenAI's for all others: that decides
where the system text goes and what the limit is called. Answers are understood in both. A model named gemini is asked
at URL/v1/chat/completions: Google's own API has no such path, and what is asked there is translated.

Without MESSAGE, every line of the standard input is a turn of one conversation.

environment:
  LLMGATEWAY_KEY    the virtual key, where --key is not given
  LLMGATEWAY_URL    the gateway's address, where --url is not given
  LLMGATEWAY_MODEL  the model, where --model is not given; without either it goes by the key's name:
                    {_MODELS["claude"]} (anthropic or claude in it), {_MODELS["deepseek"]} (deepseek),
                    {_MODELS["gemini"]} (gemini), {_OTHER_MODEL} (anything else)

examples:
  llmgateway chat --key vk_user1_openai "Hello, who are you?"
  llmgateway chat --key vk_user2_anthropic --system "Answer in French." Hello
  llmgateway chat --key vk_user3_deepseek            a conversation, one line a turn; Ctrl-D ends it
  llmgateway chat --key vk_user1_openai --raw Hello  the stream as it comes over the wire

exit status: 0 when every question was answered, 1 after a failure, 2 for wrong usage, 130 after Ctrl-C.
"""


class _Settings(Discreet, msgspec.Struct, frozen=True):
    """What was asked for, options and environment taken together."""

    gateway: RunningGateway
    key: str
    model: str
    dialect: str
    """``openai`` or ``anthropic``."""
    stream: bool
    raw: bool
    system: str | None
    max_tokens: int | None

    def shown(self) -> tuple[str, ...]:
        return ("gateway", "model", "dialect")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand. Its ``func`` takes the parsed namespace and returns the exit status."""
    parser = subparsers.add_parser(
        "chat",
        help="talk to a provider through the gateway",
        description="Ask the provider behind a virtual key something, and print the answer as it arrives.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("message", metavar="MESSAGE", nargs="*", help="the question; several words need no quotes")
    add_arguments(parser, _TIMEOUT_S)
    parser.add_argument("--model", help="the provider's name of the model (default: $LLMGATEWAY_MODEL, else see below)")
    parser.add_argument("--dialect", choices=["auto", "openai", "anthropic"], default="auto", help="see below")
    parser.add_argument("--system", metavar="TEXT", help="instructions for the whole conversation")
    parser.add_argument(
        "--max-tokens", type=_positive, metavar="N", help="limit of each answer (default: the provider's; Claude: 4096)"
    )
    parser.add_argument("--no-stream", action="store_true", help="ask for the whole answer at once")
    parser.add_argument("--raw", action="store_true", help="print the bytes of the answer as they come")
    parser.set_defaults(func=lambda options: _run(options, parser))


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not number:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def default_model(key: str) -> str:
    """Guess a model from the name of a virtual key, which often says whose it is."""
    return next((model for hint, model in _MODELS.items() if hint in key.lower()), _OTHER_MODEL)


def _run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    conversation = _Conversation(_settings(options, os.environ, parser), sys.stdout, sys.stderr)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character should not end the answer.
        sys.stdout.reconfigure(errors="replace")
    if options.message:
        return 0 if conversation.turn(" ".join(options.message)) else 1
    if sys.stdin.isatty():
        return _talk(conversation)
    for line in sys.stdin:
        # A program that feeds lines wants to stop where the first one failed.
        if line.strip() and not conversation.turn(line.strip()):
            return 1
    return 0


def _talk(conversation: _Conversation) -> int:
    """A conversation with a person, who sees a failure and may go on."""
    print("One line is one turn; Ctrl-D ends the conversation.", file=sys.stderr)
    while True:
        try:
            line = input(_PROMPT)
        except EOFError:
            print()
            return 0
        if line.strip():
            conversation.turn(line.strip())


def _settings(options: argparse.Namespace, environ: Mapping[str, str], parser: argparse.ArgumentParser) -> _Settings:
    key, url = key_of(options, environ, parser), url_of(options, environ, parser)
    model = options.model or environ.get("LLMGATEWAY_MODEL") or default_model(key)
    dialect = options.dialect
    if dialect == "auto":
        dialect = "anthropic" if "claude" in model.lower() else "openai"
    return _Settings(
        gateway=RunningGateway(url, options.timeout),
        key=key,
        model=model,
        dialect=dialect,
        stream=not options.no_stream,
        raw=options.raw,
        system=options.system,
        max_tokens=options.max_tokens,
    )


class _Conversation:
    """The turns so far, and the next one."""

    def __init__(self, settings: _Settings, out: TextIO, complaints: TextIO) -> None:
        self._settings = settings
        self._out = out
        self._complaints = complaints
        self._messages: list[dict[str, str]] = []
        self._is_terminal = out.isatty()

    def turn(self, text: str) -> bool:
        """
        Say something and print the answer.

        :return: whether there was one. A turn that failed is forgotten, so that the next one can go on from there.
        """
        question = {"role": "user", "content": text}
        try:
            answer = self._print_answer(_ask(self._settings, [*self._messages, question]))
        except NoAnswer as failure:
            self._out.flush()
            print(f"llmgateway chat: {failure}", file=self._complaints, flush=True)
            return False
        self._messages += [question, {"role": "assistant", "content": answer}]
        return True

    def _print_answer(self, response: http.client.HTTPResponse) -> str:
        """
        :return: the text of the answer.
        :raises NoAnswer: it is an error or ends early; the line that was begun is ended.
        """
        with closing(response):
            chunks = self._settings.gateway.chunks(response)
            if self._settings.raw:
                chunks = self._copied(chunks)
            headers = {name.lower(): value for name, value in response.getheaders()}
            if response.status >= 400:
                raise refusal(response.status, headers, b"".join(chunks))
            line = _Line(self._out, silent=self._settings.raw)
            said = []
            try:
                is_stream = headers.get("content-type", "").startswith("text/event-stream")
                for piece in read_answer(chunks, is_stream):
                    match piece:
                        case Text(text):
                            said.append(text)
                            line.write(self._shown(text))
                        case Thinking(text):
                            if self._is_terminal:
                                line.write(f"\x1b[2m{self._shown(text)}\x1b[0m")
                        case ToolCalled(name, arguments):
                            line.end()
                            line.write(self._shown(f"[calls {name}({arguments})]"))
                        case Stopped(reason):
                            line.end()
                            self._explain(reason)
            finally:
                line.end()
        return "".join(said)

    def _explain(self, reason: str | None) -> None:
        if reason in ("length", "max_tokens"):
            print("[cut off at the token limit]", file=self._complaints)
        elif reason in ("content_filter", "refusal"):
            print(f"[stopped by the provider: {reason}]", file=self._complaints)

    def _shown(self, text: str) -> str:
        # A model's words must not move the cursor or retitle the window.
        return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", " ", text) if self._is_terminal else text

    def _copied(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if isinstance(self._out, io.TextIOWrapper):
                self._out.buffer.write(chunk)
            else:
                self._out.write(chunk.decode("utf-8", "replace"))
            self._out.flush()
            yield chunk


class _Line:
    """Text on its way to the terminal, as it comes; knows whether a line is open."""

    def __init__(self, out: TextIO, silent: bool) -> None:
        self._out = out
        self._silent = silent
        self._is_open = False

    def write(self, text: str) -> None:
        if text and not self._silent:
            self._out.write(text)
            self._out.flush()
            self._is_open = not text.endswith("\n")

    def end(self) -> None:
        if self._is_open:
            self.write("\n")


def _ask(settings: _Settings, messages: list[dict[str, str]]) -> http.client.HTTPResponse:
    """
    :raises NoAnswer: nobody answers, or not in HTTP.
    """
    headers = {
        "authorization": f"Bearer {settings.key}",
        "content-type": "application/json",
        "accept": "text/event-stream" if settings.stream else "application/json",
    }
    return settings.gateway.ask("POST", _path(settings), headers, _body(settings, messages))


def _path(settings: _Settings) -> str:
    """Below the gateway's URL, which may be the base URL of an SDK."""
    translated = "gemini" in settings.model.lower() and not settings.gateway.url.path.endswith("/v1")
    return "/v1/chat/completions" if translated else "/chat/completions"


def _body(settings: _Settings, messages: list[dict[str, str]]) -> bytes:
    body: dict[str, Any] = {"model": settings.model, "messages": messages, "stream": settings.stream}
    if settings.dialect == "anthropic":
        body["max_tokens"] = settings.max_tokens or _ANTHROPIC_MAX_TOKENS
        if settings.system:
            body["system"] = settings.system
        return msgspec.json.encode(body)
    if settings.system:
        body["messages"] = [{"role": "system", "content": settings.system}, *messages]
    if settings.max_tokens:
        # OpenAI's newer models refuse the old name; those who took over its dialect mostly know no other.
        own = re.match(r"gpt-|chatgpt|o\d", settings.model)
        body["max_completion_tokens" if own else "max_tokens"] = settings.max_tokens
    return msgspec.json.encode(body)
