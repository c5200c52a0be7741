"""What a worker remembers of the queue never hides a job from it, and the claim never takes more than asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from jobs import leases
from jobs.claims import Heads
from jobs.heads import EVERYTHING, MOST_FLOWS
from jobs.models import GateOpening, Job, Pause, Worker
from orgs.models import Organization, User
from tests.queue.claiming import InThread, Submit, claim, end, ids

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def other_session() -> Iterator[psycopg.Connection[Any]]:
    values = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    with psycopg.connect(**{name: values[name] for name in names if values.get(name)}) as session:
        yield session


def insert_copy(session: psycopg.Connection[Any], job: Job, rank: float) -> int:
    """A queued job like `job`, inserted by a transaction that goes on."""
    row = session.execute(
        "INSERT INTO jobs_job (org_id, flow_id, queue, name, type, payload, lane, status, priority, rank,"
        " prediction_source, queued_at, attempt, retry_count, max_retries, timeout_s, cancel_requested,"
        " error_msg, request_hash) SELECT org_id, flow_id, queue, name, type, payload, lane, 'queued', priority,"
        " %s, prediction_source, now(), 0, 0, max_retries, timeout_s, false, '', ''"
        " FROM jobs_job WHERE id = %s RETURNING id",
        [rank, job.pk],
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_job_of_a_transaction_that_committed_late_is_found(bob: User, submit: Submit) -> None:
    heads = Heads()
    with other_session() as late:
        first = submit(bob)
        below = insert_copy(late, first, rank=first.rank - 1000)
        second, third = submit(bob), submit(bob)  # their numbers are higher than that of the open transaction
        assert ids(claim(limit=2, heads=heads)) == [first.pk, second.pk]
        assert heads.unfinished
        late.commit()
    assert ids(claim(limit=2, heads=heads)) == [below, third.pk]
    assert claim(heads=heads) == []


def test_a_job_that_ranks_before_all_that_is_known_comes_first(bob: User, submit: Submit) -> None:
    heads = Heads()
    first, second = submit(bob), submit(bob)
    assert ids(claim(limit=1, heads=heads)) == [first.pk]
    urgent = submit(bob, lane="high")
    assert ids(claim(limit=1, heads=heads)) == [urgent.pk]
    assert ids(claim(limit=5, heads=heads)) == [second.pk]


def test_a_flow_that_was_empty_comes_back_with_its_next_job(bob: User, submit: Submit) -> None:
    heads = Heads()
    submit(bob)
    (gone,) = claim(heads=heads)
    assert claim(heads=heads) == []
    assert not heads.flows
    end(gone, "released")
    assert ids(claim(heads=heads)) == [gone.id]
    mail = submit(bob, queue="mail")
    assert ids(claim(heads=heads)) == [mail.pk]


def test_jobs_that_a_rolled_back_claim_had_taken_are_still_known(bob: User, submit: Submit) -> None:
    heads = Heads()
    jobs = [submit(bob) for _ in range(4)]

    def claim_beside() -> list[int]:
        return ids(claim("w2", limit=1, heads=heads))

    with transaction.atomic():
        assert ids(claim("w1", limit=2)) == [jobs[0].pk, jobs[1].pk]
        assert InThread(claim_beside).answer() == [jobs[2].pk]
        transaction.set_rollback(True)
    assert ids(claim("w2", heads=heads)) == [jobs[0].pk, jobs[1].pk, jobs[3].pk]


def test_remembered_flows_are_those_with_work(bob: User, submit: Submit) -> None:
    heads = Heads()
    for queue in ("a", "b", "c"):
        submit(bob, queue=queue)
    claim(limit=1, heads=heads)
    claim(limit=1, heads=heads)
    assert len(heads.flows) == 2
    claim(limit=5, heads=heads)
    claim(heads=heads)
    assert not heads.flows


def test_only_the_chosen_queues_are_claimed(bob: User, submit: Submit) -> None:
    default, mail = submit(bob), submit(bob, queue="mail")
    assert ids(claim(queues=["mail"])) == [mail.pk]
    assert claim(queues=["mail", "nightly"]) == []
    assert ids(claim()) == [default.pk]


def test_flows_that_one_claim_leaves_out_are_told_of(bob: User, submit: Submit) -> None:
    heads = Heads()
    for number in range(MOST_FLOWS + 4):
        submit(bob, queue=f"q{number}")
    assert len(claim(limit=100, heads=heads)) == MOST_FLOWS
    assert heads.more
    assert len(claim(limit=100, heads=heads)) == 4
    assert not heads.more


def test_a_claim_locks_what_it_takes_and_no_more(bob: User, submit: Submit) -> None:
    jobs = [submit(bob, queue=f"q{number}").pk for number in range(4)]
    heads = Heads()
    with transaction.atomic():
        assert ids(claim("w1", limit=1)) == jobs[:1]
        others = InThread(lambda: ids(claim("w2", limit=4, heads=heads)))
        assert others.answer() == jobs[1:]
        assert heads.opens_at is not None  # the first job was in view, and is held by w1
    assert claim("w2", heads=heads) == []
    assert not heads.more


def test_jobs_of_a_restored_dump_are_found_by_a_look_at_every_flow(bob: User, submit: Submit) -> None:
    heads = Heads()
    assert claim(heads=heads) == []
    restored = submit(bob)
    Job.objects.filter(pk=restored.pk).update(queued_xid=2**60)
    assert claim(heads=heads) == []
    assert ids(claim(heads=Heads())) == [restored.pk]


def test_no_floor_is_rounded_up(bob: User, submit: Submit, acme: Organization) -> None:
    """A server that is set to print fewer digits must not hide the job at the head."""
    job, heads = submit(bob), Heads()
    Job.objects.filter(pk=job.pk).update(rank=1234567890.1234567)
    pause = Pause.objects.create(org=acme)
    with connection.cursor() as cursor:
        cursor.execute("SET extra_float_digits = -4")
    try:
        assert claim(heads=heads) == []
        pause.delete()
        GateOpening.objects.create(gate_id=EVERYTHING)
        assert ids(claim(heads=heads)) == [job.pk]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET extra_float_digits")


class TestPauses:
    def test_a_pause_holds_what_it_names_and_nothing_else(
        self, bob: User, acme: Organization, submit: Submit
    ) -> None:
        heads = Heads()
        held, free = submit(bob, queue="mail"), submit(bob)
        pause = Pause.objects.create(org=acme, queue="mail")
        assert ids(claim(heads=heads)) == [free.pk]
        assert claim(heads=heads) == []
        pause.delete()
        GateOpening.objects.create(gate_id=EVERYTHING)
        assert ids(claim(heads=heads)) == [held.pk]

    @pytest.mark.parametrize("part", [{}, {"type": "python"}, {"queue": "default"}])
    def test_a_pause_of_the_platform_holds_every_org(
        self, bob: User, submit: Submit, part: dict[str, str]
    ) -> None:
        submit(bob)
        Pause.objects.create(org=None, **part)
        assert claim() == []

    def test_another_orgs_pause_changes_nothing(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        Pause.objects.create(org=Organization.objects.create(name="Globex"))
        assert ids(claim()) == [job.pk]

    @pytest.mark.parametrize("wanted", [Worker.PAUSE, Worker.DRAIN])
    def test_a_worker_that_is_to_pause_or_drain_gets_nothing(
        self, bob: User, submit: Submit, wanted: str
    ) -> None:
        job = submit(bob)
        Worker.objects.create(worker_id="w1", hostname="h", pid=1, concurrency=1, wanted=wanted)
        assert claim("w1") == []
        assert leases.renew(worker_id="w1", held=[], lease_s=30).wanted == wanted
        assert ids(claim("w2")) == [job.pk]


class TestStaleStatistics:
    """The planner believes that the queue is empty, or that it is large: the claim takes what was asked."""

    @pytest.mark.parametrize("analysed_rows", [0, 5000])
    @pytest.mark.parametrize(
        "planner", ["", "SET LOCAL enable_indexscan = off", "SET LOCAL enable_nestloop = off"]
    )
    def test_never_more_rows_than_asked(
        self, bob: User, submit: Submit, analysed_rows: int, planner: str
    ) -> None:
        pattern = submit(bob)
        with connection.cursor() as cursor:
            cursor.execute(MANY_LIKE_IT, [analysed_rows, pattern.pk])
            cursor.execute("ANALYZE jobs_job")
            cursor.execute("DELETE FROM jobs_job")
        for number in range(60):
            submit(bob, queue=f"q{number % 20}")
        for asked in (7, 7, 1):
            with transaction.atomic():
                if planner:
                    connection.cursor().execute(planner)
                assert len(claim(limit=asked)) == asked
        assert Job.objects.filter(status="running").count() == 15


MANY_LIKE_IT = """
INSERT INTO jobs_job (org_id, flow_id, queue, name, type, payload, lane, status, priority, rank,
    prediction_source, queued_at, attempt, retry_count, max_retries, timeout_s, cancel_requested, error_msg,
    request_hash)
SELECT org_id, flow_id, queue, name, type, payload, lane, 'queued', priority, rank + number,
    prediction_source, now(), 0, 0, max_retries, timeout_s, false, '', ''
FROM jobs_job, generate_series(1, %s) number WHERE id = %s
"""
