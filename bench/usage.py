"""CPU time and memory of process trees, sampled from /proc while something runs.

`Sampler` watches the trees of some first processes. CPU seconds between two moments come from the
samples around them; a child's time that has been waited for counts in its parent.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
EVERY_S = 0.1


@dataclass(frozen=True)
class Sample:
    at: float
    cpu_s: float
    largest_mb: float
    sum_mb: float
    processes: int


@dataclass
class Usage:
    """The samples of one group of trees."""

    samples: list[Sample] = field(default_factory=list)

    def cpu_between(self, first: float, last: float) -> float:
        """CPU seconds between two moments of CLOCK_MONOTONIC."""
        return self._cpu_at(last) - self._cpu_at(first)

    @property
    def spent_s(self) -> float:
        """CPU seconds between the first and the last sample."""
        return self.samples[-1].cpu_s - self.samples[0].cpu_s

    @property
    def peak_mb(self) -> float:
        """Largest resident memory of one process, in MiB."""
        return max((one.largest_mb for one in self.samples), default=0.0)

    @property
    def peak_sum_mb(self) -> float:
        """Largest sum over the processes, in MiB; pages that forks share count in each of them."""
        return max((one.sum_mb for one in self.samples), default=0.0)

    @property
    def most_processes(self) -> int:
        return max((one.processes for one in self.samples), default=0)

    def _cpu_at(self, at: float) -> float:
        before = after = self.samples[0]
        for after in self.samples:
            if after.at >= at:
                break
            before = after
        if after.at <= before.at or at >= after.at:
            return after.cpu_s
        share = max(at - before.at, 0) / (after.at - before.at)
        return before.cpu_s + share * (after.cpu_s - before.cpu_s)


class Sampler:
    """Context manager; `groups` names lists of pids, whose trees it samples every `every_s` seconds."""

    def __init__(self, *, every_s: float = EVERY_S, **groups: list[int]) -> None:
        self._every_s = every_s
        self._groups = groups
        self.usage = {name: Usage() for name in groups}
        self.machine: list[tuple[float, float]] = []  # moment, CPU seconds that all processes have used
        self._own: list[float] = []  # CPU seconds of this process and the groups together
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def others_cores(self) -> float:
        """How many cores were busy with anything but this bench: what a noisy neighbour took."""
        (began, busy), (ended, later) = self.machine[0], self.machine[-1]
        own = self._own[-1] - self._own[0]
        return max((later - busy - own) / (ended - began), 0.0)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._sample()
        self._sample()

    def _sample(self) -> None:
        table = _processes()
        self.machine.append((time.clock_gettime(time.CLOCK_MONOTONIC), _machine_cpu_s()))
        every = {os.getpid(), *(pid for pids in self._groups.values() for pid in pids)}
        self._own.append(_sum_up(table, list(every)).cpu_s)
        for name, pids in self._groups.items():
            self.usage[name].samples.append(_sum_up(table, pids))


def _machine_cpu_s() -> float:
    """CPU seconds since the machine started that were not idle, all processors together."""
    with open("/proc/stat", "rb") as file:
        fields = [int(value) for value in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) * _TICK_S


def resident_mb(pid: int) -> float:
    """Resident memory of one process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB


def tree_of(pid: int) -> list[int]:
    """The process and all its descendants."""
    return _descendants({pid: row[0] for pid, row in _processes().items()}, [pid])


def _sum_up(table: dict[int, tuple[int, float, float]], pids: list[int]) -> Sample:
    tree = _descendants({pid: row[0] for pid, row in table.items()}, pids)
    rows = [table[pid] for pid in tree]
    return Sample(
        at=time.clock_gettime(time.CLOCK_MONOTONIC),
        cpu_s=sum(row[1] for row in rows),
        largest_mb=max((row[2] for row in rows), default=0.0),
        sum_mb=sum(row[2] for row in rows),
        processes=len(rows),
    )


def _descendants(parents: dict[int, int], pids: list[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [pid for pid in pids if pid in parents]
    while waiting:
        found.add(pid := waiting.pop())
        waiting += children.get(pid, [])
    return list(found)


def _processes() -> dict[int, tuple[int, float, float]]:
    """pid: (parent, CPU seconds with those of children waited for, resident MiB)."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        ticks = sum(int(value) for value in fields[11:15])
        table[int(name)] = (int(fields[1]), ticks * _TICK_S, int(fields[21]) * _PAGE_MB)
    return table
