"""What the analytics page shows: each chart as data to draw, as a sentence, and as a small table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from analytics import calibration as scores
from analytics import depth, selectors
from jobs.payloads import JOB_TYPES
from orgs import wording
from orgs.models import User

DEPTH_MINUTES = 60
DEPTH_TABLE_EVERY = depth.STEPS // 12


@dataclass(frozen=True)
class Chart:
    """`data` goes to the browser as JSON, by the id `key`; `empty` says why there is nothing to draw."""

    key: str
    sentence: str = ""
    empty: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()


def throughput(user: User) -> Chart:
    hours = selectors.throughput(user)
    names = ("done", "failed", "cancelled", "retried")
    values = {name: [getattr(hour, name) for hour in hours] for name in names}
    totals = {name: sum(numbers) for name, numbers in values.items()}
    if not any(totals.values()):
        return Chart("throughput", empty="No attempt has ended in the last 24 hours.")
    return Chart(
        "throughput",
        sentence="Last 24 hours: " + ", ".join(f"{totals[name]:,} {name}" for name in names) + ".",
        data={"labels": [_clock(hour.hour) for hour in hours], "series": values},
        columns=["Hour (UTC)", *(name.capitalize() for name in names)],
        rows=[
            [_clock(hour.hour), *numbers]
            for hour, *numbers in zip(hours, *values.values(), strict=True)
            if any(numbers)
        ],
    )


def scatter(user: User) -> Chart:
    """Predicted against actual runtimes, by job type; the table sums them up by type."""
    points = selectors.prediction_points(user)
    if not points:
        return Chart("scatter", empty="No job with a prediction has finished yet.")
    series: dict[str, list[dict[str, Any]]] = {name: [] for name in JOB_TYPES}
    for point in points:
        series[point.type].append(
            {
                "x": max(round(point.predicted_runtime_ms), 1),
                "y": max(round(point.runtime_ms), 1),
                "name": f"{point.name} #{point.job_id}",
            }
        )
    by_type = selectors.prediction_accuracy_by_type(user)
    return Chart(
        "scatter",
        sentence=f"The latest {wording.counted(len(points), 'finished job')}. On the line, the prediction was exact.",
        data={"series": {name: found for name, found in series.items() if found}},
        columns=["Type, last 24 hours", "Attempts", "Within a factor of 2", "Median error"],
        rows=[
            [one.type, one.attempts, wording.percent(one.within_2x), wording.percent(one.median_ape)]
            for one in by_type
        ],
    )


def accuracy(user: User) -> Chart:
    hours = selectors.prediction_accuracy_by_hour(user)
    measured = [hour for hour in hours if hour.attempts]
    if not measured:
        return Chart("accuracy", empty="No job with a prediction has finished in the last 24 hours.")
    overall = selectors.prediction_accuracy(user)
    return Chart(
        "accuracy",
        sentence=f"Last 24 hours: {wording.percent(overall.within_2x)} of "
        f"{wording.counted(overall.attempts, 'prediction')} came within a factor of 2; "
        f"the median error was {wording.percent(overall.median_ape)}.",
        data={
            "labels": [_clock(hour.hour) for hour in hours],
            "series": {
                "within a factor of 2": [_hundredths(hour.within_2x) for hour in hours],
                "median error": [_hundredths(hour.median_ape) for hour in hours],
            },
        },
        columns=["Hour (UTC)", "Attempts", "Within a factor of 2", "Median error"],
        rows=[
            [_clock(one.hour), one.attempts, wording.percent(one.within_2x), wording.percent(one.median_ape)]
            for one in measured
        ],
    )


def calibration(user: User) -> Chart:
    """How many jobs started inside the 80 % interval of their first estimate, by day."""
    days = scores.by_day(user)
    overall = scores.overall(days)
    if not overall.started:
        return Chart(
            "calibration", empty=f"No job with an estimated start has started in {scores.DAYS} days."
        )
    return Chart(
        "calibration",
        sentence=f"Last {scores.DAYS} days: {wording.percent(overall.share)} of "
        f"{wording.counted(overall.started, 'job')} started inside the interval of their first estimate, which is "
        f"made to hold {wording.percent(scores.EXPECTED)}.",
        data={
            "labels": [f"{day.day:%d %b}" for day in days],
            "series": {
                "inside the interval": [_hundredths(day.share) for day in days],
                "expected": [_hundredths(scores.EXPECTED) for _ in days],
            },
        },
        columns=["Day (UTC)", "Started", "Inside the interval", "Share"],
        rows=[
            [f"{day.day:%d %b}", day.started, day.inside, wording.percent(day.share)]
            for day in days
            if day.started
        ],
    )


def queue_depth(user: User, *, now: datetime | None = None) -> Chart:
    steps = depth.depth_series(user, minutes=DEPTH_MINUTES, now=_end_of_step(now or timezone.now()))
    names = ("queued", "running", "scheduled")
    values = {name: [getattr(step, name) for step in steps] for name in names}
    if not any(value for numbers in values.values() for value in numbers):
        return Chart("depth", empty=f"Nothing has waited or run in the last {DEPTH_MINUTES} minutes.")
    current = depth.queue_depth(user).by_status
    return Chart(
        "depth",
        sentence="Now: "
        + ", ".join(f"{current[name]:,} {name}" for name in names)
        + ". The chart has the most of "
        f"each {DEPTH_MINUTES * 60 // depth.STEPS} seconds.",
        data={"labels": [_clock(step.start) for step in steps], "series": values},
        columns=["From (UTC)", *(f"{name.capitalize()}, at most" for name in names)],
        rows=[
            [_clock(steps[at].start), *(_most(values[name][at : at + DEPTH_TABLE_EVERY]) for name in names)]
            for at in range(0, len(steps), DEPTH_TABLE_EVERY)
        ],
    )


def _most(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _end_of_step(now: datetime) -> datetime:
    """The chart moves on by whole steps, so that its fragment is the same until something new shows."""
    step = timedelta(minutes=DEPTH_MINUTES) / depth.STEPS
    seconds = step.total_seconds()
    return datetime.fromtimestamp((now.timestamp() // seconds + 1) * seconds, tz=UTC)


def _clock(moment: datetime | None) -> str:
    return f"{moment:%H:%M}" if moment else ""


def _hundredths(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio * 100, 1)
