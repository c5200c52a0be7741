"""The sidebar and the colours of the Django admin, as django-unfold wants them; settings hand them over."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

Item = tuple[str, str, str, str]

# Group, then title, icon, page and the action of orgs.roles that it needs.
_GROUPS: list[tuple[str, list[Item]]] = [
    (
        "",
        [
            ("Overview", "dashboard", "index", "org.administer"),
            ("Usage", "monitoring", "usage", "org.administer"),
        ],
    ),
    (
        "Work",
        [
            ("Jobs", "work", "jobs_job_changelist", "org.administer"),
            ("Dead letters", "error", "jobs_deadletter_changelist", "org.administer"),
            ("Queues", "stacks", "jobs_queue_changelist", "org.administer"),
            ("Limits", "speed", "jobs_limit_changelist", "org.administer"),
            ("Attempts", "history", "jobs_executionlog_changelist", "org.administer"),
            ("Workers", "dns", "jobs_worker_changelist", "jobs.read"),
        ],
    ),
    (
        "Organisation",
        [
            ("Settings", "domain", "orgs_organization_changelist", "org.administer"),
            ("Members", "group", "orgs_user_changelist", "org.administer"),
            ("Invitations", "mail", "orgs_invitation_changelist", "members.manage"),
            ("API keys", "key", "orgs_apikey_changelist", "keys.manage"),
            ("Audit log", "receipt_long", "orgs_auditentry_changelist", "audit.read"),
        ],
    ),
    (
        "Platform",
        [
            ("Model versions", "model_training", "predictor_modelversion_changelist", "platform.read"),
            ("Leader", "flag", "jobs_schedulerleader_changelist", "platform.read"),
        ],
    ),
]

# What some are called for whoever sees every organisation.
_OF_ALL = {"Settings": "Organisations", "Members": "Users"}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of the sidebar with what this user may open."""
    groups = [(title, [_item(request, item) for item in items]) for title, items in _GROUPS]
    return [
        {"title": title, "separator": bool(title), "items": [item for item in items if item]}
        for title, items in groups
        if any(items)
    ]


def _item(request: HttpRequest, item: Item) -> dict[str, Any] | None:
    """None for what the user may not open, and for a page that this site does not have."""
    title, icon, page, action = item
    may = getattr(request.user, "may", None)
    if may is None or not may(action):
        return None
    if getattr(request.user, "sees_all", False):
        title = _OF_ALL.get(title, title)
    with suppress(NoReverseMatch):
        return {"title": title, "icon": icon, "link": reverse(f"admin:{page}")}
    return None


# The blue and the greys of static/css/app.css.
COLOURS = {
    "base": {
        "50": "#f6f7f9", "100": "#f0f2f5", "200": "#dde1e7", "300": "#c5cbd5", "400": "#9ca7b7", "500": "#717b8d",
        "600": "#596273", "700": "#424a59", "800": "#2d3643", "900": "#191f28", "950": "#11151b",
    },
    "primary": {
        "50": "#eef3fd", "100": "#dfeafd", "200": "#c3d5fa", "300": "#9cc0ff", "400": "#8db2ff", "500": "#4a7fe6",
        "600": "#2456c7", "700": "#1d4fae", "800": "#1a3b85", "900": "#18336d", "950": "#101f44",
    },
}  # fmt: skip
