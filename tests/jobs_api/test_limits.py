"""Limits and shares by the API: who may, what is answered, what a full queue says."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from jobs import limits
from jobs.models import Limit, Share
from jobs.serializers import job_as_dict
from orgs.models import AuditEntry
from orgs.see_as import SESSION_KEY

ALL = {"max_running": 5, "rate_count": 100, "rate_period_s": 60.0, "max_queued": 1000}
NOOP = {"name": "noop", "type": "python", "payload": {"function": "noop"}}


def put(client, path, **body):
    return client.put(path, body, format="json")


class TestLimits:
    def test_set_read_change_and_remove(self, api, alice, vera, bob, submit):
        submit(bob)
        made = put(api(alice), "/limits/org", **ALL)
        assert made.status_code == 200
        limit = made.json()
        assert limit == api(vera).get("/limits/org").json()
        assert {name: limit[name] for name in ALL} == ALL
        assert (limit["org_id"], limit["scope"], limit["name"]) == (alice.org_id, "org", "")
        assert limit["use"] == {"running": 0, "tokens_left": 100.0, "waiting": 1}
        assert api(vera).get("/limits/").json()["results"] == [limit]

        changed = put(api(alice), "/limits/org", max_running=2).json()
        assert (changed["max_running"], changed["rate_count"], changed["max_queued"]) == (2, None, None)
        assert api(alice).delete("/limits/org").status_code == 204
        for method in ("get", "delete"):
            assert getattr(api(alice), method)("/limits/org").status_code == 404
        entries = AuditEntry.objects.order_by("id").values_list("action", "target", "actor")
        assert list(entries) == [
            ("limit.set", "the whole organisation", "alice"),
            ("limit.set", "the whole organisation", "alice"),
            ("limit.remove", "the whole organisation", "alice"),
        ]

    def test_queues_and_keys_of_any_spelling(self, api, alice):
        client = api(alice)
        assert put(client, "/limits/queues/mail.out", max_running=1).json()["name"] == "mail.out"
        for key, quoted in (("a/b?c=ü d", "a%2Fb%3Fc%3D%C3%BC%20d"), (" ", "%20"), ("*", "*")):
            made = put(client, f"/limits/keys?name={quoted}", rate_count=1, rate_period_s=0.5)
            assert (made.status_code, made.json()["name"]) == (200, key)
            assert client.get(f"/limits/keys?name={quoted}").json()["scope"] == "key"
        assert len(client.get("/limits/").json()["results"]) == 4
        assert client.delete("/limits/keys?name=a%2Fb%3Fc%3D%C3%BC%20d").status_code == 204
        assert client.delete("/limits/queues/mail.out").status_code == 204

    @pytest.mark.parametrize("name", ["bob", "vera"])
    def test_others_may_only_read(self, api, alice, name, request):
        put(api(alice), "/limits/org", **ALL)
        client = api(request.getfixturevalue(name))
        assert client.get("/limits/org").status_code == 200
        assert put(client, "/limits/org", max_running=9).status_code == 403
        assert client.delete("/limits/org").status_code == 403
        assert Limit.objects.get().max_running == 5

    def test_a_stranger_neither_sees_nor_changes_them(self, api, alice, charlie):
        put(api(alice), "/limits/queues/mail", max_running=1)
        whose = f"?org_id={alice.org_id}"
        client = api(charlie)
        assert client.get("/limits/").json()["results"] == []
        for path in ("/limits/queues/mail", f"/limits/queues/mail{whose}"):
            assert client.get(path).status_code == client.delete(path).status_code == 404
        assert client.get(f"/limits/{whose}").status_code == 404
        assert put(client, f"/limits/queues/mail{whose}", max_running=7).status_code == 404
        assert put(client, "/limits/queues/mail", max_running=7).json()["org_id"] == charlie.org_id
        assert Limit.objects.get(org=alice.org).max_running == 1

    def test_a_platform_admin_names_the_organisation(self, api, root_admin, alice, charlie):
        client, whose = api(root_admin), f"?org_id={alice.org_id}"
        put(api(charlie), "/limits/org", max_running=3)
        for answer in (put(client, "/limits/org", max_running=9), client.get("/shares/")):
            assert answer.status_code == 400
            assert list(answer.json()["error"]["fields"]) == ["org_id"]
        assert put(client, f"/limits/org{whose}", max_running=9).json()["org_id"] == alice.org_id
        assert len(client.get("/limits/").json()["results"]) == 2
        assert len(client.get(f"/limits/{whose}").json()["results"]) == 1
        assert put(client, "/limits/org?org_id=999999", max_running=9).status_code == 404
        assert AuditEntry.objects.filter(org=alice.org, actor="root_admin").count() == 1

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/limits/org", {}, "body"),
            ("/limits/org", {"max_running": -1}, "max_running"),
            ("/limits/org", {"max_running": "many"}, "max_running"),
            ("/limits/org", {"max_queued": 10**9}, "max_queued"),
            ("/limits/org", {"rate_count": 5}, "rate_period_s"),
            ("/limits/org", {"rate_period_s": 5}, "rate_count"),
            ("/limits/org", {"rate_count": 5, "rate_period_s": 0}, "rate_period_s"),
            ("/limits/org", {"most": 5}, "most"),
            ("/limits/org?org_id=x", {"max_running": 5}, "org_id"),
            ("/limits/org?name=x", {"max_running": 5}, "name"),
            ("/limits/queues/a%20b", {"max_running": 5}, "name"),
            ("/limits/queues/mail", {"max_queued": 5}, "max_queued"),
            ("/limits/keys", {"max_running": 5}, "name"),
            ("/limits/keys?name=", {"max_running": 5}, "name"),
            (f"/limits/keys?name={'k' * 201}", {"max_running": 5}, "name"),
        ],
    )
    def test_what_cannot_be_used_is_named(self, api, alice, path, body, field):
        answer = put(api(alice), path, **body)
        assert answer.status_code == 400
        assert list(answer.json()["error"]["fields"]) == [field]
        assert not Limit.objects.exists()

    @pytest.mark.parametrize("path", ["/limits/queues/a%20b", "/limits/queues/none"])
    def test_what_cannot_be_there_is_not_there(self, api, alice, path):
        assert api(alice).get(path).status_code == api(alice).delete(path).status_code == 404

    def test_an_organisation_has_only_so_many(self, api, alice, monkeypatch):
        monkeypatch.setattr(limits, "MOST_LIMITS", 1)
        put(api(alice), "/limits/org", max_running=1)
        answer = put(api(alice), "/limits/queues/a", max_running=1)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "too_many_limits")


class TestFullQueue:
    @pytest.fixture(autouse=True)
    def _two(self, api, alice):
        put(api(alice), "/limits/org", max_queued=2)

    def test_one_too_many(self, api, bob, charlie):
        client = api(bob)
        for _ in range(2):
            assert client.post("/jobs/", NOOP, format="json").status_code == 201
        answer = client.post("/jobs/", NOOP, format="json")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
        error = answer.json()["error"]
        assert error["code"] == "queue_full"
        assert "may have 2 jobs waiting, and 2 wait already" in error["message"]
        assert api(charlie).post("/jobs/", NOOP, format="json").status_code == 201

    def test_of_a_batch_the_first_ones(self, api, bob):
        answer = api(bob).post("/jobs/bulk", {"jobs": [NOOP] * 3}, format="json")
        assert (answer.status_code, answer.json()["created"], answer.json()["refused"]) == (201, 2, 1)
        last = answer.json()["results"][-1]
        assert (last["id"], last["error"]["code"]) == (None, "queue_full")

    def test_a_batch_as_a_whole(self, api, bob):
        client, body = api(bob), {"jobs": [NOOP] * 3, "all_or_nothing": True}
        answer = client.post("/jobs/bulk", body, format="json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
        assert answer.headers["Retry-After"] == "5"
        assert client.get("/jobs/").json()["results"] == []

    def test_a_repeated_request(self, api, bob, submit):
        first = submit(bob, idempotency_key="k")
        submit(bob)
        again = api(bob).post("/jobs/", {**NOOP, "idempotency_key": "k"}, format="json")
        assert (again.status_code, again.json()["id"]) == (200, job_as_dict(first)["id"])


def test_the_own_share_alone(api, vera, alice, charlie, root_admin):
    Share.objects.create(org=alice.org, charged_s=9, recent_s=5, lead_s=-1)
    Share.objects.create(org=charlie.org, charged_s=900, recent_s=500, lead_s=100)
    share = api(vera).get("/shares/").json()
    assert (share["org_id"], share["weight"]) == (alice.org_id, 1.0)
    assert (share["recent_s"], share["lead_s"]) == (pytest.approx(5, rel=0.01), pytest.approx(-1, rel=0.01))
    assert api(vera).get(f"/shares/?org_id={charlie.org_id}").status_code == 404
    others = api(root_admin).get(f"/shares/?org_id={charlie.org_id}").json()
    assert others["recent_s"] == pytest.approx(500, rel=0.01)


def test_a_platform_admin_who_sees_as_one_organisation_has_its_limits(acme, root_admin):
    limits.set_limit(user=root_admin, org=acme, scope="org", max_running=3)
    client = APIClient()
    client.force_login(root_admin)
    session = client.session
    session[SESSION_KEY] = acme.pk
    session.save()
    assert client.get("/limits/org").json()["max_running"] == 3
