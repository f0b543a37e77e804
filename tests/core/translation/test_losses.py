"""What a translation has left out or changed."""

from __future__ import annotations

import pytest

from llm_gateway.core.translation.losses import Losses, OnUnsupported, Unsupported, Weight


class Compared(str):
    """A field that counts how often it is compared with another."""

    __slots__ = ()
    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_fields_are_told_once_and_in_their_order() -> None:
    losses = Losses(OnUnsupported.DROP)
    for field in ("n", "seed", "n"):
        losses.drop(field, Weight.MEANING, "there is none")
        losses.change(f"messages.{field}")
    assert (losses.dropped, losses.changed) == (["n", "seed"], ["messages.n", "messages.seed"])


def test_cost_of_a_loss_does_not_grow_with_their_number() -> None:
    """A request of a megabyte can have twenty thousand, and everybody waits while it is translated."""
    losses = Losses(OnUnsupported.DROP)
    Compared.times = 0
    for number in range(2_000):
        losses.drop(Compared(f"messages[{number}].name"), Weight.HINT, "there is none")
        losses.change(Compared(f"messages[{number}].role"))
    assert len(losses.dropped) == len(losses.changed) == 2_000
    assert Compared.times < 20_000


@pytest.mark.parametrize(
    ("policy", "weight", "refused"),
    [
        (OnUnsupported.DEFAULT, Weight.HINT, False),
        (OnUnsupported.DEFAULT, Weight.MEANING, True),
        (OnUnsupported.REJECT, Weight.HINT, True),
        (OnUnsupported.DROP, Weight.MEANING, False),
    ],
)
def test_policy_decides_what_is_refused(policy: OnUnsupported, weight: Weight, refused: bool) -> None:
    losses = Losses(policy)
    if refused:
        with pytest.raises(Unsupported, match="seed cannot be sent to this provider: there is none"):
            losses.drop("seed", weight, "there is none")
    else:
        assert losses.drop("seed", weight, "there is none") is False
    assert losses.dropped == ([] if refused else ["seed"])


@pytest.mark.parametrize("name", ["model", "models", "Models"])
def test_other_models_are_never_passed_on(name: str) -> None:
    """A key may be limited to some, and OpenRouter asks those in ``models`` where the first does not answer."""
    losses = Losses(OnUnsupported.PASS)
    assert not losses.drop(name, Weight.MEANING, "it has none.")
    assert losses.dropped == [name]


def test_what_has_no_name_of_its_own_is_told_under_every_policy_that_lets_it_go() -> None:
    for policy in (OnUnsupported.DROP, OnUnsupported.PASS):
        losses = Losses(policy)
        losses.lose("messages[1].parts[0]", Weight.MEANING, "it has none.")
        assert losses.dropped == ["messages[1].parts[0]"]
    with pytest.raises(Unsupported):
        Losses(OnUnsupported.DEFAULT).lose("messages[1].parts[0]", Weight.MEANING, "it has none.")
