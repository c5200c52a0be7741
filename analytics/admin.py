"""Figures of the admin: the usage page with its charts, and the numbers of the first page.

`autodiscover` imports this; what the pages show comes from `analytics.usage` and `analytics.depth`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from analytics import depth
from analytics.measures import DONE, FAILED
from analytics.usage import DAYS, MOST_READ, Usage, usage
from jobs import states
from jobs.models import ExecutionLog
from orgs import api_keys, roles
from orgs.admin_shown import moment
from orgs.admin_site import Figure, site
from orgs.models import User
from orgs.scoping import require, rows_for_user, seen_org
from orgs.wording import duration

MOST_COUNTED = 100_000


def usage_page(request: HttpRequest) -> HttpResponse:
    """What the organisation used, day by day; for a platform admin all of them together, or the one looked at."""
    user = require(request.user, roles.ORG_ADMINISTER)
    found = usage(user)
    context = {
        **site.each_context(request),
        "title": "Usage",
        "days": DAYS,
        "chart": _chart(found),
        "names": _rows(found.names),
        "orgs": _rows(found.orgs),
        "any": any(day.done or day.failed or day.cancelled or day.retried for day in found.days),
        "of": seen_org(user),
        "since": found.since and moment(found.since),
        "most": MOST_READ,
        "total": duration(sum(day.worker_s for day in found.days) * 1000),
    }
    request.current_app = site.name
    return TemplateResponse(request, "admin/usage.html", context)


def figures(user: User) -> list[Figure]:
    """Of what the user sees: what waits and runs, what ended today (UTC), who may come in."""
    waiting = depth.queue_depth(user).by_status
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ended = _ended_since(user, today)
    jobs = reverse("admin:jobs_job_changelist")
    members = rows_for_user(User, user).filter(is_active=True).count()
    keys = api_keys.in_force(api_keys.keys(user)).count()
    return [
        Figure("Jobs waiting", f"{waiting[states.QUEUED]:,}", f"{jobs}?status__exact=queued"),
        Figure("Jobs running", f"{waiting[states.RUNNING]:,}", f"{jobs}?status__exact=running"),
        Figure("Done today", _counted(ended["done"]), f"{jobs}?status__exact=done"),
        Figure("Failed today", _counted(ended["failed"]), reverse("admin:jobs_deadletter_changelist")),
        Figure("Active members", f"{members:,}", reverse("admin:orgs_user_changelist")),
        Figure("API keys in force", f"{keys:,}", reverse("admin:orgs_apikey_changelist")),
    ]


def _ended_since(user: User, moment: datetime) -> dict[str, int]:
    """Of the newest MOST_COUNTED attempts: those that ended well, and those that failed for good."""
    newest = ExecutionLog.objects.for_user(user).order_by("-id").values("id")[MOST_COUNTED : MOST_COUNTED + 1]
    last = next((row["id"] for row in newest), 0)
    logs = ExecutionLog.objects.for_user(user).filter(id__gt=last, logged_at__gte=moment)
    return logs.aggregate(done=Count("id", filter=DONE), failed=Count("id", filter=FAILED))


def _counted(number: int) -> str:
    return f"{number:,}" if number < MOST_COUNTED else f"{MOST_COUNTED:,} or more"


def _chart(found: Usage) -> dict[str, Any]:
    """What static/js/admin.js draws: one value per day in each series."""
    outcomes = {
        name: [getattr(day, name) for day in found.days]
        for name in ("done", "retried", "failed", "cancelled")
    }
    return {
        "days": [f"{day.day:%d %b}" for day in found.days],
        "outcomes": outcomes,
        "minutes": [round(day.worker_s / 60, 2) for day in found.days],
    }


def _rows(busiest: list[Any]) -> list[dict[str, str]]:
    return [
        {
            "name": one.name,
            "attempts": f"{one.attempts:,}",
            "failed": f"{one.failed:,}",
            "worker_time": duration(one.worker_s * 1000),
        }
        for one in busiest
    ]


site.add_page("usage", usage_page)
site.add_figures(figures)
