"""Queues and limits in the Django admin: what waits and runs in each, and whether it is held back.

The services of `jobs.control` pause and resume; limits are set on their page of the dashboard, which counts what runs.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Case, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.decorators import action

from jobs import control, limits, queue_list
from jobs.models import Limit, Queue
from orgs import roles
from orgs.admin_base import (
    LoadedChangeList,
    Question,
    ReadOnlyAdmin,
    actor,
    ask,
    chosen,
    do_each,
    is_confirmed,
    named,
)
from orgs.admin_scoping import OrgRelatedFilter
from orgs.admin_shown import admin_link, link, moment, state
from orgs.admin_site import site
from orgs.models import Organization
from orgs.wording import counted, duration


@admin.register(Queue, site=site)
class QueueAdmin(ReadOnlyAdmin):
    list_display = ("queue", "waiting", "running", "held", "jobs_link", "org")
    list_select_related = ("org",)
    list_filter = (("org", OrgRelatedFilter),)
    search_fields = ("queue",)
    search_help_text = "Name of the queue"
    ordering = ("org_id", "queue")
    fields = ("queue", "org", "waiting", "running", "held", "jobs_link")
    readonly_fields = ("waiting", "running", "held", "jobs_link")
    actions = ("pause_selected", "resume_selected")
    empty_list = "No queue yet: a queue is there from its first job on."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(pk__in=list(queue_list.first_flows(actor(request))))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        self.load([found] if found is not None else [])
        return found

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[LoadedChangeList]:
        return LoadedChangeList

    def load(self, rows: list[Any]) -> None:
        """Called with the rows of a page: what is in their queues, in two statements for all."""
        found = queue_list.loads(rows)
        for row in rows:
            row.load = found[row.pk]

    @admin.display(description="jobs waiting")
    def waiting(self, queue: Any) -> str:
        most = queue_list.MOST_COUNTED
        return f"{queue.load.waiting:,}" + (" or more" if queue.load.waiting >= most else "")

    @admin.display(description="jobs running")
    def running(self, queue: Any) -> str:
        return f"{queue.load.running:,}"

    @admin.display(description="state")
    def held(self, queue: Any) -> SafeString | str:
        pause = queue.load.pause
        if pause is None:
            return state("open", "done")
        if pause.queue is not None:
            return state("paused", "scheduled")
        return state(
            "paused with the organisation" if pause.org_id else "paused with the platform", "scheduled"
        )

    @admin.display(description="jobs")
    def jobs_link(self, queue: Queue) -> SafeString:
        return admin_link("jobs_job_changelist", "its jobs", query="?" + urlencode({"in_queue": queue.queue}))

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return self._may(request, roles.QUEUES_PAUSE, None)

    @admin.action(description="Pause", permissions=["pause"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Queue]) -> HttpResponse | None:
        user = actor(request)
        queues, _ = chosen(queryset)
        text = "No worker takes a job from them until they are resumed; jobs that run go on."
        if not is_confirmed(request):
            return ask(self, request, _question("Pause queues", text, "Pause", queues))
        do_each(
            self,
            request,
            queues,
            lambda queue: control.pause(user=user, org=_org(queue), queue=queue.queue),
            "{} queue(s) paused.",
        )
        return None

    @admin.action(description="Resume", permissions=["pause"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Queue]) -> HttpResponse | None:
        user = actor(request)
        found = [(queue, queue_list.own_pause(queue.org_id, queue.queue)) for queue in chosen(queryset)[0]]
        paused = {queue: pause for queue, pause in found if pause is not None}
        if not is_confirmed(request):
            notes = []
            if others := len(found) - len(paused):
                notes.append(f"{others:,} of the selected queues have no pause of their own.")
            text = "Workers take their jobs again."
            return ask(self, request, _question("Resume queues", text, "Resume", list(paused), notes))
        do_each(
            self,
            request,
            paused,
            lambda queue: control.resume(user=user, pause=paused[queue]),
            "{} queue(s) resumed.",
        )
        return None


@admin.register(Limit, site=site)
class LimitAdmin(ReadOnlyAdmin):
    """To read: limits are set on their page or by the API, which count what runs already."""

    list_display = ("of", "running", "begin", "waiting", "changed", "org")
    list_select_related = ("org",)
    list_filter = ("scope", ("org", OrgRelatedFilter))
    search_fields = ("name",)
    search_help_text = "Name of a queue or of a concurrency key"
    ordering = ("org_id", "scope", "name")
    fields = ("of", "org", "running", "begin", "waiting", "changed", "change_link")
    readonly_fields = ("of", "running", "begin", "waiting", "changed", "change_link")
    actions_list = ("set_limit",)
    empty_list = "No limits: any number of jobs may run and begin at once. Set one on the Limits page of the dashboard."

    @action(description="Limits page", icon="tune")
    def set_limit(self, request: HttpRequest) -> HttpResponse:
        return _to_limits()

    @admin.display(
        description="limit of",
        ordering=Case(When(scope="org", then=0), When(scope="queue", then=1), default=2),
    )
    def of(self, limit: Limit) -> str:
        words = limits.target_of(limit.scope, limit.name)
        return words[0].upper() + words[1:]

    @admin.display(description="jobs running, at most", ordering="max_running")
    def running(self, limit: Limit) -> str:
        return "any number" if limit.max_running is None else f"{limit.max_running:,}"

    @admin.display(description="jobs that may begin")
    def begin(self, limit: Limit) -> str:
        return _rate(limit) or "any number"

    @admin.display(description="jobs waiting, at most", ordering="max_queued")
    def waiting(self, limit: Limit) -> str:
        return "any number" if limit.max_queued is None else f"{limit.max_queued:,}"

    @admin.display(description="changed (UTC)", ordering="updated_at")
    def changed(self, limit: Limit) -> str:
        return moment(limit.updated_at)

    @admin.display(description="change it")
    def change_link(self, limit: Limit) -> SafeString:
        return link(reverse("page-limits"), "on the Limits page of the dashboard")


def _question(
    title: str, text: str, button: str, queues: list[Queue], notes: list[str] | None = None
) -> Question:
    return Question(
        title,
        text,
        button,
        ids=[queue.pk for queue in queues],
        named=named(queues),
        notes=notes or ([] if queues else ["None of them can be chosen for this."]),
    )


def _rate(limit: Limit) -> str:
    if limit.rate_count is None or limit.rate_period_s is None:
        return ""
    return f"{counted(limit.rate_count, 'job')} in {duration(limit.rate_period_s * 1000)}"


def _to_limits() -> HttpResponse:
    return redirect("page-limits")


def _org(queue: Queue) -> Organization:
    return Organization.objects.get(pk=queue.org_id)
