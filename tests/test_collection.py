"""The guard in conftest.py, tried on a small project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parent / "conftest.py").read_text()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("async def test_lonely():\n    assert False", id="function"),
        pytest.param("async def test_lonely():\n    assert False\n    yield", id="generator"),
        pytest.param("class TestIt:\n    async def test_lonely(self):\n        assert False", id="method"),
    ],
)
def test_async_test_that_nobody_awaits_is_refused_by_name(pytester: pytest.Pytester, body: str) -> None:
    """Such a test would pass without running; the run ends before its first test and says which one it is."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(body)
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ensureDeferred*", "*::test_lonely"])


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
