"""The shapes of what the analytics API answers; `selectors` and `depth` say what the numbers mean."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from analytics.calibration import DAYS
from analytics.depth import STEPS
from jobs import ordering, states
from jobs.payloads import JOB_TYPES
from jobs.selectors import LEADER_SILENT_S
from orgs.serializers import StrictSerializer

Shape = serializers.Serializer[Any]

CANCELLED = "Attempts that were stopped; a job cancelled before it started has no attempt."


def number(help_text: str = "") -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=help_text)


class CountsField(serializers.DictField):
    """{name: number of jobs}, every name there."""

    child = serializers.IntegerField()


class AccuracySerializer(Shape):
    """Predictions of attempts that ended well in the last 24 hours, among the newest 20,000 attempts.

    Ratios, 0.25 being 25 %.
    """

    attempts = serializers.IntegerField()
    mape = number("Mean of |predicted - actual| / actual.")
    median_ape = number("Median of the same.")
    log2_error = number("Mean of |log2(predicted / actual)|; 1 is wrong by a factor of two.")
    within_2x = number("Share of predictions that were right within a factor of two.")


class TypeAccuracySerializer(AccuracySerializer):
    type = serializers.ChoiceField(choices=JOB_TYPES)


class HourAccuracySerializer(AccuracySerializer):
    hour = serializers.DateTimeField(help_text="Start of the hour, UTC.")


class PointSerializer(Shape):
    """One attempt that ended well."""

    job_id = serializers.IntegerField()
    type = serializers.ChoiceField(choices=JOB_TYPES)
    name = serializers.CharField()
    predicted_runtime_ms = serializers.FloatField()
    runtime_ms = serializers.FloatField()
    logged_at = serializers.DateTimeField()


class PredictionAccuracySerializer(Shape):
    """How well runtimes were predicted."""

    overall = AccuracySerializer()
    by_type = TypeAccuracySerializer(many=True)
    by_hour = HourAccuracySerializer(many=True, help_text="24 hours, oldest first.")
    points = PointSerializer(many=True, help_text="The latest 200 attempts, oldest first.")


class ScoreSerializer(Shape):
    """Jobs that started after they had been given an estimate of their start."""

    started = serializers.IntegerField()
    inside = serializers.IntegerField(
        help_text="Those that started inside the 80 % interval of the first one."
    )
    share = number("inside / started.")


class DayScoreSerializer(ScoreSerializer):
    day = serializers.DateField(help_text="UTC.")


class EtaCalibrationSerializer(Shape):
    """How well starts were estimated."""

    expected = serializers.FloatField(help_text="The share that intervals are made to hold.")
    overall = ScoreSerializer(help_text="Over these days.")
    by_day = DayScoreSerializer(many=True, help_text=f"{DAYS} days, oldest first.")


class HourSerializer(Shape):
    """What ended in one hour."""

    hour = serializers.DateTimeField(help_text="Start of the hour, UTC.")
    done = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Jobs given up.")
    cancelled = serializers.IntegerField(help_text=CANCELLED)
    retried = serializers.IntegerField(help_text="Attempts that were not the last one of their job.")


class ThroughputSerializer(Shape):
    """What ended in the last 24 hours, by hour."""

    hours = HourSerializer(many=True, help_text="24 hours, oldest first.")


class DepthSerializer(Shape):
    """Unfinished jobs now."""

    by_status = CountsField(help_text=f"By status: {', '.join(states.ACTIVE)}.")
    by_lane = CountsField(help_text=f"By lane: {', '.join(ordering.LANES)}.")
    by_type = CountsField(help_text=f"By type: {', '.join(JOB_TYPES)}.")


class StepSerializer(Shape):
    """The most of each from `start` to the next step; null where nobody took samples."""

    start = serializers.DateTimeField()
    queued = serializers.IntegerField(allow_null=True)
    running = serializers.IntegerField(allow_null=True)
    scheduled = serializers.IntegerField(allow_null=True)


class QueueDepthSerializer(Shape):
    """How many jobs are waiting and running."""

    now = DepthSerializer()
    series = StepSerializer(many=True, help_text=f"{STEPS} steps, oldest first.")


class QueueDepthQuerySerializer(StrictSerializer):
    """The span of the series."""

    minutes = serializers.IntegerField(
        min_value=2, max_value=1440, default=60, help_text="How far to look back."
    )


class SchedulerLeaderSerializer(Shape):
    """The scheduler elected last; all null before the first election."""

    worker_id = serializers.CharField(allow_null=True)
    term = serializers.IntegerField(allow_null=True)
    elected_at = serializers.DateTimeField(allow_null=True)
    last_seen = serializers.DateTimeField(allow_null=True)
    age_s = number("Seconds since `last_seen`.")
    alive = serializers.BooleanField(help_text=f"It was seen in the last {LEADER_SILENT_S:g} seconds.")


class LastDaySerializer(Shape):
    """Attempts that ended in the last 24 hours; the newest 20,000 where there were more."""

    done = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Jobs given up.")
    cancelled = serializers.IntegerField(help_text=CANCELLED)
    retried = serializers.IntegerField(help_text="Attempts that were not the last one of their job.")
    success_rate = number("done / (done + failed).")
    wait_ms_p50 = number("Median time from queued to started.")
    wait_ms_p95 = number()
    run_ms_p50 = number("Median run time of attempts.")
    run_ms_p95 = number()


class PoolSerializer(Shape):
    """The active workers of the platform."""

    workers = serializers.IntegerField()
    slots = serializers.IntegerField(help_text="Jobs that they can run at once.")
    busy = serializers.IntegerField(help_text="Jobs that they run now.")


class SummarySerializer(Shape):
    """The first numbers of a dashboard."""

    jobs = CountsField(help_text=f"Unfinished jobs by status: {', '.join(states.ACTIVE)}.")
    last_24h = LastDaySerializer()
    prediction = AccuracySerializer()
    pool = PoolSerializer()
    leader = SchedulerLeaderSerializer()
