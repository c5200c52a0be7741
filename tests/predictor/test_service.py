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
from jobs.prediction import PredictionRequest
from orgs.models import Organization, User
from predictor import selectors, service, store
from predictor.history import KEY_RUNS, ORG_RUNS
from predictor.lstm import Network
from predictor.models import ModelVersion
from tests.predictor.builders import NOW, network, run
from tests.predictor.conftest import LogRuns

pytestmark = pytest.mark.django_db


def wanted(org: Organization, **fields: Any) -> PredictionRequest:
    return PredictionRequest(**{"org_id": org.pk, "type": "etl", "name": "nightly", **fields})


def in_force(net: Network) -> ModelVersion:
    version = ModelVersion.objects.create(kind="lstm", weights=store.pack(net))
    store.activate(version)
    return version


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


def test_base_answers_from_the_runs_of_the_key(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(9000), run(9000), run(100, job_name="other"), run(1, outcome="failed")])
    log_runs(globex, [run(50)] * 5)
    (answer,) = service.predict([wanted(acme)])
    assert answer.runtime_ms == pytest.approx(9000)
    assert answer.priority == pytest.approx(0.25)
    assert (answer.source, answer.model_version) == ("base", cold_start.pk)


def test_network_in_force_corrects_the_base(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(2000)] * 3)
    net = network(head=0.0)
    net.params["head.bias"][...] = np.log(2)
    version = in_force(net)
    known, unknown = service.predict([wanted(acme), wanted(acme, type="http")])
    assert known.runtime_ms == pytest.approx(4000, rel=1e-4)
    assert (known.source, known.model_version) == ("lstm", version.pk)
    assert (unknown.source, unknown.model_version) == ("cold_start", version.pk)


def test_new_version_answers_at_once(cold_start: ModelVersion, acme: Organization) -> None:
    first = in_force(network())
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


def test_no_more_runs_are_read_than_count(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(1000 + count, job_name="rare") for count in range(3)])
    log_runs(acme, [run(5000 + count, job_name="often") for count in range(200)])
    known = selectors.known_for([wanted(acme, name="rare"), wanted(acme, name="often")])
    rare, often = (
        known.book.past(service.Ask(acme.pk, "etl", name, "normal", NOW)) for name in ("rare", "often")
    )
    assert [entry.runtime_ms for entry in rare.of_key] == [1000, 1001, 1002]
    assert [entry.runtime_ms for entry in often.of_key] == [5200 - back for back in range(KEY_RUNS, 0, -1)]
    assert [entry.runtime_ms for entry in rare.of_org] == [5200 - back for back in range(ORG_RUNS, 0, -1)]


def test_only_the_indexes_of_the_history_are_read(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    """One organisation owns nearly all of a long history: the case in which planners err."""
    log_runs(acme, [run(1000, job_name=f"job-{number % 3}") for number in range(1500)])
    log_runs(globex, [run(1000)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_executionlog")
    for org, name in ((acme, "job-1"), (globex, "job-1"), (globex, "nightly")):
        assert indexes_read([wanted(org, name=name)]) == ["executionlog_of_key", "executionlog_of_org"]


def indexes_read(requests: list[PredictionRequest]) -> list[str]:
    """How the plan of the statement reaches the execution log: index names, or the kind of scan."""
    with CaptureQueriesContext(connection) as queries:
        selectors.known_for(requests)
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + queries[0]["sql"])
        plan = cursor.fetchone()[0]
    return sorted(_scans(plan[0]["Plan"]))


def _scans(node: dict[str, Any]) -> Iterator[str]:
    if node.get("Relation Name") == "jobs_executionlog":
        yield node.get("Index Name", node["Node Type"])
    for child in node.get("Plans", ()):
        yield from _scans(child)


def test_without_active_version_the_job_gets_the_neutral_priority(
    cold_start: ModelVersion, alice: User, submit: Callable[..., Any]
) -> None:
    ModelVersion.objects.update(active=False)
    job = submit(alice)
    assert (job.priority, job.prediction_source, job.predicted_runtime_ms) == (0.5, "fallback", None)


@pytest.mark.parametrize("weights", [b"rubbish", store.pack(network())[:-200]])
def test_broken_version_costs_the_job_its_prediction_only(
    cold_start: ModelVersion, alice: User, submit: Callable[..., Any], weights: bytes
) -> None:
    ModelVersion.objects.update(active=False)
    ModelVersion.objects.create(kind="lstm", weights=weights, active=True)
    job = submit(alice)
    assert (job.priority, job.prediction_source, job.model_version) == (0.5, "fallback", None)
    store.activate(cold_start)
    assert submit(alice).prediction_source == "cold_start"


def test_absurd_network_costs_the_job_its_prediction_only(
    cold_start: ModelVersion, alice: User, acme: Organization, submit: Callable[..., Any], log_runs: LogRuns
) -> None:
    log_runs(acme, [run(1000, job_type="python", job_name="noop")])
    net = network()
    net.params["head.bias"][...] = 100.0
    in_force(net)
    job = submit(alice)
    assert (job.priority, job.prediction_source) == (0.5, "fallback")
    unknown, absurd = service.predict([wanted(acme, type="http"), wanted(acme, type="python", name="noop")])
    assert (unknown.source, absurd) == ("cold_start", prediction.NEUTRAL)


def test_unusable_model_is_read_and_complained_of_once(
    cold_start: ModelVersion, acme: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    service.predict([wanted(acme)])
    ModelVersion.objects.update(active=False)
    assert [service.predict([wanted(acme)]) for _ in range(3)] == [[prediction.NEUTRAL]] * 3
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    broken = ModelVersion.objects.create(kind="lstm", weights=b"rubbish", active=True)
    with CaptureQueriesContext(connection) as queries:
        assert [service.predict([wanted(acme)]) for _ in range(3)] == [[prediction.NEUTRAL]] * 3
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
@pytest.mark.parametrize("table", ["jobs_executionlog", "predictor_modelversion"])
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
        assert answer == prediction.NEUTRAL
        assert Organization.objects.filter(pk=acme.pk).exists()


def test_nothing_asked_nothing_read(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert service.predict([]) == []
