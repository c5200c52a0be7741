"""What light functions write: sys.stdout and sys.stderr of the kept process, sorted by job.

A contextvar says whose text it is, so tasks and the threads of `asyncio.to_thread` are told apart. Text
that belongs to no job, or to one that has ended, is dropped.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterable
from typing import Any

from jobs.executors.kept_wire import clock, current
from jobs.executors.output import MAX_BYTES

FLUSH_AFTER_S = 0.1


class JobOutput:
    """Gathers text until it is `taken`. A function that runs on while it writes has it sent now and then."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        flush: Callable[[], None],
        flush_soon: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._flush = flush
        self._flush_soon = flush_soon
        self._texts: list[tuple[int, str, str]] = []
        self._sizes: dict[int, int] = {}  # of the calls that have begun and not ended
        self._taken_at = clock()

    def stream(self, name: str) -> _Stream:
        return _Stream(self, name)

    def begin(self, number: int) -> None:
        """From now on this call may write."""
        self._sizes[number] = 0

    def write(self, stream: str, text: str) -> None:
        call = current.get()
        if call is None or not text:
            return
        size = self._sizes.get(call[0])
        if size is None or size > MAX_BYTES:
            return  # a thread outlived its call; or it is more than the worker keeps, and it says so
        self._sizes[call[0]] = size + len(text)
        self._texts.append((call[0], stream, text[: MAX_BYTES + 1]))
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._flush_soon)
        elif clock() - self._taken_at > FLUSH_AFTER_S:
            self._flush()
        else:
            self._flush_soon()

    def taken(self) -> list[tuple[int, str, str]]:
        """What was written since last time."""
        self._taken_at = clock()
        if not self._texts:
            return []
        texts, self._texts = self._texts, []
        return texts

    def forget(self, ended: Iterable[tuple[int, float, Any]]) -> None:
        """Nothing more comes from these calls."""
        for number, _, _ in ended:
            self._sizes.pop(number, None)


class _Stream(io.TextIOBase):
    encoding = "utf-8"

    def __init__(self, output: JobOutput, name: str) -> None:
        self._output = output
        self._name = name

    def write(self, text: str) -> int:
        self._output.write(self._name, text)
        return len(text)

    def writable(self) -> bool:
        return True
