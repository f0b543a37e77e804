"""One measurement: a provider, a gateway in front of it, a load, and what the gateway used meanwhile."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import TypeVar

import attrs

from benchmarks.gateways import RENAMED_KEY, Gateway, Place, key_of, nginx_command
from benchmarks.load import LoadFigures, Spread
from benchmarks.machine import CoreWatch, Cpu, cpu_of, memory_of, own_cpu, peak_of, process_tree
from benchmarks.programs import ROOT, free_port, output_of, own_command, running, wait_until_it_answers
from benchmarks.rooms import Profile
from benchmarks.shapes import EVENTS, REAL_KEY, VIRTUAL_KEY
from benchmarks.spoken import CHAT, MESSAGES, SPOKEN
from benchmarks.wrk import WrkFigures, run_wrk

CALLS, SATURATED, PACED, TRANSLATED, IMAGES = "calls", "saturated", "paced", "translated", "images"
PARTS = (CALLS, SATURATED, PACED, TRANSLATED, IMAGES)
LOADS = (SATURATED, PACED)
"""In which translated streams are measured, one after the other."""
TRANSLATED_EVENTS = 250
"""In each of them: what is asked for is the cost of an event, and calls that are translated cost more to set up."""
IMAGE_BYTES = 5_000_000
DIRECT = "no gateway"
NOISY_PERCENT = 15.0
"""A measurement is disturbed when something else uses more than that of the gateway's core."""
RAMP_S = 1.0
"""Paced streams begin within that time, one after the other."""
FINISH_S = 60.0
"""A bound on what a load takes beyond its time."""

SAMPLING = 4
"""A profile takes samples for so many times as long as a measurement lasts: some kernels allow only 100 in a second."""
PROFILE_BOUND_S = 300.0

T = TypeVar("T")


@attrs.frozen
class Plan:
    """How much is asked of each gateway."""

    seconds: int = 5
    """Of each measurement; streams that run at its end are read to their own."""
    warm_up_s: int = 1
    """The same load before it, which does not count."""
    connections: int = 64
    """At once, each with the next call as soon as it has the answer to the last."""
    streams: int = 200
    """At once, where they are paced."""
    gap_ms: float = 20.0
    """Between two events of a paced stream."""
    cores: tuple[int, int] = (0, 1)
    """That of the gateway, and that of the provider and the load."""
    counted_calls: int = 1000
    """How many calls have their instructions counted."""
    attempts: int = 3
    """A measurement that something else disturbed is made again; the least disturbed one counts."""


@attrs.frozen
class Case:
    """Which of several ways through one gateway is measured."""

    name: str = ""
    key: str = VIRTUAL_KEY
    caller: str = CHAT
    """What the load speaks."""
    provider: str = CHAT
    """What the key's provider speaks."""
    load: str = ""
    """Of the two in which translated streams are measured."""


def cases_of(load: str) -> list[Case]:
    """
    :return: each provider's stream untouched, then translated for every other caller, then untouched again.
    """
    return [
        Case(f"{provider} for {caller}, {load}", key_of(provider), caller, provider, load)
        for provider in SPOKEN
        for caller in (provider, *(name for name in SPOKEN if name != provider), provider)
    ]


IMAGE_CASES = (
    Case("relayed"),
    Case("with another model's name", RENAMED_KEY),
    Case("translated", key_of(MESSAGES), CHAT, MESSAGES),
)
"""What a gateway of ours may do with a call in which there is an image."""


@attrs.frozen
class Usage:
    """What the gateway used during a measurement, and how quiet the machine was."""

    cpu: Cpu
    """User and system time of all its processes."""
    seconds: float
    others_percent: tuple[float, float]
    """What everything else used of the gateway's core and of the load's."""
    peak_bytes: int
    """Of memory."""


@attrs.frozen
class Record:
    """One line of a table."""

    part: str
    gateway: str
    units: int
    """Calls that were answered, or events of streams that came in their place."""
    faults: int
    examples: list[str]
    """What was wrong with the first of them."""
    usage: Usage
    latency_ms: Spread
    """Of calls: from the first byte sent to the last received, on one connection. Of paced streams: from the provider's
    write of an event to the client's read. Zeros otherwise."""
    first_byte_ms: Spread
    """Of streams: from the call to the first byte of the first event."""
    start_s: float
    """From the start of the program to its first right answer."""
    idle_bytes: int
    """Memory after it."""
    case: Case = Case()

    @property
    def title(self) -> str:
        """Of the gateway, and of what it did."""
        return f"{self.gateway}, {self.case.name}" if self.case.name else self.gateway

    @property
    def quiet(self) -> bool:
        """Whether the gateway had its core to itself."""
        return self.usage.others_percent[0] <= NOISY_PERCENT

    @property
    def cpu_us(self) -> float:
        """CPU time of the gateway per unit, in microseconds."""
        return self.usage.cpu.total_s * 1e6 / self.units if self.units else math.nan


@attrs.frozen
class _Scene:
    """What runs during a measurement."""

    part: str
    name: str
    """Of the gateway."""
    port: int
    """Where the load goes."""
    key: str
    gateway: int | None
    """Its process; ``None`` if there is only the provider."""
    provider: int
    folder: Path
    start_s: float
    idle_bytes: int
    case: Case = Case()
    events: int = EVENTS
    """In each stream."""


class Bench:
    """Measures one gateway at a time; each starts anew for each measurement."""

    def __init__(self, plan: Plan, tools: dict[str, str], folder: Path) -> None:
        """
        :param tools: where the programs are, by name.
        :param folder: for the files of everything that is started.
        """
        self._plan = plan
        self._tools = tools
        self._folder = folder
        self._scenes = 0

    def measure(self, part: str, gateway: Gateway | None, case: Case | None = None) -> Record:
        """
        Measure, and measure again while the gateway's core is busy with something else.

        :param gateway: ``None`` has the load go to the provider, for what the times would be without a gateway.
        :param case: which way through it, if it has several.
        :raises CannotMeasure: something did not start, or gave wrong answers from the start.
        """
        take = {CALLS: self._calls, IMAGES: self._images}.get(part, self._streams)

        def once() -> Record:
            with self._scene(part, gateway) as scene:
                return take(attrs.evolve(scene, case=case, key=case.key) if case else scene)

        # Without a gateway nothing is asked of its core.
        return _quietest(once, self._plan.attempts if gateway else 1)

    def translated(self, gateway: Gateway) -> Iterator[Record]:
        """
        Measure streams of providers of every dialect, for callers of every dialect, one after the other in one process.

        :raises CannotMeasure: as above.
        """
        for load in LOADS:
            with self._scene(load, gateway, TRANSLATED_EVENTS) as scene:
                for case in cases_of(load):
                    this = attrs.evolve(scene, part=TRANSLATED, case=case, key=case.key)
                    yield _quietest(lambda this=this: self._streams(this), self._plan.attempts)  # type: ignore[misc]

    def profile(self, wire: str, stacks: Path | None) -> Profile:
        """
        :param wire: the implementation of HTTP/1.1.
        :param stacks: what to append the stacks to.
        :raises CannotMeasure: as above.
        """
        plan, (core, load_core) = self._plan, self._plan.cores
        folder = self._next_folder("profile")
        with self._provider(PACED, folder) as (_process, port):
            command = own_command(
                "profiling",
                *("--provider-port", port),
                *("--wire", wire),
                *("--load-core", load_core),
                *("--seconds", SAMPLING * plan.seconds),
                *("--connections", plan.connections),
                *("--calls", plan.counted_calls),
                *(("--stacks", stacks.absolute()) if stacks else ()),
            )
            return Profile.from_json(output_of(command, core, SAMPLING * plan.seconds + PROFILE_BOUND_S))

    @contextmanager
    def _scene(self, part: str, gateway: Gateway | None, events: int = EVENTS) -> Iterator[_Scene]:
        folder = self._next_folder(part)
        with self._provider(part, folder, events) as (provider, provider_port):
            if gateway is None:
                yield _Scene(part, DIRECT, provider_port, REAL_KEY, None, provider.pid, folder, 0.0, 0)
                return
            place, core = Place(folder, free_port(), provider_port), self._plan.cores[0]
            command = gateway.command(place)
            with running(gateway.name, command, core, folder, environ=gateway.environ) as process:
                start_s = wait_until_it_answers(gateway.name, process, place.port, VIRTUAL_KEY, folder)
                idle = memory_of(process_tree(process.pid))
                yield _Scene(
                    part,
                    gateway.name,
                    place.port,
                    VIRTUAL_KEY,
                    process.pid,
                    provider.pid,
                    folder,
                    start_s,
                    idle,
                    events=events,
                )

    @contextmanager
    def _provider(self, part: str, beside: Path, events: int = EVENTS) -> Iterator[tuple[Popen[bytes], int]]:
        """
        :return: its process and its port.
        """
        folder, port = beside / "provider", free_port()
        folder.mkdir()
        if part == CALLS:
            command = nginx_command(self._tools["nginx"], "provider", Place(folder, port, 0))
        else:
            gap_ms = self._plan.gap_ms if part == PACED else 0
            command = own_command("provider", "--port", port, "--gap-ms", gap_ms, "--events", events)
        with running("provider", command, self._plan.cores[1], folder, environ={}, cwd=ROOT) as process:
            wait_until_it_answers("provider", process, port, REAL_KEY, folder)
            yield process, port

    def _next_folder(self, part: str) -> Path:
        self._scenes += 1
        folder = self._folder / f"{self._scenes}-{part}"
        folder.mkdir()
        return folder

    def _calls(self, scene: _Scene) -> Record:
        plan = self._plan
        if plan.warm_up_s:
            self._wrk(scene, plan.connections, plan.warm_up_s)
        found, usage = self._watched(scene, lambda: self._wrk(scene, plan.connections, plan.seconds))
        alone = self._wrk(scene, 1, max(1, plan.seconds // 2))
        return Record(
            part=scene.part,
            gateway=scene.name,
            units=found.calls - found.failed,
            faults=found.failed + alone.failed,
            examples=[],
            usage=usage,
            latency_ms=Spread(alone.p50_ms, alone.p99_ms),
            first_byte_ms=Spread(0.0, 0.0),
            start_s=scene.start_s,
            idle_bytes=scene.idle_bytes,
        )

    def _streams(self, scene: _Scene) -> Record:
        plan = self._plan
        paced = PACED in (scene.part, scene.case.load)
        connections, ramp_s = (plan.streams, RAMP_S) if paced else (plan.connections, 0.0)
        # There are forty of them.
        seconds = max(1, plan.seconds // 2) if scene.part == TRANSLATED else plan.seconds
        self._load(scene, connections, plan.warm_up_s, 0.0, "--stream")
        found, usage = self._watched(scene, lambda: self._load(scene, connections, seconds, ramp_s, "--stream"))
        return _record(scene, found, found.events, usage)

    def _images(self, scene: _Scene) -> Record:
        """One call at a time: what the gateway has in memory is of one."""
        options = ("--image-bytes", IMAGE_BYTES)
        self._load(scene, 1, self._plan.warm_up_s, 0.0, *options)
        found, usage = self._watched(scene, lambda: self._load(scene, 1, self._plan.seconds, 0.0, *options))
        peak = peak_of(process_tree(scene.gateway)) if scene.gateway is not None else 0
        return _record(scene, found, found.answers, attrs.evolve(usage, peak_bytes=peak))

    def _wrk(self, scene: _Scene, connections: int, seconds: int) -> WrkFigures:
        core = self._plan.cores[1]
        return run_wrk(self._tools["wrk"], scene.port, scene.key, connections, seconds, core, scene.folder)

    def _load(self, scene: _Scene, connections: int, seconds: float, ramp_s: float, *more: object) -> LoadFigures:
        options = ["--port", scene.port, "--key", scene.key, "--connections", connections, "--seconds", seconds]
        options += ["--ramp-s", ramp_s, "--speaks", scene.case.caller, "--events", scene.events]
        command = own_command("load", *options, *more)
        return LoadFigures.from_json(output_of(command, self._plan.cores[1], seconds + FINISH_S))

    def _watched(self, scene: _Scene, work: Callable[[], T]) -> tuple[T, Usage]:
        """Do the work, and see what it took."""

        def gateway_cpu() -> Cpu:
            return cpu_of(process_tree(scene.gateway)) if scene.gateway is not None else Cpu(0.0, 0.0)

        def load_cpu() -> float:
            return own_cpu().total_s + cpu_of(process_tree(scene.provider)).total_s

        watches = [CoreWatch(core) for core in self._plan.cores]
        cpu, load = gateway_cpu(), load_cpu()
        with MemoryWatch(process_tree(scene.gateway) if scene.gateway is not None else []) as memory:
            result = work()
        used, load_s = gateway_cpu() - cpu, load_cpu() - load
        others = (watches[0].others_percent(used.total_s), watches[1].others_percent(load_s))
        return result, Usage(used, watches[0].seconds(), others, memory.peak_bytes)


def _quietest(once: Callable[[], Record], attempts: int) -> Record:
    """Measure until nothing disturbs it, but so often at most."""
    records: list[Record] = []
    while len(records) < attempts and not any(record.quiet for record in records):
        records.append(once())
    # One with wrong answers is told whatever else happened.
    return min(records, key=lambda record: (not record.faults, record.usage.others_percent[0]))


def _record(scene: _Scene, found: LoadFigures, units: int, usage: Usage) -> Record:
    return Record(
        part=scene.part,
        gateway=scene.name,
        units=units,
        faults=found.faults,
        examples=found.examples,
        usage=usage,
        latency_ms=found.event_ms,
        first_byte_ms=found.first_byte_ms,
        start_s=scene.start_s,
        idle_bytes=scene.idle_bytes,
        case=scene.case,
    )


class MemoryWatch:
    """Looks again and again how much memory processes have, and keeps the most."""

    EVERY_S = 0.25

    def __init__(self, processes: list[int]) -> None:
        self._processes = processes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, memory_of(self._processes))
            if self._over.wait(self.EVERY_S):
                return
