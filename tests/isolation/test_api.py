"""Every address of the API and every method, with the other organisation's ids in path, query and body."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection
from django.utils.http import urlencode

from jobs.models import Job
from tests.isolation import routes
from tests.isolation.conftest import FILTERED, WALL_ALONE
from tests.isolation.walking import METHODS, Walker, bearer
from tests.isolation.world import fingerprint

pytestmark = pytest.mark.django_db
API = [route for route in routes.all_routes() if route.is_api]
OPERATIONS = routes.operations()


@pytest.fixture
def walker(walker: Walker) -> Walker:
    """By an access token, or by a key: sessions are for pages."""
    if walker.headers:
        return walker
    return bearer(walker, walker.home.viewer if "viewer" in walker.name else walker.home.boss)


def test_nothing_comes_back_and_nothing_changes(walker: Walker) -> None:
    for route in API:
        own = routes.BODIES.get(route.name)
        bodies = [*(own(walker.far) if own else [{}]), routes.everything_named(walker.far)]
        may_write = routes.WRITES_ELSEWHERE.get(route.name, "")
        for path in route.paths(walker.far):
            walker.ask_all(METHODS, path, bodies, may_write=may_write)
    walker.check()


def test_queries(walker: Walker) -> None:
    for route in API:
        for method in ("GET", "PUT", "DELETE"):
            for query in _queries(route.name, method, walker):
                [path, *_] = route.paths(walker.far)
                walker.ask(method, f"{path}?{query}", {"max_running": 5} if method == "PUT" else None)
    walker.check()


def _queries(name: str, method: str, walker: Walker) -> list[str]:
    """Each value of each parameter by itself, and all of them together."""
    parameters = OPERATIONS.get((name, method), {}).get("parameters", [])
    names = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
    values = {name: routes.PARAMETERS[name](walker.far) for name in names}
    single = [urlencode({name: value}) for name in names for value in values[name]]
    together = {name: found[0] for name, found in values.items() if name != "cursor"}
    return [*single, urlencode(together)] if names else []


@pytest.mark.parametrize("walker", [("boss", FILTERED)], indirect=True)
def test_own_rows_are_found_by_the_same_walk(walker: Walker) -> None:
    """Whoever may see the rows is told of them at most addresses, so the walk would notice a leak."""
    own = replace(walker, far=walker.home)
    telling = {
        route.name
        for route in API
        for path in route.paths(own.far)
        if own.leaks(own.ask("GET", path).content.decode(), path)
    }
    assert telling >= {
        "jobs", "jobs-get", "jobs-output", "jobs-executions", "jobs-events", "orgs-me", "orgs-me-members",
        "orgs-me-keys",
        "orgs-me-invitations", "orgs-me-audit", "pauses", "limits", "limits-queue", "limits-org", "shares", "replays",
        "replays-get", "analytics-queue-depth", "analytics-summary",
    }  # fmt: skip


@pytest.mark.parametrize("walker", [("boss", WALL_ALONE)], indirect=True)
def test_without_its_policy_a_table_is_found_by_the_same_walk(walker: Walker) -> None:
    with connection.cursor() as cursor:
        for table in ("jobs_job", "jobs_pause"):
            cursor.execute(f"CREATE POLICY opened ON {table} TO smartqueue_web USING (true)")
    for route in API:
        walker.ask("GET", route.paths(walker.far)[0])
    before = fingerprint(walker.home.org.pk)
    Job.objects.filter(pk=walker.far.id_of("job")).update(lane="low")
    after = fingerprint(walker.home.org.pk)
    found = "\n".join(walker.found)
    assert "GET /jobs/ : 200 tells" in found
    assert {table for table in after if before[table] != after[table]} == {"jobs_job"}
