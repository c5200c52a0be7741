"""Waiting for the database no longer than one is willing to: a server that hangs can hold any call on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadline(Generic[T]):
    """Runs `work` in a thread of its own.

    One run at a time: whoever asks during a run waits for that one, so that a hang piles up neither
    threads nor connections. The threads do not keep a process from ending.
    """

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._work = work
        self._name = name
        self._lock = threading.Lock()
        self._run: Future[T] | None = None

    def result(self, wait_s: float) -> T:
        """What `work` answers; raises TimeoutError after `wait_s`, or what `work` raised."""
        return self._current_run().result(timeout=wait_s)

    def _current_run(self) -> Future[T]:
        with self._lock:
            if self._run is None or self._run.done():
                self._run = Future()
                self._start(self._run)
            return self._run

    def _start(self, run: Future[T]) -> None:
        """Raises what kept the thread from starting; the run has then ended, so that the next call tries anew."""
        thread = threading.Thread(target=self._carry_out, args=(run,), name=self._name, daemon=True)
        try:
            thread.start()
        except BaseException as error:
            run.set_exception(error)
            raise

    def _carry_out(self, run: Future[T]) -> None:
        try:
            run.set_result(self._work())
        except BaseException as error:
            run.set_exception(error)
