"""Choosing by chance and by conversation, and what calls have in common."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gateway.core.apis import Api
from llm_gateway.core.routing.candidates import (
    Candidate,
    Effect,
    conversation_number,
    conversation_of,
    draw,
    effect_of,
    may_repeat,
    place_on_circle,
    weighted_order,
)
from llm_gateway.core.routing.outcomes import Acted
from llm_gateway.core.routing.settings import Repeat

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=8)


def homes(candidates: list[Candidate], conversations: int = 3000) -> list[Candidate]:
    """Where each conversation goes first."""
    places = [place_on_circle(each) for each in candidates]
    weights = [each.weight for each in candidates]
    return [
        candidates[weighted_order(weights, [draw(conversation_number(str(number)), place) for place in places])[0]]
        for number in range(conversations)
    ]


CANDIDATES = [Candidate(f"provider{n}", f"key{n}", "model", weight=weight) for n, weight in enumerate((1, 1, 2))]


def test_conversations_spread_by_weight() -> None:
    counts = Counter(homes(CANDIDATES, 4000))
    assert [counts[each] / 4000 for each in CANDIDATES] == pytest.approx([0.25, 0.25, 0.5], abs=0.03)


@pytest.mark.parametrize("gone", range(3))
def test_candidate_that_leaves_moves_only_its_own_conversations(gone: int) -> None:
    """And those spread over the others by their weights."""
    before = homes(CANDIDATES)
    left = [each for at, each in enumerate(CANDIDATES) if at != gone]
    after = homes(left)
    moved = Counter(there for here, there in zip(before, after, strict=True) if here is CANDIDATES[gone])
    assert all(here is there for here, there in zip(before, after, strict=True) if here is not CANDIDATES[gone])
    total = sum(moved.values())
    for each in left:
        assert moved[each] / total == pytest.approx(each.weight / sum(other.weight for other in left), abs=0.06)


def test_every_order_of_candidates_of_one_weight_is_as_likely() -> None:
    """The second choice does not hang on the first: what leaves does not overload one neighbour."""
    places = [place_on_circle(Candidate(f"p{n}", "key", "m")) for n in range(3)]
    orders = Counter(
        tuple(weighted_order([1, 1, 1], [draw(conversation_number(f"session-{n}"), place) for place in places]))
        for n in range(6000)
    )
    assert len(orders) == 6
    assert all(abs(count - 1000) < 150 for count in orders.values())


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_lots_are_within_bounds_and_the_same_every_time(conversation: int, place: int) -> None:
    lot = draw(conversation, place)
    assert 0 < lot < 1
    assert lot == draw(conversation, place)


def test_lots_are_the_same_in_every_process() -> None:
    """No state is shared: several workers and machines choose alike. Python's own hashes differ between processes."""
    program = (
        "from llm_gateway.core.routing.candidates import *\n"
        "print(draw(conversation_number('s'), place_on_circle(Candidate('p', 'k', 'm'))))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert float(printed) == draw(conversation_number("s"), place_on_circle(Candidate("p", "k", "m")))


def test_place_depends_on_where_it_leads_only() -> None:
    here = Candidate("p", "k", "m")
    assert place_on_circle(here) == place_on_circle(Candidate("p", "k", "m", "anthropic", 7, 3.0))
    others = [Candidate("q", "k", "m"), Candidate("p", "l", "m"), Candidate("p", "k", "n"), Candidate("p", "km", "")]
    assert len({place_on_circle(each) for each in (here, *others)}) == 5


def test_any_text_can_be_a_conversation() -> None:
    """Headers hold what clients send."""
    assert conversation_number("\ud800") != conversation_number("")


@given(WEIGHTS, st.randoms(use_true_random=False))
def test_order_by_weight_has_each_once(weights: list[float], rng: random.Random) -> None:
    order = weighted_order(weights, [rng.random() for _ in weights])
    assert sorted(order) == list(range(len(weights)))


@settings(max_examples=25)
@given(WEIGHTS, st.integers(0, 2**32))
def test_first_of_an_order_is_by_share_of_the_weight(weights: list[float], seed: int) -> None:
    """Within five standard deviations of 400 draws."""
    rng = random.Random(seed)
    firsts = Counter(weighted_order(weights, [rng.random() for _ in weights])[0] for _ in range(400))
    for at, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(firsts[at] / 400 - share) <= 5 * math.sqrt(share * (1 - share) / 400) + 0.01


def test_no_weight_comes_last() -> None:
    rng = random.Random(1)
    for _ in range(100):
        assert weighted_order([0, 1, 0, 5], [rng.random() for _ in range(4)])[2:] == [0, 2]


@pytest.mark.parametrize(
    ("method", "api", "effect"),
    [
        ("POST", Api.CHAT, Effect.GENERATES),
        ("POST", Api.MESSAGES, Effect.GENERATES),
        ("POST", Api.RESPONSES, Effect.GENERATES),
        ("POST", Api.GEMINI, Effect.GENERATES),
        ("POST", Api.EMBEDDINGS, Effect.GENERATES),
        ("POST", Api.COUNT_TOKENS, Effect.SAFE),
        ("GET", Api.MODELS, Effect.SAFE),
        ("GET", Api.OTHER, Effect.SAFE),
        ("HEAD", Api.OTHER, Effect.SAFE),
        ("POST", Api.OTHER, Effect.CREATES),
        ("DELETE", Api.OTHER, Effect.CREATES),
    ],
)
def test_effect_is_told_from_what_is_asked(method: str, api: Api, effect: Effect) -> None:
    assert effect_of(method, api) is effect


@pytest.mark.parametrize("api", list(Api))
def test_every_operation_has_an_effect(api: Api) -> None:
    assert effect_of("POST", api) is Effect.CREATES or api is not Api.OTHER


ALLOWED = {
    # effect and what is allowed: what may have become of the first send
    (Effect.SAFE, Repeat.SAFE): {Acted.NO, Acted.FAILED, Acted.MAYBE},
    (Effect.SAFE, Repeat.GENERATIONS): {Acted.NO, Acted.FAILED, Acted.MAYBE},
    (Effect.SAFE, Repeat.ALL): {Acted.NO, Acted.FAILED, Acted.MAYBE},
    (Effect.GENERATES, Repeat.SAFE): {Acted.NO, Acted.FAILED},
    (Effect.GENERATES, Repeat.GENERATIONS): {Acted.NO, Acted.FAILED, Acted.MAYBE},
    (Effect.GENERATES, Repeat.ALL): {Acted.NO, Acted.FAILED, Acted.MAYBE},
    (Effect.CREATES, Repeat.SAFE): {Acted.NO},
    (Effect.CREATES, Repeat.GENERATIONS): {Acted.NO},
    (Effect.CREATES, Repeat.ALL): {Acted.NO, Acted.FAILED, Acted.MAYBE},
}


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("allowed", list(Repeat))
def test_nothing_is_done_twice_that_must_not_be(effect: Effect, allowed: Repeat) -> None:
    assert {acted for acted in Acted if may_repeat(acted, effect, allowed)} == ALLOWED[effect, allowed]


@pytest.mark.parametrize(
    ("headers", "fields", "found"),
    [
        ({"x-claude-code-session-id": "s", "session_id": "t"}, {"user": "u"}, "s"),
        ({"session_id": "t"}, {"prompt_cache_key": "c"}, "t"),
        ({}, {"prompt_cache_key": "c", "user": "u"}, "c"),
        ({}, {"user": "u"}, "u"),
        ({}, {"user_id": "m"}, "m"),
        ({"session_id": ""}, {"user": ""}, None),
        ({"user": "not a header for this"}, {}, None),
    ],
)
def test_conversation_is_found(headers: dict[str, str], fields: dict[str, str], found: str | None) -> None:
    assert conversation_of(headers, fields) == found


def test_candidate_is_told_in_words() -> None:
    assert str(Candidate("openai", "main", "gpt-5.4")) == "openai/gpt-5.4 with main"
    assert str(Candidate("openai", "main", "")) == "openai/* with main"
