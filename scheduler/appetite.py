"""How many jobs a worker takes beyond its free slots. Pure; used by the pool."""

from __future__ import annotations

from collections.abc import Sequence

AHEAD_S = 0.2
MOST = 1000
_MEMORY = 0.05  # weight of one job in the mean


class Appetite:
    """The buffer is what light functions will begin within AHEAD_S if they go on as they did; none if they are slow.

    Times are seconds on any clock that only goes forward.
    """

    def __init__(self) -> None:
        self._mean_s = AHEAD_S
        self._bound = float(MOST)
        self._since = 0.0

    def wake(self, now: float) -> None:
        """Jobs begin: that none has ended for a while means nothing from now on."""
        self._since = now

    def ended(self, took_s: Sequence[float], now: float) -> None:
        """Light functions ended that took so long."""
        self._since = now
        if took_s:
            weight = 1 - (1 - _MEMORY) ** len(took_s)
            self._mean_s += (sum(took_s) / len(took_s) - self._mean_s) * weight
            self._bound = min(MOST, self._bound + len(took_s) / 8)

    def spoiled(self) -> None:
        """Jobs had to be given back: it took too many."""
        self._bound /= 8

    def buffer(self, now: float) -> int:
        # One that runs for long tells nothing until it ends: it counts, as one job does, with what it took by now.
        quiet_s = now - self._since
        if quiet_s > AHEAD_S:
            return 0
        each_s = max(self._mean_s, quiet_s * _MEMORY, AHEAD_S / MOST)
        return int(min(AHEAD_S / each_s - 1, self._bound))
