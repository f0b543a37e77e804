"""How long answers are taken to become."""

from __future__ import annotations

from llm_gateway.core.expectation import Expectation


def test_model_that_nobody_has_called_is_taken_to_write_much() -> None:
    assert Expectation().of("p", "m") == Expectation.UNKNOWN


def test_nine_in_ten_answers_stay_below_what_is_expected() -> None:
    expectation = Expectation()
    for tokens in range(1, 65):
        expectation.learn("p", "m", tokens)
    expected = expectation.of("p", "m")
    assert 57 <= expected <= 60
    assert expectation.of("p", "other") == Expectation.UNKNOWN


def test_of_few_answers_the_longest_counts() -> None:
    expectation = Expectation()
    for tokens in (5, 900, 10):
        expectation.learn("p", "m", tokens)
    assert expectation.of("p", "m") == 900


def test_models_that_have_changed_are_learned_anew() -> None:
    expectation = Expectation()
    for _ in range(100):
        expectation.learn("p", "m", 10)
    for _ in range(100):
        expectation.learn("p", "m", 5_000)
    assert expectation.of("p", "m") == 5_000


def test_names_that_providers_make_up_do_not_fill_the_memory() -> None:
    expectation = Expectation()
    for number in range(5_000):
        expectation.learn("p", f"m{number}", 10)
    assert len(expectation._seen) <= 1_024
    assert len(expectation._found) <= 1_024
