"""An organisation always keeps an active org admin, and who leaves takes nothing along but their name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from jobs import control, limits
from orgs import api_keys, invitations, life, memberships, refresh, roles
from orgs.exceptions import Conflict, Forbidden, InvalidInput, NotFound
from orgs.models import ApiKey, AuditEntry, Organization, User
from orgs.services import organization_invite
from tests.conftest import make_user

LAST = memberships.LastOrgAdmin


def audited() -> list[tuple[str, str, Any, Any]]:
    entries = AuditEntry.objects.order_by("id")
    return [(one.action, one.target, one.details.get("from"), one.details.get("to")) for one in entries]


@pytest.mark.parametrize(
    "end",
    [
        lambda alice, root: memberships.leave(user=alice),
        lambda alice, root: memberships.change_role(actor=alice, member=alice, role=roles.USER),
        lambda alice, root: memberships.change_role(actor=root, member=alice, role=roles.VIEWER),
        lambda alice, root: memberships.remove(actor=root, member=alice),
        lambda alice, root: memberships.set_active(actor=root, member=alice, active=False),
        lambda alice, root: memberships.set_active(actor=alice, member=alice, active=False),
    ],
)
def test_the_last_org_admin_stays(
    alice: User, bob: User, root_admin: User, end: Callable[[User, User], object]
) -> None:
    idle = make_user("idle", roles.ORG_ADMIN, alice.org)
    User.objects.filter(pk=idle.pk).update(is_active=False)
    with pytest.raises(LAST):
        end(alice, root_admin)
    alice.refresh_from_db()
    assert (alice.role, alice.org, alice.is_active) == (roles.ORG_ADMIN, bob.org, True)
    assert audited() == []
    User.objects.filter(pk=idle.pk).update(is_active=True)
    end(alice, root_admin)
    alice.refresh_from_db()
    assert (alice.role, alice.org_id, alice.is_active) != (roles.ORG_ADMIN, idle.org_id, True)


def test_change_role(alice: User, bob: User, charlie: User, root_admin: User) -> None:
    assert memberships.change_role(actor=alice, member=bob, role=roles.VIEWER).role == roles.VIEWER
    memberships.change_role(actor=alice, member=bob, role=roles.VIEWER)
    assert audited() == [("user.role", "bob", "user", "viewer")]
    with pytest.raises(Forbidden):
        memberships.change_role(actor=bob, member=alice, role=roles.USER)
    with pytest.raises(NotFound):
        memberships.change_role(actor=alice, member=charlie, role=roles.USER)
    with pytest.raises(InvalidInput) as refused:
        memberships.change_role(actor=alice, member=bob, role=roles.ADMIN)
    assert list(refused.value.fields) == ["role"]
    User.objects.filter(pk=root_admin.pk).update(org=alice.org)
    root_admin.refresh_from_db()
    with pytest.raises(Forbidden):
        memberships.change_role(actor=alice, member=root_admin, role=roles.USER)


def test_who_leaves_keeps_nothing(alice: User, bob: User, submit: Any) -> None:
    job = submit(bob)
    api_keys.create(user=bob, name="nightly", scopes=["jobs:read"], expires_in_days=1)
    secret = refresh.log_in(bob)
    AuditEntry.objects.count()
    memberships.leave(user=bob)
    assert (bob.org, bob.role) == (None, roles.USER)
    bob.refresh_from_db()
    assert (bob.org, bob.role) == (None, roles.USER)
    assert ApiKey.objects.get().revoked_at is not None
    with pytest.raises(refresh.InvalidRefreshToken):
        refresh.exchange(secret)
    job.refresh_from_db()
    assert (job.org_id, job.status) == (alice.org_id, "queued")
    assert ("member.leave", "bob", "user", None) in audited()


def test_remove(alice: User, vera: User, charlie: User) -> None:
    with pytest.raises(Conflict):
        memberships.remove(actor=alice, member=alice)
    with pytest.raises(NotFound):
        memberships.remove(actor=alice, member=charlie)
    with pytest.raises(Forbidden):
        memberships.remove(actor=vera, member=alice)
    memberships.remove(actor=alice, member=vera)
    vera.refresh_from_db()
    assert (vera.org, vera.role) == (None, roles.USER)
    assert audited() == [("member.remove", "vera", "viewer", None)]


def test_hand_over(alice: User, bob: User, charlie: User, root_admin: User) -> None:
    for actor, member, error in [
        (bob, alice, Forbidden),
        (root_admin, bob, Forbidden),
        (alice, alice, Conflict),
        (alice, charlie, NotFound),
    ]:
        with pytest.raises(error):
            memberships.hand_over(actor=actor, member=member)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    with pytest.raises(Conflict):
        memberships.hand_over(actor=alice, member=bob)
    User.objects.filter(pk=bob.pk).update(is_active=True)
    memberships.hand_over(actor=alice, member=bob)
    assert dict(User.objects.filter(org=alice.org).values_list("username", "role")) == {
        "alice": roles.USER,
        "bob": roles.ORG_ADMIN,
    }
    assert audited() == [("org.hand_over", "Acme", "alice", "bob")]


def test_guard_for_other_writers(alice: User, bob: User) -> None:
    memberships.guard_last_admin(bob)
    with pytest.raises(LAST):
        memberships.guard_last_admin(alice)
    make_user("second", roles.ORG_ADMIN, alice.org)
    memberships.guard_last_admin(alice)


@pytest.mark.django_db(transaction=True)
def test_two_org_admins_who_leave_at_once_leave_one_behind(alice: User, acme: Organization) -> None:
    second = make_user("second", roles.ORG_ADMIN, acme)
    barrier, refused = threading.Barrier(2), list[str]()

    def go(user: User) -> None:
        try:
            barrier.wait(10)
            memberships.leave(user=user)
        except LAST:
            refused.append(user.username)
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=[user]) for user in (alice, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(refused) == 1
    assert [user.username for user in User.objects.filter(org=acme)] == refused


@pytest.mark.parametrize(
    "end",
    [
        lambda alice, boss: memberships.leave(user=boss),
        lambda alice, boss: memberships.remove(actor=alice, member=boss),
        lambda alice, boss: memberships.set_active(actor=alice, member=boss, active=False),
        lambda alice, boss: memberships.change_role(actor=alice, member=boss, role=roles.USER),
        lambda alice, boss: memberships.hand_over(actor=boss, member=alice),
    ],
)
def test_nobody_comes_back_by_an_own_invitation(alice: User, end: Callable[[User, User], object]) -> None:
    boss = make_user("boss", roles.ORG_ADMIN, alice.org)
    made, token = invitations.invite(actor=boss, role=roles.ORG_ADMIN)
    kept, _ = invitations.invite(actor=alice)
    end(alice, boss)
    made.refresh_from_db()
    kept.refresh_from_db()
    assert (invitations.state_of(made), invitations.state_of(kept)) == ("revoked", "open")
    with pytest.raises(invitations.InvitationOver):
        invitations.accept(user=make_user("dora", roles.USER, None), token=token)
    assert AuditEntry.objects.filter(action="invitation.revoke", org=alice.org).count() == 1


@pytest.mark.parametrize(
    "moved", [{"role": roles.USER}, {"is_active": False}, {"org": None, "role": roles.USER}]
)
@pytest.mark.parametrize(
    "act",
    [
        lambda boss, bob: memberships.change_role(actor=boss, member=boss, role=roles.USER),
        lambda boss, bob: memberships.remove(actor=boss, member=bob),
        lambda boss, bob: memberships.set_active(actor=boss, member=bob, active=False),
        lambda boss, bob: invitations.invite(actor=boss, role=roles.ORG_ADMIN),
        lambda boss, bob: organization_invite(org=bob.org, actor=boss, username="dora", role=roles.USER),
        lambda boss, bob: life.change_settings(actor=boss, org=bob.org, name="Mine"),
        lambda boss, bob: life.ask_deletion(actor=boss, org=bob.org, confirm="Acme"),
        lambda boss, bob: control.pause(user=boss),
        lambda boss, bob: limits.set_limit(user=boss, org=bob.org, scope="org", max_running=1),
    ],
)
def test_a_request_that_began_before_does_nothing(
    alice: User, bob: User, act: Callable[[User, User], object], moved: dict[str, Any]
) -> None:
    """It has read its user when it began."""
    make_user("dora", roles.USER, None)
    boss = make_user("boss", roles.ORG_ADMIN, alice.org)
    User.objects.filter(pk=boss.pk).update(**moved)
    with pytest.raises((Forbidden, NotFound)):
        act(boss, bob)
    assert audited() == []


def test_a_key_is_not_made_by_who_has_left(bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(org=None)
    with pytest.raises((Forbidden, NotFound)):
        api_keys.create(user=bob, name="late", scopes=["jobs:read"])
    assert not ApiKey.objects.exists()
