"""Setting limits: how much of an organisation, of a queue or of a concurrency key of it may run, begin or wait.

The only writer of `Limit`. Called by API and pages. A limit is in force with its commit: every claim reads it
(`jobs.claims`), and every submission the number of jobs that may wait (`jobs.queue_room`). Jobs that run go on.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from jobs import gate_counts, notify
from jobs.limit_models import EVERY_KEY, EVERYTHING, KEY, ORG, QUEUE, SCOPES, Gate, Limit
from jobs.submission import QUEUE_NAME
from orgs import audit, roles
from orgs.acting import still_may
from orgs.exceptions import Conflict, InvalidInput, NotFound
from orgs.models import Organization, User
from orgs.scoping import owned_by_org_of, require

MOST_LIMITS = 1000  # of one organisation: pages and the API count what each lets in
MOST_RUNNING = 1_000_000
MOST_RATE = 1_000_000
LONGEST_PERIOD_S = 31 * 86_400.0
MOST_QUEUED = 100_000_000

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_RANGES = {
    "max_running": (0, MOST_RUNNING),
    "rate_count": (1, MOST_RATE),
    "max_queued": (0, MOST_QUEUED),
}


class Granted(Conflict):
    """The platform grants no more than this."""

    code = "granted"


class TooManyLimits(Conflict):
    """The organisation has as many limits as it may have."""

    code = "too_many_limits"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a limit allows; None: any number. `rate_count` jobs begin in `rate_period_s` seconds at most."""

    max_running: int | None = None
    rate_count: int | None = None
    rate_period_s: float | None = None
    max_queued: int | None = None

    @property
    def counts(self) -> bool:
        """Whether a gate has to count for it."""
        return self.max_running is not None or self.rate_count is not None


def set_limit(
    *,
    user: User,
    org: Organization,
    scope: str,
    name: str = "",
    max_running: int | None = None,
    rate_count: int | None = None,
    rate_period_s: float | None = None,
    max_queued: int | None = None,
) -> Limit:
    """Give `org` this limit in place of the one it had of this scope and name. Not inside a transaction.

    `name` is the queue or the key, `*` for each key without a limit of its own, and empty for the organisation.
    `max_queued` goes with the organisation only. Raises Forbidden, NotFound for an organisation that is not the user's,
    InvalidInput (with `fields`), also for more than the platform grants, and TooManyLimits.
    """
    require(user, roles.LIMITS_MANAGE)
    if not owned_by_org_of(user, org):
        raise NotFound
    bounds = Bounds(max_running, rate_count, rate_period_s, max_queued)
    _check(scope, name, bounds)
    with transaction.atomic():
        limit, before = _found(user, org, scope, name, bounds)
        if before == bounds:
            return limit
        new_gate = write(limit, bounds)
        details = {"from": asdict(before) if before else None, "to": asdict(bounds)}
        audit.record(org=org, user=user, action="limit.set", target=target_of(scope, name), details=details)
    if new_gate is not None:
        gate_counts.fill(new_gate)
    notify.changed([org.pk])
    return limit


def remove_limit(*, user: User, limit: Limit) -> None:
    """Let in again what it held back; one that somebody else has removed meanwhile is no error.

    That of the organisation goes back to what the platform grants, if it does. Raises Forbidden, NotFound and Granted.
    """
    require(user, roles.LIMITS_MANAGE)
    if not owned_by_org_of(user, limit):
        raise NotFound
    with transaction.atomic():
        org = Organization.objects.select_for_update(no_key=True).get(pk=limit.org_id)
        still_may(user, roles.LIMITS_MANAGE, of=org)
        found = Limit.objects.filter(pk=limit.pk).first()
        if found is None:
            return
        rest = granted(org) if found.scope == ORG else Bounds()
        if bounds_of(found) == rest:
            raise Granted(f"The platform grants no more than this: {_in_words(rest)}.")
        details = {"from": asdict(bounds_of(found)), "to": None if rest == Bounds() else asdict(rest)}
        new_gate = None
        if rest == Bounds():
            discard(found)
        else:
            new_gate = write(found, rest)
        target = target_of(found.scope, found.name)
        audit.record(org=org, user=user, action="limit.remove", target=target, details=details)
    if new_gate is not None:
        gate_counts.fill(new_gate)
    notify.changed([limit.org_id])


def granted(org: Organization) -> Bounds:
    """The most that a limit of the whole organisation may allow."""
    return Bounds(max_running=org.granted_running, max_queued=org.granted_queued)


def write(limit: Limit, bounds: Bounds) -> int | None:
    """Store `limit` with these bounds, in the caller's transaction, which holds the organisation's row.

    Answers the id of a gate that is new: it lets nothing in before `gate_counts.fill`, after the commit.
    """
    for field, value in asdict(bounds).items():
        setattr(limit, field, value)
    limit.save()
    return _keep_gate(limit, bounds)


def discard(limit: Limit) -> None:
    """Delete `limit` and let in what it held back, in the caller's transaction."""
    gone = Limit(org_id=limit.org_id, scope=limit.scope, name=limit.name)
    limit.delete()
    _open(gone)
    _drop_gate(gone)


def weight_changed() -> None:
    """The weight of an organisation is another one: called in the transaction that changes it."""
    gate_counts.open_again(EVERYTHING)


def bounds_of(limit: Limit) -> Bounds:
    return Bounds(limit.max_running, limit.rate_count, limit.rate_period_s, limit.max_queued)


def may_be_called(scope: str, name: str) -> bool:
    """Whether a limit of this scope could have this name."""
    return not _wrong_name(scope, name)


def target_of(scope: str, name: str) -> str:
    """What is limited, in words: "queue mail"."""
    if scope == ORG:
        return "the whole organisation"
    if scope == KEY and name == EVERY_KEY:
        return "every concurrency key without a limit of its own"
    return f"queue {name}" if scope == QUEUE else f"concurrency key {name}"


def _found(
    user: User, org: Organization, scope: str, name: str, bounds: Bounds
) -> tuple[Limit, Bounds | None]:
    """The limit that `bounds` are for, and what it is now. Holds the organisation's row: two at once take turns."""
    org = Organization.objects.select_for_update(no_key=True).get(pk=org.pk)
    still_may(user, roles.LIMITS_MANAGE, of=org)
    if scope == ORG:
        _check_granted(granted(org), bounds)
    limits = Limit.objects.filter(org=org)
    limit = limits.filter(scope=scope, name=name).first()
    if limit is not None:
        return limit, bounds_of(limit)
    if limits.count() >= MOST_LIMITS:
        raise TooManyLimits(f"There are {MOST_LIMITS:,} limits already: remove some of them first.")
    return Limit(org=org, scope=scope, name=name), None


def _check_granted(most: Bounds, bounds: Bounds) -> None:
    wrong = {}
    for field in ("max_running", "max_queued"):
        own, allowed = getattr(bounds, field), getattr(most, field)
        if allowed is not None and (own is None or own > allowed):
            wrong[field] = [f"Expected at most {allowed:,}: that is what the platform grants."]
    if wrong:
        raise InvalidInput(fields=wrong)


def _in_words(bounds: Bounds) -> str:
    parts = ((bounds.max_running, "running"), (bounds.max_queued, "waiting"))
    return " and ".join(f"{number:,} jobs {what}" for number, what in parts if number is not None)


def _keep_gate(limit: Limit, bounds: Bounds) -> int | None:
    """A gate where one is needed, and none where it is not; the id of a new one, which lets nothing in yet."""
    _open(limit)
    if not bounds.counts:
        _drop_gate(limit)
        return None
    if limit.scope == KEY:
        return None  # the first submission with the key has made it, or will
    values = {"running": gate_counts.UNCOUNTED}
    gate, new = Gate.objects.get_or_create(
        org_id=limit.org_id, scope=limit.scope, name=limit.name, defaults=values
    )
    return gate.pk if new else None


def _open(limit: Limit) -> None:
    if limit.name == EVERY_KEY:
        return gate_counts.open_again(EVERYTHING)
    found = Gate.objects.filter(org_id=limit.org_id, scope=limit.scope, name=limit.name)
    return gate_counts.open_again(found.values_list("pk", flat=True).first() or EVERYTHING)


def _drop_gate(limit: Limit) -> None:
    """Not that of a key: without a limit it lets one job run at a time."""
    if limit.scope != KEY:
        Gate.objects.filter(org_id=limit.org_id, scope=limit.scope, name=limit.name).delete()


def _check(scope: str, name: str, bounds: Bounds) -> None:
    wrong = _wrong_name(scope, name) | _wrong_bounds(scope, bounds)
    if not wrong and bounds == Bounds():
        names = [field for field in asdict(bounds) if scope == ORG or field != "max_queued"]
        wrong = {"body": [f"Expected at least one of {', '.join(names)}."]}
    if wrong:
        raise InvalidInput(fields=wrong)


def _wrong_name(scope: str, name: str) -> dict[str, list[str]]:
    if scope not in SCOPES:
        return {"scope": [f"Expected one of {', '.join(SCOPES)}."]}
    if scope == ORG:
        return {"name": ["Leave it out: a limit of the organisation has no name."]} if name else {}
    if scope == QUEUE and not re.fullmatch(QUEUE_NAME, name):
        return {"name": ["Expected 1 to 60 letters, digits, dots, hyphens and underscores."]}
    if not 1 <= len(name) <= 200:
        return {"name": ["Expected a concurrency key of 1 to 200 characters, or * for every key."]}
    if _UNSTORABLE.search(name):
        return {"name": ["Must not contain NUL characters or unpaired surrogates."]}
    return {}


def _wrong_bounds(scope: str, bounds: Bounds) -> dict[str, list[str]]:
    wrong: dict[str, list[str]] = {}
    values: dict[str, Any] = asdict(bounds)
    for field, (low, high) in _RANGES.items():
        value = values[field]
        if value is not None and (type(value) is not int or not low <= value <= high):
            wrong[field] = [f"Expected a whole number from {low:,} to {high:,}."]
    if scope != ORG and bounds.max_queued is not None:
        wrong["max_queued"] = ["Only the whole organisation has a limit of waiting jobs."]
    period = bounds.rate_period_s
    if period is not None and not (math.isfinite(period) and 0.001 <= period <= LONGEST_PERIOD_S):
        wrong["rate_period_s"] = [f"Expected seconds from 0.001 to {LONGEST_PERIOD_S:,.0f}."]
    if (bounds.rate_count is None) != (period is None):
        missing = "rate_count" if bounds.rate_count is None else "rate_period_s"
        wrong.setdefault(missing, ["A rate is rate_count jobs in rate_period_s seconds: give both."])
    return wrong
