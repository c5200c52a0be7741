"""The audit log: what people did, to what, and when. This is its one writer.

Services call `record` inside the transaction of what they note, so that neither is there without the other. The
database chains the entries of an organisation and refuses to change them (migration 0007, `orgs.audit_chain`).
Actions are named `thing.verb`; the target is what people would call it; `details` have the old state as "from" and
the new one as "to".

An entry locks the head of its organisation's chain until the transaction ends. So that nobody waits in a circle,
`record` is the last thing that a transaction writes, and one that notes entries of several organisations does it in
one `record_all`, which takes the heads in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import Case, F, Q, QuerySet, When
from django.db.transaction import TransactionManagementError

from orgs import actors, audit_chain, request_facts, walls
from orgs.models import AuditEntry, Organization, User
from orgs.scoping import rows_for_user, scoped

LONGEST_TARGET = 200


class Noted(NamedTuple):
    """What `record` takes, for `record_all`."""

    org: Organization | None
    user: User | None
    action: str
    target: str = ""
    details: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries to list; None of anything: all. `action` is one, or the beginning of several as in "limit.*"."""

    action: str | None = None
    user: int | None = None
    target: str | None = None  # a part of it
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None  # itself not included


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
    [entry] = record_all([Noted(org, user, action, target, details or {})])
    return entry


def record_all(noted: Iterable[Noted]) -> list[AuditEntry]:
    """`record` several; those of one organisation stay in their order. Raises TransactionManagementError."""
    if not connection.in_atomic_block:
        raise TransactionManagementError("An audit entry belongs into the transaction of what it notes.")
    in_order = sorted(noted, key=lambda one: one.org.pk if one.org else audit_chain.PLATFORM)
    # Somebody who logs in, joins or leaves is noted where the request does not reach yet, or no longer.
    with walls.everything():
        return [_add(one) for one in in_order]


def _add(noted: Noted) -> AuditEntry:
    facts, user = request_facts.current(), noted.user
    return AuditEntry.objects.create(
        org=noted.org,
        user=user,
        actor=user.username if user else "system",
        action=noted.action,
        target=noted.target[:LONGEST_TARGET],
        details=noted.details,
        ip=facts.ip,
        request_id=facts.request_id,
        key_id=user.key.pk if user and user.key else facts.key_id,
    )


def entries(user: User | AnonymousUser, wanted: Wanted | None = None) -> QuerySet[AuditEntry]:
    """The entries that `user` may see, unordered: a member the organisation's, a platform admin all of them."""
    wanted = wanted or Wanted()
    found = with_actors(scoped(AuditEntry.objects.all(), user), user).filter(_asked(wanted))
    if wanted.user is None:
        return found
    # None whom the reader does not know.
    return found.filter(user__in=rows_for_user(User, user).filter(pk=wanted.user))


def _asked(wanted: Wanted) -> Q:
    found = Q()
    if wanted.action and wanted.action.endswith(".*"):
        found &= Q(action__startswith=wanted.action.removesuffix("*"))
    elif wanted.action:
        found &= Q(action=wanted.action)
    if wanted.target:
        found &= Q(target__icontains=wanted.target)
    if wanted.request_id:
        found &= Q(request_id=wanted.request_id)
    if wanted.since:
        found &= Q(at__gte=wanted.since)
    return found & Q(at__lt=wanted.until) if wanted.until else found


def with_actors(rows: QuerySet[AuditEntry], reader: User | AnonymousUser) -> QuerySet[AuditEntry]:
    """Adds `shown_actor`, `shown_user_id`, `shown_ip` and `shown_key_id`: who it was, as `orgs.actors` lets the reader
    know it. Nor is told from where somebody came whom the reader does not know."""
    known = Q(user=None) | actors.known(reader)
    return rows.annotate(
        shown_actor=actors.shown_name(reader, "actor"),
        shown_user_id=Case(When(actors.known(reader), then=F("user_id")), default=None),
        shown_ip=Case(When(known, then=F("ip")), default=None),
        shown_key_id=Case(When(known, then=F("key_id")), default=None),
    )
