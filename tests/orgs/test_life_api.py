"""The REST API of members, invitations and organisations: who may, what is answered, and what is said of errors."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from orgs import roles
from orgs.models import Organization, User
from tests.conftest import make_user


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_an_invitation_from_link_to_member(api: Any, alice: User) -> None:
    dora = make_user("dora", roles.USER, None)
    answer = api(alice).post("/orgs/me/invitations", {"role": "viewer", "note": "Dora"}, format="json")
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    made = answer.json()
    assert made["link"].endswith(f"/dashboard/join/?token={made['token'].replace(':', '%3A')}")
    [listed] = api(alice).get("/orgs/me/invitations").json()["results"]
    assert (listed["state"], listed["created_by"], listed["note"]) == ("open", "alice", "Dora")
    assert made["token"] not in str(listed)
    answer = api(dora).post("/invitations/accept", {"token": made["token"]}, format="json")
    assert (answer.status_code, answer.json()["name"]) == (200, "Acme")
    assert api(dora).get("/orgs/me").json()["role"] == "viewer"
    again = make_user("eve", roles.USER, None)
    send = api(again).post
    assert code_of(send("/invitations/accept", {"token": made["token"]}, format="json")) == (
        409,
        "invitation_used",
    )
    assert code_of(send("/invitations/accept", {"token": "x"}, format="json")) == (400, "invitation_invalid")
    other = api(alice).post("/orgs/me/invitations", {}, format="json").json()
    assert api(alice).delete(f"/orgs/me/invitations/{other['id']}").status_code == 204
    answer = send("/invitations/accept", {"token": other["token"]}, format="json")
    assert code_of(answer) == (410, "invitation_over")


def test_members(api: Any, alice: User, bob: User, charlie: User) -> None:
    path = f"/orgs/me/members/{bob.pk}"
    assert api(alice).patch(path, {"role": "viewer"}, format="json").json()["role"] == "viewer"
    assert code_of(api(alice).patch(path, {"role": "admin"}, format="json")) == (400, "invalid")
    answer = api(alice).patch(f"/orgs/me/members/{alice.pk}", {"role": "user"}, format="json")
    assert code_of(answer) == (409, "last_org_admin")
    for stranger in (charlie.pk, 2**63):
        answer = api(alice).patch(f"/orgs/me/members/{stranger}", {"role": "user"}, format="json")
        assert code_of(answer) == (404, "not_found")
    assert api(alice).delete(path).status_code == 204
    assert code_of(api(alice).delete(path)) == (404, "not_found")
    assert code_of(api(alice).post("/orgs/me/leave")) == (409, "last_org_admin")


def test_handing_over_and_leaving(api: Any, alice: User, bob: User) -> None:
    answer = api(alice).post("/orgs/me/hand-over", {"user_id": bob.pk}, format="json")
    assert answer.json()["role"] == "org_admin"
    assert code_of(api(alice).post("/orgs/me/hand-over", {"user_id": bob.pk}, format="json")) == (
        403,
        "forbidden",
    )
    assert api(alice).post("/orgs/me/leave").status_code == 204
    assert code_of(api(alice).get("/orgs/me")) == (403, "no_organization")
    assert code_of(api(alice).post("/orgs/me/leave")) == (403, "no_organization")


def test_settings_and_deletion(api: Any, alice: User) -> None:
    client = api(alice)
    changed = client.patch("/orgs/me", {"name": "Acme 2", "viewers_see_content": True}, format="json").json()
    assert (changed["name"], changed["viewers_see_content"], changed["standing"]) == ("Acme 2", True, "open")
    assert code_of(client.delete("/orgs/me", {"confirm": "Acme"}, format="json")) == (400, "invalid")
    gone = client.delete("/orgs/me", {"confirm": "Acme 2"}, format="json").json()
    assert (gone["standing"], gone["delete_at"] is None) == ("to be deleted", False)
    assert code_of(client.patch("/orgs/me", {"name": "x"}, format="json")) == (403, "organization_closing")
    assert client.post("/orgs/me/restore").json()["standing"] == "open"


@override_settings(JOB_TYPES_FOR_ALL=["http"])
def test_platform_admins(api: Any, root_admin: User, alice: User, globex: Organization) -> None:
    client = api(root_admin)
    assert [org["name"] for org in client.get("/orgs/").json()["results"]] == ["Acme", "Globex"]
    path = f"/orgs/{globex.pk}"
    assert client.get(path).json()["job_types"] == ["http"]
    grants = {"weight": 3, "job_types": ["shell"], "granted_running": 4, "retention_days": 30}
    answer = client.patch(path, grants, format="json").json()
    assert {name: answer[name] for name in grants} == grants
    for wrong in ({"job_types": ["perl"]}, {"weight": 0}, {"retention_days": 0}, {"granted_running": -1}):
        answer = client.patch(path, wrong, format="json")
        assert code_of(answer) == (400, "invalid")
        assert next(iter(wrong)) in str(answer.json()["error"]["fields"])
    assert (
        client.post(f"{path}/suspend", {"reason": "unpaid"}, format="json").json()["standing"] == "suspended"
    )
    assert code_of(client.post(f"{path}/suspend", {}, format="json")) == (400, "invalid")
    assert client.post(f"{path}/resume").json()["standing"] == "open"
    assert code_of(client.get("/orgs/999999")) == (404, "not_found")


@pytest.mark.parametrize("role", roles.ROLES)
@pytest.mark.parametrize(
    ("request_line", "body", "action"),
    [
        ("PATCH /orgs/me", {}, roles.ORG_MANAGE),
        ("DELETE /orgs/me", {}, roles.ORG_MANAGE),
        ("POST /orgs/me/restore", {}, roles.ORG_MANAGE),
        ("POST /orgs/me/hand-over", {}, roles.ORG_MANAGE),
        ("PATCH /orgs/me/members/{bob}", {}, roles.MEMBERS_MANAGE),
        ("DELETE /orgs/me/members/{bob}", {}, roles.MEMBERS_MANAGE),
        ("GET /orgs/me/invitations", {}, roles.MEMBERS_MANAGE),
        ("POST /orgs/me/invitations", {}, roles.MEMBERS_MANAGE),
        ("GET /orgs/", {}, roles.PLATFORM_READ),
        ("GET /orgs/{acme}", {}, roles.PLATFORM_ADMINISTER),
        ("PATCH /orgs/{acme}", {}, roles.PLATFORM_ADMINISTER),
        ("POST /orgs/{acme}/suspend", {}, roles.PLATFORM_ADMINISTER),
        ("POST /orgs/{acme}/resume", {}, roles.PLATFORM_ADMINISTER),
    ],
)
def test_each_role_may_what_the_table_says(
    api: Any, vera: User, bob: User, acme: Organization, role: str, request_line: str, body: Any, action: str
) -> None:
    User.objects.filter(pk=vera.pk).update(role=role)
    vera.refresh_from_db()
    method, path = request_line.split()
    send = getattr(api(vera), method.lower())
    answer = send(path.format(bob=bob.pk, acme=acme.pk), body or None, format="json")
    assert (answer.status_code == 403) is not roles.may(role, action)
    assert answer.status_code < 500


def test_to_strangers_no_organisation_exists(api: Any, charlie: User, acme: Organization) -> None:
    path = f"/orgs/{acme.pk}"
    answers = [
        api(charlie).get(path),
        api(charlie).patch(path, {"weight": 9}, format="json"),
        api(charlie).post(f"{path}/suspend", {"reason": "x"}, format="json"),
        api(charlie).post(f"{path}/resume"),
    ]
    assert [code_of(answer) for answer in answers] == [(404, "not_found")] * 4
