"""The shapes of what the jobs API answers and of the queries it takes.

What a job may be submitted with is checked by `jobs.submission` alone; `jobs.openapi` documents it.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, TypeVar

from django.db.models import Model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs import content, eta, ordering, states
from jobs.content import FIELDS, bare
from jobs.models import ExecutionLog, Job, JobEvent, LogLine, SchedulerLeader, Worker
from jobs.payloads import JOB_TYPES
from jobs.selectors import Place
from jobs.submission import QUEUE_NAME
from orgs.models import User
from orgs.serializers import StrictSerializer

MOST_LINES = 1000
LARGE = ("result",)  # what only GET /jobs/{id} answers


M = TypeVar("M", bound=Model)


class ContentSerializer(serializers.ModelSerializer[M]):
    """A row with fields that the context of `content.context_for` may hide."""

    content: ClassVar[tuple[str, ...]] = ()

    content_hidden = serializers.SerializerMethodField(
        help_text="Your role, or your API key, does not let you see payload, result, output and error text: "
        "they are null."
    )

    def get_content_hidden(self, row: M) -> bool:
        return bool(self.context.get("content_hidden"))

    def to_representation(self, instance: M) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if shown["content_hidden"]:
            shown.update(dict.fromkeys(name for name in self.content if name in shown))
        return shown


class JobSerializer(ContentSerializer[Job]):
    """A job as the API shows it."""

    content = FIELDS

    payload = serializers.DictField(
        read_only=True, allow_null=True, help_text="As submitted; its fields depend on the type."
    )
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    retry = serializers.DictField(
        source="retry_policy",
        read_only=True,
        allow_null=True,
        help_text="The delays between attempts as submitted; null: those of the type.",
    )

    class Meta:
        model = Job
        fields = [
            "id",
            "name",
            "type",
            "payload",
            "lane",
            "queue",
            "tags",
            "concurrency_key",
            "status",
            "priority",
            "predicted_runtime_ms",
            "predicted_low_ms",
            "predicted_high_ms",
            "prediction_source",
            "model_version",
            "user_id",
            "org_id",
            "created_at",
            "run_at",
            "started_at",
            "finished_at",
            "attempt",
            "retry_count",
            "max_retries",
            "timeout_s",
            "soft_timeout_s",
            "memory_mb",
            "cpu_s",
            "retry",
            "replay_of_id",
            "worker_id",
            "cancel_requested",
            "error_msg",
            "result",
            "idempotency_key",
            "content_hidden",
        ]
        read_only_fields = fields
        extra_kwargs: ClassVar = {
            "error_msg": {"allow_null": True},
            "prediction_source": {
                "help_text": "cold_start: no runs to go by; base: a robust median of earlier runs; lstm: the same, "
                "corrected by the network; fallback: the predictor failed or was late."
            },
            "concurrency_key": {
                "help_text": "Kept with the job; limits on it come later: none is enforced yet."
            },
        }


@functools.cache
def _job_serializer(content_hidden: bool) -> JobSerializer:
    """One for all: a ModelSerializer makes its fields anew in each instance, which costs more than the rest."""
    return JobSerializer(context={"content_hidden": content_hidden})


def job_as_dict(job: Job) -> dict[str, Any]:
    """As `JobSerializer(job).data`, with its content."""
    return _job_serializer(False).to_representation(job)


def job_for(user: User, job: Job) -> dict[str, Any]:
    """A job as `user` may see it."""
    return _job_serializer(content.hidden_from(user)).to_representation(job)


class EstimatedField(serializers.DateTimeField):
    """`predicted_X` of the `eta.Estimate` that the context has as `estimate`."""

    def __init__(self, help_text: str = "", **kwargs: Any) -> None:
        super().__init__(read_only=True, allow_null=True, help_text=help_text, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        return getattr(self.context["estimate"], str(self.field_name).removeprefix("predicted_"))


class JobDetailSerializer(JobSerializer):
    """A job with the times at which it is expected to start and to finish. Made by `job_in_detail`."""

    predicted_start_at = EstimatedField(
        "When it is expected to start; of a running job, when it started. Null: see eta_unknown_reason."
    )
    predicted_start_low_at = EstimatedField("With predicted_start_high_at the 80 % interval.")
    predicted_start_high_at = EstimatedField()
    predicted_finish_at = EstimatedField("When this attempt is expected to end.")
    predicted_finish_low_at = EstimatedField("With predicted_finish_high_at the 80 % interval.")
    predicted_finish_high_at = EstimatedField()
    eta_unknown_reason = serializers.SerializerMethodField(
        help_text="Why start or finish are not predicted: "
        + "; ".join(f"{name}: {why}" for name, why in eta.WHY.items())
        + ". Null where both are, and for a job that has ended."
    )

    class Meta(JobSerializer.Meta):
        fields = [
            *JobSerializer.Meta.fields,
            "predicted_start_at",
            "predicted_start_low_at",
            "predicted_start_high_at",
            "predicted_finish_at",
            "predicted_finish_low_at",
            "predicted_finish_high_at",
            "eta_unknown_reason",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=list(eta.WHY), allow_null=True))
    def get_eta_unknown_reason(self, job: Job) -> str | None:
        unknown: str | None = self.context["estimate"].unknown
        return unknown


def job_in_detail(user: User, job: Job) -> dict[str, Any]:
    """A job as `user` may see it and its estimate, which costs a few queries."""
    context = {"estimate": eta.estimate(job), **content.context_for(user)}
    return JobDetailSerializer(job, context=context).data


class JobListItemSerializer(JobSerializer):
    """A job in a list: without `result`, which GET /jobs/{id} has."""

    class Meta(JobSerializer.Meta):
        fields = [name for name in JobSerializer.Meta.fields if name not in LARGE]
        read_only_fields = fields


class JobQuerySerializer(StrictSerializer):
    """Which jobs to list."""

    status = serializers.ChoiceField(choices=states.STATUSES, required=False)
    type = serializers.ChoiceField(choices=JOB_TYPES, required=False)
    lane = serializers.ChoiceField(choices=ordering.LANES, required=False)
    name = serializers.CharField(
        max_length=200, required=False, help_text="Part of the name, in upper or lower case."
    )
    user = serializers.IntegerField(min_value=1, required=False, help_text="Id of the user who submitted it.")
    queue = serializers.RegexField(
        QUEUE_NAME, required=False, error_messages={"invalid": "Expected the name of a queue."}
    )
    tag = serializers.CharField(max_length=60, required=False)
    created_after = serializers.DateTimeField(
        required=False, help_text="Submitted at or after this time (ISO 8601)."
    )
    created_before = serializers.DateTimeField(required=False, help_text="Submitted before this time.")


class ExecutionSerializer(ContentSerializer[ExecutionLog]):
    """One ended attempt of a job."""

    content = ("error_msg", "output_tail")

    output_tail = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="The last lines of its output, in order; long ones are cut.",
    )

    class Meta:
        model = ExecutionLog
        fields = [
            "id",
            "job_id",
            "attempt",
            "outcome",
            "final",
            "runtime_ms",
            "wait_ms",
            "predicted_runtime_ms",
            "predicted_low_ms",
            "predicted_high_ms",
            "worker_id",
            "error_msg",
            "logged_at",
            "output_tail",
            "content_hidden",
        ]
        read_only_fields = fields
        extra_kwargs: ClassVar = {"error_msg": {"allow_null": True}}


class EventSerializer(ContentSerializer[JobEvent]):
    """One transition of a job. With `content_hidden` its reason lacks the error text."""

    class Meta:
        model = JobEvent
        fields = ["id", "job_id", "old_status", "new_status", "reason", "actor", "at", "content_hidden"]
        read_only_fields = fields

    def to_representation(self, instance: JobEvent) -> dict[str, Any]:
        shown = super().to_representation(instance)
        return {**shown, "reason": bare(shown["reason"])} if shown["content_hidden"] else shown


class LineSerializer(serializers.ModelSerializer[LogLine]):
    """One line of a job's output."""

    class Meta:
        model = LogLine
        fields = ["attempt", "seq", "stream", "text", "logged_at"]
        read_only_fields = fields


class PlaceField(serializers.CharField):
    """A `Place` in a job's output, written ATTEMPT.SEQ."""

    default_error_messages = {
        "place": "Expected a value that `next` of an earlier answer gave, such as 1.250."
    }

    def to_internal_value(self, data: Any) -> Any:
        attempt, dot, seq = super().to_internal_value(data).partition(".")
        if not (dot and _is_small_number(attempt) and _is_small_number(seq)):
            self.fail("place")
        return Place(int(attempt), int(seq))

    def to_representation(self, value: Any) -> str:
        return f"{value.attempt}.{value.seq}"


def _is_small_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


class OutputQuerySerializer(StrictSerializer):
    """Which lines to read."""

    attempt = serializers.IntegerField(
        min_value=1, required=False, help_text="Only this attempt; without it all, in order."
    )
    after = PlaceField(required=False, help_text="The `next` of an earlier answer: only what follows it.")
    limit = serializers.IntegerField(min_value=1, max_value=MOST_LINES, default=500)


class OutputSerializer(serializers.Serializer[Any]):
    """Lines of a job's output. Ask again with `after` set to `next` until `complete` is true."""

    lines = LineSerializer(many=True, allow_null=True, help_text="Null where content_hidden is true.")
    next = PlaceField(source="place", help_text="Where these lines end.")
    complete = serializers.BooleanField(help_text="The job has ended and no line follows.")
    content_hidden = serializers.BooleanField(
        help_text="Your role, or your API key, does not let you see the output of jobs."
    )


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    """A worker process."""

    status = serializers.ChoiceField(
        choices=Worker.STATUSES, source="state", help_text="lost: it did not report for three heartbeats."
    )
    types = serializers.ListField(child=serializers.CharField(), help_text="The job types that it takes.")
    queues = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="The queues that it serves; null: all."
    )
    wanted = serializers.ChoiceField(
        choices=Worker.WANTED, help_text="drain: it takes no more jobs and ends after those that run."
    )

    class Meta:
        model = Worker
        fields = [
            "worker_id",
            "hostname",
            "status",
            "last_seen",
            "jobs_processed",
            "started_at",
            "concurrency",
            "running",
            "types",
            "queues",
            "wanted",
        ]
        read_only_fields = fields


class WorkerListSerializer(serializers.Serializer[Any]):
    """The worker processes, active ones first; those that ended are kept for two days."""

    results = WorkerSerializer(many=True)


class LeaderSerializer(serializers.ModelSerializer[SchedulerLeader]):
    """The scheduler that leads, or that led last when `last_seen` is long ago."""

    class Meta:
        model = SchedulerLeader
        fields = ["id", "worker_id", "term", "elected_at", "last_seen"]
        read_only_fields = fields
