"""The submit form: an example per type, errors at their fields, the job's page in the end."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from jobs.models import Job
from jobs.payloads import JOB_TYPES, parse_payload
from orgs.models import User
from tests.pages.conftest import Browse

FORM = "/dashboard/jobs/new/"
SHELL: dict[str, Any] = {
    "name": "hello",
    "type": "shell",
    "lane": "high",
    "payload": '{"command": "echo hi"}',
}


def errors_at(page: str, field: str) -> str:
    found = re.search(rf'<ul class="errorlist" id="id_{field}_error">(.*?)</ul>', page, re.DOTALL)
    return html.unescape(found[1]) if found else ""


@pytest.mark.parametrize("job_type", JOB_TYPES)
def test_the_example_of_each_type_can_be_submitted_as_it_stands(
    browse: Browse, bob: User, job_type: str
) -> None:
    client = browse(bob)
    page = client.get(f"{FORM}?type={job_type}&name=kept&lane=low").text
    found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert found
    payload = html.unescape(found[1])
    parse_payload(job_type, json.loads(payload))
    assert 'value="kept"' in page
    assert '<option value="low" selected>' in page
    answer = client.post(FORM, {"name": "example", "type": job_type, "lane": "normal", "payload": payload})
    job = Job.objects.get()
    assert answer.headers["Location"] == f"/dashboard/jobs/{job.pk}/"
    assert (job.type, job.payload, job.org_id, job.user_id) == (
        job_type,
        json.loads(payload),
        bob.org_id,
        bob.pk,
    )


def test_all_fields_reach_the_job(browse: Browse, bob: User) -> None:
    assert browse(bob).post(FORM, SHELL).status_code == 302
    job = Job.objects.get()
    assert (job.name, job.type, job.lane, job.payload) == ("hello", "shell", "high", {"command": "echo hi"})
    assert (job.queue, job.tags, job.status) == ("default", [], "queued")


def test_advanced_fields_reach_the_job_and_its_page(browse: Browse, bob: User) -> None:
    fields = {"queue": "night", "tags": "red,  big one ,", "delay": "90"}
    answer = browse(bob).post(FORM, {**SHELL, **fields})
    job = Job.objects.get()
    assert (job.queue, job.tags, job.status) == ("night", ["red", "big one"], "scheduled")
    assert (job.run_at - job.created_at).total_seconds() == 90
    page = browse(bob).get(answer.headers["Location"]).text
    assert "<dd>night</dd>" in page
    assert "<dd>red, big one</dd>" in page


def test_the_advanced_part_is_open_only_when_it_is_used(browse: Browse, bob: User) -> None:
    client = browse(bob)
    closed = '<details id="advanced">'
    assert closed in client.get(FORM).text
    assert closed not in client.post(FORM, {**SHELL, "queue": "a b"}).text


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name": ""}, "name", "required"),
        ({"name": "x" * 201}, "name", "at most 200 characters"),
        ({"name": "a\x00b"}, "name", "Null characters are not allowed"),
        ({"lane": "fast"}, "lane", "not one of the available choices"),
        ({"payload": ""}, "payload", "required"),
        ({"payload": "{"}, "payload", "This is not JSON"),
        ({"payload": '{"command": "a"} x'}, "payload", "line 1, column 18"),
        ({"payload": "[]"}, "payload", "JSON object"),
        ({"payload": '{"command": NaN}'}, "payload", "JSON has no NaN"),
        ({"payload": '{"command": 1}'}, "payload", "command: "),
        ({"payload": '{"command": "a", "x": 1}'}, "payload", "x: Unknown field."),
        ({"payload": '{"command": "a", "x": 1e999}'}, "payload", "x: "),
        ({"queue": "a b"}, "queue", "letters, digits"),
        ({"tags": "a,b,a"}, "tags", "differ"),
        ({"tags": "x" * 61}, "tags", "60"),
        ({"delay": "-1"}, "delay", "greater than or equal to 0"),
        ({"delay": "soon"}, "delay", "number"),
        ({"payload": "[" * 100_000}, "payload", "This JSON cannot be used"),
        ({"payload": json.dumps({"command": "x" * 300_000})}, "payload", "256 KiB"),
        ({"payload": '{"command": "\\u0000"}'}, "payload", "NUL"),
    ],
)
def test_errors_stand_at_their_field_and_nothing_is_stored(
    browse: Browse, bob: User, changes: dict[str, str], field: str, words: str
) -> None:
    answer = browse(bob).post(FORM, SHELL | changes)
    assert answer.status_code == 422
    assert words in errors_at(answer.text, field)
    assert Job.objects.count() == 0


def test_an_unknown_type_is_named(browse: Browse, bob: User) -> None:
    answer = browse(bob).post(FORM, SHELL | {"type": "cobol"})
    assert answer.status_code == 422
    assert "cobol is not one of the available choices" in answer.text
    assert Job.objects.count() == 0


def test_what_was_typed_is_shown_again_and_escaped(browse: Browse, bob: User) -> None:
    page = browse(bob).post(FORM, SHELL | {"name": "<script>alert(1)</script>", "payload": "{oops"}).text
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{oops" in page
