"""One module for each way of talking to an LLM provider; adding a dialect adds a module and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llm_gateway.core.dialects.anthropic import Anthropic
from llm_gateway.core.dialects.base import Dialect
from llm_gateway.core.dialects.gemini import Gemini
from llm_gateway.core.dialects.openai import OpenAI

__all__ = ["ANTHROPIC", "DIALECTS", "GEMINI", "OPENAI", "Dialect"]

OPENAI: Dialect = OpenAI()
ANTHROPIC: Dialect = Anthropic()
GEMINI: Dialect = Gemini()

DIALECTS: Mapping[str, Dialect] = MappingProxyType({each.name: each for each in (OPENAI, ANTHROPIC, GEMINI)})
"""Every dialect by the name that ``aiservices.json`` uses for it."""
