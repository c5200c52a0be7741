"""What a worker and its kept process share: the form of a call, frames on the socket, the board."""

from __future__ import annotations

import marshal
import mmap
import os
import tempfile
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

# Number, job id, attempt, idempotency id, function, args, kwargs, time limit in seconds. A plain tuple,
# because tens of thousands of them are packed and unpacked in a second.
Call = tuple[int, int, int, str, str, list[Any], dict[str, Any], float]

# Whose function runs, in the kept process.
current: ContextVar[Call | None] = ContextVar("current", default=None)

DONE, NOT_BEGUN = 0, 1  # in place of an outcome's fields

clock = time.perf_counter

_LENGTH_BYTES = 4
_BEGUN, _RUNNING, _WITHDRAWN = range(3)


def frame(kind: str, value: Any) -> bytes:
    """A message of the worker, whom the kept process trusts; it does not go the other way."""
    body = marshal.dumps((kind, value))
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class Frames:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._bytes += data
        while len(self._bytes) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._bytes[:_LENGTH_BYTES], "big")
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_LENGTH_BYTES:end])
            del self._bytes[:end]
            yield body


class Board:
    """Numbers in memory that both processes see: `begun` and `running` are the kept process's to write.

    Each is an aligned word, written in one piece.
    """

    SIZE = 24

    @classmethod
    def memory(cls) -> int:
        """A descriptor of memory for one. Raises OSError where there is none."""
        memory = os.memfd_create("board") if hasattr(os, "memfd_create") else _nameless_file()
        try:
            # Memory that is mapped but not there yet would kill, at its first use, whoever uses it.
            os.write(memory, bytes(cls.SIZE))
        except OSError:
            os.close(memory)
            raise
        return memory

    def __init__(self, descriptor: int) -> None:
        self._words = memoryview(mmap.mmap(descriptor, self.SIZE)).cast("Q")

    @property
    def begun(self) -> int:
        """The last call that was begun; they are begun in order."""
        return self._words[_BEGUN]

    @begun.setter
    def begun(self, number: int) -> None:
        self._words[_BEGUN] = number

    @property
    def running(self) -> int:
        """The plain function that runs now, or 0."""
        return self._words[_RUNNING]

    @running.setter
    def running(self, number: int) -> None:
        self._words[_RUNNING] = number

    def withdraw(self) -> None:
        """The worker's to say: what is not begun yet must not be."""
        self._words[_WITHDRAWN] = 1

    def is_withdrawn(self) -> bool:
        return self._words[_WITHDRAWN] == 1


def _nameless_file() -> int:
    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor
