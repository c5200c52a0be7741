"""What the pages show of limits and shares, in the shape of their fragments."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from jobs import limit_selectors, limits
from jobs.limit_models import EVERY_KEY, KEY
from jobs.limit_selectors import MOST_WAITING, OwnShare, Use
from jobs.models import Limit
from orgs import roles
from orgs.models import User
from orgs.scoping import seen_org
from orgs.wording import NOTHING, counted, duration

MOST_SHOWN = 100


@dataclass(frozen=True)
class ShownLimit:
    """A limit and its use, in words. `org_name` is empty where the reader need not know it."""

    limit: Limit
    of: str
    org_name: str
    running: str
    rate: str
    waiting: str


@dataclass(frozen=True)
class Limits:
    """The organisation first, then queues and keys. `left_out`: how many more there are.

    `may_wait`: how many jobs of an organisation without a limit of its own, in words; empty: any number.
    """

    shown: list[ShownLimit]
    left_out: int
    may_manage: bool
    may_wait: str


@dataclass(frozen=True)
class ShownShare:
    """What the reader's organisation has received."""

    share: OwnShare
    recent: str
    lead: str


def shown_limits(user: User) -> Limits:
    visible = limit_selectors.limits(user)
    found = list(limit_selectors.in_order(visible).select_related("org")[:MOST_SHOWN])
    left_out = visible.count() - len(found) if len(found) == MOST_SHOWN else 0
    uses = limit_selectors.uses(found)
    shown = [_shown(user, limit, uses.get(limit.pk, limit_selectors.UNKNOWN)) for limit in found]
    may_wait = f"{settings.MAX_QUEUED_PER_ORG:,}" if settings.MAX_QUEUED_PER_ORG else ""
    return Limits(shown, left_out, may_manage=user.may(roles.LIMITS_MANAGE), may_wait=may_wait)


def shown_share(user: User) -> ShownShare | None:
    """None for who belongs to no organisation."""
    org = seen_org(user)
    if org is None:
        return None
    share = limit_selectors.share(org)
    return ShownShare(share, recent=duration(share.recent_s * 1000), lead=_lead(share.lead_s))


def _shown(user: User, limit: Limit, use: Use) -> ShownLimit:
    words = limits.target_of(limit.scope, limit.name)
    return ShownLimit(
        limit=limit,
        of=words[0].upper() + words[1:],
        org_name=limit.org.name if user.sees_all else "",
        running=_running(limit, use),
        rate=_rate(limit, use),
        waiting=_waiting(limit, use),
    )


def _running(limit: Limit, use: Use) -> str:
    if limit.scope == KEY and limit.name == EVERY_KEY:
        return "any number" if limit.max_running is None else f"{limit.max_running:,} of each"
    if limit.max_running is None and limit.rate_count is None:
        return NOTHING
    if use.running is None:
        return "being counted"
    return f"{use.running:,}" if limit.max_running is None else f"{use.running:,} of {limit.max_running:,}"


def _rate(limit: Limit, use: Use) -> str:
    if limit.rate_count is None or limit.rate_period_s is None:
        return NOTHING
    words = f"{counted(limit.rate_count, 'job')} in {duration(limit.rate_period_s * 1000)}"
    return words if use.tokens_left is None else f"{words}, {max(int(use.tokens_left), 0):,} at once now"


def _waiting(limit: Limit, use: Use) -> str:
    if use.waiting is None:
        return NOTHING
    words = f"{use.waiting:,}" if use.waiting < MOST_WAITING else f"{MOST_WAITING:,} or more"
    return words if limit.max_queued is None else f"{words} of {limit.max_queued:,}"


def _lead(seconds: float) -> str:
    if abs(seconds) < 0.5:
        return "in its turn"
    words = duration(abs(seconds) * 1000)
    return f"{words} ahead of its turn" if seconds > 0 else f"{words} behind its turn"
