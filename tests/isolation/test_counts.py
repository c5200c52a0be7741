"""No number tells of others: every answer is the same, whether they have a few rows or many more."""

from __future__ import annotations

import re

import pytest
from django.db import connection, transaction
from django.utils import timezone

from analytics import shared
from jobs.models import Job
from tests.isolation import routes
from tests.isolation.conftest import FILTERED, WALL_ALONE
from tests.isolation.walking import Walker, bearer

pytestmark = pytest.mark.django_db
MORE = 137
# What is another one in each answer, and tells nothing.
NOISE = re.compile(
    r'name="csrfmiddlewaretoken" value="\w+"|nonce[-=]"?[\w+/=-]+"?|"request_id": ?"[\w-]+"|"(?:as_of|now)": ?"[^"]+"'
    r"|[&?]cursor=[\w%=-]+|\b\d\d:\d\d:\d\d(?:\.\d+)?|\b\d+(?:\.\d+)? (?:ms|s|seconds?)\b"
)
# How full the platform is concerns everybody; these say nothing of whose jobs they are.
OF_THE_PLATFORM = {"metrics", "readyz"}


@pytest.mark.parametrize("walker", [("boss", FILTERED), ("boss", WALL_ALONE)], indirect=True)
def test_answers_do_not_depend_on_what_others_have(walker: Walker, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    before = _answers(walker)
    with transaction.atomic():
        _multiply(walker)
        after = _answers(walker)
        transaction.set_rollback(True)
    for path in before:
        assert after[path].splitlines() == before[path].splitlines(), path
    walker.found.clear()
    assert len(before) > 60


def _answers(walker: Walker) -> dict[str, str]:
    """What is read at every address without an id of others, by its path."""
    client, found = walker.client, {}
    for route in routes.all_routes():
        if route.name in OF_THE_PLATFORM or route.template.startswith("admin/^") or "<" in route.template:
            continue
        if route.name.startswith("admin:(") or "logout" in route.name or route.name == "admin:app_list":
            continue
        if route.is_api:
            bearer(walker, walker.home.boss)
        else:
            walker.client, walker.headers = client, {}
        shared.clear()
        path = f"/{route.template}"
        found[path] = NOISE.sub("", walker.ask("GET", path).getvalue().decode())
    walker.client, walker.headers = client, {}
    return found


def _multiply(walker: Walker) -> None:
    """Many more jobs of every status, executions, members, limits, pauses, keys, samples and entries of others."""
    far = walker.far
    unique = {"idempotency_key": "null", "name": "t.name || n"}
    _copy("jobs_job", far.org.pk, {"id": f"t.id + 1000000 + n * {len(far.jobs) * 1000}", **unique})
    _copy(
        "jobs_executionlog",
        far.org.pk,
        {"id": "t.id + 2000000 + n * 1000", "attempt": "t.attempt + n", "final": "false"},
    )
    _copy("orgs_user", far.org.pk, {"id": "t.id + 3000000 + n * 1000", "username": "t.username || n"})
    _copy(
        "orgs_apikey",
        far.org.pk,
        {"id": "t.id + 1000000 + n * 1000", "secret_hash": "md5(t.secret_hash || n)"},
    )
    _copy(
        "orgs_invitation",
        far.org.pk,
        {"id": "t.id + 1000000 + n * 1000", "secret_hash": "md5(t.secret_hash || n)"},
    )
    _copy("jobs_pause", far.org.pk, {"id": "t.id + 1000000 + n * 1000", "queue": "t.queue || n"})
    _copy(
        "jobs_limit",
        far.org.pk,
        {"id": "t.id + 1000000 + n * 1000", "name": "t.name || n"},
        "t.scope <> 'org'",
    )
    _copy("analytics_queuesample", far.org.pk, {"id": "t.id + 1000000 + n * 1000"})
    assert Job.objects.filter(org=far.org).count() == len(far.jobs) * (MORE + 1)


def _copy(table: str, org_id: int, changed: dict[str, str], which: str = "true") -> None:
    pairs = ", ".join(f"'{column}', {value}" for column, value in changed.items())
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object({pairs}))).* "
            f"FROM {table} t, generate_series(1, {MORE}) n WHERE t.org_id = %s AND {which}",
            [org_id],
        )
