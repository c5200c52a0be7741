"""What the rank of a job is made of, so that the parts add up to the rank that is stored. Pure, no Django.

The stored rank is the truth: where settings changed after it was computed, the parts as they would be now do
not add up to it, and one more part says by how much. Asked by `jobs.explaining`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.ordering import NEUTRAL_RUNTIME_MS, LaneRule, Terms
from orgs.wording import duration

_SAME_S = 0.001  # due times have microseconds, ranks a quarter of one


@dataclass(frozen=True, slots=True)
class Term:
    """`name` is for programs, `meaning` for people."""

    name: str
    seconds: float
    meaning: str


@dataclass(frozen=True, slots=True)
class Rank:
    """The sum of `terms`, in seconds: the smallest goes first. `due_at` is its first term as a time."""

    total: float
    due_at: datetime
    terms: list[Term]

    @property
    def added_s(self) -> float:
        """What all but the due time adds up to."""
        return self.total - self.terms[0].seconds


def explained(
    rank: float, terms: Terms, *, lane: str, rule: LaneRule, predicted_ms: float | None, earliest_due_s: float
) -> Rank:
    """`rank` is the stored one, `terms` are those of this moment.

    The due time of `terms` may have moved since the rank was computed, by a retry; it was `earliest_due_s` (Unix
    time) or later.
    """
    due_s, change = _due_then(rank, terms, earliest_due_s)
    parts = [
        Term("due", due_s, "when it became due, as Unix time"),
        Term("predicted", terms.predicted, _predicted(rule, predicted_ms)),
        Term("interval", terms.interval, _interval(rule, terms)),
        Term("lane", terms.lane + 0.0, f"credit of lane {lane}"),
        Term(
            "cap",
            terms.cap,
            f"taken off, so that later jobs go first for no longer than lane {lane} may wait",
        ),
        Term("earlier", change, "as computed at its submission: settings have changed since"),
    ]
    due_at = datetime.fromtimestamp(due_s, tz=UTC)
    return Rank(
        rank, due_at, [part for part in parts if part.seconds or part.name in ("due", "predicted", "lane")]
    )


def _due_then(rank: float, terms: Terms, earliest_s: float) -> tuple[float, float]:
    """The due time in the stored rank, and what else it differs by."""
    by_rank = rank - math.fsum(terms[1:])
    due_s = min(max(by_rank, min(earliest_s, terms.due)), terms.due)
    if abs(by_rank - due_s) < _SAME_S:
        return by_rank, 0.0
    return due_s, rank - math.fsum((due_s, *terms[1:]))


def _interval(rule: LaneRule, terms: Terms) -> str:
    counts_s = (terms.predicted + terms.interval) / rule.patience if rule.patience else 0.0
    return f"it counts as {duration(counts_s * 1000)} by its 80 % interval, which may reach far to one side"


def _predicted(rule: LaneRule, predicted_ms: float | None) -> str:
    runtime = (
        f"{duration(predicted_ms)} predicted"
        if predicted_ms is not None
        else f"{duration(NEUTRAL_RUNTIME_MS)} for an unknown runtime"
    )
    return f"patience {rule.patience:g} x {runtime}"
