"""A circuit breaker: whoever fails again and again is left in peace for a while.

Pure: the clock is passed in, nothing is logged or measured here. Used by predictor.guard.

Closed, every call goes through; enough failures in a row open it, and none does; after `open_s` one trial
decides whether it closes or opens again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CLOSED, HALF_OPEN, OPEN = "closed", "half_open", "open"


class Breaker:
    """Whoever got a ticket from `admit` reports with it, to `succeeded` or `failed`, exactly once.

    `changed` is called with each new state, by one thread at a time; it must not call the breaker.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        open_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[str], None] = lambda state: None,
    ) -> None:
        self.state = CLOSED
        self._failures, self._open_s = failures, open_s
        self._clock, self._changed = clock, changed
        self._lock = threading.Lock()
        self._failed = 0
        self._open_until = 0.0
        self._turns = 0

    def admit(self) -> int | None:
        """A ticket for one call; None while none may be made."""
        with self._lock:
            if self.state == OPEN and self._clock() >= self._open_until:
                self._turn(HALF_OPEN)
                return self._turns
            return self._turns if self.state == CLOSED else None

    def succeeded(self, ticket: int) -> None:
        with self._lock:
            if self._is_late(ticket):
                return
            self._failed = 0
            if self.state == HALF_OPEN:
                self._turn(CLOSED)

    def failed(self, ticket: int) -> None:
        with self._lock:
            if self._is_late(ticket):
                return
            self._failed += 1
            if self.state == HALF_OPEN or self._failed >= self._failures:
                self._open_until = self._clock() + self._open_s
                self._turn(OPEN)

    def _is_late(self, ticket: int) -> bool:
        """A call that began before the last change says nothing about what the change was for."""
        return ticket != self._turns

    def _turn(self, state: str) -> None:
        self.state = state
        self._turns += 1
        self._failed = 0
        self._changed(state)
