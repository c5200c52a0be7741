"""Settings, grants, suspending, deleting and taking back: what follows for members, jobs and limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from jobs import claims, control, control_selectors, limits
from jobs.models import Gate, Job, Limit, Pause
from orgs import invitations, life, roles, standing
from orgs.exceptions import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    OrganizationClosed,
    OrganizationClosing,
)
from orgs.models import AuditEntry, Organization, User
from scheduler.duties import remove_orgs
from scheduler.duties.batches import BATCH


def claimed() -> list[int]:
    return [job.id for job in claims.claim(worker_id="w", types=["python", "shell"], limit=5, lease_s=30)]


def details_of(action: str) -> Any:
    return AuditEntry.objects.get(action=action).details


class TestSettings:
    def test_an_org_admin_changes_them(self, alice: User, acme: Organization) -> None:
        life.change_settings(actor=alice, org=acme, name=" Acme & Co ", viewers_see_content=True)
        acme.refresh_from_db()
        assert (acme.name, acme.viewers_see_content) == ("Acme & Co", True)
        assert details_of("org.settings") == {
            "name": {"from": "Acme", "to": "Acme & Co"},
            "viewers_see_content": {"from": False, "to": True},
        }
        life.change_settings(actor=alice, org=acme, viewers_see_content=True)
        assert AuditEntry.objects.count() == 1

    def test_refused(self, alice: User, bob: User, acme: Organization, globex: Organization) -> None:
        for actor, org, values, error in [
            (bob, acme, {"name": "x"}, Forbidden),
            (alice, globex, {"name": "x"}, NotFound),
            (alice, acme, {"name": " "}, InvalidInput),
            (alice, acme, {"name": "Globex"}, Conflict),
        ]:
            with pytest.raises(error):
                life.change_settings(actor=actor, org=org, **values)
        assert not AuditEntry.objects.exists()


class TestGrants:
    def test_only_platform_admins(self, alice: User, root_admin: User, acme: Organization) -> None:
        with pytest.raises(Forbidden):
            life.change_grants(actor=alice, org=acme, weight=9.0)
        with pytest.raises(InvalidInput) as refused:
            life.change_grants(actor=root_admin, org=acme, job_types=["http", "perl"])
        assert list(refused.value.fields) == ["job_types"]
        life.change_grants(actor=root_admin, org=acme, weight=2.0, retention_days=7, job_types=["http"])
        acme.refresh_from_db()
        assert (acme.weight, acme.retention_days, acme.job_types) == (2.0, 7, ["http"])
        assert details_of("org.grants")["weight"] == {"from": 1.0, "to": 2.0}

    def test_a_grant_is_a_limit_at_once(self, alice: User, root_admin: User, acme: Organization) -> None:
        life.change_grants(actor=root_admin, org=acme, granted_running=5, granted_queued=50)
        limit = Limit.objects.get()
        assert (limit.scope, limit.max_running, limit.max_queued) == ("org", 5, 50)
        assert Gate.objects.get().scope == "org"
        life.change_grants(actor=root_admin, org=acme, granted_running=7)
        limit.refresh_from_db()
        assert (limit.max_running, limit.max_queued) == (7, 50)
        life.change_grants(actor=root_admin, org=acme, granted_running=None, granted_queued=None)
        assert not Limit.objects.exists()
        assert not Gate.objects.exists()

    def test_own_limits_keep_within_it(self, alice: User, root_admin: User, acme: Organization) -> None:
        limits.set_limit(user=alice, org=acme, scope="org", max_running=3, rate_count=1, rate_period_s=1.0)
        life.change_grants(actor=root_admin, org=acme, granted_running=10)
        assert Limit.objects.get().max_running == 3
        life.change_grants(actor=root_admin, org=acme, granted_running=2)
        limit = Limit.objects.get()
        assert (limit.max_running, limit.rate_count) == (2, 1)
        for values, field in [({"max_running": 3}, "max_running"), ({"max_queued": 3}, "max_running")]:
            with pytest.raises(InvalidInput, match="2") as refused:
                limits.set_limit(user=alice, org=acme, scope="org", **values)
            assert list(refused.value.fields) == [field]
        limits.set_limit(user=alice, org=acme, scope="org", max_running=1)
        limits.remove_limit(user=alice, limit=Limit.objects.get())
        limit = Limit.objects.get()
        assert (limit.max_running, limit.rate_count) == (2, None)
        with pytest.raises(limits.Granted, match="2 jobs running"):
            limits.remove_limit(user=alice, limit=limit)
        limits.set_limit(user=alice, org=acme, scope="queue", name="mail", max_running=100)


class TestSuspension:
    def test_members_stay_outside(self, alice: User, bob: User, root_admin: User, acme: Organization) -> None:
        with pytest.raises(Forbidden):
            life.suspend(actor=alice, org=acme, reason="x")
        with pytest.raises(InvalidInput):
            life.suspend(actor=root_admin, org=acme, reason=" ")
        life.suspend(actor=root_admin, org=acme, reason="unpaid")
        life.suspend(actor=root_admin, org=acme, reason="again")
        assert details_of("org.suspend") == {"from": "open", "to": "suspended", "reason": "unpaid"}
        User.objects.filter(pk=root_admin.pk).update(org=acme)
        for person in User.objects.select_related("org"):
            assert standing.comes_in(person) is person.is_platform_admin
            assert person.may(roles.JOBS_READ) is person.is_platform_admin
        life.resume(actor=root_admin, org=acme)
        life.resume(actor=root_admin, org=acme)
        bob = User.objects.get(pk=bob.pk)
        standing.may_come_in(bob)
        assert bob.may(roles.JOBS_SUBMIT)
        assert details_of("org.resume") == {"from": "suspended", "to": "open"}

    def test_queued_jobs_wait(
        self, alice: User, bob: User, charlie: User, root_admin: User, acme: Organization, submit: Any
    ) -> None:
        ours, theirs = submit(bob), submit(charlie)
        control.pause(user=alice, reason="maintenance")
        life.suspend(actor=root_admin, org=acme, reason="unpaid")
        assert claimed() == [theirs.pk]
        pauses = control_selectors.pauses(root_admin)
        assert [pause.reason for pause in pauses] == ["maintenance"]
        assert not control.may_resume(root_admin, Pause.objects.get(suspension=True))
        control.resume(user=root_admin, pause=pauses[0])
        assert claimed() == []
        life.resume(actor=root_admin, org=acme)
        assert claimed() == [ours.pk]

    def test_its_people_get_a_clear_refusal(
        self, api: Any, bob: User, alice: User, root_admin: User, acme: Organization
    ) -> None:
        life.suspend(actor=root_admin, org=acme, reason="unpaid")
        for person in (alice, bob):
            for path in ("/jobs/", "/orgs/me", "/orgs/me/members"):
                answer = api(person).get(path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "organization_suspended")
            answer = api(person).post("/jobs/", {"name": "a", "type": "http"}, format="json")
            assert answer.status_code == 401


class TestDeletion:
    def test_the_name_confirms_it(self, alice: User, bob: User, acme: Organization) -> None:
        with pytest.raises(InvalidInput, match="Acme"):
            life.ask_deletion(actor=alice, org=acme, confirm="acme")
        with pytest.raises(Forbidden):
            life.ask_deletion(actor=bob, org=acme, confirm="Acme")
        assert Organization.objects.get(pk=acme.pk).is_open

    def test_org_admins_read_and_take_it_back(
        self, api: Any, alice: User, bob: User, acme: Organization, submit: Any
    ) -> None:
        job = submit(bob)
        due = life.ask_deletion(actor=alice, org=acme, confirm="Acme").delete_at
        assert due is not None
        assert timedelta(days=6, hours=23) < due - timezone.now() <= timedelta(days=7)
        assert life.ask_deletion(actor=alice, org=acme, confirm="Acme").delete_at == due
        assert claimed() == []
        assert api(alice).get(f"/jobs/{job.pk}").status_code == 200
        answer = api(alice).post("/jobs/", {"name": "a", "type": "http", "payload": {}}, format="json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "organization_closing")
        answer = api(bob).get("/jobs/")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "organization_closing")
        with pytest.raises(OrganizationClosing):
            life.change_settings(actor=User.objects.get(pk=alice.pk), org=acme, name="x")
        with pytest.raises(OrganizationClosed):
            invitations.invite(actor=User.objects.get(pk=alice.pk))
        assert api(alice).post("/orgs/me/restore").json()["standing"] == "open"
        assert claimed() == [job.pk]
        assert details_of("org.delete")["to"] == details_of("org.restore")["from"]

    def test_suspended_as_well(self, alice: User, root_admin: User, acme: Organization) -> None:
        life.ask_deletion(actor=alice, org=acme, confirm="Acme")
        life.suspend(actor=root_admin, org=acme, reason="unpaid")
        life.restore(actor=root_admin, org=acme)
        assert Pause.objects.filter(suspension=True).count() == 1
        life.resume(actor=root_admin, org=acme)
        assert not Pause.objects.exists()

    def test_the_leader_removes_what_is_due(
        self, alice: User, bob: User, charlie: User, acme: Organization, submit: Any
    ) -> None:
        submit(bob)
        kept = submit(charlie)
        limits.set_limit(user=alice, org=acme, scope="org", max_running=1)
        invitations.invite(actor=alice)
        life.ask_deletion(actor=alice, org=acme, confirm="Acme")
        assert remove_orgs.run("test") == 0
        Organization.objects.filter(pk=acme.pk).update(delete_at=timezone.now() - timedelta(seconds=1))
        with pytest.raises(Conflict, match="over"):
            life.restore(actor=alice, org=acme)
        runs = []
        while not runs or runs[-1] == BATCH:
            runs.append(remove_orgs.run("test"))
        assert runs[-1] == 1
        assert remove_orgs.run("test") == 0
        assert [job.pk for job in Job.objects.all()] == [kept.pk]
        assert [org.name for org in Organization.objects.all()] == ["Globex"]
        bob.refresh_from_db()
        assert (bob.org, bob.role) == (None, roles.USER)
        assert AuditEntry.objects.filter(org_id=acme.pk, action="org.removed").exists()

    def test_a_running_job_is_waited_for(
        self, alice: User, bob: User, acme: Organization, submit: Any
    ) -> None:
        submit(bob)
        assert len(claimed()) == 1
        Organization.objects.filter(pk=acme.pk).update(delete_at=timezone.now())
        assert remove_orgs.run("test") == 0
        assert Job.objects.count() == 1

    def test_no_table_is_forgotten(self, db: None) -> None:
        """Every table that names an organisation is emptied before it goes, or keeps its rows on purpose."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name FROM information_schema.columns "
                "WHERE column_name = 'org_id' AND table_schema = 'public'"
            )
            tables = {name for (name,) in cursor.fetchall()}
        from jobs import removal

        emptied = {
            model._meta.db_table for model in (*removal.OF_JOB, *removal.OF_ORG, *remove_orgs.OTHERS, Job)
        }
        of_orgs = {"orgs_user", "orgs_invitation", "orgs_apikey"}
        kept = {"orgs_auditentry", "orgs_audithead"}
        assert tables == emptied | of_orgs | kept
