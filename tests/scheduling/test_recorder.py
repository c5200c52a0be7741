"""The recorder and its database thread: what is refused stays alone, what hangs is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs import limits, output, states
from jobs.claims import Claimed, Finish
from jobs.database import DATABASE_AWAY
from jobs.models import ExecutionLog, Gate, Job, LogLine
from orgs.models import User
from scheduler import database_thread
from scheduler.database_thread import DatabaseThread
from scheduler.recorder import LARGEST_BATCH, LOCK_TIMEOUT_S, MOST_BEHIND, Recorder
from tests.processes import database_url
from tests.queue.claiming import Submit, claim

pytestmark = pytest.mark.django_db(transaction=True)


async def _record(lines: Sequence[output.Line], ended: Sequence[Finish], org_id: int) -> None:
    database = DatabaseThread("test")
    recorder = Recorder("w1", database)
    for line in lines:
        recorder.line(org_id, line)
    recorder.finish(ended)
    writing = asyncio.create_task(recorder.run())
    drained = asyncio.create_task(recorder.drained())
    try:
        await asyncio.wait([writing, drained], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert drained.done(), "the recorder broke or did not end"
        assert recorder.held == []
    finally:
        for task in (writing, drained):
            task.cancel()
        await asyncio.wait([writing, drained])
        await database.close()


def record(
    user: User, ended: Sequence[Finish], lines: Sequence[output.Line] = ()
) -> dict[int, tuple[str, str]]:
    """{job id: (status, error)} after a recorder wrote these."""
    assert user.org_id is not None
    asyncio.run(_record(lines, ended, user.org_id))
    return {job.pk: (job.status, job.error_msg) for job in Job.objects.all()}


def line(job: Claimed, text: str, seq: int = 1) -> output.Line:
    return output.Line(job.id, job.attempt, seq, "stdout", text)


@pytest.mark.parametrize(
    "unstorable",
    [
        {"ending": "done", "result": {"text": "\x00"}},
        {"ending": "failed", "error": "nul \x00", "retry_delay_s": 1.0},
    ],
)
def test_an_ending_that_is_refused_becomes_a_failure_and_its_neighbours_are_kept(
    bob: User, submit: Submit, unstorable: dict[str, Any]
) -> None:
    for _ in range(3):
        submit(bob, max_retries=3)
    before, refused, after = claim()
    ended = [
        Finish(before.id, 1, "done", result=1),
        Finish(refused.id, 1, **unstorable),
        Finish(after.id, 1, "failed", error="boom"),
    ]
    assert record(bob, ended) == {
        before.id: (states.DONE, ""),
        refused.id: (states.FAILED, "The outcome could not be stored."),
        after.id: (states.FAILED, "boom"),
    }
    assert ExecutionLog.objects.filter(final=True).count() == 3


def test_a_line_that_is_refused_costs_neither_other_lines_nor_the_ending(bob: User, submit: Submit) -> None:
    submit(bob)
    (job,) = claim()
    lines = [line(job, text, seq) for seq, text in enumerate(("first", "nul \x00", "last"), 1)]
    assert record(bob, [Finish(job.id, 1, "done")], lines) == {job.id: (states.DONE, "")}
    assert list(LogLine.objects.order_by("seq").values_list("text", flat=True)) == ["first", "last"]


def test_an_ending_waits_for_the_last_batch_of_lines(bob: User, submit: Submit) -> None:
    submit(bob)
    (job,) = claim()
    lines = [line(job, "x", seq) for seq in range(1, 2 * LARGEST_BATCH + 2)]
    record(bob, [Finish(job.id, 1, "done")], lines)
    finished_at = Job.objects.get().finished_at
    assert LogLine.objects.filter(logged_at__lte=finished_at).count() == len(lines)


def test_an_ending_of_a_lost_job_does_not_hold_up_the_others(bob: User, submit: Submit) -> None:
    for _ in range(2):
        submit(bob)
    lost, mine = claim()
    Job.objects.filter(pk=lost.id).update(worker_id="other")
    outcome = record(bob, [Finish(lost.id, 1, "done"), Finish(mine.id, 1, "done")])
    assert outcome == {lost.id: (states.RUNNING, ""), mine.id: (states.DONE, "")}


def statuses() -> dict[int, str]:
    return dict(Job.objects.values_list("pk", "status"))


async def until_done(look: DatabaseThread, job: Claimed) -> dict[int, str]:
    async with asyncio.timeout(20):
        while (found := await look.call(statuses))[job.id] != states.DONE:
            await asyncio.sleep(0.02)
    return found


def test_a_job_whose_row_is_locked_waits_alone_and_is_written_when_it_is_free(
    bob: User, submit: Submit
) -> None:
    for _ in range(3):
        submit(bob)
    locked, before, after = claim()

    async def drive(holder: psycopg.Connection) -> None:
        look, database = DatabaseThread("look"), DatabaseThread("test", lock_timeout_s=LOCK_TIMEOUT_S)
        recorder = Recorder("w1", database)
        writing = asyncio.create_task(recorder.run())
        for job in (before, locked):
            recorder.line(bob.org_id or 0, line(job, "text"))
            recorder.finish([Finish(job.id, 1, "done")])
        await until_done(look, before)
        recorder.finish([Finish(after.id, 1, "done")])
        found = await until_done(look, after)
        assert (found[locked.id], recorder.held) == (states.RUNNING, [(locked.id, 1)])
        holder.rollback()
        await asyncio.wait_for(recorder.drained(), 20)
        writing.cancel()
        await asyncio.wait([writing])
        await database.close()
        await look.close()

    with psycopg.connect(database_url()) as holder:
        holder.execute("SELECT 1 FROM jobs_job WHERE id = %s FOR UPDATE", [locked.id])
        asyncio.run(drive(holder))
    assert set(statuses().values()) == {states.DONE}
    assert set(LogLine.objects.values_list("job_id", flat=True)) == {before.id, locked.id}


def test_jobs_whose_gate_is_locked_wait_alone(alice: User, bob: User, charlie: User, submit: Submit) -> None:
    """One of another organisation ends in the same batch; lines of what goes on are stored."""
    assert alice.org is not None
    limits.set_limit(user=alice, org=alice.org, scope="org", max_running=5)
    jobs = [submit(user, concurrency_key="k").pk for user in (bob, charlie)] + [submit(bob).pk]
    gated, other, running = sorted(claim(), key=lambda job: jobs.index(job.id))

    async def drive(holder: psycopg.Connection) -> None:
        look, database = DatabaseThread("look"), DatabaseThread("test", lock_timeout_s=0.2)
        recorder = Recorder("w1", database)
        recorder.line(bob.org_id or 0, line(running, "goes on"))
        recorder.finish([Finish(job.id, 1, "done") for job in (gated, other)])
        writing = asyncio.create_task(recorder.run())
        found = await until_done(look, other)
        assert (found[gated.id], recorder.held) == (states.RUNNING, [(gated.id, 1)])
        assert await look.call(lambda: list(LogLine.objects.values_list("text", flat=True))) == ["goes on"]
        holder.rollback()
        await asyncio.wait_for(recorder.drained(), 20)
        writing.cancel()
        await asyncio.wait([writing])
        await database.close()
        await look.close()

    with psycopg.connect(database_url()) as holder:
        holder.execute("SELECT 1 FROM jobs_gate WHERE scope = 'org' FOR UPDATE")
        asyncio.run(drive(holder))
    assert statuses() == {gated.id: states.DONE, other.id: states.DONE, running.id: states.RUNNING}
    assert dict(Gate.objects.filter(org=alice.org).values_list("scope", "running")) == {"org": 1, "key": 0}


def test_an_ending_waits_for_its_own_lines_only(bob: User, submit: Submit) -> None:
    """A job that writes faster than the database stores must not keep the others from ending."""
    for _ in range(2):
        submit(bob)
    talker, quiet = claim()

    async def drive() -> None:
        database = DatabaseThread("test")
        recorder = Recorder("w1", database)
        recorder.finish([Finish(quiet.id, 1, "done")])
        for seq in range(LARGEST_BATCH + 1):
            recorder.line(bob.org_id or 0, line(talker, "x", seq))
        await recorder._write()
        await database.close()

    asyncio.run(drive())
    assert statuses()[quiet.id] == states.DONE


def test_it_says_when_it_is_behind_and_when_no_longer(bob: User, submit: Submit) -> None:
    submit(bob)
    (job,) = claim()

    async def drive() -> list[bool]:
        database = DatabaseThread("test")
        told: list[bool] = []
        recorder = Recorder("w1", database, on_caught_up=lambda: told.append(recorder.is_behind))
        for seq in range(MOST_BEHIND + 1):
            recorder.line(bob.org_id or 0, line(job, "x", seq))
        assert recorder.is_behind
        writing = asyncio.create_task(recorder.run())
        await asyncio.wait_for(recorder.drained(), 20)
        writing.cancel()
        await asyncio.wait([writing])
        await database.close()
        return told

    assert asyncio.run(drive()) == [False]


@pytest.fixture
def endless() -> Iterator[str]:
    """A statement that takes a minute; the server is told to stop it, which does not see that we left."""
    statement = "SELECT 'endless', pg_sleep(60)"
    yield statement
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query = %s", [statement]
        )


def test_a_call_that_hangs_is_cut_and_the_next_one_works(
    endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_thread, "LONGEST_CALL_S", 0.5)

    def ask(statement: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()

    async def drive() -> Any:
        database = DatabaseThread("test")
        try:
            with pytest.raises(DATABASE_AWAY):
                await asyncio.wait_for(database.call(ask, endless), timeout=10)
            return await database.call(ask, "SELECT 1")
        finally:
            await database.close()

    assert asyncio.run(drive()) == (1,)


def test_what_a_job_wrote_stays_out_of_the_workers_log(
    bob: User, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    submit(bob)
    (job,) = claim()
    refused = Finish(job.id, job.attempt, "done", result={"token": "hunter2\x00"})
    record(bob, [refused], [line(job, "password: hunter2\x00")])
    assert "action=refused" in caplog.text
    assert "hunter2" not in caplog.text
