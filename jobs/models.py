"""What the queue keeps: jobs, their attempts, events and output, the workers and the leader.

Rows of a job's life are written by `jobs.services` and `jobs.claims` only. Constraints hold the
invariants; each partial index names the one query that it serves.
"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from jobs import ordering, states
from jobs.eta_models import Eta, EtaCorrection, EtaScore
from jobs.limit_models import Gate, GateOpening, Limit, Share
from jobs.org_models import OrgModel, WrittenByQueue
from jobs.payloads import JOB_TYPES
from jobs.transactions import CurrentTransaction
from orgs.models import Organization, User
from orgs.scoping import OrgManager

__all__ = [
    "Eta",
    "EtaCorrection",
    "EtaScore",
    "Gate",
    "GateOpening",
    "Limit",
    "OrgModel",
    "Share",
    "WrittenByQueue",
]

DEFAULT_QUEUE = "default"


class Flow(OrgModel):
    """The jobs of one organisation, queue, type and concurrency key: what the claim takes from, in the order of rank.

    Limits stop whole flows, so that a claim never looks for a job among those that have to wait.
    """

    queue = models.CharField(max_length=60)
    type = models.CharField(max_length=20)
    key = models.CharField(max_length=200, default="", db_default="")  # empty: none

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "queue", "type", "key"], name="flow_unique")]

    def __str__(self) -> str:
        return f"{self.queue}, {self.type}"


class Job(OrgModel):
    """One piece of work. `attempt` numbers its claims and is the fence: who finishes must still hold it."""

    was_created: bool = True  # set by services.submit: False when an idempotency key found an earlier job

    # No index on user: each one costs every claim and finish a write, and only a user's removal would read it.
    # No constraint on user, flow and replay_of: the one INSERT takes them from rows that it has read, and
    # each check would lock a row that all of an organisation's submissions share.
    user = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False, db_constraint=False
    )
    flow = models.ForeignKey(
        Flow, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    queue = models.CharField(max_length=60, default=DEFAULT_QUEUE)
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
    predicted_low_ms = models.FloatField(null=True)  # with predicted_high_ms the 80 % interval
    predicted_high_ms = models.FloatField(null=True)
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
    queued_xid = models.BigIntegerField(db_default=CurrentTransaction())  # the transaction that queued it
    soft_timeout_s = models.FloatField(null=True)
    memory_mb = models.IntegerField(null=True)
    cpu_s = models.FloatField(null=True)
    retry_policy: models.JSONField[Any, Any] = models.JSONField(null=True)
    concurrency_key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - NULL: shares with nobody
    gates = ArrayField(models.BigIntegerField(), null=True)  # that the last attempt counted in
    tags = ArrayField(models.CharField(max_length=60), default=list, db_default=[])
    replay_of = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="replays",
        db_index=False,
        db_constraint=False,
    )
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
            models.UniqueConstraint(
                fields=["org", "idempotency_key"],
                name="job_idempotency_key_unique",
                condition=Q(idempotency_key__isnull=False),
            ),
        ]
        indexes = [
            # claims.claim: the head of each flow, and what was queued since the last look. A plan that was made
            # while the queue was empty finds both indexes equally cheap for the second question, and would
            # read the whole queue from the first ever after. The condition on rank, which every job meets, is
            # one that this question does not imply.
            models.Index(
                fields=["flow", "rank", "id"],
                name="job_head_of_flow",
                condition=Q(status=states.QUEUED, rank__gt=float("-inf")),
            ),
            models.Index(fields=["queued_xid"], name="job_arrivals", condition=Q(status=states.QUEUED)),
            # reclaims.promote_due.
            models.Index(fields=["run_at"], name="job_due", condition=Q(status=states.SCHEDULED)),
            # reclaims.reclaim_expired.
            models.Index(fields=["lease_expires_at"], name="job_leases", condition=Q(status=states.RUNNING)),
            # selectors: a page of an organisation's jobs, newest first, all or of one status. Most jobs are
            # done, so a page of those is read from the first of the two, and no finish has to write both.
            # With lane and type the second also counts the unfinished ones without reading a job.
            models.Index(fields=["org", "-id"], name="job_of_org"),
            models.Index(
                fields=["org", "status", "-id"],
                name="job_of_org_not_done",
                include=["lane", "type"],
                condition=~Q(status=states.DONE),
            ),
            # housekeeping: idempotency keys that have outlived their time.
            models.Index(
                fields=["created_at"], name="job_keys_by_age", condition=Q(idempotency_key__isnull=False)
            ),
            # selectors: jobs with a tag, and the replays of a job.
            GinIndex(fields=["tags"], name="job_tags", condition=~Q(tags=[])),
            models.Index(fields=["replay_of"], name="job_replays", condition=Q(replay_of__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.name} (job {self.pk})"

    @property
    def is_final(self) -> bool:
        return self.status in states.FINAL


class ExecutionLog(WrittenByQueue):
    """One ended attempt. `final` marks the one that settled the job: at most one per job."""

    OUTCOMES = ("done", "failed", "timeout", "cancelled", "crashed", "lost")

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="executions", db_index=False, db_constraint=False
    )
    attempt = models.IntegerField()
    outcome = models.CharField(max_length=10, choices=[(name, name) for name in OUTCOMES])
    final = models.BooleanField(default=False)
    runtime_ms = models.FloatField()
    wait_ms = models.FloatField()
    predicted_runtime_ms = models.FloatField(null=True)
    predicted_low_ms = models.FloatField(null=True)  # with predicted_high_ms the 80 % interval
    predicted_high_ms = models.FloatField(null=True)
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


class JobEvent(WrittenByQueue):
    """One transition, written in the transaction that made it."""

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="events", db_index=False, db_constraint=False
    )
    old_status = models.CharField(max_length=10, default="")
    new_status = models.CharField(max_length=10)
    reason = models.CharField(max_length=200)
    actor = models.CharField(max_length=100)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["job", "id"], name="jobevent_of_job")]

    def __str__(self) -> str:
        return f"job {self.job_id}: {self.old_status} -> {self.new_status}"


class LogLine(WrittenByQueue):
    """One line of a job's output."""

    STREAMS = ("stdout", "stderr", "system")

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="lines", db_index=False, db_constraint=False
    )
    attempt = models.IntegerField()
    seq = models.IntegerField()
    stream = models.CharField(max_length=10, choices=[(name, name) for name in STREAMS])
    text = models.TextField()
    logged_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "attempt", "seq"], name="logline_order")]

    def __str__(self) -> str:
        return self.text


class Pause(models.Model):
    """Flows that no worker may take from: those of this org, queue and type, each NULL standing for any."""

    org = models.ForeignKey(Organization, null=True, on_delete=models.CASCADE, related_name="+")
    queue = models.CharField(max_length=60, null=True)  # noqa: DJ001 - NULL: any
    type = models.CharField(max_length=20, null=True)  # noqa: DJ001 - NULL: any
    suspension = models.BooleanField(default=False, db_default=False)  # of the whole org, by the platform
    reason = models.CharField(max_length=200, default="")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = OrgManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["org", "queue", "type", "suspension"], name="pause_unique", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        parts = [f"{name} {value}" for name, value in (("queue", self.queue), ("type", self.type)) if value]
        return "paused: " + (", ".join(parts) or "everything")


class Replay(OrgModel):
    """Dead letters being submitted again at a rate; the leader works it off in the order of job ids."""

    ACTIVE, DONE, CANCELLED = "active", "done", "cancelled"

    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    filter = models.JSONField(default=dict)
    rate_per_s = models.FloatField()
    status = models.CharField(max_length=10, default=ACTIVE)
    last_job_id = models.BigIntegerField(default=0)
    up_to_job_id = models.BigIntegerField()
    replayed = models.IntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    advanced_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=("active", "done", "cancelled")), name="replay_status_known"
            ),
            models.CheckConstraint(condition=Q(rate_per_s__gt=0), name="replay_rate_positive"),
        ]
        indexes = [
            models.Index(fields=["id"], name="replay_active", condition=Q(status="active")),
            models.Index(fields=["org", "-id"], name="replay_of_org"),
        ]

    def __str__(self) -> str:
        return f"replay {self.pk}: {self.status}, {self.replayed} jobs"


class Worker(models.Model):
    """One start of one worker process; a restart is a new row."""

    ACTIVE, STOPPING, STOPPED, LOST = "active", "stopping", "stopped", "lost"
    STATUSES = (ACTIVE, STOPPING, STOPPED, LOST)
    RUN, PAUSE, DRAIN = "run", "pause", "drain"
    WANTED = (RUN, PAUSE, DRAIN)

    worker_id = models.CharField(max_length=64, primary_key=True)
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    status = models.CharField(max_length=10, choices=[(name, name) for name in STATUSES], default=ACTIVE)
    concurrency = models.IntegerField()
    types = ArrayField(models.CharField(max_length=20), default=list, db_default=[])
    queues = ArrayField(models.CharField(max_length=60), null=True)  # NULL: all
    wanted = models.CharField(
        max_length=10, choices=[(name, name) for name in WANTED], default=RUN, db_default=RUN
    )
    lock_key = models.BigIntegerField(null=True)  # of the advisory lock that its listening session holds
    running = models.IntegerField(default=0)
    jobs_processed = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=("active", "stopping", "stopped", "lost")), name="worker_status_known"
            ),
            models.CheckConstraint(
                condition=Q(wanted__in=("run", "pause", "drain")), name="worker_wanted_known"
            ),
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


from jobs.proxy_models import DeadLetter, Queue  # noqa: E402, F401 - Django looks for models here
