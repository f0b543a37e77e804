"""Chat Completions, both ways."""
