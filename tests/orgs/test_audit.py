"""The audit log: what is noted of people and their accounts, and who is named to whom."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client

from orgs import audit, roles
from orgs.models import AuditEntry, Organization, User
from tests.conftest import PASSWORD, make_user
from tests.orgs.conftest import World

NEW = "other horse battery"


def noted() -> list[tuple[str, str, str, Any]]:
    found = AuditEntry.objects.exclude(action__endswith=".done").order_by("id")
    return [(one.action, one.actor, one.target, one.details) for one in found]


def test_an_invitation(api: Any, alice: User) -> None:
    dora = make_user("dora", roles.USER, None)
    body = {"username": "dora", "role": "viewer"}
    assert api(alice).post(f"/orgs/{alice.org_id}/invite", body, format="json").status_code == 201
    assert noted() == [("member.invite", "alice", "dora", {"user_id": dora.pk, "role": "viewer"})]
    assert AuditEntry.objects.get().org == alice.org


def test_role_and_activity_of_a_member(admin_of_ours: Client, bob: User) -> None:
    path = f"/admin/orgs/user/{bob.pk}/change/"
    assert admin_of_ours.post(path, {"role": "viewer", "is_active": "on"}).status_code == 302
    assert admin_of_ours.post(path, {"role": "viewer", "is_active": "on"}).status_code == 302
    assert admin_of_ours.post(path, {"role": "viewer"}).status_code == 302
    assert noted() == [
        ("user.role", "alice", "bob", {"from": "user", "to": "viewer"}),
        ("user.is_active", "alice", "bob", {"from": True, "to": False}),
    ]


def test_what_a_platform_admin_does_to_accounts(platform: Client, theirs: World, bob: User) -> None:
    form = {"username": "bob", "email": "", "role": "user", "is_active": "on", "org": theirs.org.pk}
    old = bob.org
    assert platform.post(f"/admin/orgs/user/{bob.pk}/change/", form).status_code == 302
    password = {"password1": NEW, "password2": "another", "usable_password": "true"}
    assert platform.post(f"/admin/orgs/user/{bob.pk}/password/", password).status_code == 200
    password["password2"] = NEW
    assert platform.post(f"/admin/orgs/user/{bob.pk}/password/", password).status_code == 302
    new = {"username": "dora", "password1": NEW, "password2": NEW, "org": "", "role": "viewer"}
    assert platform.post("/admin/orgs/user/add/", new).status_code == 302
    assert noted() == [
        ("user.leave", "root_admin", "bob", {}),
        ("user.join", "root_admin", "bob", {}),
        ("user.password", "root_admin", "bob", {}),
        ("user.create", "root_admin", "dora", {"role": "viewer"}),
    ]
    orgs = [one.org for one in AuditEntry.objects.exclude(action__endswith=".done").order_by("id")]
    assert orgs == [old, theirs.org, theirs.org, None]


def test_ones_own_password(admin_of_ours: Client, alice: User) -> None:
    form = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    assert admin_of_ours.post("/admin/password_change/", form).status_code == 200
    assert noted() == []
    answer = admin_of_ours.post("/admin/password_change/", {**form, "old_password": PASSWORD})
    assert answer.status_code == 302
    assert noted() == [("user.password", "alice", "alice", {})]


class TestWhoIsNamed:
    @pytest.fixture
    def entries(self, acme: Organization, alice: User, globex: Organization, root_admin: User) -> None:
        gone = make_user("gone", roles.USER, globex)
        boss = make_user("boss", roles.ADMIN, acme)
        for user in (alice, gone, boss, root_admin):
            audit.record(org=acme, user=user, action="thing.do")

    def test_members_learn_no_name_of_the_platform(
        self, api: Any, alice: User, root_admin: User, entries: None
    ) -> None:
        shown = api(alice).get("/orgs/me/audit").json()["results"]
        assert [one["actor"] for one in shown] == ["the platform", "boss", "a former member", "alice"]
        assert [one["user_id"] is None for one in shown] == [True, False, True, False]
        assert api(alice).get(f"/orgs/me/audit?user={root_admin.pk}").json()["results"] == []

    def test_platform_admins_learn_all(self, api: Any, root_admin: User, entries: None) -> None:
        shown = api(root_admin).get("/orgs/me/audit").json()["results"]
        assert [one["actor"] for one in shown] == ["root_admin", "boss", "gone", "alice"]
        assert len(api(root_admin).get(f"/orgs/me/audit?user={root_admin.pk}").json()["results"]) == 1

    def test_nor_do_they_in_the_admin(
        self, client: Client, alice: User, root_admin: User, entries: None
    ) -> None:
        client.force_login(alice)
        page = client.get("/admin/orgs/auditentry/").content.decode()
        assert "the platform" in page
        assert "root_admin" not in page
        entry = AuditEntry.objects.latest("id")
        page = client.get(f"/admin/orgs/auditentry/{entry.pk}/change/").content.decode()
        assert "the platform" in page
        assert "root_admin" not in page
        found = client.get("/admin/orgs/auditentry/?q=root_admin").content.decode()
        assert 'name="_selected_action"' not in found
        assert "field-action" not in found
        client.force_login(root_admin)
        assert "field-action" in client.get("/admin/orgs/auditentry/?q=root_admin").content.decode()


def test_the_admin_names_no_platform_admin_as_the_submitter(
    client: Client, alice: User, root_admin: User, submit: Any
) -> None:
    job = submit(alice)
    client.force_login(alice)
    for path in ("", f"{job.pk}/change/"):
        assert "the platform" not in client.get(f"/admin/jobs/job/{path}").content.decode()
    type(job).objects.update(user=root_admin)
    for path in ("", f"{job.pk}/change/"):
        page = client.get(f"/admin/jobs/job/{path}").content.decode()
        assert "the platform" in page
        assert "root_admin" not in page


def test_a_page_of_one_action_is_read_from_an_index(acme: Organization, alice: User) -> None:
    AuditEntry.objects.bulk_create(
        AuditEntry(org=acme, user=alice, actor="alice", action="rare" if number == 0 else "often")
        for number in range(2000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orgs_auditentry")
    plan = audit.entries(alice, audit.Wanted(action="rare")).order_by("-id")[:50].explain()
    assert "auditentry_of_action" in plan
