"""When each job's first line ran: every process appends to a file of its own in one folder.

The same code notes the starts of every system on the bench, so all pay the same microseconds for it.
No Django and no package: the peers' Python imports it too.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

VARIABLE = "BENCH_STARTS"  # the folder, set for the processes that run jobs
_RECORD = struct.Struct("<qd")

_file: tuple[int, int] = (0, -1)  # the process that opened it, its descriptor


def note(key: int = 0) -> float:
    """Record that the job `key` starts now; answers the time on the clock that all processes share."""
    global _file
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    pid = os.getpid()
    if _file[0] != pid:  # a forked process must not write into its parent's file
        path = Path(os.environ[VARIABLE]) / str(pid)
        _file = (pid, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    os.write(_file[1], _RECORD.pack(key, now))
    return now


def count(folder: Path) -> int:
    """How many starts are noted; cheap, for polling."""
    return sum(entry.stat().st_size for entry in os.scandir(folder)) // _RECORD.size


def read(folder: Path) -> list[tuple[int, float]]:
    """(key, seconds) of all starts, in order of time."""
    noted = [pair for path in folder.iterdir() for pair in _RECORD.iter_unpack(path.read_bytes())]
    return sorted(((int(key), float(at)) for key, at in noted), key=lambda pair: pair[1])
