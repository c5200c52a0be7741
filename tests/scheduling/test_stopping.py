"""The wish to stop: from a signal handler, at any moment, once and for all."""

from __future__ import annotations

import os
import select
import signal
import threading

from scheduler.stopping import Stop


def test_a_signal_ends_a_wait() -> None:
    stop = Stop()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        stop.wait(600)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert stop.is_set()


def test_a_wait_after_the_stop_is_none() -> None:
    stop = Stop()
    stop.set()
    stop.wait(600)
    stop.wait(600)


def test_a_wait_ends_when_there_is_something_to_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    stop = Stop()
    stop.wait(600, or_readable=reader)
    assert not stop.is_set()
    os.close(reader)
    os.close(writer)


def test_a_wait_ends_by_its_time() -> None:
    stop = Stop()
    stop.wait(0.01)
    stop.wait(-1)
    assert not stop.is_set()


def test_stopping_over_and_over_blocks_nobody() -> None:
    """A pipe holds 64 KiB: a handler that blocked on a full one would never return."""
    stop = Stop()
    for _ in range(70_000):
        stop.set()
    assert select.select([stop._reader], [], [], 0)[0]
