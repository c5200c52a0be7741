"""Jobs, attempts, workers and the leader in the Django admin: to look at, and to cancel.

Nothing is edited here, not even by platform admins: only `jobs.services` and `jobs.claims` write the
state of the queue.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from jobs import services, states
from jobs.models import ExecutionLog, Job, Limit, SchedulerLeader, Worker
from orgs import actors, roles, wording
from orgs.admin_scoping import OrgRelatedFilter, OrgScopedAdmin
from orgs.admin_site import site
from orgs.exceptions import SmartQueueError
from orgs.models import User

MOST_CANCELLED = 500


class ReadOnlyAdmin(OrgScopedAdmin):
    """`shown_as` maps a column to the method that shows it to people, in lists and on the row's own page."""

    show_full_result_count = False
    list_per_page = 50
    shown_as: dict[str, str] = {}

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        names = [name for name in super().get_fields(request, obj) if name not in self.shown_as.values()]
        return [self.shown_as.get(str(name), name) for name in names]

    @admin.display(description="predicted runtime", ordering="predicted_runtime_ms")
    def predicted_runtime(self, row: Job | ExecutionLog) -> str:
        return wording.duration(row.predicted_runtime_ms)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Job, site=site)
class JobAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "name",
        "type",
        "lane",
        "queue",
        "status",
        "priority_shown",
        "submitted_by",
        "org",
        "created_at",
        "finished_at",
    )
    list_display_links = ("id", "name")
    list_select_related = ("org",)
    list_filter = ("status", "type", "lane", ("org", OrgRelatedFilter))
    search_fields = ("name",)
    ordering = ("-id",)
    actions = ("cancel_selected",)
    readonly_fields = ("priority_shown", "predicted_runtime", "submitted_by")
    shown_as = {
        "priority": "priority_shown",
        "predicted_runtime_ms": "predicted_runtime",
        "user": "submitted_by",
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        submitter = actors.shown_name(request.user)
        return super().get_queryset(request).annotate(submitter=submitter)

    @admin.display(description="submitted by", empty_value="-")
    def submitted_by(self, job: Job) -> str | None:
        return getattr(job, "submitter", None)

    @admin.display(description="priority", ordering="priority")
    def priority_shown(self, job: Job) -> str:
        return f"{job.priority:.2f}"

    @admin.action(description="Cancel selected jobs", permissions=["view"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """`queryset` holds what the user may see, whatever ids the form named: up to the whole table."""
        assert isinstance(request.user, User)
        unfinished = queryset.filter(status__in=states.ACTIVE).select_related(None).order_by("-id")
        jobs = list(unfinished.only("name", "org_id", "user_id", "status")[:MOST_CANCELLED])
        ended, left = queryset.filter(status__in=states.FINAL).count(), unfinished.count() - len(jobs)
        cancelled, refused = 0, list[str]()
        for job in jobs:
            try:
                services.cancel(job=job, user=request.user)
                cancelled += 1
            except SmartQueueError as error:
                refused.append(f"{job}: {error.message}")
        if cancelled:
            self.message_user(request, f"{cancelled} job(s) cancelled or asked to stop.", messages.SUCCESS)
        if ended:
            refused.insert(0, f"{ended} job(s) had ended already and cannot be cancelled.")
        if left > 0:
            refused.insert(
                0,
                f"{left} job(s) were left: at most {MOST_CANCELLED} are cancelled at once. Select them again.",
            )
        for problem in refused[:10]:
            self.message_user(request, problem, messages.WARNING)


@admin.register(ExecutionLog, site=site)
class ExecutionLogAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "job_name",
        "job_type",
        "attempt",
        "outcome",
        "final",
        "runtime",
        "predicted_runtime",
        "logged_at",
    )
    readonly_fields = ("runtime", "predicted_runtime", "wait")
    shown_as = {
        "runtime_ms": "runtime",
        "predicted_runtime_ms": "predicted_runtime",
        "wait_ms": "wait",
    }
    list_filter = ("outcome", "final", ("org", OrgRelatedFilter))
    search_fields = ("job_name",)
    ordering = ("-id",)

    @admin.display(description="runtime", ordering="runtime_ms")
    def runtime(self, log: ExecutionLog) -> str:
        return wording.duration(log.runtime_ms)

    @admin.display(description="wait", ordering="wait_ms")
    def wait(self, log: ExecutionLog) -> str:
        return wording.duration(log.wait_ms)


@admin.register(Limit, site=site)
class LimitAdmin(ReadOnlyAdmin):
    """To read: limits are set on their page or by the API, which count what runs already."""

    list_display = (
        "scope",
        "name",
        "max_running",
        "rate_count",
        "rate_period_s",
        "max_queued",
        "org",
        "updated_at",
    )
    list_display_links = ("scope", "name")
    list_select_related = ("org",)
    list_filter = ("scope", ("org", OrgRelatedFilter))
    search_fields = ("name",)
    ordering = ("-id",)


class PlatformAdmin(ReadOnlyAdmin):
    """Infrastructure that no organisation owns: for platform admins."""

    view_needs = roles.PLATFORM_READ


@admin.register(Worker, site=site)
class WorkerAdmin(PlatformAdmin):
    list_display = (
        "hostname",
        "pid",
        "status",
        "concurrency",
        "running",
        "wanted",
        "jobs_processed",
        "started_at",
        "last_seen",
    )
    list_filter = ("status",)
    search_fields = ("hostname",)


@admin.register(SchedulerLeader, site=site)
class SchedulerLeaderAdmin(PlatformAdmin):
    list_display = ("worker_id", "term", "elected_at", "last_seen")
