"""API keys as people see them, in the REST API and on their page."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Now

from orgs import actors, api_keys
from orgs.models import User


def shown(user: User) -> QuerySet[Any]:
    """`api_keys.keys` with `shown_user_id` and `shown_user`, as members may know them, and `is_in_force`. Unordered.

    Without a join: the row of somebody who has left is out of the organisation's reach, and the key is not.
    """
    owner = User.objects.order_by().filter(pk=OuterRef("user_id"), org_id=OuterRef("org_id"))
    lasts = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=Now()))
    return api_keys.keys(user).annotate(
        shown_user_id=Subquery(owner.values("pk")),
        shown_user=Coalesce(Subquery(owner.values("username")), Value(actors.FORMER_MEMBER)),
        is_in_force=lasts & Exists(owner.filter(is_active=True)),
    )
