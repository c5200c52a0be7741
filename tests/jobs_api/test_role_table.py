"""Every role reads jobs today, so only a changed table shows that each door asks it."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.conf import settings
from django.test import Client

from orgs import roles
from orgs.models import User
from smartqueue.asgi import application

PATHS = [
    "/jobs/", "/jobs/{job}", "/jobs/{job}/output", "/jobs/{job}/explain", "/jobs/{job}/executions",
    "/jobs/{job}/events", "/jobs/workers", "/workers/", "/jobs/scheduler/leader", "/pauses", "/replays",
    "/limits/", "/shares/", "/analytics/summary", "/analytics/throughput",
    "/analytics/prediction-accuracy", "/analytics/eta-calibration", "/analytics/queue-depth",
    "/analytics/scheduler-leader", "/predictor/accuracy",
]  # fmt: skip
PAGES = [
    "/dashboard/",
    "/dashboard/jobs/{job}/",
    "/dashboard/workers/",
    "/dashboard/limits/",
    "/dashboard/analytics/",
]


def test_every_action_is_explained_and_given_to_somebody() -> None:
    given = set().union(*roles.ALLOWED.values())
    named = {
        value
        for name, value in vars(roles).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
    assert set(roles.MEANING) == given == named


# What a role needs for each request that changes something.
CONTROLS = [
    ("PUT /limits/org", roles.LIMITS_MANAGE),
    ("DELETE /limits/org", roles.LIMITS_MANAGE),
    ("/jobs/{job}/replay", roles.JOBS_SUBMIT),
    ("/pauses", roles.QUEUES_PAUSE),
    ("/replays", roles.JOBS_REPLAY_MANY),
    ("/workers/{worker}/pause", roles.WORKERS_CONTROL),
    ("/workers/{worker}/resume", roles.WORKERS_CONTROL),
    ("/workers/{worker}/drain", roles.WORKERS_CONTROL),
]


@pytest.mark.parametrize("role", roles.ROLES)
@pytest.mark.parametrize(("path", "action"), CONTROLS)
def test_each_role_may_what_the_table_says(
    api: Any, vera: User, done_job: Any, worker: Any, role: str, path: str, action: str
) -> None:
    User.objects.filter(pk=vera.pk).update(role=role)
    vera.refresh_from_db()
    method, _, path = path.rpartition(" ")
    send = getattr(api(vera), method.lower() or "post")
    answer = send(path.format(job=done_job.pk, worker=worker.pk), {}, format="json")
    assert (answer.status_code == 403) is not roles.may(role, action)
    assert answer.status_code < 500


@pytest.fixture
def blind(vera: User, monkeypatch: pytest.MonkeyPatch) -> User:
    """A member whose role allows everything but to read jobs."""
    others = roles.ALLOWED[roles.ADMIN] - {roles.JOBS_READ}
    monkeypatch.setitem(roles.ALLOWED, roles.VIEWER, others)
    return vera


@pytest.mark.parametrize("path", PATHS)
def test_the_api_asks(api: Any, bob: User, blind: User, done_job: Any, path: str) -> None:
    path = path.format(job=done_job.pk)
    assert api(bob).get(path).status_code in {200, 404}
    answer = api(blind).get(path)
    assert answer.status_code == 403
    assert roles.JOBS_READ in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_ask(blind: User, bob: User, done_job: Any, path: str) -> None:
    for person, status in ((bob, 200), (blind, 403)):
        client = Client()
        client.force_login(person)
        assert client.get(path.format(job=done_job.pk)).status_code == status


async def answer_of_socket(path: str, user: User) -> str:
    client = Client()
    await database_sync_to_async(client.force_login)(user)
    name = settings.SESSION_COOKIE_NAME
    cookie = f"{name}={client.cookies[name].value}".encode()
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"cookie", cookie)]
    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
    socket = ApplicationCommunicator(application, scope)
    await socket.send_input({"type": "websocket.connect"})
    answer = str((await socket.receive_output(10))["type"])
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait(10)
    return answer


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
@pytest.mark.parametrize("path", PAGES)
async def test_sockets_ask(blind: User, bob: User, done_job: Any, path: str) -> None:
    """A socket that is closed before it opened is answered with 403."""
    path = "/live" + path.format(job=done_job.pk)
    assert await answer_of_socket(path, bob) == "websocket.accept"
    assert await answer_of_socket(path, blind) == "websocket.close"
