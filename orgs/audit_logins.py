"""Notes in the audit log who logs in and out, by whichever door of a browser; `orgs.apps` connects it.

The door of the API, which makes no session, calls `note_login` itself. Without a request (tests, commands) nothing is
noted: nobody came in.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from orgs import audit, request_facts, walls
from orgs.models import User


def note_login(user: User, *, by: str) -> None:
    """`by` is what they got: "session" or "token"."""
    _note(user, "user.login", {"by": by})


def on_login(sender: Any, user: Any, **rest: Any) -> None:
    note_login(user, by="session")


def on_logout(sender: Any, user: Any, **rest: Any) -> None:
    """`user` is None where the session had ended already."""
    if user is not None:
        _note(user, "user.logout", {"by": "session"})


def _note(user: User, action: str, details: dict[str, Any]) -> None:
    if not request_facts.are_known():
        return
    # Behind the wall of a visitor, who logs in, the organisation is not reached.
    with transaction.atomic(), walls.everything():
        audit.record(org=user.org, user=user, action=action, target=user.username, details=details)
