"""How a `python` job is told that its soft limit is reached: SoftTimeout, raised by a signal.

`hold` before anybody can send SIGNAL, `delivered` around the function: a signal that comes before is
kept until then, one that comes after does nothing. Only in the main thread of the job's process.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from jobs.executors.base import SoftTimeout

SIGNAL = signal.SIGUSR1


def hold() -> None:
    """Keep the signal from now on until `delivered`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})


@contextlib.contextmanager
def delivered() -> Iterator[None]:
    """The signal raises SoftTimeout inside of the block."""
    before = signal.signal(SIGNAL, _raise)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})
        yield
    finally:
        hold()
        signal.signal(SIGNAL, before)


def _raise(number: int, frame: FrameType | None) -> None:
    raise SoftTimeout
