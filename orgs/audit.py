"""The audit log: what people did, to what, and when. This is its one writer.

Services call `record` inside the transaction of what they note, so that neither is there without the
other. Entries are only added. Actions are named `thing.verb`; the target is what people would call it.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import Case, F, QuerySet, When
from django.db.transaction import TransactionManagementError

from orgs import actors
from orgs.models import AuditEntry, Organization, User
from orgs.scoping import rows_for_user, scoped

LONGEST_TARGET = 200


def record(
    *,
    org: Organization | None,
    user: User | None,
    action: str,
    target: str = "",
    details: dict[str, Any] | None = None,
) -> AuditEntry:
    """Note that `user` did `action`; `org` is None for what concerns the whole platform.

    A target is cut to what the column holds: names of jobs and hosts alone may fill it.
    Raises TransactionManagementError outside of a transaction.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("An audit entry belongs into the transaction of what it notes.")
    return AuditEntry.objects.create(
        org=org,
        user=user,
        actor=user.username if user else "system",
        action=action,
        target=target[:LONGEST_TARGET],
        details=details or {},
    )


def entries(
    user: User | AnonymousUser, *, action: str | None = None, by: int | None = None
) -> QuerySet[AuditEntry]:
    """The entries that `user` may see, unordered: a member the organisation's, a platform admin all of them."""
    found = with_actors(scoped(AuditEntry.objects.all(), user), user)
    if action is not None:
        found = found.filter(action=action)
    if by is None:
        return found
    return found.filter(
        user__in=rows_for_user(User, user).filter(pk=by)
    )  # none whom the reader does not know


def with_actors(rows: QuerySet[AuditEntry], reader: User | AnonymousUser) -> QuerySet[AuditEntry]:
    """Adds `shown_actor` and `shown_user_id`: who it was, as `orgs.actors` lets the reader know it."""
    return rows.annotate(
        shown_actor=actors.shown_name(reader, "actor"),
        shown_user_id=Case(When(actors.known(reader), then=F("user_id")), default=None),
    )
