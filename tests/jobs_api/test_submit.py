from __future__ import annotations

import pytest
from django.db import IntegrityError

from jobs import services
from jobs.models import Job, JobEvent
from orgs import walls
from orgs.models import Organization, User
from smartqueue.errors import problem_of

BODY = {"name": "greet", "type": "shell", "payload": {"command": "echo hello"}}
SHOWN = {
    "id", "name", "type", "payload", "status", "priority", "user_id", "org_id", "created_at", "started_at",
    "finished_at", "retry_count", "error_msg", "lane", "run_at", "attempt", "max_retries", "timeout_s",
    "predicted_runtime_ms", "prediction_source", "model_version", "worker_id", "result", "cancel_requested",
    "idempotency_key", "queue", "tags", "concurrency_key", "soft_timeout_s", "memory_mb", "cpu_s", "retry",
    "replay_of_id", "predicted_low_ms", "predicted_high_ms", "content_hidden",
}  # fmt: skip


def test_a_submitted_job_is_answered_whole(api, bob):
    answer = api(bob).post("/jobs/", BODY, format="json")

    assert answer.status_code == 201
    job = answer.json()
    assert set(job) == SHOWN
    assert (job["status"], job["name"], job["type"], job["payload"]) == (
        "queued",
        "greet",
        "shell",
        BODY["payload"],
    )
    assert (job["user_id"], job["org_id"]) == (bob.pk, bob.org_id)
    assert 0 < job["priority"] < 1
    assert job["predicted_runtime_ms"] > 0
    stored = Job.objects.get()
    assert stored.pk == job["id"]
    assert stored.priority == job["priority"]


def test_every_optional_field_is_taken(api, bob):
    extra = {"lane": "high", "run_at": "2099-01-02T03:04:05+02:00", "max_retries": 0, "timeout_s": 1.5}
    extra |= {
        "queue": "night.ly",
        "tags": ["a", "b c"],
        "concurrency_key": "the-printer",
        "soft_timeout_s": 1,
    }
    extra |= {"memory_mb": 64, "cpu_s": 2.5, "retry": {"base_s": 1, "jitter": "none"}}
    job = api(bob).post("/jobs/", {**BODY, **extra, "idempotency_key": "k"}, format="json").json()
    assert job["status"] == "scheduled"
    assert job["run_at"] == "2099-01-02T01:04:05Z"
    assert (job["lane"], job["max_retries"], job["timeout_s"]) == ("high", 0, 1.5)
    assert job["idempotency_key"] == "k"
    assert {name: job[name] for name in extra if name != "run_at"} == {
        name: value for name, value in extra.items() if name != "run_at"
    }
    assert api(bob).get(f"/jobs/{job['id']}").json().items() >= job.items()


def test_a_repeated_key_finds_the_first_job(api, bob):
    client = api(bob)
    first = client.post("/jobs/", {**BODY, "idempotency_key": "once"}, format="json")
    again = client.post("/jobs/", BODY, format="json", HTTP_IDEMPOTENCY_KEY="once")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert Job.objects.count() == 1


def test_a_key_for_different_work_is_a_conflict(api, bob):
    client = api(bob)
    client.post("/jobs/", BODY, format="json", HTTP_IDEMPOTENCY_KEY="once")
    other = client.post("/jobs/", {**BODY, "name": "other"}, format="json", HTTP_IDEMPOTENCY_KEY="once")
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "idempotency_conflict"
    assert list(other.json()["error"]["fields"]) == ["idempotency_key"]


def test_the_same_key_of_another_organisation_is_another_key(api, bob, charlie):
    first = api(bob).post("/jobs/", BODY, format="json", HTTP_IDEMPOTENCY_KEY="once")
    theirs = api(charlie).post("/jobs/", BODY, format="json", HTTP_IDEMPOTENCY_KEY="once")
    assert theirs.status_code == 201
    assert theirs.json()["id"] != first.json()["id"]


def test_header_and_body_must_name_the_same_key(api, bob):
    answer = api(bob).post(
        "/jobs/", {**BODY, "idempotency_key": "a"}, format="json", HTTP_IDEMPOTENCY_KEY="b"
    )
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["idempotency_key"]
    assert not Job.objects.exists()


def test_a_visitor_must_log_in(api, db):
    answer = api(None).post("/jobs/", BODY, format="json")
    assert answer.status_code == 401
    assert not Job.objects.exists()


def test_a_viewer_may_not_submit(api, vera):
    answer = api(vera).post("/jobs/", BODY, format="json")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"
    assert not Job.objects.exists()


def test_somebody_without_an_organisation_is_told_so(api, root_admin):
    answer = api(root_admin).post("/jobs/", BODY, format="json")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "no_organization"


@pytest.mark.parametrize("field", ["org", "user", "now", "org_id", "user_id", "status", "priority"])
def test_what_the_platform_decides_cannot_be_sent(api, bob, globex, field):
    answer = api(bob).post("/jobs/", {**BODY, field: globex.pk}, format="json")
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"] == {field: ["Unknown field."]}
    assert not Job.objects.exists()
    assert not JobEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_who_is_removed_while_the_request_goes_on_is_told_so(acme: Organization, bob: User) -> None:
    """The request has read its user; the job would name somebody of no organisation."""
    User.objects.filter(pk=bob.pk).update(org=None)
    with walls.request():
        walls.narrow(acme.pk)
        with pytest.raises(IntegrityError) as refused:
            services.submit(org=acme, user=bob, name="n", type="python", payload={"function": "noop"})
    problem = problem_of(refused.value)
    assert problem is not None
    assert (problem.status, problem.code) == (403, "forbidden")
    assert problem.message == "You no longer belong to this organisation."
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_other_broken_constraints_stay_errors_of_ours(bob: User) -> None:
    with pytest.raises(IntegrityError) as broken:
        User.objects.filter(pk=bob.pk).update(role="king")
    assert problem_of(broken.value) is None
