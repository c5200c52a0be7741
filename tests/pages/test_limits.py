"""The pages of limits: what members see, what org admins do, and that strangers do neither."""

from __future__ import annotations

from typing import Any

import pytest

from jobs import limits
from jobs.models import Gate, Limit, Share
from orgs.models import User
from tests.pages.conftest import Browse
from tests.queue.claiming import claim
from tests.queue.submitting import many

LIST, NEW = "/dashboard/limits/", "/dashboard/limits/new/"


def put(user: User, scope: str = "org", name: str = "", **bounds: float) -> Limit:
    assert user.org is not None
    return limits.set_limit(user=user, org=user.org, scope=scope, name=name, **bounds)  # type: ignore[arg-type]


@pytest.mark.django_db
class TestLimits:
    def test_members_see_limits_with_their_use(
        self, browse: Browse, alice: User, bob: User, vera: User
    ) -> None:
        assert "There are no limits" in browse(vera).get(LIST).text
        put(alice, max_queued=1000, rate_count=100, rate_period_s=3600.0)
        put(alice, "queue", "mail", max_running=3)
        put(alice, "key", "*", max_running=2)
        many(bob, *[{"queue": "mail"}] * 5)
        assert len(claim(limit=2)) == 2
        page = browse(vera).get(LIST).text
        for words in (
            "The whole organisation",
            "Queue mail",
            "2 of 3",
            "2 of each",
            "3 of 1,000",
            "100 jobs in 1 h, 98 at once now",
        ):
            assert words in page
        assert (
            page.index("The whole organisation") < page.index("Queue mail") < page.index("Every concurrency")
        )
        assert NEW not in page
        assert "Remove" not in page

    def test_an_org_admin_sets_changes_and_removes(self, browse: Browse, alice: User) -> None:
        client = browse(alice)
        assert NEW in client.get(LIST).text
        answer = client.post(NEW, {"scope": "queue", "name": "mail", "max_running": "2"})
        assert answer.headers["Location"] == LIST
        limit = Limit.objects.get()
        assert (limit.org_id, limit.name, limit.max_running) == (alice.org_id, "mail", 2)
        path = f"{LIST}{limit.pk}/"
        form = client.get(path).text
        assert "Limit of queue mail" in form
        assert 'value="2"' in form
        assert 'name="scope"' not in form
        assert 'name="max_queued"' not in form
        assert client.post(path, {"rate_count": "5", "rate_period_s": "0.5"}).headers["Location"] == LIST
        limit.refresh_from_db()
        assert (limit.max_running, limit.rate_count, limit.rate_period_s) == (None, 5, 0.5)
        assert "Remove the limit of queue mail?" in client.get(f"{path}remove/").text
        assert client.post(f"{path}remove/").headers["Location"] == LIST
        assert not Limit.objects.exists()
        assert not Gate.objects.exists()

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"scope": "org"}, "Expected at least one of"),
            ({"scope": "org", "name": "x", "max_running": "1"}, "has no name"),
            ({"scope": "queue", "name": "a b", "max_running": "1"}, "letters, digits, dots"),
            ({"scope": "queue", "name": "a", "max_queued": "1"}, "Only the whole organisation"),
            ({"scope": "org", "rate_count": "1"}, "give both"),
            ({"scope": "org", "max_running": "-1"}, "greater than or equal to 0"),
        ],
    )
    def test_what_cannot_be_used_is_told(
        self, browse: Browse, alice: User, values: dict[str, str], words: str
    ) -> None:
        answer = browse(alice).post(NEW, values)
        assert answer.status_code == 422
        assert words in answer.text
        assert not Limit.objects.exists()

    def test_one_too_many_is_told(self, browse: Browse, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MOST_LIMITS", 0)
        answer = browse(alice).post(NEW, {"scope": "org", "max_running": "1"})
        assert (answer.status_code, "0 limits already" in answer.text) == (422, True)

    @pytest.mark.parametrize("name", ["bob", "vera"])
    def test_members_change_nothing(
        self, browse: Browse, alice: User, name: str, request: pytest.FixtureRequest
    ) -> None:
        limit = put(alice, max_running=1)
        client = browse(request.getfixturevalue(name))
        for path in (NEW, f"{LIST}{limit.pk}/", f"{LIST}{limit.pk}/remove/"):
            assert client.get(path).status_code == client.post(path, {"max_running": "9"}).status_code == 403
        assert Limit.objects.get().max_running == 1

    def test_strangers_find_nothing(self, browse: Browse, alice: User, charlie: User) -> None:
        limit = put(alice, "queue", "acme-mail", max_running=1)
        client = browse(charlie)
        assert "acme" not in client.get(LIST).text.lower()
        for path in (f"{LIST}{limit.pk}/", f"{LIST}{limit.pk}/remove/"):
            assert client.get(path).status_code == client.post(path, {"max_running": "9"}).status_code == 404
        assert Limit.objects.get().max_running == 1

    def test_a_platform_admin_says_whose(self, browse: Browse, alice: User, root_admin: User) -> None:
        client, values = browse(root_admin), {"scope": "org", "max_running": "4"}
        assert client.post(NEW, values).status_code == 422
        assert client.post(NEW, {**values, "org": "Nobody"}).status_code == 422
        assert client.post(NEW, {**values, "org": "Acme"}).status_code == 302
        assert Limit.objects.get().org_id == alice.org_id
        page = client.get(LIST).text
        assert 'class="muted">Acme<' in page
        assert "Share of the workers" not in page

    def test_what_holds_for_all_is_told(self, browse: Browse, vera: User, settings: Any) -> None:
        assert "unless it has a limit of its own" not in browse(vera).get(LIST).text
        settings.MAX_QUEUED_PER_ORG = 50_000
        assert "At most 50,000 jobs of an organisation wait" in browse(vera).get(LIST).text

    def test_the_own_share_is_shown(self, browse: Browse, vera: User, charlie: User) -> None:
        Share.objects.create(org=vera.org, charged_s=900, recent_s=125, lead_s=30)
        page = browse(vera).get(LIST).text
        assert "2 min 5 s" in page
        assert "30 s ahead of its turn" in page
        assert "in its turn" in browse(charlie).get(LIST).text

    def test_a_full_queue_is_told_at_the_form(self, browse: Browse, alice: User) -> None:
        put(alice, max_queued=0)
        values = {"name": "n", "type": "python", "lane": "normal", "payload": '{"function": "noop"}'}
        answer = browse(alice).post("/dashboard/jobs/new/", values)
        assert answer.status_code == 429
        assert "may have 0 jobs waiting" in answer.text
