from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from jobs import prediction
from jobs.models import Job
from jobs.prediction import PredictionRequest
from orgs.models import Organization, User
from predictor import selectors, service, store
from predictor.history import MOST_OPEN, WINDOW
from predictor.model import Model
from predictor.models import ModelVersion, Trust
from predictor.shadow import GRACE, SHARES
from tests.predictor.builders import model, run
from tests.predictor.conftest import LogRuns

pytestmark = pytest.mark.django_db


def wanted(org: Organization, **fields: Any) -> PredictionRequest:
    return PredictionRequest(**{"org_id": org.pk, "type": "etl", "name": "nightly", **fields})


def in_force(made: Model, levels: dict[str, float] | None = None) -> ModelVersion:
    version = ModelVersion.objects.create(kind="lstm", weights=store.pack(made, levels or {}))
    store.activate(version)
    return version


def believe(share: float, org: Organization | None = None, job_type: str = "") -> None:
    """The network has earned this share of its correction."""
    errors = [abs(share - one) for one in SHARES]
    Trust.objects.create(org=org, job_type=job_type, errors=errors, low=0, high=0, runs=50)


def test_is_registered_with_the_queue(cold_start: ModelVersion, acme: Organization) -> None:
    (answer,) = prediction.predict([wanted(acme, type="shell")])
    assert answer == prediction.Prediction(1500.0, 3000 / 4500, "cold_start", cold_start.pk)


def test_cold_start_looks_at_the_last_three_types_of_the_own_organisation(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(job_type=kind) for kind in ("http", "ml", "ml", "ml")])
    log_runs(globex, [run(job_type="http")] * 3)
    answers = service.predict([wanted(org, type="shell", name="new") for org in (acme, globex)])
    assert [answer.runtime_ms for answer in answers] == pytest.approx([1500 * 1.3, 1500 * 0.7])
    assert {answer.source for answer in answers} == {"cold_start"}


def test_base_answers_from_the_runs_of_the_name(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(9000), run(9000), run(100, job_name="other")])
    log_runs(globex, [run(50)] * 5)
    (answer,) = service.predict([wanted(acme)])
    assert answer.runtime_ms == pytest.approx(9000)
    assert answer.priority == pytest.approx(0.25)
    assert (answer.source, answer.model_version) == ("base", cold_start.pk)
    assert (answer.low_ms, answer.high_ms) == (
        pytest.approx(9000 / np.exp(0.7)),
        pytest.approx(9000 * np.exp(0.7)),
    )


def test_the_narrowest_circle_that_knows_the_type_answers(
    cold_start: ModelVersion, acme: Organization, alice: User, bob: User, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(2000, user_id=alice.pk)] * 3)
    log_runs(acme, [run(100, user_id=bob.pk, job_name="other")] * 3)
    own, of_name, of_user, of_type = service.predict(
        [
            wanted(acme, user_id=alice.pk),
            wanted(acme, user_id=None),
            wanted(acme, user_id=bob.pk, name="new"),
            wanted(acme, user_id=None, name="new"),
        ]
    )
    assert [answer.runtime_ms for answer in (own, of_name, of_user)] == pytest.approx([2000, 2000, 100])
    assert of_type.runtime_ms is not None
    assert 100 <= of_type.runtime_ms < 2000


def test_the_time_limit_is_never_exceeded(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(9000)] * 3)
    known, unknown = service.predict([wanted(acme, timeout_s=2.0), wanted(acme, type="ml", timeout_s=2.0)])
    assert known.runtime_ms == pytest.approx(2000)
    assert known.high_ms is not None
    assert 2000 <= known.high_ms <= 2000 * np.exp(GRACE)
    assert (unknown.runtime_ms, unknown.source) == (2000, "cold_start")


def test_network_in_force_corrects_the_base(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(2000)] * 3)
    version = in_force(model(head=0.0, bias=np.log(2)))
    believe(1.0)
    known, unknown = service.predict([wanted(acme), wanted(acme, type="http")])
    assert known.runtime_ms == pytest.approx(4000, rel=1e-4)
    assert (known.source, known.model_version) == ("lstm", version.pk)
    assert (unknown.source, unknown.model_version) == ("cold_start", version.pk)


def test_the_network_is_believed_as_far_as_it_has_earned_there(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    for org in (acme, globex):
        log_runs(org, [run(2000), run(2000, job_type="shell"), run(2000, job_type="ml")])
    in_force(model(head=0.0, bias=np.log(16)))
    believe(0.5)
    believe(0.0, acme, "etl")
    believe(0.25, acme, "shell")
    asked = [wanted(org, type=kind) for org in (acme, globex) for kind in ("etl", "shell", "ml")]
    answers = service.predict(asked)
    assert [round(answer.runtime_ms or 0) for answer in answers] == [2000, 4000, 8000, 8000, 8000, 8000]
    assert [answer.source for answer in answers] == ["base"] + ["lstm"] * 5


def test_what_is_known_of_a_type_elsewhere_stands_in(cold_start: ModelVersion, acme: Organization) -> None:
    in_force(model(head=0.0), levels={"etl": float(np.log(777))})
    assert service.predict([wanted(acme)])[0].runtime_ms == pytest.approx(777, rel=1e-4)


def test_new_version_answers_at_once(cold_start: ModelVersion, acme: Organization) -> None:
    first = in_force(model())
    assert service.predict([wanted(acme)])[0].model_version == first.pk
    store.activate(cold_start)
    assert service.predict([wanted(acme)])[0].model_version == cold_start.pk


def test_everything_is_read_in_one_statement(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(2000, ago_s=count) for count in range(30)])
    requests = [wanted(acme), wanted(acme), wanted(globex), wanted(acme, name="x")]
    service.predict(requests)
    with CaptureQueriesContext(connection) as queries:
        service.predict(requests)
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 2
    assert "statement_timeout" in statements[0]


def test_a_window_has_the_last_runs_and_the_count_of_all(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(1000 + number, job_name="rare") for number in range(3)])
    log_runs(acme, [run(5000 + number, job_name="often") for number in range(200)])
    asks = [selectors.ask_of(wanted(acme, name=name)) for name in ("rare", "often", "new")]
    known = selectors.known_for(asks)
    rare, often, new = (known.question(ask).past.windows for ask in asks)
    assert runtimes(rare[0]) == [1000, 1001, 1002]
    assert runtimes(often[0]) == [5200 - back for back in range(WINDOW, 0, -1)]
    assert (often[0].count, often[4].count, new[0]) == (200, 203, None)
    assert runtimes(new[3]) == runtimes(often[0])


def runtimes(window: Any) -> list[int]:
    return [round(float(np.exp(seen.log_ms))) for seen in window.runs]


def test_unfinished_jobs_are_counted(
    cold_start: ModelVersion, alice: User, bob: User, charlie: User, submit: Callable[..., Any]
) -> None:
    for user, name in ((alice, "a"), (alice, "a"), (alice, "b"), (bob, "a"), (charlie, "a")):
        submit(user, name=name)
    ask = selectors.ask_of(wanted(alice.org, type="python", name="a", user_id=alice.pk))
    known = selectors.known_for([ask])
    own, of_user, of_org = known.question(ask).past.open
    assert (own.jobs, of_user.jobs, of_org.jobs) == (2, 3, 4)
    assert of_org.first_at <= own.last_at <= of_org.last_at <= known.at
    assert own.last_at > 1_700_000_000


def test_of_a_long_backlog_the_newest_are_counted(
    cold_start: ModelVersion, alice: User, submit: Callable[..., Any]
) -> None:
    first = submit(alice)
    Job.objects.bulk_create([Job(**as_columns(first)) for _ in range(MOST_OPEN)])
    ask = selectors.ask_of(wanted(alice.org, type="python", name="noop", user_id=alice.pk))
    assert selectors.known_for([ask]).question(ask).past.open[0].jobs == MOST_OPEN // 2


def as_columns(job: Job) -> dict[str, Any]:
    return {field.attname: getattr(job, field.attname) for field in Job._meta.fields if not field.primary_key}


def test_only_indexes_are_read(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    """One organisation owns nearly everything: the case in which planners err."""
    log_runs(acme, [run(1000, job_name=f"job-{number}", user_id=0) for number in range(1500)])
    log_runs(globex, [run(1000)])
    first = Job.objects.filter(org=acme).first()
    assert first is not None
    waiting = as_columns(first) | {"status": "queued", "finished_at": None}
    Job.objects.bulk_create([Job(**waiting) for _ in range(1500)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job, predictor_runhistory, predictor_trust")
    for org, name in ((acme, "job-1"), (globex, "job-1"), (globex, "nightly")):
        assert indexes_read([wanted(org, name=name, user_id=3)]) == {
            "jobs_job": {"job_of_org_not_done"},
            "predictor_runhistory": {"runhistory_unique"},
        }


def test_on_stale_statistics_no_more_than_the_newest_are_read(
    cold_start: ModelVersion, alice: User, charlie: User, submit: Callable[..., Any]
) -> None:
    """Planned on what was known when two organisations had few jobs waiting among many done ones."""
    waiting = [as_columns(submit(user)) for user in (alice, charlie)]
    done = [job | {"status": "done", "finished_at": job["created_at"]} for job in waiting]
    before = [Job(**(waiting if number % 20 < 2 else done)[number % 2]) for number in range(4 * MOST_OPEN)]
    Job.objects.bulk_create(before)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
    Job.objects.bulk_create([Job(**waiting[0]) for _ in range(4 * MOST_OPEN)])
    ask = selectors.ask_of(wanted(alice.org, type="python", name="noop", user_id=alice.pk))
    with CaptureQueriesContext(connection) as queries:
        selectors.known_for([ask])
    with service._bounded(), connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + queries[0]["sql"])
        plan = cursor.fetchone()[0]
    read = [node for node in _nodes(plan[0]["Plan"]) if node.get("Relation Name") == "jobs_job"]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) == MOST_OPEN // 2


def indexes_read(requests: list[PredictionRequest]) -> dict[str, set[str]]:
    """How the plan of the statement reaches the large tables: index names, or the kind of scan."""
    with CaptureQueriesContext(connection) as queries:
        selectors.known_for([selectors.ask_of(request) for request in requests])
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + queries[0]["sql"])
        plan = cursor.fetchone()[0]
    found: dict[str, set[str]] = {"jobs_job": set(), "predictor_runhistory": set()}
    for node in _nodes(plan[0]["Plan"]):
        if node.get("Relation Name") in found:
            found[node["Relation Name"]].add(node.get("Index Name", node["Node Type"]))
    return found


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def test_without_active_version_there_is_no_network(
    cold_start: ModelVersion, acme: Organization, alice: User, submit: Callable[..., Any], log_runs: LogRuns
) -> None:
    ModelVersion.objects.update(active=False)
    job = submit(alice)
    assert (job.priority, job.prediction_source, job.model_version) == (0.5, "cold_start", None)
    log_runs(acme, [run(9000, job_type="python", job_name="noop")])
    assert submit(alice).prediction_source == "base"


@pytest.mark.parametrize("weights", [b"rubbish", store.pack(model(), {})[:-200]])
def test_a_broken_version_costs_the_job_the_network_only(
    cold_start: ModelVersion, alice: User, acme: Organization, submit: Callable[..., Any], log_runs: LogRuns,
    weights: bytes,
) -> None:  # fmt: skip
    log_runs(acme, [run(9000, job_type="python", job_name="noop")])
    ModelVersion.objects.update(active=False)
    ModelVersion.objects.create(kind="lstm", weights=weights, active=True)
    believe(1.0)
    job = submit(alice)
    assert (job.predicted_runtime_ms, job.prediction_source) == (pytest.approx(9000), "base")
    assert job.model_version is None
    store.activate(cold_start)
    assert submit(alice).model_version == cold_start.pk


@pytest.mark.parametrize("bias", [100.0, -100.0])
def test_absurd_network_is_left_aside_and_told_of_once(
    cold_start: ModelVersion, alice: User, acme: Organization, submit: Callable[..., Any], log_runs: LogRuns,
    caplog: pytest.LogCaptureFixture, bias: float,
) -> None:  # fmt: skip
    log_runs(acme, [run(1000, job_type="python", job_name="noop")])
    version = in_force(model(bias=bias))
    believe(1.0)
    for _ in range(3):
        job = submit(alice)
        assert (job.prediction_source, job.predicted_runtime_ms) == ("base", pytest.approx(1000))
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in said] == [f"action=absurd_correction version={version.pk}"]


def test_the_interval_is_stored_with_the_job(
    cold_start: ModelVersion, alice: User, acme: Organization, submit: Callable[..., Any], log_runs: LogRuns
) -> None:
    log_runs(acme, [run(1000, job_type="python", job_name="noop")])
    stored = Job.objects.get(pk=submit(alice).pk)
    assert stored.predicted_low_ms == pytest.approx(1000 * np.exp(-0.7))
    assert stored.predicted_high_ms == pytest.approx(1000 * np.exp(0.7))
    unknown = Job.objects.get(pk=submit(alice, type="http", payload={"url": "http://127.0.0.1/"}).pk)
    assert (unknown.prediction_source, unknown.predicted_low_ms, unknown.predicted_high_ms) == (
        "cold_start",
        None,
        None,
    )


def test_unusable_model_is_read_and_complained_of_once(
    cold_start: ModelVersion, acme: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    service.predict([wanted(acme)])
    ModelVersion.objects.update(active=False)
    assert {service.predict([wanted(acme)])[0].model_version for _ in range(3)} == {None}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    broken = ModelVersion.objects.create(kind="lstm", weights=b"rubbish", active=True)
    with CaptureQueriesContext(connection) as queries:
        assert {service.predict([wanted(acme)])[0].model_version for _ in range(3)} == {None}
    assert sum('"weights"' in query["sql"] for query in queries) == 1
    assert [f"version={broken.pk} " in record.getMessage() for record in caplog.records] == [False, True]


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Another session holds the table for itself."""
    own = connection.connection.info
    with psycopg.connect(own.dsn, password=own.password) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


def limits() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
        return cursor.fetchone()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["predictor_runhistory", "predictor_modelversion"])
def test_locked_history_does_not_hold_up_a_submission(
    cold_start: ModelVersion, alice: User, submit: Callable[..., Any], table: str
) -> None:
    before = limits()
    with locked(table):
        with transaction.atomic():
            job = submit(alice)
            assert limits() == before
        assert submit(alice).priority == 0.5
    job.refresh_from_db()
    assert (job.priority, job.prediction_source) == (0.5, "fallback")
    assert limits() == before


def test_limits_of_the_read_end_with_it(cold_start: ModelVersion, acme: Organization) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '7s'")
        before = limits()
        assert service.predict([wanted(acme)])[0].source == "cold_start"
        assert limits() == before


def test_failed_read_does_not_spoil_the_callers_transaction(
    cold_start: ModelVersion, acme: Organization
) -> None:
    with transaction.atomic():
        (answer,) = prediction.predict([PredictionRequest(org_id=2**70, type="etl", name="x")])
        assert (answer.source, answer.runtime_ms) == ("fallback", 3000.0)
        assert Organization.objects.filter(pk=acme.pk).exists()


def test_nothing_asked_nothing_read(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert service.predict([]) == []
