"""What one answer reads: little, by indexes, and nothing of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import ahead, explaining
from jobs.models import Flow, Job, Worker
from orgs.models import Organization, User
from tests.explaining.conftest import Explain, Submit, codes

pytestmark = pytest.mark.django_db


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def plans_of(user: User, job: Job) -> list[dict[str, Any]]:
    """The nodes, with what they read, of every statement that an answer takes, within the same settings."""
    with CaptureQueriesContext(connection) as queries:
        explaining.explain(user, job)
    statements = [query["sql"] for query in queries if "jobs_job" in query["sql"]]
    assert len(statements) >= 3
    found = []
    with explaining._planned_for_indexes(), connection.cursor() as cursor:
        for statement in statements:
            *_, last = re.split(r";\s*(?=SELECT)", statement)
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + last)
            found += list(nodes(cursor.fetchone()[0][0]["Plan"]))
    return found


def copies(job: Job, number: int, **fields: Any) -> None:
    columns = {
        field.attname: getattr(job, field.attname) for field in Job._meta.fields if not field.primary_key
    }
    Job.objects.bulk_create([Job(**columns | fields) for _ in range(number)])


@pytest.mark.parametrize("analyzed", [True, False])
def test_of_a_long_queue_only_index_entries_are_read(
    bob: User, charlie: User, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch, analyzed: bool
) -> None:
    """Also on statistics from when the queue was empty."""
    monkeypatch.setattr(ahead, "MOST_AHEAD", 50)
    first, theirs = Job.objects.get(pk=submit(bob).pk), Job.objects.get(pk=submit(charlie).pk)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job, jobs_flow")
    copies(first, 2000)
    copies(theirs, 2000)
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE jobs_job, jobs_flow")
    job = Job.objects.get(pk=submit(bob, lane="low").pk)
    read = [node for node in plans_of(bob, job) if node.get("Relation Name") == "jobs_job"]
    assert {node["Node Type"] for node in read} <= {"Index Scan", "Index Only Scan"}
    assert {node["Index Name"] for node in read} <= {
        "job_head_of_flow",
        "job_of_org_not_done",
        "jobs_job_pkey",
    }
    rows = sum(
        node["Actual Rows"] * node["Actual Loops"] for node in read if "pkey" not in node["Index Name"]
    )
    # 51 jobs are counted, one of each flow and organisation is looked at, and the predictor counts up to 250.
    assert rows <= 51 + 2 + 250


def test_many_flows_of_one_organisation(
    explain: Explain, acme: Organization, bob: User, submit: Submit, worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Beyond the limit the count is a lower bound; the job's own flow is always in it."""
    monkeypatch.setattr(ahead, "MOST_LOOKED_AT", 3)
    Flow.objects.bulk_create(
        [Flow(org=acme, queue="a", type="python", key=f"k{number}") for number in range(9)]
    )
    submit(bob, queue="z")
    answer = explain(bob, submit(bob, queue="z"))
    assert answer["reason"]["facts"] == {"ahead": 1, "capped": True}
    assert answer["reason"]["message"] == "More than 1 job of your organisation are ahead of it."


def test_a_stranger_gets_404(api: Any, charlie: User, bob: User, submit: Submit) -> None:
    job = submit(bob)
    foreign, missing = (api(charlie).get(f"/jobs/{pk}/explain") for pk in (job.pk, job.pk + 1000))
    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert foreign.json()["error"]["code"] == "not_found"


def test_nothing_of_other_organisations_is_told(
    explain: Explain, globex: Organization, charlie: User, bob: User, submit: Submit, worker: Worker
) -> None:
    """Their jobs and queues neither count nor are named; how many organisations wait is all there is."""
    before = explain(bob, submit(bob))
    for number in range(5):
        submit(
            charlie, name="globex-name", queue="globex-queue", concurrency_key=f"globex-{number}", lane="high"
        )
    answer = explain(bob, Job.objects.filter(org=bob.org).get())
    assert "globex" not in str(answer).lower()
    assert codes(answer) == codes(before) == ["next"]
    assert (before["share"].pop("others"), answer["share"].pop("others")) == (0, 1)
    changing = ("as_of", "share")
    assert {name: part for name, part in answer.items() if name not in changing} == {
        name: part for name, part in before.items() if name not in changing
    }


def test_a_platform_admin_reads_its_and_not_your(
    explain: Explain, root_admin: User, bob: User, submit: Submit, worker: Worker
) -> None:
    submit(bob)
    job = submit(bob)
    assert explain(root_admin, job)["reason"]["message"] == "1 job of its organisation is ahead of it."


def test_settings_of_the_read_end_with_it(bob: User, submit: Submit) -> None:
    def planner() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('enable_seqscan'), current_setting('enable_sort')")
            return cursor.fetchone()

    job = submit(bob)
    with connection.cursor() as cursor:  # a session of the pool may have been a worker's
        cursor.execute("SET enable_seqscan = on; SET enable_sort = on")
    explaining.explain(bob, job)
    assert planner() == ("on", "on")
