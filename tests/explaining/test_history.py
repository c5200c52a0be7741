"""Which runs a prediction comes from, as of now, and what was predicted at the submission."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from jobs import prediction
from jobs.models import Job
from jobs.prediction import History, PredictionRequest
from orgs.models import Organization, User
from predictor import explaining, service
from predictor.explaining import ELSEWHERE, NO_RUNS
from predictor.models import ModelVersion
from tests.explaining.conftest import Explain, Submit
from tests.predictor.builders import NOW, model, run
from tests.predictor.conftest import LogRuns, cold_start, log_runs
from tests.predictor.test_service import believe, in_force, locked

pytestmark = pytest.mark.django_db

__all__ = ["cold_start", "log_runs"]  # fixtures

OURS: dict[str, Any] = {"job_type": "python", "job_name": "noop"}


@pytest.fixture
def explainer() -> Iterator[Any]:
    """Registers one for one test; puts the real one back."""
    before = prediction._explainer
    yield prediction.register_explainer
    prediction.register_explainer(before)


def told(explain: Explain, user: User, job: Job) -> dict[str, Any]:
    history = explain(user, job)["prediction"]["history"]
    assert isinstance(history, dict)
    return history


def test_without_runs(cold_start: ModelVersion, explain: Explain, bob: User, submit: Submit) -> None:
    history = told(explain, bob, submit(bob))
    assert history["circle"] == NO_RUNS
    assert (history["runs"], history["base_ms"], history["newest_at"]) == (0, None, None)
    assert (history["now"]["runtime_ms"], history["now"]["prediction_source"]) == (3000.0, "cold_start")


def test_runs_of_the_narrowest_circle(
    cold_start: ModelVersion, explain: Explain, acme: Organization, alice: User, bob: User, submit: Submit,
    log_runs: LogRuns,
) -> None:  # fmt: skip
    log_runs(acme, [run(ms, user_id=alice.pk, ago_s=90.0 - ms / 1000, **OURS) for ms in (1000, 2000, 4000)])
    history = told(explain, alice, submit(alice))
    assert history["circle"] == "runs of this name by this submitter"
    assert (history["runs"], history["recent"]) == (3, 3)
    assert history["median_ms"] == pytest.approx(2000)
    assert history["newest_at"] == f"{datetime.fromtimestamp(NOW - 86, UTC):%Y-%m-%dT%H:%M:%SZ}"
    assert history["base_ms"] == pytest.approx(history["now"]["runtime_ms"])
    assert (history["correction"], history["trust"]) == (1.0, 0.0)
    assert told(explain, bob, submit(bob))["circle"] == "runs of this name"
    assert told(explain, bob, submit(bob, name="new"))["circle"] == "runs of this type in the organisation"
    assert told(explain, alice, submit(alice, name="new"))["circle"] == "runs of this type by this submitter"


def test_who_has_no_submitter_is_not_said_to_have_one(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(1000, **OURS)])
    asked = [PredictionRequest(acme.pk, "python", name) for name in ("noop", "new")]
    found = [explaining.explain(one).circle for one in asked]
    assert found == ["runs of this name", "runs of this type in the organisation"]


def test_runs_of_others_are_not_told(
    cold_start: ModelVersion,
    explain: Explain,
    globex: Organization,
    bob: User,
    submit: Submit,
    log_runs: LogRuns,
) -> None:
    log_runs(globex, [run(7777, **OURS)] * 5)
    history = told(explain, bob, submit(bob))
    assert (history["runs"], history["circle"]) == (0, NO_RUNS)
    assert "7777" not in str(history)
    in_force(model(head=0.0), levels={"python": float(np.log(555))})
    history = told(explain, bob, submit(bob))
    assert (history["circle"], history["runs"], history["newest_at"]) == (ELSEWHERE, 0, None)
    assert history["base_ms"] == pytest.approx(555, rel=1e-4)


def test_correction_and_trust(
    cold_start: ModelVersion,
    explain: Explain,
    acme: Organization,
    bob: User,
    submit: Submit,
    log_runs: LogRuns,
) -> None:
    log_runs(acme, [run(2000, **OURS)] * 3)
    version = in_force(model(head=0.0, bias=np.log(16)))
    believe(0.5)
    history = told(explain, bob, submit(bob))
    assert history["base_ms"] == pytest.approx(2000)
    assert (history["correction"], history["trust"]) == (pytest.approx(16, rel=1e-4), 0.5)
    now = history["now"]
    assert now["runtime_ms"] == pytest.approx(8000, rel=1e-4)
    assert now["runtime_ms"] == pytest.approx(history["base_ms"] * history["correction"] ** history["trust"])
    assert (now["prediction_source"], now["model_version"]) == ("lstm", version.pk)
    assert now["low_ms"] <= now["runtime_ms"] <= now["high_ms"]


def test_it_is_what_would_be_predicted(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, [run(ms, **OURS) for ms in (900, 1000, 5000)])
    in_force(model(head=0.3))
    believe(1.0)
    request = PredictionRequest(acme.pk, "python", "noop", payload={"function": "noop"})
    (predicted,) = service.predict([request])
    now = explaining.explain(request).now
    assert now.runtime_ms == pytest.approx(predicted.runtime_ms, rel=1e-3)
    assert (now.source, now.model_version) == (predicted.source, predicted.model_version)


def test_a_prediction_that_would_differ_by_now_is_told(
    cold_start: ModelVersion,
    explain: Explain,
    acme: Organization,
    bob: User,
    submit: Submit,
    log_runs: LogRuns,
) -> None:
    job = submit(bob)
    answer = explain(bob, job)["prediction"]
    assert (answer["runtime_ms"], answer["prediction_source"], answer["changed"]) == (
        3000.0,
        "cold_start",
        False,
    )
    log_runs(acme, [run(9000, **OURS)] * 3)
    answer = explain(bob, job)["prediction"]
    assert (answer["runtime_ms"], answer["changed"]) == (3000.0, True)
    assert answer["history"]["now"]["runtime_ms"] == pytest.approx(9000)


def test_a_predictor_that_fails_costs_the_history_only(
    explain: Explain, bob: User, submit: Submit, explainer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(request: PredictionRequest) -> History:
        raise RuntimeError("out of order")

    job = submit(bob)
    caplog.set_level(logging.INFO)
    absurd = History("x", prediction.Prediction(float("nan"), 0.5, "base"))
    for one in (failing, None, lambda request: absurd):
        explainer(one)
        assert explain(bob, job)["prediction"]["history"] is None
    assert "action=prediction_not_explained" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_locked_history_holds_nobody_up(
    cold_start: ModelVersion, explain: Explain, bob: User, submit: Submit
) -> None:
    job = submit(bob)
    with locked("predictor_runhistory"):
        assert explain(bob, job)["prediction"]["history"] is None
    assert explain(bob, job)["prediction"]["history"] is not None
