"""The organisation's page, and the way from a link to a membership."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from orgs import invitations, life, roles
from orgs.models import Invitation, Organization, User
from tests.conftest import PASSWORD, make_user
from tests.pages.conftest import Browse

PAGE = "/dashboard/organisation/"
MANAGED = ["members/{bob}/", "members/{bob}/remove/", "invitations/new/", "hand-over/", "delete/", "restore/"]


def test_members_read_and_org_admins_manage(browse: Browse, alice: User, bob: User, vera: User) -> None:
    page = browse(alice).get(PAGE).text
    assert re.search(r"alice <span class=\"muted\">you", page)
    for place in (
        f"members/{bob.pk}/",
        f"members/{bob.pk}/remove/",
        "invitations/new/",
        "delete/",
        "hand-over/",
    ):
        assert f'href="{PAGE}{place}"' in page
    assert f"members/{alice.pk}/" not in page
    for person in (bob, vera):
        page = browse(person).get(PAGE).text
        assert "alice" in page
        assert f'href="{PAGE}leave/"' in page
        assert re.findall(rf'href="{PAGE}(?!leave)[^"]+"', page) == []
        assert 'id="settings"' not in page


@pytest.mark.parametrize("place", MANAGED)
def test_the_role_is_asked(browse: Browse, alice: User, bob: User, place: str) -> None:
    path = PAGE + place.format(bob=bob.pk)
    assert browse(bob).get(path).status_code == browse(bob).post(path).status_code == 403
    assert browse(alice).get(path).status_code in (200, 302)
    assert browse(None).get(path).status_code == 302


def test_strangers_are_no_members(browse: Browse, alice: User, charlie: User) -> None:
    for place in (f"members/{charlie.pk}/", f"members/{charlie.pk}/remove/"):
        assert browse(alice).get(PAGE + place).status_code == 404
        assert browse(alice).post(PAGE + place, {"role": "user"}).status_code == 404


def test_settings(browse: Browse, alice: User, acme: Organization, globex: Organization) -> None:
    client = browse(alice)
    assert client.post(PAGE, {"name": "Acme 2", "viewers_see_content": "on"}).status_code == 302
    acme.refresh_from_db()
    assert (acme.name, acme.viewers_see_content) == ("Acme 2", True)
    answer = client.post(PAGE, {"name": "Globex"})
    assert answer.status_code == 422
    assert "has this name already" in answer.text
    assert browse(make_user("dan", roles.USER, acme)).post(PAGE, {"name": "Dan"}).status_code == 403


def test_roles_removing_and_handing_over(browse: Browse, alice: User, bob: User, vera: User) -> None:
    client = browse(alice)
    client.post(f"{PAGE}members/{bob.pk}/", {"role": "viewer"})
    client.post(f"{PAGE}members/{vera.pk}/remove/")
    bob.refresh_from_db()
    vera.refresh_from_db()
    assert (bob.role, vera.org) == ("viewer", None)
    answer = client.post(f"{PAGE}members/{alice.pk}/", {"role": "user"})
    assert answer.status_code == 422
    assert "needs an active org admin" in answer.text
    assert client.post(f"{PAGE}leave/").status_code == 409
    assert client.post(f"{PAGE}hand-over/", {"member": bob.pk}).status_code == 302
    assert client.post(f"{PAGE}leave/").status_code == 302
    alice.refresh_from_db()
    assert (alice.org, User.objects.get(role=roles.ORG_ADMIN)) == (None, bob)


def test_deleting_and_keeping(browse: Browse, alice: User, bob: User, acme: Organization) -> None:
    client = browse(alice)
    assert "after 7 d" in client.get(f"{PAGE}delete/").text.lower()
    assert client.post(f"{PAGE}delete/", {"confirm": "Acm"}).status_code == 422
    assert client.post(f"{PAGE}delete/", {"confirm": "Acme"}).status_code == 302
    page = client.get(PAGE).text
    assert "is to be deleted" in page
    assert 'id="settings"' not in page
    refused = browse(bob).get("/dashboard/")
    assert refused.status_code == 403
    assert "is to be deleted" in refused.text
    client.post(f"{PAGE}restore/")
    assert browse(bob).get("/dashboard/").status_code == 200


def test_from_a_link_to_a_membership(browse: Browse, alice: User) -> None:
    """A visitor opens the link, registers, and joins; the next one comes too late."""
    answer = browse(alice).post(
        f"{PAGE}invitations/new/", {"role": "user", "note": "Dora", "expires_in_h": "2"}
    )
    assert answer.headers["Cache-Control"] == "no-store"
    found = re.search(r"<code>(http[^<]+)</code>", answer.text)
    assert found
    link = found[1].replace("http://localhost", "")
    assert link not in browse(alice).get(PAGE).text
    visitor = browse(None)
    to_login = visitor.get(link)["Location"]
    assert to_login.startswith("/dashboard/login/?next=/dashboard/join/")
    register = re.search(r'href="(/dashboard/register/\?next=[^"]+)"', visitor.get(to_login).text)
    assert register
    form = visitor.get(register[1]).text
    next_page = re.search(r'name="next" value="([^"]+)"', form)
    assert next_page
    fields = {"username": "dora", "password": PASSWORD, "next": next_page[1].replace("&amp;", "&")}
    joining = visitor.post("/dashboard/register/", fields, follow=True)
    assert "Join Acme?" in joining.text
    token = re.search(r'name="token" value="([^"]+)"', joining.text)
    assert token
    assert visitor.post("/dashboard/join/", {"token": token[1]})["Location"] == PAGE
    dora = User.objects.get(username="dora")
    assert (dora.org, dora.role) == (alice.org, roles.USER)
    assert "accepted" in browse(alice).get(PAGE).text
    late = browse(make_user("eve", roles.USER, None)).get(link)
    assert late.status_code == 409
    assert "Acme" not in late.text


def test_a_forged_link_tells_nothing(browse: Browse, alice: User) -> None:
    _, token = invitations.invite(actor=alice)
    lone = browse(make_user("eve", roles.USER, None))
    for forged in ("", "x", f"{token}x", token.split(":")[0]):
        answer = lone.get("/dashboard/join/", {"token": forged})
        assert answer.status_code == 400
        assert "no invitation of ours" in answer.text
        assert "Acme" not in answer.text


def test_who_has_an_organisation_is_told_so(browse: Browse, alice: User, charlie: User) -> None:
    _, token = invitations.invite(actor=alice)
    assert "you belong to Globex already" in browse(charlie).get("/dashboard/join/", {"token": token}).text
    assert browse(charlie).post("/dashboard/join/", {"token": token}).status_code == 409


def test_revoking(browse: Browse, alice: User, charlie: User) -> None:
    made, _ = invitations.invite(actor=alice, note="Dora")
    path = f"{PAGE}invitations/{made.pk}/revoke/"
    assert browse(charlie).get(path).status_code == browse(charlie).post(path).status_code == 404
    assert "the invitation for Dora?" in browse(alice).get(path).text
    browse(alice).post(path)
    assert invitations.state_of(Invitation.objects.get()) == "revoked"
    assert browse(alice).get(path).status_code == 302


def test_somebody_new_makes_an_organisation(browse: Browse, db: None) -> None:
    client = browse(make_user("dora", roles.USER, None))
    answer = client.get(PAGE)
    assert answer.status_code == 403
    assert f"{PAGE}new/" in answer.text
    assert client.post(f"{PAGE}new/", {"name": "Initech"}).status_code == 302
    assert "Initech" in client.get(PAGE).text


class TestRegistering:
    def test_errors_stand_at_their_fields(self, browse: Browse, bob: User) -> None:
        for fields, said in [
            ({"username": "bob", "password": PASSWORD}, "is taken"),
            ({"username": "dora", "password": "short"}, "too short"),
            ({"username": "do ra", "password": PASSWORD}, "valid username"),
            ({"username": "", "password": PASSWORD}, "required"),
        ]:
            answer = browse(None).post("/dashboard/register/", fields)
            assert (answer.status_code, said in answer.text) == (422, True), (fields, answer.text)
        assert User.objects.count() == 1

    def test_the_rate_is_the_api_s(self, browse: Browse, db: None, settings: Any) -> None:
        settings.RATE_REGISTER = "1/h"
        fields = {"username": "dora", "password": "short"}
        assert browse(None).post("/dashboard/register/", fields).status_code == 422
        assert browse(None).post("/dashboard/register/", fields).status_code == 429

    @pytest.mark.parametrize(
        "aim", ["https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)"]
    )
    def test_nobody_is_led_elsewhere(self, browse: Browse, db: None, aim: str) -> None:
        fields = {"username": "dora", "password": PASSWORD, "next": aim}
        assert browse(None).post("/dashboard/register/", fields)["Location"] == "/dashboard/"


def test_a_suspended_organisation(browse: Browse, bob: User, acme: Organization, root_admin: User) -> None:
    inside = browse(bob)
    life.suspend(actor=root_admin, org=acme, reason="unpaid")
    refused = inside.get("/dashboard/")
    assert refused.status_code == 403
    assert "is suspended" in refused.text
    answer = browse(None).post("/dashboard/login/", {"username": "bob", "password": PASSWORD})
    assert "is suspended" in answer.text
    assert browse(root_admin).get("/dashboard/").status_code == 200


def test_the_only_org_admin_is_told_before_that_leaving_is_not_possible(
    browse: Browse, alice: User, bob: User
) -> None:
    page = browse(alice).get("/dashboard/organisation/").text
    assert "You are the only org admin" in page
    assert "/dashboard/organisation/leave/" not in page
    bob.role = roles.ORG_ADMIN
    bob.save()
    assert "/dashboard/organisation/leave/" in browse(alice).get("/dashboard/organisation/").text


def test_who_follows_an_invitation_learns_what_it_is_before_logging_in(alice: User) -> None:
    _, token = invitations.invite(actor=alice, role=roles.VIEWER, note="", expires_in_h=1)
    visitor = Client()
    join = visitor.get("/dashboard/join/", {"token": token})
    page = visitor.get(join.headers["Location"]).text
    assert "You are invited into <strong>Acme</strong> as viewer." in page
    forged = visitor.get("/dashboard/join/", {"token": f"{token}x"})
    assert forged.status_code == 400
    assert "Acme" not in forged.text
    assert "invited" not in visitor.get("/dashboard/login/?next=/dashboard/join/").text
