"""Setting limits: what is checked, what is counted, whom it opens; live, with claims at work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from jobs import claims, control, gate_counts, limit_selectors, limits
from jobs.limit_models import EVERYTHING
from jobs.models import Flow, Gate, GateOpening, Job, Limit, Pause, Share
from orgs import weights
from orgs.exceptions import Forbidden, InvalidInput, NotFound
from orgs.models import AuditEntry, Organization, User
from scheduler.duties.repair_gates import RepairGates
from tests.queue.claiming import LATER, InThread, claim, end, ids, wait_until_blocked
from tests.queue.submitting import many
from tests.waiting import wait_until

Submit = Callable[..., Job]


def put(user: User, scope: str = "org", name: str = "", **bounds: Any) -> Limit:
    assert user.org is not None
    return limits.set_limit(user=user, org=user.org, scope=scope, name=name, **bounds)


def opened() -> list[int]:
    return list(GateOpening.objects.order_by("id").values_list("gate_id", flat=True))


@pytest.mark.django_db
class TestSetting:
    def test_the_first_of_a_queue_counts_what_runs(self, alice: User, bob: User, charlie: User) -> None:
        many(bob, *[{"queue": "mail"}] * 4, *[{}] * 2)
        many(charlie, {"queue": "mail"})
        running = claim(limit=10)
        many(bob, *[{"queue": "mail"}] * 4)
        put(alice, "queue", "mail", max_running=5)
        gate = Gate.objects.get()
        assert (gate.scope, gate.name, gate.running) == ("queue", "mail", 4)
        assert Job.objects.filter(gates__contains=[gate.pk]).count() == 4
        assert len(claim(limit=10)) == 1
        for job in running:
            end(job)
        gate.refresh_from_db()
        assert gate.running == 1
        assert opened()[-1] == gate.pk

    def test_a_change_keeps_the_count_and_opens_the_gate(self, alice: User, bob: User) -> None:
        many(bob, *[{}] * 5)
        put(alice, max_running=2)
        assert len(claim()) == 2
        gate = Gate.objects.get()
        GateOpening.objects.all().delete()
        put(alice, max_running=3)
        assert opened() == [gate.pk]
        assert len(claim()) == 1
        put(alice, max_running=3)
        assert opened() == [gate.pk]
        assert AuditEntry.objects.filter(action="limit.set").count() == 2

    @pytest.mark.django_db(transaction=True)
    def test_removing_lets_everything_in(self, alice: User, bob: User) -> None:
        many(bob, *[{}] * 5)
        limit = put(alice, max_running=0)
        gate = Gate.objects.get()
        heads = claims.Heads()
        assert claim(heads=heads) == []
        limits.remove_limit(user=alice, limit=limit)
        limits.remove_limit(user=alice, limit=limit)
        assert not Limit.objects.exists()
        assert not Gate.objects.exists()
        assert opened()[-1] == gate.pk
        assert len([*claim(heads=heads), *claim(heads=heads)]) == 5
        entry = AuditEntry.objects.get(action="limit.remove")
        assert (entry.target, entry.details["from"]["max_running"]) == ("the whole organisation", 0)

    def test_what_waits_needs_no_gate(self, alice: User) -> None:
        put(alice, max_queued=10)
        assert not Gate.objects.exists()
        put(alice, max_queued=10, rate_count=2, rate_period_s=60.0)
        assert Gate.objects.get().running == 0
        put(alice, max_queued=10)
        assert not Gate.objects.exists()

    def test_the_gate_of_a_key_comes_with_its_jobs_and_stays(self, alice: User, bob: User) -> None:
        limit = put(alice, "key", "a/b", max_running=2)
        assert not Gate.objects.exists()
        many(bob, *[{"concurrency_key": "a/b"}] * 4)
        gate = Gate.objects.get()
        assert len(claim()) == 2
        limits.remove_limit(user=alice, limit=limit)
        assert Gate.objects.get() == gate
        assert opened() == [EVERYTHING, gate.pk]

    def test_a_limit_of_every_key_opens_all(self, alice: User, bob: User) -> None:
        many(bob, *({"concurrency_key": key} for key in "aabb"))
        assert len(claim()) == 2
        put(alice, "key", "*", max_running=2)
        assert opened() == [EVERYTHING]
        assert len(claim()) == 2

    @pytest.mark.parametrize(
        ("scope", "name", "bounds", "field"),
        [
            ("team", "", {"max_running": 1}, "scope"),
            ("org", "acme", {"max_running": 1}, "name"),
            ("queue", "", {"max_running": 1}, "name"),
            ("queue", "a b", {"max_running": 1}, "name"),
            ("key", "", {"max_running": 1}, "name"),
            ("key", "k" * 201, {"max_running": 1}, "name"),
            ("key", "a\0", {"max_running": 1}, "name"),
            ("key", "\ud800", {"max_running": 1}, "name"),
            ("org", "", {}, "body"),
            ("org", "", {"max_running": -1}, "max_running"),
            ("org", "", {"max_running": True}, "max_running"),
            ("org", "", {"max_running": 10**7}, "max_running"),
            ("org", "", {"max_queued": -1}, "max_queued"),
            ("queue", "mail", {"max_queued": 5}, "max_queued"),
            ("org", "", {"rate_count": 5}, "rate_period_s"),
            ("org", "", {"rate_period_s": 5.0}, "rate_count"),
            ("org", "", {"rate_count": 0, "rate_period_s": 5.0}, "rate_count"),
            ("org", "", {"rate_count": 1, "rate_period_s": 0.0}, "rate_period_s"),
            ("org", "", {"rate_count": 1, "rate_period_s": float("nan")}, "rate_period_s"),
            ("org", "", {"rate_count": 1, "rate_period_s": float("inf")}, "rate_period_s"),
        ],
    )
    def test_what_cannot_be_used_is_named(
        self, alice: User, scope: str, name: str, bounds: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as told:
            put(alice, scope, name, **bounds)
        assert list(told.value.fields) == [field]
        assert not Limit.objects.exists()

    def test_only_org_admins_and_not_across_organisations(
        self, alice: User, bob: User, vera: User, charlie: User, root_admin: User
    ) -> None:
        assert alice.org is not None
        limit = put(alice, max_running=1)
        for person in (bob, vera):
            with pytest.raises(Forbidden):
                put(person, max_running=5)
            with pytest.raises(Forbidden):
                limits.remove_limit(user=person, limit=limit)
        with pytest.raises(NotFound):
            limits.set_limit(user=charlie, org=alice.org, scope="org", max_running=9)
        with pytest.raises(NotFound):
            limits.remove_limit(user=charlie, limit=limit)
        made = limits.set_limit(user=root_admin, org=alice.org, scope="org", max_running=9)
        assert (made.pk, made.max_running) == (limit.pk, 9)

    def test_an_organisation_has_only_so_many(
        self, alice: User, charlie: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "MOST_LIMITS", 2)
        put(alice, max_running=1)
        put(alice, "queue", "a", max_running=1)
        with pytest.raises(limits.TooManyLimits, match="2 limits"):
            put(alice, "queue", "b", max_running=1)
        put(alice, "queue", "a", max_running=2)
        put(charlie, "queue", "b", max_running=1)


@pytest.mark.django_db
class TestOpenings:
    def test_the_end_of_a_pause_opens_everything(self, alice: User) -> None:
        pause = control.pause(user=alice, queue="mail")
        assert opened() == []
        control.resume(user=alice, pause=pause)
        control.resume(user=alice, pause=pause)
        assert opened() == [EVERYTHING]
        assert not Pause.objects.exists()

    def test_so_does_another_weight(self, acme: Organization) -> None:
        weights.changed()
        assert opened() == [EVERYTHING]

    def test_they_carry_the_transaction_that_made_them(self, acme: Organization) -> None:
        gate_counts.open_again(7)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            assert GateOpening.objects.get().xid == cursor.fetchone()[0]


@pytest.mark.django_db
class TestReading:
    def test_the_use_of_each(self, alice: User, bob: User) -> None:
        many(bob, *[{"queue": "mail", "concurrency_key": "k"}] * 3, {"delay": 60.0}, {}, {})
        made = [
            put(alice, max_running=9, rate_count=10, rate_period_s=1e6),
            put(alice, "queue", "mail", max_running=9),
            put(alice, "key", "k", max_running=2),
            put(alice, "key", "*", max_running=2),
            put(alice, "queue", "idle", rate_count=5, rate_period_s=1.0),
        ]
        assert len(claim()) == 4
        uses = [limit_selectors.uses(made)[limit.pk] for limit in made]
        assert [(use.running, use.waiting) for use in uses] == [(4, 2), (2, 1), (2, 1), (None, None), (0, 0)]
        assert [use.tokens_left for use in uses] == [pytest.approx(6, abs=0.1), None, None, None, 5]

    def test_the_share_decays_and_is_nobody_elses(self, acme: Organization, settings: Any) -> None:
        nothing = limit_selectors.share(acme)
        assert (nothing.recent_s, nothing.lead_s, nothing.weight, nothing.as_of) == (0, 0, 1.0, None)
        row = Share.objects.create(org=acme, charged_s=500, recent_s=100, lead_s=40)
        row.refresh_from_db()
        later = row.as_of + 2 * timedelta(seconds=settings.SHARE_HALF_LIFE_S)
        share = limit_selectors.share(acme, now=later)
        assert (share.recent_s, share.lead_s) == (pytest.approx(25), pytest.approx(10))


@pytest.mark.django_db(transaction=True)
class TestLive:
    def test_a_limit_set_among_claims_is_never_passed(self, alice: User, bob: User) -> None:
        """What ran before may be more than the limit; nothing begins until it is less."""
        many(bob, *[{}] * 400)
        stop = threading.Event()

        def work(name: str) -> int:
            heads, done = claims.Heads(), 0
            while not stop.is_set():
                taken = claim(name, limit=3, heads=heads)
                for job in taken:
                    end(job, worker=name)
                done += len(taken)
            return done

        workers = [InThread(lambda name=f"w{number}": work(name)) for number in range(6)]
        try:
            wait_until(lambda: Job.objects.filter(status="done").count() > 20, message="they are at work")
            limit = put(alice, max_running=2)
            running = Job.objects.filter(status="running")
            wait_until(lambda: running.count() <= 2, message="those that ran before have ended")
            for _ in range(15):
                assert running.count() <= 2
            put(alice, max_running=1, rate_count=1000, rate_period_s=1.0)
            limits.remove_limit(user=alice, limit=limit)
            wait_until(
                lambda: not Job.objects.filter(status="queued").exists(), timeout=30, message="all ran"
            )
        finally:
            stop.set()
            done = sum(worker.answer() for worker in workers)
        assert done == Job.objects.filter(status="done").count() == 400

    def test_jobs_that_somebody_holds_are_counted_when_they_are_free(
        self, alice: User, bob: User, submit: Submit
    ) -> None:
        submit(bob)
        (job,) = claim()
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=job.id)
            setting = InThread(lambda: put(alice, max_running=1))
            wait_until(lambda: bool(_gates_of_others()), message="the gate is there")
            assert _gates_of_others() == [gate_counts.UNCOUNTED]
        setting.answer()
        assert Gate.objects.get().running == 1

    def test_a_claim_that_does_not_know_the_gate_is_waited_for(self, alice: User, bob: User) -> None:
        many(bob, *[{}] * 3)
        with transaction.atomic():
            assert len(claim(limit=2)) == 2
            setting = InThread(lambda: put(alice, max_running=2))
            wait_until(lambda: bool(_gates_of_others()), message="the gate is there")
            assert InThread(lambda: claim("w2")).answer() == []
        setting.answer()
        assert Gate.objects.get().running == 2
        assert claim("w2") == []

    def test_what_somebody_holds_for_long_is_left_to_the_leader(
        self, alice: User, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate_counts, "_MOST_TURNS", 3)
        for _ in range(3):
            submit(bob)
        (job,) = claim(limit=1)
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=job.id)
            InThread(lambda: put(alice, max_running=1)).answer()
            assert _gates_of_others() == [gate_counts.UNCOUNTED]
        assert claim("w2") == []
        assert RepairGates().run("leader:test") == 1
        assert Gate.objects.get().running == 1

    def test_so_is_what_a_claim_took_that_does_not_end(
        self, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate_counts, "_CLAIMS_END_S", 0.05)
        many(bob, *[{}] * 3)
        with transaction.atomic():
            assert len(claim(limit=2)) == 2
            InThread(lambda: put(alice, max_running=2)).answer()
            assert _gates_of_others() == [gate_counts.UNCOUNTED]
        assert claim("w2") == []
        RepairGates().run("leader:test")
        assert Gate.objects.get().running == 2

    def test_an_ending_and_a_count_at_once(self, alice: User, bob: User) -> None:
        """The ending waits for the gate that is being counted, and leaves it afterwards."""
        many(bob, *[{}] * 2)
        put(alice, max_running=5)
        first, _ = claim()
        gate = Gate.objects.get()
        Gate.objects.update(running=4)
        with transaction.atomic():
            assert [(one.was, one.running) for one in gate_counts.correct([gate.pk])] == [(4, 2)]
            ending = InThread(lambda: end(first))
            wait_until_blocked()
        ending.answer()
        gate.refresh_from_db()
        assert gate.running == 1


@pytest.mark.django_db
def test_jobs_that_ran_with_a_key_before_keys_had_gates_are_counted_before_others_begin(
    bob: User, submit: Submit
) -> None:
    jobs = [submit(bob, concurrency_key=key).pk for key in ("busy", "busy", "idle", "over")]
    Job.objects.filter(pk__in=jobs[::3]).update(
        status="running", worker_id="w1", attempt=1, started_at=timezone.now(), lease_expires_at=LATER
    )
    Job.objects.filter(pk=jobs[3]).update(status="done", lease_expires_at=None, finished_at=timezone.now())
    plain = submit(bob).flow_id
    Job.objects.update(flow=plain)
    Flow.objects.exclude(pk=plain).delete()
    Gate.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(import_module("jobs.migrations.0004_shares_and_limits").KEYED)
    running = dict(Gate.objects.values_list("name", "running"))
    assert running == {"busy": gate_counts.UNCOUNTED, "idle": 0}
    assert set(Job.objects.filter(concurrency_key="busy").values_list("flow__key", flat=True)) == {"busy"}
    assert jobs[1] not in ids(claim("w2"))
    RepairGates().run("leader:test")
    assert dict(Gate.objects.values_list("name", "running")) == {"busy": 1, "idle": 1}
    assert claim("w2") == []


def _gates_of_others() -> list[int]:
    return InThread(lambda: list(Gate.objects.values_list("running", flat=True))).answer()  # type: ignore[no-any-return]
