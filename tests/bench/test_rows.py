from __future__ import annotations

import pytest
from django.db import connection

from bench import rows
from jobs import claims, states
from jobs.models import ExecutionLog, Job, JobEvent
from orgs.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _functions(monkeypatch: pytest.MonkeyPatch) -> None:
    import bench.functions  # noqa: F401 - registers what the templates call


def test_copies_of_a_waiting_job_can_be_claimed(bob: User) -> None:
    template = rows.waiting(bob.org, bob)
    rows.copy(template, 25, rows.QUEUED, batch=10)

    claimed = claims.claim(worker_id="bench", types=["python"], limit=100, lease_s=60)
    assert len(claimed) == 25
    assert [job.id for job in claimed] == sorted(job.id for job in claimed)
    assert JobEvent.objects.filter(new_status=states.RUNNING).count() == 25
    assert Job.objects.get(pk=template).status == states.SCHEDULED


def test_copies_of_a_finished_job_have_its_history(bob: User) -> None:
    template = rows.finished(bob.org, bob)
    rows.copy(template, 10, {})

    assert Job.objects.filter(status=states.DONE).count() == 11
    assert ExecutionLog.objects.filter(final=True).count() == 11
    assert JobEvent.objects.count() == 11 * JobEvent.objects.filter(job_id=template).count()


def test_the_next_job_gets_an_id_of_its_own(bob: User) -> None:
    template = rows.waiting(bob.org, bob)
    rows.copy(template, 10, rows.QUEUED)
    assert rows.waiting(bob.org, bob) == template + 11


def test_jobs_that_are_not_due_stay_out_of_the_claim(bob: User) -> None:
    rows.copy(rows.waiting(bob.org, bob), 5, rows.NOT_DUE)
    assert claims.claim(worker_id="bench", types=["python"], limit=100, lease_s=60) == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM jobs_job WHERE status = 'scheduled' AND run_at > now()")
        assert cursor.fetchone() == (6,)
