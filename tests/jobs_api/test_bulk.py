"""POST /jobs/bulk: every job is answered in its place, and what is refused holds up nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs import bulk_api
from jobs.models import Flow, Job, JobEvent

BODY: dict[str, Any] = {"name": "greet", "type": "shell", "payload": {"command": "echo hello"}}
PATH = "/jobs/bulk"


def job(**fields: Any) -> dict[str, Any]:
    return {**BODY, **fields}


def post(client: Any, *jobs: Any, **values: Any) -> Any:
    body = json.dumps({"jobs": list(jobs), **values})
    return client.post(PATH, body, content_type="application/json")


def test_every_job_is_stored_with_its_event_in_the_order_of_the_request(api: Any, bob: Any) -> None:
    answer = post(api(bob), *(job(name=f"n{place}", queue=f"q{place % 3}") for place in range(25)))
    body = answer.json()
    assert answer.status_code == 201
    assert (body["created"], body["existing"], body["refused"]) == (25, 0, 0)
    assert [result["index"] for result in body["results"]] == list(range(25))
    assert {result["status"] for result in body["results"]} == {"created"}
    stored = Job.objects.in_bulk([result["id"] for result in body["results"]])
    assert [stored[result["id"]].name for result in body["results"]] == [f"n{place}" for place in range(25)]
    for row in stored.values():
        flow = Flow.objects.get(pk=row.flow_id)
        assert (flow.org_id, flow.queue, flow.type) == (bob.org_id, row.queue, row.type)
    events = JobEvent.objects.values_list("job_id", "org_id", "old_status", "new_status", "actor")
    assert sorted(events) == sorted((pk, bob.org_id, "", "queued", f"user:{bob.pk}") for pk in stored)


def test_a_refused_job_is_named_with_its_fields_and_holds_up_no_other(api: Any, bob: Any) -> None:
    answer = post(
        api(bob),
        job(),
        job(name="", colour="red"),
        7,
        job(payload={"url": "http://x"}),
        job(**{"\ud800": 1}),
        job(),
    )
    body = answer.json()
    assert (answer.status_code, body["created"], body["refused"]) == (201, 2, 4)
    assert [result["status"] for result in body["results"]] == [
        "created", "refused", "refused", "refused", "refused", "created",
    ]  # fmt: skip
    refused = body["results"][1]
    assert (refused["id"], refused["error"]["code"]) == (None, "invalid")
    assert set(refused["error"]["fields"]) == {"name", "colour"}
    assert body["results"][2]["error"] == {
        "code": "invalid",
        "message": "jobs.2: Expected a JSON object.",
        "fields": {"jobs.2": ["Expected a JSON object."]},
    }
    assert "payload.command" in body["results"][3]["error"]["fields"]
    assert "error" not in body["results"][0]
    assert Job.objects.count() == JobEvent.objects.count() == 2


def test_keys_of_one_request_meet_each_other(api: Any, bob: Any) -> None:
    answer = post(
        api(bob),
        job(idempotency_key="a"),
        job(idempotency_key="b"),
        job(idempotency_key="a"),
        job(idempotency_key="a", name="other"),
        job(idempotency_key="a", lane="normal"),
    )
    body = answer.json()
    statuses = [result["status"] for result in body["results"]]
    assert statuses == ["created", "created", "existing", "refused", "existing"]
    assert body["results"][0]["id"] == body["results"][2]["id"] == body["results"][4]["id"]
    assert body["results"][3]["error"]["code"] == "idempotency_conflict"
    assert Job.objects.count() == 2


def test_a_repeated_request_answers_200_with_the_first_jobs(api: Any, bob: Any) -> None:
    jobs = [job(idempotency_key=f"k{place}") for place in range(5)]
    first, again = post(api(bob), *jobs), post(api(bob), *jobs[::-1])
    assert (first.status_code, again.status_code, again.json()["existing"]) == (201, 200, 5)
    ids = [result["id"] for result in first.json()["results"]]
    assert [result["id"] for result in again.json()["results"]] == ids[::-1]
    assert Job.objects.count() == 5


@pytest.mark.parametrize("bad", [job(name=""), job(idempotency_key="taken", name="another")])
def test_all_or_nothing_stores_nothing_when_one_is_refused(api: Any, bob: Any, submit: Any, bad: Any) -> None:
    submit(bob, idempotency_key="taken")
    answer = post(api(bob), job(), job(idempotency_key="new"), bad, bad, all_or_nothing=True)
    assert answer.status_code == 400
    [name] = {field.split(".", 2)[2] for field in answer.json()["error"]["fields"]}
    assert set(answer.json()["error"]["fields"]) == {f"jobs.2.{name}", f"jobs.3.{name}"}
    assert Job.objects.count() == JobEvent.objects.count() == 1


def test_answer_does_not_grow_with_all_that_is_wrong(api: Any, bob: Any) -> None:
    wrong = [7, *[job(**{f"x{number}": 1 for number in range(50)})] * 40]
    refused = post(api(bob), *wrong).json()["results"]
    assert [len(result["error"]["fields"]) for result in refused] == [1, *[20] * 40]
    fields = post(api(bob), *wrong, all_or_nothing=True).json()["error"]["fields"]
    assert (len(fields), fields["jobs"]) == (101, ["And 701 more."])
    assert (next(iter(fields)), fields["jobs.5.x3"]) == ("jobs.0", ["Unknown field."])


def test_all_or_nothing_stores_all_when_none_is_refused(api: Any, bob: Any) -> None:
    jobs = [job(), job(idempotency_key="a"), job(idempotency_key="a")]
    answer = post(api(bob), *jobs, all_or_nothing=True)
    assert (answer.status_code, answer.json()["created"], answer.json()["existing"]) == (201, 2, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "jobs"),
        ({"jobs": []}, "jobs"),
        ({"jobs": {"0": BODY}}, "jobs"),
        ({"jobs": [BODY], "all_or_nothing": "yes"}, "all_or_nothing"),
        ({"jobs": [BODY], "colour": "red"}, "colour"),
    ],
)
def test_a_request_that_is_no_list_of_jobs_is_refused_whole(
    api: Any, bob: Any, body: Any, field: str
) -> None:
    answer = api(bob).post(PATH, body, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]
    assert not Job.objects.exists()


def test_a_key_for_the_request_as_a_whole_is_refused(api: Any, bob: Any) -> None:
    answer = api(bob).post(PATH, {"jobs": [BODY]}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert answer.status_code == 400
    assert not Job.objects.exists()


def test_more_than_the_limit_is_refused_with_both_numbers(
    api: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_api, "MOST_JOBS", 3)
    answer = post(api(bob), *[job()] * 4)
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"]["jobs"] == ["Expected a list of 1 to 3 jobs, not 4."]
    assert post(api(bob), *[job()] * 3).status_code == 201


def test_bodies_beyond_the_general_limit_are_taken_here_alone(api: Any, bob: Any) -> None:
    jobs = [job(payload={"command": "x" * 90_000}) for _ in range(30)]
    assert post(api(bob), *jobs).json()["created"] == 30
    assert api(bob).post("/jobs/", {"jobs": jobs}, format="json").status_code == 413
    huge = json.dumps({"jobs": ["x" * bulk_api.LARGEST_BODY]})
    answer = api(bob).post(PATH, huge, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert str(bulk_api.LARGEST_BODY) in answer.json()["error"]["message"]


def test_roles_count_as_for_one_job(api: Any, vera: Any, root_admin: Any) -> None:
    assert post(api(vera), job()).status_code == 403
    assert post(api(None), job()).status_code == 401
    assert post(api(root_admin), job()).status_code == 403
    assert not Job.objects.exists()
