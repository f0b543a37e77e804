"""What a measurement could have found."""

from __future__ import annotations

from benchmarks.load import Spread
from benchmarks.machine import Cpu
from benchmarks.measure import CALLS, Case, Record, Usage
from benchmarks.rooms import Profile, Room


def usage(cpu_us: float, units: int, others: float = 0.0) -> Usage:
    """A quarter of it in the kernel; 4 seconds, 30 MB."""
    total_s = cpu_us * units / 1e6
    return Usage(Cpu(total_s * 0.75, total_s * 0.25), 4.0, (others, 1.0), 30_000_000)


def record(
    gateway: str,
    cpu_us: float,
    *,
    part: str = CALLS,
    units: int = 10_000,
    others: float = 0.0,
    faults: int = 0,
    latency_ms: float = 0.0,
    case: Case | None = None,
) -> Record:
    return Record(
        part=part,
        gateway=gateway,
        units=units,
        faults=faults,
        examples=["in place of event 3 came b'000004'"] if faults else [],
        usage=usage(cpu_us, units, others),
        latency_ms=Spread(latency_ms, 2 * latency_ms),
        first_byte_ms=Spread(0.0, 0.0),
        start_s=0.5,
        idle_bytes=20_000_000,
        case=case or Case(),
    )


def profile(wire: str = "llhttp") -> Profile:
    rooms = [
        Room("llm_gateway.wire", 60.0, 300.0, 12.0, 9.0),
        Room("klein", 40.0, 200.0, 8.0, 1.0),
        Room("never.called", 0.0, 0.0, 0.0, 0.0),
    ]
    return Profile(wire, 64, 1000, 5000, 80.0, 25.0, rooms)
