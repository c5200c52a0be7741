"""Attempts, workers and the leader in the Django admin. Nobody edits them: only the queue writes them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import DateFieldListFilter
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from jobs import selectors
from jobs.models import ExecutionLog, SchedulerLeader, Worker
from orgs import roles
from orgs.admin_base import ReadOnlyAdmin, actor
from orgs.admin_scoping import OrgRelatedFilter
from orgs.admin_shown import admin_link, moment, state
from orgs.admin_site import site
from orgs.wording import age, duration

REACH = 100_000
_INDEXED = {"p", "all", "e", "_facets", "_popup", "_to_field", "org__id__exact"}


@admin.register(ExecutionLog, site=site)
class ExecutionLogAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "job_link", "job_type", "attempt", "outcome_shown", "final", "runtime", "predicted_runtime", "wait",
        "logged",
    )  # fmt: skip
    list_display_links = ("id",)
    readonly_fields = ("job_link", "outcome_shown", "runtime", "predicted_runtime", "wait", "logged")
    fields = (
        "job_link", "org", "job_type", "lane", "attempt", "outcome_shown", "final", "runtime", "predicted_runtime",
        "wait", "worker_id", "error_msg", "logged",
    )  # fmt: skip
    list_filter = ("outcome", "final", ("logged_at", DateFieldListFilter), ("org", OrgRelatedFilter))
    search_fields = ("job_name",)
    search_help_text = f"Id of the job, or part of its name (newest {REACH:,})"
    ordering = ("-id",)
    sortable_by = ("id", "logged")
    empty_list = "No attempt has ended yet."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        of_one = request.resolver_match and request.resolver_match.kwargs
        return rows if of_one else rows.defer("error_msg")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        hidden = () if actor(request).may(roles.JOBS_CONTENT) else ("error_msg",)
        return [name for name in self.fields if name not in hidden]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term and not set(request.GET) - _INDEXED:
            return queryset, False
        rows = ExecutionLog.objects.for_user(actor(request)).order_by("-pk").values_list("pk", flat=True)
        found = Q(pk__gt=next(iter(rows[REACH : REACH + 1]), 0))
        if term:
            found &= Q(job_name__icontains=term)
        if term.isdecimal() and len(term) < 19:
            found |= Q(job=int(term))
        return queryset.filter(found), False

    @admin.display(description="job")
    def job_link(self, log: ExecutionLog) -> SafeString:
        return admin_link("jobs_job_change", f"{log.job_name} (job {log.job_id})", log.job_id)

    @admin.display(description="outcome", ordering="outcome")
    def outcome_shown(self, log: ExecutionLog) -> SafeString:
        return state(log.outcome)

    @admin.display(description="runtime", ordering="runtime_ms")
    def runtime(self, log: ExecutionLog) -> str:
        return duration(log.runtime_ms)

    @admin.display(description="predicted runtime", ordering="predicted_runtime_ms")
    def predicted_runtime(self, log: ExecutionLog) -> str:
        return duration(log.predicted_runtime_ms)

    @admin.display(description="waited", ordering="wait_ms")
    def wait(self, log: ExecutionLog) -> str:
        return duration(log.wait_ms)

    @admin.display(description="ended (UTC)", ordering="id")
    def logged(self, log: ExecutionLog) -> str:
        return moment(log.logged_at)


class PlatformAdmin(ReadOnlyAdmin):
    """Infrastructure that no organisation owns: for platform admins."""

    view_needs = roles.PLATFORM_READ


@admin.register(Worker, site=site)
class WorkerAdmin(ReadOnlyAdmin):
    """For everybody who comes in: workers hold nothing of an organisation."""

    view_needs = roles.JOBS_READ
    list_display = ("host", "state_shown", "told", "load", "takes", "done", "started", "seen")
    list_filter = ("status", "wanted")
    search_fields = ("hostname",)
    search_help_text = "Name of the host"
    ordering = ("-started_at",)
    fields = (
        "host",
        "worker_id",
        "state_shown",
        "told",
        "load",
        "takes",
        "from_queues",
        "done",
        "started",
        "seen",
    )
    readonly_fields = (
        "host",
        "state_shown",
        "told",
        "load",
        "takes",
        "from_queues",
        "done",
        "started",
        "seen",
    )
    empty_list = "No worker has ever started. Start one with: python manage.py runworker"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Those of the Workers page of the dashboard, to all who may see that."""
        found: QuerySet[Any] = (
            selectors.workers() if actor(request).may(roles.JOBS_READ) else Worker.objects.none()
        )
        return found

    def _may(self, request: HttpRequest, action: str, obj: Model | None) -> bool:
        # The login page asks, too.
        return request.user.is_authenticated and request.user.may(action)

    @admin.display(description="host and process", ordering="hostname")
    def host(self, worker: Worker) -> str:
        return str(worker)

    @admin.display(description="state")
    def state_shown(self, worker: Any) -> SafeString:
        return state(worker.state)

    @admin.display(description="told to", ordering="wanted")
    def told(self, worker: Worker) -> str:
        return worker.wanted

    @admin.display(description="jobs at once", ordering="running")
    def load(self, worker: Worker) -> str:
        return f"{worker.running:,} of {worker.concurrency:,}"

    @admin.display(description="job types")
    def takes(self, worker: Worker) -> str:
        return ", ".join(worker.types) or "all"

    @admin.display(description="queues")
    def from_queues(self, worker: Worker) -> str:
        return "all" if worker.queues is None else ", ".join(worker.queues)

    @admin.display(description="jobs done", ordering="jobs_processed")
    def done(self, worker: Worker) -> str:
        return f"{worker.jobs_processed:,}"

    @admin.display(description="started (UTC)", ordering="started_at")
    def started(self, worker: Worker) -> str:
        return moment(worker.started_at)

    @admin.display(description="last heard of", ordering="last_seen")
    def seen(self, worker: Worker) -> str:
        return age((timezone.now() - worker.last_seen).total_seconds())


@admin.register(SchedulerLeader, site=site)
class SchedulerLeaderAdmin(PlatformAdmin):
    list_display = ("worker_id", "term", "elected", "seen")
    fields = ("worker_id", "term", "elected", "seen")
    readonly_fields = ("elected", "seen")
    empty_list = "No scheduler has been elected yet. Start one with: python manage.py runscheduler"

    @admin.display(description="elected (UTC)")
    def elected(self, leader: SchedulerLeader) -> str:
        return moment(leader.elected_at)

    @admin.display(description="last heard of")
    def seen(self, leader: SchedulerLeader) -> str:
        return age((timezone.now() - leader.last_seen).total_seconds())
