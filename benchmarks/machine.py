"""What ``/proc`` tells of processes and cores. Linux only, as the whole of the benchmarks."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import attrs

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PACKAGES = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux"}
"""The programs that are needed, and Debian's packages that have them."""

_PROC = Path("/proc")
_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


class CannotMeasure(Exception):
    """Something is missing or does not start; the message says what, and what to do."""


def find_tools(names: Collection[str]) -> dict[str, str]:
    """
    :return: where each of the programs is.
    :raises CannotMeasure: one or more are not installed.
    """
    # Debian puts nginx where the path of people who are not root does not lead.
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    found = {name: shutil.which(name, path=places) for name in names}
    missing = [name for name, place in found.items() if place is None]
    if missing:
        packages = " ".join(PACKAGES[name] for name in missing)
        raise CannotMeasure(
            f"{' and '.join(missing)} must be installed. On Debian and Ubuntu: apt-get install {packages}"
        )
    return {name: place for name, place in found.items() if place is not None}


@attrs.frozen
class Cpu:
    """CPU time in seconds."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s

    def __sub__(self, earlier: Cpu) -> Cpu:
        return Cpu(self.user_s - earlier.user_s, self.system_s - earlier.system_s)


def process_tree(root: int) -> list[int]:
    """:return: the process and all that descend from it, as far as they run."""
    children: dict[int, list[int]] = {}
    for each in _PROC.iterdir():
        if each.name.isdigit() and (fields := _stat(int(each.name))):
            children.setdefault(int(fields[1]), []).append(int(each.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def cpu_of(processes: Iterable[int]) -> Cpu:
    """What they and their children that have ended have used."""
    user = system = 0
    for process in processes:
        if fields := _stat(process):
            user += int(fields[11]) + int(fields[13])
            system += int(fields[12]) + int(fields[14])
    return Cpu(user / TICKS_PER_S, system / TICKS_PER_S)


def own_cpu() -> Cpu:
    """What this program and those of its children that have ended have used."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Cpu(sum(each.ru_utime for each in used), sum(each.ru_stime for each in used))


def memory_of(processes: Iterable[int]) -> int:
    """Bytes that they have in memory."""
    return sum(int(fields[21]) * PAGE_BYTES for each in processes if (fields := _stat(each)))


def peak_of(processes: Iterable[int]) -> int:
    """Bytes that they had in memory at their most, by the kernel's own account."""
    found = [_PEAK.search(_text_of(each, "status")) for each in processes]
    return sum(1024 * int(peak[1]) for peak in found if peak)


def _text_of(process: int, name: str) -> str:
    """What ``/proc`` has of it under this name; nothing if it is gone."""
    try:
        return (_PROC / str(process) / name).read_text()
    except OSError:
        return ""


def _stat(process: int) -> list[str] | None:
    """The fields of ``/proc/PID/stat`` behind the name, which may have spaces in it; ``None`` if it is gone."""
    return _text_of(process, "stat").rpartition(")")[2].split() or None


def idle_s(core: int) -> float:
    """How long the core has done nothing since the machine was started."""
    fields = re.search(rf"^cpu{core} (.*)$", (_PROC / "stat").read_text(), re.MULTILINE)
    if fields is None:
        raise CannotMeasure(f"there is no core {core}")
    _user, _nice, _system, idle, waiting = map(int, fields[1].split()[:5])
    return (idle + waiting) / TICKS_PER_S


class CoreWatch:
    """What a core did from the moment that this is made."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._idle_s, self._began = idle_s(core), time.monotonic()

    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def others_percent(self, ours_s: float) -> float:
        """
        :param ours_s: CPU time that the processes under measurement used on it.
        :return: what everything else used, of one core.
        """
        wall_s = self.seconds()
        busy_s = wall_s - (idle_s(self._core) - self._idle_s)
        return round(max(0.0, 100 * (busy_s - ours_s) / wall_s), 1)


def description() -> str:
    """The machine in one line."""
    model = re.search(r"^model name\s*: (.*)$", (_PROC / "cpuinfo").read_text(), re.MULTILINE)
    name = model[1] if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
