"""Pauses and workers by the API: who may, what is answered, what is noted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import control
from jobs.models import Pause, Worker
from orgs.models import AuditEntry


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


class TestPauses:
    def test_an_org_admin_pauses_and_resumes(self, api, alice, vera):
        client = api(alice)
        made = client.post(
            "/pauses", {"queue": "mail", "type": "http", "reason": "the relay is down"}, format="json"
        )
        assert made.status_code == 201
        pause = made.json()
        assert (pause["org_id"], pause["queue"], pause["type"]) == (alice.org_id, "mail", "http")
        assert (pause["reason"], pause["user_id"]) == ("the relay is down", alice.pk)
        assert [one["id"] for one in api(vera).get("/pauses").json()["results"]] == [pause["id"]]

        assert client.delete(f"/pauses/{pause['id']}").status_code == 204
        assert client.delete(f"/pauses/{pause['id']}").status_code == 404
        assert not Pause.objects.exists()
        first, last = AuditEntry.objects.order_by("id")
        assert (first.action, first.actor, first.target) == ("queue.pause", "alice", "queue mail, type http")
        assert first.details["reason"] == "the relay is down"
        assert (last.action, last.org_id) == ("queue.resume", alice.org_id)

    def test_pausing_twice_answers_the_first(self, api, alice):
        first = api(alice).post("/pauses", {"reason": "one"}, format="json")
        again = api(alice).post("/pauses", {"reason": "two"}, format="json")
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert actions() == ["queue.pause"]

    @pytest.mark.parametrize("name", ["bob", "vera"])
    def test_others_may_not(self, api, alice, name, request):
        client = api(request.getfixturevalue(name))
        pause = Pause.objects.create(org=alice.org)
        assert client.post("/pauses", {}, format="json").status_code == 403
        assert client.delete(f"/pauses/{pause.pk}").status_code == 403
        assert Pause.objects.count() == 1
        assert actions() == []

    def test_a_stranger_neither_sees_nor_ends_it(self, api, alice, charlie, globex):
        pause = Pause.objects.create(org=alice.org)
        assert api(charlie).get("/pauses").json()["results"] == []
        assert api(charlie).delete(f"/pauses/{pause.pk}").status_code == 404
        assert api(alice).post("/pauses", {"org_id": globex.pk}, format="json").status_code == 404
        assert Pause.objects.get() == pause

    def test_a_pause_of_the_platform_is_shown_to_all_and_ended_by_its_admin(
        self, api, root_admin, alice, vera
    ):
        pause = api(root_admin).post("/pauses", {"type": "ml", "org_id": None}, format="json").json()
        assert (pause["org_id"], pause["user_id"]) == (None, root_admin.pk)
        shown = api(vera).get("/pauses").json()["results"]
        assert [(one["id"], one["user_id"]) for one in shown] == [(pause["id"], None)]
        assert api(alice).delete(f"/pauses/{pause['id']}").status_code == 403
        assert api(root_admin).delete(f"/pauses/{pause['id']}").status_code == 204

    def test_a_platform_admin_pauses_one_organisation(self, api, root_admin, alice):
        made = api(root_admin).post("/pauses", {"org_id": alice.org_id}, format="json").json()
        assert made["org_id"] == alice.org_id
        assert AuditEntry.objects.get().org_id == alice.org_id
        assert api(alice).delete(f"/pauses/{made['id']}").status_code == 204

    def test_nothing_sent_pauses_nothing(self, api, alice, root_admin):
        for person in (alice, root_admin):
            answer = api(person).post("/pauses")
            assert answer.status_code == 400
            assert "Send {}" in answer.json()["error"]["message"]
        assert not Pause.objects.exists()
        assert api(alice).post("/pauses", {}, format="json").status_code == 201

    def test_a_platform_admin_must_say_whom(self, api, root_admin):
        for body in ({}, {"type": "ml"}):
            answer = api(root_admin).post("/pauses", body, format="json")
            assert answer.status_code == 400
            assert list(answer.json()["error"]["fields"]) == ["org_id"]
        assert api(root_admin).post("/pauses", {"org_id": None}, format="json").status_code == 201

    def test_an_organisation_has_only_so_many(self, api, alice, charlie, monkeypatch):
        monkeypatch.setattr(control, "MOST_PAUSES", 2)
        for queue in ("a", "b"):
            assert api(alice).post("/pauses", {"queue": queue}, format="json").status_code == 201
        answer = api(alice).post("/pauses", {"queue": "c"}, format="json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "too_many_pauses")
        assert "2 pauses" in answer.json()["error"]["message"]
        assert api(alice).post("/pauses", {"queue": "a"}, format="json").status_code == 200
        assert api(charlie).post("/pauses", {"queue": "c"}, format="json").status_code == 201

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"type": "nothing"}, "type"),
            ({"queue": "a b"}, "queue"),
            ({"queue": "x" * 61}, "queue"),
            ({"org_id": 0}, "org_id"),
            ({"reason": "x" * 201}, "reason"),
            ({"reason": "\x00"}, "reason"),
            ({"lane": "low"}, "lane"),
        ],
    )
    def test_what_cannot_be_used_is_named(self, api, alice, body, field):
        answer = api(alice).post("/pauses", body, format="json")
        assert answer.status_code == 400
        assert list(answer.json()["error"]["fields"]) == [field]


class TestWorkers:
    def test_a_platform_admin_pauses_resumes_and_drains(self, api, root_admin, worker):
        client = api(root_admin)
        for verb, wanted in (("pause", "pause"), ("resume", "run"), ("drain", "drain")):
            answer = client.post(f"/workers/{worker.pk}/{verb}")
            assert (answer.status_code, answer.json()["wanted"]) == (200, wanted)
            worker.refresh_from_db()
            assert worker.wanted == wanted
        assert actions() == ["worker.pause", "worker.resume", "worker.drain"]
        assert AuditEntry.objects.filter(org=None, target=str(worker)).count() == 3

    def test_saying_it_twice_is_no_error_and_noted_once(self, api, root_admin, worker):
        for _ in range(2):
            assert api(root_admin).post(f"/workers/{worker.pk}/drain").status_code == 200
        assert actions() == ["worker.drain"]

    @pytest.mark.parametrize("verb", ["pause", "resume"])
    def test_a_draining_worker_is_not_called_back(self, api, root_admin, worker, verb):
        Worker.objects.update(wanted="drain")
        answer = api(root_admin).post(f"/workers/{worker.pk}/{verb}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "worker_ending")
        worker.refresh_from_db()
        assert worker.wanted == "drain"

    @pytest.mark.parametrize("status", ["stopped", "lost"])
    def test_a_worker_that_has_ended_is_a_conflict(self, api, root_admin, worker, status):
        Worker.objects.update(status=status)
        answer = api(root_admin).post(f"/workers/{worker.pk}/pause")
        assert answer.status_code == 409
        assert status in answer.json()["error"]["message"]

    @pytest.mark.parametrize("name", ["alice", "bob", "vera", "charlie"])
    @pytest.mark.parametrize("verb", ["pause", "resume", "drain"])
    def test_nobody_else_may(self, api, worker, name, verb, request):
        assert api(request.getfixturevalue(name)).post(f"/workers/{worker.pk}/{verb}").status_code == 403
        worker.refresh_from_db()
        assert (worker.wanted, actions()) == ("run", [])

    def test_a_worker_that_is_not_there(self, api, root_admin):
        assert api(root_admin).post("/workers/nobody/pause").status_code == 404

    def test_the_list_tells_what_each_takes_and_is_to_do(self, api, vera, worker):
        Worker.objects.update(
            types=["http", "shell"], queues=["mail"], wanted="pause", last_seen=timezone.now()
        )
        (shown,) = api(vera).get("/jobs/workers").json()["results"]
        assert (shown["types"], shown["queues"], shown["wanted"]) == (["http", "shell"], ["mail"], "pause")
        assert api(vera).get("/workers/").json() == {"results": [shown]}


def test_cancelling_is_noted(api, alice, bob, submit):
    his, hers = submit(bob), submit(alice)
    for job in (his, hers):
        assert api(alice).post(f"/jobs/{job.pk}/cancel").status_code == 200
    for job, entry in zip((his, hers), AuditEntry.objects.order_by("seq"), strict=True):
        assert (entry.action, entry.user, entry.org_id) == ("job.cancel", alice, alice.org_id)
        assert f"job {job.pk}" in entry.target


def test_the_longest_host_name_can_be_told(api, root_admin):
    worker = Worker.objects.create(worker_id="w", hostname="h" * 255, pid=1, concurrency=1)
    assert api(root_admin).post(f"/workers/{worker.pk}/drain").status_code == 200
    assert AuditEntry.objects.get().target == "h" * 200


class TestAudit:
    @pytest.fixture
    def entries(self, api, alice, charlie, root_admin, bob, worker, submit):
        api(alice).post("/pauses", {"queue": "acme"}, format="json")
        api(alice).post(f"/jobs/{submit(bob).pk}/cancel")
        api(charlie).post("/pauses", {"queue": "globex"}, format="json")
        api(root_admin).post(f"/workers/{worker.pk}/pause")

    def test_an_org_admin_reads_the_own_newest_first(self, api, alice, entries):
        found = api(alice).get("/orgs/me/audit").json()["results"]
        assert [one["action"] for one in found] == ["job.cancel", "queue.pause"]
        assert {one["actor"] for one in found} == {"alice"}
        assert found[1]["details"]["queue"] == "acme"

    def test_pages_and_filters(self, api, alice, entries):
        first = api(alice).get("/orgs/me/audit?page_size=1").json()
        assert [one["action"] for one in first["results"]] == ["job.cancel"]
        rest = api(alice).get(first["next"]).json()
        assert [one["action"] for one in rest["results"]] == ["queue.pause"]
        assert len(api(alice).get("/orgs/me/audit?action=queue.pause").json()["results"]) == 1
        assert len(api(alice).get(f"/orgs/me/audit?user={alice.pk}").json()["results"]) == 2
        assert api(alice).get(f"/orgs/me/audit?user={alice.pk + 1000}").json()["results"] == []
        assert api(alice).get("/orgs/me/audit?who=alice").status_code == 400

    def test_a_platform_admin_reads_all(self, api, root_admin, entries):
        found = api(root_admin).get("/orgs/me/audit").json()["results"]
        assert {one["actor"] for one in found} == {"alice", "charlie", "root_admin"}

    @pytest.mark.parametrize("name", ["bob", "vera"])
    def test_members_do_not(self, api, name, request, entries):
        assert api(request.getfixturevalue(name)).get("/orgs/me/audit").status_code == 403


def test_a_worker_that_fell_silent_can_still_be_told_to_drain(api, root_admin, worker):
    """It may only be slow: what it is to do stands in its row when it comes back."""
    Worker.objects.update(last_seen=timezone.now() - timedelta(minutes=5))
    assert api(root_admin).post(f"/workers/{worker.pk}/drain").json()["status"] == "lost"
    worker.refresh_from_db()
    assert worker.wanted == "drain"
