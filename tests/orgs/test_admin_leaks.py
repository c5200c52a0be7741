"""Each way in which Django's admin reads past a filtered list, on classes that use all of its features."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from unfold.admin import ModelAdmin

from jobs.models import ExecutionLog, Job
from orgs import walls
from orgs.admin_scoping import OrgRelatedFilter, OrgScopedAdmin
from orgs.admin_site import SmartQueueAdminSite
from orgs.models import User
from tests.orgs.conftest import FOREIGN_ID, OWN_ID, World, leaks

pytestmark = pytest.mark.urls("tests.orgs.wide_site")

JOB: dict[str, Any] = {
    "name": "changed", "type": "shell", "payload": '{"command": "true"}', "status": "queued", "rank": "1",
    "max_retries": "0", "timeout_s": "1",
}  # fmt: skip


def job_form(user: User, **changed: Any) -> dict[str, Any]:
    return {**JOB, "user": user.pk, **changed}


def test_selects_offer_the_own_rows(admin_of_ours: Client, ours: World) -> None:
    for path in ("/admin/jobs/job/add/", f"/admin/jobs/job/{ours.job.pk}/change/"):
        answer = admin_of_ours.get(path)
        assert answer.status_code == 200
        assert not leaks(answer)
        assert f'<option value="{ours.boss.pk}"' in answer.content.decode()


def test_selects_of_a_platform_admin_offer_all(platform: Client) -> None:
    assert {"charlie", "Globex"} <= leaks(platform.get("/admin/jobs/job/add/"))


def test_initial_values_from_the_query_are_not_looked_up(admin_of_ours: Client) -> None:
    for query in (f"user={FOREIGN_ID}&org={FOREIGN_ID}", f"job={FOREIGN_ID}"):
        for model in ("job", "executionlog"):
            assert not leaks(admin_of_ours.get(f"/admin/jobs/{model}/add/?{query}"))


def test_a_posted_foreign_user_is_refused(admin_of_ours: Client, ours: World, theirs: World) -> None:
    answer = admin_of_ours.post(f"/admin/jobs/job/{ours.job.pk}/change/", job_form(theirs.boss))
    assert answer.status_code == 200
    assert "Select a valid choice" in answer.content.decode()
    assert leaks(answer) <= {str(FOREIGN_ID)}
    ours.job.refresh_from_db()
    assert (ours.job.user, ours.job.name) == (ours.boss, "ours-job")


def test_a_posted_foreign_target_of_an_autocomplete_is_refused(admin_of_ours: Client, ours: World) -> None:
    form = {"job": FOREIGN_ID, "outcome": "done"}
    answer = admin_of_ours.post(f"/admin/jobs/executionlog/{ours.execution.pk}/change/", form)
    assert answer.status_code == 200
    assert "Select a valid choice" in answer.content.decode()
    assert leaks(answer) <= {str(FOREIGN_ID)}
    ours.execution.refresh_from_db()
    assert ours.execution.job == ours.job


def test_a_row_cannot_be_moved_to_another_organisation(
    admin_of_ours: Client, ours: World, theirs: World
) -> None:
    answer = admin_of_ours.post(
        f"/admin/jobs/job/{ours.job.pk}/change/", job_form(ours.boss, org=theirs.org.pk)
    )
    assert answer.status_code == 302
    ours.job.refresh_from_db()
    assert (ours.job.org, ours.job.name) == (ours.org, "changed")


def test_a_new_row_belongs_to_the_own_organisation(admin_of_ours: Client, ours: World, theirs: World) -> None:
    answer = admin_of_ours.post("/admin/jobs/job/add/", job_form(ours.boss, name="new", org=theirs.org.pk))
    assert answer.status_code == 302
    assert Job.objects.get(name="new").org == ours.org


def test_a_platform_admin_chooses_the_organisation(platform: Client, theirs: World) -> None:
    answer = platform.post("/admin/jobs/job/add/", job_form(theirs.boss, name="new", org=theirs.org.pk))
    assert answer.status_code == 302
    assert Job.objects.get(name="new").org == theirs.org


def test_list_filters_offer_the_own_rows(admin_of_ours: Client, platform: Client) -> None:
    own, all_of_them = (browser.get("/admin/jobs/job/") for browser in (admin_of_ours, platform))
    assert own.status_code == 200
    assert not leaks(own)
    assert "bob" in own.content.decode()
    assert {"charlie", "Globex", "SECRET"} <= leaks(all_of_them)


def test_a_filter_by_a_foreign_id_finds_nothing(admin_of_ours: Client) -> None:
    answer = admin_of_ours.get(f"/admin/jobs/job/?user__id__exact={FOREIGN_ID}")
    assert answer.context_data["cl"].result_count == 0
    assert not leaks(answer)


@pytest.mark.parametrize(
    "lookup",
    [
        "user__username__startswith=c", "user__password__startswith=a", "org__name__startswith=SEC",
        "user__org__name__startswith=S", "payload__contains=a", "payload__command__startswith=e",
        "executions__error_msg__startswith=o", "name__startswith=ours", "name__regex=.", "rank__gt=0", "error_msg=a",
    ],
)  # fmt: skip
def test_lookups_that_no_filter_offers_are_refused(admin_of_ours: Client, lookup: str) -> None:
    assert admin_of_ours.get(f"/admin/jobs/job/?{lookup}").status_code == 400


@pytest.mark.parametrize(
    "lookup",
    [
        "name=ours-job",
        "name__exact=ours-job",
        "status__exact=queued",
        "created_at__year=2026",
        "user__isnull=",
    ],
)
def test_lookups_that_filters_offer_work(admin_of_ours: Client, lookup: str) -> None:
    assert admin_of_ours.get(f"/admin/jobs/job/?{lookup}").status_code in {200, 302}


def test_search_across_a_relation_stays_inside(admin_of_ours: Client) -> None:
    for term in ("SECRET", "charlie"):
        assert not leaks(admin_of_ours.get(f"/admin/jobs/job/?q={term}"))
    assert "ours-job" in admin_of_ours.get("/admin/jobs/job/?q=alice").content.decode()


def complete(browser: Client, term: str = "", field: str = "job") -> Any:
    query = {"app_label": "jobs", "model_name": "executionlog", "field_name": field, "term": term}
    return browser.get("/admin/autocomplete/", query)


def test_autocomplete_offers_the_own_rows(admin_of_ours: Client, platform: Client) -> None:
    assert [result["text"] for result in complete(admin_of_ours).json()["results"]] == [
        f"ours-job (job {OWN_ID})"
    ]
    assert complete(admin_of_ours, "SECRET").json()["results"] == []
    assert "SECRET" in leaks(complete(platform, "job"))


@pytest.mark.parametrize("field", ["org", "job_id", "id", "nothing", ""])
def test_autocomplete_of_other_fields_is_refused(admin_of_ours: Client, field: str) -> None:
    assert complete(admin_of_ours, field=field).status_code == 403


def delete(browser: Client, job: Job, **form: Any) -> Any:
    method = browser.post if form else browser.get
    return method(f"/admin/jobs/job/{job.pk}/delete/", form)


def test_deletion_of_own_rows(admin_of_ours: Client, ours: World) -> None:
    assert "ours-job" in delete(admin_of_ours, ours.job).content.decode()
    assert delete(admin_of_ours, ours.job, post="yes").status_code == 302
    assert not Job.objects.filter(pk=ours.job.pk).exists()


@pytest.fixture
def _linked_across(ours: World, theirs: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of theirs hangs on a job of ours; no constraint forbids it and no second wall hides it: the admin must
    not rely on them."""
    monkeypatch.setattr(walls, "request", nullcontext)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_executionlog DISABLE TRIGGER USER")
        ExecutionLog.objects.filter(pk=theirs.execution.pk).update(job=ours.job, attempt=2)
        cursor.execute("ALTER TABLE jobs_executionlog ENABLE TRIGGER USER")


@pytest.mark.usefixtures("_linked_across")
def test_deletion_neither_shows_nor_takes_a_strangers_row(admin_of_ours: Client, ours: World) -> None:
    answer = delete(admin_of_ours, ours.job)
    assert answer.status_code == 200
    assert not leaks(answer)
    assert "rows that you may not see" in answer.content.decode()
    assert delete(admin_of_ours, ours.job, post="yes").status_code == 403
    assert ExecutionLog.objects.filter(pk=FOREIGN_ID).exists()
    assert Job.objects.filter(pk=ours.job.pk).exists()


@pytest.mark.usefixtures("_linked_across")
def test_bulk_deletion_neither(admin_of_ours: Client, ours: World) -> None:
    form = {"action": "delete_selected", "_selected_action": [ours.job.pk, FOREIGN_ID], "index": "0"}
    answer = admin_of_ours.post("/admin/jobs/job/", form)
    assert answer.status_code == 200
    assert not leaks(answer)
    assert admin_of_ours.post("/admin/jobs/job/", {**form, "post": "yes"}).status_code == 403
    assert Job.objects.filter(pk__in=[ours.job.pk, FOREIGN_ID]).count() == 2


@pytest.mark.usefixtures("_linked_across")
def test_a_platform_admin_sees_what_deletion_takes(platform: Client, ours: World) -> None:
    assert str(FOREIGN_ID) in leaks(delete(platform, ours.job))


def test_bulk_deletion_passes_over_a_strangers_row(admin_of_ours: Client, ours: World) -> None:
    form = {"action": "delete_selected", "_selected_action": [ours.job.pk, FOREIGN_ID], "post": "yes"}
    assert admin_of_ours.post("/admin/jobs/job/", form).status_code == 302
    assert list(Job.objects.values_list("pk", flat=True)) == [FOREIGN_ID]


def test_history_shows_the_deeds_of_the_own_people(admin_of_ours: Client, ours: World, theirs: World) -> None:
    kind = ContentType.objects.get_for_model(Job)
    entry = {"content_type": kind, "object_id": ours.job.pk, "object_repr": "x", "action_flag": 2}
    LogEntry.objects.create(user=theirs.boss, change_message="by SECRET", **entry)
    LogEntry.objects.create(user=ours.boss, change_message="by alice herself", **entry)
    answer = admin_of_ours.get(f"/admin/jobs/job/{ours.job.pk}/history/")
    assert answer.status_code == 200
    assert not leaks(answer)
    assert "by alice herself" in answer.content.decode()


def test_own_entries_from_an_earlier_organisation_stay_there(theirs: World, ours: World) -> None:
    User.objects.filter(pk=theirs.boss.pk).update(org=ours.org)
    browser = Client()
    browser.force_login(theirs.boss)
    for path in ("/admin/", "/admin/jobs/job/"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert "SECRET-entry" not in answer.content.decode()


class RawIdAdmin(OrgScopedAdmin):
    raw_id_fields = ("job",)


class PlainFilterAdmin(OrgScopedAdmin):
    list_filter = ("job",)


class OtherFilterAdmin(OrgScopedAdmin):
    list_filter = (("job", int),)


class FarFilterAdmin(OrgScopedAdmin):
    list_filter = ("job__name",)


class FarScopedFilterAdmin(OrgScopedAdmin):
    list_filter = (("job__user", OrgRelatedFilter),)


class UnscopedAdmin(ModelAdmin):
    pass


@pytest.mark.parametrize(
    "unsafe",
    [
        RawIdAdmin,
        PlainFilterAdmin,
        OtherFilterAdmin,
        FarFilterAdmin,
        FarScopedFilterAdmin,
        UnscopedAdmin,
        None,
    ],
)
def test_unsafe_classes_are_refused(unsafe: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"list_filter|raw_id_fields|OrgScopedAdmin"):
        SmartQueueAdminSite().register(ExecutionLog, unsafe)


def test_a_member_with_the_right_but_not_the_role_stays_outside(ours: World, bob: User) -> None:
    browser = Client()
    browser.force_login(bob)
    for path in ("/admin/jobs/job/", "/admin/autocomplete/", "/admin/search/?s=a"):
        assert browser.get(path).status_code == 302


def test_json_api_of_the_same_site_knows_the_session(admin_of_ours: Client) -> None:
    assert json.loads(admin_of_ours.get("/orgs/me").content)["name"] == "Acme"
