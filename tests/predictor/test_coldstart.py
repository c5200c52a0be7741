from __future__ import annotations

from itertools import product

import pytest

from jobs.payloads import JOB_TYPES
from predictor import coldstart


@pytest.mark.parametrize(
    ("job_type", "expected"),
    [("http", 400), ("shell", 1500), ("etl", 3000), ("ml", 12000), ("python", 3000), ("unheard-of", 3000)],
)
def test_base_without_history(job_type: str, expected: float) -> None:
    assert coldstart.predicted_ms(job_type, []) == expected


@pytest.mark.parametrize(
    ("last_types", "factor"),
    [
        ([], 1.0),
        (["http"], 0.9),
        (["ml"], 1.1),
        (["http", "http", "http"], 0.7),
        (["ml", "ml", "ml"], 1.3),
        (["shell", "etl", "python"], 1.0),
        (["shell", "shell", "shell"], 0.85),
        (["ml", "etl", "python"], 1.15),
    ],
)
def test_context_factor(last_types: list[str], factor: float) -> None:
    assert coldstart.context_factor(last_types) == pytest.approx(factor, abs=1e-12)
    assert coldstart.predicted_ms("ml", last_types) == pytest.approx(12000 * factor, abs=1e-8)


def test_only_the_last_three_types_count() -> None:
    assert coldstart.context_factor(["ml"] * 50 + ["http"] * 3) == coldstart.context_factor(["http"] * 3)


def test_factor_stays_within_its_range() -> None:
    factors = [coldstart.context_factor(types) for types in product(coldstart.JOB_TYPES, repeat=3)]
    assert min(factors) == pytest.approx(0.7)
    assert max(factors) == pytest.approx(1.3)


def test_priority() -> None:
    assert coldstart.priority(3000) == coldstart.NEUTRAL_PRIORITY == 0.5
    assert coldstart.priority(0) == 1
    assert coldstart.priority(12000) == 0.2
    assert coldstart.priority(400) == pytest.approx(3000 / 3400)


def test_job_types_are_those_of_the_queue() -> None:
    assert set(coldstart.JOB_TYPES) == set(JOB_TYPES)
