"""What is paused is not claimed: pauses of organisation, queue and type, and workers that are to pause."""

from __future__ import annotations

from collections import Counter
from typing import Any

import psycopg
import pytest
from django.db import transaction
from psycopg.conninfo import make_conninfo

from jobs import control, leases, notify
from jobs.claims import Heads
from jobs.models import Job, Pause, Worker
from orgs.models import AuditEntry, Organization, User
from tests.processes import database_url
from tests.queue.claiming import InThread, Submit, claim, ids, wait_until_blocked

SHELL = {"type": "shell", "payload": {"command": "true"}}


@pytest.fixture
def jobs(bob: User, charlie: User, submit: Submit) -> dict[str, Job]:
    return {
        "ours": submit(bob),
        "ours in mail": submit(bob, queue="mail"),
        "ours, shell": submit(bob, **SHELL),
        "theirs": submit(charlie),
    }


def claimed(jobs: dict[str, Job], **fields: Any) -> set[str]:
    taken = ids(claim(**fields))
    return {name for name, job in jobs.items() if job.pk in taken}


@pytest.mark.django_db(transaction=True)
class TestPausesInTheClaim:
    @pytest.mark.parametrize(
        ("paused", "left"),
        [
            ({}, {"theirs"}),
            ({"queue": "mail"}, {"ours", "ours, shell", "theirs"}),
            ({"type": "shell"}, {"ours", "ours in mail", "theirs"}),
            ({"queue": "mail", "type": "shell"}, {"ours", "ours in mail", "ours, shell", "theirs"}),
        ],
    )
    def test_an_org_admin_holds_back_the_own_jobs(
        self, alice: User, jobs: dict[str, Job], paused: dict[str, str], left: set[str]
    ) -> None:
        control.pause(user=alice, **paused)  # type: ignore[arg-type]
        assert claimed(jobs) == left

    @pytest.mark.parametrize(
        ("paused", "left"),
        [({}, set()), ({"type": "python"}, {"ours, shell"}), ({"queue": "default"}, {"ours in mail"})],
    )
    def test_a_platform_admin_holds_back_everybodys(
        self, root_admin: User, jobs: dict[str, Job], paused: dict[str, str], left: set[str]
    ) -> None:
        control.pause(user=root_admin, **paused)  # type: ignore[arg-type]
        assert claimed(jobs) == left

    def test_a_platform_admin_holds_back_one_organisation(
        self, root_admin: User, globex: Organization, jobs: dict[str, Job]
    ) -> None:
        control.pause(user=root_admin, org=globex)
        assert claimed(jobs) == {"ours", "ours in mail", "ours, shell"}

    def test_a_worker_that_remembers_the_queue_finds_what_was_resumed(
        self, alice: User, jobs: dict[str, Job]
    ) -> None:
        heads = Heads()
        pause = control.pause(user=alice)
        assert claimed(jobs, heads=heads) == {"theirs"}
        assert claimed(jobs, heads=heads) == set()
        control.resume(user=alice, pause=pause)
        assert claimed(jobs, heads=heads) == {"ours", "ours in mail", "ours, shell"}

    def test_two_pauses_hold_until_both_are_ended(self, alice: User, jobs: dict[str, Job]) -> None:
        everything, mail = control.pause(user=alice), control.pause(user=alice, queue="mail")
        control.resume(user=alice, pause=everything)
        assert "ours in mail" not in claimed(jobs)
        control.resume(user=alice, pause=mail)
        assert claimed(jobs) == {"ours in mail"}


@pytest.mark.django_db
class TestWorkersInTheClaim:
    @pytest.mark.parametrize("wanted", ["pause", "drain"])
    def test_a_worker_that_is_to_pause_gets_nothing(
        self, root_admin: User, jobs: dict[str, Job], wanted: str
    ) -> None:
        for worker_id in ("w1", "w2"):
            Worker.objects.create(worker_id=worker_id, hostname="h", pid=1, concurrency=1)
        control.set_wanted(user=root_admin, worker_id="w1", wanted=wanted)
        assert leases.renew(worker_id="w1", held=[], lease_s=30).wanted == wanted
        assert claimed(jobs, worker="w1") == set()
        assert claimed(jobs, worker="w2") == set(jobs)

    def test_a_resumed_worker_gets_jobs_again(self, root_admin: User, jobs: dict[str, Job]) -> None:
        Worker.objects.create(worker_id="w1", hostname="h", pid=1, concurrency=1)
        for wanted in ("pause", "run"):
            control.set_wanted(user=root_admin, worker_id="w1", wanted=wanted)
        assert claimed(jobs, worker="w1") == set(jobs)


@pytest.mark.django_db(transaction=True)
class TestTwoSessions:
    def test_who_pauses_the_same_at_once_gets_the_same(self, alice: User) -> None:
        with transaction.atomic():
            first = control.pause(user=alice, queue="mail")
            other = InThread(lambda: control.pause(user=alice, queue="mail"))
            wait_until_blocked()
        assert other.answer().pk == first.pk
        assert Pause.objects.count() == AuditEntry.objects.filter(action="queue.pause").count() == 1

    @pytest.mark.usefixtures("prompt_hints")
    def test_workers_and_pages_are_told_after_the_commit(self, alice: User, root_admin: User) -> None:
        Worker.objects.create(worker_id="w1", hostname="h", pid=1, concurrency=1)
        channels = (notify.CONTROL_CHANNEL, notify.JOBS_CHANNEL, notify.LIVE_CHANNEL)
        with psycopg.connect(make_conninfo(database_url()), autocommit=True) as ear:
            for channel in channels:
                ear.execute(f"LISTEN {channel}")
            control.resume(user=alice, pause=control.pause(user=alice, queue="mail"))
            control.set_wanted(user=root_admin, worker_id="w1", wanted="pause")
            told = Counter((one.channel, one.payload) for one in ear.notifies(timeout=40, stop_after=6))
        control_channel, jobs_channel, live_channel = channels
        assert told == {
            (control_channel, f'{{"org":{alice.org_id},"queue":"mail","type":null}}'): 1,
            (control_channel, "w1"): 1,
            (jobs_channel, ""): 1,
            (live_channel, str(alice.org_id)): 2,
            (live_channel, ""): 1,
        }
