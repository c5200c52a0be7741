"""The short way of `POST /jobs/`: what programs send all day is answered without REST framework's view.

It takes the plain case alone (smartqueue.plain_http), does through the same functions what
jobs.api.JobListView does with it, and writes the jobs of simultaneous requests together
(smartqueue.group_commit). Whatever is unusual or wrong goes on to the view, body and all, and is answered there.
tests/smartqueue/test_quick_submit.py holds both ways equal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from rest_framework.renderers import JSONRenderer

from jobs import services, submission
from jobs.api import submission_values
from jobs.database import DATABASE_AWAY, lost_the_session, use_own_session
from jobs.models import Job
from jobs.serializers import job_for
from jobs.submission import Submission
from orgs import api_limits, bearers, jwt, request_facts, roles, walls
from orgs.bearers import Bearer
from orgs.exceptions import RateLimited, SmartQueueError
from orgs.models import User
from smartqueue import parsers
from smartqueue.errors import INTERNAL, problem_of
from smartqueue.group_commit import GroupCommit
from smartqueue.plain_http import Counters, Headers, headers_of_view, plain_headers, replayed, whole_body

logger = logging.getLogger(__name__)

PATH = "/jobs/"
LARGEST_GROUP = 100
WRITERS = 1  # each keeps a connection; with more of them the groups are smaller and cost more
# A job that has to wait for somebody's lock must not hold up those that came with it: they go on by themselves.
LIMITS = {"lock_timeout": "100ms", "statement_timeout": "5s"}

# It hands sessions from one client to another, and would hand settings on with them.
_BEHIND_POOLER = bool(settings.DATABASE_DIRECT_URL)


@dataclass(frozen=True, slots=True)
class Stored:
    """A job, and the user who is told of it."""

    user: User
    job: Job


Answer = Stored | Exception | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A checked submission, and whom the token that came with it stands for."""

    bearer: Bearer
    submission: Submission


class Unusual(Exception):
    """The request is for the view to answer."""


class QuickSubmit:
    """ASGI application for HTTP around `application`, which gets all other requests."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._group: GroupCommit[Wanted, Answer] = GroupCommit(
            _write, most=LARGEST_GROUP, threads=WRITERS, prepare=_use_own_session
        )
        self._headers = headers_of_view(PATH)
        self._count = Counters(PATH)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != PATH or scope["method"] != "POST" or not (headers := plain_headers(scope)):
            await self._application(scope, receive, send)
            return
        began = time.perf_counter()
        body = await whole_body(receive)
        if body is None:
            return
        try:
            answer = await self._group.add(_wanted(headers, body))
        except Unusual:
            answer = None
        if answer is None:
            await self._application(scope, replayed(body, receive), send)
            return
        status, content, more = _rendered(answer)
        request_id = request_facts.request_id(headers[b"x-request-id"].decode("latin-1")).encode()
        of_this = ((b"X-Request-ID", request_id), (b"Content-Length", str(len(content)).encode()))
        head = [*self._headers, *of_this, *more]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": content})
        self._count(status, len(body), len(content), time.perf_counter() - began)


def _wanted(headers: Headers, body: bytes) -> Wanted:
    scheme, _, token = headers[b"authorization"].decode("latin-1").partition(" ")
    key = headers[b"idempotency-key"].decode("latin-1") or None
    if scheme.lower() != "bearer":
        raise Unusual
    try:
        bearer = bearers.bearer_of(token.strip())
        values = submission_values(parsers.loads(body), key)
        return Wanted(bearer, submission.parse(values, timeout_s=settings.JOB_TIMEOUT_S))
    except (jwt.InvalidToken, SmartQueueError, ValueError, RecursionError):
        raise Unusual from None


def _rendered(answer: Stored | Exception) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body, and the headers that belong to it."""
    if isinstance(answer, Stored):
        shown = JSONRenderer().render(job_for(answer.user, answer.job))
        return 201 if answer.job.was_created else 200, shown, []
    problem = problem_of(answer)
    if problem is None:
        logger.error("action=quick_submit_failed", exc_info=answer)
        problem = INTERNAL
    more = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    return problem.status, JSONRenderer().render(problem.body()), more


def _write(group: Sequence[Wanted]) -> list[Answer]:
    """Runs in a thread of the group commit. None: the view has to answer, and nothing is stored for it."""
    answers: list[Answer] = [None] * len(group)
    within: dict[int, services.Asked] = {}
    try:
        users = _users({wanted.bearer for wanted in group})
        asked = {
            place: services.Asked(user.org, user, wanted.submission)
            for place, wanted in enumerate(group)
            if (user := users.get(wanted.bearer)) and user.org and user.may(roles.JOBS_SUBMIT)
        }
        refused = _counted(asked)
        within = {place: one for place, one in asked.items() if place not in refused}
        with walls.only(*{user.org_id for user in users.values()}), _whole_or_nothing(group):
            stored = services.submit_each(list(within.values()), wait=False)
        for (place, one), answer in zip(within.items(), stored, strict=True):
            assert one.user is not None
            answers[place] = Stored(one.user, answer) if isinstance(answer, Job) else answer
        for place, refusal in refused.items():
            answers[place] = refusal
    except Exception as error:
        if _is_refusal(error):
            for one in within.values():
                api_limits.give_back(one.user)  # the view counts them again
            return [None] * len(group)  # nothing is stored: each is tried by itself
        # Not tried again: whether the jobs were committed before the connection broke is not known.
        connection.close()
        return [error] * len(group)
    return answers


def _counted(asked: Mapping[int, services.Asked]) -> dict[int, RateLimited]:
    """The refusals of those that are over the limit of their user or organisation, by place."""
    refused = {}
    for place, one in asked.items():
        try:
            api_limits.count(one.user)
        except RateLimited as error:
            refused[place] = error
    return refused


@contextmanager
def _whole_or_nothing(group: Sequence[Wanted]) -> Iterator[None]:
    """Keys can take several statements; without them the jobs are stored by one."""
    keys = any(wanted.submission.idempotency_key is not None for wanted in group)
    with transaction.atomic() if keys or _BEHIND_POOLER else nullcontext():
        if _BEHIND_POOLER:
            with connection.cursor() as cursor:
                cursor.execute("; ".join(f"SET LOCAL {name} = '{value}'" for name, value in LIMITS.items()))
        yield


def _is_refusal(error: Exception) -> bool:
    """Whether the database is there and has not stored the group: a bad value, a lock, a limit of time."""
    if isinstance(error, OperationalError):
        return not lost_the_session(error)
    return isinstance(error, (IntegrityError, DataError))


def _use_own_session() -> None:
    """A connection outside the pool, so that nobody else ever gets one with LIMITS."""
    use_own_session(
        "" if _BEHIND_POOLER else " ".join(f"-c {name}={value}" for name, value in LIMITS.items())
    )


def _users(asking: set[Bearer]) -> dict[Bearer, User]:
    """Tried twice, for a second time does no harm: this thread keeps its connection, which may have died meanwhile."""
    try:
        return bearers.open_users(asking)
    except DATABASE_AWAY:
        connection.close()
        return bearers.open_users(asking)
