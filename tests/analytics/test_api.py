from __future__ import annotations

import pytest
from django.utils import timezone

from analytics.rollups import record_queue_samples
from jobs.models import SchedulerLeader

PATHS = ["summary", "throughput", "prediction-accuracy", "eta-calibration", "queue-depth", "scheduler-leader"]


@pytest.fixture
def acme_history(bob, submit, log):
    log(bob, now=timezone.now(), job_name="acme-job", predicted_runtime_ms=200.0)
    submit(bob, lane="low")
    record_queue_samples()


def test_summary(api, vera, acme_history):
    body = api(vera).get("/analytics/summary").json()
    assert body["jobs"]["queued"] == 2
    assert body["last_24h"]["done"] == 1
    assert body["prediction"]["mape"] == 1.0
    assert set(body) == {"jobs", "last_24h", "prediction", "pool", "leader"}


def test_throughput(api, vera, acme_history):
    hours = api(vera).get("/analytics/throughput").json()["hours"]
    assert len(hours) == 24
    assert sum(hour["done"] for hour in hours) == 1
    assert set(hours[0]) == {"hour", "done", "failed", "cancelled", "retried"}


def test_prediction_accuracy(api, vera, acme_history):
    body = api(vera).get("/analytics/prediction-accuracy").json()
    assert body["overall"] == {
        "attempts": 1, "mape": 1.0, "median_ape": 1.0, "log2_error": pytest.approx(1), "within_2x": 1.0,
    }  # fmt: skip
    assert [one["type"] for one in body["by_type"]] == ["python"]
    assert len(body["by_hour"]) == 24
    assert body["points"][0]["name"] == "acme-job"


def test_queue_depth(api, vera, acme_history):
    body = api(vera).get("/analytics/queue-depth?minutes=30").json()
    assert body["now"]["by_status"]["queued"] == 2
    assert body["now"]["by_lane"]["low"] == 1
    assert len(body["series"]) == 120
    assert body["series"][-1]["queued"] == 2.0


def test_scheduler_leader(api, vera):
    empty = api(vera).get("/analytics/scheduler-leader").json()
    assert (empty["worker_id"], empty["alive"]) == (None, False)
    SchedulerLeader.objects.create(worker_id="s", term=5)
    body = api(vera).get("/analytics/scheduler-leader").json()
    assert (body["worker_id"], body["term"], body["alive"]) == ("s", 5, True)
    assert 0 <= body["age_s"] < 60


def test_a_stranger_gets_numbers_of_nothing(api, charlie, acme_history):
    client = api(charlie)
    assert set(client.get("/analytics/summary").json()["jobs"].values()) == {0}
    assert sum(hour["done"] for hour in client.get("/analytics/throughput").json()["hours"]) == 0
    accuracy = client.get("/analytics/prediction-accuracy").json()
    assert (accuracy["overall"]["attempts"], accuracy["by_type"], accuracy["points"]) == (0, [], [])
    depth = client.get("/analytics/queue-depth").json()
    assert set(depth["now"]["by_status"].values()) == {0}
    assert {step["queued"] for step in depth["series"]} == {0.0}


@pytest.mark.parametrize("path", PATHS)
def test_visitors_and_unknown_parameters_are_refused(api, vera, path):
    assert api(None).get(f"/analytics/{path}").status_code == 401
    answer = api(vera).get(f"/analytics/{path}?colour=red")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["colour"]


@pytest.mark.parametrize("minutes", ["0", "1441", "x", ""])
def test_a_span_that_cannot_be_shown_is_refused(api, vera, minutes):
    answer = api(vera).get(f"/analytics/queue-depth?minutes={minutes}")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["minutes"]
