"""The live parts of the jobs pages, and the sockets that send them (smartqueue.asgi routes to them)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import QueryDict
from django.urls import path

from jobs import (
    control_page_selectors,
    eta_page_selectors,
    explain_page_selectors,
    job_page_selectors,
    limit_page_selectors,
    page_selectors,
    replay_page_selectors,
    worker_page_selectors,
)
from jobs.forms import ListFilter
from orgs import roles
from orgs.live import LiveView, OrgConsumer
from orgs.models import User


class JobsLive(LiveView):
    """The list: what is paused and replayed, states with counts, and one page of jobs."""

    action_needed = roles.JOBS_READ
    fragments: ClassVar = {
        "pauses": "jobs/_pauses.html",
        "replays": "jobs/_replays.html",
        "tabs": "jobs/_tabs.html",
        "table": "jobs/_table.html",
    }

    def load(self, user: User, query: QueryDict, **kwargs: Any) -> dict[str, Any]:
        wanted = page_selectors.wanted_from(ListFilter(query))
        return {
            "pauses": control_page_selectors.pauses(user),
            "replays": replay_page_selectors.replays(user),
            "tabs": page_selectors.tabs(user, wanted),
            "table": page_selectors.table(user, wanted),
        }


class JobLive(LiveView):
    """One job; looked at once a second, for a new line sends the shown output again."""

    action_needed = roles.JOBS_READ
    min_interval_s = 1.0
    fragments: ClassVar = {
        "header": "jobs/_header.html",
        "explain": "jobs/_explain.html",
        "eta": "jobs/_eta.html",
        "facts": "jobs/_facts.html",
        "output": "jobs/_output.html",
        "result": "jobs/_result.html",
        "attempts": "jobs/_attempts.html",
        "timeline": "jobs/_timeline.html",
    }

    def load(self, user: User, query: QueryDict, **kwargs: Any) -> dict[str, Any]:
        job = job_page_selectors.job(user, kwargs["job_id"])
        return {
            "header": job_page_selectors.header(user, job),
            "explain": explain_page_selectors.explained(user, job),
            "eta": eta_page_selectors.expected(job),
            "facts": job_page_selectors.facts(user, job),
            "output": job_page_selectors.output(user, job),
            "result": job_page_selectors.result(user, job),
            "attempts": job_page_selectors.attempts(user, job),
            "timeline": job_page_selectors.timeline(user, job),
        }


class WorkersLive(LiveView):
    """The worker pool and the leader, shared by all organisations, and what is paused of the reader's."""

    action_needed = roles.JOBS_READ
    fragments: ClassVar = {
        "pauses": "jobs/_pauses.html",
        "leader": "jobs/_leader.html",
        "pool": "jobs/_pool.html",
    }

    def load(self, user: User, query: QueryDict, **kwargs: Any) -> dict[str, Any]:
        return {
            "pauses": control_page_selectors.pauses(user),
            "leader": worker_page_selectors.leader(),
            "pool": worker_page_selectors.pool(user),
        }


class LimitsLive(LiveView):
    """The limits with their use, which is counted once a second at most, and the reader's share."""

    action_needed = roles.JOBS_READ
    min_interval_s = 1.0
    fragments: ClassVar = {"share": "jobs/_share.html", "limits": "jobs/_limits.html"}

    def load(self, user: User, query: QueryDict, **kwargs: Any) -> dict[str, Any]:
        return {
            "share": limit_page_selectors.shown_share(user),
            "limits": limit_page_selectors.shown_limits(user),
        }


sockets = [
    path("", OrgConsumer.as_asgi(view=JobsLive())),
    path("jobs/<int:job_id>/", OrgConsumer.as_asgi(view=JobLive())),
    path("limits/", OrgConsumer.as_asgi(view=LimitsLive())),
    path("workers/", OrgConsumer.as_asgi(view=WorkersLive())),
]
