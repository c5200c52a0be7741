"""The states of a job and the edges between them: the one place that says what may follow what.

Pure Python. docs/states.md is drawn from `EDGES` by `mermaid()`; a test holds them equal. The SQL
in `jobs.claims` and `jobs.services` guards the edges that it takes in the statement that takes them.
"""

from __future__ import annotations

SCHEDULED = "scheduled"
QUEUED = "queued"
BLOCKED = "blocked"
RUNNING = "running"
DONE = "done"
FAILED = "failed"
CANCELLED = "cancelled"

MEANING: dict[str, str] = {
    SCHEDULED: "not due yet, or waiting for a retry",
    BLOCKED: "waiting for the jobs that it depends on (kept for workflows)",
    QUEUED: "ready, waiting for a worker",
    RUNNING: "claimed by a worker that holds the lease",
    DONE: "finished with a result",
    FAILED: "dead letter: the last attempt failed, or was lost with its worker",
    CANCELLED: "stopped on request",
}

EDGES: dict[tuple[str, str], str] = {
    (SCHEDULED, QUEUED): "due",
    (BLOCKED, QUEUED): "dependencies done",
    (QUEUED, RUNNING): "claimed",
    (RUNNING, DONE): "finished",
    (RUNNING, SCHEDULED): "attempt failed, retry later",
    (RUNNING, QUEUED): "handed back, or lost with its worker, retry now",
    (RUNNING, FAILED): "last attempt failed or lost",
    (RUNNING, CANCELLED): "stopped on request",
    (SCHEDULED, CANCELLED): "cancelled",
    (BLOCKED, CANCELLED): "cancelled",
    (QUEUED, CANCELLED): "cancelled",
}

STATUSES = tuple(MEANING)
WAITING = (SCHEDULED, BLOCKED, QUEUED)
ACTIVE = (*WAITING, RUNNING)
FINAL = (DONE, FAILED, CANCELLED)


def mermaid() -> str:
    """The chart of all states and edges, as a Mermaid state diagram."""
    edges = "\n".join(f"    {old} --> {new}: {label}" for (old, new), label in EDGES.items())
    first = "\n".join(f"    [*] --> {status}: submitted" for status in (QUEUED, SCHEDULED))
    last = "\n".join(f"    {status} --> [*]" for status in FINAL)
    return f"stateDiagram-v2\n{first}\n{edges}\n{last}\n"
