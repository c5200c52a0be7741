"""Wake-ups through PostgreSQL's NOTIFY: hints only, the rows are the truth and polling finds them too.

Sent after commit, so that a rolled back transaction wakes nobody and the commit that others wait for does
not take the notification lock; in a transaction of their own that does not wait for the disk. The
first of a kind goes at once, those that follow within its window together.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from django.db import connection, transaction

from jobs.coalescing import Coalescer, Message
from jobs.database import DATABASE_AWAY

logger = logging.getLogger(__name__)

JOBS_CHANNEL = "smartqueue_jobs"
CANCEL_CHANNEL = "smartqueue_cancel"
LIVE_CHANNEL = "smartqueue_live"
CONTROL_CHANNEL = "smartqueue_control"

WINDOWS_S = {JOBS_CHANNEL: 0.01, LIVE_CHANNEL: 0.1}

NOTIFY = """
SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, payload)
FROM unnest(%s::text[], %s::text[]) AS message(channel, payload)
"""


def cancel_requested(job_id: int) -> None:
    transaction.on_commit(lambda: _coalescer.offer([(CANCEL_CHANNEL, str(job_id))]))


def control_changed(worker_id: str) -> None:
    """What this worker is to do has changed."""
    transaction.on_commit(lambda: _coalescer.offer([(CONTROL_CHANNEL, worker_id)]))


def paused(*, org_id: int | None, queue: str | None, type: str | None) -> None:
    """These jobs are held back, None standing for any: workers give back what they have not begun of them."""
    payload = json.dumps({"org": org_id, "queue": queue, "type": type}, separators=(",", ":"))
    transaction.on_commit(lambda: _coalescer.offer([(CONTROL_CHANNEL, payload)]))


def everybody_changed() -> None:
    """What the pages of all organisations show has changed."""
    transaction.on_commit(lambda: _coalescer.offer([(LIVE_CHANNEL, "")]))


def changed(org_ids: Iterable[int], *, ready: bool = False) -> None:
    """What pages of these organisations show has changed; `ready`: and there is something to claim."""
    if messages := _changes(org_ids, ready):
        transaction.on_commit(lambda: _coalescer.offer(messages))


def hints(org_ids: Iterable[int]) -> list[Message]:
    """Of the messages of `changed` with `ready` those that may go now, to be sent by the statement that makes
    the change; the caller calls `changed_also` when it has been made.

    Saves the first submission of a burst a message to the server. Inside a transaction there are none: it
    may still be rolled back, and its end may be far.
    """
    return [] if connection.in_atomic_block else _coalescer.take(_changes(org_ids, ready=True))


def changed_also(org_ids: Iterable[int], *, sent: Iterable[Message]) -> None:
    """What `changed` with `ready` has to say beyond what was sent with the change."""
    known = set(sent)
    if rest := [message for message in _changes(org_ids, ready=True) if message not in known]:
        transaction.on_commit(lambda: _coalescer.offer(rest))


def _changes(org_ids: Iterable[int], ready: bool) -> list[Message]:
    messages = [(JOBS_CHANNEL, "")] if ready else []
    return messages + [(LIVE_CHANNEL, str(org_id)) for org_id in sorted(set(org_ids))]


def _send(messages: list[Message]) -> None:
    """What it tells of is committed already: a hint that cannot be given is no failure of the caller."""
    own_thread = not connection.in_atomic_block and connection.connection is None
    try:
        with connection.cursor() as cursor:
            cursor.execute(NOTIFY, [[name for name, _ in messages], [payload for _, payload in messages]])
    except DATABASE_AWAY as error:
        connection.close()
        logger.warning("action=hint_lost error=%s", str(error).strip())
    else:
        if own_thread:
            connection.close()


_coalescer = Coalescer(_send, WINDOWS_S)


def end() -> None:
    """Send what is held back; afterwards the database may go. The end of a process does it by itself."""
    _coalescer.close()
