"""What every test gets: a guard against coroutines that nobody runs, and the folder of the program under test."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

import pytest
import pytest_twisted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse coroutine tests that nothing awaits: pytest-twisted calls them, drops the coroutine and reports a pass."""
    unawaited = [item.nodeid for item in items if isinstance(item, pytest.Function) and _is_unawaited(item.function)]
    if unawaited:
        complaint = "async tests need @pytest_twisted.ensureDeferred, or they pass without running:"
        raise pytest.UsageError("\n  ".join([complaint, *unawaited]))


def _is_unawaited(function: object) -> bool:
    if inspect.isasyncgenfunction(function):
        return True
    # ensureDeferred leaves the function as it is and only marks it; the mark has no public reader.
    return inspect.iscoroutinefunction(function) and pytest_twisted._get_mark(function) != "async_test"


@pytest.fixture(scope="session")
def bin_dir() -> Path:
    """The folder with the ``twistd`` and ``llmgateway`` to be tested as installed programs.

    ``LLMGATEWAY_BIN`` names that of another environment, such as one with the built wheel. Start them in a working
    directory outside this tree: twistd puts its own on ``sys.path``, and would import the tree instead.
    """
    return Path(os.environ.get("LLMGATEWAY_BIN") or Path(sys.executable).parent)
