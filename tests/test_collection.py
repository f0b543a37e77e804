"""The guard in conftest.py, tried on a small project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parent / "conftest.py").read_text()


@pytest.fixture(autouse=True)
def _few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that conftest.py asks for: to load all that are installed takes most of a small run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_twisted,_hypothesis_pytestplugin")


def test_async_tests_that_nobody_awaits_are_refused_by_name(pytester: pytest.Pytester) -> None:
    """Such a test would pass without running; the run ends before its first test and says which ones they are."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        async def test_function():
            assert False

        async def test_generator():
            assert False
            yield

        class TestIt:
            async def test_method(self):
                assert False
        """
    )
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ensureDeferred*", "*::test_function", "*::test_generator", "*::TestIt::test_method"])


def test_async_test_under_ensure_deferred_runs(pytester: pytest.Pytester) -> None:
    """The guard lets the right form through, and what it asserts counts."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest_twisted

        @pytest_twisted.ensureDeferred
        async def test_holds():
            assert True

        @pytest_twisted.ensureDeferred
        async def test_breaks():
            assert False
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1, failed=1)


def test_what_can_know_the_wire_is_marked_and_nothing_else(pytester: pytest.Pytester) -> None:
    """Itself, by way of another module, inside a function, or through its folder's conftest.py; unless it objects."""
    importing = {
        "__init__": "",
        "folder/__init__": "",
        "wires": "WIRE = 'llhttp'",
        "memory": "from tests.wires import WIRE",
        "plain": "import os",
        "test_direct": "from tests.wires import WIRE\ndef test_it(): ...",
        "test_through": "from tests.memory import WIRE\ndef test_it(): ...",
        "test_late": "def test_it():\n    from tests import memory",
        "folder/conftest": "from tests import memory",
        "folder/test_beside": "def test_it(): ...",
        "test_neither": "import tests.plain\ndef test_it(): ...",
        "test_alike": "from tests import memory\nimport pytest\n@pytest.mark.any_wire\ndef test_it(): ...",
    }
    pytester.makepyfile(**{"tests/conftest": CONFTEST, **{f"tests/{name}": text for name, text in importing.items()}})
    result = pytester.runpytest_subprocess("-m", "not wire", "-v")
    result.assert_outcomes(passed=2, deselected=4)
    result.stdout.fnmatch_lines(["*test_alike.py::test_it PASSED*", "*test_neither.py::test_it PASSED*"])


def test_what_cannot_know_the_wire_is_not_even_read_for_it(pytester: pytest.Pytester) -> None:
    """Nor does it count among what was left out."""
    files = {
        "__init__": "",
        "wires": "",
        "test_knows": "import tests.wires\ndef test_it(): ...",
        "test_neither": "raise AssertionError('this is read')",
    }
    pytester.makepyfile(**{"tests/conftest": CONFTEST, **{f"tests/{name}": text for name, text in files.items()}})
    pytester.runpytest_subprocess("-m", "wire").assert_outcomes(passed=1)
