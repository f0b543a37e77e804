"""
What providers that speak Chat Completions do not have in common.

OpenAI itself knows every field of its own dialect; others know what it was when they copied it, and refuse what is
newer. A provider is told by its preset, else by its name in ``aiservices.json``, else, for OpenAI's own models behind
some other name, by the model's. Any other provider gets what all of them know.

``max_tokens`` and ``max_completion_tokens`` are the plainest case. OpenAI's reasoning models refuse the first, which is
deprecated there; many compatible providers know only the first, and Mistral refuses the second. So the second goes to
OpenAI, to Azure and to the providers that document it, and the first to all others.

Source: the providers' own references, read in 2026:

* https://platform.openai.com/docs/api-reference/chat/create
* https://api-docs.deepseek.com/guides/thinking_mode: thinking goes back with tool calls, or the call is refused
* https://console.groq.com/docs/reasoning: ``reasoning`` in messages; ``reasoning_content`` is refused
* https://docs.mistral.ai/api: fields that it does not know are refused; calls' ids have nine characters
* https://openrouter.ai/docs/guides/best-practices/reasoning-tokens: ``reasoning`` and ``reasoning_details``
* https://ai.google.dev/gemini-api/docs/openai: signatures in ``extra_content``
"""

from __future__ import annotations

import re

import msgspec

from llm_gateway.core.translation.codec import Destination
from llm_gateway.core.translation.efforts import EFFORTS
from llm_gateway.core.translation.openai_models import ChatWithTools, openai_model

__all__ = ["Flavour", "flavour_of"]


class Flavour(msgspec.Struct, frozen=True):
    """One provider's Chat Completions."""

    max_tokens: str = "max_tokens"
    developer: bool = False
    """Whether it knows the role."""
    part_lists: bool = False
    """Whether texts may stand in a list of parts in every message, rather than images and their captions only."""
    thoughts: str | None = "reasoning_content"
    """The field in which a message has its thinking when it is sent back; ``content`` for Mistral's list of chunks and
    ``None`` where there is none."""
    thoughts_with_calls: bool = False
    """Whether a message with calls is refused without that field."""
    details: bool = False
    """Whether it takes ``reasoning_details`` back."""
    signatures: bool = False
    """Whether it takes Google's signatures back."""
    efforts: tuple[str, ...] = ("none", "low", "medium", "high")
    effort: str = "medium"
    """The one that its model has where nothing is said."""
    with_tools: ChatWithTools = ChatWithTools.ANY_EFFORT
    sampling: tuple[str, ...] | None = None
    """The efforts with which its model's sampling may be set; ``None`` for all."""
    switch: bool = False
    """Whether thinking is turned off by ``thinking`` of the type ``disabled``."""
    reasoning_object: bool = False
    """Whether ``reasoning`` says all about thinking, as OpenRouter's does."""
    custom_tools: bool = False
    allowed_tools: bool = False
    schemas: bool = True
    """Whether an answer can be bound to a schema, or to JSON only."""
    marks: str | None = None
    """How a prompt's part is marked for the cache: ``prompt_cache_breakpoint``, ``cache_control`` or not at all."""
    refusals: bool = False
    names: bool = True
    """Whether messages say which of several participants speaks."""
    short_ids: bool = False
    """Whether calls' ids have nine letters and digits."""
    usage_option: bool = True
    """Whether ``stream_options`` is known."""
    stops: int | None = None
    """How many stop sequences it takes at most."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Fields that it has under another name."""
    knows: frozenset[str] = frozenset()
    """Optional fields that it knows: those that are not sent to providers of which nothing is known."""

    is_openai: bool = False
    """Whether it is OpenAI itself, or serves its models as OpenAI does."""

    def named(self, field: str) -> str:
        return next((theirs for ours, theirs in self.renamed if ours == field), field)


_NEWER = frozenset(
    {
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
    }
)

_OPENAI = Flavour(
    max_tokens="max_completion_tokens",
    developer=True,
    part_lists=True,
    thoughts=None,
    efforts=EFFORTS,
    custom_tools=True,
    allowed_tools=True,
    refusals=True,
    stops=4,
    knows=_NEWER,
    is_openai=True,
)
_FLAVOURS = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    "deepseek": Flavour(thoughts_with_calls=True, efforts=("low", "medium", "high", "max"), switch=True, schemas=False),
    "moonshot": Flavour(thoughts_with_calls=True, switch=True),
    "zai": Flavour(switch=True),
    "groq": Flavour(
        max_tokens="max_completion_tokens", thoughts="reasoning", stops=4, knows=frozenset({"service_tier"})
    ),
    "cerebras": Flavour(max_tokens="max_completion_tokens", thoughts="reasoning", stops=4),
    "mistral": Flavour(
        thoughts="content",
        efforts=("none", "high"),
        names=False,
        short_ids=True,
        usage_option=False,
        renamed=(("seed", "random_seed"),),
    ),
    "openrouter": Flavour(
        part_lists=True,
        thoughts="reasoning",
        details=True,
        efforts=EFFORTS[:-1],
        reasoning_object=True,
        marks="cache_control",
        knows=frozenset({"verbosity", "top_k", "image", "linked_files"}),
    ),
    "xai": Flavour(max_tokens="max_completion_tokens", efforts=("none", "low", "medium", "high")),
    "gemini": Flavour(
        max_tokens="max_completion_tokens",
        thoughts=None,
        signatures=True,
        efforts=("none", "minimal", "low", "medium", "high"),
        stops=5,
    ),
    "together": Flavour(thoughts="reasoning", knows=frozenset({"top_k"})),
    "vllm": Flavour(max_tokens="max_completion_tokens", part_lists=True, knows=frozenset({"top_k"})),
}
_ALIASES = {
    "vertex": "gemini",
    "google": "gemini",
    "kimi": "moonshot",
    "zhipu": "zai",
    "glm": "zai",
    "grok": "xai",
}
_PLAIN = Flavour()

_WORDS = re.compile(r"[a-z0-9]+")

_WITH_BREAKPOINTS = re.compile(r"(?:.*/)?gpt-(?:5\.(?:[6-9]|\d\d)|[6-9]|\d\d)")


def flavour_of(to: Destination) -> Flavour:
    """
    :return: what the provider of this model knows.
    """
    for name in (to.preset or "", to.provider):
        for word in _WORDS.findall(name.lower()):
            found = _FLAVOURS.get(_ALIASES.get(word, word))
            if found is not None:
                return _of_model(found, to.model) if found is _OPENAI else found
    return _PLAIN if openai_model(to.model) is None else _of_model(_OPENAI, to.model)


def _of_model(openai: Flavour, model: str) -> Flavour:
    """OpenAI's own models differ in how much they may think, and in the cache."""
    known = openai_model(model)
    if known is not None:
        openai = msgspec.structs.replace(
            openai,
            efforts=known.efforts,
            effort=known.effort,
            with_tools=known.with_tools,
            sampling=known.sampling,
            stops=openai.stops if known.stops else 0,
        )
    if _WITH_BREAKPOINTS.match(model):
        return msgspec.structs.replace(openai, marks="prompt_cache_breakpoint")
    return openai
