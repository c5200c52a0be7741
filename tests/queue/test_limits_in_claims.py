"""Limits in the claim: never one too many, whoever claims at the same time; and nobody else pays for them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from jobs import claims, leases, reclaims
from jobs.claims import Finish
from jobs.heads import Heads
from jobs.limit_models import EVERYTHING
from jobs.models import Gate, GateOpening, Job, Limit
from jobs.payloads import JOB_TYPES
from orgs.models import Organization, User
from tests.queue.claiming import LATER, InThread, Submit, claim, end, ids
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

CLAIMERS = 16


def limit(org: Organization, scope: str = "org", name: str = "", **bounds: Any) -> Limit:
    if name != "*":
        Gate.objects.get_or_create(org=org, scope=scope, name=name)
    return Limit.objects.create(org=org, scope=scope, name=name, **bounds)


def running(scope: str, name: str = "") -> int:
    return Gate.objects.get(scope=scope, name=name).running


@pytest.mark.parametrize(("scope", "name"), [("org", ""), ("queue", "mail"), ("key", "k")])
def test_no_more_run_than_the_limit_says(
    bob: User, acme: Organization, submit: Submit, scope: str, name: str
) -> None:
    jobs = [submit(bob, queue="mail", concurrency_key="k") for _ in range(5)]
    if scope != "key":
        Limit.objects.create(org=acme, scope="key", name="*", max_running=100)
    limit(acme, scope, name, max_running=2)
    heads = Heads()
    first, second = claim(heads=heads)
    assert ids([first, second]) == [jobs[0].pk, jobs[1].pk]
    assert claim(heads=heads) == []
    assert not heads.more
    end(first)
    assert ids(claim(heads=heads)) == [jobs[2].pk]
    assert running(scope, name) == 2


def test_a_key_without_a_limit_lets_one_run_at_a_time_in_all_queues(bob: User, submit: Submit) -> None:
    jobs = [submit(bob, queue=queue, concurrency_key="k") for queue in ("a", "b")]
    free = submit(bob)
    heads = Heads()
    taken = claim(heads=heads)
    assert sorted(ids(taken)) == [jobs[0].pk, free.pk]
    end(next(job for job in taken if job.id == jobs[0].pk))
    assert ids(claim(heads=heads)) == [jobs[1].pk]


def test_keys_are_an_organisations_own(bob: User, charlie: User, submit: Submit) -> None:
    submit(bob, concurrency_key="k"), submit(charlie, concurrency_key="k")
    assert len(claim()) == 2


def test_a_limit_on_every_key_counts_each_by_itself(bob: User, acme: Organization, submit: Submit) -> None:
    limit(acme, "key", "*", max_running=2)
    for key in ("a", "b"):
        for _ in range(3):
            submit(bob, concurrency_key=key)
    assert sorted(Job.objects.get(pk=job.id).concurrency_key for job in claim()) == ["a", "a", "b", "b"]


def test_the_narrowest_limit_decides_and_the_wider_one_still_counts(
    bob: User, acme: Organization, submit: Submit
) -> None:
    limit(acme, max_running=3)
    limit(acme, "queue", "mail", max_running=1)
    for _ in range(4):
        submit(bob, queue="mail")
    others = [submit(bob) for _ in range(4)]
    assert [job.queue for job in claim()].count("mail") == 1
    assert running("org") == 3
    assert Job.objects.filter(pk__in=[job.pk for job in others], status="running").count() == 2


def test_a_rate_lets_so_many_begin_and_then_one_by_one(bob: User, acme: Organization, submit: Submit) -> None:
    limit(acme, "queue", "mail", rate_count=3, rate_period_s=60.0)
    for _ in range(10):
        submit(bob, queue="mail")
    now, heads = timezone.now(), Heads()
    for job in claim(heads=heads, now=now):
        end(job)
    assert Job.objects.filter(status="done").count() == 3
    assert heads.more  # what is left of the tokens is not known yet
    assert claim(heads=heads, now=now) == []
    assert heads.opens_at is not None
    assert claim(now=now + timedelta(seconds=19)) == []
    assert len(claim(now=now + timedelta(seconds=20.001))) == 1
    assert claim(now=now + timedelta(seconds=20.002)) == []
    assert len(claim(now=now + timedelta(hours=1))) == 3


def test_a_claim_that_began_earlier_and_locks_later_credits_no_time_twice(
    bob: User, acme: Organization, submit: Submit
) -> None:
    limit(acme, rate_count=2, rate_period_s=10.0)
    for _ in range(9):
        submit(bob)
    now = timezone.now()
    assert len(claim(now=now)) == 2
    assert len(claim(now=now + timedelta(seconds=5))) == 1
    assert claim(now=now) == []
    assert claim(now=now + timedelta(seconds=5)) == []


def test_an_organisation_with_many_keys_at_its_limit_costs_one_look(
    bob: User, charlie: User, acme: Organization, submit: Submit
) -> None:
    limit(acme, max_running=1)
    for number in range(70):
        submit(bob, concurrency_key=f"k{number}")
    heads = Heads()
    (first,) = claim(limit=4, heads=heads)
    assert claim(limit=4, heads=heads) == []
    assert not heads.more
    end(first)
    assert len(claim(limit=4, heads=heads)) == 1
    assert claim(limit=4, heads=heads) == []
    assert not heads.more
    late = submit(charlie)
    assert ids(claim(limit=4, heads=heads)) == [late.pk]


def test_what_was_claimed_ahead_and_given_back_may_begin_again_at_once(
    bob: User, acme: Organization, submit: Submit
) -> None:
    limit(acme, rate_count=2, rate_period_s=3600.0)
    jobs = [submit(bob) for _ in range(2)]
    heads = Heads()
    back = claim(heads=heads)
    leases.finish(worker_id="w1", ended=[Finish(job.id, job.attempt, "released") for job in back])
    assert ids(claim(heads=heads)) == [job.pk for job in jobs]


def test_a_limit_can_be_changed_while_jobs_run(bob: User, acme: Organization, submit: Submit) -> None:
    rule = limit(acme, max_running=1)
    for _ in range(4):
        submit(bob)
    heads = Heads()
    assert len(claim(heads=heads)) == 1
    Limit.objects.filter(pk=rule.pk).update(max_running=3)
    GateOpening.objects.create(gate_id=Gate.objects.get().pk)
    assert len(claim(heads=heads)) == 2
    Limit.objects.filter(pk=rule.pk).update(max_running=0)
    assert claim() == []


def test_attempts_that_are_lost_leave_their_gates(bob: User, acme: Organization, submit: Submit) -> None:
    limit(acme, max_running=1)
    job, _ = submit(bob), submit(bob)
    heads = Heads()
    claim(heads=heads)
    assert claim(heads=heads) == []
    (moved,) = reclaims.reclaim_expired(actor="leader", now=LATER)
    assert moved.reopened
    assert running("org") == 0
    assert ids(claim(heads=heads)) == [job.pk]


def test_an_ending_that_is_no_longer_the_workers_changes_no_count(
    bob: User, acme: Organization, submit: Submit
) -> None:
    limit(acme, max_running=1)
    submit(bob)
    (job,) = claim()
    reclaims.reclaim_expired(actor="leader", now=LATER)
    claim("w2")
    assert end(job) == []
    assert running("org") == 1


def test_an_organisation_at_its_limit_hides_nobody(
    bob: User, charlie: User, acme: Organization, submit: Submit
) -> None:
    limit(acme, max_running=1)
    for number in range(90):
        submit(bob, queue=f"q{number}")
    heads = Heads()
    assert len(claim(limit=1, heads=heads)) == 1
    assert claim(limit=5, heads=heads) == []
    assert not heads.more  # one look closed all ninety
    late = submit(charlie)
    assert ids(claim(limit=5, heads=heads)) == [late.pk]


def test_a_gate_that_somebody_holds_is_left_for_later(
    bob: User, charlie: User, acme: Organization, submit: Submit
) -> None:
    from django.db import transaction

    limit(acme, max_running=5)
    ours, theirs = submit(bob), submit(charlie)
    heads = Heads()
    with transaction.atomic():
        Gate.objects.select_for_update().get(scope="org")
        beside = InThread(lambda: ids(claim("w2", heads=heads)))
        assert beside.answer() == [theirs.pk]
    assert heads.opens_at is not None
    wait_until(lambda: ids(claim("w2", heads=heads)) == [ours.pk], timeout=5)


def test_every_worker_hears_that_a_gate_is_open_again(bob: User, acme: Organization, submit: Submit) -> None:
    limit(acme, max_running=1)
    submit(bob), submit(bob)
    one, other = Heads(), Heads()
    (job,) = claim("w1", heads=one)
    assert claim("w2", heads=other) == []
    (moved,) = end(job)
    assert moved.reopened
    assert len(claim("w2", heads=other)) == 1


def test_nobody_is_told_of_a_gate_that_turned_nobody_away(
    bob: User, acme: Organization, submit: Submit
) -> None:
    limit(acme, max_running=5)
    submit(bob)
    (job,) = claim()
    (moved,) = end(job)
    assert not moved.reopened
    assert not GateOpening.objects.exclude(gate_id=EVERYTHING).exists()


class Race:
    """CLAIMERS sessions that claim and end jobs until none is left, and what ran at most at a time."""

    def __init__(self, total: int) -> None:
        self._lock = threading.Lock()
        self._left = total
        self._now: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.errors: list[BaseException] = []

    def run(self) -> None:
        threads = [threading.Thread(target=self._work, args=(f"w{n}",), daemon=True) for n in range(CLAIMERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert not self.errors
        assert self._left == 0

    def _work(self, worker: str) -> None:
        heads = Heads()
        try:
            while self._left > 0:
                jobs = claims.claim(worker_id=worker, types=JOB_TYPES, limit=3, lease_s=60, heads=heads)
                self._note(jobs, +1)
                self._note(jobs, -1)
                ended = [Finish(job.id, job.attempt, "done", runtime_ms=1.0) for job in jobs]
                if ended:
                    leases.finish(worker_id=worker, ended=ended)
                with self._lock:
                    self._left -= len(jobs)
        except BaseException as error:
            self.errors.append(error)
            self._left = 0
        finally:
            connection.close()

    def _note(self, jobs: Iterable[claims.Claimed], change: int) -> None:
        """A job counts from the answer of its claim to just before its ending is sent: less than it counts for."""
        with self._lock:
            for job in jobs:
                for name in ("org", f"queue {job.queue}", f"key {job.name}"):
                    self._now[name] = self._now.get(name, 0) + change
                    self.most[name] = max(self.most.get(name, 0), self._now[name])


def test_sixteen_claimers_never_pass_a_limit_by_one(bob: User, acme: Organization, submit: Submit) -> None:
    limit(acme, max_running=7)
    limit(acme, "queue", "mail", max_running=3)
    limit(acme, "key", "a", max_running=2)
    for number in range(120):
        key = "ab"[number % 2]
        submit(bob, queue=("mail", "default")[number % 3 % 2], concurrency_key=key, name=key)
    refuse_one_too_many()
    race = Race(120)
    try:
        race.run()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_one_too_many() CASCADE")
    assert race.most["org"] <= 7
    assert race.most["queue mail"] <= 3
    assert race.most["key a"] <= 2
    assert race.most["key b"] == 1
    assert set(Gate.objects.values_list("running", flat=True)) == {0}


def refuse_one_too_many() -> None:
    """Have the database itself refuse a count over its limit, until the function is dropped."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE OR REPLACE FUNCTION refuse_one_too_many() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.running > coalesce((SELECT max_running FROM jobs_limit WHERE org_id = NEW.org_id
                    AND scope = NEW.scope AND name = NEW.name), 1)
                THEN RAISE EXCEPTION 'one too many: % %', NEW.scope, NEW.running; END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON jobs_gate FOR EACH ROW EXECUTE FUNCTION refuse_one_too_many();
            """
        )
