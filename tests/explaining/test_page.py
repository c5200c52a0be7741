"""Where a job stands, on its page."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone

from jobs import claims, control
from jobs.live import JobLive
from jobs.models import Job, Share, Worker
from orgs.models import Organization, User
from predictor.models import ModelVersion
from tests.explaining.conftest import Submit
from tests.pages.conftest import Browse, browse
from tests.predictor.builders import run
from tests.predictor.conftest import LogRuns, cold_start, log_runs

pytestmark = pytest.mark.django_db

__all__ = ["browse", "cold_start", "log_runs"]  # fixtures


def shown(browse: Browse, user: User, job: Job) -> str:
    """The words of the fragment; it is what a socket would send."""
    page = browse(user).get(f"/dashboard/jobs/{job.pk}/").text
    fragment = JobLive().render(user, QueryDict(), job_id=job.pk)["explain"]
    assert fragment in page
    assert page.count('id="job-explain"') == 1
    return " ".join(re.sub(r"<[^>]+>", " ", fragment).split())


def test_a_queued_job(
    browse: Browse, acme: Organization, alice: User, bob: User, charlie: User, submit: Submit, worker: Worker
) -> None:
    for _ in range(12):
        submit(alice, queue="mail")
    submit(alice, queue="held")
    submit(charlie)
    Share.objects.create(org=acme, recent_s=90.0, lead_s=30.0)
    job = submit(bob, queue="mail")
    control.pause(user=alice, queue="held")
    words = shown(browse, bob, job)
    assert words.startswith(
        "Why it waits 12 jobs of your organisation are ahead of it. And once that is over:"
    )
    assert (
        "Ahead of it 12 jobs of its organisation not counting 1 job that something else holds back" in words
    )
    assert "Also queueing 1 other organisation" in words
    assert "Share 1 min 30 s of the workers' time lately, at weight 1: 30 s ahead of its turn" in words


def test_nothing_else_competes(browse: Browse, bob: User, submit: Submit, worker: Worker) -> None:
    words = shown(browse, bob, submit(bob))
    assert "Nothing is in its way" in words
    assert "And once that is over" not in words
    assert "Ahead of it 0 jobs of its organisation Also queueing no other organisation" in words


def test_a_job_that_is_not_due(browse: Browse, bob: User, submit: Submit) -> None:
    job = submit(bob, run_at=timezone.now() + timedelta(hours=3))
    words = shown(browse, bob, job)
    assert "It is not due yet: until" in words
    assert "And once that is over: No worker is at work." in words
    assert "Ahead of it" not in words


def test_the_terms_of_the_rank(browse: Browse, bob: User, submit: Submit) -> None:
    job = submit(bob, lane="high")
    words = shown(browse, bob, job)
    assert f"due on {job.run_at:%d %b %H:%M:%S} UTC" in words
    assert "credit of lane high" in words
    assert f"rank {job.rank:,.3f}" in words


def test_what_the_prediction_comes_from(
    browse: Browse, cold_start: ModelVersion, acme: Organization, bob: User, submit: Submit, log_runs: LogRuns
) -> None:
    job = submit(bob)
    assert "Predicted: 3.0 s. From no ended runs to go by" in shown(browse, bob, job)
    log_runs(acme, [run(9000, job_type="python", job_name="noop", user_id=bob.pk)] * 3)
    words = shown(browse, bob, job)
    assert (
        "From the last 3 of 3 runs of this name by this submitter; their median is 9.0 s, the newest" in words
    )
    assert "The network does not change it. By now 9.0 s would be predicted, 4.5 s to 18 s with" in words


def test_running_and_ended(browse: Browse, alice: User, bob: User, submit: Submit) -> None:
    job = submit(bob)
    claims.claim(worker_id="w1", types=["python"], limit=1, lease_s=60)
    words = shown(browse, bob, job)
    assert words.startswith("Where it stands A worker has it since ")
    ended = submit(bob)
    browse(alice).post(f"/dashboard/jobs/{ended.pk}/cancel/")
    words = shown(browse, bob, ended)
    assert words.startswith("Where it stands It was cancelled on ")
    assert "The history of a job that has ended is not looked at." in words


def test_text_of_others_is_escaped(browse: Browse, alice: User, bob: User, submit: Submit) -> None:
    control.pause(user=alice, reason="<b>now</b>")
    page = browse(bob).get(f"/dashboard/jobs/{submit(bob).pk}/").text
    assert "(&lt;b&gt;now&lt;/b&gt;)" in page
