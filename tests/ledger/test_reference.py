"""The pages about the ledger name all that there is, and nothing that there is not."""

from __future__ import annotations

from llm_gateway.cli.usage import _COLUMNS
from llm_gateway.core.usage.values import Source
from llm_gateway.ledger.queries import DIMENSIONS, LABEL
from llm_gateway.ledger.schema import COLUMNS
from llm_gateway.ledger.writer import WHEN_FULL
from tests.markdown import code, reference, section, tables


def names(page: str, heading: str, column: int = 0) -> list[str]:
    """:return: the code in a column of the first table of a section."""
    [table, *_] = tables(section(reference(page), heading))
    return [name for row in table for name in code(row[column])]


def test_every_column_is_documented() -> None:
    """In the order of the table."""
    assert names("ledger", "Columns") == list(COLUMNS)


def test_every_policy_is_documented() -> None:
    """For what becomes of calls while nothing more can be written down."""
    assert names("ledger", "When the database cannot be used") == list(WHEN_FULL)


def test_every_source_is_documented() -> None:
    """Of the numbers of tokens."""
    [told] = [row[1] for row in tables(section(reference("ledger"), "Columns"))[0] if row[0] == "`source`"]
    assert set(code(told)) == {source.value for source in Source}


def test_every_dimension_is_documented() -> None:
    """Of what use is told apart by."""
    assert sorted(names("usage", "Dimensions")) == sorted([*DIMENSIONS, f"{LABEL}NAME"])


def test_every_number_is_documented() -> None:
    """Classes of tokens by example."""
    told = set(names("usage", "Numbers", 1))
    assert told <= {*_COLUMNS, "dollars", "duration_s", "first_token_s"}
    assert {"calls", "attempts", "errors", "estimated", "unpriced", "input_tokens", "output_tokens"} <= told
