"""What org admins and platform admins may do to users and organisations, and how they come in."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory

from jobs.limit_models import EVERYTHING
from jobs.models import GateOpening
from orgs import roles
from orgs.admin import UserAdmin
from orgs.admin_site import site
from orgs.models import AuditEntry, Organization, User
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


def test_an_org_admin_reads_its_organisation(admin_of_ours: Client, ours: World) -> None:
    path = f"/admin/orgs/organization/{ours.org.pk}/change/"
    assert "Acme" in admin_of_ours.get(path).content.decode()
    assert admin_of_ours.post(path, {"name": "New"}).status_code == 403
    ours.org.refresh_from_db()
    assert ours.org.name == "Acme"


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


def test_a_platform_admin_keeps_organisations(platform: Client, ours: World) -> None:
    form = {"name": "Initech", "weight": "1"}
    assert platform.post("/admin/orgs/organization/add/", form).status_code == 302
    initech = Organization.objects.get(name="Initech")
    assert platform.post(f"/admin/orgs/organization/{initech.pk}/delete/", {"post": "yes"}).status_code == 302
    answer = platform.post(f"/admin/orgs/organization/{ours.org.pk}/delete/", {"post": "yes"})
    assert answer.status_code == 200, "protected by its members"
    assert Organization.objects.filter(pk=ours.org.pk).exists()


def test_a_platform_admin_weighs_an_organisation(platform: Client, ours: World) -> None:
    path = f"/admin/orgs/organization/{ours.org.pk}/change/"
    assert platform.post(path, {"name": ours.org.name, "weight": "3"}).status_code == 302
    ours.org.refresh_from_db()
    assert ours.org.weight == 3
    entry = AuditEntry.objects.get(action="org.weight")
    assert (entry.org_id, entry.actor, entry.details) == (ours.org.pk, "root_admin", {"from": 1.0, "to": 3.0})
    assert list(GateOpening.objects.values_list("gate_id", flat=True)) == [EVERYTHING]
    assert platform.post(path, {"name": "Acme 2", "weight": "3"}).status_code == 302
    assert GateOpening.objects.count() == 1


@pytest.mark.parametrize("weight", ["0", "101", "nan", "much", ""])
def test_a_weight_out_of_range_is_refused(platform: Client, ours: World, weight: str) -> None:
    path = f"/admin/orgs/organization/{ours.org.pk}/change/"
    assert platform.post(path, {"name": ours.org.name, "weight": weight}).status_code == 200
    ours.org.refresh_from_db()
    assert ours.org.weight == 1


def test_an_org_admin_reads_the_own_weight_alone(admin_of_ours: Client, ours: World) -> None:
    path = f"/admin/orgs/organization/{ours.org.pk}/change/"
    page = admin_of_ours.get(path).content.decode()
    assert "Weight" in page
    assert 'name="weight"' not in page
    assert admin_of_ours.post(path, {"name": ours.org.name, "weight": "50"}).status_code == 403
    ours.org.refresh_from_db()
    assert ours.org.weight == 1


def test_the_list_of_a_hundred_needs_no_more_queries(
    admin_of_ours: Client, ours: World, django_assert_max_num_queries: Any
) -> None:
    User.objects.bulk_create(User(username=f"u{number}", org=ours.org) for number in range(98))
    with django_assert_max_num_queries(12):
        answer = admin_of_ours.get("/admin/orgs/user/")
    assert "u97" in answer.content.decode()


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
