"""What the process was told."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gateway.engine import ENGINES
from llm_gateway.settings import ACCESS_LOG_FORMATS, WIRES, Settings
from llm_gateway.web.access_log import FORMATS


def test_defaults_are_the_documented_ones() -> None:
    """Files in the working directory, port 8080, ten minutes to drain."""
    settings = Settings()
    assert (settings.keys_file, settings.aiservices_file) == ("keys.json", "aiservices.json")
    assert settings.listen == ("tcp:8080:backlog=1024",)
    assert (settings.drain_timeout_s, settings.health_interval_s) == (600.0, 30.0)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"health_interval_s": -1}, "health_interval_s must be a number of at least 0, not -1"),
        ({"max_body_bytes": True}, "max_body_bytes must be a number of at least 1, not True"),
        ({"drain_timeout_s": "x"}, "drain_timeout_s must be a number of at least 0, not 'x'"),
        ({"pool_idle_s": float("nan")}, "pool_idle_s must be a number of at least 0, not nan"),
        ({"access_log_format": "jsn"}, "access_log_format must be text or json, not 'jsn'"),
        ({"wire": "http2"}, "wire must be llhttp or twisted, not 'http2'"),
    ],
)
def test_programs_that_embed_it_hear_of_their_mistakes(wrong: dict[str, Any], complaint: str) -> None:
    """At once, with the name and what it takes."""
    with pytest.raises(ValueError, match=complaint):
        Settings(**wrong)


def test_every_name_leads_somewhere() -> None:
    """What settings and options take is what there is."""
    assert set(WIRES) == set(ENGINES)
    assert set(ACCESS_LOG_FORMATS) == set(FORMATS)
