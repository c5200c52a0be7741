from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rest_framework.response import Response
from rest_framework.test import APIClient

from orgs.models import User
from predictor import store
from predictor.models import ModelVersion, Trust
from tests.predictor.builders import model

pytestmark = pytest.mark.django_db
Ask = Callable[..., Response]


@pytest.fixture
def ask(api: Callable[[User | None], APIClient], alice: User, cold_start: ModelVersion) -> Ask:
    def post(body: Any) -> Response:
        return api(alice).post("/predictor/predict", body, format="json")

    return post


@pytest.mark.parametrize(
    ("job_type", "history", "expected"),
    [
        ("http", [], 400),
        ("shell", [], 1500),
        ("etl", [], 3000),
        ("ml", [], 12000),
        ("python", [], 3000),
        ("ml", ["http", "http", "http"], 12000 * 0.7),
        ("http", ["http", "ml", "ml", "ml"], 400 * 1.3),
        ("etl", ["shell"], 3000 * 0.95),
        ("etl", ["python", {"job_type": "ml"}, {"job_type": "etl", "runtime_ms": None}], 3000 * 1.15),
        ("shell", [{"job_type": "ml", "runtime_ms": 7}], 1500 * 1.1),
    ],
)
def test_cold_start(ask: Ask, job_type: str, history: list[Any], expected: float) -> None:
    response = ask({"job_type": job_type, "history": history})
    assert response.status_code == 200
    assert response.json() == {
        "predicted_runtime_ms": pytest.approx(expected, abs=1e-8),
        "predicted_priority": pytest.approx(1 / (1 + expected / 3000)),
        "job_type": job_type,
    }


def test_history_may_be_left_out(ask: Ask) -> None:
    assert ask({"job_type": "http"}).json()["predicted_runtime_ms"] == 400


def test_runtimes_of_the_type_are_taken_up(ask: Ask) -> None:
    history = [
        "http",
        *({"job_type": "etl", "runtime_ms": 900} for _ in range(3)),
        {"job_type": "ml", "runtime_ms": 9},
    ]
    assert ask({"job_type": "etl", "history": history}).json()["predicted_runtime_ms"] == pytest.approx(900)


@pytest.mark.parametrize(("errors", "expected"), [([4, 3, 2, 1, 0], 1000), ([0, 1, 2, 3, 4], 500)])
def test_network_in_force_corrects_as_far_as_it_is_believed(
    ask: Ask, errors: list[float], expected: float
) -> None:
    weights = store.pack(model(head=0.0, bias=np.log(2)), {})
    store.activate(ModelVersion.objects.create(kind="lstm", weights=weights))
    Trust.objects.create(org=None, job_type="", errors=errors, low=0, high=0, runs=50)
    known = ask({"job_type": "etl", "history": [{"job_type": "etl", "runtime_ms": 500}]}).json()
    assert known["predicted_runtime_ms"] == pytest.approx(expected, rel=1e-4)
    assert ask({"job_type": "etl", "history": ["ml"]}).json()["predicted_runtime_ms"] == pytest.approx(3300)


def test_without_a_usable_model_there_is_still_the_cold_start_and_the_base(ask: Ask) -> None:
    known = {"job_type": "etl", "history": [{"job_type": "etl", "runtime_ms": 500}]}
    for weights in (None, b"rubbish"):
        ModelVersion.objects.update(active=False)
        if weights:
            ModelVersion.objects.create(kind="lstm", weights=weights, active=True)
        assert ask({"job_type": "ml", "history": []}).json()["predicted_runtime_ms"] == 12000
        assert ask(known).json()["predicted_runtime_ms"] == pytest.approx(500)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "job_type"),
        ({"job_type": "fortran", "history": []}, "job_type"),
        ({"job_type": None}, "job_type"),
        ({"job_type": ["etl"]}, "job_type"),
        ({"job_type": "ETL"}, "job_type"),
        ({"job_type": "etl", "history": "etl"}, "history"),
        ({"job_type": "etl", "history": {"etl": 1}}, "history"),
        ({"job_type": "etl", "history": None}, "history"),
        ({"job_type": "etl", "history": ["etl", "fortran"]}, "history"),
        ({"job_type": "etl", "history": [3]}, "history"),
        ({"job_type": "etl", "history": [{}]}, "history"),
        ({"job_type": "etl", "history": [{"job_type": "etl", "runtime": 3}]}, "history"),
        ({"job_type": "etl", "history": [{"job_type": "etl", "runtime_ms": "3"}]}, "history"),
        ({"job_type": "etl", "history": [{"job_type": "etl", "runtime_ms": True}]}, "history"),
        ({"job_type": "etl", "history": [{"job_type": "etl", "runtime_ms": 0}]}, "history"),
        ({"job_type": "etl", "history": [{"job_type": "etl", "runtime_ms": 1e300}]}, "history"),
        ({"job_type": "etl", "history": ["etl"] * 1001}, "history"),
        ({"job_type": "etl", "mood": 3}, "mood"),
    ],
)
def test_bad_input_is_refused_by_name(ask: Ask, body: dict[str, Any], field: str) -> None:
    response = ask(body)
    assert response.status_code == 400
    fields = response.json()["error"]["fields"]
    assert {name.partition(".")[0].partition("[")[0] for name in fields} == {field}
    assert all(sentence for sentences in fields.values() for sentence in sentences)


def test_numbers_beyond_every_limit_are_refused(ask: Ask) -> None:
    item = {"job_type": "etl", "runtime_ms": 10**400}
    assert ask({"job_type": "etl", "history": [item]}).status_code == 400


def test_a_visitor_is_turned_away(api: Callable[[User | None], APIClient], db: None) -> None:
    response = api(None).post("/predictor/predict", {"job_type": "etl"}, format="json")
    assert response.status_code == 401
    assert "code" in response.json()["error"]
