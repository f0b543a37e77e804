"""The ``llmgateway`` command."""
