"""What a process counts with, and what its log is told of limits."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from llm_gateway.accounting import Accounting, journal_folder
from llm_gateway.core.limits.claims import Refused, Reservation, Want
from llm_gateway.core.limits.values import Limit, Measure, Scope, Window
from llm_gateway.settings import Settings
from tests.memory import USUAL, virtual_key


def test_limit_in_shadow_says_what_it_would_have_refused_once_a_minute() -> None:
    clock = Clock()
    accounting = Accounting(Settings(), clock)
    shadow = Limit(Scope.GROUP, "lab", Measure.REQUESTS, Window.DAY, 1, shadow=True)
    with capturedLogs() as logged:
        for _ in range(6):
            assert isinstance(accounting.limiter.reserve([shadow], Want()), Reservation)
        clock.advance(61)
        accounting.limiter.reserve([shadow], Want())
    assert [formatEvent(each) for each in logged] == [
        "requests_per_day of group lab would have refused a call, were it not in shadow",
        "requests_per_day of group lab would have refused 5 calls, were it not in shadow",
    ]


def test_share_for_a_warning_is_logged_once() -> None:
    accounting = Accounting(Settings(), Clock())
    limit = Limit(Scope.GLOBAL, "", Measure.REQUESTS, Window.DAY, 10, warn_at=0.5)
    with capturedLogs() as logged:
        for _ in range(10):
            accounting.limiter.reserve([limit], Want())
        assert isinstance(accounting.limiter.reserve([limit], Want()), Refused)
    assert [formatEvent(each) for each in logged] == ["50% of requests_per_day is used"]


def test_journal_is_beside_the_file_unless_it_is_named(tmp_path: Path) -> None:
    assert journal_folder(f"{tmp_path}/l.sqlite") == f"{tmp_path}/l.sqlite.journal"
    assert journal_folder(f"sqlite:{tmp_path}/l.sqlite") == f"{tmp_path}/l.sqlite.journal"
    assert journal_folder("postgresql://h/d", "/elsewhere") == "/elsewhere"
    assert journal_folder("postgresql://h/d").endswith("/llmgateway-journal")


def test_limit_of_a_key_is_called_by_its_name() -> None:
    accounting = Accounting(Settings(), Clock())
    limit = Limit(Scope.KEY, "ab" * 32, Measure.REQUESTS, Window.DAY, 1, shadow=True)
    key = replace(virtual_key("vk_ann", "openai"), name="ann", account="ab" * 32, limits=(limit,))
    accounting.use(replace(USUAL, keys={key.digest: key}))
    other = replace(limit, subject="cd" * 32)
    with capturedLogs() as logged:
        for each in (limit, other):
            for _ in range(2):
                accounting.limiter.reserve([each], Want())
    assert [formatEvent(each).partition(" would")[0] for each in logged] == [
        "requests_per_day of key ann",
        "requests_per_day of key cdcdcdcd",
    ]
