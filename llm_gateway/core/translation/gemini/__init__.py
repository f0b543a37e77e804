"""
Google's dialect: ``generateContent``, ``streamGenerateContent``, ``countTokens`` and embeddings.

Source: https://ai.google.dev/api/generate-content, and the types of the official SDK, ``google-genai``, which names
newer fields first.
"""

from __future__ import annotations

from llm_gateway.core.translation.gemini.codec import GeminiCodec

__all__ = ["GeminiCodec"]
