"""
Google's dialect: ``generateContent``, ``streamGenerateContent``, ``countTokens`` and embeddings.

Source: https://ai.google.dev/api/generate-content, and the types of the official SDK, ``google-genai``, which names
newer fields first.
"""
