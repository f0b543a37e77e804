"""Days of trouble, each a simulation: ``python -m tests.core.routing.scenarios NAME SEED`` plays one again."""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence

from llm_gateway.core.routing.candidates import Call, Candidate, Effect
from llm_gateway.core.routing.outcomes import TABLE, OutcomeKind
from llm_gateway.core.routing.settings import (
    Breaking,
    Hedging,
    Limits,
    ProviderSettings,
    Repeat,
    Retries,
    RoutingSettings,
    Strategy,
)
from tests.core.routing.simulation import Answer, Script, Simulation

A, B, C = (Candidate(name, f"{name}-key", "model") for name in "abc")
SECOND_KEY = Candidate("a", "a-other-key", "model")
STREAM = Call("tenant", stream=True)


def well(rng: random.Random, first_token_s: float = 0.4, lasts_s: float = 2.0) -> Answer:
    """A streamed answer, give or take."""
    return Answer(first_token_s * rng.uniform(0.7, 1.3), lasts_s=lasts_s * rng.uniform(0.5, 1.5))


def always_well(rng: random.Random, first_token_s: float = 0.4) -> Script:
    """Never any trouble."""
    return lambda _now, _candidate: well(rng, first_token_s)


def trouble(
    rng: random.Random, kind: OutcomeKind, since: float, until: float, share: float = 1.0, after_s: float = 0.1
) -> Script:
    """A share of the calls of some time fails."""

    def script(now: float, _candidate: Candidate) -> Answer:
        return Answer(after_s, kind) if since <= now < until and rng.random() < share else well(rng)

    return script


def blackout(seed: int) -> Simulation:
    """Provider ``a`` cannot be reached from second 60 to 120; ``b`` can."""
    rng = random.Random(seed)
    sim = Simulation(
        seed, RoutingSettings(), {"a": trouble(rng, OutcomeKind.UNREACHABLE, 60, 120), "b": always_well(rng)}
    )
    sim.calls(sim.route(A, B), 10, 0, 240)
    sim.run()
    return sim


def silence(seed: int) -> Simulation:
    """Provider ``a`` takes calls from second 60 to 120 and never answers them; the operator allows a second send."""
    rng = random.Random(seed)
    settings = RoutingSettings(retries=Retries(repeat=Repeat.GENERATIONS))
    sim = Simulation(
        seed, settings, {"a": trouble(rng, OutcomeKind.SILENT, 60, 120, after_s=5.0), "b": always_well(rng)}
    )
    sim.calls(sim.route(A, B), 10, 0, 240)
    sim.run()
    return sim


def brownout(seed: int) -> Simulation:
    """Three of ten calls to ``a`` fail with a status of 500, from second 60 to 180."""
    rng = random.Random(seed)
    sim = Simulation(
        seed, RoutingSettings(), {"a": trouble(rng, OutcomeKind.SERVER_ERROR, 60, 180, 0.3), "b": always_well(rng)}
    )
    sim.calls(sim.route(A, B), 10, 0, 240)
    sim.run()
    return sim


def overload_alone(seed: int) -> Simulation:
    """The only provider is overloaded for two minutes: every call to it fails."""
    rng = random.Random(seed)
    sim = Simulation(seed, RoutingSettings(), {"a": trouble(rng, OutcomeKind.OVERLOADED, 60, 180)})
    sim.calls(sim.route(A), 10, 0, 240)
    sim.run()
    return sim


def half_broken_alone(seed: int) -> Simulation:
    """Six of ten calls to the only provider fail, for two minutes."""
    rng = random.Random(seed)
    sim = Simulation(seed, RoutingSettings(), {"a": trouble(rng, OutcomeKind.SERVER_ERROR, 60, 180, 0.6)})
    sim.calls(sim.route(A), 10, 0, 240)
    sim.run()
    return sim


def flapping(seed: int) -> Simulation:
    """Provider ``a`` is there for 10 s and away for 10 s, over and over."""
    rng = random.Random(seed)

    def script(now: float, _candidate: Candidate) -> Answer:
        return Answer(0.05, OutcomeKind.UNREACHABLE) if 60 <= now < 360 and now % 20 < 10 else well(rng)

    sim = Simulation(seed, RoutingSettings(), {"a": script, "b": always_well(rng)})
    sim.calls(sim.route(A, B), 5, 0, 480)
    sim.run()
    return sim


def slow(seed: int) -> Simulation:
    """Of three providers by speed, the fastest takes twenty times as long from second 120 to 240."""
    rng = random.Random(seed)

    def script(now: float, _candidate: Candidate) -> Answer:
        return well(rng, 4.0 if 120 <= now < 240 else 0.2)

    providers = {"a": script, "b": always_well(rng, 0.5), "c": always_well(rng, 0.8)}
    sim = Simulation(seed, RoutingSettings(usual_s=30.0), providers)
    sim.calls(sim.route(A, B, C, strategy=Strategy.FASTEST), 8, 0, 480)
    sim.run()
    return sim


class Metered:
    """A provider that takes so many calls each second and refuses the others with 429."""

    def __init__(self, rng: random.Random, per_s: int, retry_after_s: float | None) -> None:
        self._rng = rng
        self._per_s = per_s
        self._retry_after_s = retry_after_s
        self._second = -1
        self._came = 0
        self.refused: list[float] = []

    def __call__(self, now: float, _candidate: Candidate) -> Answer:
        if int(now) != self._second:
            self._second, self._came = int(now), 0
        self._came += 1
        if self._came <= self._per_s:
            return well(self._rng)
        self.refused.append(now)
        return Answer(0.05, OutcomeKind.RATE_LIMITED, retry_after_s=self._retry_after_s)


def storm(seed: int, *, alone: bool = False, retry_after_s: float | None = 3.0) -> Simulation:
    """Provider ``a`` takes 5 calls a second of the 20 that come, and wants to be left alone for 3 s after that."""
    rng = random.Random(seed)
    providers: dict[str, Script] = {"a": Metered(rng, 5, retry_after_s)}
    if not alone:
        providers["b"] = always_well(rng)
    sim = Simulation(seed, RoutingSettings(), providers)
    sim.calls(sim.route(*((A,) if alone else (A, B))), 20, 0, 60)
    sim.run()
    return sim


def bad_credential(seed: int) -> Simulation:
    """One of two credentials of ``a`` is refused from second 30 on, until somebody mends it at 630."""
    rng = random.Random(seed)

    def script(now: float, candidate: Candidate) -> Answer:
        if candidate.credential == A.credential and 30 <= now < 630:
            return Answer(0.05, OutcomeKind.KEY_REFUSED)
        return well(rng)

    sim = Simulation(seed, RoutingSettings(), {"a": script})
    sim.calls(sim.route(A, SECOND_KEY, strategy=Strategy.WEIGHTED), 2, 0, 1300)
    sim.run()
    return sim


def one_model_overloaded(seed: int) -> Simulation:
    """One of two models of ``a`` is overloaded from second 30 to 90; calls for both come."""
    rng = random.Random(seed)
    other = Candidate("a", "a-key", "other")

    def script(now: float, candidate: Candidate) -> Answer:
        if candidate.model == "model" and 30 <= now < 90:
            return Answer(0.05, OutcomeKind.OVERLOADED)
        return well(rng)

    sim = Simulation(seed, RoutingSettings(), {"a": script})
    sim.calls(sim.route(A), 10, 0, 150, Call("model", stream=True))
    sim.calls(sim.route(other), 10, 0, 150, Call("other", stream=True))
    sim.run()
    return sim


def everything_down(seed: int) -> Simulation:
    """Both providers hang up connections for a minute, after taking 3 s each to fail."""
    rng = random.Random(seed)
    providers = {name: trouble(rng, OutcomeKind.CONNECT_TIMEOUT, 60, 120, after_s=3.0) for name in ("a", "b")}
    sim = Simulation(seed, RoutingSettings(), providers)
    sim.calls(sim.route(A, B), 10, 0, 240)
    sim.run()
    return sim


def flood(seed: int) -> Simulation:
    """A provider with ten slots; one tenant sends twelve times what it can take, another one call a second."""
    limits = Limits(in_flight=10, queue=50, wait_s=10.0)
    settings = RoutingSettings(providers={"a": ProviderSettings(limits)})
    sim = Simulation(seed, settings, {"a": lambda _now, _candidate: Answer(0.2, lasts_s=0.8)})
    route = sim.route(A)
    sim.calls(route, 120, 0, 30, Call("flood", stream=True))
    sim.calls(route, 1, 0, 30, Call("small", stream=True))
    sim.run()
    return sim


def cut_off(seed: int) -> Simulation:
    """Three of ten streams of ``a`` break in the middle."""
    rng = random.Random(seed)

    def script(_now: float, _candidate: Candidate) -> Answer:
        if rng.random() < 0.3:
            return Answer(0.3, lasts_s=1.0, breaks_with=OutcomeKind.DISCONNECTED)
        return well(rng)

    sim = Simulation(seed, RoutingSettings(retries=Retries(repeat=Repeat.ALL)), {"a": script, "b": always_well(rng)})
    sim.calls(sim.route(A, B), 20, 0, 60)
    sim.run()
    return sim


def restless(seed: int) -> Simulation:
    """Callers leave at any moment, while half of the calls to ``a`` fail and few slots are there."""
    rng = random.Random(seed)
    limits = ProviderSettings(Limits(in_flight=8, queue=20, wait_s=2.0))
    settings = RoutingSettings(providers={"a": limits, "b": limits}, hedging=Hedging(after_s=0.3, share=0.2))
    providers = {"a": trouble(rng, OutcomeKind.OVERLOADED, 0, 60, 0.5), "b": always_well(rng)}
    sim = Simulation(seed, settings, providers)
    sim.calls(sim.route(A, B), 20, 0, 60, patience=lambda: rng.expovariate(1.0))
    sim.run()
    return sim


def tail(seed: int, *, hedged: bool = True) -> Simulation:
    """One of twenty first tokens of ``a`` takes ten seconds."""
    rng = random.Random(seed)

    def script(_now: float, _candidate: Candidate) -> Answer:
        return Answer(10.0, lasts_s=1.0) if rng.random() < 0.05 else well(rng)

    hedging = Hedging(after_s=1.0 if hedged else None, share=0.1)
    sim = Simulation(seed, RoutingSettings(hedging=hedging), {"a": script, "b": always_well(rng)})
    sim.calls(sim.route(A, B), 20, 0, 120)
    sim.run()
    return sim


def error_frames(seed: int) -> Simulation:
    """Calls to ``a`` are hedged, and ``b`` is sooner: with 200, and an error as the first event."""
    untiring = ProviderSettings(breaking=Breaking(enabled=False))
    settings = RoutingSettings(hedging=Hedging(after_s=0.2, share=1.0), providers={"b": untiring})
    providers: dict[str, Script] = {
        "a": lambda _now, _candidate: Answer(1.0, lasts_s=1.0),
        "b": lambda _now, _candidate: Answer(0.05, OutcomeKind.ERROR_FRAME),
    }
    sim = Simulation(seed, settings, providers)
    sim.calls(sim.route(A, B), 10, 0, 60)
    sim.run()
    return sim


def conversations(seed: int) -> Simulation:
    """Fifty conversations over three providers, of which ``a`` is away from second 60 to 120."""
    rng = random.Random(seed)
    providers = {"a": trouble(rng, OutcomeKind.UNREACHABLE, 60, 120), "b": always_well(rng), "c": always_well(rng)}
    sim = Simulation(seed, RoutingSettings(), providers)
    sim.calls(
        sim.route(A, B, C, strategy=Strategy.WEIGHTED, sticky=True),
        10,
        0,
        240,
        lambda: Call("tenant", stream=True, conversation=f"conversation-{rng.randrange(50)}"),
    )
    sim.run()
    return sim


def poison(
    seed: int, kind: OutcomeKind = OutcomeKind.SERVER_ERROR, *, alone: bool = True, model: str = "model"
) -> Simulation:
    """From second 20 to 140 the calls of one tenant fail wherever they go; those of two others are answered."""
    rng = random.Random(seed)
    providers = {"a": always_well(rng)} if alone else {"a": always_well(rng), "b": always_well(rng)}
    sim = Simulation(seed, RoutingSettings(), providers)
    sim.poison["poison"] = kind
    route = sim.route(*(Candidate(name, f"{name}-key", model) for name in providers))
    sim.calls(route, 5, 20, 140, Call("poison", stream=True))
    for tenant in ("often", "seldom"):
        sim.calls(route, 5 if tenant == "often" else 0.3, 0, 200, Call(tenant, stream=True))
    sim.run()
    return sim


KINDS = [rule.kind for rule in TABLE if rule.falls_back and rule.kind is not OutcomeKind.BUSY]


def anything(seed: int) -> Simulation:
    """Everything that can happen, at random, for 90 s; then all is well."""
    rng = random.Random(seed)

    def moody() -> Script:
        moods = [(rng.choice(KINDS), rng.random(), rng.choice((0.01, 0.5, 3.0))) for _ in range(9)]

        def script(now: float, _candidate: Candidate) -> Answer:
            kind, share, after_s = moods[int(now / 10) % 9]
            if now < 90 and rng.random() < share:
                wait = rng.choice((None, 0.0, 1.0, 5.0, 3600.0))
                return Answer(after_s, kind, wait if kind is OutcomeKind.RATE_LIMITED else None)
            breaks = OutcomeKind.DISCONNECTED if now < 90 and rng.random() < 0.05 else None
            return Answer(rng.uniform(0.05, 1.0), lasts_s=rng.uniform(0, 2), breaks_with=breaks)

        return script

    def limits() -> ProviderSettings:
        queue = Limits(rng.choice((None, 4, 12)), rng.choice((0, 5, 50)), rng.choice((0.5, 5.0)))
        return ProviderSettings(queue, Breaking(longest_refused_open_s=60.0))

    names = "abc"[: rng.randint(1, 3)]
    settings = RoutingSettings(
        providers={name: limits() for name in names},
        credentials={"a-key": Limits(rng.choice((None, 3, 6)))},
        retries=Retries(attempts=rng.randint(1, 6), again=rng.randint(0, 3), repeat=rng.choice(list(Repeat))),
        hedging=Hedging(rng.choice((None, 0.1, 1.0)), share=rng.choice((0.05, 1.0))),
        explore=0.1,
    )
    sim = Simulation(seed, settings, {name: moody() for name in names})
    everywhere = [each for each in (A, SECOND_KEY, B, C) if each.provider in names]
    routes = [
        sim.route(*everywhere, strategy=rng.choice(list(Strategy)), sticky=rng.random() < 0.5),
        sim.route(everywhere[0], fallbacks=[(frozenset(KINDS), each) for each in everywhere[1:]]),
        sim.route(everywhere[-1]),
    ]

    def call() -> Call:
        conversation = rng.choice((None, str(rng.randrange(9))))
        return Call(rng.choice("xyz"), rng.choice(list(Effect)), conversation, rng.random() < 0.8, rng.random() < 0.05)

    for route in routes:
        sim.calls(route, 1.5, 0, 300, call, lambda: rng.choice((None, None, rng.expovariate(0.5))))
    sim.probes(10, 300, lambda _name, now: rng.random() < 0.9 or now > 90)
    sim.run()
    return sim


SCENARIOS: dict[str, Callable[[int], Simulation]] = {
    each.__name__: each
    for each in (
        blackout, silence, brownout, overload_alone, half_broken_alone, flapping, slow, storm, bad_credential,
        one_model_overloaded, everything_down, flood, cut_off, restless, tail, error_frames, conversations, poison,
        anything,
    )
}  # fmt: skip


def show(sim: Simulation) -> None:
    """Print what became of it."""
    print(f"{len(sim.callers)} calls: {dict(Counter(caller.ended for caller in sim.callers))}")
    gave_up = Counter((each.gave_up.kind.value, each.gave_up.why.value) for each in sim.callers if each.gave_up)
    for (kind, why), count in gave_up.most_common():
        print(f"  {count:6} gave up on {kind}: {why}")
    print(f"sends per call: {Counter(len(caller.sent) for caller in sim.callers)}")
    end = max((caller.over_at or 0.0 for caller in sim.callers), default=0.0)
    for name, provider in sim.providers.items():
        print(f"{name}: {[provider.came(at, at + 10) for at in range(0, int(end) + 1, 10)]} calls per 10 s")
    for change in sim.changes[:60]:
        print(f"  {change.at:8.2f} {change.part}: {change.before.value} -> {change.after.value}: {change.reason}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Play one scenario again, or many seeds of it to look for one that breaks an invariant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SCENARIOS)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--seeds", type=int, default=1, help="so many, from SEED on")
    options = parser.parse_args(arguments)
    for seed in range(options.seed, options.seed + options.seeds):
        print(f"seed {seed}")
        show(SCENARIOS[options.name](seed))


if __name__ == "__main__":
    main()
