"""How many jobs of an organisation may wait: exact, each submitter answered alone, nothing else refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from jobs import queue_room, reclaims, replays, services, submission
from jobs.models import Flow, Gate, Job, JobEvent, Limit, Replay
from jobs.queue_room import QueueFull
from orgs.models import Organization, User
from scheduler.duties import replay as replay_duty
from tests.queue.claiming import LATER, claim, end
from tests.queue.submitting import NOOP, Later, at_once, many

Submit = Callable[..., Job]


@pytest.fixture
def ten(acme: Organization) -> Limit:
    return Limit.objects.create(org=acme, scope="org", max_queued=10)


def statuses(answers: list[services.Submitted]) -> list[str]:
    return [answer.status for answer in answers]


def asked(user: User, **fields: Any) -> services.Asked:
    assert user.org is not None
    return services.Asked(user.org, user, submission.parse({**NOOP, **fields}))


@pytest.mark.django_db
class TestOneAfterTheOther:
    def test_the_one_too_many_is_told_the_limit_and_how_many_wait(
        self, bob: User, submit: Submit, ten: Limit
    ) -> None:
        for _ in range(10):
            submit(bob)
        with pytest.raises(QueueFull, match="may have 10 jobs waiting, and 10 wait already") as told:
            submit(bob)
        assert (told.value.code, told.value.http_status) == ("queue_full", 429)
        assert told.value.retry_after_s
        assert Job.objects.count() == JobEvent.objects.count() == 10

    def test_scheduled_jobs_wait_too_and_running_ones_do_not(
        self, bob: User, submit: Submit, ten: Limit
    ) -> None:
        many(bob, *[{"delay": 60.0}] * 4, *[{}] * 6)
        with pytest.raises(QueueFull):
            submit(bob)
        assert len(claim(limit=3)) == 3
        assert statuses(many(bob, *[{}] * 5)) == ["created"] * 3 + ["refused"] * 2

    def test_others_are_not_counted_and_not_refused(
        self, bob: User, charlie: User, submit: Submit, ten: Limit
    ) -> None:
        many(charlie, *[{}] * 20)
        many(bob, *[{}] * 10)
        ours, theirs, more = services.submit_each([asked(bob), asked(charlie), asked(charlie)])
        assert isinstance(ours, QueueFull)
        assert isinstance(theirs, Job)
        assert isinstance(more, Job)

    def test_of_many_the_first_ones_find_room(self, bob: User, ten: Limit) -> None:
        answers = many(bob, *({"name": f"n{number}"} for number in range(14)))
        assert statuses(answers) == ["created"] * 10 + ["refused"] * 4
        assert list(Job.objects.order_by("pk").values_list("name", flat=True)) == [f"n{n}" for n in range(10)]
        assert isinstance(answers[-1].error, QueueFull)

    def test_all_or_nothing_is_refused_as_a_whole(self, bob: User, ten: Limit) -> None:
        assert bob.org is not None
        many(bob, *[{}] * 7)
        batch: dict[str, Any] = {"org": bob.org, "user": bob, "all_or_nothing": True}
        with pytest.raises(QueueFull, match="room for 3 of these 4"):
            services.submit_many(submissions=[NOOP] * 4, **batch)
        assert Job.objects.count() == 7
        keyed = [{**NOOP, "idempotency_key": f"k{number}"} for number in range(4)]
        with pytest.raises(QueueFull):
            services.submit_many(submissions=keyed, **batch)
        assert Job.objects.count() == 7
        assert statuses(services.submit_many(submissions=keyed[:3], **batch)) == ["created"] * 3

    def test_what_is_wrong_is_told_before_what_does_not_fit(self, bob: User, ten: Limit) -> None:
        assert bob.org is not None
        many(bob, {"idempotency_key": "k"}, *[{}] * 9)
        other = {**NOOP, "name": "other", "idempotency_key": "k"}
        with pytest.raises(services.BulkRefused) as told:
            services.submit_many(org=bob.org, user=bob, submissions=[NOOP, other], all_or_nothing=True)
        assert list(told.value.fields) == ["jobs.1.idempotency_key"]

    def test_a_repeated_request_needs_no_room(self, bob: User, submit: Submit, ten: Limit) -> None:
        first = submit(bob, idempotency_key="k")
        many(bob, *[{}] * 9)
        again = submit(bob, idempotency_key="k")
        assert (again.pk, again.was_created) == (first.pk, False)
        with pytest.raises(services.IdempotencyConflict):
            submit(bob, idempotency_key="k", name="other")
        with pytest.raises(QueueFull):
            submit(bob, idempotency_key="new")

    def test_those_with_one_key_share_a_place(self, bob: User, ten: Limit) -> None:
        many(bob, *[{}] * 9)
        keys = ["a", "a", "b", "b", "a"]
        answers = many(bob, *({"idempotency_key": key} for key in keys))
        assert statuses(answers) == ["created", "existing", "refused", "refused", "existing"]
        assert Job.objects.count() == 10

    def test_a_limit_below_what_waits(self, bob: User, submit: Submit, ten: Limit) -> None:
        many(bob, *[{}] * 10)
        Limit.objects.update(max_queued=2)
        with pytest.raises(QueueFull, match="may have 2 jobs waiting, and more than 2 wait"):
            submit(bob)
        Limit.objects.update(max_queued=0)
        with pytest.raises(QueueFull, match="may have 0 jobs waiting"):
            submit(bob)
        Limit.objects.all().delete()
        assert submit(bob).status == "queued"

    def test_the_default_holds_for_all_and_gives_way_to_an_own_limit(
        self, bob: User, charlie: User, submit: Submit, ten: Limit, settings: Any
    ) -> None:
        settings.MAX_QUEUED_PER_ORG = 2
        assert statuses(many(charlie, *[{}] * 3)) == ["created", "created", "refused"]
        assert statuses(many(bob, *[{}] * 11)) == ["created"] * 10 + ["refused"]
        Limit.objects.update(max_queued=None, max_running=5)
        with pytest.raises(QueueFull, match="may have 2 jobs"):
            submit(bob)

    def test_retries_and_due_jobs_are_never_refused(self, bob: User, ten: Limit) -> None:
        many(bob, {"delay": 60.0}, *[{}] * 9)
        (job,) = claim(limit=1)
        many(bob, {})
        end(job, "failed", retry_delay_s=0.0)
        assert Job.objects.filter(status="scheduled").count() == 2
        assert len(reclaims.promote_due(actor="test", now=LATER)) == 2
        assert Job.objects.filter(status="queued").count() == 11


@pytest.mark.django_db
class TestReplays:
    def test_a_bulk_replay_waits_for_room(self, bob: User, alice: User, ten: Limit) -> None:
        many(bob, *[{}] * 4)
        for job in claim(limit=4):
            end(job, "failed")
        many(bob, *[{}] * 8)
        replay = replays.start(org=None, user=alice, wanted=replays.ReplayFilter(), rate_per_s=100)
        Replay.objects.update(advanced_at="2000-01-01T00:00:00Z")
        for room, replayed in ((0, 2), (1, 3), (0, 3), (1, 4)):
            for job in claim(limit=room) if room else []:
                end(job)
            Replay.objects.update(advanced_at="2000-01-01T00:00:00Z")
            replay_duty.run("test")
            replay.refresh_from_db()
            assert replay.replayed == replayed
        assert not JobEvent.objects.filter(reason__startswith="not replayed").exists()
        assert sorted(
            Job.objects.filter(replay_of__isnull=False).values_list("replay_of", flat=True)
        ) == list(Job.objects.filter(status="failed").order_by("pk").values_list("pk", flat=True))

    def test_one_by_hand_is_refused(self, bob: User, submit: Submit, ten: Limit) -> None:
        submit(bob)
        (job,) = claim()
        end(job, "failed")
        many(bob, *[{}] * 10)
        with pytest.raises(QueueFull):
            replays.replay(job=Job.objects.get(pk=job.id), user=bob)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_sixteen_who_submit_against_each_other(self, bob: User, charlie: User, ten: Limit) -> None:
        Limit.objects.update(max_queued=50)
        barrier = threading.Barrier(16)

        def one(number: int) -> int:
            barrier.wait(timeout=20)
            made = 0
            for turn in range(8):
                keys = [{"idempotency_key": f"{number}.{turn}"}] if turn % 2 else [{}, {}]
                made += statuses(many(bob, *keys)).count("created")
            return made + 1000 * statuses(many(charlie, {}, {})).count("created")

        made = sum(at_once([lambda number=number: one(number) for number in range(16)]))
        assert made == 50 + 1000 * 32
        assert Job.objects.filter(org=bob.org).count() == 50

    def test_who_does_not_wait_is_told_to_ask_again(self, bob: User, charlie: User, ten: Limit) -> None:
        with transaction.atomic():
            many(bob, {})
            ours, theirs = Later(
                lambda: services.submit_each([asked(bob), asked(charlie)], wait=False)
            ).result()
        assert ours is None
        assert isinstance(theirs, Job)
        assert Job.objects.filter(org=bob.org).count() == 1

    def test_what_is_rolled_back_leaves_its_room(self, bob: User, submit: Submit, ten: Limit) -> None:
        with transaction.atomic():
            many(bob, *[{}] * 10)
            transaction.set_rollback(True)
        assert statuses(many(bob, *[{}] * 10)) == ["created"] * 10


@pytest.mark.django_db(transaction=True)
class TestFlows:
    def test_a_key_makes_a_flow_and_a_gate_of_its_own(self, bob: User, charlie: User, submit: Submit) -> None:
        jobs = [
            submit(bob, concurrency_key=key, queue=queue)
            for key, queue in (
                ("printer", "default"),
                ("printer", "night"),
                ("a/b ü", "default"),
                (None, "night"),
            )
        ]
        submit(charlie, concurrency_key="printer")
        assert [Flow.objects.get(pk=job.flow_id).key for job in jobs] == ["printer", "printer", "a/b ü", ""]
        assert Flow.objects.count() == 5
        gates = Gate.objects.order_by("org_id", "name").values_list("org_id", "scope", "name", "running")
        assert list(gates) == sorted(
            [
                (bob.org_id, "key", "a/b ü", 0),
                (bob.org_id, "key", "printer", 0),
                (charlie.org_id, "key", "printer", 0),
            ]
        )
        assert submit(bob, concurrency_key="printer").flow_id == jobs[0].flow_id

    def test_batches_with_the_same_new_keys_do_not_wait_in_a_circle(self, bob: User) -> None:
        keys = [{"concurrency_key": f"k{number}", "queue": f"q{number % 3}"} for number in range(100)]
        barrier = threading.Barrier(4)

        def one(wanted: list[dict[str, Any]]) -> int:
            barrier.wait(timeout=20)
            return len(many(bob, *wanted))

        assert at_once([lambda order=order: one(order) for order in (keys, keys[::-1]) * 2]) == [100] * 4
        assert (Job.objects.count(), Flow.objects.count(), Gate.objects.count()) == (400, 100, 100)


@pytest.mark.django_db(transaction=True)
def test_counting_reads_the_index_also_for_who_has_few_jobs_among_many(
    bob: User, charlie: User, ten: Limit
) -> None:
    Limit.objects.update(max_queued=10_000)
    many(bob, *[{}] * 1000)
    Job.objects.update(status="done", finished_at=timezone.now())
    many(charlie, *[{}] * 2000)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE jobs_job")
        # A session of the pool that a worker's thread had keeps the planner settings of workers.
        cursor.execute("SET enable_seqscan = on")
        with transaction.atomic():
            _, busy = queue_room.rooms([bob.org_id or 0], wait=True)
            assert not busy
            cursor.execute("SHOW enable_seqscan")
            assert cursor.fetchone() == ("on",)
            cursor.execute("SELECT set_config('enable_seqscan', 'off', true)")
            asked = {"orgs": [bob.org_id], "most": None, "was": "on"}
            cursor.execute("EXPLAIN " + queue_room._ROOMS, asked)
            plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "job_of_org_not_done" in plan
    assert "Seq Scan on jobs_job" not in plan
