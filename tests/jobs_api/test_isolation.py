"""Every route of the REST API, walked by a stranger with the ids of Acme."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.views import APIView

from jobs.models import Job, Limit, Pause, Replay
from orgs.models import ApiKey, Invitation, User

METHODS = ("get", "post", "put", "patch", "delete")
OPEN_TO_VISITORS = {"auth/register", "auth/login", "auth/refresh", "auth/logout", "schema", "docs"}


def api_routes() -> list[str]:
    """The path templates of all API views, as they stand in the URLconf."""
    return sorted(_routes(get_resolver().url_patterns, ""))


def _routes(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        elif issubclass(getattr(pattern.callback, "cls", object), APIView):
            yield route


def path_of(route: str, job: Job) -> str:
    """The route with Acme's ids; a new kind of id must be taught here."""
    ids = {"<int:job_id>": job.pk, "<int:org_id>": job.org_id, "<str:worker_id>": job.worker_id}
    ids |= {"<str:queue>": "acme-queue", "<int:user_id>": job.user_id}
    ids["<int:key_id>"] = _id_of(ApiKey, job)
    ids |= {f"<int:{kind._meta.model_name}_id>": _id_of(kind, job) for kind in (Pause, Replay, Invitation)}
    for place, value in ids.items():
        route = route.replace(place, str(value))
    assert "<" not in route, f"this test knows no id for {route}"
    return f"/{route}"


def _id_of(kind: type[Pause | Replay | Invitation | ApiKey], job: Job) -> int | None:
    return kind.objects.filter(org_id=job.org_id).values_list("pk", flat=True).first()


@pytest.fixture(autouse=True)
def _held_back_and_replayed(done_job) -> None:
    """A pause and a bulk replay of Acme, which stop none of the tests."""
    Pause.objects.create(org=done_job.org, queue="acme-queue", reason="acme-reason")
    Replay.objects.create(org=done_job.org, filter={"name": "acme"}, rate_per_s=1, up_to_job_id=0)
    Limit.objects.create(org=done_job.org, scope="queue", name="acme-queue", max_running=1)
    ApiKey.objects.create(
        org=done_job.org,
        user=done_job.user,
        name="acme-key",
        prefix="sq_acme",
        secret_hash="0",
        scopes=["jobs:read"],
    )
    Invitation.objects.create(org=done_job.org, note="acme-note", secret_hash="0", expires_at=timezone.now())


@pytest.fixture
def secrets(acme, alice, bob, vera, done_job) -> list[str]:
    """Every text of Acme that must not reach a stranger."""
    return ["acme", "Acme", '"alice"', '"bob"', '"vera"']


@pytest.mark.parametrize("route", api_routes())
def test_a_stranger_sees_nothing_of_acme(api, charlie, done_job, secrets, route):
    client, path = api(charlie), path_of(route, done_job)
    for method in METHODS:
        answer = getattr(client, method)(path, {}, format="json") if method != "get" else client.get(path)
        assert answer.status_code < 500, (method, path)
        assert not [text for text in secrets if text in answer.content.decode()], (method, path)
        if "<int" in route and method in ("get", "post"):
            assert answer.status_code in (404, 405), (method, path)


@pytest.mark.parametrize("route", [route for route in api_routes() if "<int:job_id>" in route])
def test_a_stranger_cannot_tell_a_foreign_id_from_one_that_is_not_there(api, charlie, done_job, route):
    foreign = path_of(route, done_job)
    missing = foreign.replace(str(done_job.pk), str(done_job.pk + 1000))
    for method in ("get", "post"):
        theirs, none = getattr(api(charlie), method)(foreign), getattr(api(charlie), method)(missing)
        assert theirs.status_code == none.status_code
        assert theirs.content.decode().replace(str(done_job.pk), "N") == none.content.decode().replace(
            str(done_job.pk + 1000), "N"
        )


@pytest.mark.parametrize("route", [route for route in api_routes() if route not in OPEN_TO_VISITORS])
def test_a_visitor_gets_401_everywhere(api, done_job, route):
    path = path_of(route, done_job)
    for method in ("get", "post"):
        assert getattr(api(None), method)(path).status_code == 401, (method, path)


@pytest.mark.parametrize(
    "query",
    ["?user={bob}", "?name=acme", "?status=done", "?type=python", "?created_after=2000-01-01T00:00:00Z"],
)
def test_filters_do_not_reach_over(api, charlie, bob, done_job, query):
    assert api(charlie).get("/jobs/" + query.format(bob=bob.pk)).json()["results"] == []


def test_somebody_without_an_organisation_sees_no_jobs(api, done_job):
    loner = User.objects.create_user(username="loner", password="x")
    assert api(loner).get("/jobs/").json()["results"] == []
    assert api(loner).get(f"/jobs/{done_job.pk}").status_code == 404


def test_somebody_deactivated_sees_nothing(api, bob, done_job):
    client = api(bob)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert client.get(f"/jobs/{done_job.pk}").status_code == 401


def test_the_walk_would_notice(api, alice, done_job, secrets):
    """The same walk as a member does meet what the stranger must not see."""
    telling = [
        route
        for route in api_routes()
        if any(text in api(alice).get(path_of(route, done_job)).content.decode() for text in secrets)
    ]
    assert {
        "jobs/",
        "jobs/<int:job_id>",
        "jobs/<int:job_id>/output",
        "analytics/prediction-accuracy",
        "pauses",
        "replays",
        "replays/<int:replay_id>",
        "limits/",
        "limits/queues/<str:queue>",
    } <= set(telling)
