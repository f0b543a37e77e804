"""What things cost, as whole numbers: rates, and what an attempt costs at them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llm_gateway.core.usage.values import INPUT, OUTPUT, Usage

__all__ = [
    "CLASSES",
    "FREE",
    "PICO_IN_NANO",
    "Above",
    "Cost",
    "Rates",
    "cost",
    "dearest",
    "for_prompt_of",
    "most",
    "typical",
]

CLASSES = INPUT + OUTPUT
"""What tokens have rates for, as `Usage` calls them."""

PICO_IN_NANO = 1_000


class Cost(msgspec.Struct, frozen=True):
    """What one attempt costs."""

    nano: int
    """Billionths of a dollar."""
    version: str
    """Of the prices that it was rated by."""


class Above(msgspec.Struct, frozen=True, gc=False):
    """Other rates for all the tokens of a long prompt."""

    tokens: int
    """How many are read at the ordinary rates, whatever class they are of; from one more on these count."""
    rates: Rates


class Rates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What one model costs at one time. Every class has a rate: see `llm_gateway.core.prices.lists` for those that have
    none of their own.

    The unit is 10^-12 dollars for one token: a dollar per million tokens is 1,000,000.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    cached_audio: int = 0
    image_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0
    image_output: int = 0
    request: int = 0
    """For each call in which tokens were used, in the same unit."""
    pieces: dict[str, int] = {}
    """For each piece of a kind, in the same unit; those of other kinds cost nothing."""
    above: tuple[Above, ...] = ()
    """Fewest tokens first."""
    tiers: dict[str, Rates] = {}
    """By service tier, as the provider calls it; others are charged for as if none were named."""
    version: str = ""
    """Where they are from: the version of the list of prices, or ``aiservices.json``."""


FREE = Rates()
"""Of models that cost nothing, as far as tokens go."""


def cost(rates: Rates, usage: Usage) -> int:
    """
    :return: billionths of a dollar, rounded once, half up.
    """
    tier = usage.tier
    if tier is not None:
        rates = rates.tiers.get(tier, rates)
    if rates.above:
        # Usage.input_tokens is the same in twice the time.
        prompt = usage.input + usage.cached + usage.cache_write + usage.cache_write_1h
        prompt += usage.audio_input + usage.cached_audio + usage.image_input
        rates = for_prompt_of(prompt, rates)
    pico = (
        usage.input * rates.input
        + usage.cached * rates.cached
        + usage.output * rates.output
        + usage.reasoning * rates.reasoning
    )
    if usage.cache_write or usage.cache_write_1h:
        pico += usage.cache_write * rates.cache_write + usage.cache_write_1h * rates.cache_write_1h
    if usage.audio_input or usage.cached_audio or usage.image_input or usage.audio_output or usage.image_output:
        pico += (
            usage.audio_input * rates.audio_input
            + usage.cached_audio * rates.cached_audio
            + usage.image_input * rates.image_input
            + usage.audio_output * rates.audio_output
            + usage.image_output * rates.image_output
        )
    if usage.pieces and rates.pieces:
        for name, count in usage.pieces.items():
            pico += count * rates.pieces.get(name, 0)
    if rates.request and (usage.output_tokens or usage.input_tokens):
        pico += rates.request
    return (pico + PICO_IN_NANO // 2) // PICO_IN_NANO


def most(
    rates: Rates,
    input: int,
    output: int,
    pieces: Mapping[str, int] | None = None,
    *,
    tier: str | None = None,
    caching: bool = True,
    media: bool = True,
) -> int:
    """
    Tell what a call can cost at most.

    :param input: no less than the tokens that will be read, of whatever class.
    :param output: no less than those that will be written.
    :param pieces: what is billed by the piece, as far as it can be foreseen. What tools will do is not among it.
    :param tier: the one that was asked for. One that answers in a dearer one, unasked, may cost more.
    :param caching: whether what is read may be written to a cache.
    :param media: whether it may be audio or images, or be answered with them.
    :return: billionths of a dollar, rounded up.
    """
    if tier is not None:
        rates = rates.tiers.get(tier, rates)
    if rates.above:
        rates = for_prompt_of(input, rates)
    read, written = dearest(rates, caching=caching, media=media)
    pico = input * read + output * written + rates.request
    if pieces and rates.pieces:
        for name, count in pieces.items():
            pico += count * rates.pieces.get(name, 0)
    return -(-pico // PICO_IN_NANO)


def dearest(rates: Rates, *, caching: bool = True, media: bool = True) -> tuple[int, int]:
    """
    :return: the most that a token can cost that is read, and one that is written, whatever class it is of; in the unit
        of the rates, whose steps and tiers are not looked at.
    """
    read, written = max(rates.input, rates.cached), max(rates.output, rates.reasoning)
    if caching:
        read = max(read, rates.cache_write, rates.cache_write_1h)
    if media:
        read = max(read, rates.audio_input, rates.cached_audio, rates.image_input)
        written = max(written, rates.audio_output, rates.image_output)
    return read, written


def typical(rates: Rates) -> int:
    """
    :return: what puts models in the order of their prices: three tokens read and one written, in the unit of the rates.
        Conversations read more than they write; how much more is different for everybody, and rates of the two differ
        from model to model by about the same factor.
    """
    return 3 * rates.input + rates.output


def for_prompt_of(tokens: int, rates: Rates) -> Rates:
    """:return: the rates of a prompt that has so many tokens of whatever class."""
    chosen = rates
    for step in rates.above:
        if tokens <= step.tokens:
            break
        chosen = step.rates
    return chosen
