"""What every test gets: a guard against coroutines that nobody runs, a mark, and the folder of the program to test."""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from hypothesis import settings

TESTS = Path(__file__).parent
WIRES = TESTS / "wires.py"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "wire: the outcome may depend on LLMGATEWAY_TEST_WIRE (set by conftest.py)")
    config.addinivalue_line("markers", "any_wire: it does not, although the test's module could know the variable")
    # What is drawn depends on the test alone, and the clock on nothing: a change is judged by what it changes.
    settings.register_profile("repeatable", derandomize=True, deadline=None)
    settings.register_profile("random", deadline=None)
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("repeatable")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """For ``-m wire``, leave out unread every file that has none of them: most of the time to collect is theirs."""
    chosen: str = config.getoption("-m")
    is_other = chosen == "wire" and collection_path.suffix == ".py" and WIRES not in _imported(collection_path)
    return True if is_other else None


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """
    Refuse coroutine tests that nothing awaits: pytest-twisted calls them, drops the coroutine and reports a pass.

    Mark ``wire`` what can get at ``tests.wires`` through imports. Every other test cannot know which wire it is to use,
    so that a run with ``-m wire`` is all that another wire needs. Nor is that marked which says ``any_wire`` itself: it
    starts the program without a word of wires, or is about what comes before and after a call.
    """
    # To read what every file imports takes a second or two, and nothing but -m asks for it.
    if config.getoption("-m"):
        for item in items:
            if WIRES in _imported(item.path) and item.get_closest_marker("any_wire") is None:
                item.add_marker("wire")
    unawaited = [item.nodeid for item in items if isinstance(item, pytest.Function) and _is_unawaited(item.function)]
    if unawaited:
        complaint = "async tests need @pytest_twisted.ensureDeferred, or they pass without running:"
        raise pytest.UsageError("\n  ".join([complaint, *unawaited]))


def pytest_collection_finish() -> None:
    """
    Take what is there by now for good: every full collection would look through all tests and libraries once more, and
    tests that show that nothing is left behind ask for many.
    """
    gc.collect()
    gc.freeze()


@functools.cache
def _imported(module: Path) -> frozenset[Path]:
    """Every file of the tests that this one imports: itself, through others, or by way of its folder's conftest.py."""
    found: set[Path] = set()
    rest = [module, *(folder / "conftest.py" for folder in module.parents if TESTS in folder.parents)]
    while rest:
        new = set(_named(rest.pop())) - found
        found |= new
        rest += new
    return frozenset(found)


@functools.cache
def _named(module: Path) -> tuple[Path, ...]:
    """The files of the tests that this one names in an import, in a function too."""
    names: list[str] = []
    if not module.exists():
        return ()
    for node in ast.walk(ast.parse(module.read_bytes())):
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            # What is imported from a package may be a module or a value of it.
            names += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
    files = (TESTS.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names if name.startswith("tests."))
    return tuple(file for file in files if file.exists())


def _is_unawaited(function: object) -> bool:
    if inspect.isasyncgenfunction(function):
        return True
    # ensureDeferred leaves the function as it is and only marks it; the mark has no public reader.
    return inspect.iscoroutinefunction(function) and pytest_twisted._get_mark(function) != "async_test"


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """
    Trust one certificate authority of all that the machine knows, as nobody outside of it is asked for anything.

    Every client that a test makes of an SDK's reads them once or twice, and all of them take longer than most tests.
    """
    known = ssl.create_default_context().get_ca_certs(binary_form=True)
    with pytest.MonkeyPatch.context() as patch:
        for first in known[:1]:
            path = tmp_path_factory.mktemp("authority") / "one.pem"
            path.write_text(ssl.DER_cert_to_PEM_cert(first))
            patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(scope="session")
def bin_dir() -> Path:
    """The folder with the ``twistd`` and ``llmgateway`` to be tested as installed programs.

    ``LLMGATEWAY_BIN`` names that of another environment, such as one with the built wheel. Start them in a working
    directory outside this tree: twistd puts its own on ``sys.path``, and would import the tree instead.
    """
    return Path(os.environ.get("LLMGATEWAY_BIN") or Path(sys.executable).parent)
