"""A link lets exactly one person in, and tells nothing to whoever did not get it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from django.db import connection
from django.utils import timezone

from orgs import invitations, life, roles
from orgs.exceptions import Conflict, Forbidden, InvalidInput, NotFound
from orgs.models import AuditEntry, Invitation, Organization, User
from tests.conftest import make_user


@pytest.fixture
def dora(db: None) -> User:
    return make_user("dora", roles.USER, None)


def test_accept(alice: User, dora: User) -> None:
    made, token = invitations.invite(actor=alice, role=roles.VIEWER, note=" Dora ", expires_in_h=1)
    assert (made.note, invitations.state_of(made)) == ("Dora", "open")
    assert token not in str(Invitation.objects.values())
    assert invitations.look_at(token).org == alice.org
    assert invitations.accept(user=dora, token=token) == alice.org
    dora.refresh_from_db()
    made.refresh_from_db()
    assert (dora.org, dora.role) == (alice.org, roles.VIEWER)
    assert (made.accepted_by, invitations.state_of(made)) == (dora, "accepted")
    entries = AuditEntry.objects.order_by("id").values_list("org", "user", "action")
    assert list(entries) == [
        (alice.org_id, alice.pk, "invitation.create"),
        (alice.org_id, dora.pk, "member.join"),
    ]
    with pytest.raises(invitations.InvitationUsed):
        invitations.accept(user=make_user("eve", roles.USER, None), token=token)


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: f"x{token}", lambda token: ""])
def test_forged(alice: User, dora: User, change: Any) -> None:
    _, token = invitations.invite(actor=alice)
    with pytest.raises(invitations.InvalidInvitation) as refused:
        invitations.accept(user=dora, token=change(token))
    assert "Acme" not in refused.value.message


def test_signed_but_never_made(alice: User, dora: User) -> None:
    """Whoever has the signing key, but not the random part."""
    made, _ = invitations.invite(actor=alice)
    for content in ([made.pk, "guessed"], [made.pk + 1, "x"], [made.pk], "text", [None, None], ["a", "b"]):
        with pytest.raises(invitations.InvalidInvitation):
            invitations.accept(user=dora, token=signing.dumps(content, salt="orgs.invitations"))


def test_over(alice: User, dora: User) -> None:
    made, token = invitations.invite(actor=alice)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(invitations.InvitationOver, match="expired"):
        invitations.accept(user=dora, token=token)
    made, token = invitations.invite(actor=alice)
    invitations.revoke(actor=alice, invitation_id=made.pk)
    invitations.revoke(actor=alice, invitation_id=made.pk)
    with pytest.raises(invitations.InvitationOver, match="revoked"):
        invitations.accept(user=dora, token=token)
    assert AuditEntry.objects.filter(action="invitation.revoke").count() == 1


def test_only_who_has_no_organisation(alice: User, charlie: User, root_admin: User) -> None:
    _, token = invitations.invite(actor=alice)
    for person in (charlie, root_admin):
        with pytest.raises(Conflict):
            invitations.accept(user=person, token=token)
    assert invitations.state_of(Invitation.objects.get()) == "open"


def test_not_into_a_closed_organisation(
    alice: User, dora: User, root_admin: User, acme: Organization
) -> None:
    _, token = invitations.invite(actor=alice)
    life.suspend(actor=root_admin, org=acme, reason="unpaid")
    with pytest.raises(Conflict):
        invitations.accept(user=dora, token=token)


def test_who_may_invite_and_what(alice: User, bob: User, charlie: User, monkeypatch: Any) -> None:
    with pytest.raises(Forbidden):
        invitations.invite(actor=bob)
    for wrong, field in [
        ({"role": roles.ADMIN}, "role"),
        ({"expires_in_h": 0}, "expires_in_h"),
        ({"expires_in_h": 721}, "expires_in_h"),
        ({"note": "x" * 201}, "note"),
    ]:
        with pytest.raises(InvalidInput) as refused:
            invitations.invite(actor=alice, **wrong)
        assert list(refused.value.fields) == [field]
    made, _ = invitations.invite(actor=alice)
    with pytest.raises(NotFound):
        invitations.revoke(actor=charlie, invitation_id=made.pk)
    assert list(invitations.listed(charlie)) == []
    monkeypatch.setattr(invitations, "MOST_OPEN", 1)
    with pytest.raises(invitations.TooManyInvitations):
        invitations.invite(actor=alice)
    invitations.revoke(actor=alice, invitation_id=made.pk)
    invitations.invite(actor=alice)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_open_a_link_at_once_one_gets_in(alice: User) -> None:
    people = [make_user(f"person-{number}", roles.USER, None) for number in range(6)]
    _, token = invitations.invite(actor=alice)
    barrier, answers = threading.Barrier(len(people)), list[str]()

    def go(user: User) -> None:
        try:
            barrier.wait(10)
            invitations.accept(user=user, token=token)
            answers.append("in")
        except invitations.InvitationUsed:
            answers.append("used")
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == ["in", *["used"] * 5]
    assert User.objects.filter(org=alice.org).count() == 2
