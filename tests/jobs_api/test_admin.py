from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs import queue_list
from jobs.models import ExecutionLog, Flow, Job, Pause, SchedulerLeader
from orgs import admin_base
from tests.jobs_api.conftest import claim, finish

LISTS = {
    "jobs": "admin:jobs_job_changelist",
    "attempts": "admin:jobs_executionlog_changelist",
}
PLATFORM_LISTS = ("admin:jobs_worker_changelist", "admin:jobs_schedulerleader_changelist")
NAMED = re.compile('name="_selected_action" value="([0-9]+)"')


def browser(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def ask(client: Client, action: str, *jobs: Job, model: str = "job", **more):
    """The page that asks, and the ids that it would do it to."""
    form = {"action": action, "_selected_action": [job.pk for job in jobs], **more}
    page = client.post(reverse(f"admin:jobs_{model}_changelist"), form)
    return page, NAMED.findall(page.content.decode())


def act(client: Client, action: str, *jobs: Job, model: str = "job", **more):
    _, ids = ask(client, action, *jobs, model=model, **more)
    form = {"action": action, "_selected_action": ids, "confirmed": "yes"}
    return client.post(reverse(f"admin:jobs_{model}_changelist"), form, follow=True)


def cancel(client: Client, *jobs: Job):
    return act(client, "cancel_selected", *jobs)


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
    text = re.sub("name=.csrfmiddlewaretoken. value=.[^ >]*", "", page.content.decode())
    text = text.replace("q=acme", "").replace('value="acme"', "")
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
    page, ids = ask(browser(alice), "cancel_selected", done_job)
    assert "1 job(s) have ended already and cannot be cancelled" in page.content.decode()
    assert ids == []
    cancel(browser(alice), done_job)
    assert Job.objects.get().status == "done"


def test_all_across_pages_are_cancelled_in_portions(alice, bob, submit, done_job, monkeypatch):
    monkeypatch.setattr(admin_base, "MOST_AT_ONCE", 2)
    for _ in range(3):
        submit(bob)
    with CaptureQueriesContext(connection) as queries:
        page, ids = ask(browser(alice), "cancel_selected", done_job, select_across="1")
    assert "1 job(s) are left: no more are cancelled at once" in page.content.decode()
    assert len(ids) == 2
    assert set(Job.objects.values_list("status", flat=True)) == {"queued", "done"}, "asked, not done"
    read = [query["sql"] for query in queries if "LIMIT 2" in query["sql"] and "jobs_job" in query["sql"]]
    assert read
    assert not any("payload" in sql for sql in read)
    answer = act(browser(alice), "cancel_selected", done_job, select_across="1")
    assert "2 job(s) cancelled or asked to stop." in answer.content.decode()
    assert sorted(Job.objects.values_list("status", flat=True)) == [
        "cancelled",
        "cancelled",
        "done",
        "queued",
    ]


def test_the_question_names_the_jobs_and_changes_nothing(alice, bob, submit):
    job = submit(bob, name="acme-precious")
    page, ids = ask(browser(alice), "cancel_selected", job)
    assert ids == [str(job.pk)]
    assert "acme-precious" in page.content.decode()
    assert "1 selected" in page.content.decode()
    assert Job.objects.get().status == "queued"


def test_dead_letters_are_replayed(alice, bob, submit):
    dead = finish(claim(submit(bob, name="acme-broken", max_retries=0)), "failed", error="acme-error")
    client = browser(alice)
    page = client.get(reverse("admin:jobs_deadletter_changelist")).content.decode()
    assert "acme-broken" in page
    assert "acme-error" in page
    assert (
        "1 job(s) submitted again."
        in act(client, "replay_selected", dead, model="deadletter").content.decode()
    )
    assert Job.objects.get(replay_of=dead).status == "queued"
    again = act(client, "replay_selected", dead, model="deadletter").content.decode()
    assert "replays this one already" in again


def test_a_done_job_is_no_dead_letter(alice, done_job):
    assert browser(alice).get(reverse("admin:jobs_deadletter_change", args=[done_job.pk])).status_code == 302


def test_one_job_is_cancelled_from_its_page(alice, charlie, bob, submit):
    job = submit(bob)
    address = reverse("admin:jobs_job_cancel_one", args=[job.pk])
    for method in (browser(charlie).get, browser(charlie).post):
        assert method(address, {"confirmed": "yes"}).status_code == 404
    client = browser(alice)
    assert client.get(address).status_code == 200
    assert Job.objects.get().status == "queued"
    client.post(address, {"confirmed": "yes"})
    assert Job.objects.get().status == "cancelled"


@pytest.mark.parametrize(
    ("term", "found"), [("precious", True), ("urgent", True), ("nothing", False), ("9" * 30, False)]
)
def test_the_search_knows_names_tags_and_ids(alice, bob, submit, term, found):
    job = submit(bob, name="acme-precious", tags=["urgent"])
    for wanted, there in ((term, found), (str(job.pk), True)):
        page = browser(alice).get(reverse(LISTS["jobs"]), {"q": wanted})
        assert (f"/admin/jobs/job/{job.pk}/change/" in page.content.decode()) is there


def test_queues_are_paused_and_resumed(alice, charlie, bob, submit):
    submit(bob, queue="mail")
    submit(charlie, queue="mail", name="globex-job")
    flow = Flow.objects.get(org=alice.org, queue="mail")
    client = browser(alice)
    page = client.get(reverse("admin:jobs_queue_changelist")).content.decode()
    assert page.count("its jobs") == 1, "one queue, of the own organisation"
    assert "1 queue(s) paused." in act(client, "pause_selected", flow, model="queue").content.decode()
    assert Pause.objects.get().org == alice.org
    assert ">paused<" in client.get(reverse("admin:jobs_queue_changelist")).content.decode()
    act(browser(charlie), "resume_selected", flow, model="queue")
    assert Pause.objects.count() == 1
    assert "1 queue(s) resumed." in act(client, "resume_selected", flow, model="queue").content.decode()
    assert Pause.objects.count() == 0


def test_jobs_are_filtered_by_the_own_queues(alice, bob, charlie, submit):
    submit(bob, queue="mail", name="acme-mail")
    submit(bob, queue="web", name="acme-web")
    submit(charlie, queue="globex-queue")
    page = browser(alice).get(reverse(LISTS["jobs"]), {"in_queue": "mail"}).content.decode()
    assert "acme-mail" in page
    assert "acme-web" not in page
    assert "globex-queue" not in page
    assert "in_queue=web" in page


def test_a_queue_is_listed_once_whatever_flows_it_has(alice, root_admin, bob, charlie, submit):
    submit(bob, queue="mail")
    submit(bob, queue="mail", concurrency_key="a")
    submit(bob, queue="web")
    submit(charlie, queue="web", name="globex-job")
    assert [queue_list.names(person) for person in (alice, charlie)] == [["mail", "web"], ["web"]]
    assert sorted(queue_list.first_flows(root_admin).values()) == ["mail", "web", "web"]
    [mail] = [pk for pk, name in queue_list.first_flows(alice).items() if name == "mail"]
    assert queue_list.loads(Flow.objects.filter(pk=mail))[mail].waiting == 2


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
    assert "1.5 s" in jobs
    assert "0.12" in one
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


def test_org_admins_see_the_workers_and_not_the_leader(alice, worker):
    lists = [browser(alice).get(reverse(name)) for name in PLATFORM_LISTS]
    assert [answer.status_code for answer in lists] == [200, 403]
    assert "host-1" in lists[0].content.decode()


def test_a_member_who_may_not_enter_is_told_so(vera):
    page = browser(vera).get("/admin/", follow=True)
    assert page.status_code == 403
    assert "no access to the administration" in page.content.decode()


def test_members_who_administer_nothing_do_not_enter(bob, vera, done_job):
    for person in (bob, vera):
        assert "acme-" not in browser(person).get(reverse(LISTS["jobs"]), follow=True).content.decode()
