"""Jobs and dead letters in the Django admin: to look at, to cancel and to replay. Nobody edits or deletes one.

A history has millions of rows. Lists of one state or none are read from an index and counted up to a bound; any other
filter, and the search by name, look at the newest REACH jobs only, and the page says so.
"""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin import DateFieldListFilter, SimpleListFilter
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action

from jobs import queue_list, replays, services, states
from jobs.models import DeadLetter, Job
from jobs.page_selectors import runtime_ms
from orgs import actors, roles, wording
from orgs.admin_base import (
    Question,
    ReadOnlyAdmin,
    actor,
    ask,
    chosen,
    do_each,
    is_confirmed,
    named,
    row_page,
)
from orgs.admin_scoping import OrgRelatedFilter
from orgs.admin_shown import admin_link, link, moment, state
from orgs.admin_site import site
from orgs.wording import duration

REACH = 100_000
LONGEST_ERROR = 160
# What a list does not show, and may be large.
_HEAVY = ("payload", "result", "error_msg")
_CONTENT = ("payload_shown", "result_shown", "error")
_INDEXED = {"status", "status__exact", "org__id__exact"}
_NOT_FILTERS = {"p", "q", "all", "e", "_facets", "_popup", "_to_field"}
_BIGGEST_ID = 2**63 - 1


class QueueFilter(SimpleListFilter):
    """Its parameter is no column's name: those are looked at as free lookups first."""

    title = "queue"
    parameter_name = "in_queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in queue_list.names(actor(request))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(queue=self.value()) if self.value() else queryset


class JobsAdmin(ReadOnlyAdmin):
    """What jobs and dead letters have in common. `heavy` columns are not read for lists."""

    heavy: tuple[str, ...] = _HEAVY
    view_needs = roles.ORG_ADMINISTER
    list_display_links = ("id", "name")
    list_select_related = ("org",)
    search_fields = ("name",)
    search_help_text = f"Id, tag, or part of the name (newest {REACH:,})"
    ordering = ("-id",)
    sortable_by = ("id", "created")
    fields = (
        "name", "id", "org", "state_shown", "type", "lane", "queue", "tags_shown", "concurrency_key", "submitted_by",
        "created", "started", "finished", "took", "predicted_runtime", "priority_shown", "attempts", "replays_shown",
        "payload_shown", "result_shown", "error", "on_dashboard",
    )  # fmt: skip
    readonly_fields = (
        "state_shown", "tags_shown", "submitted_by", "created", "started", "finished", "took", "predicted_runtime",
        "priority_shown", "attempts", "replays_shown", "payload_shown", "result_shown", "error", "on_dashboard",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).annotate(submitter=actors.shown_name(request.user))
        return rows if request.resolver_match and request.resolver_match.kwargs else rows.defer(*self.heavy)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        shown = self.fields if actor(request).may(roles.JOBS_CONTENT) else _without(self.fields, _CONTENT)
        return list(shown)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        shown = super().get_list_display(request)
        return shown if actor(request).may(roles.JOBS_CONTENT) else _without(shown, _CONTENT)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if term:
            queryset = queryset.filter(self._found_by(request, term))
        elif _needs_reach(request):
            queryset = queryset.filter(pk__gt=self._behind(request))
        return queryset, False

    def _found_by(self, request: HttpRequest, term: str) -> Q:
        found = Q(name__icontains=term, pk__gt=self._behind(request)) | Q(tags__contains=[term]) & ~Q(tags=[])
        if term.isdecimal() and int(term[:19]) <= _BIGGEST_ID and len(term) <= 19:
            found |= Q(pk=int(term))
        return found

    def _behind(self, request: HttpRequest) -> int:
        """The id of the newest job that is beyond the reach; 0 where all are within it."""
        rows = Job.objects.for_user(actor(request)).order_by("-pk").values_list("pk", flat=True)
        return next(iter(rows[REACH : REACH + 1]), 0)

    @admin.display(description="status", ordering="status")
    def state_shown(self, job: Job) -> SafeString:
        return state(job.status)

    @admin.display(description="submitted by", empty_value="\N{EN DASH}")
    def submitted_by(self, job: Job) -> str | None:
        return getattr(job, "submitter", None)

    @admin.display(description="submitted (UTC)", ordering="id")
    def created(self, job: Job) -> str:
        return moment(job.created_at)

    @admin.display(description="started (UTC)")
    def started(self, job: Job) -> str:
        return moment(job.started_at)

    @admin.display(description="ended (UTC)")
    def finished(self, job: Job) -> str:
        return moment(job.finished_at)

    @admin.display(description="ran for")
    def took(self, job: Job) -> str:
        return duration(None if job.finished_at is None else runtime_ms(job, job.finished_at))

    @admin.display(description="predicted runtime")
    def predicted_runtime(self, job: Job) -> str:
        return duration(job.predicted_runtime_ms)

    @admin.display(description="priority (0 to 1)")
    def priority_shown(self, job: Job) -> str:
        return f"{job.priority:.2f}"

    @admin.display(description="attempts")
    def attempts(self, job: Job) -> SafeString | str:
        text = f"{job.attempt} of {max(job.attempt, job.max_retries + 1)}"
        return admin_link("jobs_executionlog_changelist", text, query=f"?q={job.pk}") if job.attempt else text

    @admin.display(description="tags")
    def tags_shown(self, job: Job) -> str:
        return ", ".join(job.tags) or wording.NOTHING

    @admin.display(description="replays")
    def replays_shown(self, job: Job) -> SafeString | str:
        if job.replay_of_id:
            return admin_link("jobs_job_change", f"replays job {job.replay_of_id}", job.replay_of_id)
        return wording.NOTHING

    @admin.display(description="payload")
    def payload_shown(self, job: Job) -> SafeString:
        return _as_json(job.payload)

    @admin.display(description="result")
    def result_shown(self, job: Job) -> SafeString | str:
        return wording.NOTHING if job.result is None else _as_json(job.result)

    @admin.display(description="error")
    def error(self, job: Job) -> str:
        return wording.shortened(job.error_msg, LONGEST_ERROR) or wording.NOTHING

    @admin.display(description="more")
    def on_dashboard(self, job: Job) -> SafeString:
        return link(reverse("page-job", args=[job.pk]), "Output, attempts and events on the dashboard")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self._may(request, roles.JOBS_CANCEL_ANY, None)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return self._may(request, roles.JOBS_REPLAY_MANY, None)

    @admin.action(description="Replay", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        user = actor(request)
        jobs, more = chosen(queryset.filter(status__in=states.FINAL), only=("name", "org_id", "status"))
        if not is_confirmed(request):
            going = queryset.filter(status__in=states.ACTIVE)[: REACH + 1].count()
            notes = _left_out(more, "replayed", going, "not ended yet and cannot be replayed")
            text = "Each is submitted again as a new job, with the payload and the settings of the first one."
            question = Question("Replay jobs", text, "Replay", ids=_ids(jobs), named=named(jobs), notes=notes)
            return ask(self, request, question)
        do_each(
            self, request, jobs, lambda job: replays.replay(job=job, user=user), "{} job(s) submitted again."
        )
        return None


@admin.register(Job, site=site)
class JobAdmin(JobsAdmin):
    list_display = (
        "id", "name", "state_shown", "type", "lane", "queue", "predicted_runtime", "took", "submitted_by", "created",
        "org",
    )  # fmt: skip
    list_filter = (
        "status",
        "type",
        "lane",
        QueueFilter,
        ("created_at", DateFieldListFilter),
        ("org", OrgRelatedFilter),
    )
    actions = ("cancel_selected", "replay_selected")
    actions_detail = ("cancel_one", "replay_one")
    empty_list = "No job has been submitted yet. Jobs come in by the API, the dashboard and the command line."

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        job = self.get_object(request, str(object_id))
        wanted = "replay_one" if isinstance(job, Job) and job.is_final else "cancel_one"
        found = super().get_actions_detail(request, object_id)
        return [one for one in found if one.method.original_function_name == wanted]

    @action(description="Cancel", icon="cancel")
    def cancel_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(job: Job) -> str:
            services.cancel(job=job, user=actor(request))
            return f"{job} is cancelled, or asked to stop."

        text = "A job that waits is cancelled at once; the worker of one that runs is asked to stop it."
        return row_page(
            self,
            request,
            object_id,
            lambda job: Question(f"Cancel {job}", text, "Cancel the job", danger=True),
            do,
            needs=roles.JOBS_CANCEL_ANY,
        )

    @action(description="Replay", icon="replay")
    def replay_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(job: Job) -> str:
            return f"Submitted again as {replays.replay(job=job, user=actor(request))}."

        text = "It is submitted again as a new job, with the payload and the settings of this one."
        return row_page(
            self,
            request,
            object_id,
            lambda job: Question(f"Replay {job}", text, "Replay"),
            do,
            needs=roles.JOBS_SUBMIT,
        )

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """`queryset` holds what the user may see, whatever ids the form named: up to the whole table."""
        user = actor(request)
        unfinished = queryset.filter(status__in=states.ACTIVE)
        jobs, more = chosen(unfinished, only=("name", "org_id", "user_id", "status"))
        if not is_confirmed(request):
            ended = queryset.filter(status__in=states.FINAL)[: REACH + 1].count()
            notes = _left_out(more, "cancelled", ended, "ended already and cannot be cancelled")
            text = (
                "Jobs that wait are cancelled at once; the workers of those that run are asked to stop them."
            )
            question = Question(
                "Cancel jobs",
                text,
                "Cancel the jobs",
                danger=True,
                ids=_ids(jobs),
                named=named(jobs),
                notes=notes,
            )
            return ask(self, request, question)
        do_each(
            self,
            request,
            jobs,
            lambda job: services.cancel(job=job, user=user),
            "{} job(s) cancelled or asked to stop.",
        )
        return None


@admin.register(DeadLetter, site=site)
class DeadLetterAdmin(JobsAdmin):
    """The jobs that failed for good."""

    heavy = ("payload", "result")
    list_display = ("id", "name", "type", "queue", "error", "attempts", "submitted_by", "finished", "org")
    list_filter = ("type", QueueFilter, ("finished_at", DateFieldListFilter), ("org", OrgRelatedFilter))
    actions = ("replay_selected",)
    empty_list = "No dead letters: every job that ended went well or was cancelled."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(status=states.FAILED)


def _needs_reach(request: HttpRequest) -> bool:
    """Whether a filter or an order is asked for that no index serves."""
    return bool(set(request.GET) - _INDEXED - _NOT_FILTERS)


def _without(names: Any, hidden: Any) -> list[Any]:
    return [name for name in names if name not in hidden]


def _ids(jobs: list[Any]) -> list[int]:
    return [job.pk for job in jobs]


def _left_out(more: int, done: str, others: int, why: str) -> list[str]:
    notes = []
    if others:
        notes.append(f"{others:,} job(s) have {why}.")
    if more > 0:
        notes.append(f"{more:,} job(s) are left: no more are {done} at once. Select them again afterwards.")
    return notes


def _as_json(value: Any) -> SafeString:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre class="sq-json">{}</pre>', text)
