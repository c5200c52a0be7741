"""Lets the first of many equal messages through at once, and then at most one per window. Pure but for threads.

Used by `jobs.notify`: each NOTIFY takes a lock of the whole database at its commit, so a thousand
submissions a second must not become a thousand of them.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Iterable

logger = logging.getLogger(__name__)

Message = tuple[str, str]  # channel, payload
Send = Callable[[list[Message]], None]

MOST_REMEMBERED = 10_000
LAST_S = 1.0


class Coalescer:
    """`offer` sends what is due in the caller's thread; what came too soon is sent by a thread, `window_s` after.

    A message that is held back stands for all equal ones until it goes. At the exit of the process the
    rest goes at once, if it can go within LAST_S.
    """

    def __init__(self, send: Send, windows_s: dict[str, float]) -> None:
        self._send = send
        self._windows_s = windows_s
        self._sent_at: dict[Message, float] = {}
        self._due_at: dict[Message, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def offer(self, messages: Iterable[Message]) -> None:
        now = time.monotonic()
        with self._changed:
            ready = [message for message in messages if self._passes(message, now)]
            if self._due_at:
                self._see_to_the_rest()
        if ready:
            self._send(ready)

    def take(self, messages: Iterable[Message]) -> list[Message]:
        """Those that may go now, for the caller to send by its own means; the others are still to be offered."""
        now = time.monotonic()
        with self._changed:
            ready = [message for message in messages if self._free_at(message) <= now]
            for message in ready:
                self._note_sent(message, now)
        return ready

    def close(self) -> None:
        """Have what is held back sent now, and wait for it a moment."""
        thread = self._thread
        with self._changed:
            self._closed = True
            self._due_at = dict.fromkeys(self._due_at, 0.0)
            self._changed.notify()
        if thread is not None:
            thread.join(LAST_S)

    def _passes(self, message: Message, now: float) -> bool:
        if message in self._due_at:
            return False
        free_at = self._free_at(message)
        if free_at > now:
            self._due_at[message] = free_at
            return False
        self._note_sent(message, now)
        return True

    def _free_at(self, message: Message) -> float:
        if message in self._due_at:
            return self._due_at[message]
        return self._sent_at.get(message, 0.0) + self._windows_s.get(message[0], 0.0)

    def _note_sent(self, message: Message, now: float) -> None:
        if len(self._sent_at) >= MOST_REMEMBERED:
            self._sent_at.clear()
        self._sent_at[message] = now

    def _see_to_the_rest(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # as in a process that was forked
            self._thread = threading.Thread(target=self._run, name="coalescer", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (due := self._take_due(time.monotonic())):
                    if self._closed:
                        return
                    self._changed.wait(self._pause_s(time.monotonic()))
            try:
                self._send(due)
            except Exception:
                logger.warning("action=hint_lost messages=%s", due, exc_info=True)

    def _take_due(self, now: float) -> list[Message]:
        due = [message for message, due_at in self._due_at.items() if due_at <= now]
        for message in due:
            del self._due_at[message]
            self._note_sent(message, now)
        return due

    def _pause_s(self, now: float) -> float | None:
        return max(0.0, min(self._due_at.values()) - now) if self._due_at else None
