"""A platform admin who sees as one organisation sees its rows and no others, and still acts as the platform admin."""

from __future__ import annotations

import pytest
from django.test import Client

from orgs import listening
from orgs.live import group_of
from orgs.models import AuditEntry, Organization, User
from orgs.see_as import SESSION_KEY, looking_as
from tests.orgs.conftest import World, leaks


def see_as(browser: Client, org: Organization) -> int:
    address = f"/admin/orgs/organization/{org.pk}/see_as/"
    return browser.post(address, {"confirmed": "yes"}).status_code


PAGES = [
    "/admin/", "/admin/usage/", "/admin/jobs/job/", "/admin/jobs/queue/", "/admin/orgs/user/",
    "/admin/orgs/auditentry/", "/admin/orgs/organization/", "/dashboard/", "/dashboard/limits/",
    "/dashboard/analytics/",
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_pages_show_the_one_organisation(platform: Client, ours: World, theirs: World, page: str) -> None:
    assert see_as(platform, ours.org) == 302
    answer = platform.get(page)
    assert answer.status_code == 200
    assert not leaks(answer)
    text = answer.content.decode()
    assert "You see what <strong>Acme</strong> sees." in text
    assert "/dashboard/see-as/stop/" in text


def test_rows_of_others_are_not_there(platform: Client, ours: World, theirs: World) -> None:
    see_as(platform, ours.org)
    assert platform.get(f"/dashboard/jobs/{ours.job.pk}/").status_code == 200
    assert platform.get(f"/dashboard/jobs/{theirs.job.pk}/").status_code == 404
    assert platform.get(f"/admin/jobs/job/{theirs.job.pk}/change/").status_code == 302


def test_starting_and_stopping_is_noted(platform: Client, ours: World, theirs: World) -> None:
    see_as(platform, ours.org)
    assert platform.get("/dashboard/see-as/stop/").status_code == 405
    assert platform.post("/dashboard/see-as/stop/").status_code == 302
    assert "You see what <strong>" not in platform.get("/admin/").content.decode()
    assert leaks(platform.get("/admin/jobs/job/"))
    noted = AuditEntry.objects.filter(action__startswith="org.see_as").order_by("id")
    assert [(entry.action, entry.actor, entry.org_id) for entry in noted] == [
        ("org.see_as", "root_admin", ours.org.pk),
        ("org.see_as_end", "root_admin", ours.org.pk),
    ]


def test_what_is_written_is_the_platforms(platform: Client, ours: World, root_admin: User) -> None:
    see_as(platform, ours.org)
    form = {"action": "cancel_selected", "_selected_action": [ours.job.pk], "confirmed": "yes"}
    platform.post("/admin/jobs/job/", form)
    assert AuditEntry.objects.get(action="job.cancel").user_id == root_admin.pk


def test_nobody_else_sees_as_anybody(admin_of_ours: Client, ours: World, theirs: World) -> None:
    session = admin_of_ours.session
    session[SESSION_KEY] = theirs.org.pk
    session.save()
    answer = admin_of_ours.get("/admin/jobs/job/")
    assert "ours-job" in answer.content.decode()
    assert not leaks(answer)
    assert admin_of_ours.post("/dashboard/see-as/stop/").status_code == 403


def test_sockets_follow_the_session(platform: Client, ours: World, root_admin: User) -> None:
    assert group_of(root_admin) == listening.ALL_ORGS
    see_as(platform, ours.org)
    user = looking_as(root_admin, platform.session)
    assert group_of(user) == listening.group_name(ours.org.pk)


def test_an_organisation_that_is_gone_shows_nothing(platform: Client, ours: World) -> None:
    session = platform.session
    session[SESSION_KEY] = 4_000_000
    session.save()
    assert "ours-job" not in platform.get("/admin/jobs/job/").content.decode()
    assert platform.post("/dashboard/see-as/stop/").status_code == 302
    assert "ours-job" in platform.get("/admin/jobs/job/").content.decode()
