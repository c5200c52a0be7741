"""Replays by the API: one job, or many by a filter."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import reclaims, replay_selectors
from jobs.models import Job, JobEvent, Replay
from orgs.models import AuditEntry
from tests.jobs_api.conftest import claim, finish, write_lines

GIVEN = {
    "name": "report",
    "lane": "high",
    "queue": "mail",
    "tags": ["nightly", "big"],
    "concurrency_key": "ledger",
    "max_retries": 0,
    "timeout_s": 50.0,
    "soft_timeout_s": 20.0,
    "memory_mb": 64,
    "cpu_s": 10.0,
    "retry": {"base_s": 2.0, "jitter": "none"},
}


@pytest.fixture
def dead(bob, submit) -> Job:
    return finish(claim(submit(bob, idempotency_key="once", **GIVEN)), "failed", error="broken")


class TestOne:
    def test_a_replay_is_a_new_job_with_the_same_submission(self, api, alice, dead):
        answer = api(alice).post(f"/jobs/{dead.pk}/replay")
        assert answer.status_code == 201
        made = Job.objects.get(pk=answer.json()["id"])
        assert (made.status, made.replay_of, made.user, made.attempt) == ("queued", dead, alice, 0)
        same = (*(set(GIVEN) - {"retry"}), "type", "payload", "retry_policy")
        assert {name: getattr(made, name) for name in same} == {name: getattr(dead, name) for name in same}
        assert (made.idempotency_key, dead.idempotency_key) == (None, "once")

    def test_it_is_told_on_both_sides(self, api, alice, dead):
        made = api(alice).post(f"/jobs/{dead.pk}/replay").json()["id"]
        assert f"job {dead.pk}" in JobEvent.objects.get(job_id=made).reason
        told = JobEvent.objects.filter(job=dead).latest("id")
        assert (told.old_status, told.new_status, told.actor) == ("failed", "failed", f"user:{alice.pk}")
        assert told.reason == f"replayed as job {made}"
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.user, entry.org_id) == ("job.replay", alice, alice.org_id)
        assert entry.details == {"job_id": made, "replay_of": dead.pk}

    def test_done_and_cancelled_jobs_can_be_replayed(self, api, bob, submit, done_job):
        cancelled = submit(bob)
        api(bob).post(f"/jobs/{cancelled.pk}/cancel")
        for job in (done_job, cancelled):
            assert api(bob).post(f"/jobs/{job.pk}/replay").status_code == 201

    def test_an_unfinished_job_is_a_conflict(self, api, bob, submit):
        job = submit(bob)
        for _ in ("queued", "running"):
            answer = api(bob).post(f"/jobs/{job.pk}/replay")
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_ended")
            if job.status == "queued":
                claim(job)
        assert Job.objects.count() == 1

    def test_a_second_replay_waits_for_the_end_of_the_first(self, api, bob, dead):
        first = api(bob).post(f"/jobs/{dead.pk}/replay").json()["id"]
        answer = api(bob).post(f"/jobs/{dead.pk}/replay")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "replayed_already")
        assert f"Job {first}" in answer.json()["error"]["message"]
        finish(claim(Job.objects.get(pk=first)), "failed")
        assert api(bob).post(f"/jobs/{dead.pk}/replay").status_code == 201

    def test_roles(self, api, vera, charlie, bob, dead):
        assert api(vera).post(f"/jobs/{dead.pk}/replay").status_code == 403
        assert api(charlie).post(f"/jobs/{dead.pk}/replay").status_code == 404
        assert Job.objects.count() == 1
        assert api(bob).post(f"/jobs/{dead.pk}/replay").status_code == 201


class TestMany:
    def test_it_is_accepted_and_shown(self, api, alice, vera, dead):
        body = {"filter": {"type": "python", "error_contains": "BROKEN"}, "rate_per_s": 2.5}
        answer = api(alice).post("/replays", body, format="json")
        assert answer.status_code == 202
        made = answer.json()
        assert (made["status"], made["replayed"], made["rate_per_s"]) == ("active", 0, 2.5)
        assert made["filter"] == {"status": "failed", "type": "python", "error_contains": "BROKEN"}
        assert Replay.objects.get().up_to_job_id == dead.pk
        assert api(vera).get(f"/replays/{made['id']}").json() == {
            **made,
            "remaining": 1,
            "remaining_capped": False,
        }
        assert [one["id"] for one in api(vera).get("/replays").json()["results"]] == [made["id"]]
        assert AuditEntry.objects.get().action == "replay.start"

    def test_defaults(self, api, alice, dead):
        made = api(alice).post("/replays", {}, format="json").json()
        assert (made["filter"], made["rate_per_s"]) == ({"status": "failed"}, 10)

    @pytest.mark.parametrize("body", ["", " \n"])
    def test_no_body_replays_nothing(self, api, alice, dead, body):
        answer = api(alice).generic("POST", "/replays", body, content_type="application/json")
        assert answer.status_code == 400
        expected = ["Nothing was sent. Send {} to replay every dead letter."]
        assert answer.json()["error"]["fields"] == {"body": expected}
        assert not Replay.objects.exists()

    def test_with_nothing_to_do_it_is_done(self, api, alice):
        made = api(alice).post("/replays", {}, format="json").json()
        assert (made["status"], made["replayed"]) == ("done", 0)
        assert made["finished_at"] is not None

    @pytest.mark.parametrize(
        ("wanted", "count"),
        [
            ({}, 1),
            ({"name": "PORT"}, 1),
            ({"name": "other"}, 0),
            ({"queue": "mail", "tag": "big"}, 1),
            ({"queue": "default"}, 0),
            ({"tag": "small"}, 0),
            ({"type": "http"}, 0),
            ({"error_contains": "oke"}, 1),
            ({"status": "cancelled"}, 0),
            ({"finished_after": "2000-01-01T00:00:00Z"}, 1),
            ({"finished_before": "2000-01-01T00:00:00Z"}, 0),
        ],
    )
    def test_filters(self, api, alice, bob, submit, dead, wanted, count):
        submit(bob, name="report")
        last = submit(bob, name="cancelled one")
        api(bob).post(f"/jobs/{last.pk}/cancel")
        if wanted.get("status") == "cancelled":
            wanted = {**wanted, "name": "report"}
        made = api(alice).post("/replays", {"filter": wanted}, format="json").json()
        assert api(alice).get(f"/replays/{made['id']}").json()["remaining"] == count

    def test_cancel(self, api, alice, dead):
        made = api(alice).post("/replays", {}, format="json").json()
        answer = api(alice).post(f"/replays/{made['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert api(alice).get(f"/replays/{made['id']}").json()["remaining"] is None
        again = api(alice).post(f"/replays/{made['id']}/cancel")
        assert (again.status_code, again.json()["error"]["code"]) == (409, "replay_ended")
        assert AuditEntry.objects.latest("id").action == "replay.cancel"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"rate_per_s": 0}, "rate_per_s"),
            ({"rate_per_s": 1001}, "rate_per_s"),
            ({"rate_per_s": "nan"}, "rate_per_s"),
            ({"filter": {"status": "done"}}, "filter.status"),
            ({"filter": {"type": "x"}}, "filter.type"),
            ({"filter": {"lane": "low"}}, "filter.lane"),
            ({"filter": {"finished_after": "yesterday"}}, "filter.finished_after"),
            ({"filter": {"finished_after": "2030-01-02T00:00Z", "finished_before": "2030-01-01T00:00Z"}},
             "filter.finished_before"),
            ({"filter": []}, "filter"),
            ({"rate": 5}, "rate"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_used_is_named(self, api, alice, body, field):
        answer = api(alice).post("/replays", body, format="json")
        assert answer.status_code == 400
        assert [name.removesuffix(".non_field_errors") for name in answer.json()["error"]["fields"]] == [
            field
        ]
        assert not Replay.objects.exists()

    def test_roles_and_strangers(self, api, alice, bob, vera, charlie, dead):
        made = api(alice).post("/replays", {}, format="json").json()
        for person in (bob, vera):
            assert api(person).post("/replays", {}, format="json").status_code == 403
            assert api(person).post(f"/replays/{made['id']}/cancel").status_code == 403
        assert api(charlie).get("/replays").json()["results"] == []
        assert api(charlie).get(f"/replays/{made['id']}").status_code == 404
        assert api(charlie).post(f"/replays/{made['id']}/cancel").status_code == 404
        assert Replay.objects.get().status == "active"

    def test_a_platform_admin_says_whose(self, api, root_admin, alice, dead):
        answer = api(root_admin).post("/replays", {}, format="json")
        assert answer.status_code == 400
        assert "org_id" in answer.json()["error"]["fields"]
        assert "/orgs/" not in answer.json()["error"]["message"]
        made = api(root_admin).post("/replays", {"org_id": alice.org_id}, format="json").json()
        assert (made["org_id"], made["user_id"], made["status"]) == (alice.org_id, root_admin.pk, "active")
        assert api(alice).get(f"/replays/{made['id']}").json()["user_id"] is None

    def test_others_name_no_other_organisation(self, api, alice, globex, dead):
        assert api(alice).post("/replays", {"org_id": globex.pk}, format="json").status_code == 404
        assert api(alice).post("/replays", {"org_id": alice.org_id}, format="json").status_code == 202

    @pytest.mark.parametrize(
        ("cap", "reach", "counted"),
        [(9, 9, (3, False)), (2, 9, (2, True)), (9, 2, (2, True)), (3, 3, (3, False))],
    )
    def test_counting_is_bounded(self, api, alice, submit, monkeypatch, cap, reach, counted):
        monkeypatch.setattr(replay_selectors, "COUNT_CAP", cap)
        monkeypatch.setattr(replay_selectors, "COUNT_REACH", reach)
        for _ in range(3):
            finish(claim(submit(alice, max_retries=0)), "failed")
        made = api(alice).post("/replays", {}, format="json").json()
        shown = api(alice).get(f"/replays/{made['id']}").json()
        assert (shown["remaining"], shown["remaining_capped"]) == counted


def test_the_longest_name_can_be_cancelled_and_replayed(api, alice, bob, submit):
    """An audit entry's target, which says the job's id as well, holds no more than a name."""
    job = submit(bob, name="n" * 200)
    assert api(alice).post(f"/jobs/{job.pk}/cancel").status_code == 200
    assert api(alice).post(f"/jobs/{job.pk}/replay").status_code == 201
    targets = set(AuditEntry.objects.values_list("target", flat=True))
    assert targets == {f"job {job.pk}: {'n' * 200}"[:200]}


class TestOutputTail:
    def test_each_attempt_has_its_last_lines(self, api, bob, done_job):
        write_lines(done_job, 3, *(f"line {number}" for number in range(30)))
        first, second = api(bob).get(f"/jobs/{done_job.pk}/executions").json()["results"]
        assert first["output_tail"] == ["acme-first", "acme-failing"]
        assert second["output_tail"] == ["acme-again"]

    def test_only_the_last_and_long_ones_cut(self, api, bob, submit):
        job = claim(submit(bob))
        write_lines(job, 1, *(f"{number} " + "x" * 600 for number in range(30)))
        finish(job)
        (shown,) = api(bob).get(f"/jobs/{job.pk}/executions").json()["results"]
        assert [line.split()[0] for line in shown["output_tail"]] == [str(number) for number in range(10, 30)]
        assert {len(line) for line in shown["output_tail"]} == {500}

    def test_it_costs_no_query_per_attempt(self, api, bob, submit, django_assert_max_num_queries):
        job = submit(bob, max_retries=5)
        for _ in range(5):
            write_lines(claim(job), job.attempt, "line")
            finish(job, "failed", retry_delay_s=0.0)
            Job.objects.filter(pk=job.pk).update(run_at=timezone.now() - timedelta(seconds=1))
            reclaims.promote_due(actor="test")
        client = api(bob)
        with django_assert_max_num_queries(4):
            assert len(client.get(f"/jobs/{job.pk}/executions").json()["results"]) == 5
