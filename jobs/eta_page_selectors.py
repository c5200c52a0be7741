"""What the page of one job says about its start and its end. Reads through `jobs.eta` only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from jobs import eta, states
from jobs.models import Job
from orgs import wording

AT_ONCE_S = 1.0


@dataclass(frozen=True)
class Shown:
    """Sentences, each with the exact time that it is about (None: not known). Empty for a job that has ended."""

    sentences: list[tuple[str, datetime | None]]


def expected(job: Job, *, now: datetime | None = None) -> Shown:
    if job.is_final:
        return Shown([])
    now = now or timezone.now()
    found = eta.estimate(job, now=now)
    shown: list[tuple[str, datetime | None]] = []
    if found.start_at is None:
        return Shown([(f"When it starts is not known: {eta.WHY[found.unknown or eta.NO_HISTORY]}.", None)])
    if job.status != states.RUNNING:
        shown.append(_sentence("Starts", now, found.start_low_at, found.start_at, found.start_high_at))
    if found.finish_at is None:
        shown.append((f"When it ends is not known: {eta.WHY[found.unknown or eta.NO_HISTORY]}.", None))
    else:
        shown.append(_sentence("Ends", now, found.finish_low_at, found.finish_at, found.finish_high_at))
    return Shown(shown)


def _sentence(
    verb: str, now: datetime, low: datetime | None, middle: datetime, high: datetime | None
) -> tuple[str, datetime | None]:
    """Starts in about 12 s (5 s to 40 s)."""
    low_s, middle_s, high_s = (
        max(((end or middle) - now).total_seconds(), 0.0) for end in (low, middle, high)
    )
    if middle_s < AT_ONCE_S:
        within = f" (within {_words(max(high_s, AT_ONCE_S))})"
        return f"{verb} at any moment{within}.", middle
    return f"{verb} in about {_words(middle_s)} ({_words(low_s)} to {_words(high_s)}).", middle


def _words(seconds: float) -> str:
    """To the second: a fragment is sent again whenever its words change."""
    return wording.duration(round(seconds) * 1000) if seconds >= AT_ONCE_S else "now"
