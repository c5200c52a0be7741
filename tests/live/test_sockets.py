"""Who may open a socket, what it sends, and when it is closed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.urls import path
from django.utils import timezone

from analytics.live import AnalyticsLive
from jobs import claims, leases, output, services
from jobs.live import JobLive, JobsLive, LimitsLive, WorkersLive
from jobs.models import Job, Worker
from orgs import listening, live, roles
from orgs.live import LiveView, OrgConsumer
from orgs.models import Organization, User
from tests.conftest import PASSWORD, make_user
from tests.live.conftest import OpenSocket, listeners
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

Submit = Callable[..., Job]
LIST = "/live/dashboard/"


async def in_database(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return await database_sync_to_async(function)(*arguments, **named)


@pytest.mark.parametrize(
    "path", [LIST, "/live/dashboard/workers/", "/live/dashboard/analytics/", "/live/elsewhere"]
)
async def test_a_visitor_is_refused(open_socket: OpenSocket, path: str) -> None:
    assert not await (await open_socket(path)).connect()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
async def test_pages_of_other_sites_are_refused(open_socket: OpenSocket, bob: User, origin: str) -> None:
    assert not await (await open_socket(LIST, bob, origin=origin)).connect()


@pytest.mark.parametrize("path", ["/live/dashboard/jobs/99/", "/live/dashboard/nothing/", "/dashboard/"])
async def test_what_does_not_exist_is_refused(open_socket: OpenSocket, bob: User, path: str) -> None:
    assert not await (await open_socket(path, bob)).connect()


async def test_a_strangers_job_is_refused(
    open_socket: OpenSocket, bob: User, charlie: User, submit: Submit
) -> None:
    job = await in_database(submit, bob)
    assert await (await open_socket(f"/live/dashboard/jobs/{job.pk}/", bob)).connect()
    assert not await (await open_socket(f"/live/dashboard/jobs/{job.pk}/", charlie)).connect()


async def test_somebody_without_an_organisation_is_refused(open_socket: OpenSocket) -> None:
    loner = await in_database(make_user, "loner", roles.USER, None)
    assert not await (await open_socket(LIST, loner)).connect()


@pytest.mark.parametrize(
    ("path", "view"),
    [
        ("/dashboard/", JobsLive()),
        ("/dashboard/?status=queued&type=python&q=n", JobsLive()),
        ("/dashboard/jobs/{job}/", JobLive()),
        ("/dashboard/workers/", WorkersLive()),
        ("/dashboard/limits/", LimitsLive()),
        ("/dashboard/analytics/", AnalyticsLive()),
    ],
)
async def test_what_a_page_shows_is_what_its_socket_sends(
    open_socket: OpenSocket, bob: User, submit: Submit, path: str, view: LiveView
) -> None:
    job = await in_database(submit, bob, name="<one> & more")
    await in_database(_three_hours_ago, job)
    path = path.format(job=job.pk)
    kwargs = {"job_id": job.pk} if isinstance(view, JobLive) else {}
    fragments = await in_database(view.render, bob, QueryDict(path.partition("?")[2]), **kwargs)

    client = await in_database(_client_of, bob)
    page = (await in_database(client.get, path)).text
    socket = await open_socket(f"/live{path}", bob)
    assert await socket.connect()
    sent = await socket.next()

    assert [name for name, html in fragments.items() if html not in page] == []
    assert sent == "".join(fragments.values())


@pytest.mark.usefixtures("_no_tick")
async def test_a_changed_job_appears(open_socket: OpenSocket, bob: User, submit: Submit) -> None:
    socket = await open_socket(LIST, bob)
    assert await socket.connect()
    await socket.until("There are no jobs yet.")
    job = await in_database(submit, bob, name="fresh")
    await socket.until("fresh")
    await in_database(services.cancel, job=job, user=bob)
    message = await socket.until('<span class="badge badge-cancelled">')
    assert "fresh" in message


@pytest.mark.usefixtures("_fast_tick")
async def test_the_page_of_a_job_follows_it_to_its_end(
    open_socket: OpenSocket, bob: User, submit: Submit
) -> None:
    job = await in_database(submit, bob, type="shell", payload={"command": "true"})
    socket = await open_socket(f"/live/dashboard/jobs/{job.pk}/", bob)
    assert await socket.connect()
    await socket.until("ready, waiting for a worker")
    await in_database(claims.claim, worker_id="w", types=["shell"], limit=1, lease_s=60)
    await socket.until("claimed by a worker")
    await in_database(output.append, [output.Line(job.pk, 1, 1, "stdout", "half way")])
    only_output = await socket.until("half way")
    assert 'id="job-header"' not in only_output
    ended = claims.Finish(job.pk, 1, "done", 5.0, result={"scores": {"accuracy": 0.5}})
    await in_database(leases.finish, worker_id="w", ended=[ended])
    await socket.until("accuracy")


@pytest.mark.usefixtures("_fast_tick")
async def test_heartbeats_are_seen_without_a_notification(open_socket: OpenSocket, bob: User) -> None:
    socket = await open_socket("/live/dashboard/workers/", bob)
    assert await socket.connect()
    await in_database(Worker.objects.create, worker_id="w", hostname="node-7", pid=1, concurrency=4)
    assert 'id="leader"' not in await socket.until("node-7")


@pytest.mark.usefixtures("_no_tick")
async def test_a_stranger_gets_nothing_of_acme(
    open_socket: OpenSocket, bob: User, charlie: User, submit: Submit
) -> None:
    socket, member = await open_socket(LIST, charlie), await open_socket(LIST, bob)
    assert await socket.connect()
    assert await member.connect()
    await in_database(submit, bob, name="secret of acme")
    await member.until("secret of acme")
    await in_database(submit, charlie, name="globex marker")
    await socket.until("globex marker")
    assert [message for message in socket.received if "acme" in message.lower()] == []


@pytest.mark.usefixtures("_no_tick")
async def test_a_platform_admin_follows_all_organisations(
    open_socket: OpenSocket, root_admin: User, bob: User, charlie: User, submit: Submit
) -> None:
    socket = await open_socket(LIST, root_admin)
    assert await socket.connect()
    await in_database(submit, bob, name="of acme")
    await socket.until("of acme")
    await in_database(submit, charlie, name="of globex")
    await socket.until("of globex")


@pytest.mark.usefixtures("_no_tick")
async def test_the_listener_comes_back_after_its_connection_was_cut(
    open_socket: OpenSocket, bob: User, submit: Submit
) -> None:
    socket = await open_socket(LIST, bob)
    assert await socket.connect()
    await in_database(submit, bob, name="before")
    await socket.until("before")
    first = await in_database(lambda: wait_until(listeners))
    await in_database(_cut_and_submit, first, bob, submit)
    await socket.until("in the gap")
    second = await in_database(lambda: wait_until(listeners))
    assert set(first).isdisjoint(second)
    await in_database(submit, bob, name="after")
    await socket.until("after")


async def test_sockets_of_one_process_share_one_listener(
    open_socket: OpenSocket, bob: User, charlie: User
) -> None:
    sockets = [await open_socket(LIST, user) for user in (bob, bob, charlie)]
    for socket in sockets:
        assert await socket.connect()
    assert len(await in_database(lambda: wait_until(listeners))) == 1
    for socket in sockets[:2]:
        await socket.close()
    assert len(await in_database(listeners)) == 1
    await sockets[2].close()
    await in_database(lambda: wait_until(lambda: not listeners()))


@pytest.mark.usefixtures("_fast_tick")
@pytest.mark.parametrize(
    "ending",
    [
        "logout",
        "expiry",
        "new password",
        "deactivation",
        "other organisation",
        "no organisation",
        "suspended organisation",
        "organisation to be deleted",
    ],
)
async def test_a_socket_ends_with_what_allowed_it(
    open_socket: OpenSocket, bob: User, globex: Organization, ending: str
) -> None:
    socket = await open_socket(LIST, bob)
    assert await socket.connect()
    await in_database(_end, ending, bob, globex)
    assert await socket.close_code() == live.ENDED


@pytest.mark.usefixtures("_fast_tick")
async def test_the_socket_of_a_deleted_job_ends(open_socket: OpenSocket, bob: User, submit: Submit) -> None:
    job = await in_database(submit, bob)
    socket = await open_socket(f"/live/dashboard/jobs/{job.pk}/", bob)
    assert await socket.connect()
    await in_database(job.delete)
    assert await socket.close_code() == live.ENDED


@pytest.mark.usefixtures("_fast_tick")
async def test_a_socket_ends_with_the_role_that_its_page_needs(open_socket: OpenSocket, alice: User) -> None:
    socket = await open_socket("/live/dashboard/limits/", alice, to=_limits_of_org_admins())
    assert await socket.connect()
    await in_database(User.objects.filter(pk=alice.pk).update, role=roles.USER)
    assert await socket.close_code() == live.ENDED


@pytest.mark.parametrize("state", ["suspended organisation", "organisation to be deleted"])
async def test_members_of_a_closed_organisation_are_refused(
    open_socket: OpenSocket, bob: User, globex: Organization, state: str
) -> None:
    await in_database(_end, state, bob, globex)
    assert not await (await open_socket(LIST, bob)).connect()


async def test_a_socket_looks_again_in_time() -> None:
    """Sockets end within 60 s of what allowed them: they look on each tick, notified or not."""
    assert live.TICK_S + live.LiveView.min_interval_s <= 30


@pytest.mark.usefixtures("_fast_tick")
async def test_a_new_role_is_seen_by_an_open_socket(
    open_socket: OpenSocket, bob: User, submit: Submit
) -> None:
    job = await in_database(submit, bob)
    socket = await open_socket(f"/live/dashboard/jobs/{job.pk}/", bob)
    assert await socket.connect()
    await socket.until("/cancel/")
    await in_database(User.objects.filter(pk=bob.pk).update, role=roles.VIEWER)
    assert "/cancel/" not in await socket.until('id="job-header"')


@pytest.mark.usefixtures("_no_tick")
async def test_a_burst_of_changes_is_sent_together_and_its_end_is_shown(
    open_socket: OpenSocket, bob: User, submit: Submit
) -> None:
    socket = await open_socket(LIST, bob)
    assert await socket.connect()
    await in_database(lambda: [submit(bob, name=f"job {number}.") for number in range(40)])
    await socket.until("job 39.")
    assert len(socket.received) < 20


async def test_a_connection_that_the_server_gives_up_leaves_nothing(
    open_socket: OpenSocket, bob: User
) -> None:
    socket = await open_socket(LIST, bob)
    assert await socket.connect()
    assert await in_database(lambda: wait_until(listeners))
    await socket.vanish()
    await in_database(lambda: wait_until(lambda: not listeners(), message="the listener ends"))


async def test_notifications_that_are_no_organisation_are_left_alone(
    open_socket: OpenSocket, bob: User, submit: Submit
) -> None:
    socket = await open_socket(LIST, bob)
    assert await socket.connect()
    await in_database(lambda: wait_until(listeners))
    await in_database(_notify, "", "x", "-1", "1; DROP TABLE jobs_job", "٣", "9" * 50)
    await in_database(submit, bob, name="still live")
    await socket.until("still live")


class OrgAdminsOnly(LimitsLive):
    action_needed = roles.MEMBERS_MANAGE


def _limits_of_org_admins() -> Any:
    route = path("live/dashboard/limits/", OrgConsumer.as_asgi(view=OrgAdminsOnly()))
    return AuthMiddlewareStack(URLRouter([route]))


def _three_hours_ago(job: Job) -> None:
    """Ages in words do not change between two looks."""
    then = timezone.now() - timedelta(hours=3, minutes=30)
    Job.objects.filter(pk=job.pk).update(created_at=then, queued_at=then)


def _client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def _cut_and_submit(pids: list[int], user: User, submit: Submit) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [pids])
    submit(user, name="in the gap")


def _notify(*payloads: str) -> None:
    with connection.cursor() as cursor:
        for payload in payloads:
            cursor.execute("SELECT pg_notify(%s, %s)", [listening.CHANNEL, payload])


def _end(what: str, user: User, other: Organization) -> None:
    match what:
        case "logout":
            Session.objects.all().delete()
        case "expiry":
            Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
        case "new password":
            user.set_password(PASSWORD + "!")
            user.save()
        case "deactivation":
            User.objects.filter(pk=user.pk).update(is_active=False)
        case "other organisation":
            User.objects.filter(pk=user.pk).update(org=other)
        case "no organisation":
            User.objects.filter(pk=user.pk).update(org=None)
        case "suspended organisation":
            Organization.objects.filter(pk=user.org_id).update(suspended_at=timezone.now())
        case "organisation to be deleted":
            Organization.objects.filter(pk=user.org_id).update(delete_at=timezone.now() + timedelta(days=1))
