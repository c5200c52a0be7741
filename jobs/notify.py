"""Wake-ups through PostgreSQL's NOTIFY: hints only, the rows are the truth and polling finds them too.

Sent after commit, so that a rolled back transaction wakes nobody and the commit that others wait
for does not take the notification lock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import connection, transaction

from jobs.database import DATABASE_AWAY

logger = logging.getLogger(__name__)

JOBS_CHANNEL = "smartqueue_jobs"
CANCEL_CHANNEL = "smartqueue_cancel"
LIVE_CHANNEL = "smartqueue_live"
CONTROL_CHANNEL = "smartqueue_control"


def cancel_requested(job_id: int) -> None:
    transaction.on_commit(lambda: _send([(CANCEL_CHANNEL, str(job_id))]))


def changed(org_ids: Iterable[int], *, ready: bool = False) -> None:
    """What pages of these organisations show has changed; `ready`: and there is something to claim."""
    messages = [(LIVE_CHANNEL, str(org_id)) for org_id in sorted(set(org_ids))]
    if ready:
        messages.append((JOBS_CHANNEL, ""))
    if messages:
        transaction.on_commit(lambda: _send(messages))


def _send(messages: list[tuple[str, str]]) -> None:
    """What it tells of is committed already: a hint that cannot be given is no failure of the caller."""
    try:
        _notify(messages)
    except DATABASE_AWAY as error:
        connection.close()
        logger.warning("action=hint_lost error=%s", str(error).strip())


def _notify(messages: list[tuple[str, str]]) -> None:
    channels, payloads = [name for name, _ in messages], [payload for _, payload in messages]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_notify(c, p) FROM unnest(%s::text[], %s::text[]) AS t(c, p)", [channels, payloads]
        )
