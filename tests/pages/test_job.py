"""The page of one job: state, facts, output, attempts, result, and cancelling it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs import claims, job_page_selectors, leases, output, reclaims, services
from jobs.claims import Ending
from jobs.live import JobLive
from jobs.models import Job, Worker
from orgs.models import User
from tests.pages.conftest import Browse

Submit = Callable[..., Job]
SHELL = {"type": "shell", "payload": {"command": "true"}}


def claim(job: Job) -> claims.Claimed:
    claimed = claims.claim(worker_id="w1", types=[job.type], limit=1, lease_s=60)
    assert [one.id for one in claimed] == [job.pk]
    return claimed[0]


def finish(job: Job, ending: Ending, **values: Any) -> None:
    job.refresh_from_db()
    assert leases.finish(worker_id="w1", ended=[claims.Finish(job.pk, job.attempt, ending, **values)])


@pytest.fixture
def job(bob: User, submit: Submit) -> Job:
    Worker.objects.create(worker_id="w1", hostname="node-7", pid=42, concurrency=4)
    return submit(bob, name="the job", max_retries=1, **SHELL)


def section(html: str, name: str) -> str:
    return html.split(f'id="job-{name}"')[1].split("</section>", maxsplit=1)[0]


def test_a_waiting_job(browse: Browse, bob: User, job: Job) -> None:
    page = browse(bob).get(f"/dashboard/jobs/{job.pk}/").text
    assert "ready, waiting for a worker" in page
    assert "Output appears here line by line once the job runs." in page
    assert "There is no result yet." in page
    assert "No attempt has ended yet." in page
    assert "submitted" in section(page, "timeline")
    assert "by bob" in section(page, "timeline")
    assert "0 of 2" in section(page, "facts")


def test_the_prediction_comes_with_its_interval(browse: Browse, bob: User, job: Job) -> None:
    path, shown = f"/dashboard/jobs/{job.pk}/", "4.2 s (2.1 s to 9.0 s with 80 % probability)"
    Job.objects.update(predicted_runtime_ms=4200, predicted_low_ms=2100, predicted_high_ms=9000)
    assert shown in " ".join(section(browse(bob).get(path).text, "facts").split())
    Job.objects.update(predicted_low_ms=None, predicted_high_ms=None)
    facts = section(browse(bob).get(path).text, "facts")
    assert ("4.2 s" in facts, "probability" in facts) == (True, False)


def test_a_dead_letter_shows_its_attempts_and_errors(browse: Browse, bob: User, job: Job) -> None:
    claim(job)
    finish(job, "failed", runtime_ms=1500.0, error="first <error>", retry_delay_s=0.0)
    assert reclaims.promote_due(actor="test")
    claim(job)
    finish(job, "timeout", runtime_ms=65_000.0, error="second error", retry_delay_s=0.0)
    page = browse(bob).get(f"/dashboard/jobs/{job.pk}/").text
    attempts = section(page, "attempts")
    assert "first &lt;error&gt;" in attempts
    assert "second error" in attempts
    assert "1.5 s" in attempts
    assert "1 min 5 s" in attempts
    assert "node-7:42" in attempts
    assert "dead letter" in page
    assert "There is no result: the job failed, see its attempts." in page
    assert f"/dashboard/jobs/{job.pk}/cancel/" not in page


def test_the_two_run_times_are_told_apart(browse: Browse, bob: User, job: Job) -> None:
    path, words = f"/dashboard/jobs/{job.pk}/", "from claimed to"
    assert words not in section(browse(bob).get(path).text, "facts")
    claim(job)
    assert f"{words} now" in section(browse(bob).get(path).text, "facts")
    finish(job, "done", runtime_ms=961.0)
    page = browse(bob).get(path).text
    assert f"{words} finished" in section(page, "facts")
    assert "961 ms" in section(page, "attempts")
    assert "Ran: the time of the job itself" in section(page, "attempts")


def test_a_retry_policy_of_its_own_is_shown(browse: Browse, bob: User, job: Job, submit: Submit) -> None:
    own = submit(bob, retry={"base_s": 0.5, "jitter": "none"}, **SHELL)
    facts = section(browse(bob).get(f"/dashboard/jobs/{own.pk}/").text, "facts")
    assert "<dt>Retry</dt><dd>base_s 0.5, jitter none " in facts
    assert "<dt>Retry</dt>" not in section(browse(bob).get(f"/dashboard/jobs/{job.pk}/").text, "facts")


def test_output_is_shown_by_attempt_and_escaped(browse: Browse, bob: User, job: Job) -> None:
    lines = [("system", "starting"), ("stdout", "<b>hello</b>"), ("stderr", "careful")]
    output.append([output.Line(job.pk, 1, number, *line) for number, line in enumerate(lines, start=1)])
    output.append([output.Line(job.pk, 2, 1, "stdout", "again")])
    shown = section(browse(bob).get(f"/dashboard/jobs/{job.pk}/").text, "output")
    assert re.findall(r'line-(\w+)">(.*)\n', shown) == [
        ("system", "starting"),
        ("stdout", "&lt;b&gt;hello&lt;/b&gt;"),
        ("stderr", "careful"),
        ("stdout", "again"),
    ]
    assert re.findall(r"Attempt \d", shown) == ["Attempt 1", "Attempt 2"]


def test_long_output_shows_its_end_and_the_way_to_the_rest(browse: Browse, bob: User, job: Job) -> None:
    number = job_page_selectors.LAST_LINES + 2
    output.append([output.Line(job.pk, 1, seq, "stdout", f"line {seq}.") for seq in range(1, number)])
    output.append([output.Line(job.pk, 1, number, "stdout", "y" * 5000)])
    shown = section(browse(bob).get(f"/dashboard/jobs/{job.pk}/").text, "output")
    assert "line 2." not in shown
    assert "line 3." in shown
    longest = job_page_selectors.LONGEST_LINE
    assert "y" * longest in shown
    assert "y" * (longest + 1) not in shown
    assert f'href="/jobs/{job.pk}/output"' in shown


@pytest.mark.parametrize(
    ("result", "cells"),
    [
        (
            {"rows": [{"species": "setosa", "n": 50}], "columns": ["species", "n"]},
            ["<td>setosa</td>", ">50</td>"],
        ),
        (
            {"rows": [["setosa", 0.123456789]], "columns": ["species", "share"]},
            ["<td>setosa</td>", ">0.123457</td>"],
        ),
        ({"scores": {"accuracy": 0.97, "f1": 1}}, ["<td>accuracy</td>", ">0.97</td>", ">1</td>"]),
    ],
)
def test_simple_results_are_tables(
    browse: Browse, bob: User, job: Job, result: dict[str, Any], cells: list[str]
) -> None:
    claim(job)
    finish(job, "done", runtime_ms=10.0, result=result)
    shown = section(browse(bob).get(f"/dashboard/jobs/{job.pk}/").text, "result")
    assert [cell for cell in cells if cell not in shown] == []


@pytest.mark.parametrize(
    "result",
    [
        {"rows": [{"a": {"deep": 1}}]},
        {"rows": [["a", "b"]], "columns": ["a"]},
        {"rows": [[1]], "columns": "a"},
        {"rows": "text", "scores": {"x": [1]}},
        {"rows": [1]},
        [1, 2],
        "plain text </pre>",
        42,
        False,
    ],
)
def test_other_results_are_json_only(browse: Browse, bob: User, job: Job, result: Any) -> None:
    claim(job)
    finish(job, "done", runtime_ms=10.0, result=result)
    shown = section(browse(bob).get(f"/dashboard/jobs/{job.pk}/").text, "result")
    assert "<table" not in shown
    assert '<details id="result-json" open>' in shown
    assert shown.count("</pre>") == 1


def header(html: str) -> str:
    return html.split('id="job-header"')[1].split('class="columns"', maxsplit=1)[0]


def test_a_stopped_job_is_no_error(browse: Browse, bob: User, job: Job) -> None:
    claim(job)
    browse(bob).post(f"/dashboard/jobs/{job.pk}/cancel/")
    finish(job, "cancelled", runtime_ms=10.0, error="The job was stopped.")
    page = browse(bob).get(f"/dashboard/jobs/{job.pk}/").text
    assert '<p class="notice">The job was stopped.</p>' in header(page)
    assert "The job was stopped." in section(page, "attempts")
    assert "attempt-failed" not in page


def test_an_error_keeps_its_lines(browse: Browse, bob: User, job: Job) -> None:
    error = "Parser Error: near FORM\n  SELECT 1 FORM x\n           ^"
    claim(job)
    finish(job, "failed", runtime_ms=10.0, error=error)
    page = browse(bob).get(f"/dashboard/jobs/{job.pk}/").text
    assert f'<pre class="notice notice-bad">{error}</pre>' in header(page)
    assert f"<pre>{error}</pre>" in section(page, "attempts")
    assert "attempt-failed" in page


def test_a_long_reason_ends_behind_a_word(browse: Browse, bob: User, job: Job) -> None:
    claim(job)
    finish(job, "failed", runtime_ms=10.0, error="thirteen " * 60)
    timeline = section(browse(bob).get(f"/dashboard/jobs/{job.pk}/").text, "timeline")
    assert "thirteen …" in timeline
    assert set(re.findall(r"\bthir\w*", timeline)) == {"thirteen"}


def test_a_platform_admin_is_the_platform_for_members(
    browse: Browse, bob: User, root_admin: User, job: Job
) -> None:
    services.cancel(job=job, user=root_admin)
    path = f"/dashboard/jobs/{job.pk}/"
    page = browse(bob).get(path).text
    assert "by the platform" in section(page, "timeline")
    assert "root_admin" not in page
    assert "by root_admin" in section(browse(root_admin).get(path).text, "timeline")


def test_a_long_timeline_shows_its_newest_steps(
    browse: Browse, bob: User, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_page_selectors, "LAST_STEPS", 1)
    claim(job)
    timeline = job_page_selectors.timeline(bob, job)
    assert [(one.event.new_status, one.after_ms is None) for one in timeline.steps] == [("running", False)]
    assert timeline.cut
    assert "newest" in section(browse(bob).get(f"/dashboard/jobs/{job.pk}/").text, "timeline")


def test_times_are_said_to_be_utc_and_a_scheduled_job_is_due(
    browse: Browse, bob: User, submit: Submit
) -> None:
    later = submit(bob, run_at=timezone.now() + timedelta(hours=3))
    page = browse(bob).get(f"/dashboard/jobs/{later.pk}/").text
    assert "All times are in UTC." in page
    assert re.search(rf"<dt>Due</dt><dd><time [^>]*>{later.run_at:%d %b %H:%M:%S}</time>", page)


def test_only_output_that_may_grow_is_followed(browse: Browse, bob: User, job: Job) -> None:
    claim(job)
    output.append([output.Line(job.pk, 1, 1, "stdout", "hello")])
    client, path = browse(bob), f"/dashboard/jobs/{job.pk}/"
    assert "data-finished" not in client.get(path).text
    finish(job, "done", runtime_ms=10.0)
    assert "data-follow data-finished" in client.get(path).text


def test_what_no_fragment_shows_is_not_read(
    bob: User, job: Job, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(23):
        JobLive().render(bob, QueryDict(), job_id=job.pk)
    assert job_page_selectors.job(bob, job.pk).get_deferred_fields() == {"payload"}


def test_cancelling_asks_first(browse: Browse, bob: User, job: Job) -> None:
    client, path = browse(bob), f"/dashboard/jobs/{job.pk}/cancel/"
    assert path in client.get(f"/dashboard/jobs/{job.pk}/").text
    assert "Cancel “the job”?" in client.get(path).text
    job.refresh_from_db()
    assert job.status == "queued"
    assert client.post(path).headers["Location"] == f"/dashboard/jobs/{job.pk}/"
    job.refresh_from_db()
    assert job.status == "cancelled"
    assert client.get(path).headers["Location"] == f"/dashboard/jobs/{job.pk}/"
    refused = client.post(path)
    assert refused.status_code == 409
    assert "cancelled already" in refused.text


def test_cancelling_a_running_job_asks_its_worker(browse: Browse, alice: User, job: Job) -> None:
    claim(job)
    client = browse(alice)
    assert "Its worker is asked to stop it" in client.get(f"/dashboard/jobs/{job.pk}/cancel/").text
    client.post(f"/dashboard/jobs/{job.pk}/cancel/")
    page = client.get(f"/dashboard/jobs/{job.pk}/").text
    assert "a stop was requested" in page
    assert f"/dashboard/jobs/{job.pk}/cancel/" not in page
