from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs import admin as jobs_admin
from jobs.models import ExecutionLog, Job, SchedulerLeader

LISTS = {
    "jobs": "admin:jobs_job_changelist",
    "attempts": "admin:jobs_executionlog_changelist",
}
PLATFORM_LISTS = ("admin:jobs_worker_changelist", "admin:jobs_schedulerleader_changelist")


def browser(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def cancel(client: Client, *jobs: Job):
    form = {"action": "cancel_selected", "_selected_action": [job.pk for job in jobs]}
    return client.post(reverse(LISTS["jobs"]), form, follow=True)


@pytest.mark.parametrize("name", LISTS.values(), ids=LISTS)
def test_an_org_admin_sees_the_own_rows(alice, done_job, name):
    page = browser(alice).get(reverse(name))
    assert page.status_code == 200
    assert "acme-nightly" in page.content.decode()


@pytest.mark.parametrize(
    "query", ["", "?q=acme", "?status=done", "?status__exact=done", "?type__exact=python", "?e=1"]
)
@pytest.mark.parametrize("name", LISTS.values(), ids=LISTS)
def test_a_stranger_finds_nothing_in_lists(charlie, done_job, name, query):
    page = browser(charlie).get(reverse(name) + query, follow=True)
    text = page.content.decode().replace("q=acme", "").replace('value="acme"', "")
    assert "acme-" not in text
    assert "Acme" not in text
    assert "bob" not in text


def test_lookups_do_not_answer_questions_about_other_columns(charlie, alice, done_job):
    for query in (
        "payload__args__0__startswith=a",
        "org__name__startswith=A",
        "user__password__startswith=m",
    ):
        assert browser(alice).get(f"{reverse(LISTS['jobs'])}?{query}").status_code in (302, 400)
        assert (
            "acme-"
            not in browser(charlie).get(f"{reverse(LISTS['jobs'])}?{query}", follow=True).content.decode()
        )


@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_pages_of_a_foreign_job_cannot_be_opened(charlie, done_job, page):
    answer = browser(charlie).get(reverse(f"admin:jobs_job_{page}", args=[done_job.pk]), follow=True)
    assert "acme-" not in answer.content.decode()


def test_pages_of_a_foreign_attempt_cannot_be_opened(charlie, done_job):
    log = ExecutionLog.objects.first()
    answer = browser(charlie).get(reverse("admin:jobs_executionlog_change", args=[log.pk]), follow=True)
    assert "acme-" not in answer.content.decode()


def test_an_org_admin_cancels_selected_jobs(alice, bob, submit):
    first, second = submit(bob), submit(alice)
    page = cancel(browser(alice), first, second)
    assert "2 job(s) cancelled" in page.content.decode()
    assert set(Job.objects.values_list("status", flat=True)) == {"cancelled"}


def test_a_job_that_has_ended_is_reported_and_left_alone(alice, done_job):
    page = cancel(browser(alice), done_job)
    assert "1 job(s) had ended already and cannot be cancelled" in page.content.decode()
    assert Job.objects.get().status == "done"


def test_all_across_pages_are_cancelled_in_portions(alice, bob, submit, done_job, monkeypatch):
    monkeypatch.setattr(jobs_admin, "MOST_CANCELLED", 2)
    for _ in range(3):
        submit(bob)
    form = {"action": "cancel_selected", "_selected_action": [done_job.pk], "select_across": "1"}
    with CaptureQueriesContext(connection) as queries:
        answer = browser(alice).post(reverse(LISTS["jobs"]), form)
    told = [str(message) for message in get_messages(answer.wsgi_request)]
    assert told == [
        "2 job(s) cancelled or asked to stop.",
        "1 job(s) were left: at most 2 are cancelled at once. Select them again.",
        "1 job(s) had ended already and cannot be cancelled.",
    ]
    assert sorted(Job.objects.values_list("status", flat=True)) == [
        "cancelled",
        "cancelled",
        "done",
        "queued",
    ]
    read = [query["sql"] for query in queries if query["sql"].endswith("LIMIT 2")]
    assert len(read) == 1
    assert "payload" not in read[0]


@pytest.mark.parametrize("selected", ["abc", "1.5", "1\0", "", "9" * 5000])
@pytest.mark.parametrize("person", ["alice", "root_admin"])
def test_selected_ids_that_are_none_are_refused(request, person, selected):
    form = {"action": "cancel_selected", "_selected_action": ["1", selected]}
    answer = browser(request.getfixturevalue(person)).post(reverse(LISTS["jobs"]), form)
    assert answer.status_code == 400
    assert "expected ids of jobs" in answer.content.decode()


def test_numbers_are_for_people(alice, done_job):
    Job.objects.update(priority=0.123456, predicted_runtime_ms=1500.0)
    ExecutionLog.objects.update(runtime_ms=125_000.0, predicted_runtime_ms=None)
    client = browser(alice)
    jobs, attempts = (client.get(reverse(name)).content.decode() for name in LISTS.values())
    one = client.get(reverse("admin:jobs_job_change", args=[done_job.pk])).content.decode()
    assert "0.12" in jobs
    assert "0.1234" not in jobs + one
    assert "2 min 5 s" in attempts
    assert "1.5 s" in one
    assert "runtime ms" not in (attempts + one).lower()


def test_a_foreign_job_is_not_cancelled(charlie, alice, submit):
    theirs, own = submit(alice, name="acme-precious"), submit(charlie)
    page = cancel(browser(charlie), theirs, own)
    assert "acme-" not in page.content.decode()
    assert Job.objects.get(pk=theirs.pk).status == "queued"
    assert Job.objects.get(pk=own.pk).status == "cancelled"


def test_nobody_edits_adds_or_deletes(alice, root_admin, done_job):
    for person in (alice, root_admin):
        client = browser(person)
        change = reverse("admin:jobs_job_change", args=[done_job.pk])
        assert client.get(change).status_code == 200
        assert client.post(change, {"name": "changed", "status": "queued"}).status_code == 403
        assert client.get(reverse("admin:jobs_job_add")).status_code == 403
        assert (
            client.post(reverse("admin:jobs_job_delete", args=[done_job.pk]), {"post": "yes"}).status_code
            == 403
        )
        client.post(reverse(LISTS["jobs"]), {"action": "delete_selected", "_selected_action": [done_job.pk]})
    assert Job.objects.get().name == "acme-nightly"


def test_a_platform_admin_sees_all_and_the_infrastructure(root_admin, done_job, worker):
    SchedulerLeader.objects.create(worker_id="host-1:7:ab", term=3)
    client = browser(root_admin)
    assert "acme-nightly" in client.get(reverse(LISTS["jobs"])).content.decode()
    texts = [client.get(reverse(name)).content.decode() for name in PLATFORM_LISTS]
    assert "host-1" in texts[0]
    assert "host-1:7:ab" in texts[1]


def test_org_admins_do_not_enter_the_infrastructure(alice, worker):
    for name in PLATFORM_LISTS:
        assert browser(alice).get(reverse(name)).status_code == 403


def test_a_member_who_may_not_enter_is_told_so(vera):
    page = browser(vera).get("/admin/", follow=True)
    assert page.status_code == 403
    assert "no access to the administration" in page.content.decode()


def test_members_who_administer_nothing_do_not_enter(bob, vera, done_job):
    for person in (bob, vera):
        assert "acme-" not in browser(person).get(reverse(LISTS["jobs"]), follow=True).content.decode()
