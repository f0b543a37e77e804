"""How long a process that has died stays away."""

from __future__ import annotations

from llm_gateway.fleet.backoff import FORGIVEN_S, LONGEST_S, Backoff


def test_each_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    """Half a second first, half a minute at most: a worker that always dies costs next to nothing."""
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, LONGEST_S, LONGEST_S, LONGEST_S]


def test_a_minute_of_life_is_a_new_beginning() -> None:
    """What happens once a day is not punished for the day before."""
    backoff = Backoff()
    for _ in range(5):
        backoff.after(FORGIVEN_S - 0.1)
    assert backoff.after(FORGIVEN_S) == 0.5
    assert backoff.after(FORGIVEN_S - 0.1) == 1
