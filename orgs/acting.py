"""Whether somebody may still do what they asked for: asked by the services once they hold the rows that decide it.

A request reads its user when it begins; until it writes, that person may have been removed, demoted or deactivated.
Whoever changes a membership holds the organisation's row and then the member's, so behind either lock the answer stays
true until the transaction ends.
"""

from __future__ import annotations

from orgs import roles, walls
from orgs.exceptions import Forbidden, InvalidInput, NotFound
from orgs.models import Organization, User
from orgs.scoping import owned_by_org_of, require


def still_may(actor: User, action: str, *, of: Organization | None = None) -> User:
    """`actor` as stored now, with the API key and the view of this request.

    Raises Forbidden, MissingScope, and NotFound where the organisation `of` is not theirs to act in.
    """
    with walls.everything():
        now = User.objects.select_related("org").filter(pk=actor.pk).first()
    if now is None or (actor.key is not None and now.org_id != actor.key.org_id):
        raise Forbidden("You no longer belong to this organisation.")
    now.key = actor.key
    now.seen_as_org_id = actor.seen_as_org_id if now.is_platform_admin else None
    require(now, action)
    if of is not None and not owned_by_org_of(now, of):
        raise NotFound
    return now


def check_role(actor: User, role: str) -> None:
    """Raises InvalidInput for a role that org admins do not give, and Forbidden for one that no API key gives.

    Whoever gets a role can log in: a key that made an org admin would become more than its scopes.
    """
    if role not in roles.GRANTED_BY_ORG_ADMINS:
        raise InvalidInput(fields={"role": [f"Expected one of {', '.join(roles.GRANTED_BY_ORG_ADMINS)}."]})
    if actor.key is not None and role not in roles.GRANTED_BY_KEYS:
        raise Forbidden(f"An API key gives no role above {roles.USER}: log in to give this one.")
