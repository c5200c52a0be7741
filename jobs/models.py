"""What the queue keeps: jobs, their attempts, events and output, the workers and the leader.

Rows of a job's life are written by `jobs.services` and `jobs.claims` only. Constraints hold the
invariants; each partial index names the one query that it serves.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from jobs import ordering, states
from jobs.payloads import JOB_TYPES
from orgs.models import Organization, User
from orgs.scoping import OrgManager


class OrgModel(models.Model):
    """A row that belongs to an organisation."""

    # No index on org alone: each model has those that its queries read, and a second one tempts the planner.
    org = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)

    objects = OrgManager()

    class Meta:
        abstract = True


class Job(OrgModel):
    """One piece of work. `attempt` numbers its claims and is the fence: who finishes must still hold it."""

    was_created: bool = True  # set by services.submit: False when an idempotency key found an earlier job

    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=20, choices=[(name, name) for name in JOB_TYPES])
    payload = models.JSONField()
    lane = models.CharField(
        max_length=10, choices=[(lane, lane) for lane in ordering.LANES], default=ordering.NORMAL
    )
    status = models.CharField(max_length=10, choices=[(status, status) for status in states.STATUSES])
    priority = models.FloatField(default=ordering.NEUTRAL_PRIORITY)
    rank = models.FloatField()
    predicted_runtime_ms = models.FloatField(null=True)
    prediction_source = models.CharField(max_length=20, default="fallback")
    model_version = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    run_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    attempt = models.IntegerField(default=0)
    retry_count = models.IntegerField(default=0)
    max_retries = models.IntegerField()
    timeout_s = models.FloatField()
    worker_id = models.CharField(max_length=64, null=True)  # noqa: DJ001 - NULL means "no worker", see job_lease
    lease_expires_at = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False)
    error_msg = models.TextField(default="")
    result: models.JSONField[Any, Any] = models.JSONField(null=True)
    idempotency_key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - NULL: none given, so not unique
    request_hash = models.CharField(max_length=64, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=states.STATUSES), name="job_status_known"),
            models.CheckConstraint(condition=Q(type__in=JOB_TYPES), name="job_type_known"),
            models.CheckConstraint(condition=Q(lane__in=ordering.LANES), name="job_lane_known"),
            models.CheckConstraint(condition=Q(priority__gte=0, priority__lte=1), name="job_priority_range"),
            models.CheckConstraint(
                condition=Q(status=states.RUNNING, worker_id__isnull=False, lease_expires_at__isnull=False)
                | (~Q(status=states.RUNNING) & Q(lease_expires_at__isnull=True)),
                name="job_running_has_worker_and_lease",
            ),
            models.CheckConstraint(
                condition=Q(status__in=states.FINAL, finished_at__isnull=False)
                | (~Q(status__in=states.FINAL) & Q(finished_at__isnull=True)),
                name="job_final_has_finished_at",
            ),
            models.CheckConstraint(
                condition=Q(retry_count__gte=0, retry_count__lte=F("max_retries")),
                name="job_retry_count_range",
            ),
            models.UniqueConstraint(fields=["org", "idempotency_key"], name="job_idempotency_key_unique"),
        ]
        indexes = [
            # claims.claim: the head of the queue.
            models.Index(fields=["rank", "id"], name="job_head_of_queue", condition=Q(status=states.QUEUED)),
            # claims.promote_due.
            models.Index(fields=["run_at"], name="job_due", condition=Q(status=states.SCHEDULED)),
            # claims.reclaim_expired.
            models.Index(fields=["lease_expires_at"], name="job_leases", condition=Q(status=states.RUNNING)),
            # selectors: a page of an organisation's jobs, newest first, all or of one status.
            models.Index(fields=["org", "-id"], name="job_of_org"),
            models.Index(fields=["org", "status", "-id"], name="job_of_org_by_status"),
            # collectors, queue depth: unfinished jobs only, however long the history.
            models.Index(
                fields=["org", "status", "lane", "type"],
                name="job_active",
                condition=Q(status__in=states.ACTIVE),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} (job {self.pk})"

    @property
    def is_final(self) -> bool:
        return self.status in states.FINAL


class ExecutionLog(OrgModel):
    """One ended attempt. `final` marks the one that settled the job: at most one per job."""

    OUTCOMES = ("done", "failed", "timeout", "cancelled", "crashed", "lost")

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="executions")
    attempt = models.IntegerField()
    outcome = models.CharField(max_length=10, choices=[(name, name) for name in OUTCOMES])
    final = models.BooleanField(default=False)
    runtime_ms = models.FloatField()
    wait_ms = models.FloatField()
    predicted_runtime_ms = models.FloatField(null=True)
    worker_id = models.CharField(max_length=64)
    error_msg = models.TextField(default="")
    job_type = models.CharField(max_length=20)
    job_name = models.CharField(max_length=200)
    lane = models.CharField(max_length=10, default=ordering.NORMAL)
    logged_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=("done", "failed", "timeout", "cancelled", "crashed", "lost")),
                name="executionlog_outcome_known",
            ),
            models.UniqueConstraint(fields=["job", "attempt"], name="executionlog_once_per_attempt"),
            models.UniqueConstraint(fields=["job"], name="executionlog_one_final", condition=Q(final=True)),
        ]
        indexes = [
            # predictor: the last runs of the same key, and of the organisation.
            models.Index(fields=["org", "job_type", "job_name", "-id"], name="executionlog_of_key"),
            models.Index(fields=["org", "-id"], name="executionlog_of_org"),
            # analytics: the last hours.
            models.Index(fields=["logged_at"], name="executionlog_by_time"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.attempt} of job {self.job_id}: {self.outcome}"


class JobEvent(OrgModel):
    """One transition, written in the transaction that made it."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    old_status = models.CharField(max_length=10, default="")
    new_status = models.CharField(max_length=10)
    reason = models.CharField(max_length=200)
    actor = models.CharField(max_length=100)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["job", "id"], name="jobevent_of_job")]

    def __str__(self) -> str:
        return f"job {self.job_id}: {self.old_status} -> {self.new_status}"


class LogLine(OrgModel):
    """One line of a job's output."""

    STREAMS = ("stdout", "stderr", "system")

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="lines")
    attempt = models.IntegerField()
    seq = models.IntegerField()
    stream = models.CharField(max_length=10, choices=[(name, name) for name in STREAMS])
    text = models.TextField()
    logged_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "attempt", "seq"], name="logline_order")]

    def __str__(self) -> str:
        return self.text


class Worker(models.Model):
    """One start of one worker process; a restart is a new row."""

    ACTIVE, STOPPING, STOPPED, LOST = "active", "stopping", "stopped", "lost"
    STATUSES = (ACTIVE, STOPPING, STOPPED, LOST)

    worker_id = models.CharField(max_length=64, primary_key=True)
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    status = models.CharField(max_length=10, choices=[(name, name) for name in STATUSES], default=ACTIVE)
    concurrency = models.IntegerField()
    running = models.IntegerField(default=0)
    jobs_processed = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=("active", "stopping", "stopped", "lost")), name="worker_status_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hostname}:{self.pid}"


class SchedulerLeader(models.Model):
    """The one row that says who leads, and in which term. See scheduler.leader for the model."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    worker_id = models.CharField(max_length=64)
    term = models.BigIntegerField(default=0)
    elected_at = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="schedulerleader_one_row")]

    def __str__(self) -> str:
        return f"{self.worker_id} in term {self.term}"
