"""The content of jobs, which only those see whom `roles.JOBS_CONTENT` allows: payload, result, output and error text.

Asked by API, pages, sockets and admin for whatever they show of a job. Names, tags, states and times are no content.
"""

from __future__ import annotations

from orgs import roles
from orgs.models import User

FIELDS = ("payload", "result", "error_msg")


def hidden_from(user: User) -> bool:
    return not user.may(roles.JOBS_CONTENT)


def context_for(user: User) -> dict[str, bool]:
    """For the serializers of what holds content."""
    return {"content_hidden": hidden_from(user)}


def bare(reason: str) -> str:
    """The reason of a transition without the error text that may follow it: "failed" of "failed: no such file"."""
    return reason.partition(": ")[0]
