"""What org admins and platform admins may do to users and organisations, and how they come in."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory

from jobs.limit_models import EVERYTHING
from jobs.models import GateOpening, Limit
from orgs import api_keys, invitations, refresh, roles
from orgs.admin import UserAdmin
from orgs.admin_site import site
from orgs.models import AuditEntry, Invitation, Organization, User
from tests.conftest import PASSWORD, make_user
from tests.orgs.conftest import World

FORM = {"username": "bob", "email": "", "role": "user", "is_active": "on"}


def change(browser: Client, user: User, **form: Any) -> int:
    status = browser.post(f"/admin/orgs/user/{user.pk}/change/", form).status_code
    user.refresh_from_db()
    return status


@pytest.mark.parametrize("role", [roles.VIEWER, roles.ORG_ADMIN])
def test_an_org_admin_changes_a_members_role(admin_of_ours: Client, bob: User, role: str) -> None:
    assert change(admin_of_ours, bob, role=role, is_active="on") == 302
    assert (bob.role, bob.is_active) == (role, True)


def test_an_org_admin_deactivates_a_member(admin_of_ours: Client, bob: User) -> None:
    assert change(admin_of_ours, bob, role="user") == 302
    assert not bob.is_active


@pytest.mark.parametrize("role", [roles.ADMIN, "king", ""])
def test_an_org_admin_gives_no_other_role(admin_of_ours: Client, bob: User, role: str) -> None:
    assert change(admin_of_ours, bob, role=role, is_active="on") == 200
    assert bob.role == roles.USER


def test_an_org_admin_writes_nothing_else(admin_of_ours: Client, theirs: World, bob: User) -> None:
    before = User.objects.filter(pk=bob.pk).values().get()
    form = {
        "username": "robert", "email": "new@example.org", "org": theirs.org.pk, "password": "x",
        "is_superuser": "on", "is_staff": "on", "first_name": "x", "last_login_0": "2020-01-01", "id": "7",
    }  # fmt: skip
    assert change(admin_of_ours, bob, role="viewer", is_active="on", **form) == 302
    assert User.objects.filter(pk=bob.pk).values().get() == {**before, "role": "viewer"}


def test_an_org_admin_does_not_touch_a_platform_admin(admin_of_ours: Client, ours: World) -> None:
    boss = make_user("boss", roles.ADMIN, ours.org)
    page = admin_of_ours.get(f"/admin/orgs/user/{boss.pk}/change/").content.decode()
    assert "boss" in page
    assert 'name="role"' not in page
    assert change(admin_of_ours, boss, role="viewer") == 403
    assert (boss.role, boss.is_active) == (roles.ADMIN, True)


def test_nobody_locks_themselves_out(
    admin_of_ours: Client, platform: Client, ours: World, root_admin: User
) -> None:
    change(admin_of_ours, ours.boss, role="viewer")
    assert (ours.boss.role, ours.boss.is_active) == (roles.ORG_ADMIN, True)
    change(platform, root_admin, username="root_admin", role="viewer")
    assert (root_admin.role, root_admin.is_active) == (roles.ADMIN, True)


def test_an_org_admin_sets_no_password(admin_of_ours: Client, bob: User) -> None:
    form = {"password1": "other horse battery", "password2": "other horse battery", "usable_password": "true"}
    for method in (admin_of_ours.get, admin_of_ours.post):
        assert method(f"/admin/orgs/user/{bob.pk}/password/", form).status_code == 403
    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)


@pytest.mark.parametrize(
    "path", ["user/add/", "organization/add/", "organization/{org}/delete/", "user/{user}/delete/"]
)
def test_an_org_admin_neither_adds_nor_deletes(
    admin_of_ours: Client, ours: World, bob: User, path: str
) -> None:
    address = "/admin/orgs/" + path.format(org=ours.org.pk, user=bob.pk)
    counts = User.objects.count(), Organization.objects.count()
    for method in (admin_of_ours.get, admin_of_ours.post):
        answer = method(address, {"post": "yes", "username": "new", "name": "new"})
        assert answer.status_code == 403
    assert (User.objects.count(), Organization.objects.count()) == counts


def test_an_org_admin_changes_its_settings_and_no_grants(admin_of_ours: Client, ours: World) -> None:
    path = f"/admin/orgs/organization/{ours.org.pk}/change/"
    page = admin_of_ours.get(path).content.decode()
    assert "Granted by the platform" in page
    assert not any(
        f'name="{name}"' in page for name in ("weight", "job_types", "granted_running", "retention_days")
    )
    form = {"name": "Acme 2", "viewers_see_content": "on", "weight": "50", "granted_running": "9"}
    assert admin_of_ours.post(path, form).status_code == 302
    ours.org.refresh_from_db()
    assert (ours.org.name, ours.org.viewers_see_content) == ("Acme 2", True)
    assert (ours.org.weight, ours.org.granted_running) == (1, None)
    entry = AuditEntry.objects.get(action="org.settings")
    assert entry.details["name"] == {"from": "Acme", "to": "Acme 2"}


def test_the_last_org_admin_stays_one(platform: Client, ours: World) -> None:
    form = {**FORM, "username": "alice", "role": "viewer", "org": ours.org.pk}
    assert change(platform, ours.boss, **form) == 302
    assert ours.boss.role == roles.ORG_ADMIN
    form = {"action": "remove_selected", "_selected_action": [ours.boss.pk], "confirmed": "yes"}
    platform.post("/admin/orgs/user/", form)
    ours.boss.refresh_from_db()
    assert ours.boss.org == ours.org


def test_members_are_removed_after_a_question(admin_of_ours: Client, ours: World, bob: User) -> None:
    form = {"action": "remove_selected", "_selected_action": [bob.pk]}
    assert "bob" in admin_of_ours.post("/admin/orgs/user/", form).content.decode()
    assert User.objects.get(pk=bob.pk).org == ours.org
    assert admin_of_ours.post("/admin/orgs/user/", {**form, "confirmed": "yes"}).status_code == 302
    assert User.objects.get(pk=bob.pk).org is None


def test_an_invitation_shows_its_link_once(admin_of_ours: Client, ours: World) -> None:
    form = {"role": "viewer", "note": "dora", "expires_in_h": "24"}
    page = admin_of_ours.post("/admin/orgs/invitation/add/", form, follow=True).content.decode()
    assert "/dashboard/join/?token=" in page
    made = Invitation.objects.get()
    assert (made.org, made.role, made.note) == (ours.org, roles.VIEWER, "dora")
    assert "token=" not in admin_of_ours.get("/admin/orgs/invitation/").content.decode()
    form = {"action": "revoke_selected", "_selected_action": [made.pk], "confirmed": "yes"}
    admin_of_ours.post("/admin/orgs/invitation/", form)
    made.refresh_from_db()
    assert made.revoked_at is not None


def test_an_org_admin_revokes_a_members_key(admin_of_ours: Client, bob: User) -> None:
    key, secret = api_keys.create(user=bob, name="nightly", scopes=["jobs:read"])
    page = admin_of_ours.get("/admin/orgs/apikey/").content.decode()
    assert "nightly" in page
    assert key.prefix in page
    assert secret not in page
    form = {"action": "revoke_selected", "_selected_action": [key.pk], "confirmed": "yes"}
    admin_of_ours.post("/admin/orgs/apikey/", form)
    key.refresh_from_db()
    assert key.revoked_at is not None


@pytest.mark.parametrize("act", ["suspend", "resume", "see_as"])
def test_what_the_platform_does_no_org_admin_does(
    admin_of_ours: Client, ours: World, theirs: World, act: str
) -> None:
    for org, status in ((ours.org, 403), (theirs.org, 404)):
        address = f"/admin/orgs/organization/{org.pk}/{act}/"
        for method in (admin_of_ours.get, admin_of_ours.post):
            assert method(address, {"confirmed": "yes", "text": "because"}).status_code == status
        org.refresh_from_db()
        assert org.suspended_at is None


def test_a_platform_admin_suspends_and_resumes(platform: Client, ours: World) -> None:
    address = f"/admin/orgs/organization/{ours.org.pk}"
    assert "can no longer log in" in platform.get(f"{address}/suspend/").content.decode()
    platform.post(f"{address}/suspend/", {"confirmed": "yes", "text": "unpaid"})
    ours.org.refresh_from_db()
    assert ours.org.suspended_at is not None
    assert AuditEntry.objects.get(action="org.suspend").details["reason"] == "unpaid"
    platform.post(f"{address}/resume/", {"confirmed": "yes"})
    ours.org.refresh_from_db()
    assert ours.org.suspended_at is None


def test_an_organisation_is_deleted_by_its_name(admin_of_ours: Client, ours: World) -> None:
    address = f"/admin/orgs/organization/{ours.org.pk}"
    admin_of_ours.post(f"{address}/ask_deletion/", {"confirmed": "yes", "text": "wrong"})
    ours.org.refresh_from_db()
    assert ours.org.delete_at is None
    admin_of_ours.post(f"{address}/ask_deletion/", {"confirmed": "yes", "text": ours.org.name})
    ours.org.refresh_from_db()
    assert ours.org.delete_at is not None
    admin_of_ours.post(f"{address}/restore/", {"confirmed": "yes"})
    ours.org.refresh_from_db()
    assert ours.org.delete_at is None


@pytest.mark.parametrize("moved", [{"org": None}, {"role": roles.ADMIN}])
def test_an_edit_does_not_reach_who_has_left_meanwhile(
    admin_of_ours: Client, rf: RequestFactory, ours: World, bob: User, moved: dict[str, Any]
) -> None:
    """The form was read and checked while bob was a member; he is none any more when it is written."""
    request = rf.post("/")
    request.user = ours.boss
    user_admin = UserAdmin(User, site)
    form = user_admin.get_form(request, bob, change=True)({"role": "viewer", "is_active": "on"}, instance=bob)
    assert form.is_valid()
    User.objects.filter(pk=bob.pk).update(**moved)
    with pytest.raises(PermissionDenied):
        user_admin.save_model(request, bob, form, change=True)
    bob.refresh_from_db()
    assert bob.role in {roles.USER, roles.ADMIN}


def test_a_platform_admin_does_everything(platform: Client, theirs: World, bob: User) -> None:
    form = {**FORM, "username": "robert", "role": "org_admin", "org": theirs.org.pk}
    assert change(platform, bob, **form) == 302
    assert (bob.username, bob.role, bob.org) == ("robert", roles.ORG_ADMIN, theirs.org)
    password = {
        "password1": "other horse battery",
        "password2": "other horse battery",
        "usable_password": "true",
    }
    assert platform.post(f"/admin/orgs/user/{bob.pk}/password/", password).status_code == 302
    bob.refresh_from_db()
    assert bob.check_password("other horse battery")
    assert platform.post(f"/admin/orgs/user/{bob.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=bob.pk).exists()


def test_a_platform_admin_adds_users(platform: Client, ours: World) -> None:
    assert platform.get("/admin/orgs/user/add/").status_code == 200
    form = {
        "username": "dora",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "org": ours.org.pk,
        "role": "viewer",
    }
    assert platform.post("/admin/orgs/user/add/", form).status_code == 302
    dora = User.objects.get(username="dora")
    assert (dora.org, dora.role, dora.check_password(PASSWORD)) == (ours.org, roles.VIEWER, True)


def test_an_org_admin_needs_an_organisation(platform: Client, bob: User) -> None:
    answer = platform.post(f"/admin/orgs/user/{bob.pk}/change/", {**FORM, "role": "org_admin", "org": ""})
    assert answer.status_code == 200
    assert "An org admin needs an organisation." in answer.content.decode()


def test_a_platform_admin_adds_organisations_and_deletes_none_at_once(platform: Client, ours: World) -> None:
    form = {"name": "Initech", "weight": "1", "job_types": ["http"]}
    assert platform.post("/admin/orgs/organization/add/", form).status_code == 302
    initech = Organization.objects.get(name="Initech")
    assert initech.job_types == ["http"]
    for org in (initech, ours.org):
        assert platform.post(f"/admin/orgs/organization/{org.pk}/delete/", {"post": "yes"}).status_code == 403
        assert Organization.objects.filter(pk=org.pk).exists()


def test_a_platform_admin_weighs_an_organisation(platform: Client, ours: World) -> None:
    path = f"/admin/orgs/organization/{ours.org.pk}/change/"
    assert platform.post(path, {"name": ours.org.name, "weight": "3"}).status_code == 302
    ours.org.refresh_from_db()
    assert ours.org.weight == 3
    entry = AuditEntry.objects.get(action="org.grants")
    assert (entry.org_id, entry.actor) == (ours.org.pk, "root_admin")
    assert entry.details == {"weight": {"from": 1.0, "to": 3.0}}
    assert list(GateOpening.objects.values_list("gate_id", flat=True)) == [EVERYTHING]
    assert platform.post(path, {"name": "Acme 2", "weight": "3"}).status_code == 302
    assert GateOpening.objects.count() == 1


@pytest.mark.parametrize("weight", ["0", "101", "nan", "much", ""])
def test_a_weight_out_of_range_is_refused(platform: Client, ours: World, weight: str) -> None:
    path = f"/admin/orgs/organization/{ours.org.pk}/change/"
    assert platform.post(path, {"name": ours.org.name, "weight": weight}).status_code == 200
    ours.org.refresh_from_db()
    assert ours.org.weight == 1


def log_in(browser: Client, username: str, password: str = PASSWORD) -> Any:
    return browser.post("/admin/login/?next=/admin/", {"username": username, "password": password})


def test_the_login_page_lets_admins_in(client: Client, alice: User, root_admin: User) -> None:
    for username in ("alice", "root_admin"):
        assert client.get("/admin/login/").status_code == 200
        answer = log_in(client, username)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
        assert client.get("/admin/").status_code == 200
        client.post("/admin/logout/")


def test_the_login_page_tells_members_and_strangers_the_same(
    client: Client, alice: User, bob: User, vera: User
) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    attempts = [("bob", PASSWORD), ("vera", PASSWORD), ("alice", "wrong"), ("nobody", PASSWORD)]
    for username, password in attempts:
        answer = log_in(client, username, password)
        assert answer.status_code == 200
        assert "Enter the username and password of an org admin." in answer.content.decode()
        assert "_auth_user_id" not in client.session


def test_an_org_admin_who_was_deactivated_is_out(admin_of_ours: Client, ours: World) -> None:
    User.objects.filter(pk=ours.boss.pk).update(is_active=False)
    assert admin_of_ours.get("/admin/").status_code == 302


def test_an_org_admin_who_was_demoted_is_out(admin_of_ours: Client, ours: World) -> None:
    User.objects.filter(pk=ours.boss.pk).update(role=roles.USER)
    assert admin_of_ours.get("/admin/orgs/user/").status_code == 302


@pytest.mark.parametrize("edit", [{"org": "theirs"}, {"is_active": ""}])
def test_who_is_moved_or_deactivated_keeps_no_way_in(
    platform: Client, ours: World, theirs: World, root_admin: User, edit: dict[str, str]
) -> None:
    boss = make_user("boss", roles.ORG_ADMIN, ours.org)
    key, _ = api_keys.create(user=boss, name="nightly", scopes=["jobs:read"])
    secret = refresh.log_in(boss)
    invited, _ = invitations.invite(actor=boss)
    form = {"username": "boss", "email": "", "org": ours.org.pk, "role": "org_admin", "is_active": "on"}
    form |= {"org": theirs.org.pk} if "org" in edit else {}
    if "is_active" in edit:
        del form["is_active"]
    assert change(platform, boss, **form) == 302
    assert (boss.org, boss.is_active) == (theirs.org if "org" in edit else ours.org, "org" in edit)
    if "org" not in edit:
        assert change(platform, boss, **form, is_active="on") == 302
        assert boss.is_active
    key.refresh_from_db()
    invited.refresh_from_db()
    assert key.revoked_at is not None
    assert invited.revoked_at is not None
    with pytest.raises(refresh.InvalidRefreshToken):
        refresh.exchange(secret)
    done = AuditEntry.objects.filter(user=root_admin, target="boss").order_by("id")
    expected = ["user.leave", "user.join"] if "org" in edit else ["user.is_active", "user.is_active"]
    assert list(done.values_list("action", flat=True)) == expected


def test_an_edit_writes_only_what_it_changed(platform: Client, rf: RequestFactory, bob: User) -> None:
    """bob was demoted while a platform admin had his form open for another reason."""
    request = rf.post("/")
    request.user = make_user("root_two", roles.ADMIN, None)
    user_admin = UserAdmin(User, site)
    data = {**FORM, "username": "robert", "org": bob.org_id}
    form = user_admin.get_form(request, bob, change=True)(data, instance=bob)
    assert form.is_valid()
    User.objects.filter(pk=bob.pk).update(role=roles.VIEWER)
    user_admin.save_model(request, form.save(commit=False), form, change=True)
    bob.refresh_from_db()
    assert (bob.username, bob.role) == ("robert", roles.VIEWER)


def test_grants_of_a_new_organisation_are_in_force(platform: Client) -> None:
    form = {"name": "Initech", "weight": "1", "granted_running": "2", "granted_queued": "5"}
    assert platform.post("/admin/orgs/organization/add/", form).status_code == 302
    limit = Limit.objects.get(org__name="Initech")
    assert (limit.scope, limit.max_running, limit.max_queued) == ("org", 2, 5)
