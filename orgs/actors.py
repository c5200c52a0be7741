"""Who did something, as a reader may know it. Asked by API, pages and admin before a name or id is shown.

Members know the members of their organisation. What a platform admin does in it is done by "the platform":
members never learn the name or id. Platform admins know everybody.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import AnonymousUser
from django.db.models import BooleanField, Case, Expression, F, Func, Q, Value, When

from orgs import walls
from orgs.models import User
from orgs.scoping import owned_by_org_of

PLATFORM = "the platform"
FORMER_MEMBER = "a former member"

# Of whom the wall shows nothing else.
_OF_STRANGERS = "SELECT id, orgs_is_platform_admin(id) FROM unnest(%(ids)s::bigint[]) AS stranger(id)"


class _IsPlatformAdmin(Func):
    function = "orgs_is_platform_admin"
    output_field = BooleanField()


def name_for(reader: User | AnonymousUser, actor: User | None, actor_id: int | None) -> str:
    """The username, or in whose name somebody acted; empty for nobody.

    `actor` is None for nobody, and for somebody whom the wall keeps from the reader: `actor_id` tells them apart.
    """
    if actor is None:
        return "" if actor_id is None else names_for(reader, [actor_id])[actor_id]
    if _knows(reader, actor):
        return actor.username
    return PLATFORM if actor.is_platform_admin else FORMER_MEMBER


def id_for(reader: User | AnonymousUser, actor: User | None) -> int | None:
    """The id of `actor`; None for nobody, and for whom the reader does not know."""
    return actor.pk if actor is not None and _knows(reader, actor) else None


def names_for(reader: User | AnonymousUser, ids: Iterable[int]) -> dict[int, str]:
    """`name_for` by id."""
    wanted = set(ids)
    found = User.objects.only("username", "role", "org_id").filter(pk__in=wanted) if wanted else []
    names = {actor.pk: name_for(reader, actor, actor.pk) for actor in found}
    if strangers := wanted - names.keys():
        rows = walls.rows_of(_OF_STRANGERS, {"ids": list(strangers)})
        names |= {pk: PLATFORM if is_platform else FORMER_MEMBER for pk, is_platform in rows}
    return names


def shown_name(reader: User | AnonymousUser, name: str = "user__username") -> Expression | F:
    """`name_for` in SQL, of a row's `user`; `name` is the column that has it, and is taken where there is no user."""
    if isinstance(reader, User) and reader.sees_all:
        return F(name)
    return Case(
        When(Q(user=None) | known(reader), then=F(name)),
        When(_IsPlatformAdmin("user_id"), then=Value(PLATFORM)),
        default=Value(FORMER_MEMBER),
    )


def known(reader: User | AnonymousUser) -> Q:
    """Rows whose `user` is somebody the reader may know."""
    if not isinstance(reader, User):
        return Q(pk__in=[])
    if reader.sees_all:
        return Q(user__isnull=False)
    return Q(user__org_id=reader.seen_org_id) if reader.seen_org_id else Q(pk__in=[])


def _knows(reader: User | AnonymousUser, actor: User) -> bool:
    return isinstance(reader, User) and owned_by_org_of(reader, actor)
