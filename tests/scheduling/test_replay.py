"""The leader works bulk replays off: at their rate, each job once, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from jobs import claims, leases, replay_selectors, replays, services
from jobs.models import Job, JobEvent, Replay
from jobs.replays import ReplayFilter
from jobs.selectors import Counted
from orgs.models import User
from scheduler.duties import duties_of_a_term, replay
from scheduler.leader import Leadership, LeadershipLost, acting
from tests.processes import database_url
from tests.queue.claiming import InThread, claim, end, wait_until_blocked

Submit = Callable[..., Job]


@pytest.fixture
def die(submit: Submit) -> Callable[..., list[Job]]:
    """`die(user, 3)`: three dead letters."""

    def made(user: User, number: int, **fields: Any) -> list[Job]:
        jobs = [submit(user, **fields) for _ in range(number)]
        for job in claim(limit=number):
            end(job, "failed", error="broken")
        return jobs

    return made


def ask(user: User, *, rate: float = 10.0, **parts: Any) -> Replay:
    assert user.org is not None
    return replays.start(org=user.org, user=user, wanted=ReplayFilter(**parts), rate_per_s=rate)


def pass_time(seconds: float) -> None:
    """As if the last run had been so long ago."""
    Replay.objects.update(advanced_at=Now() - timedelta(seconds=seconds))


def run_in_transaction() -> int:
    with transaction.atomic():
        return replay.run("leader")


def replayed() -> list[int | None]:
    """The origins of all replays, in the order of submission."""
    return list(Job.objects.exclude(replay_of=None).order_by("id").values_list("replay_of_id", flat=True))


@pytest.mark.django_db
class TestRate:
    def test_it_is_a_duty_of_the_leader(self) -> None:
        assert "replay" in {duty.name for duty in duties_of_a_term()}

    def test_a_run_submits_what_the_time_allows_oldest_first(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        dead = die(alice, 9)
        asked = ask(alice, rate=4)
        pass_time(0.75)
        assert replay.run("leader") == 3
        assert replayed() == [job.pk for job in dead[:3]]
        asked.refresh_from_db()
        assert (asked.status, asked.replayed, asked.last_job_id) == ("active", 3, dead[2].pk)

    def test_a_run_without_time_submits_nothing(self, alice: User, die: Callable[..., list[Job]]) -> None:
        die(alice, 2)
        ask(alice, rate=0.1)
        pass_time(9)
        assert replay.run("leader") == 0

    def test_the_slowest_rate_gets_there(self, alice: User, die: Callable[..., list[Job]]) -> None:
        die(alice, 3)
        ask(alice, rate=0.1)
        pass_time(60)
        assert replay.run("leader") == 1

    def test_the_part_of_a_job_that_was_left_over_is_kept(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        die(alice, 9)
        asked = ask(alice, rate=1)
        pass_time(1.75)
        asked.refresh_from_db()
        before = asked.advanced_at
        assert replay.run("leader") == 1
        asked.refresh_from_db()
        assert (asked.advanced_at - before).total_seconds() == pytest.approx(1.0, abs=1e-5)

    def test_an_hour_without_a_leader_is_not_made_up_for(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        die(alice, 30)
        ask(alice, rate=10)
        pass_time(3600)
        assert replay.run("leader") == 10 * replay.SAVED_S

    def test_one_that_fails_keeps_no_other_from_going_on(
        self, alice: User, charlie: User, die: Callable[..., list[Job]], caplog: pytest.LogCaptureFixture
    ) -> None:
        die(alice, 1), die(charlie, 1)
        broken = ask(alice)
        ask(charlie)
        Replay.objects.filter(pk=broken.pk).update(filter={"finished_after": 5})
        pass_time(1)
        assert replay.run("leader") == 1
        assert f"action=replay_failed replay={broken.pk}" in caplog.text
        assert [one.replayed for one in Replay.objects.order_by("pk")] == [0, 1]

    def test_a_run_stays_within_its_limit(
        self, alice: User, charlie: User, die: Any, monkeypatch: Any
    ) -> None:
        die(alice, 5), die(charlie, 5)
        asked = [ask(alice, rate=1000), ask(charlie, rate=1000)]
        pass_time(2)
        monkeypatch.setattr(replay, "MOST", 6)
        assert replay.run("leader") == 6
        assert [Replay.objects.get(pk=one.pk).replayed for one in asked] == [3, 3]


@pytest.mark.django_db
class TestWhich:
    def run_all(self) -> int:
        total = 0
        while Replay.objects.filter(status=Replay.ACTIVE).exists():
            pass_time(60)
            total += replay.run("leader")
        return total

    def test_all_that_match_and_no_other(
        self, alice: User, charlie: User, die: Callable[..., list[Job]], submit: Submit
    ) -> None:
        wanted = die(alice, 3, name="report")
        die(alice, 2, name="other")
        die(charlie, 2, name="report")
        submit(alice, name="report")
        ask(alice, name="report")
        assert self.run_all() == 3
        assert replayed() == [job.pk for job in wanted]
        done = Replay.objects.get()
        assert (done.status, done.replayed, done.finished_at is not None) == ("done", 3, True)

    def test_replays_wait_in_lane_low_with_the_submission_of_their_origin(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        (dead,) = die(alice, 1, lane="high", queue="mail", tags=["a"], memory_mb=64)
        ask(alice)
        self.run_all()
        made = Job.objects.get(replay_of=dead)
        assert (made.lane, made.queue, made.tags, made.memory_mb) == ("low", "mail", ["a"], 64)
        assert (made.user, made.payload) == (alice, dead.payload)
        assert JobEvent.objects.filter(job=dead, reason=f"replayed as job {made.pk}").count() == 1

    def test_what_failed_after_it_was_asked_for_stays(
        self, alice: User, die: Callable[..., list[Job]], submit: Submit
    ) -> None:
        late = submit(alice)
        (running,) = claim()
        dead = die(alice, 1)
        ask(alice)
        end(running, "failed")
        Job.objects.filter(pk=late.pk).update(finished_at=Now() + timedelta(seconds=1))
        assert self.run_all() == 1
        assert replayed() == [dead[0].pk]

    def test_what_was_replayed_already_is_left_out_unless_that_was_cancelled(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        dead = die(alice, 4)
        first = [replays.replay(job=job, user=alice) for job in dead[:3]]
        end(claim(limit=1)[0], "done")
        end(claim(limit=1)[0], "failed")
        Job.objects.filter(pk=first[2].pk).update(status="cancelled", finished_at=Now())
        ask(alice)
        assert self.run_all() == 3
        assert set(replayed()[3:]) == {first[1].pk, dead[2].pk, dead[3].pk}

    def test_a_window_without_a_match_is_passed(
        self, alice: User, die: Callable[..., list[Job]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        die(alice, 5, name="other")
        last = die(alice, 1, name="report")
        die(alice, 2, name="other")
        monkeypatch.setattr(replay, "WINDOW", 2)
        asked = ask(alice, name="report")
        assert self.run_all() == 1
        assert replayed() == [last[0].pk]
        asked.refresh_from_db()
        assert asked.status == "done"

    def test_one_that_cannot_be_submitted_any_more_does_not_stop_the_others(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        dead = die(alice, 3)
        Job.objects.filter(pk=dead[1].pk).update(payload={"function": 7})
        ask(alice)
        assert self.run_all() == 2
        assert replayed() == [dead[0].pk, dead[2].pk]
        told = JobEvent.objects.filter(job=dead[1]).latest("id")
        assert told.reason.startswith("not replayed: ")

    def test_one_after_the_other_within_an_organisation(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        die(alice, 3, name="a"), die(alice, 3, name="b")
        first, second = ask(alice, name="a", rate=1), ask(alice, name="b", rate=1)
        pass_time(60)
        replay.run("leader")
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.replayed, replay_selectors.remaining(first), second.replayed) == (
            2,
            Counted(1, False),
            0,
        )
        assert self.run_all() >= 4
        assert set(Replay.objects.values_list("status", "replayed")) == {("done", 3)}

    def test_nothing_is_submitted_after_it_was_cancelled(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        die(alice, 3)
        asked = ask(alice, rate=1)
        pass_time(1)
        replay.run("leader")
        replays.cancel(replay=asked, user=alice)
        pass_time(60)
        assert replay.run("leader") == 0
        assert len(replayed()) == 1


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_progress_and_jobs_are_one_transaction(self, alice: User, die: Callable[..., list[Job]]) -> None:
        dead = die(alice, 4)
        ask(alice, rate=2)
        pass_time(1)
        with transaction.atomic():
            assert replay.run("leader") >= 2
            transaction.set_rollback(True)  # the leader dies before its commit
        assert replayed() == []
        assert run_in_transaction() >= 2
        assert replayed() == [job.pk for job in dead[: len(replayed())]]

    def test_two_runs_at_once_replay_nothing_twice(self, alice: User, die: Callable[..., list[Job]]) -> None:
        dead = die(alice, 3)
        ask(alice, rate=100)
        pass_time(1)
        with transaction.atomic():
            assert replay.run("leader") == 3
            assert InThread(run_in_transaction).answer() == 0
        pass_time(1)
        run_in_transaction()
        assert replayed() == [job.pk for job in dead]

    def test_a_leader_whose_term_is_over_replays_nothing(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        die(alice, 2)
        ask(alice)
        pass_time(1)
        seats = [Leadership(database_url(), name) for name in ("first", "second")]
        old = seats[0].campaign()
        seats[0].resign()
        try:
            assert seats[1].campaign() is not None
            assert old is not None
            with pytest.raises(LeadershipLost), acting(old):
                replay.run("first")
        finally:
            seats[1].resign()
        assert replayed() == []

    def test_a_replay_by_hand_and_the_leader_make_one(
        self, alice: User, die: Callable[..., list[Job]]
    ) -> None:
        (dead,) = die(alice, 1)
        ask(alice)
        pass_time(1)
        with transaction.atomic():
            by_hand = replays.replay(job=dead, user=alice)
            leader = InThread(run_in_transaction)
            wait_until_blocked()
        assert leader.answer() == 0
        assert list(Job.objects.filter(replay_of=dead)) == [by_hand]

    def test_two_people_replay_one_job_once(self, alice: User, die: Callable[..., list[Job]]) -> None:
        (dead,) = die(alice, 1)
        with transaction.atomic():
            replays.replay(job=dead, user=alice)
            other = InThread(lambda: replays.replay(job=dead, user=alice))
            wait_until_blocked()
        with pytest.raises(replays.ReplayedAlready):
            other.answer()
        assert len(replayed()) == 1

    def test_a_cancel_waits_for_the_run_at_hand(self, alice: User, die: Callable[..., list[Job]]) -> None:
        die(alice, 5)
        asked = ask(alice, rate=2)
        pass_time(1)
        with transaction.atomic():
            replay.run("leader")
            cancelling = InThread(lambda: replays.cancel(replay=asked, user=alice))
            wait_until_blocked()
        assert (cancelling.answer().status, cancelling.answer().replayed) == ("cancelled", 2)
        asked.refresh_from_db()
        assert (asked.status, asked.replayed) == ("cancelled", 2)


@pytest.mark.django_db
def test_live_work_goes_before_a_replay(alice: User, die: Callable[..., list[Job]], submit: Submit) -> None:
    die(alice, 3)
    ask(alice, rate=100)
    pass_time(1)
    replay.run("leader")
    live = submit(alice)
    assert claim(limit=1)[0].id == live.pk


@pytest.mark.django_db
def test_many_are_few_statements(alice: User, django_assert_max_num_queries: Any) -> None:
    values = {"name": "n", "type": "python", "payload": {"function": "noop"}, "max_retries": 0}
    services.submit_many(org=alice.org, user=alice, submissions=[values] * replay.MOST)  # type: ignore[arg-type]
    jobs = claims.claim(worker_id="w", types=["python"], limit=replay.MOST, lease_s=60)
    leases.finish(
        worker_id="w", ended=[claims.Finish(job.id, job.attempt, "failed", 1.0, error="x") for job in jobs]
    )
    ask(alice, rate=1000)
    pass_time(2)
    with django_assert_max_num_queries(20):
        assert replay.run("leader") == replay.MOST


@pytest.mark.django_db
@pytest.mark.parametrize("moved_to", ["nowhere", "elsewhere"])
def test_it_goes_on_without_who_asked_for_it(
    alice: User, bob: User, charlie: User, die: Callable[..., list[Job]], moved_to: str
) -> None:
    dead = die(alice, 2)
    asked = ask(alice, rate=100)
    User.objects.filter(pk=alice.pk).update(org=charlie.org if moved_to == "elsewhere" else None, role="user")
    pass_time(1)
    assert replay.run("leader") == 2
    asked.refresh_from_db()
    assert (asked.status, asked.replayed) == ("done", 2)
    made = Job.objects.filter(replay_of__in=dead)
    assert {(job.org_id, job.user_id) for job in made} == {(bob.org_id, None)}
    noted = JobEvent.objects.filter(job__in=dead, reason__startswith="replayed as")
    assert set(noted.values_list("actor", flat=True)) == {"system"}


@pytest.mark.django_db
def test_a_platform_admin_asks_for_any_organisation(
    alice: User, root_admin: User, die: Callable[..., list[Job]]
) -> None:
    die(alice, 1)
    replays.start(org=alice.org, user=root_admin, wanted=ReplayFilter())
    pass_time(1)
    assert replay.run("leader") == 1
    assert Job.objects.exclude(replay_of=None).get().user == root_admin
