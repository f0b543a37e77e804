"""The part of a page that the benchmarks write."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.machine import CannotMeasure
from benchmarks.pages import BEGIN, END, around, write_into
from tests.markdown import ROOT

PAGE = ROOT / "docs" / "performance.md"


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    write_into(page, "### New\n")
    once = page.read_text()
    write_into(page, "### New\n")
    assert once == page.read_text() == f"# Before\n\n{BEGIN}\n\n### New\n\n{END}\n\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}\n{END}\n{END}", f"{BEGIN}\n{BEGIN}\n{END}"])
def test_page_without_its_marks_is_refused(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(CannotMeasure, match="must have these two lines once"):
        around(page)


def test_page_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasure, match="cannot be read"):
        around(tmp_path / "page.md")


def test_our_page_has_its_marks() -> None:
    before, after = around(PAGE)
    assert before.startswith("# ")
    assert after.strip()
