"""The terms of a rank add up to the rank that is stored, whatever has changed since."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import claims, leases
from jobs.models import Job
from jobs.ordering import HIGH, LANES, LOW, NORMAL, LaneRule, Ordering, length_ms
from jobs.rank_terms import explained
from orgs.models import User
from tests.explaining.conftest import Explain, Submit

RULES = {HIGH: LaneRule(5, 60), NORMAL: LaneRule(10, 0, 3600), LOW: LaneRule(10, -60)}
SOON = {"run_at": "2100-01-01T00:00:00Z"}


def named(answer: dict[str, Any]) -> dict[str, float]:
    return {term["name"]: term["seconds"] for term in answer["rank"]["terms"]}


def adds_up(answer: dict[str, Any], job: Job) -> bool:
    total = math.fsum(named(answer).values())
    return answer["rank"]["total"] == job.rank and total == pytest.approx(job.rank, abs=1e-6)


@pytest.mark.django_db
@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("fields", [{}, SOON])
def test_terms_of_a_new_job(
    explain: Explain, bob: User, submit: Submit, settings: Any, lane: str, fields: dict[str, Any]
) -> None:
    settings.ORDERING = Ordering(RULES)
    job = Job.objects.get(pk=submit(bob, lane=lane, **fields).pk)
    answer = explain(bob, job)
    assert adds_up(answer, job)
    terms = named(answer)
    assert terms["due"] == pytest.approx(job.run_at.timestamp(), abs=1e-5)
    assert terms["predicted"] == pytest.approx(RULES[lane].patience * 3.0)
    assert terms["lane"] == -RULES[lane].credit_s
    assert terms.get("cap", 0) <= 0
    assert "earlier" not in terms
    meanings = [term["meaning"] for term in answer["rank"]["terms"]]
    assert f"patience {RULES[lane].patience:g} x 3.0 s predicted" in meanings


@pytest.mark.django_db
def test_an_interval_is_a_term(explain: Explain, bob: User, submit: Submit, settings: Any) -> None:
    settings.ORDERING = Ordering({lane: LaneRule(10) for lane in LANES})
    length_s = length_ms(4000, 2000, 16_000) / 1000
    job, rank = submit(bob), 10 * length_s
    Job.objects.update(
        rank=job.run_at.timestamp() + rank,
        predicted_runtime_ms=4000,
        predicted_low_ms=2000,
        predicted_high_ms=16_000,
    )
    answer = explain(bob, job)
    assert adds_up(answer, Job.objects.get())
    assert named(answer)["predicted"] == pytest.approx(40)
    assert named(answer)["interval"] == pytest.approx(rank - 40, abs=1e-3)
    assert rank > 41
    assert f"it counts as {length_s:.1f} s by its 80 % interval" in str(answer)
    assert "earlier" not in named(answer)


@pytest.mark.django_db
def test_what_changed_since_the_submission_is_a_term(
    explain: Explain, bob: User, submit: Submit, settings: Any
) -> None:
    settings.ORDERING = Ordering({lane: LaneRule(10) for lane in LANES})
    job = submit(bob)
    settings.ORDERING = Ordering({lane: LaneRule(4) for lane in LANES})
    answer = explain(bob, job)
    assert adds_up(answer, job)
    assert named(answer)["predicted"] == pytest.approx(12)
    assert named(answer)["earlier"] == pytest.approx(18)


@pytest.mark.django_db
def test_a_retry_keeps_its_first_due_time(explain: Explain, bob: User, submit: Submit, settings: Any) -> None:
    settings.ORDERING = Ordering(RULES)
    job = submit(bob, max_retries=3)
    (claimed,) = claims.claim(worker_id="w1", types=["python"], limit=1, lease_s=60)
    ended = claims.Finish(job.pk, claimed.attempt, "failed", 5.0, error="no", retry_delay_s=500.0)
    assert leases.finish(worker_id="w1", ended=[ended])
    job = Job.objects.get()
    assert (job.run_at - job.created_at).total_seconds() > 400
    answer = explain(bob, job)
    assert adds_up(answer, job)
    assert named(answer)["due"] == pytest.approx(job.created_at.timestamp(), abs=1e-5)
    assert "earlier" not in named(answer)


seconds = st.floats(0, 1e5)
runtimes = st.none() | st.floats(0, 1e8)


@given(
    lane=st.sampled_from(LANES),
    predicted_ms=runtimes,
    due_s=st.floats(1.6e9, 1.9e9),
    stored=st.none() | st.floats(1.5e9, 2e9),
    moved_s=seconds,
)
def test_they_always_add_up(
    lane: str, predicted_ms: float | None, due_s: float, stored: float | None, moved_s: float
) -> None:
    """Whatever the stored rank, and however far a retry has moved the due time."""
    terms = Ordering(RULES).terms(due_at_s=due_s + moved_s, lane=lane, predicted_ms=predicted_ms)
    rank = terms.rank - moved_s if stored is None else stored
    found = explained(
        rank, terms, lane=lane, rule=RULES[lane], predicted_ms=predicted_ms, earliest_due_s=due_s
    )
    assert math.fsum(term.seconds for term in found.terms) == pytest.approx(rank, abs=1e-5)
    assert due_s - 0.01 <= found.terms[0].seconds <= due_s + moved_s + 0.01
    assert found.added_s == pytest.approx(rank - found.terms[0].seconds)
