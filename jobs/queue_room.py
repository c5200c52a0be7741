"""How many jobs of an organisation may wait, and whether there is room for more. Called by `jobs.submitting` only.

Whoever submits for an organisation with such a limit holds its lock up to the commit, and counts once it has it: what
others have stored before is seen. Waiting are its scheduled, blocked and queued jobs. A retry, a job that is due, or
one that comes back from a worker is never refused, and may bring the number above the limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from orgs.exceptions import SmartQueueError
from orgs.walls import rows_of

RETRY_S = 5

_LOCK_CLASS = 0x5351_5155  # of the advisory locks; the two-number form, which nobody else uses

# In the order of the locks, so that two batches for some of the same organisations do not wait in a circle. The last
# row is for _ROOMS, which is planned without a scan of the table: statistics of other organisations, or a plan from
# when there were no jobs, may suggest one. It puts the setting back.
_LOCK = """
SELECT org_id, CASE WHEN %(wait)s
    THEN pg_advisory_xact_lock(%(lock_class)s::int, lock) IS NOT NULL
    ELSE pg_try_advisory_xact_lock(%(lock_class)s::int, lock) END, NULL AS was, NULL
FROM (
    SELECT asked.org_id, hashint8(asked.org_id) AS lock FROM unnest(%(orgs)s::bigint[]) AS asked(org_id)
    WHERE %(most)s::int IS NOT NULL OR EXISTS (
        SELECT 1 FROM jobs_limit own
        WHERE own.org_id = asked.org_id AND own.scope = 'org' AND own.name = '' AND own.max_queued IS NOT NULL
    )
    ORDER BY 2
) limited
UNION ALL
SELECT NULL, NULL, current_setting('enable_seqscan'), set_config('enable_seqscan', 'off', true)
"""

# Counts one more than there may be at most: the cost has a bound, and "more than" can be told.
_ROOMS = """
SELECT limited.org_id, limited.most,
    (
        SELECT count(*) FROM (
            SELECT 1 FROM jobs_job
            WHERE org_id = limited.org_id AND status IN ('scheduled', 'blocked', 'queued')
            LIMIT limited.most + 1
        ) job
    ), NULL
FROM (
    SELECT asked.org_id, coalesce(own.max_queued, %(most)s::int)::bigint AS most
    FROM unnest(%(orgs)s::bigint[]) AS asked(org_id)
        LEFT JOIN jobs_limit own ON own.org_id = asked.org_id AND own.scope = 'org' AND own.name = ''
) limited
WHERE limited.most IS NOT NULL
UNION ALL
SELECT NULL, NULL, NULL, set_config('enable_seqscan', %(was)s, true)
"""


class QueueFull(SmartQueueError):
    """As many jobs of your organisation wait as may: submit this one later."""

    code = "queue_full"
    http_status = 429
    retry_after_s = RETRY_S


@dataclass(slots=True)
class Room:
    """At most `limit` jobs may wait; `waiting` do, counted up to one more than that, and `taken` will as well."""

    limit: int
    waiting: int
    taken: int = 0

    def take(self) -> bool:
        """Room for one more, if there is any left."""
        fits = self.waiting + self.taken < self.limit
        self.taken += fits
        return fits

    def full(self) -> QueueFull:
        wait = f"more than {self.limit:,}" if self.waiting > self.limit else f"{self.waiting:,}"
        return QueueFull(
            f"Your organisation may have {self.limit:,} jobs waiting, and {wait} wait already: "
            f"submit this one later."
        )

    def too_many(self, wanted: int) -> QueueFull:
        """For a batch that is stored as a whole or not at all."""
        return QueueFull(
            f"Your organisation may have {self.limit:,} jobs waiting: there is room for "
            f"{max(self.limit - self.waiting, 0):,} of these {wanted:,}. Nothing was stored."
        )


def rooms(orgs: Iterable[int], *, wait: bool) -> tuple[dict[int, Room], set[int]]:
    """The room of those of `orgs` that have a limit, whose locks are held from here on up to the end of the
    transaction; and those whose lock somebody else holds, unless `wait`.
    """
    asked = {"orgs": sorted(set(orgs)), "wait": wait, "lock_class": _LOCK_CLASS, "most": _default()}
    *locks, (_, _, was, _) = rows_of(_LOCK, asked)
    held = [org for org, is_held, *_ in locks if is_held]
    # A statement of its own: its snapshot sees what those stored who held the locks before.
    *counts, _ = rows_of(_ROOMS, {"orgs": held, "most": _default(), "was": was})
    return {org: Room(limit, waiting) for org, limit, waiting, _ in counts}, {
        org for org, is_held, *_ in locks if not is_held
    }


def _default() -> int | None:
    return int(settings.MAX_QUEUED_PER_ORG) or None
