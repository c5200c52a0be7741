"""Where people read estimates: the job's JSON, its page, the calibration in API and analytics page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from analytics import calibration, shared
from jobs import claims, control, eta_page_selectors
from jobs.eta_models import EtaScore
from jobs.eta_store import Estimates
from jobs.models import Job, Worker
from orgs.models import User

Waiting = Callable[..., Job]
FIELDS = [f"predicted_{what}{end}_at" for what in ("start", "finish") for end in ("_low", "", "_high")]


@pytest.fixture(autouse=True)
def _nothing_shared() -> None:
    shared.clear()


@pytest.fixture
def browse() -> Callable[[User], Client]:
    def client(user: User) -> Client:
        made = Client(headers={"host": "localhost"})
        made.force_login(user)
        return made

    return client


def page(client: Client, job: Job) -> str:
    html = client.get(f"/dashboard/jobs/{job.pk}/").text
    return html.split('id="job-eta"')[1].split("</section>", maxsplit=1)[0]


def test_the_job_says_when(api: Any, bob: User, worker: Worker, waiting: Waiting) -> None:
    jobs = [waiting(bob, 10.0) for _ in range(4)]
    Estimates().refresh()
    shown = api(bob).get(f"/jobs/{jobs[-1].pk}").json()
    times = [datetime.fromisoformat(shown[name]) for name in FIELDS]
    assert times[:3] == sorted(times[:3])
    assert times[3:] == sorted(times[3:])
    assert shown["eta_unknown_reason"] is None
    assert (times[1] - timezone.now()).total_seconds() == pytest.approx(10, abs=6)


def test_the_job_says_why_not(api: Any, alice: User, waiting: Waiting) -> None:
    job = waiting(alice)
    shown = api(alice).get(f"/jobs/{job.pk}").json()
    assert [shown[name] for name in FIELDS] == [None] * 6
    assert shown["eta_unknown_reason"] == "no_worker"
    control.pause(user=alice)
    assert api(alice).get(f"/jobs/{job.pk}").json()["eta_unknown_reason"] == "paused"


def test_lists_and_submissions_do_not_ask(api: Any, bob: User, worker: Worker, waiting: Waiting) -> None:
    waiting(bob)
    [listed] = api(bob).get("/jobs/").json()["results"]
    made = api(bob).post(
        "/jobs/", {"name": "n", "type": "python", "payload": {"function": "noop"}}, format="json"
    )
    for shown in (listed, made.json()):
        assert not {*FIELDS, "eta_unknown_reason"} & set(shown)


def test_the_schema_has_the_fields(api: Any, bob: User) -> None:
    schema = api(bob).get("/schema", headers={"accept": "application/json"}).json()
    shapes = schema["components"]["schemas"]
    assert set(FIELDS) <= set(shapes["JobDetail"]["properties"])
    assert not set(FIELDS) & set(shapes["Job"]["properties"])
    answer = schema["paths"]["/jobs/{job_id}"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/JobDetail"}


def test_the_page_tells_start_and_end(
    browse: Callable[[User], Client], bob: User, worker: Worker, waiting: Waiting
) -> None:
    jobs = [waiting(bob, 60.0) for _ in range(3)]
    Estimates().refresh()
    shown = page(browse(bob), jobs[2])
    assert "Starts in about " in shown
    assert " to " in shown
    assert "Ends in about " in shown
    assert "80 % probability" in shown
    assert "Starts at any moment (within " in page(browse(bob), jobs[0])


def test_the_page_of_a_running_job_tells_the_end_alone(
    browse: Callable[[User], Client], bob: User, worker: Worker, waiting: Waiting
) -> None:
    job = waiting(bob, 60.0)
    claims.claim(worker_id="w1", types=["python"], limit=1, lease_s=60)
    shown = page(browse(bob), job)
    assert "Starts" not in shown
    assert "Ends in about 1 min" in shown or "Ends in about 59 s" in shown


def test_the_page_says_in_words_what_is_not_known(
    browse: Callable[[User], Client], bob: User, worker: Worker, waiting: Waiting
) -> None:
    job = waiting(bob, source="cold_start")
    assert "When it ends is not known: no job like it has run yet." in page(browse(bob), job)
    Worker.objects.all().delete()
    assert "When it starts is not known: no live worker takes jobs" in page(browse(bob), job)
    Job.objects.update(status="cancelled", finished_at=timezone.now())
    assert "hidden" in page(browse(bob), job).split(">")[0]
    job.refresh_from_db()
    assert eta_page_selectors.expected(job).sentences == []


@pytest.fixture
def scores(bob: User, charlie: User) -> None:
    today = timezone.now().astimezone(UTC).date()
    for user, back, started, inside in (
        (bob, 0, 10, 8),
        (bob, 3, 30, 21),
        (bob, 20, 99, 0),
        (charlie, 0, 4, 4),
    ):
        day = today - timedelta(days=back)
        EtaScore.objects.create(org_id=user.org_id, day=day, started=started, inside=inside)


def test_calibration_of_the_last_days(
    api: Any, bob: User, charlie: User, root_admin: User, scores: None
) -> None:
    body = api(bob).get("/analytics/eta-calibration").json()
    assert body["overall"] == {"started": 40, "inside": 29, "share": 0.725}
    assert len(body["by_day"]) == calibration.DAYS
    assert [day["share"] for day in body["by_day"] if day["started"]] == [0.7, 0.8]
    assert body["expected"] == 0.8
    assert api(charlie).get("/analytics/eta-calibration").json()["overall"]["started"] == 4
    assert api(root_admin).get("/analytics/eta-calibration").json()["overall"]["started"] == 44
    assert calibration.coverage() == calibration.Score(143, 33)


def test_the_calibration_page(browse: Callable[[User], Client], bob: User, scores: None) -> None:
    html = browse(bob).get("/dashboard/analytics/").text
    assert (
        "72 % of 40 jobs started inside the interval of their first estimate, which is made to hold 80 %."
        in html
    )
    assert '<script id="calibration" type="application/json">' in html


def test_nothing_to_calibrate_is_said_in_words(browse: Callable[[User], Client], vera: User) -> None:
    html = browse(vera).get("/dashboard/analytics/").text
    assert f"No job with an estimated start has started in {calibration.DAYS} days." in html
