"""OpenAI's Chat Completions dialect, to and from the neutral conversation."""
