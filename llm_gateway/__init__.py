"""A self-hosted gateway between programs and LLM providers, run as ``twistd -n llmgateway``."""

__version__ = "0.1.0"
