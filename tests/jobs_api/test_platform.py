from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from jobs.models import SchedulerLeader, Worker


def test_workers_are_shown_to_every_member(api, vera, charlie, worker):
    for person in (vera, charlie):
        (shown,) = api(person).get("/jobs/workers").json()["results"]
        assert {"worker_id", "hostname", "status", "last_seen", "jobs_processed", "started_at"} < set(shown)
        assert (shown["hostname"], shown["status"], shown["concurrency"]) == ("host-1", "active", 4)


def test_a_worker_that_missed_three_heartbeats_is_shown_as_lost(api, vera, worker):
    silent = timezone.now() - timedelta(seconds=3 * settings.HEARTBEAT_S + 1)
    Worker.objects.create(worker_id="b", hostname="host-2", pid=1, concurrency=1, last_seen=silent)
    Worker.objects.create(
        worker_id="c", hostname="host-3", pid=1, concurrency=1, last_seen=silent, status="stopped"
    )
    shown = {one["hostname"]: one["status"] for one in api(vera).get("/jobs/workers").json()["results"]}
    assert shown == {"host-1": "active", "host-2": "lost", "host-3": "stopped"}
    assert next(iter(shown)) == "host-1"


def test_the_leader(api, vera):
    assert api(vera).get("/jobs/scheduler/leader").status_code == 404
    SchedulerLeader.objects.create(worker_id="host-1:7:ab", term=3)
    leader = api(vera).get("/jobs/scheduler/leader").json()
    assert set(leader) == {"id", "worker_id", "elected_at", "last_seen", "term"}
    assert (leader["id"], leader["worker_id"], leader["term"]) == (1, "host-1:7:ab", 3)


def test_visitors_see_neither(api, db):
    for path in ("/jobs/workers", "/jobs/scheduler/leader"):
        assert api(None).get(path).status_code == 401
