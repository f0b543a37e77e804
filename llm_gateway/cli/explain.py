"""``llmgateway explain``: where calls of a key go, in which order, and why each place is in or out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from llm_gateway.cli.answers import refusal
from llm_gateway.cli.explanations import lines_of, printable
from llm_gateway.cli.gateway import NoAnswer, RunningGateway, Unreachable, add_arguments, key_of, url_of
from llm_gateway.config.load import choose_files, read_configuration
from llm_gateway.config.problems import looks_like_key
from llm_gateway.core.apis import ASKED_BY
from llm_gateway.core.discreet import Discreet
from llm_gateway.core.routing.explain import Explanation
from llm_gateway.errors import GatewayError, ModelNotAllowed, ProviderNotConfigured, WrongDialect, WrongProvider

__all__ = ["add_parser"]

_PATH = "/v1/gateway/route"
_TIMEOUT_S = 10.0
_NOWHERE = frozenset(each.kind for each in (ModelNotAllowed, ProviderNotConfigured, WrongDialect, WrongProvider))
"""Refusals of calls that have no candidate."""
_SOME, _NONE, _UNKNOWN = 0, 1, 2
"""Exit statuses. That there is none and that nobody knows are told apart, as grep does."""

_DESCRIPTION = """\
Say which providers, credentials and models a call could go to, in the order in which they would be asked, and why each
is in or out. Nothing is sent to any provider, and nothing changes by asking. Keys are never printed.
"""

_EPILOG = """\
A running gateway is asked, which knows how the providers are just now. With --offline, or where --keys or --aiservices
names a file, it is told from the files alone, by the same rules and as if everything were well; then --key may also be
what logs call the key: its name, or key: and eight digits.

environment:
  LLMGATEWAY_KEY    the virtual key, where --key is not given
  LLMGATEWAY_MODEL  the model, where --model is not given
  LLMGATEWAY_URL    the gateway's address, where --url is not given
  KEYS_FILE         the file with the virtual keys, for --offline where --keys is not given
  AISERVICES_FILE   the file with the providers, for --offline where --aiservices is not given

examples:
  llmgateway explain --key vk_user1_openai --model gpt-5.4-mini
  llmgateway explain --key vk_user2_anthropic --model fast --api messages --stream
  llmgateway explain --offline --key alice --model fast --json

exit status: 0 when some candidate is in, 1 when none is, 2 when that cannot be told: wrong usage, an unknown key, a
faulty file, no gateway; 130 after Ctrl-C.
"""


class _Nowhere(NoAnswer):
    """Such a call would be refused: it has no candidate."""


class _Asked(Discreet, msgspec.Struct, frozen=True):
    """What is to be explained."""

    key: str
    model: str
    api: str
    stream: bool
    conversation: str

    def shown(self) -> tuple[str, ...]:
        return ("model", "api")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand. Its ``func`` takes the parsed namespace and returns the exit status."""
    parser = subparsers.add_parser(
        "explain",
        help="say where a key's calls go, and why",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # Of --key and --keys each is the beginning of the other, or nearly; and argparse shows what it cannot decide.
        allow_abbrev=False,
    )
    add_arguments(parser, _TIMEOUT_S)
    parser.add_argument("--model", help="the model, as a call would name it (default: $LLMGATEWAY_MODEL)")
    parser.add_argument("--api", choices=list(ASKED_BY), default="chat", help="what the call is (default: chat)")
    parser.add_argument("--stream", action="store_true", help="the call asks for a stream")
    parser.add_argument(
        "--conversation", metavar="TEXT", default="", help="what tells its conversation, such as a session id"
    )
    parser.add_argument("--offline", action="store_true", help="tell from the files, without a gateway")
    parser.add_argument("--keys", metavar="FILE", help="the virtual keys (default: $KEYS_FILE, else keys.json)")
    parser.add_argument(
        "--aiservices", metavar="FILE", help="the providers (default: $AISERVICES_FILE, else aiservices.json)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    parser.set_defaults(func=lambda options: _run(options, parser))


def _run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    asked = _asked(options, os.environ, parser)
    try:
        if _is_offline(options):
            source, body = _from_files(*choose_files(options.keys, options.aiservices, os.environ), os.environ, asked)
        else:
            gateway = RunningGateway(url_of(options, os.environ, parser), options.timeout)
            source, body = _from_gateway(gateway, asked)
        try:
            explanation = msgspec.json.decode(body, type=Explanation)
        except msgspec.DecodeError as error:
            raise NoAnswer(f"what came is not an explanation as this version knows it: {error}") from error
    except NoAnswer as failure:
        print(f"llmgateway explain: {failure}", file=sys.stderr)
        if isinstance(failure, Unreachable):
            print("llmgateway explain: --offline tells what the files alone say", file=sys.stderr)
        return _NONE if isinstance(failure, _Nowhere) else _UNKNOWN
    if options.json:
        # As it came: a newer gateway may say more than is known here.
        print(msgspec.json.format(body.decode(), indent=2))
    else:
        print(*_heading(asked, explanation, source), *lines_of(explanation), sep="\n")
    return _SOME if any(each.is_in for each in explanation.candidates) else _NONE


def _is_offline(options: argparse.Namespace) -> bool:
    return bool(options.offline or options.keys or options.aiservices)


def _asked(options: argparse.Namespace, environ: Mapping[str, str], parser: argparse.ArgumentParser) -> _Asked:
    """
    :raises SystemExit: it cannot be asked like this, and the parser has said so.
    """
    if _is_offline(options) and options.url:
        parser.error("--url asks a running gateway, and --offline, --keys and --aiservices ask the files")
    if options.keys and not os.path.exists(options.keys) and looks_like_key(options.keys):
        parser.error("--keys takes the file with the virtual keys; the key itself is for --key")
    key = key_of(options, environ, parser, sent=not _is_offline(options))
    model = options.model or environ.get("LLMGATEWAY_MODEL") or ""
    if not model:
        parser.error("a model is needed: --model MODEL, or LLMGATEWAY_MODEL in the environment")
    return _Asked(key, _as_text(model), options.api, options.stream, _as_text(options.conversation))


def _as_text(argument: str) -> str:
    """Python keeps bytes that are not UTF-8 as half characters, which nothing takes."""
    return argument.encode("utf-8", "replace").decode()


# Where it is known


def _from_gateway(gateway: RunningGateway, asked: _Asked) -> tuple[str, bytes]:
    """
    :return: who says it, and what.
    :raises NoAnswer: it cannot be told, or such a call would be refused.
    """
    # chat is content with the base URL of an SDK, too.
    url = gateway.url._replace(path=gateway.url.path.removesuffix("/v1"))
    stream = "true" if asked.stream else "false"
    query = {"model": asked.model, "api": asked.api, "stream": stream, "conversation": asked.conversation}
    headers = {"authorization": f"Bearer {asked.key}", "accept": "application/json"}
    gateway = replace(gateway, url=url)
    response = gateway.ask("GET", f"{_PATH}?{urlencode(query)}", headers)
    with closing(response):
        body = b"".join(gateway.chunks(response))
    if response.status != 200:
        told = {name.lower(): value for name, value in response.getheaders()}
        failure = refusal(response.status, told, body)
        raise _Nowhere(str(failure)) if told.get("x-gw-error") in _NOWHERE else failure
    return f"the gateway at {url.geturl()}, as it is now", body


def _from_files(
    keys_file: str, aiservices_file: str | None, environ: Mapping[str, str], asked: _Asked
) -> tuple[str, bytes]:
    """As ``_from_gateway``."""
    # They take a second to load, most of it for the web server: only who needs them shall wait.
    from llm_gateway.cli.offline import NoSuchKey, explain_offline
    from llm_gateway.web.explaining import Question

    reading = read_configuration(keys_file, aiservices_file, environ)
    if reading.problems:
        for problem in reading.problems:
            print(f"error: {problem}", file=sys.stderr)
        raise NoAnswer("a gateway would not start with these files")
    question = Question(asked.model, asked.api, asked.stream, asked.conversation)
    try:
        explanation = explain_offline(reading.configuration, asked.key, question)
    except NoSuchKey as error:
        raise NoAnswer(str(error)) from error
    except GatewayError as error:
        kind = _Nowhere if error.kind in _NOWHERE else NoAnswer
        raise kind(f"{error.kind}: {error.message}") from error
    source = f"{keys_file} and {aiservices_file or 'the built-in aiservices.json'}, as if everything were well"
    return source, msgspec.json.encode(explanation)


def _heading(asked: _Asked, explanation: Explanation, source: str) -> Iterator[str]:
    meant = "" if explanation.model == asked.model else f", which stands for {explanation.model}"
    yield printable(f"call:      {asked.model}{meant} ({asked.api}, {'streamed' if asked.stream else 'not streamed'})")
    yield f"strategy:  {explanation.strategy}{'; a conversation stays with one' if explanation.sticky else ''}"
    yield printable(f"told by:   {source}")
    yield ""
