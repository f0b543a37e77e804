"""
Where the time of a call goes: the gateway in this process, with the provider and the load in others.

``python -m benchmarks.profiling --provider-port 8081`` prints what it found as one JSON object.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from benchmarks.gateways import ACCESS_LOG, AISERVICES_FILE, KEYS_FILE, Place, endpoint, write_configuration
from benchmarks.load import LoadFigures
from benchmarks.machine import CannotMeasure, own_cpu
from benchmarks.programs import output_of, own_command
from benchmarks.rooms import InstructionCount, Profile, TimeSamples, rooms_of
from llm_gateway.settings import WIRES, Settings
from llm_gateway.tap import make_gateway

WARM_UP_CALLS = 500
BOUND_S = 120.0


@attrs.frozen
class Load:
    """The clients: in a process of their own, on another core."""

    core: int
    connections: int

    def run(self, port: int, seconds: float, calls: int | None) -> LoadFigures:
        """
        :raises CannotMeasure: one of the answers was wrong.
        """
        options: list[object] = ["--port", port, "--connections", self.connections, "--seconds", seconds]
        if calls is not None:
            options += ["--calls", calls]
        found = LoadFigures.from_json(output_of(own_command("load", *options), self.core, seconds + BOUND_S))
        if found.faults:
            raise CannotMeasure(f"{found.faults} wrong answers: {'; '.join(found.examples)}")
        return found


async def profile(reactor: Any, settings: Settings, load: Load, seconds: float, calls: int) -> tuple[Profile, str]:
    """
    :param seconds: how long to take samples.
    :param calls: how many to count the instructions of.
    :return: the second is the samples by stack, in the lines that flame graphs are drawn from.
    """
    urls: list[str] = []
    gateway = make_gateway(settings, reactor, environ={}, announce=urls.extend)
    gateway.service.startService()
    port = urlsplit(urls[0]).port
    assert port is not None
    try:
        await deferToThread(load.run, port, BOUND_S, WARM_UP_CALLS)
        samples, count = TimeSamples(), InstructionCount()
        before = own_cpu()
        samples.start()
        try:
            sampled = await deferToThread(load.run, port, seconds, None)
        finally:
            samples.stop()
        used = own_cpu() - before
        count.start()
        try:
            await deferToThread(load.run, port, BOUND_S, calls)
        finally:
            count.stop()
    finally:
        await gateway.service.stopService()
    found = Profile(
        wire=settings.wire,
        connections=load.connections,
        calls=calls,
        samples=samples.rooms.total(),
        cpu_us=round(used.total_s * 1e6 / sampled.answers, 1),
        kernel_percent=round(100 * used.system_s / used.total_s, 1),
        rooms=rooms_of(samples, count, calls),
    )
    return found, "".join(f"{stack} {number}\n" for stack, number in samples.stacks.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling", description=__doc__)
    parser.add_argument("--provider-port", type=int, required=True)
    parser.add_argument("--wire", choices=WIRES, default=WIRES[0])
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--stacks", type=Path)
    options = parser.parse_args()
    load = Load(options.load_core, options.connections)

    async def session(reactor: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder), 0, options.provider_port)
            write_configuration(place)
            settings = Settings(
                keys_file=str(place.folder / KEYS_FILE),
                aiservices_file=str(place.folder / AISERVICES_FILE),
                access_log=str(place.folder / ACCESS_LOG),
                listen=(endpoint(0),),
                wire=options.wire,
            )
            found, stacks = await profile(reactor, settings, load, options.seconds, options.calls)
        if options.stacks is not None:
            with options.stacks.open("a") as file:
                file.write(stacks)
        print(found.to_json())

    react(lambda reactor: Deferred.fromCoroutine(session(reactor)))


if __name__ == "__main__":
    main()
