"""Jobs, queues and what moves them in the Django admin; `autodiscover` imports this.

Nothing is edited here, not even by platform admins: only services and claims write the state of the queue.
"""

from __future__ import annotations

from jobs.admin.jobs import DeadLetterAdmin, JobAdmin
from jobs.admin.platform import ExecutionLogAdmin, PlatformAdmin, SchedulerLeaderAdmin, WorkerAdmin
from jobs.admin.queues import LimitAdmin, QueueAdmin
from jobs.payloads import JOB_TYPES
from orgs.admin_site import site

__all__ = [
    "DeadLetterAdmin",
    "ExecutionLogAdmin",
    "JobAdmin",
    "LimitAdmin",
    "PlatformAdmin",
    "QueueAdmin",
    "SchedulerLeaderAdmin",
    "WorkerAdmin",
]

site.job_types = tuple(JOB_TYPES)
