"""GET /predictor/accuracy: what is measured, of whom, and that nobody sees another organisation's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from jobs.models import ExecutionLog, Job
from orgs.models import Organization, User
from predictor import accuracy

pytestmark = pytest.mark.django_db
Log = Callable[..., ExecutionLog]
API = Callable[[User | None], APIClient]

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
NOTHING = {
    "attempts": 0,
    "mape": None,
    "median_ape": None,
    "log2_error": None,
    "intervals": 0,
    "coverage_80": None,
}


@pytest.fixture
def log(submit: Callable[..., Job]) -> Log:
    """`log(user, predicted, actual, ...)`: an ended attempt of a job of its own."""

    def write(
        user: User, predicted: float | None, actual: float, *, at: datetime = NOW, **values: Any
    ) -> ExecutionLog:
        job = submit(user)
        fields: dict[str, Any] = {
            "attempt": 1, "outcome": "done", "final": True, "wait_ms": 10.0, "worker_id": "w",
            "job_type": "etl", "job_name": "nightly",
        }  # fmt: skip
        fields |= {"predicted_runtime_ms": predicted, "runtime_ms": actual, "logged_at": at, **values}
        return ExecutionLog.objects.create(org=job.org, job=job, **fields)

    return write


def measured(user: User, *, days: int = 7, **wanted: Any) -> accuracy.AccuracyReport:
    return accuracy.accuracy(user, days=days, now=NOW, **wanted)


def test_errors_are_of_the_actual_runtime(alice: User, log: Log) -> None:
    for predicted, actual in ((200.0, 100.0), (50.0, 100.0), (100.0, 100.0)):
        log(alice, predicted, actual)
    overall = measured(alice).overall
    assert overall.attempts == 3
    assert overall.mape == pytest.approx(0.5)
    assert overall.median_ape == pytest.approx(0.5)
    assert overall.log2_error == pytest.approx(2 / 3)
    assert (overall.intervals, overall.coverage_80) == (0, None)


def test_mean_and_median_differ_where_few_are_far_off(alice: User, log: Log) -> None:
    for predicted in (110.0, 110.0, 2000.0):
        log(alice, predicted, 100.0)
    overall = measured(alice).overall
    assert overall.mape == pytest.approx((0.1 + 0.1 + 19) / 3)
    assert overall.median_ape == pytest.approx(0.1)


def test_coverage_is_of_the_intervals_that_there_are(alice: User, log: Log) -> None:
    for low, high in ((50.0, 100.0), (100.0, 200.0), (101.0, 200.0), (10.0, 99.0), (None, None)):
        log(alice, 100.0, 100.0, predicted_low_ms=low, predicted_high_ms=high)
    overall = measured(alice).overall
    assert (overall.attempts, overall.intervals, overall.coverage_80) == (5, 4, 0.5)


def test_only_predicted_attempts_that_ended_by_themselves_count(alice: User, log: Log) -> None:
    for outcome in ExecutionLog.OUTCOMES:
        log(alice, 100.0, 100.0, outcome=outcome)
    log(alice, None, 100.0)
    assert measured(alice).overall.attempts == 2


def test_runtimes_below_a_millisecond_have_finite_errors(alice: User, log: Log) -> None:
    log(alice, 2.0, 0.0)
    assert measured(alice).overall.mape == pytest.approx(1.0)


def test_by_type_and_by_day(alice: User, log: Log) -> None:
    log(alice, 200.0, 100.0, job_type="http")
    log(alice, 100.0, 100.0, job_type="etl")
    log(alice, 400.0, 100.0, job_type="etl", at=NOW - timedelta(days=2))
    report = measured(alice, days=3)
    assert [(one.type, one.attempts, one.log2_error) for one in report.by_type] == [
        ("etl", 2, pytest.approx(1.0)),
        ("http", 1, pytest.approx(1.0)),
    ]
    assert [(str(one.day), one.attempts, one.log2_error) for one in report.by_day] == [
        ("2026-03-08", 1, pytest.approx(2.0)),
        ("2026-03-09", 0, None),
        ("2026-03-10", 2, pytest.approx(0.5)),
    ]


def test_days_are_whole_days_in_utc(alice: User, log: Log) -> None:
    midnight = NOW.replace(hour=0, minute=0)
    log(alice, 100.0, 100.0, at=midnight)
    log(alice, 100.0, 100.0, at=midnight - timedelta(milliseconds=1))
    assert [measured(alice, days=days).overall.attempts for days in (1, 2)] == [1, 2]


def test_the_newest_attempts_of_the_own_organisation_are_measured(
    alice: User, charlie: User, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy, "SAMPLE", 2)
    for predicted in (800.0, 200.0, 200.0):
        log(alice, predicted, 100.0)
    log(charlie, 100.0, 100.0)
    overall = measured(alice).overall
    assert (overall.attempts, overall.mape) == (2, pytest.approx(1.0))


def test_members_see_their_own_organisation_and_platform_admins_all(
    alice: User, charlie: User, root_admin: User, acme: Organization, log: Log
) -> None:
    log(alice, 200.0, 100.0)
    log(charlie, 100.0, 100.0, job_type="ml")
    assert measured(alice).overall.mape == pytest.approx(1.0)
    assert [one.type for one in measured(charlie).by_type] == ["ml"]
    assert measured(root_admin).overall.attempts == 2
    assert measured(root_admin, org_id=acme.pk).overall.mape == pytest.approx(1.0)


def test_it_is_one_statement_that_starts_from_the_organisation(alice: User, acme: Organization) -> None:
    with CaptureQueriesContext(connection) as queries:
        measured(alice)
    (statement,) = [query["sql"] for query in queries if "jobs_executionlog" in query["sql"]]
    assert f'"org_id" = {acme.pk}' in statement.partition("compared")[0]
    assert f"LIMIT {accuracy.SAMPLE}" in statement
    assert any("statement_timeout" in query["sql"] for query in queries)


def test_a_statement_that_takes_too_long_is_told_apart(
    api: API, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeping = "WITH newest AS ({newest}) SELECT pg_sleep(30), %s::timestamptz"
    monkeypatch.setattr(accuracy, "_MEASURES", sleeping)
    monkeypatch.setattr(accuracy, "TIME_LIMIT_MS", 20)
    answer = api(alice).get("/predictor/accuracy")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "took_too_long")


def test_the_answer(api: API, vera: User, alice: User, log: Log) -> None:
    log(alice, 200.0, 100.0, at=timezone.now(), predicted_low_ms=50.0, predicted_high_ms=100.0)
    body = api(vera).get("/predictor/accuracy?days=2").json()
    measures = {
        "attempts": 1,
        "mape": 1.0,
        "median_ape": 1.0,
        "log2_error": 1.0,
        "intervals": 1,
        "coverage_80": 1.0,
    }
    assert body["overall"] == measures
    assert body["by_type"] == [{**measures, "type": "etl"}]
    assert [day["attempts"] for day in body["by_day"]] == [0, 1]
    assert len(api(vera).get("/predictor/accuracy").json()["by_day"]) == 7


def test_a_stranger_sees_nothing_of_it(
    api: API, alice: User, charlie: User, acme: Organization, globex: Organization, log: Log
) -> None:
    log(alice, 200.0, 100.0, at=timezone.now())
    client = api(charlie)
    body = client.get("/predictor/accuracy").json()
    assert (body["overall"], body["by_type"]) == (NOTHING, [])
    assert {day["attempts"] for day in body["by_day"]} == {0}
    assert client.get(f"/predictor/accuracy?org={globex.pk}").status_code == 200
    foreign = client.get(f"/predictor/accuracy?org={acme.pk}")
    missing = client.get("/predictor/accuracy?org=987654321")
    assert foreign.status_code == 404
    assert (foreign.status_code, foreign.content) == (missing.status_code, missing.content)


def test_somebody_without_an_organisation_sees_nothing(api: API, alice: User, log: Log) -> None:
    log(alice, 200.0, 100.0, at=timezone.now())
    loner = User.objects.create_user(username="loner", password="x")
    assert api(loner).get("/predictor/accuracy").json()["overall"] == NOTHING


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("days=0", "days"),
        ("days=31", "days"),
        ("days=week", "days"),
        ("org=x", "org"),
        ("org=0", "org"),
        ("days=1&days=2", "days"),
        ("colour=red", "colour"),
    ],
)
def test_bad_parameters_are_refused_by_name(api: API, root_admin: User, query: str, field: str) -> None:
    answer = api(root_admin).get(f"/predictor/accuracy?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]


def test_visitors_are_turned_away(api: API) -> None:
    assert api(None).get("/predictor/accuracy").status_code == 401
