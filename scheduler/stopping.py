"""The wish to stop, as signal handlers express it and the scheduler waits for it.

`threading.Event` will not do: its `set` takes a lock that the code which the handler interrupted may hold,
and then neither goes on. A pipe has no such lock, and can be waited for beside a database connection.
"""

from __future__ import annotations

import contextlib
import os
import select


class Stop:
    """`set()` may be called from a signal handler and from any thread; it is never taken back."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._wished = False

    def __del__(self) -> None:
        for end in (self._reader, self._writer):
            with contextlib.suppress(OSError):
                os.close(end)

    def set(self) -> None:
        self._wished = True
        with contextlib.suppress(BlockingIOError):  # full: whoever waits is awake already
            os.write(self._writer, b"\0")

    def is_set(self) -> bool:
        return self._wished

    def wait(self, timeout_s: float, *, or_readable: int | None = None) -> None:
        """Until the stop, until the file descriptor `or_readable` has something to read, or for `timeout_s`."""
        waited_for = [self._reader] if or_readable is None else [self._reader, or_readable]
        select.select(waited_for, [], [], max(0.0, timeout_s))
