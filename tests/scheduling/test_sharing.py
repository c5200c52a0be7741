"""What workers charge, and hear of each other: predictions at once, what it really took when it is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from jobs import claims, shares
from jobs.claims import Claimed, Finish
from jobs.fairness import Shares
from jobs.heads import Heads
from jobs.models import Job, Share
from jobs.payloads import JOB_TYPES
from orgs.models import Organization, User
from scheduler.database_thread import DatabaseThread
from scheduler.sharing import Sharing
from tests.processes import database_url
from tests.queue.claiming import wait_until_blocked

pytestmark = pytest.mark.django_db(transaction=True)

Submit = Callable[..., Job]
HALF_LIFE_S = 1e12
CANCEL_WHO_WAITS = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


class Party:
    """A worker's places and what it tells of them."""

    def __init__(self, database: DatabaseThread) -> None:
        self.places = Shares(HALF_LIFE_S)
        self.sharing = Sharing(self.places, database)

    def took(self, *jobs: Claimed) -> None:
        for job in jobs:
            self.places.begin(job.org_id)
        Heads(self.places).took((job.org_id, job.predicted_runtime_ms) for job in jobs)
        self.sharing.took(jobs)


@asynccontextmanager
async def parties(count: int) -> AsyncIterator[list[Party]]:
    database = DatabaseThread("share")
    try:
        yield [Party(database) for _ in range(count)]
    finally:
        await database.close()


@pytest.fixture
def jobs(bob: User, submit: Submit) -> list[Claimed]:
    for _ in range(3):
        submit(bob)
    Job.objects.update(predicted_runtime_ms=2000.0)
    return claims.claim(worker_id="w1", types=JOB_TYPES, limit=3, lease_s=60)


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    return async_to_sync(scenario)()


def test_a_claim_is_charged_its_prediction_and_settled_with_what_it_took(
    acme: Organization, jobs: list[Claimed]
) -> None:
    async def scenario() -> tuple[float, float]:
        async with parties(1) as (one,):
            one.took(jobs[0])
            charged = one.places.place(acme.pk)
            one.sharing.ended([Finish(jobs[0].id, jobs[0].attempt, "failed", runtime_ms=9000.0)])
            await one.sharing.exchange()
            return charged, one.places.place(acme.pk)

    assert run(scenario) == pytest.approx((2.0, 9.0))
    share = Share.objects.get(org=acme)
    assert share.charged_s == share.recent_s == pytest.approx(9.0)


def test_what_was_given_back_before_it_began_costs_nothing(acme: Organization, jobs: list[Claimed]) -> None:
    async def scenario() -> float:
        async with parties(1) as (one,):
            one.took(*jobs)
            one.sharing.ended([Finish(job.id, job.attempt, "released") for job in jobs])
            return one.places.place(acme.pk)

    assert run(scenario) == pytest.approx(0.0, abs=0.001)


def test_a_job_that_runs_longer_than_predicted_is_charged_as_it_runs(
    acme: Organization, jobs: list[Claimed]
) -> None:
    async def scenario() -> list[float]:
        async with parties(1) as (one,):
            one.took(jobs[0])
            held = (jobs[0].id, jobs[0].attempt)
            places = []
            for seconds in (1.0, 5.0, 7.0):
                one.sharing.still_running([(held, seconds)])
                places.append(one.places.place(acme.pk))
            one.sharing.ended([Finish(*held, "done", runtime_ms=7500.0)])
            return [*places, one.places.place(acme.pk)]

    assert run(scenario) == pytest.approx([2.0, 5.0, 7.0, 7.5])


def test_workers_hear_what_others_charge_and_count_nothing_twice(
    acme: Organization, jobs: list[Claimed]
) -> None:
    async def scenario() -> list[float]:
        async with parties(2) as (one, other):
            for party in (one, other):  # from now on they hear of it
                party.places.begin(acme.pk)
                await party.sharing.exchange()
            one.took(jobs[0])
            other.took(jobs[1], jobs[2])
            for _ in range(3):
                await one.sharing.exchange()
                await other.sharing.exchange()
            return [one.places.place(acme.pk), other.places.place(acme.pk)]

    assert run(scenario) == pytest.approx([6.0, 6.0])
    assert Share.objects.get(org=acme).charged_s == pytest.approx(6.0)


def test_what_certainly_was_not_told_is_told_the_next_time(acme: Organization, jobs: list[Claimed]) -> None:
    def rename(before: str, after: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {before} RENAME TO {after}")

    async def scenario() -> None:
        async with parties(1) as (one,):
            one.took(jobs[0])
            await asyncio.to_thread(_closing, rename, "jobs_share", "jobs_share_away")
            try:
                await one.sharing.exchange()
            finally:
                await asyncio.to_thread(_closing, rename, "jobs_share_away", "jobs_share")
            await one.sharing.exchange()

    run(scenario)
    assert Share.objects.get(org=acme).charged_s == pytest.approx(2.0)


def test_what_may_have_been_told_is_not_told_again(
    acme: Organization, jobs: list[Claimed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session ends behind the statement, and with it the answer is lost."""
    exchange = shares.exchange

    def lose_the_answer(*args: Any) -> dict[int, float]:
        exchange(*args)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        raise AssertionError("the session has not ended")

    async def scenario() -> list[float]:
        async with parties(2) as (one, other):
            for party in (one, other):
                party.places.begin(acme.pk)
                await party.sharing.exchange()
            one.took(jobs[0])
            monkeypatch.setattr(shares, "exchange", lose_the_answer)
            await one.sharing.exchange()
            monkeypatch.undo()
            other.took(jobs[1])
            for party in (one, other, one):
                await party.sharing.exchange()
            return [one.places.place(acme.pk), other.places.place(acme.pk)]

    assert run(scenario) == pytest.approx([4.0, 4.0])
    assert Share.objects.get(org=acme).charged_s == pytest.approx(4.0)


@pytest.mark.parametrize("fails", [False, True])
def test_an_exchange_that_is_cancelled_is_neither_lost_nor_repeated(
    acme: Organization, jobs: list[Claimed], *, fails: bool
) -> None:
    """As at the end of a worker: its last exchange begins while one that was cancelled is on its way."""

    async def scenario() -> float:
        async with parties(1) as (one,):
            with psycopg.connect(database_url()) as holder:
                holder.execute("LOCK TABLE jobs_share IN EXCLUSIVE MODE")
                one.took(jobs[0])
                exchanging = asyncio.create_task(one.sharing.exchange())
                await asyncio.to_thread(_closing, wait_until_blocked)
                exchanging.cancel()
                await asyncio.wait([exchanging])
                one.took(jobs[1])
                last = asyncio.create_task(one.sharing.exchange())
                await asyncio.sleep(0)
                if fails:
                    holder.execute(CANCEL_WHO_WAITS)
                holder.rollback()
            await last
            return one.places.place(acme.pk)

    assert run(scenario) == pytest.approx(4.0)
    assert Share.objects.get(org=acme).charged_s == pytest.approx(4.0)


def test_a_lead_is_written_with_a_charge_and_when_it_is_gone(
    acme: Organization, globex: Organization, jobs: list[Claimed]
) -> None:
    """Workers that serve different queues see different leads: they must not write theirs in turns for ever."""

    async def scenario() -> list[tuple[str, float]]:
        async with parties(2) as (ahead, level):
            for party in (ahead, level):
                for org in (acme, globex):
                    party.places.begin(org.pk)
            ahead.took(jobs[0])
            versions = []
            for number, party in enumerate((ahead, level, ahead, level, ahead, ahead)):
                if number == 4:
                    ahead.places.charge(globex.pk, 5.0)
                await party.sharing.exchange()
                versions.append(await asyncio.to_thread(_closing, _version, acme))
            return versions

    versions = run(scenario)
    assert [lead for _, lead in versions] == pytest.approx([2.0, 2.0, 2.0, 2.0, 0.0, 0.0])
    assert len({version for version, _ in versions[:4]}) == 1
    assert versions[4] == versions[5]


def _version(org: Organization) -> tuple[str, float]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text, lead_s FROM jobs_share WHERE org_id = %s", [org.pk])
        version, lead_s = cursor.fetchone()
    return version, lead_s


def _closing(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    finally:
        connection.close()
