"""Payloads, results, output and error texts are hidden from whoever lacks the right, by every door."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from jobs.live import JobLive, JobsLive
from jobs.models import Job
from orgs import api_keys
from orgs.models import Organization, User
from tests.jobs_api.conftest import claim, finish

SECRETS = ("acme-payload", "acme-result", "acme-error", "acme-first", "acme-again")
PATHS = ["/jobs/", "/jobs/{job}", "/jobs/{job}/output", "/jobs/{job}/executions", "/jobs/{job}/events"]


def told(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture
def open_acme(acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(viewers_see_content=True)


@pytest.mark.parametrize("path", PATHS)
def test_viewers_are_told_that_it_is_hidden(
    api: Any, bob: User, vera: User, done_job: Job, path: str
) -> None:
    path = path.format(job=done_job.pk)
    seen, hidden = api(bob).get(path), api(vera).get(path)
    assert seen.status_code == hidden.status_code == 200
    assert told(seen.content.decode())
    assert told(hidden.content.decode()) == []
    assert '"content_hidden":false' in seen.content.decode()
    assert '"content_hidden":true' in hidden.content.decode()


@pytest.mark.usefixtures("open_acme")
@pytest.mark.parametrize("path", PATHS)
def test_unless_their_organisation_shows_it(
    api: Any, bob: User, vera: User, done_job: Job, path: str
) -> None:
    path = path.format(job=done_job.pk)
    assert api(vera).get(path).json() == api(bob).get(path).json()


def test_what_is_null(api: Any, vera: User, done_job: Job) -> None:
    job = api(vera).get(f"/jobs/{done_job.pk}").json()
    assert [job[name] for name in ("payload", "result", "error_msg")] == [None] * 3
    assert (job["name"], job["status"]) == ("acme-nightly", "done")
    output = api(vera).get(f"/jobs/{done_job.pk}/output").json()
    assert output == {"lines": None, "next": "0.0", "complete": True, "content_hidden": True}
    events = api(vera).get(f"/jobs/{done_job.pk}/events").json()["results"]
    assert "failed, retry in 0.0 s" in [event["reason"] for event in events]


def test_a_key_without_the_scope(api: Any, bob: User, done_job: Job) -> None:
    """Who may submit by a key, but not read, is not shown an earlier job's result either."""
    _, secret = api_keys.create(user=bob, name="ci", scopes=["jobs:write"], expires_in_days=1)
    client = api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    body = {"name": "a", "type": "python", "payload": {"function": "noop"}, "idempotency_key": "k"}
    assert client.post("/jobs/", body, format="json").status_code == 201
    job = finish(claim(Job.objects.get(idempotency_key="k")), result={"answer": "acme-result"})
    answer = client.post("/jobs/", body, format="json")
    assert (answer.status_code, answer.json()["id"]) == (200, job.pk)
    assert (answer.json()["content_hidden"], answer.json()["result"]) == (True, None)


@pytest.mark.parametrize("path", ["/dashboard/jobs/{job}/", "/dashboard/?status=failed"])
def test_pages(bob: User, vera: User, acme: Organization, done_job: Job, path: str, submit: Any) -> None:
    finish(claim(submit(bob, max_retries=0)), "failed", error="acme-error")
    path = path.format(job=done_job.pk)
    for person, knows in ((bob, True), (vera, False)):
        browser = Client()
        browser.force_login(person)
        page = browser.get(path).content.decode()
        assert bool(told(page)) is knows
        assert ("Hidden: your organisation" in page or ">hidden<" in page) is not knows


def test_sockets_render_what_pages_do(vera: User, bob: User, done_job: Job) -> None:
    from django.http import QueryDict

    for view, kwargs in ((JobLive(), {"job_id": done_job.pk}), (JobsLive(), {})):
        assert told("".join(view.render(vera, QueryDict("status=failed"), **kwargs).values())) == []
    assert told("".join(JobLive().render(bob, QueryDict(), job_id=done_job.pk).values()))
