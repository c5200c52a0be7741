"""The audit log: what people did, to what, and when. This is its one writer.

Services call `record` inside the transaction of what they note, so that neither is there without the
other. Entries are only added. Actions are named `thing.verb`; the target is what people would call it.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import QuerySet
from django.db.transaction import TransactionManagementError

from orgs.models import AuditEntry, Organization, User
from orgs.scoping import scoped


def record(
    *,
    org: Organization | None,
    user: User | None,
    action: str,
    target: str = "",
    details: dict[str, Any] | None = None,
) -> AuditEntry:
    """Note that `user` did `action`; `org` is None for what concerns the whole platform.

    Raises TransactionManagementError outside of a transaction.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("An audit entry belongs into the transaction of what it notes.")
    return AuditEntry.objects.create(
        org=org,
        user=user,
        actor=user.username if user else "system",
        action=action,
        target=target,
        details=details or {},
    )


def entries(
    user: User | AnonymousUser, *, action: str | None = None, by: int | None = None
) -> QuerySet[AuditEntry]:
    """The entries that `user` may see, unordered: a member the organisation's, a platform admin all of them."""
    found = scoped(AuditEntry.objects.all(), user)
    if action is not None:
        found = found.filter(action=action)
    return found if by is None else found.filter(user_id=by)
