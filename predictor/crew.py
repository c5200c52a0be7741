"""Waiting no longer than one is willing to for work that may hang: a few daemon threads that do it aside.

Each thread keeps a database session of its own, outside of the pool: those who wait hold the pool's connections, and
a thread that waited for one of them would wait for them.
Used by predictor.guard. Started with the first work, so that a process may fork before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from django.db import connection

from jobs.database import use_own_session

T = TypeVar("T")
Work = Callable[[], Any]


class AllStuck(Exception):
    """Every thread is held by work that nobody waits for any more."""


class Crew:
    """`size` threads at most. They do not keep a process from ending."""

    def __init__(self, size: int, name: str, options: str = "") -> None:
        """`options`: of PostgreSQL, for the threads' sessions."""
        self._size, self._name, self._options = size, name, options
        self._waiting: SimpleQueue[tuple[Future[Any], Work] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._stuck = 0

    def run(self, work: Callable[[], T], wait_s: float) -> T:
        """What `work` answers or raises; TimeoutError after `wait_s` seconds, AllStuck at once."""
        run: Future[T] = Future()
        inside = partial(copy_context().run, work)  # behind the wall of whoever asks
        with self._lock:
            if self._stuck >= self._size:
                raise AllStuck(f"{self._stuck} threads are held by work that takes too long")
            self._start_one_more()
        self._waiting.put((run, inside))
        try:
            return run.result(timeout=wait_s)
        except TimeoutError:
            # Of work that has not begun, the thread is not the one that hangs.
            if not run.done() and not run.cancel():
                self._give_up(run)
            raise

    def close(self) -> None:
        """End the threads that are not stuck, and their sessions with them; nothing may be run afterwards."""
        with self._lock:
            for _ in range(self._started):
                self._waiting.put(None)

    def _start_one_more(self) -> None:
        if self._started < self._size:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()
            self._started += 1

    def _give_up(self, run: Future[Any]) -> None:
        with self._lock:
            self._stuck += 1
        # Called at once, in this thread, for work that has ended meanwhile: so not within the lock.
        run.add_done_callback(self._freed)

    def _freed(self, run: Future[Any]) -> None:
        with self._lock:
            self._stuck -= 1

    def _serve(self) -> None:
        use_own_session(self._options)
        while (task := self._waiting.get()) is not None:
            _carry_out(*task)
        connection.close()


def _carry_out(run: Future[Any], work: Work) -> None:
    if not run.set_running_or_notify_cancel():
        return
    try:
        answer = work()
    except BaseException as error:
        connection.close()  # it may be the session that failed
        run.set_exception(error)
    else:
        run.set_result(answer)
