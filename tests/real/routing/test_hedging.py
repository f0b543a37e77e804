"""A second provider is asked beside the first when that is late with its first token."""

from __future__ import annotations

from pathlib import Path

from tests.real.provider import LAST_CHUNK, STREAM_HEAD, Exchange, Gone, chunk, running_provider
from tests.real.routing.stage import first_and_second, saying, stage

EVENT = b'data: {"n":1}\n\n'
COMMENT = b": keep-alive\n\n"


def test_late_stream_is_raced_and_the_loser_hung_up_on(bin_dir: Path, tmp_path: Path) -> None:
    """The first content wins, not the first status; the other connection is closed at once and has no slot any more."""

    def say_that_it_is_there(exchange: Exchange) -> None:
        exchange.send(STREAM_HEAD + chunk(COMMENT))
        exchange.connection.wait_left()
        raise Gone

    with (
        running_provider(say_that_it_is_there) as first,
        running_provider(lambda exchange: exchange.send(STREAM_HEAD + chunk(EVENT) + LAST_CHUNK)) as second,
        stage(
            bin_dir,
            tmp_path,
            providers=first_and_second("race", [first.url, second.url]),
            routing={"hedging": {"after_s": 0.1}},
            keys={"vk_race": ["race-1st", "race-2nd"]},
        ) as staged,
    ):
        answer = staged.call("vk_race", saying("hello", stream=True))
        assert (answer.status, answer.whole, answer.body) == (200, True, EVENT)
        assert (answer.value("x-gw-provider"), answer.value("x-gw-attempts")) == ("race-2nd", "2")
        first.wait_for(lambda: first.connections[0].left_at is not None, "the loser's connection is closed")
        staged.wait_for_slots(0)
        assert staged.health("race-1st")["calls"]["failed"] == 0
        # A call that is answered in time is not sent twice.
        first.script = second.script
        assert staged.call("vk_race", saying("hello", stream=True)).value("x-gw-attempts") == "1"
        assert len(second.seen) == 1
