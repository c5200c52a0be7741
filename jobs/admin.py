"""Jobs, attempts, workers and the leader in the Django admin: to look at, and to cancel.

Nothing is edited here, not even by platform admins: only `jobs.services` and `jobs.claims` write the
state of the queue.
"""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from jobs import services
from jobs.models import ExecutionLog, Job, SchedulerLeader, Worker
from orgs import roles
from orgs.admin_scoping import OrgRelatedFilter, OrgScopedAdmin
from orgs.admin_site import site
from orgs.exceptions import SmartQueueError
from orgs.models import User


class ReadOnlyAdmin(OrgScopedAdmin):
    show_full_result_count = False
    list_per_page = 50

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
        "status",
        "priority",
        "user",
        "org",
        "created_at",
        "finished_at",
    )
    list_display_links = ("id", "name")
    list_select_related = ("user", "org")
    list_filter = ("status", "type", "lane", ("org", OrgRelatedFilter))
    search_fields = ("name",)
    ordering = ("-id",)
    actions = ("cancel_selected",)

    @admin.action(description="Cancel selected jobs", permissions=["view"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """`queryset` holds what the user may see, whatever ids the form named."""
        assert isinstance(request.user, User)
        cancelled, refused = 0, list[str]()
        for job in queryset:
            try:
                services.cancel(job=job, user=request.user)
                cancelled += 1
            except SmartQueueError as error:
                refused.append(f"{job}: {error.message}")
        if cancelled:
            self.message_user(request, f"{cancelled} job(s) cancelled or asked to stop.", messages.SUCCESS)
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
        "runtime_ms",
        "predicted_runtime_ms",
        "logged_at",
    )
    list_filter = ("outcome", "final", ("org", OrgRelatedFilter))
    search_fields = ("job_name",)
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
        "jobs_processed",
        "started_at",
        "last_seen",
    )
    list_filter = ("status",)
    search_fields = ("hostname",)


@admin.register(SchedulerLeader, site=site)
class SchedulerLeaderAdmin(PlatformAdmin):
    list_display = ("worker_id", "term", "elected_at", "last_seen")
