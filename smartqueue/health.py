"""What probes ask: `/healthz` (the process answers), `/readyz` (it can do its work), `/metrics`, and `/`.

The readiness check opens a connection of its own: a pool that is busy must not take the process out of
service. What makes the queue slow without stopping it is a warning in the answer, which stays 200.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django_prometheus.exports import ExportToDjangoView

from analytics import collectors
from analytics.deadline import Deadline
from analytics.snapshots import oldest_holder
from smartqueue.errors import RETRY_DATABASE_S, Problem, render_problem

logger = logging.getLogger(__name__)

WAIT_S = 3.0
CONNECT_TIMEOUT_S = 2

Missing = dict[str, str]
Warnings = list[dict[str, Any]]
View = Callable[..., HttpResponseBase]


@dataclass(frozen=True)
class Findings:
    """`missing`: {what: a sentence about it}, empty when everything is there."""

    missing: Missing
    warnings: Warnings = field(default_factory=list)


def only_reading(view: View) -> View:
    """A view of a path that programs ask: other methods get 405, and not a word about forms."""

    @csrf_exempt
    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in ("GET", "HEAD"):
            return view(request, *args, **kwargs)
        message = f'Method "{request.method}" not allowed.'
        problem = Problem(405, "method_not_allowed", message, headers={"Allow": "GET, HEAD"})
        return render_problem(request, problem)

    return answer


@only_reading
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@only_reading
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """200, or 503 with what is missing, within `WAIT_S` whatever the database does."""
    found = findings()
    missing = found.missing
    if not missing:
        return JsonResponse({"status": "ready"} | ({"warnings": found.warnings} if found.warnings else {}))
    error = {
        "code": "not_ready",
        "message": " ".join(missing.values()),
        "fields": {name: [sentence] for name, sentence in missing.items()},
    }
    body = {"status": "not ready", "missing": list(missing), "error": error}
    return JsonResponse(body, status=503, headers={"Retry-After": str(RETRY_DATABASE_S)})


@only_reading
def metrics(request: HttpRequest) -> HttpResponse:
    """The registry of this process, with the queue's numbers out of the database."""
    collectors.register()
    return ExportToDjangoView(request)


@only_reading
def home(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/dashboard/")


def findings() -> Findings:
    try:
        return _check.result(WAIT_S)
    except TimeoutError:
        return Findings({"database": f"The database does not answer within {WAIT_S:g} s."})


def _look() -> Findings:
    parameters: dict[str, Any] = {**connection.get_connection_params(), "connect_timeout": CONNECT_TIMEOUT_S}
    try:
        with psycopg.connect(**parameters, autocommit=True) as session:
            missing = _waiting_migrations(session)
            return Findings(missing, [] if missing else _snapshot_warnings(session))
    except psycopg.Error:
        return Findings({"database": "The database cannot be reached."})


def _waiting_migrations(session: psycopg.Connection) -> Missing:
    try:
        rows = session.execute("SELECT app, name FROM django_migrations").fetchall()
    except psycopg.errors.UndefinedTable:
        rows = []
    waiting = _migrations_on_disk() - {(app, name) for app, name in rows}
    if not waiting:
        return {}
    return {"migrations": f"The database lacks {len(waiting)} migration(s): run `manage.py migrate`."}


def _snapshot_warnings(session: psycopg.Connection) -> Warnings:
    try:
        with session.cursor() as cursor:
            holder = oldest_holder(cursor, settings.SNAPSHOT_WARN_S)
    except psycopg.Error as error:
        logger.warning("action=snapshots_unknown error=%s", str(error).strip())
        message = "Whether a transaction keeps dead rows of the queue from being removed is unknown."
        return [{"code": "snapshots_unknown", "message": message}]
    return [] if holder is None else [holder.as_warning()]


@functools.cache
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


_check = Deadline(_look, "readyz")
