"""Turns of organisations in the claim itself: against the real statement, with the memory of one worker."""

from __future__ import annotations

from collections import Counter

import pytest
from django.db import transaction

from jobs.claims import Claimed
from jobs.heads import Heads
from jobs.models import Flow, Job
from orgs.models import Organization, User
from tests.queue.claiming import InThread, Submit, claim, end, ids

pytestmark = pytest.mark.django_db(transaction=True)


def predicted(user: User, seconds: float, *jobs: Job) -> None:
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(predicted_runtime_ms=seconds * 1000)


def served(claimed: list[Claimed], *orgs: Organization) -> list[int]:
    counts = Counter(job.org_id for job in claimed)
    return [counts[org.pk] for org in orgs]


def test_the_one_job_of_a_newcomer_is_in_the_next_claim(
    bob: User, charlie: User, acme: Organization, submit: Submit
) -> None:
    heads = Heads()
    for _ in range(40):
        submit(bob)
    claim(limit=5, heads=heads)
    late = submit(charlie)
    assert late.pk in ids(claim(limit=2, heads=heads))


def test_one_batch_is_shared_by_predicted_seconds(
    bob: User, charlie: User, acme: Organization, globex: Organization, submit: Submit
) -> None:
    predicted(bob, 1.0, *[submit(bob) for _ in range(20)])
    predicted(charlie, 4.0, *[submit(charlie) for _ in range(20)])
    assert served(claim(limit=10), acme, globex) == [8, 2]


def test_weights_count(
    bob: User, charlie: User, acme: Organization, globex: Organization, submit: Submit
) -> None:
    Organization.objects.filter(pk=acme.pk).update(weight=3.0)
    heads = Heads()
    jobs = [submit(user) for _ in range(30) for user in (bob, charlie)]
    predicted(bob, 2.0, *jobs)
    taken = [served(claim(limit=1, heads=heads), acme, globex) for _ in range(16)]
    assert [sum(one[0] for one in taken), sum(one[1] for one in taken)] == [12, 4]


def test_a_claim_that_is_cut_short_by_one_organisation_takes_from_the_others(
    bob: User, charlie: User, acme: Organization, globex: Organization, submit: Submit
) -> None:
    for _ in range(3):
        submit(bob)
    for _ in range(10):
        submit(charlie)
    assert served(claim(limit=10), acme, globex) == [3, 7]


def test_within_an_organisation_ranks_decide_across_queues_and_types(
    bob: User, charlie: User, submit: Submit
) -> None:
    submit(charlie)
    jobs = [submit(bob, queue=queue) for queue in ("a", "b", "a", "c")]
    for place, job in enumerate(reversed(jobs)):
        Job.objects.filter(pk=job.pk).update(rank=float(place))
    heads = Heads()
    taken = [job.id for _ in range(5) for job in claim(limit=1, heads=heads) if job.user_id == bob.pk]
    assert taken == [job.pk for job in reversed(jobs)]


def test_what_it_really_took_decides_who_is_next(
    bob: User, charlie: User, acme: Organization, globex: Organization, submit: Submit
) -> None:
    heads = Heads()
    for user in (bob, charlie):
        predicted(user, 1.0, *[submit(user) for _ in range(30)])
    (first,) = claim(limit=1, heads=heads)
    end(first)
    heads.shares.charge(first.org_id, 9.0)  # ten seconds, not one
    next_ten = [claim(limit=1, heads=heads)[0].org_id for _ in range(10)]
    assert first.org_id not in next_ten


def test_arrivals_of_who_is_ahead_do_not_jump_the_queue(
    bob: User, charlie: User, acme: Organization, globex: Organization, submit: Submit
) -> None:
    heads = Heads()
    predicted(charlie, 1.0, *[submit(charlie) for _ in range(30)])
    submit(bob)
    while acme.pk not in [job.org_id for job in claim(limit=1, heads=heads)]:
        pass
    heads.shares.charge(acme.pk, 5.0)
    assert claim(limit=1, heads=heads)[0].org_id == globex.pk  # finds out that acme has none left
    submit(bob)
    assert claim(limit=1, heads=heads)[0].org_id == globex.pk


def test_more_organisations_than_one_claim_looks_at_are_all_served(submit: Submit, bob: User) -> None:
    template = submit(bob)
    for number in range(100):
        org = Organization.objects.create(name=f"org {number}")
        flow = Flow.objects.create(org=org, queue=template.queue, type=template.type)
        job = Job.objects.get(pk=template.pk)
        job.pk, job.org, job.flow, job.user = None, org, flow, None
        job.save(force_insert=True)
    heads, seen = Heads(), []
    for _ in range(101):
        seen += [job.org_id for job in claim(limit=1, heads=heads)]
    assert len(set(seen)) == 101
    assert claim(heads=heads) == []


def test_a_newcomer_does_not_wait_for_what_was_charged_and_given_back(
    bob: User, charlie: User, submit: Submit
) -> None:
    """A lone organisation's jobs were thought to take 3 s each, and took nothing."""
    heads = Heads()
    for _ in range(60):
        submit(bob)
    for job in claim(limit=50, heads=heads):
        end(job)
        heads.shares.charge(job.org_id, 0.005 - 3.0)
    late = submit(charlie)
    assert late.pk in ids(claim(limit=2, heads=heads))


def test_jobs_that_somebody_holds_keep_nobody_else_waiting(bob: User, charlie: User, submit: Submit) -> None:
    held = [submit(bob) for _ in range(3)]
    free = [submit(charlie).pk for _ in range(6)]
    heads = Heads()

    def claimed_beside() -> list[int]:
        return [job for _ in range(4) for job in ids(claim("w2", limit=1, heads=heads))]

    with transaction.atomic():
        list(Job.objects.select_for_update().filter(pk__in=[job.pk for job in held]))
        assert InThread(claimed_beside).answer() == free[:4]


def test_a_batch_over_many_flows_is_filled(bob: User, submit: Submit) -> None:
    for number in range(30):
        submit(bob, queue=f"q{number}")
    for _ in range(150):
        submit(bob)
    heads, taken = Heads(), 0
    while jobs := claim(limit=170, heads=heads):
        taken += len(jobs)
        if not heads.more:
            break
    assert taken >= 170
