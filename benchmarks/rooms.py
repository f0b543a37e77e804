"""Whose code runs: time and executed instructions, by room of the house and by library."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any

import attrs

STANDARD_LIBRARY = "standard library"
_DIVIDED = ("llm_gateway", "twisted")
"""Packages that are told by their parts."""
_NOT_THE_GATEWAY = {"benchmarks", "__main__"}
"""What starts and stops the counting."""
_GENERATED = re.compile(r"<attrs generated \w+ ([\w.]+)>")


def room_of(code: CodeType, variables: Mapping[str, Any]) -> str:
    """
    :param variables: the global ones of the code.
    :return: ``llm_gateway.web`` and ``twisted.internet``, but ``klein``.
    """
    written = _GENERATED.match(code.co_filename)
    parts = (written[1] if written else str(variables.get("__name__", "generated"))).split(".")
    if parts[0] in _DIVIDED and len(parts) > 2:
        return ".".join(parts[:2])
    named_tuple = parts[0].startswith("namedtuple_")
    return STANDARD_LIBRARY if named_tuple or parts[0] in sys.stdlib_module_names else parts[0]


@attrs.define
class Counts:
    """What was executed of one room's code."""

    instructions: int = 0
    """Of Python's virtual machine."""
    functions: int = 0
    """Python functions entered; a coroutine counts each time that it goes on."""
    c_functions: int = 0
    """Functions written in C that were called from there: system calls, parsers, methods of built-in types."""


class InstructionCount:
    """Counts all that this thread executes between ``start`` and ``stop``, in functions entered meanwhile."""

    def __init__(self) -> None:
        self.rooms: dict[str, Counts] = {}
        self._by_code: dict[CodeType, Counts] = {}
        self._before: tuple[Any, Any] = (None, None)

    def start(self) -> None:
        self._before = (sys.getprofile(), sys.gettrace())
        sys.setprofile(self._profile)
        sys.settrace(self._trace)

    def stop(self) -> None:
        profile, trace = self._before
        sys.settrace(trace)
        sys.setprofile(profile)

    def _of(self, frame: FrameType) -> Counts:
        counts = self._by_code.get(frame.f_code)
        if counts is None:
            room = room_of(frame.f_code, frame.f_globals)
            counts = self._by_code[frame.f_code] = self.rooms.setdefault(room, Counts())
        return counts

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        if event == "opcode":
            self._of(frame).instructions += 1
        elif event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self._of(frame).functions += 1
        return self._trace

    def _profile(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "c_call":
            self._of(frame).c_functions += 1


class TimeSamples:
    """
    Notes whose code is running, once in every few milliseconds of CPU time of the process.

    Python runs the signal's handler when the function in C returns that was interrupted, system calls too: its time is
    that of the code which called it.
    """

    EVERY_S = 0.001
    """The kernel makes it as long as its own tick."""

    def __init__(self) -> None:
        self.rooms: Counter[str] = Counter()
        self.stacks: Counter[str] = Counter()
        """By all that was being called, outermost first, with semicolons between: what flame graphs are drawn from."""
        self._wakeup = -1

    def start(self) -> None:
        # A reactor would wake up for every sample, and be what is seen.
        self._wakeup = signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, self.EVERY_S, self.EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wakeup)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        self.rooms[room_of(frame.f_code, frame.f_globals)] += 1
        names: list[str] = []
        caller: FrameType | None = frame
        while caller is not None:
            names.append(f"{caller.f_globals.get('__name__', '?')}:{caller.f_code.co_qualname}")
            caller = caller.f_back
        self.stacks[";".join(reversed(names))] += 1


@attrs.frozen
class Room:
    """What one room has of a call."""

    name: str
    time_percent: float
    instructions: float
    functions: float
    c_functions: float


@attrs.frozen
class Profile:
    """Where the time of a call goes."""

    wire: str
    connections: int
    calls: int
    """That were counted; sampled were more."""
    samples: int
    cpu_us: float
    """CPU time of a call while samples were taken, in microseconds."""
    kernel_percent: float
    """How much of it was spent in the kernel."""
    rooms: list[Room]

    def to_json(self) -> str:
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Profile:
        fields = json.loads(text)
        return cls(**{**fields, "rooms": [Room(**each) for each in fields["rooms"]]})


def rooms_of(samples: TimeSamples, count: InstructionCount, calls: int) -> list[Room]:
    """:return: the one with the most time first."""
    names = {*samples.rooms, *count.rooms} - _NOT_THE_GATEWAY
    total = max(1, sum(samples.rooms[name] for name in names))
    found = []
    for name in names:
        counts = count.rooms.get(name, Counts())
        per_call = [round(each / calls, 1) for each in attrs.astuple(counts)]
        found.append(Room(name, round(100 * samples.rooms[name] / total, 1), *per_call))
    return sorted(found, key=lambda room: (-room.time_percent, -room.instructions, room.name))
