"""The short way of POST /jobs/ answers as the view does, and leaves to the view what is not plain."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg
import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.db.models.functions import Now
from prometheus_client import REGISTRY
from pytest_django import Settings

from jobs import queue_room, submission, submitting
from jobs.models import Job, JobEvent, Limit
from orgs import api_keys, tokens
from orgs.exceptions import NoOrganization
from orgs.models import ApiKey, Organization, User
from smartqueue import quick_submit
from smartqueue.asgi import django_application
from smartqueue.quick_submit import PATH, WRITERS, QuickSubmit
from tests.processes import database_url
from tests.smartqueue.asgi_client import Answer, request
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

T = TypeVar("T")
PLAIN = {"name": "noop", "type": "python", "payload": {"function": "noop"}}
OF_THE_MOMENT = ("id", "created_at", "run_at")


class Watched:
    """The application behind the short way: counts what it gets."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await django_application(scope, receive, send)


class Ways:
    """Sends requests either way."""

    def __init__(self) -> None:
        self.view = Watched()
        self.quick = QuickSubmit(self.view)

    async def post(self, application: Any, user: User | None, body: Any = PLAIN, **options: Any) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **options.get("headers", {})}
        if user is not None:
            headers.setdefault("authorization", f"Bearer {tokens.issue_access_token(user)}")
        return await request(application, "POST", options.get("path", PATH), body=content, headers=headers)

    async def both(self, user: User | None, body: Any = PLAIN, **options: Any) -> tuple[Answer, Answer]:
        """The answer of the short way and that of the view, which must be equal but for the moment."""
        quick = await self.post(self.quick, user, body, **options)
        view = await self.post(django_application, user, body, **options)
        assert quick.status == view.status
        assert _lasting(quick) == _lasting(view)
        for answer in (quick, view):
            assert int(answer.headers.pop("content-length")) == len(answer.body)
            assert answer.headers.pop("x-request-id")
        assert quick.headers == view.headers
        return quick, view


def _lasting(answer: Answer) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name not in OF_THE_MOMENT}


@database_sync_to_async
def stored_jobs() -> list[int]:
    return list(Job.objects.order_by("pk").values_list("pk", flat=True))


@database_sync_to_async
def stored_events() -> list[Any]:
    return list(JobEvent.objects.order_by("pk").values("new_status", "reason", "actor"))


def in_writers(ways: Ways, call: Callable[[], T]) -> list[T]:
    """What `call` returns in each thread of the group commit."""
    meet = threading.Barrier(WRITERS)

    def called() -> T:
        meet.wait(10)
        return call()

    threads = ways.quick._group._threads
    return [answer.result() for answer in [threads.submit(called) for _ in range(WRITERS)]]


def _close() -> None:
    connection.close()  # the one of the thread that this runs in


def _backend() -> int:
    connection.ensure_connection()
    return int(connection.connection.info.backend_pid)


@pytest.fixture
def ways(transactional_db: None) -> Iterator[Ways]:
    made = Ways()
    yield made
    in_writers(made, _close)
    made.quick._group._threads.shutdown()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "été \U0001f40d", "lane": "high", "max_retries": 0, "timeout_s": 1.5},
        {"run_at": "2037-01-31T08:00:00+01:00", "tags": ["a", "b"], "queue": "slow"},
        {"type": "shell", "payload": {"command": "echo hello"}},
    ],
)
async def test_plain_submission_is_answered_as_by_the_view(ways: Ways, bob: User, fields: Any) -> None:
    quick, view = await ways.both(bob, {**PLAIN, **fields})
    assert (quick.status, ways.view.asked) == (201, 0)
    rows = {job.pk: job async for job in Job.objects.order_by("pk")}
    assert list(rows) == [quick.json()["id"], view.json()["id"]]
    events = [
        event async for event in JobEvent.objects.order_by("pk").values("new_status", "reason", "actor")
    ]
    assert len(events) == 2
    assert events[0] == events[1]


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (400, {"body": b"{"}),
        (400, {"body": b"[]"}),
        (400, {"body": b'{"name": NaN}'}),
        (400, {"body": b"\xff"}),
        (400, {"body": b"[" * 8_000}),
        (400, {"body": {**PLAIN, "name": ""}}),
        (400, {"body": {**PLAIN, "nmae": "x"}}),
        (400, {"body": {**PLAIN, "payload": {}}}),
        (400, {"headers": {"idempotency-key": ""}}),
        (400, {"headers": {"host": "elsewhere.example"}}),
        (401, {"headers": {"authorization": "Bearer x.y.z"}}),
        (401, {"headers": {"authorization": "Basic eDp5"}}),
        (406, {"headers": {"accept": "text/html"}}),
        (415, {"headers": {"content-type": "text/plain"}}),
    ],
)
async def test_what_is_wrong_is_refused_by_the_view(
    ways: Ways, bob: User, status: int, options: dict[str, Any]
) -> None:
    quick = await ways.post(ways.quick, bob, options.pop("body", PLAIN), **options)
    assert (quick.status, ways.view.asked) == (status, 1)
    assert await stored_jobs() == []


async def test_whoever_may_not_submit_is_refused_by_the_view(
    ways: Ways, vera: User, root_admin: User, charlie: User
) -> None:
    await database_sync_to_async(User.objects.filter(pk=charlie.pk).update)(is_active=False)
    people = (vera, root_admin, charlie, None)
    statuses = [(await ways.both(user))[0].status for user in people]
    assert statuses == [403, NoOrganization().http_status, 401, 401]
    assert await stored_jobs() == []


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"cookie": "theme=dark"}},
        {"headers": {"content-type": "application/json; charset=latin-1"}},
        {"path": f"{PATH}?x=1"},
        {"body": json.dumps(PLAIN).encode().ljust(8 * 1024 + 1)},
    ],
)
async def test_what_is_not_plain_is_stored_by_the_view(
    ways: Ways, bob: User, options: dict[str, Any]
) -> None:
    quick = await ways.post(ways.quick, bob, options.pop("body", PLAIN), **options)
    assert (quick.status, ways.view.asked) == (201, 1)
    assert len(await stored_jobs()) == 1


async def test_repeated_key_finds_the_first_job(ways: Ways, bob: User) -> None:
    headers = {"idempotency-key": "monday"}
    answers = [await ways.post(ways.quick, bob, headers=headers) for _ in range(2)]
    other = await ways.post(ways.quick, bob, {**PLAIN, "name": "other"}, headers=headers)
    assert [answer.status for answer in (*answers, other)] == [201, 200, 409]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert other.json()["error"]["code"] == "idempotency_conflict"
    assert ways.view.asked == 0
    await ways.both(bob, headers=headers)
    await ways.both(bob, {**PLAIN, "name": "other"}, headers=headers)


async def test_key_in_the_header_meets_none_in_the_body(ways: Ways, bob: User) -> None:
    body, headers = {**PLAIN, "idempotency_key": None}, {"idempotency-key": "monday"}
    answers = [await ways.post(way, bob, body, headers=headers) for way in (ways.quick, django_application)]
    assert [answer.status for answer in answers] == [201, 200]
    assert answers[0].json()["idempotency_key"] == "monday"
    assert ways.view.asked == 0


async def test_a_key_is_taken_as_a_token_is(ways: Ways, bob: User, alice: User) -> None:
    """With its scopes; a key that lacks one, or is none, is refused by the view."""

    def key_of(user: User, scope: str) -> str:
        return api_keys.create(user=user, name="nightly", scopes=[scope])[1]

    writes = await database_sync_to_async(key_of)(bob, "jobs:write")
    reads = await database_sync_to_async(key_of)(alice, "jobs:read")
    headers = {
        name: {"authorization": f"Bearer {key}"} for name, key in (("writes", writes), ("reads", reads))
    }
    quick, _ = await ways.both(None, headers=headers["writes"])
    assert (quick.status, quick.json()["user_id"], ways.view.asked) == (201, bob.pk, 0)
    posts = [
        ways.post(ways.quick, user, headers=headers.get(name, {}))
        for user, name in ((None, "writes"), (bob, ""))
    ]
    assert [answer.status for answer in await asyncio.gather(*posts)] == [201, 201]
    assert ways.view.asked == 0
    used = await database_sync_to_async(ApiKey.objects.exclude(last_used_at=None).count)()
    assert used == 1
    assert (await ways.both(None, headers=headers["reads"]))[0].status == 403
    unknown = {"authorization": f"Bearer {writes[:-1]}{'b' if writes[-1] == 'a' else 'a'}"}
    assert (await ways.both(None, headers=unknown))[0].status == 401
    await database_sync_to_async(ApiKey.objects.update)(revoked_at=Now())
    assert (await ways.both(None, headers=headers["writes"]))[0].status == 401


async def test_members_of_a_closed_organisation_are_refused_by_the_view(ways: Ways, bob: User) -> None:
    await database_sync_to_async(Organization.objects.update)(suspended_at=Now())
    quick, _ = await ways.both(bob)
    assert (quick.status, quick.json()["error"]["code"]) == (401, "organization_suspended")
    assert await stored_jobs() == []


async def test_simultaneous_requests_get_a_job_each(
    ways: Ways, alice: User, bob: User, charlie: User, vera: User
) -> None:
    people = [alice, bob, charlie, vera] * 8
    answers = await asyncio.gather(
        *(ways.post(ways.quick, user, {**PLAIN, "name": f"job-{n}"}) for n, user in enumerate(people))
    )
    stored = [answer.json() for answer in answers if answer.status == 201]
    assert len(stored) == 24
    assert {(row["name"], row["user_id"], row["org_id"]) for row in stored} == {
        (f"job-{n}", user.pk, user.org_id) for n, user in enumerate(people) if user != vera
    }
    assert sorted(row["id"] for row in stored) == await stored_jobs()


async def test_simultaneous_requests_with_one_key_get_one_job(ways: Ways, bob: User) -> None:
    headers = {"idempotency-key": "monday"}
    answers = await asyncio.gather(*(ways.post(ways.quick, bob, headers=headers) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await stored_jobs()) == 1


def _administrator() -> psycopg.Connection[Any]:
    return psycopg.connect(**connection.get_connection_params(), autocommit=True)


async def test_connection_that_died_while_idle_costs_nobody_an_error(ways: Ways, bob: User) -> None:
    assert (await ways.post(ways.quick, bob)).status == 201
    with _administrator() as other:
        for pid in in_writers(ways, _backend):
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert (await ways.post(ways.quick, bob)).status == 201


async def test_connection_that_dies_at_the_write_is_not_tried_again(ways: Ways, bob: User) -> None:
    pids = in_writers(ways, _backend)
    waits = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event_type = 'Lock'"
    with _administrator() as other, other.transaction():
        other.execute("LOCK TABLE jobs_job IN ACCESS EXCLUSIVE MODE")
        asked = asyncio.create_task(ways.post(ways.quick, bob))
        with _administrator() as watcher:
            await asyncio.to_thread(
                wait_until, lambda: watcher.execute(waits, [pids]).fetchone(), message="it waits"
            )
            waiting = watcher.execute(waits, [pids]).fetchone()
            watcher.execute("SELECT pg_terminate_backend(%s, 5000)", waiting)
        answer = await asked
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"]["code"] == "database_unavailable"
    assert ways.view.asked == 0
    assert (await ways.post(ways.quick, bob)).status == 201


@pytest.fixture(params=[False, True])
def behind_pooler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(quick_submit, "_BEHIND_POOLER", request.param)
    return bool(request.param)


async def test_lock_of_one_organisation_holds_up_no_other(
    behind_pooler: bool, ways: Ways, bob: User, charlie: User
) -> None:
    await ways.post(ways.quick, charlie)
    with _administrator() as other, other.transaction():
        other.execute("SELECT FROM orgs_organization WHERE id = %s FOR UPDATE", [bob.org_id])
        held = asyncio.create_task(ways.post(ways.quick, bob))
        answers = await asyncio.gather(*(ways.post(ways.quick, charlie) for _ in range(3)))
        assert [answer.status for answer in answers] == [201] * 3
        assert not held.done()
    assert (await held).status == 201
    assert len(await stored_jobs()) == 5
    assert ways.view.asked > 0


async def test_a_full_queue_is_told_alike_and_refuses_nobody_else(
    ways: Ways, bob: User, charlie: User
) -> None:
    await database_sync_to_async(Limit.objects.create)(org=bob.org, scope="org", max_queued=3)
    posts = [ways.post(ways.quick, person) for person in [bob, charlie] * 6]
    answers = await asyncio.gather(*posts)
    assert sorted(answer.status for answer in answers[::2]) == [201] * 3 + [429] * 3
    assert [answer.status for answer in answers[1::2]] == [201] * 6
    quick, _ = await ways.both(bob)
    assert quick.status == 429
    assert quick.json()["error"]["code"] == "queue_full"
    assert quick.headers["retry-after"] == "5"


async def test_one_organisation_being_counted_holds_up_no_other(
    ways: Ways, bob: User, charlie: User, acme: Organization
) -> None:
    """The group does not wait for who submits for it elsewhere: the view does."""
    await database_sync_to_async(Limit.objects.create)(org=acme, scope="org", max_queued=3)
    with psycopg.connect(database_url(), autocommit=True) as session, session.transaction():
        orgs = {"orgs": [acme.pk], "most": None, "wait": True, "lock_class": queue_room._LOCK_CLASS}
        session.execute(queue_room._LOCK, orgs)
        ours = asyncio.create_task(ways.post(ways.quick, bob))
        theirs = await asyncio.gather(*(ways.post(ways.quick, charlie) for _ in range(5)))
        assert [answer.status for answer in theirs] == [201] * 5
        assert not ours.done()
    assert (await ours).status == 201


async def test_limits_of_the_writers_are_theirs_alone(ways: Ways, bob: User) -> None:
    def limits() -> tuple[Any, ...]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
            return tuple(cursor.fetchone())

    assert in_writers(ways, limits) == [("100ms", "5s")] * WRITERS
    in_writers(ways, _close)
    assert await database_sync_to_async(limits)() == ("0", "0")
    assert in_writers(ways, limits) == [("100ms", "5s")] * WRITERS


async def test_group_that_fails_half_way_is_stored_once(
    ways: Ways, bob: User, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is taken, so its holder is looked for: that fails, after the job of the other was stored."""
    headers = {"idempotency-key": "monday"}
    await ways.post(ways.quick, bob, headers=headers)
    monkeypatch.setattr(submitting, "_HOLDERS", "SELECT 1 / 0")
    group = [
        quick_submit.Wanted(user.pk, submission.parse({**PLAIN, **fields}))
        for user, fields in ((bob, {"idempotency_key": "monday"}), (charlie, {}))
    ]
    answers = await asyncio.wrap_future(ways.quick._group._threads.submit(quick_submit._write, group))
    assert answers == [None, None]
    assert len(await stored_jobs()) == 1


async def test_both_ways_are_counted_alike(ways: Ways, bob: User, acme: Organization) -> None:
    def counts() -> dict[Any, float]:
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
            if metric.name.startswith("django_http") and sample.name.endswith(("_total", "_count"))
        }

    async def grown_by(application: Any) -> dict[Any, float]:
        before = counts()
        await ways.post(application, bob)
        return {key: grown for key, value in counts().items() if (grown := value - before.get(key, 0.0))}

    quick = await grown_by(ways.quick)
    assert quick == await grown_by(django_application)
    assert ("django_http_responses_total_by_status_total", ("status", "201")) in quick


@pytest.mark.parametrize("limit", ["RATE_USER", "RATE_ORG"])
async def test_a_rate_limit_holds_for_both_ways_together(
    ways: Ways, bob: User, settings: Settings, limit: str
) -> None:
    """A window of a year has no edge today."""
    setattr(settings, limit, "3/365d")
    codes = [(await ways.post(to, bob)).status for to in (ways.quick, django_application, ways.quick)]
    assert codes == [201, 201, 201]
    quick, view = await ways.post(ways.quick, bob), await ways.post(django_application, bob)
    for answer in (quick, view):
        assert answer.status == 429
        assert answer.json()["error"]["code"] == "rate_limited"
        assert int(answer.headers["retry-after"]) >= 1
    assert len(await stored_jobs()) == 3
    assert ways.view.asked == 0


async def test_what_the_view_answers_instead_is_counted_once(
    ways: Ways, bob: User, settings: Settings
) -> None:
    settings.RATE_USER = "3/365d"
    wrong = [(await ways.post(ways.quick, bob, {**PLAIN, "type": "none"})).status for _ in range(2)]
    assert wrong == [400, 400]
    assert [(await ways.post(ways.quick, bob)).status for _ in range(2)] == [201, 429]
