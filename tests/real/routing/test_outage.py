"""A provider is killed and comes back: what that costs calls that run, calls that wait, and calls that come."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.real.provider import running_provider
from tests.real.routing.mortal import EVENT
from tests.real.routing.stage import Flow, MortalProvider, first_and_second, saying, stage
from tests.real.shapes import DISCONNECTED, check_broken_stream

KEYS = {"vk_both": ["out-1st", "out-2nd"]}
TWICE_IS_FINE = {"retries": {"repeat": "generations", "first_wait_s": 0.02}}
RAMP_S = 1.6
SOON_BACK = {"open_s": 0.2, "longest_open_s": 0.2, "ramp_s": RAMP_S, "ramp_from": 0.1}

STREAMS, NOT_BEGUN = 200, 40
CLIENTS = 4
AT_MOST = 4 * 5 + CLIENTS
"""Failures in a row until it is left alone in any case, and those of calls that are on their way by then."""


def test_provider_killed_under_two_hundred_streams_fails_those_alone(
    bin_dir: Path, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """
    Streams that have begun end with one error event. All other calls, those that it had taken already too, are answered
    by the fallback.
    """
    with (
        MortalProvider() as mortal,
        running_provider() as second,
        stage(
            bin_dir,
            tmp_path,
            providers=first_and_second("out", [mortal.url, second.url], breaking={"open_s": 30}),
            routing=TWICE_IS_FINE,
            keys=KEYS,
        ) as staged,
    ):
        streams = []
        for _ in range(STREAMS):
            client = staged.asked("vk_both", saying("stream"))
            head = client.head()
            assert (head.status, head.value("x-gw-provider")) == (200, "out-1st")
            streams.append((client, head))
        waiting = [staged.asked("vk_both", saying("wait")) for _ in range(NOT_BEGUN)]
        staged.wait_for_slots(STREAMS + NOT_BEGUN)
        assert staged.health("out-1st")["calls"]["in_flight"] == STREAMS + NOT_BEGUN

        with Flow(staged, "vk_both", CLIENTS) as flow:
            flow.wait_for_more(20)
            killed_at = time.time()
            mortal.kill()
            for client, head in streams:
                answer = client.rest(head)
                begun = re.match(rb"(?:%b)+" % re.escape(EVENT), answer.body)
                assert begun, answer
                check_broken_stream(answer, "openai", DISCONNECTED, begun[0])
                client.close()
            for client in waiting:
                answer = client.answer()
                assert (answer.status, answer.value("x-gw-provider")) == (200, "out-2nd")
                assert answer.value("x-gw-attempts") == "2"
                client.close()
            flow.wait_for_more(50)
        assert {each.status for each in flow.calls} == {200}
        shown = staged.health("out-1st")
        assert shown["state"] == "open", shown
        noticed_s = datetime.fromisoformat(shown["since"]).timestamp() - killed_at
        again = [each for each in flow.since(killed_at) if each.attempts > 1]
        print(f"noticed {noticed_s * 1000:.0f} ms after the kill; {len(again)} calls were sent to it after that")
        record_property("seconds until noticed", noticed_s)
        assert len(again) <= AT_MOST


def test_provider_that_comes_back_gets_its_calls_little_by_little(
    bin_dir: Path, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """After single trials a growing share, until it has all of them again. Nobody has to notice."""
    with (
        MortalProvider() as mortal,
        running_provider() as second,
        stage(
            bin_dir,
            tmp_path,
            providers=first_and_second("out", [mortal.url, second.url], breaking=SOON_BACK),
            routing=TWICE_IS_FINE,
            keys=KEYS,
        ) as staged,
        Flow(staged, "vk_both", CLIENTS) as flow,
    ):
        flow.wait_for_more(10)
        mortal.kill()
        staged.told("provider out-1st is left alone")
        flow.wait_for_more(20)
        back_at = time.time()
        mortal.start()
        staged.told("provider out-1st is back")
        closed_at = datetime.fromisoformat(staged.health("out-1st")["since"]).timestamp()
        flow.wait_for(lambda calls: calls[-1].began_at > closed_at + RAMP_S, "the ramp is over")
        flow.wait_for_more(20)

        def share(begin: float, end: float) -> float:
            """Of the calls in a part of the ramp, which lasts from 0 to 1."""
            to_first = [
                each.provider == "out-1st"
                for each in flow.calls
                if closed_at + begin * RAMP_S <= each.began_at and each.ended_at <= closed_at + end * RAMP_S
            ]
            assert len(to_first) >= 10, (begin, end, len(to_first))
            return sum(to_first) / len(to_first)

        shares = [share(at / 4, (at + 1) / 4) for at in range(4)]
        again = [each for each in flow.calls if each.attempts > 1 and each.ended_at < back_at]
        print(
            f"back {closed_at - back_at:.2f} s after it was started; {len(flow.calls)} calls, {len(again)} sent twice"
        )
        print(f"its share in each quarter of the ramp: {[f'{each:.0%}' for each in shares]}")
        record_property("seconds until back", closed_at - back_at)
        record_property("share of calls by quarter of the ramp", shares)
        assert shares[0] < 0.6 < shares[3]
        assert share(0, 0.5) < share(0.5, 1)
        assert {each.provider for each in flow.since(closed_at + RAMP_S)} == {"out-1st"}
        assert {each.status for each in flow.calls} == {200}
        assert len(again) <= AT_MOST


def test_health_checks_spare_calls_the_finding_out(bin_dir: Path, tmp_path: Path) -> None:
    """A provider that fails them is left alone before any call has failed, and is back before any call tries it."""
    with (
        MortalProvider() as mortal,
        running_provider() as second,
        stage(
            bin_dir,
            tmp_path,
            *("--health-interval", "0.1"),
            providers=first_and_second("out", [mortal.url, second.url], breaking={"open_s": 30}),
            keys=KEYS,
        ) as staged,
    ):
        assert staged.call("vk_both").value("x-gw-provider") == "out-1st"
        mortal.kill()
        staged.told("provider out-1st is left alone for a while: 2 probes in a row failed")
        for _ in range(5):
            answer = staged.call("vk_both")
            assert (answer.value("x-gw-provider"), answer.value("x-gw-attempts")) == ("out-2nd", "1")
        mortal.start()
        staged.told("provider out-1st is back")
        assert staged.health("out-1st")["calls"]["failed"] == 0
