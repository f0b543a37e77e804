"""Which beta features reach a provider."""

from __future__ import annotations

import pytest

from llm_gateway.core.betas import BetaFilter


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([b"a-1"], [b"a-1"]),
        ([b"a-1, b-2"], [b"a-1, b-2"]),
        ([b"a-1,x,b-2"], [b"a-1,b-2"]),
        ([b"a-1", b"x", b" b-2 ,a-1"], [b"a-1,b-2"]),
        ([b"x"], []),
        ([b""], []),
        ([], []),
        ([b"\xff"], []),
    ],
)
def test_what_a_provider_does_not_know_is_left_out(sent: list[bytes], kept: list[bytes]) -> None:
    """And the header with it, if nothing is left; where all is known, it is as it was sent."""
    assert BetaFilter(["a-1", "b-*"]).keep(sent) == kept


def test_nothing_is_known_where_nothing_is_listed() -> None:
    assert BetaFilter([]).keep([b"a-1,b-2"]) == []


def test_invented_names_do_not_fill_the_memory() -> None:
    betas = BetaFilter(["a-*"])
    for number in range(2 * betas.MAX_REMEMBERED):
        assert betas.keep([b"a-%d,b-%d" % (number, number)]) == [b"a-%d" % number]
    assert len(betas._verdicts) == betas.MAX_REMEMBERED
