"""The runs that a report is about: one by one as the caller gives them, and as columns to compute on.

Pure: NumPy only. Used by the other files of this package.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SHORTEST_MS = 1.0  # logs and ratios take anything shorter as this long
LATEST = 253_402_300_799.0  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Judged:
    """One execution of the newest, unseen slice. Durations in milliseconds.

    Raises ValueError, naming the field, for what is no point in time or no duration.
    """

    at: float  # Unix seconds, when it was asked for
    org_id: int
    job_type: str
    actual_ms: float
    predicted_ms: float  # by the challenger, as it would have been served
    low_ms: float
    high_ms: float
    baseline_ms: float  # by the per-key baseline
    champion_ms: float | None  # by the model in force, if any
    censored: bool  # ended by its limit or from outside: took at least actual_ms

    def __post_init__(self) -> None:
        if not 0 <= self.at <= LATEST:
            raise ValueError(f"at: expected Unix seconds from 0 to {LATEST:.0f}, got {self.at}")
        for name in ("actual_ms", "predicted_ms", "low_ms", "high_ms", "baseline_ms", "champion_ms"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected finite milliseconds of at least 0, got {value}")


@dataclass(frozen=True, slots=True)
class Columns:
    """Runs as arrays of one length, oldest first; `champion` is NaN where there was none."""

    at: Floats
    kind: NDArray[np.object_]
    actual: Floats
    predicted: Floats
    low: Floats
    high: Floats
    baseline: Floats
    champion: Floats
    censored: Flags

    def __len__(self) -> int:
        return len(self.at)

    def where(self, rows: NDArray[Any]) -> Columns:
        """The runs that a mask or an array of indices picks."""
        return Columns(*(getattr(self, field.name)[rows] for field in fields(self)))

    def of(self, kinds: Container[str]) -> Columns:
        # Not by NumPy: its strings lose the NULs at their end.
        return self.where(np.array([kind in kinds for kind in self.kind], bool))

    def ended(self) -> Columns:
        """Those that ran to their own end: only they have a true runtime to measure against."""
        return self.where(~self.censored)

    def kinds(self) -> list[str]:
        return sorted(set(self.kind))


def columns(runs: Sequence[Judged]) -> Columns:
    ordered = sorted(runs, key=lambda run: run.at)

    def times(name: str) -> Floats:
        return np.maximum([getattr(run, name) for run in ordered], SHORTEST_MS).astype(float)

    return Columns(
        at=np.array([run.at for run in ordered], float),
        kind=np.array([run.job_type for run in ordered], object),
        actual=times("actual_ms"),
        predicted=times("predicted_ms"),
        low=times("low_ms"),
        high=times("high_ms"),
        baseline=times("baseline_ms"),
        champion=_champion(ordered),
        censored=np.array([run.censored for run in ordered], bool),
    )


def _champion(runs: Sequence[Judged]) -> Floats:
    given = [math.nan if run.champion_ms is None else max(run.champion_ms, SHORTEST_MS) for run in runs]
    return np.array(given, float)
