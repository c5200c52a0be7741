"""What a job may use of memory and CPU time: measured over all of its processes, and limited per process.

The guard of a job with limits asks `Watch` several times a second; it reads /proc, so on Linux only. The
job's own process calls `limit_this_process`: the kernel's limits are inherited by every process of the
job and stop what grows faster than the guard looks. They count address space that was written to or
could be, not resident memory, hence the room above the limit itself.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import time
from pathlib import Path
from typing import Literal

Limit = Literal["memory", "cpu"]

EVERY_S = 0.2

_MIB = 1024 * 1024
_PAGE = resource.getpagesize()
_TICK = os.sysconf("SC_CLK_TCK")
_SPARE_BYTES = 64 * _MIB  # stacks and arenas of threads, mostly never touched


class Watch:
    """Measures all descendants of this process. Limits that are None are not measured."""

    def __init__(self, memory_mb: int | None, cpu_s: float | None) -> None:
        self._memory = None if memory_mb is None else memory_mb * _MIB
        self._cpu_s = cpu_s
        self._next = time.monotonic() + EVERY_S
        self._inherited = 0 if memory_mb is None else _anonymous(os.getpid())

    @property
    def wait_s(self) -> float | None:
        """How long until the next look; None when there is nothing to look at."""
        if self._memory is None and self._cpu_s is None:
            return None
        return max(0.0, self._next - time.monotonic())

    def exceeded(self) -> Limit | None:
        """The limit that the job is over now; None as well when it is not yet time to look again."""
        if self.wait_s != 0:
            return None
        self._next = time.monotonic() + EVERY_S
        # Before the processes: one that ends in between is then missed once, never counted twice.
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        pids = descendants(os.getpid())
        if self._memory is not None and sum(self._memory_of(pid) for pid in pids) > self._memory:
            return "memory"
        used = ended.ru_utime + ended.ru_stime + sum(map(_cpu_s, pids))
        return "cpu" if self._cpu_s is not None and used > self._cpu_s else None

    def _memory_of(self, pid: int) -> int:
        """Bytes of one process that are in no file; what several share counts once where that can be read."""
        with contextlib.suppress(OSError):
            return _kib(pid, "smaps_rollup", ("Pss_Anon", "Pss_Shmem", "SwapPss"))
        # Hidden from us: a fork that never called exec, so it shares with this process what that was forked with.
        return max(0, _anonymous(pid) - self._inherited)


def descendants(root: int) -> list[int]:
    """Children of the process, their children and so on; parents before their children."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found.extend(map(int, task.read_text().split()))
    return found[1:]


def limit_this_process(memory_mb: int | None, cpu_s: float | None) -> None:
    """Have the kernel stop this process, and each one that it starts, well above these limits."""
    if memory_mb is not None:
        _lower(resource.RLIMIT_DATA, _data_bytes() + 2 * memory_mb * _MIB + _SPARE_BYTES)
    if cpu_s is not None:
        _lower(resource.RLIMIT_CPU, math.ceil(cpu_s) + 1)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, hard))


def _data_bytes() -> int:
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[5]) * _PAGE
    return 0


def _anonymous(pid: int) -> int:
    with contextlib.suppress(OSError):
        return _kib(pid, "status", ("RssAnon", "RssShmem", "VmSwap"))
    return 0


def _kib(pid: int, file: str, names: tuple[str, ...]) -> int:
    """The sum of these lines in bytes; a process that has ended has none of them."""
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/{file}").read_text().splitlines())
    return sum(int(rest.split()[0]) for name, _, rest in lines if name in names) * 1024


def _cpu_s(pid: int) -> float:
    """Seconds that the process, and its children that it has waited for, have used."""
    with contextlib.suppress(OSError):
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICK
    return 0.0
