"""What an organisation may submit is refused by every way of submitting, and offered by none."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings

from jobs import allowed_types, replays, services
from jobs.models import Job
from orgs.models import Organization, User

pytestmark = pytest.mark.usefixtures("_without_shell")
SHELL = {"name": "disk", "type": "shell", "payload": {"command": "df"}}
NOOP = {"name": "noop", "type": "python", "payload": {"function": "noop"}}


@pytest.fixture
def _without_shell() -> Any:
    with override_settings(JOB_TYPES_FOR_ALL=["http", "python"]):
        yield


def test_a_grant_takes_the_place_of_the_setting(acme: Organization) -> None:
    assert allowed_types.types_of(acme) == ("http", "python")
    acme.job_types = ["shell"]
    assert allowed_types.types_of(acme) == ("shell",)
    acme.job_types = []
    assert allowed_types.types_of(acme) == ()


def test_one_job(api: Any, bob: User, acme: Organization) -> None:
    answer = api(bob).post("/jobs/", SHELL, format="json")
    assert answer.status_code == 400
    [said] = answer.json()["error"]["fields"]["type"]
    assert "shell" in said
    assert "one of http, python" in said
    Organization.objects.filter(pk=acme.pk).update(job_types=["shell"])
    assert api(bob).post("/jobs/", SHELL, format="json").status_code == 201
    assert api(bob).post("/jobs/", NOOP, format="json").status_code == 400


def test_bulk(api: Any, bob: User) -> None:
    answer = api(bob).post("/jobs/bulk", {"jobs": [NOOP, SHELL]}, format="json").json()
    assert [one["status"] for one in answer["results"]] == ["created", "refused"]
    whole = {"jobs": [NOOP, SHELL], "all_or_nothing": True}
    answer = api(bob).post("/jobs/bulk", whole, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["jobs.1.type"]
    assert Job.objects.count() == 1


def test_together_with_others(bob: User, charlie: User) -> None:
    asked = [
        services.Asked(user.org, user, services.submission.parse(values))
        for user, values in ((bob, SHELL), (charlie, NOOP), (bob, NOOP))
        if user.org
    ]
    refused, *made = services.submit_each(asked)
    assert isinstance(refused, allowed_types.TypeNotAllowed)
    assert [(job.org, job.type) for job in made if isinstance(job, Job)] == [
        (charlie.org, "python"),
        (bob.org, "python"),
    ]


def test_replay(bob: User, acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(job_types=["shell"])
    acme.refresh_from_db()
    job = services.submit(org=acme, user=bob, **SHELL)
    services.cancel(job=job, user=bob)
    Organization.objects.filter(pk=acme.pk).update(job_types=None)
    job.refresh_from_db()
    with pytest.raises(allowed_types.TypeNotAllowed):
        replays.replay(job=Job.objects.get(pk=job.pk), user=bob)


def test_the_page_offers_what_is_allowed(bob: User, acme: Organization) -> None:
    browser = Client()
    browser.force_login(bob)
    page = browser.get("/dashboard/jobs/new/?type=shell").content.decode()
    assert "?type=http" in page
    assert "?type=shell" not in page
    assert "Submit the http job" in page
    answer = browser.post("/dashboard/jobs/new/", {**SHELL, "lane": "normal", "payload": '{"command": "df"}'})
    assert answer.status_code == 422
    assert "may not submit shell jobs" in answer.content.decode()
    Organization.objects.filter(pk=acme.pk).update(job_types=[])
    answer = browser.get("/dashboard/jobs/new/")
    assert answer.status_code == 403
    assert "may not submit jobs of any type" in answer.content.decode()
