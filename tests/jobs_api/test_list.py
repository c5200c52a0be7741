from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import selectors, states, tagged
from jobs.models import Job
from orgs import walls


def ids(answer) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [job["id"] for job in answer.json()["results"]]


def test_newest_first_and_only_the_own_organisation(api, bob, charlie, submit):
    first, second = submit(bob), submit(bob)
    submit(charlie)
    answer = api(bob).get("/jobs/")
    assert ids(answer) == [second.pk, first.pk]
    assert answer.json()["next"] is None
    assert answer.json()["previous"] is None


def test_lists_are_without_results(api, bob, done_job):
    client = api(bob)
    with CaptureQueriesContext(connection) as queries:
        (listed,) = client.get("/jobs/").json()["results"]
    assert not any('"result"' in query["sql"] for query in queries)
    whole = client.get(f"/jobs/{done_job.pk}").json()
    detail = {name for name in whole if name.startswith(("predicted_start", "predicted_finish"))}
    assert whole.keys() - listed.keys() == {"result", "eta_unknown_reason"} | detail
    assert listed.items() <= whole.items()


def test_a_viewer_may_read(api, vera, bob, submit):
    job = submit(bob)
    assert ids(api(vera).get("/jobs/")) == [job.pk]


def test_a_platform_admin_sees_all(api, root_admin, bob, charlie, submit):
    jobs = [submit(bob), submit(charlie)]
    assert ids(api(root_admin).get("/jobs/")) == [job.pk for job in reversed(jobs)]


def test_wrong_choices_and_names_are_answered_with_what_there_is(api, bob):
    fields = api(bob).get("/jobs/?status=dead&state=failed").json()["error"]["fields"]
    assert fields["status"] == [f"Expected one of {', '.join(states.STATUSES)}."]
    (unknown,) = fields["state"]
    assert unknown.startswith("Unknown parameter: expected one of status, type, ")
    assert unknown.endswith(", cursor, page_size.")
    fields = api(bob).get("/analytics/summary?days=1").json()["error"]["fields"]
    assert fields == {"days": ["Unknown parameter: expected none."]}


def test_filters(api, bob, alice, submit):
    shell = {"type": "shell", "payload": {"command": "true"}}
    nightly = submit(bob, name="Nightly Report", lane="low", queue="night", tags=["a", "b c"], **shell)
    hourly = submit(alice, name="hourly report", run_at="2099-01-01T00:00:00Z")
    Job.objects.filter(pk=nightly.pk).update(created_at=datetime(2025, 1, 1, tzinfo=UTC))
    client = api(bob)
    for query, expected in {
        "status=queued": [nightly],
        "status=scheduled": [hourly],
        "status=done": [],
        "type=shell": [nightly],
        "lane=low": [nightly],
        "queue=night": [nightly],
        "queue=default": [hourly],
        "tag=a": [nightly],
        "tag=b%20c": [nightly],
        "tag=b": [],
        "tag=a&queue=default": [],
        "name=REPORT": [hourly, nightly],
        "name=night": [nightly],
        f"user={alice.pk}": [hourly],
        "created_before=2025-06-01T00:00:00Z": [nightly],
        "created_before=2025-01-01T00:00:00Z": [],
        "created_after=2025-01-01T00:00:00Z": [hourly, nightly],
        "created_after=2025-06-01T00:00:00Z": [hourly],
        "type=shell&status=queued&name=report": [nightly],
        "type=shell&status=scheduled": [],
        f"user={10**30}": [],
        "name=%25": [],
    }.items():
        assert ids(client.get(f"/jobs/?{query}")) == [job.pk for job in expected], query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=sleeping", "status"),
        ("status=", "status"),
        ("type=cobol", "type"),
        ("lane=fast", "lane"),
        ("queue=a%20b", "queue"),
        ("tag=", "tag"),
        ("user=alice", "user"),
        ("user=0", "user"),
        ("created_after=yesterday", "created_after"),
        ("created_before=0001-01-01T00:00:00%2B14:00", "created_before"),
        ("name=" + "x" * 201, "name"),
        ("colour=red", "colour"),
        ("org=1", "org"),
        ("status=queued&status=done", "status"),
        ("page_size=0", "page_size"),
        ("page_size=101", "page_size"),
        ("page_size=all", "page_size"),
        ("cursor=x", "cursor"),
        ("cursor=" + b64encode(b"p=abc").decode(), "cursor"),
        ("cursor=" + b64encode(b"p=99999999999999999999999").decode(), "cursor"),
        ("cursor=" + b64encode(b"o=-1").decode(), "cursor"),
        ("cursor=%F0%9F%92%A9", "cursor"),
    ],
)
def test_filters_that_cannot_be_used_are_named(api, bob, query, field):
    answer = api(bob).get(f"/jobs/?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]


def test_nul_in_a_query_is_refused(api, bob):
    assert api(bob).get("/jobs/?name=%00").status_code == 400


def test_pages_neither_repeat_nor_skip_while_jobs_arrive(api, bob, submit):
    jobs = [submit(bob).pk for _ in range(5)]
    client = api(bob)
    page = client.get("/jobs/?page_size=2&type=python")
    seen = ids(page)
    submit(bob)
    while page.json()["next"]:
        page = client.get(page.json()["next"])
        seen += ids(page)
    assert seen == list(reversed(jobs))
    assert ids(client.get(page.json()["previous"])) == [jobs[2], jobs[1]]


def test_the_cost_of_a_page_does_not_grow_with_its_length(api, bob, submit, django_assert_num_queries):
    for _ in range(3):
        submit(bob)
    client = api(bob)
    for size in (1, 3):
        with django_assert_num_queries(2):  # the user of the token, and the page
            client.get(f"/jobs/?page_size={size}")


MANY_JOBS = """
INSERT INTO jobs_job ({columns}) SELECT {columns} FROM jobs_job, generate_series(1, 3000) WHERE id = %s;
ANALYZE jobs_job
"""


@pytest.fixture
def rare(bob, charlie, submit):
    """A job with a tag that few of many jobs have; somebody else's has it too."""
    submit(charlie, tags=["rare"])
    common = submit(bob, tags=["common"])
    columns = ", ".join(field.column for field in Job._meta.concrete_fields if field.name != "id")
    with connection.cursor() as cursor:
        cursor.execute(MANY_JOBS.format(columns=columns), [common.pk])
    return submit(bob, tags=["rare"])


def test_jobs_with_a_tag_are_found_by_its_index(bob, rare):
    wanted = selectors.jobs(bob, selectors.JobFilter(tag="rare")).order_by("-id")
    assert "job_tags" in wanted.explain()
    assert list(wanted) == [rare]


@pytest.mark.parametrize(("tag", "count"), [("rare", 1), ("common", 3001), ("none", 0)])
def test_behind_the_wall_the_same_jobs_are_found(bob, rare, tag, count):
    with walls.request():
        walls.narrow(bob.org_id)
        with CaptureQueriesContext(connection) as queries:
            found = selectors.jobs(bob, selectors.JobFilter(tag=tag))
            assert found.count() == count
        # A rare tag's jobs are named by the function that may begin at the index.
        assert any("@>" in query["sql"] for query in queries) == (count > tagged.MOST)
        walls.narrow()
        assert selectors.jobs(bob, selectors.JobFilter(tag=tag)).count() == 0
