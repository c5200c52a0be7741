"""The order of the queue as one number per job. Pure: no Django, no clock.

    rank = due_at + patience x predicted runtime - lane credit          (all in seconds)

Smaller goes first. A rank never changes while its job waits: a later arrival overtakes only as long
as its own due time lies before the waiting job's rank, which bounds the wait for later arrivals by
`patience x predicted + credit`. One column, one index, no mass updates.
"""

from __future__ import annotations

HIGH, NORMAL, LOW = "high", "normal", "low"
LANES = (HIGH, NORMAL, LOW)
LANE_CREDIT_S: dict[str, float] = {HIGH: 300.0, NORMAL: 0.0, LOW: -300.0}

NEUTRAL_RUNTIME_MS = 3000.0
NEUTRAL_PRIORITY = 0.5


def priority(predicted_ms: float) -> float:
    """The score that people see, 0 to 1, shorter is higher; 3 s gives 0.5."""
    return 1.0 / (1.0 + predicted_ms / NEUTRAL_RUNTIME_MS)


def rank(*, due_at_s: float, predicted_ms: float | None, lane: str, patience: float) -> float:
    """Place in the queue. `due_at_s` is Unix time; an unknown runtime counts as the neutral 3 s."""
    predicted_s = (NEUTRAL_RUNTIME_MS if predicted_ms is None else predicted_ms) / 1000.0
    return due_at_s + patience * predicted_s - LANE_CREDIT_S[lane]
