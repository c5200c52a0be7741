from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from analytics import collectors
from jobs.models import SchedulerLeader, Worker
from orgs import walls
from tests.waiting import wait_until

NAMES = {
    "smartqueue_database_up", "smartqueue_jobs", "smartqueue_workers", "smartqueue_leader_term",
    "smartqueue_leader_last_seen_seconds", "smartqueue_attempts_1h", "smartqueue_wait_seconds_1h",
    "smartqueue_run_seconds_1h", "smartqueue_prediction_mape_24h", "smartqueue_oldest_queued_seconds",
    "smartqueue_dead_rows", "smartqueue_oldest_snapshot_seconds", "smartqueue_forecast_arrivals_per_minute",
    "smartqueue_forecast_queued_seconds", "smartqueue_workers_wanted",
}  # fmt: skip


class Direct(collectors.QueueCollector):
    """Over the connection of the test, which sees what the test has not committed."""

    def collect(self):
        return collectors.read()


def scraper(collector):
    registry = CollectorRegistry()
    registry.register(collector)

    def answer() -> dict[str, dict[tuple[str, ...], float]]:
        families = text_string_to_metric_families(generate_latest(registry).decode())
        return {
            family.name: {
                tuple(value for _, value in sorted(one.labels.items())): one.value for one in family.samples
            }
            for family in families
        }

    return answer


@pytest.fixture
def scrape():
    return scraper(Direct())


@pytest.fixture
def scrape_for_real(transactional_db):
    return scraper(collectors.QueueCollector())


def test_registering_asks_the_database_nothing():
    """No `db` here: a query would fail the test."""
    registry = CollectorRegistry()
    collectors.register(registry)
    collectors.register(registry)


def test_every_organisation_is_counted_behind_the_wall_of_a_request(scrape, bob, charlie, submit):
    submit(bob)
    submit(charlie)
    with walls.request():
        assert scrape()["smartqueue_jobs"]["normal", "queued"] == 2


def test_all_metrics_by_name(scrape, bob, submit, log):
    now = timezone.now()
    submit(bob, lane="high")
    log(bob, now=now, predicted_runtime_ms=150.0, wait_ms=1000, runtime_ms=100)
    log(bob, now=now, outcome="failed", wait_ms=3000, runtime_ms=300)
    log(bob, now=now, hours_ago=2, predicted_runtime_ms=350.0)
    log(bob, now=now, hours_ago=25, predicted_runtime_ms=9e9)
    SchedulerLeader.objects.create(worker_id="s", term=7)

    found = scrape()

    assert set(found) == NAMES
    assert found["smartqueue_database_up"] == {(): 1}
    assert found["smartqueue_jobs"]["high", "queued"] == 1
    assert found["smartqueue_jobs"]["normal", "queued"] == 4
    assert len(found["smartqueue_jobs"]) == 12
    assert found["smartqueue_leader_term"] == {(): 7}
    assert 0 <= found["smartqueue_leader_last_seen_seconds"][()] < 60
    assert found["smartqueue_attempts_1h"] == {("done", "python"): 1, ("failed", "python"): 1}
    assert found["smartqueue_wait_seconds_1h"] == {("0.5",): 2.0, ("0.95",): 2.9, ("0.99",): 2.98}
    assert found["smartqueue_run_seconds_1h"]["0.5", "python"] == pytest.approx(0.2)
    assert found["smartqueue_prediction_mape_24h"] == {("python",): pytest.approx((0.5 + 2.5) / 2)}
    assert found["smartqueue_forecast_arrivals_per_minute"] == {
        ("5",): pytest.approx(5),
        ("15",): pytest.approx(5),
    }
    assert found["smartqueue_forecast_queued_seconds"].keys() == {("5",), ("15",)}
    assert found["smartqueue_workers_wanted"][()] >= 1


def test_an_empty_platform(scrape, db):
    found = scrape()
    always = {
        "database_up",
        "jobs",
        "workers",
        "oldest_queued_seconds",
        "dead_rows",
        "oldest_snapshot_seconds",
        "forecast_arrivals_per_minute",
        "forecast_queued_seconds",
        "workers_wanted",
    }
    assert set(found) == {f"smartqueue_{name}" for name in always}
    assert set(found["smartqueue_jobs"].values()) == {0}
    assert found["smartqueue_oldest_queued_seconds"] == {(): 0}
    assert found["smartqueue_oldest_snapshot_seconds"] == {("", "", ""): 0}
    assert found["smartqueue_forecast_queued_seconds"] == {("5",): 0, ("15",): 0}
    assert found["smartqueue_workers_wanted"] == {(): 1}
    assert set(found["smartqueue_dead_rows"]) == {("jobs_job",), ("jobs_worker",)}


def test_workers_that_missed_three_heartbeats_are_lost(scrape, db):
    silent = timezone.now() - timedelta(seconds=3 * settings.HEARTBEAT_S + 1)
    for number, (status, last_seen) in enumerate(
        [
            ("active", timezone.now()),
            ("stopping", timezone.now()),
            ("active", silent),
            ("stopped", timezone.now()),
            ("lost", timezone.now() - timedelta(hours=2)),
        ]
    ):
        Worker.objects.create(
            worker_id=str(number), hostname="h", pid=1, concurrency=1, status=status, last_seen=last_seen
        )
    assert scrape()["smartqueue_workers"] == {("active",): 1, ("stopping",): 1, ("lost",): 1}


def test_labels_name_no_organisation(scrape, acme, bob, log):
    log(bob, now=timezone.now(), job_name="acme-secret")
    text = str(scrape())
    assert "Acme" not in text
    assert "acme-secret" not in text


@pytest.fixture
def moved_database(monkeypatch):
    """The database is thought to be at another port of this machine, until the test ends."""

    def move(port: int) -> None:
        connection.close()
        connection.close_pool()
        monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        monkeypatch.setitem(connection.settings_dict, "PORT", str(port))
        monkeypatch.setitem(
            connection.settings_dict["OPTIONS"], "pool", {"min_size": 0, "max_size": 1, "timeout": 0.5}
        )

    yield move
    monkeypatch.undo()
    connection.close_pool()


def test_a_scrape_reads_what_is_committed(scrape_for_real, bob, submit):
    submit(bob)
    assert scrape_for_real()["smartqueue_jobs"]["normal", "queued"] == 1


def test_a_lost_database_is_a_number_not_an_error(scrape_for_real, moved_database):
    moved_database(1)
    assert scrape_for_real() == {"smartqueue_database_up": {(): 0}}


def test_a_database_that_hangs_is_waited_for_no_longer_than_said(scrape_for_real, monkeypatch):
    monkeypatch.setattr(collectors, "UNFINISHED", "SELECT 'queued', 'high', 1 FROM pg_sleep(1)")
    monkeypatch.setattr(collectors, "WAIT_S", 0.05)
    assert scrape_for_real() == {"smartqueue_database_up": {(): 0}}
    assert scrape_for_real() == {"smartqueue_database_up": {(): 0}}
    assert [thread.name for thread in threading.enumerate()].count("scrape") == 1
    wait_until(lambda: "scrape" not in [thread.name for thread in threading.enumerate()])
    monkeypatch.undo()
    assert scrape_for_real()["smartqueue_database_up"] == {(): 1}


def test_a_statement_that_takes_too_long_costs_only_its_gauge(scrape, bob, log, monkeypatch):
    log(bob, now=timezone.now())
    monkeypatch.setattr(collectors, "ATTEMPTS", "SELECT 'a', 'b', 1 FROM pg_sleep(60)")
    monkeypatch.setattr(collectors, "TIME_LIMIT_MS", 50)
    found = scrape()
    assert found["smartqueue_database_up"] == {(): 1}
    assert "smartqueue_attempts_1h" not in found
    assert "smartqueue_wait_seconds_1h" in found


def test_without_a_count_of_the_queue_there_is_no_forecast(scrape, bob, submit, monkeypatch):
    submit(bob)
    monkeypatch.setattr(collectors, "UNFINISHED", "SELECT 'queued', 'high', 1 FROM pg_sleep(60)")
    monkeypatch.setattr(collectors, "TIME_LIMIT_MS", 50)
    found = scrape()
    assert "smartqueue_workers_wanted" not in found
    assert "smartqueue_oldest_queued_seconds" in found
