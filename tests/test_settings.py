"""What the process was told."""

from __future__ import annotations

import attrs
import pytest

from llm_gateway.settings import Settings


def test_defaults_are_the_documented_ones() -> None:
    """Files in the working directory, port 8080, ten minutes to drain."""
    settings = Settings()
    assert (settings.keys_file, settings.aiservices_file) == ("keys.json", "aiservices.json")
    assert settings.listen == ("tcp:8080:backlog=1024",)
    assert (settings.drain_timeout_s, settings.health_interval_s) == (600.0, 30.0)


def test_settings_do_not_change() -> None:
    """Who holds them can rely on them."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().demo = True  # type: ignore[misc]  # that is the point
