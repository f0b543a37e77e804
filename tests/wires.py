"""Which implementation of HTTP/1.1 the tests run on."""

from __future__ import annotations

import os

from llm_gateway.settings import Settings

WIRE = os.environ.get("LLMGATEWAY_TEST_WIRE") or Settings().wire
"""One of ``settings.WIRES``: the default one, unless the environment says otherwise."""
