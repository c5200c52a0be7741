"""The output of one attempt: bytes from its two pipes become log lines, within limits.

`OutputLines` is pure: bytes in, lines out. `PipeReader` feeds it from the event loop. A job that floods
its pipes must neither stop (so its output is read to the end) nor cost the worker much (so beyond the
limit it is read at a bounded pace and dropped).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

MAX_LINE_CHARACTERS = 10_000
MAX_LINES = 10_000
MAX_BYTES = 1024 * 1024
CUT = " ... (cut)"
DROPPED = f"The rest of the output was dropped: it is more than {MAX_LINES:,} lines or 1 MiB."

_READ_BYTES = 65_536
_PAUSE_S = 0.002  # between two reads of output that is dropped: at most 32 MB/s of a job's time
_MAX_PARTIAL_BYTES = 4 * MAX_LINE_CHARACTERS + 4

OnLine = Callable[[str, str], None]


class OutputLines:
    """Cuts what a job writes into lines for `on_line(stream, text)`; stream is stdout, stderr or system."""

    def __init__(self, on_line: OnLine) -> None:
        self.full = False
        self._on_line = on_line
        self._partial = {"stdout": b"", "stderr": b""}
        self._lines = 0
        self._bytes = 0

    def feed(self, stream: str, data: bytes) -> None:
        """Take bytes as they come, in any pieces."""
        if self.full:
            return
        self._bytes += len(data)
        *lines, rest = (self._partial[stream] + data).split(b"\n")
        # A line without end is kept only as far as it will be shown.
        self._partial[stream] = rest[:_MAX_PARTIAL_BYTES]
        for line in lines:
            self._emit(stream, line)
        if self._bytes > MAX_BYTES:
            self._drop_the_rest()

    def note(self, text: str) -> None:
        """A line of our own, also where the job's own are dropped."""
        self._on_line("system", text)

    def finish(self) -> None:
        """Nothing more comes: a last line without an end counts as well."""
        for stream, rest in self._partial.items():
            if rest:
                self._emit(stream, rest)
        self._partial = {"stdout": b"", "stderr": b""}

    def _emit(self, stream: str, line: bytes) -> None:
        if self.full:
            return
        if self._lines == MAX_LINES:
            self._drop_the_rest()
            return
        self._lines += 1
        self._on_line(stream, _text(line))

    def _drop_the_rest(self) -> None:
        if not self.full:
            self.full = True
            self._on_line("system", DROPPED)


class PipeReader:
    """Reads one pipe of a job on the running event loop; owns the descriptor."""

    def __init__(self, descriptor: int, stream: str, lines: OutputLines) -> None:
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._stream = stream
        self._lines = lines
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(descriptor, False)
        self._listen()

    def close(self) -> None:
        """Stop reading, whatever is left."""
        if self._pause is not None:
            self._pause.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        self.ended.set()

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        self._lines.feed(self._stream, data)
        if self._lines.full:
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_later(_PAUSE_S, self._listen)


def _text(line: bytes) -> str:
    text = line.removesuffix(b"\r").decode("utf-8", errors="replace").replace("\x00", "")
    return text if len(text) <= MAX_LINE_CHARACTERS else text[: MAX_LINE_CHARACTERS - len(CUT)] + CUT
