"""Who keeps PostgreSQL from removing dead rows: the holder of the oldest snapshot or transaction.

A queue leaves dead rows behind with every job. While somebody's transaction may still want to see them they
stay, and every reader of the queue walks over them. Read by /readyz, /metrics and a duty of the leader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

# A role without pg_read_all_stats sees neither state nor start of other roles' transactions, and slots tell
# no time at all. Those count as old when this many transactions began since.
OLD_XIDS = 10_000

# Transactions of other databases hold nothing back here, nor does VACUUM itself. The start of the
# transaction bounds the age of its snapshot; in READ COMMITTED each statement may have taken a newer one.
HOLDERS = """
SELECT kind, pid, name, state, age_s::float8, xids FROM (
    SELECT 'session' AS kind, pid, application_name AS name, state,
        extract(epoch FROM clock_timestamp() - xact_start) AS age_s,
        greatest(age(backend_xid), age(backend_xmin)) AS xids
    FROM pg_stat_activity
    WHERE (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND pid <> pg_backend_pid()
        AND (datname = current_database() OR datname IS NULL)
        AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
    UNION ALL
    SELECT 'prepared transaction', NULL, gid, 'prepared',
        extract(epoch FROM clock_timestamp() - prepared), age(transaction)
    FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT 'replication slot', active_pid, slot_name, CASE WHEN active THEN 'active' ELSE 'inactive' END,
        NULL, age(xmin)
    FROM pg_replication_slots WHERE xmin IS NOT NULL
) AS holders
WHERE age_s >= %(older_than_s)s OR (age_s IS NULL AND xids >= %(old_xids)s)
ORDER BY xids DESC, age_s DESC NULLS LAST
LIMIT 1
"""


@dataclass(frozen=True)
class Holder:
    """`name`: application, global id or slot. `state` and `age_s` are None where the server does not tell."""

    kind: str
    pid: int | None
    name: str
    state: str | None
    age_s: float | None
    xids: int

    @property
    def identity(self) -> tuple[str, int | None, str]:
        return self.kind, self.pid, self.name

    def as_warning(self) -> dict[str, Any]:
        """What /readyz shows: never the text of a query."""
        return {
            "code": "old_snapshot",
            "message": f"A {self.kind} keeps dead rows of the queue from being removed.",
            "kind": self.kind,
            "pid": self.pid,
            "application_name": self.name,
            "state": self.state or "unknown",
            "age_s": "unknown" if self.age_s is None else round(self.age_s, 1),
            "transactions_since": self.xids,
        }

    def __str__(self) -> str:
        age = "unknown" if self.age_s is None else f"{self.age_s:.0f}"
        return f"kind={self.kind!r} pid={self.pid} name={self.name!r} state={self.state or 'unknown'!r} age_s={age}"


class Cursor(Protocol):
    """Django's cursor or psycopg's own."""

    def execute(self, sql: Any, params: Any = ..., /) -> Any: ...

    def fetchone(self) -> Any: ...


def oldest_holder(cursor: Cursor, older_than_s: float) -> Holder | None:
    """Whoever holds back the most among those older than `older_than_s`; None when nobody is."""
    cursor.execute(HOLDERS, {"older_than_s": older_than_s, "old_xids": OLD_XIDS})
    row = cursor.fetchone()
    return None if row is None else Holder(*row)
