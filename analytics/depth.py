"""How many jobs an organisation has waiting and running: now, and over time from the samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Sum
from django.utils import timezone

from analytics.models import QueueSample
from jobs import ordering, selectors, states
from jobs.payloads import JOB_TYPES
from orgs.models import User

STEPS = 120

Sample = tuple[datetime, int, int, int]


@dataclass(frozen=True)
class Depth:
    """Unfinished jobs, counted three ways."""

    by_status: dict[str, int]
    by_lane: dict[str, int]
    by_type: dict[str, int]


@dataclass(frozen=True)
class Step:
    """The most of each from `start` to the next step; None where nobody took samples."""

    start: datetime
    queued: int | None
    running: int | None
    scheduled: int | None


def queue_depth(user: User) -> Depth:
    """The unfinished jobs now."""
    status, lane, type_ = Counter[str](), Counter[str](), Counter[str]()
    counts = selectors.unfinished(user).values_list("status", "lane", "type").annotate(jobs=Count("id"))
    for status_name, lane_name, type_name, jobs in counts:
        status[status_name] += jobs
        lane[lane_name] += jobs
        type_[type_name] += jobs
    return Depth(
        {name: status[name] for name in states.ACTIVE},
        {name: lane[name] for name in ordering.LANES},
        {name: type_[name] for name in JOB_TYPES},
    )


def depth_series(user: User, *, minutes: int = 60, now: datetime | None = None) -> list[Step]:
    """The last `minutes` in `STEPS` steps, oldest first.

    No samples are taken while an organisation is idle: steps after a sample of zero are zero. Steps
    without samples after anything else are None, for then no leader was there to take them.
    """
    end = now or timezone.now()
    step = timedelta(minutes=minutes) / STEPS
    start = end - STEPS * step
    last = _totals(user, until=start).order_by("-taken_at").first()
    samples = _totals(user, until=end).filter(taken_at__gt=start).order_by("taken_at")
    return list(_steps(start, step, last, list(samples)))


def _totals(user: User, *, until: datetime) -> Any:
    """A queryset of `Sample`. Samples of one run of the duty carry one time: organisations add up by it."""
    rows = QueueSample.objects.for_user(user).filter(taken_at__lte=until).values("taken_at")
    return rows.annotate(
        all_queued=Sum("queued"), all_running=Sum("running"), all_scheduled=Sum("scheduled")
    ).values_list("taken_at", "all_queued", "all_running", "all_scheduled")


def _steps(start: datetime, step: timedelta, last: Sample | None, samples: list[Sample]) -> Iterator[Step]:
    in_step: dict[int, list[Sample]] = {}
    for sample in samples:
        number = min(int((sample[0] - start) / step), STEPS - 1)
        in_step.setdefault(number, []).append(sample)
    for number in range(STEPS):
        found = in_step.get(number, [])
        last = found[-1] if found else last
        yield Step(start + number * step, *_most(found, idle=last is None or not any(last[1:])))


def _most(found: list[Sample], *, idle: bool) -> list[int | None]:
    if not found:
        return [0 if idle else None] * 3
    return [max(counts[column] for _, *counts in found) for column in range(3)]
