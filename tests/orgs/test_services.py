"""Registering, founding and inviting, and the races between two of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.contrib.auth.hashers import check_password
from django.db import connection, transaction

from orgs import roles, services
from orgs.exceptions import Conflict, Forbidden, InvalidInput, NotFound, SmartQueueError
from orgs.models import Organization, User
from tests.conftest import PASSWORD, make_user
from tests.waiting import wait_until


@pytest.fixture
def dora(db: None) -> User:
    """A user without an organisation."""
    return make_user("dora", roles.USER, None)


def test_register(db: None) -> None:
    user = services.user_register(username="erin", password=PASSWORD, email="erin@EXAMPLE.org")
    user.refresh_from_db()
    assert (user.role, user.org, user.email) == (roles.USER, None, "erin@example.org")
    assert check_password(PASSWORD, user.password)


def test_register_a_taken_name(bob: User) -> None:
    with pytest.raises(Conflict) as error:
        services.user_register(username="bob", password=PASSWORD)
    assert "username" in error.value.fields
    assert check_password(PASSWORD, User.objects.get(username="bob").password)


@pytest.mark.parametrize(
    ("password", "reason"),
    [("short", "too short"), ("password123", "too common"), ("erin-erin", "too similar")],
)
def test_register_with_a_weak_password(db: None, password: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        services.user_register(username="erin-erin", password=password)
    assert reason in " ".join(error.value.fields["password"])
    assert not User.objects.exists()


@pytest.mark.parametrize("username", ["", "a b", "x" * 151, "a\0b", "a/b"])
def test_register_with_a_bad_name(db: None, username: str) -> None:
    with pytest.raises(InvalidInput) as error:
        services.user_register(username=username, password=PASSWORD)
    assert list(error.value.fields) == ["username"]


def test_founder_becomes_org_admin(dora: User) -> None:
    org = services.organization_create(user=dora, name=" Initech ")
    assert (dora.org, dora.role, org.name) == (org, roles.ORG_ADMIN, "Initech")
    dora.refresh_from_db()
    assert (dora.org, dora.role) == (org, roles.ORG_ADMIN)


def test_a_member_cannot_found_another(alice: User) -> None:
    with pytest.raises(Conflict):
        services.organization_create(user=alice, name="Second")
    assert not Organization.objects.filter(name="Second").exists()


def test_a_platform_admin_founds_and_stays(root_admin: User) -> None:
    for name in ("One", "Two"):
        services.organization_create(user=root_admin, name=name)
    root_admin.refresh_from_db()
    assert (root_admin.role, root_admin.org) == (roles.ADMIN, None)


@pytest.mark.parametrize(
    ("name", "error"), [("Acme", Conflict), ("  ", InvalidInput), ("x" * 101, InvalidInput)]
)
def test_found_with_a_bad_name(
    dora: User, acme: Organization, name: str, error: type[SmartQueueError]
) -> None:
    with pytest.raises(error) as raised:
        services.organization_create(user=dora, name=name)
    assert "name" in raised.value.fields
    dora.refresh_from_db()
    assert (dora.org, dora.role) == (None, roles.USER)


@pytest.mark.parametrize("role", [roles.USER, roles.VIEWER, roles.ORG_ADMIN])
def test_invite(alice: User, dora: User, role: str) -> None:
    assert alice.org
    services.organization_invite(org=alice.org, actor=alice, username="dora", role=role)
    dora.refresh_from_db()
    assert (dora.org, dora.role) == (alice.org, role)


@pytest.mark.parametrize("role", [roles.ADMIN, "king", ""])
def test_invite_with_a_role_that_cannot_be_given(alice: User, dora: User, role: str) -> None:
    assert alice.org
    with pytest.raises(InvalidInput) as error:
        services.organization_invite(org=alice.org, actor=alice, username="dora", role=role)
    assert "role" in error.value.fields


@pytest.mark.parametrize("username", ["nobody", "DORA", "gone"])
def test_invite_somebody_unknown(alice: User, dora: User, username: str) -> None:
    make_user("gone", roles.USER, None)
    User.objects.filter(username="gone").update(is_active=False)
    assert alice.org
    with pytest.raises(NotFound) as error:
        services.organization_invite(org=alice.org, actor=alice, username=username, role=roles.USER)
    assert "username" in error.value.fields


@pytest.mark.parametrize("username", ["charlie", "root_admin", "bob"])
def test_invite_somebody_who_belongs_somewhere(
    alice: User, bob: User, charlie: User, root_admin: User, username: str
) -> None:
    before = User.objects.get(username=username)
    assert alice.org
    with pytest.raises(Conflict) as error:
        services.organization_invite(org=alice.org, actor=alice, username=username, role=roles.VIEWER)
    after = User.objects.get(username=username)
    assert (after.org, after.role) == (before.org, before.role)
    assert "Globex" not in str(error.value)


def test_a_platform_admin_cannot_be_told_from_a_stranger(
    alice: User, charlie: User, root_admin: User
) -> None:
    messages = set()
    assert alice.org
    for username in ("charlie", "root_admin"):
        with pytest.raises(Conflict) as error:
            services.organization_invite(org=alice.org, actor=alice, username=username, role=roles.USER)
        messages.add(error.value.message)
    assert len(messages) == 1


def test_only_org_admins_invite(bob: User, vera: User, dora: User) -> None:
    for actor in (bob, vera):
        assert actor.org
        with pytest.raises(Forbidden):
            services.organization_invite(org=actor.org, actor=actor, username="dora", role=roles.USER)


def test_nobody_invites_into_another_organisation(charlie: User, acme: Organization, dora: User) -> None:
    with pytest.raises(NotFound):
        services.organization_invite(org=acme, actor=charlie, username="dora", role=roles.USER)
    dora.refresh_from_db()
    assert dora.org is None


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """A thread with a connection of its own; the list gets its result or its SmartQueueError."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except SmartQueueError as error:
            outcome.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_of_two_invitations_at_once_the_second_finds_a_member(alice: User, charlie: User, dora: User) -> None:
    assert alice.org
    assert charlie.org
    globex = charlie.org
    with transaction.atomic():
        services.organization_invite(org=alice.org, actor=alice, username="dora", role=roles.USER)
        thread, outcome = in_thread(
            lambda: services.organization_invite(
                org=globex, actor=charlie, username="dora", role=roles.ORG_ADMIN
            )
        )
        wait_until(waiting_for_a_lock, message="the second invitation waits for the first")
    thread.join(timeout=10)
    assert isinstance(outcome[0], Conflict)
    dora.refresh_from_db()
    assert (dora.org, dora.role) == (alice.org, roles.USER)


@pytest.mark.django_db(transaction=True)
def test_of_two_organisations_of_one_name_one_is_founded(dora: User) -> None:
    other = make_user("erin", roles.USER, None)
    with transaction.atomic():
        services.organization_create(user=dora, name="Initech")
        thread, outcome = in_thread(lambda: services.organization_create(user=other, name="Initech"))
        wait_until(waiting_for_a_lock, message="the second founder waits for the first")
    thread.join(timeout=10)
    assert isinstance(outcome[0], Conflict)
    other.refresh_from_db()
    assert other.org is None


@pytest.mark.django_db(transaction=True)
def test_one_founder_founds_one_organisation(dora: User) -> None:
    same = User.objects.get(pk=dora.pk)
    with transaction.atomic():
        services.organization_create(user=dora, name="One")
        thread, outcome = in_thread(lambda: services.organization_create(user=same, name="Two"))
        wait_until(waiting_for_a_lock, message="the second founding waits for the first")
    thread.join(timeout=10)
    assert isinstance(outcome[0], Conflict)
    assert [org.name for org in Organization.objects.all()] == ["One"]
