#!/usr/bin/env python3
"""
Ask the provider behind every virtual key to say who it is, through a running gateway.

    pip install -r requirements.txt
    twistd -n llmgateway --demo                     # in another terminal, or with your own keys.json
    python test_router.py --keys ../keys.example.json

One row for each key, with PASS where the answer came from the provider that keys.json names; the exit status is 1 if
any key failed. All that it uses is the official OpenAI SDK, pointed at the gateway: POST /chat/completions is passed on
to the key's provider as it is, so that Claude answers too, in Anthropic's own shape.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import openai

QUESTION = "Please identify yourself: which model are you, and which company made you? Answer in one sentence."

MODELS = {
    "openai": "gpt-5.4-mini",
    "anthropic": "claude-haiku-5-5",
    "deepseek": "deepseek-v4-flash",
}

# Which model family each company makes. A provider that is not here passes with any answer.
FAMILIES = {"openai": "gpt", "anthropic": "claude", "deepseek": "deepseek"}


@dataclass(frozen=True)
class Result:
    key: str
    provider: str
    model: str
    verdict: str
    milliseconds: int
    words: str


def main() -> int:
    options = read_options()
    try:
        with open(options.keys, encoding="utf-8") as file:
            keys: dict[str, Any] = json.load(file)["virtual_keys"]
    except (OSError, ValueError, LookupError) as error:
        print(f"{options.keys} cannot be used ({error}); name another with --keys or KEYS_FILE.", file=sys.stderr)
        return 2
    models = {**MODELS, **dict(options.model)}
    results = [ask(options.url, key, entry["provider"], models) for key, entry in keys.items()]
    print_table(results)
    failed = sum(result.verdict == "FAIL" for result in results)
    print(f"\n{len(results)} keys, {failed} failed")
    return 1 if failed else 0


def read_options() -> argparse.Namespace:
    def provider_and_model(text: str) -> tuple[str, str]:
        provider, _, model = text.partition("=")
        if not model:
            raise argparse.ArgumentTypeError("must look like openai=gpt-5.4")
        return provider, model

    parser = argparse.ArgumentParser(
        description="Ask the provider behind every virtual key to identify itself, through a running gateway."
    )
    keys = os.environ.get("KEYS_FILE", "keys.json")
    parser.add_argument("--keys", default=keys, help="the gateway's keys file (default: $KEYS_FILE, else keys.json)")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway (default: %(default)s)")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        type=provider_and_model,
        metavar="PROVIDER=MODEL",
        help="the model to ask a provider for; may be repeated",
    )
    return parser.parse_args()


def ask(url: str, key: str, provider: str, models: dict[str, str]) -> Result:
    model = models.get(provider, "default")
    if key.startswith("sha256:"):
        return Result("(hashed)", provider, model, "SKIP", 0, "only its hash is in the file")
    # Anthropic demands a limit; for others it is left out, since not all call it the same.
    limit: dict[str, Any] = {"max_tokens": 300} if provider == "anthropic" else {}
    started = time.monotonic()
    try:
        with openai.OpenAI(base_url=url, api_key=key, max_retries=1, timeout=60) as client:
            # The raw response, since the SDK knows OpenAI's shape only.
            response = client.chat.completions.with_raw_response.create(
                model=model, messages=[{"role": "user", "content": QUESTION}], **limit
            )
        words, answered_by = read_answer(json.loads(response.text))
        verdict = "PASS" if names_itself(provider, words, answered_by) else "FAIL"
    except openai.APIStatusError as error:
        verdict, words = "FAIL", f"{error.status_code}: {error.message}"
    except openai.APIConnectionError:
        verdict, words = "FAIL", f"nothing answers at {url}: is the gateway running there?"
    except (openai.OpenAIError, ValueError, LookupError, TypeError) as error:
        verdict, words = "FAIL", f"{type(error).__name__}: {error}"
    return Result(fingerprint(key), provider, model, verdict, round(1000 * (time.monotonic() - started)), words)


def read_answer(document: dict[str, Any]) -> tuple[str, str]:
    """Give the text and the model of an answer of OpenAI's shape or Anthropic's."""
    if document.get("type") == "message":
        return "".join(block.get("text", "") for block in document["content"]), document["model"]
    return document["choices"][0]["message"]["content"] or "", document["model"]


def names_itself(provider: str, words: str, model: str) -> bool:
    """Whether the answer names this provider as its maker or, where it names no company, comes from its models."""
    if provider not in FAMILIES:
        return bool(words)
    companies = [company for company in FAMILIES if company in words.lower()]
    return provider in companies if companies else FAMILIES[provider] in f"{words} {model}".lower()


def fingerprint(key: str) -> str:
    """What the gateway's own log and `llmgateway check` call a key without a name."""
    return "key:" + hashlib.sha256(key.encode()).hexdigest()[:8]


def print_table(results: list[Result]) -> None:
    rows = [("KEY", "PROVIDER", "MODEL", "RESULT", "MS", "ANSWER")]
    for result in results:
        words = " ".join(result.words.split())
        short = words if len(words) <= 60 else words[:57] + "..."
        rows.append((result.key, result.provider, result.model, result.verdict, str(result.milliseconds), short))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5], sep="  ")


if __name__ == "__main__":
    sys.exit(main())
