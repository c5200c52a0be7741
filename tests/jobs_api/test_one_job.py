from __future__ import annotations

import pytest

from jobs.models import Job
from tests.jobs_api.conftest import claim, finish, write_lines


def test_a_finished_job_shows_its_result(api, bob, done_job):
    job = api(bob).get(f"/jobs/{done_job.pk}").json()
    assert job["status"] == "done"
    assert job["result"] == {"answer": "acme-result"}
    assert (job["attempt"], job["retry_count"]) == (2, 1)
    assert job["started_at"] <= job["finished_at"]


@pytest.mark.parametrize("job_id", ["0", "999999", str(2**63 - 1), str(2**63), "9" * 400, "9" * 5000])
@pytest.mark.parametrize("path", ["", "/output", "/executions", "/events", "/explain"])
def test_ids_that_name_nothing_are_404(api, bob, job_id, path):
    answer = api(bob).get(f"/jobs/{job_id}{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", ["/jobs/abc", "/jobs/-1", "/jobs/1.5", "/jobs/1/", "/jobs/1/nothing"])
def test_paths_that_lead_nowhere_are_404_in_json(api, bob, path):
    answer = api(bob).get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


class TestCancel:
    def test_a_waiting_job_is_cancelled_at_once(self, api, bob, submit):
        job = submit(bob)
        answer = api(bob).post(f"/jobs/{job.pk}/cancel")
        assert answer.status_code == 200
        assert answer.json()["status"] == "cancelled"
        assert answer.json()["finished_at"] is not None
        assert Job.objects.get().status == "cancelled"

    def test_a_running_job_is_asked_to_stop(self, api, bob, submit):
        job = claim(submit(bob))
        answer = api(bob).post(f"/jobs/{job.pk}/cancel")
        assert (answer.json()["status"], answer.json()["cancel_requested"]) == ("running", True)

    def test_a_finished_job_is_a_conflict(self, api, bob, done_job):
        answer = api(bob).post(f"/jobs/{done_job.pk}/cancel")
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "already_final"

    def test_a_user_cancels_only_own_jobs_and_an_org_admin_any(self, api, alice, bob, vera, submit):
        hers, his = submit(alice), submit(bob)
        assert api(bob).post(f"/jobs/{hers.pk}/cancel").status_code == 403
        assert api(vera).post(f"/jobs/{his.pk}/cancel").status_code == 403
        assert Job.objects.filter(status="queued").count() == 2
        assert api(alice).post(f"/jobs/{his.pk}/cancel").status_code == 200

    def test_a_get_cancels_nothing(self, api, bob, submit):
        job = submit(bob)
        assert api(bob).get(f"/jobs/{job.pk}/cancel").status_code == 405
        assert Job.objects.get().status == "queued"


class TestOutput:
    def test_all_attempts_in_order(self, api, bob, done_job):
        answer = api(bob).get(f"/jobs/{done_job.pk}/output").json()
        lines = [(line["attempt"], line["seq"], line["stream"], line["text"]) for line in answer["lines"]]
        assert lines == [
            (1, 1, "stdout", "acme-first"),
            (1, 2, "stdout", "acme-failing"),
            (2, 1, "stdout", "acme-again"),
        ]
        assert all(line["logged_at"] for line in answer["lines"])
        assert (answer["next"], answer["complete"]) == ("2.1", True)

    def test_one_attempt(self, api, bob, done_job):
        answer = api(bob).get(f"/jobs/{done_job.pk}/output?attempt=1").json()
        assert [line["text"] for line in answer["lines"]] == ["acme-first", "acme-failing"]

    def test_polling_reads_every_line_once(self, api, bob, submit):
        job, client = claim(submit(bob)), api(bob)
        path = f"/jobs/{job.pk}/output"
        empty = client.get(path).json()
        assert (empty["lines"], empty["complete"]) == ([], False)

        write_lines(job, 1, "a", "b", "c")
        seen, answer = [], client.get(f"{path}?limit=2&after={empty['next']}").json()
        seen += [line["text"] for line in answer["lines"]]
        assert not answer["complete"]
        finish(job)
        while not answer["complete"]:
            answer = client.get(f"{path}?limit=2&after={answer['next']}").json()
            seen += [line["text"] for line in answer["lines"]]
        assert seen == ["a", "b", "c"]

    def test_a_full_last_page_is_complete(self, api, bob, done_job):
        assert api(bob).get(f"/jobs/{done_job.pk}/output?limit=3").json()["complete"]
        assert not api(bob).get(f"/jobs/{done_job.pk}/output?limit=2").json()["complete"]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("after=x", "after"),
            ("after=1", "after"),
            ("after=1.2.3", "after"),
            ("after=9999999999.1", "after"),
            ("attempt=0", "attempt"),
            ("attempt=two", "attempt"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("page=2", "page"),
        ],
    )
    def test_queries_that_cannot_be_used_are_named(self, api, bob, done_job, query, field):
        answer = api(bob).get(f"/jobs/{done_job.pk}/output?{query}")
        assert answer.status_code == 400
        assert list(answer.json()["error"]["fields"]) == [field]

    def test_an_attempt_that_was_not_has_no_lines(self, api, bob, done_job):
        assert api(bob).get(f"/jobs/{done_job.pk}/output?attempt={2**70}").json()["lines"] == []


def test_executions_tell_the_attempts(api, bob, done_job):
    first, second = api(bob).get(f"/jobs/{done_job.pk}/executions").json()["results"]
    predicted = {"predicted_runtime_ms", "predicted_low_ms", "predicted_high_ms"}
    assert {"id", "job_id", "runtime_ms", *predicted, "worker_id", "logged_at"} < set(first)
    assert (first["attempt"], first["outcome"], first["final"]) == (1, "failed", False)
    assert first["error_msg"] == "acme-error"
    assert (second["attempt"], second["outcome"], second["final"]) == (2, "done", True)
    assert second["runtime_ms"] == 12.5


def test_the_interval_of_the_prediction_goes_with_the_job_and_its_attempts(api, bob, done_job):
    interval = {"predicted_runtime_ms": 4200.0, "predicted_low_ms": 2100.0, "predicted_high_ms": 9000.0}
    Job.objects.filter(pk=done_job.pk).update(**interval)
    done_job.executions.update(**interval)
    job = api(bob).get(f"/jobs/{done_job.pk}").json()
    attempt = api(bob).get(f"/jobs/{done_job.pk}/executions").json()["results"][0]
    listed = api(bob).get("/jobs/").json()["results"][0]
    assert all(interval.items() <= shown.items() for shown in (job, attempt, listed))


def test_events_tell_the_way(api, bob, done_job):
    events = api(bob).get(f"/jobs/{done_job.pk}/events").json()["results"]
    assert [event["new_status"] for event in events] == [
        "queued", "running", "scheduled", "queued", "running", "done",
    ]  # fmt: skip
    assert events[0]["actor"] == f"user:{bob.pk}"
