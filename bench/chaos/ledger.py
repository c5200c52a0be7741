"""Holds the database to what was acknowledged: every job ends, once, and its history is of one piece.

Reads only. `check` returns one sentence per violation; an empty list is what a scenario wants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.mix import ENDS, ONE_ATTEMPT
from bench.chaos.server import Server
from jobs import states


@dataclass
class Entry:
    """All that is known of one job."""

    id: int
    key: str
    kind: str
    status: str
    attempt: int
    logs: list[tuple[int, str, bool]] = field(default_factory=list)  # attempt, outcome, final
    events: list[tuple[str, str]] = field(default_factory=list)  # old status, new status


@dataclass(frozen=True)
class Ledger:
    """`submitted`: key to kind of every acknowledged submission. `entries`: what the database knows."""

    submitted: dict[str, str]
    entries: dict[str, Entry]

    @property
    def lost(self) -> list[str]:
        """Acknowledged, and gone or never ended."""
        return [
            f"job {key} ({kind}): {self.entries[key].status if key in self.entries else 'gone'}"
            for key, kind in self.submitted.items()
            if key not in self.entries or self.entries[key].status not in states.FINAL
        ]

    @property
    def twice(self) -> list[str]:
        """Ended, but not with exactly one final record."""
        finals = ((one, sum(final for _, _, final in one.logs)) for one in self.entries.values())
        return [
            f"{_name(one)}: {count} final records"
            for one, count in finals
            if one.status in states.FINAL and count != 1
        ]

    @property
    def wrong(self) -> list[str]:
        """Ended otherwise than it must, or with a history that does not fit together."""
        return [f"{_name(one)}: {problem}" for one in self.entries.values() for problem in _problems(one)]

    @property
    def robbed(self) -> list[str]:
        """Jobs of which a second attempt ended though nothing about them fails. Handed back is not robbed."""
        return [
            f"{_name(one)}: {[outcome for _, outcome, _ in one.logs]}"
            for one in self.entries.values()
            if one.kind in ONE_ATTEMPT and len(one.logs) > 1
        ]

    @property
    def reruns(self) -> int:
        """Attempts that ended because their worker was gone."""
        return sum(outcome == "lost" for one in self.entries.values() for _, outcome, _ in one.logs)


def acknowledged(keys_file: Path) -> dict[str, str]:
    lines = keys_file.read_text(encoding="ascii").splitlines()
    return dict(line.split() for line in lines)


def unfinished(server: Server) -> int:
    return int(server.ask("SELECT count(*) FROM jobs_job WHERE status <> ALL(%s)", list(states.FINAL))[0][0])


def read(server: Server, keys_file: Path) -> Ledger:
    """All of it as of one moment; the load may go on."""
    with server.session() as session, session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        jobs = session.execute("SELECT id, idempotency_key, name, status, attempt FROM jobs_job ORDER BY id")
        by_id = {row[0]: Entry(*row) for row in jobs}
        for job, *log in session.execute(
            "SELECT job_id, attempt, outcome, final FROM jobs_executionlog ORDER BY job_id, attempt"
        ):
            by_id[job].logs.append(tuple(log))
        for job, *event in session.execute(
            "SELECT job_id, old_status, new_status FROM jobs_jobevent ORDER BY job_id, id"
        ):
            by_id[job].events.append(tuple(event))
    return Ledger(acknowledged(keys_file), {one.key: one for one in by_id.values()})


def broken_constraints(server: Server) -> list[str]:
    """Checks and unique keys that rows do not keep, asked of the rows and not of the catalogue."""
    checks = server.ask(
        "SELECT conrelid::regclass::text, conname, pg_get_expr(conbin, conrelid) FROM pg_constraint "
        "WHERE contype = 'c' AND conrelid::regclass::text LIKE 'jobs\\_%%'"
    )
    return [
        f"{table}: {name}"
        for table, name, expression in checks
        if server.ask(f"SELECT 1 FROM {table} WHERE NOT ({expression}) LIMIT 1")
    ] + [f"{table}: more than one row per {columns}" for table, columns in _doubles(server)]


def _doubles(server: Server) -> Iterator[tuple[str, str]]:
    """Counted without the indexes, which a crash could have left wrong."""
    for table, columns, where in (
        ("jobs_job", "org_id, idempotency_key", "idempotency_key IS NOT NULL"),
        ("jobs_executionlog", "job_id, attempt", "true"),
        ("jobs_executionlog", "job_id", "final"),
    ):
        with server.session() as session:
            session.execute("SET enable_indexscan = off")
            session.execute("SET enable_indexonlyscan = off")
            session.execute("SET enable_bitmapscan = off")
            statement = f"SELECT 1 FROM {table} WHERE {where} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1"
            if session.execute(statement.encode()).fetchone():
                yield table, columns


def _name(one: Entry) -> str:
    return f"job {one.id} ({one.kind})"


def _problems(one: Entry) -> Iterator[str]:
    if one.status in states.FINAL and one.status != ENDS[one.kind]:
        yield f"ended as {one.status}, expected {ENDS[one.kind]}"
    moves = Counter(one.events)
    claimed = moves[states.QUEUED, states.RUNNING]
    if claimed != one.attempt:
        yield f"attempt {one.attempt}, but {claimed} claims"
    if len(one.logs) > one.attempt or any(not 1 <= number <= one.attempt for number, _, _ in one.logs):
        yield f"attempt {one.attempt}, but records of {[number for number, _, _ in one.logs]}"
    yield from _broken_chain(one)


def _broken_chain(one: Entry) -> Iterator[str]:
    """Each event must begin where the one before it ended, along an edge of the state machine."""
    at = ""
    for old, new in one.events:
        if old != at or (old and (old, new) not in states.EDGES):
            yield f"event {old} -> {new} while {at or 'new'}"
        at = new
    if at != one.status:
        yield f"is {one.status}, but its last event says {at}"
