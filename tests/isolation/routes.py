"""Every address of the site, and what is asked there: ids of the other organisation in paths, queries and bodies.

A route, parameter or field that is not in these tables fails test_known.py, which says where to add it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from rest_framework.views import APIView

from jobs import states
from jobs.payloads import JOB_TYPES
from tests.isolation.world import World

Values = Callable[[World], list[Any]]


@dataclass(frozen=True)
class Route:
    """One address: its name with namespaces, its template, and the names of the places in it."""

    name: str
    template: str
    places: tuple[str, ...]
    pattern: URLPattern

    @property
    def is_api(self) -> bool:
        return issubclass(getattr(self.pattern.callback, "cls", object), APIView)

    def paths(self, far: World) -> list[str]:
        """With the ids of the other organisation in each place."""
        paths = [f"/{self.template}"]
        for place in self.places:
            paths = [
                path.replace(marker, str(value))
                for path in paths
                for value in PLACES[place](far)
                for marker in [
                    f"<{kind}{place}>" for kind in ("int:", "str:", "path:", "") if f"<{kind}{place}>" in path
                ]
            ]
        return paths


def all_routes() -> list[Route]:
    return list(_routes(get_resolver().url_patterns, "", ()))


def _routes(
    patterns: list[URLPattern | URLResolver], prefix: str, spaces: tuple[str, ...]
) -> Iterator[Route]:
    for pattern in patterns:
        template = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = (*spaces, pattern.namespace) if pattern.namespace else spaces
            yield from _routes(pattern.url_patterns, template, inner)
        else:
            name = ":".join((*spaces, pattern.name or f"({template})"))
            yield Route(name, template, tuple(pattern.pattern.converters), pattern)


def _id(model: str) -> Values:
    return lambda far: [far.id_of(model)]


PLACES: dict[str, Values] = {
    "job_id": lambda far: [far.jobs[status].pk for status in ("queued", "failed")],
    "org_id": _id("organization"),
    "user_id": _id("user"),
    "invitation_id": _id("invitation"),
    "key_id": _id("apikey"),
    "pause_id": _id("pause"),
    "replay_id": _id("replay"),
    "limit_id": _id("limit"),
    "queue": lambda far: [far.text("queue")],
    "worker_id": lambda far: ["worker-1"],
}

_TIMES = ["2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"]
_PAGES = ["1", "9999", "x"]

# The parameters of the OpenAPI schema.
PARAMETERS: dict[str, Values] = {
    "cursor": lambda far: [str(far.brand.first + 5), "x", "cD05NDAwMDAwMDAwMDE="],
    "page_size": lambda far: _PAGES,
    "created_after": lambda far: _TIMES,
    "created_before": lambda far: _TIMES,
    "since": lambda far: _TIMES,
    "until": lambda far: _TIMES,
    "lane": lambda far: ["fast", "normal"],
    "name": lambda far: [far.brand.word, far.text("key"), "*"],
    "queue": lambda far: [far.text("queue")],
    "status": lambda far: list(states.MEANING),
    "tag": lambda far: [far.text("tag")],
    "type": lambda far: list(JOB_TYPES),
    "user": lambda far: [far.boss.pk, far.viewer.pk],
    "org_id": lambda far: [far.org.pk],
    "org": lambda far: [far.org.pk],
    "action": lambda far: ["job.cancel", "job.*"],
    "request_id": lambda far: [far.text("request")],
    "target": lambda far: [far.text("target"), far.brand.word],
    "minutes": lambda far: [5, 60, 1440],
    "days": lambda far: [1, 30],
    "after": lambda far: ["1:0", "0:0", "x"],
    "attempt": lambda far: [1],
    "limit": lambda far: [1, 500],
    "Idempotency-Key": lambda far: [far.text("idempotency-queued")],
}


def _job(far: World, **more: Any) -> dict[str, Any]:
    values = {"name": far.text("job-queued"), "type": "shell", "payload": {"command": "true"}}
    return {
        **values, "queue": far.text("queue"), "tags": [far.text("tag")], "concurrency_key": far.text("key"),
        "idempotency_key": far.text("idempotency-queued"), **more,
    }  # fmt: skip


def _bounds(far: World) -> list[Any]:
    return [{"max_running": 5}, {"rate_count": 3, "rate_period_s": 60}]


# What is sent to the API, by the name of the address: for each method that takes a body, among others each field of
# the schema at least once.
BODIES: dict[str, Values] = {
    "auth-register": lambda far: [
        {"username": far.boss.username, "password": "x", "email": far.boss.email},
        {"username": far.boss.username, "password": "correct horse battery"},
    ],
    "auth-login": lambda far: [{"username": far.boss.username, "password": "wrong horse battery"}],
    "auth-refresh": lambda far: [{"refresh_token": far.text("refresh-hash")}],
    "auth-logout": lambda far: [{"refresh_token": far.text("refresh-hash")}],
    "invitations-accept": lambda far: [{"token": far.text("invitation-hash")}],
    "jobs": lambda far: [_job(far), _job(far, replay_of=far.id_of("job"), org_id=far.org.pk, user=far.boss.pk)],
    "jobs-bulk": lambda far: [
        {"jobs": [_job(far)], "all_or_nothing": True},
        {"jobs": [_job(far), _job(far, org_id=far.org.pk)], "all_or_nothing": False},
    ],
    "limits-key": _bounds,
    "limits-queue": _bounds,
    "limits-org": lambda far: [*_bounds(far), {"max_queued": 9}],
    "orgs-create": lambda far: [{"name": far.org.name}, {"name": "Another"}],
    "orgs-one": lambda far: [
        {"weight": 9, "job_types": ["shell"], "granted_running": 1, "granted_queued": 1, "retention_days": 1}
    ],
    "orgs-invite": lambda far: [{"username": far.boss.username, "role": "user"}],
    "orgs-suspend": lambda far: [{"reason": "because"}],
    "orgs-me": lambda far: [{"name": far.org.name}, {"viewers_see_content": False}, {"id": far.org.pk, "name": "New"}],
    "orgs-me-hand-over": lambda far: [{"user_id": far.boss.pk}, {"user_id": far.viewer.pk}],
    "orgs-me-invitations": lambda far: [{"role": "user", "note": far.boss.username, "expires_in_h": 5}],
    "orgs-me-keys": lambda far: [
        {"name": far.text("keyname"), "scopes": ["jobs:read"], "expires_in_days": 5},
        {"name": "n", "scopes": ["jobs:read"], "user_id": far.boss.pk, "org_id": far.org.pk},
    ],
    "orgs-me-member": lambda far: [{"role": "viewer"}, {"role": "org_admin"}],
    "pauses": lambda far: [
        {"queue": far.text("queue"), "type": "shell", "reason": "r"},
        {"org_id": far.org.pk, "queue": far.text("queue")},
        {"org_id": far.org.pk},
    ],
    "predictor-predict": lambda far: [{"job_type": "shell", "history": [1.0, 2.0]}],
    "replays": lambda far: [
        {"filter": {"name": far.brand.word}, "rate_per_s": 5},
        {"filter": {"tag": far.text("tag"), "queue": far.text("queue")}, "rate_per_s": 5},
        {"filter": {"error_contains": far.brand.word}, "org_id": far.org.pk, "rate_per_s": 5},
    ],
}  # fmt: skip
# A failed login is noted where it was tried, and nowhere else may a visitor's request write.
WRITES_ELSEWHERE = dict.fromkeys(("auth-login", "login", "admin:login"), "orgs_auditentry orgs_audithead")

# Addresses of the API that take no body of their own: they are sent an empty one, and one that names everything.
BODILESS = {
    "schema", "docs", "auth-users", "orgs-me-restore", "orgs-me-leave", "orgs-me-members", "orgs-me-invitation",
    "orgs-resume", "orgs-me-audit", "orgs-me-key", "jobs-workers", "jobs-scheduler-leader", "jobs-get", "jobs-cancel",
    "jobs-replay", "jobs-output", "jobs-executions", "jobs-explain", "jobs-events", "pauses-delete", "limits", "shares",
    "replays-get", "replays-cancel", "workers", "workers-pause", "workers-resume", "workers-drain", "analytics-summary",
    "analytics-throughput", "analytics-accuracy", "analytics-eta-calibration", "analytics-queue-depth",
    "analytics-scheduler-leader", "predictor-models", "predictor-accuracy",
}  # fmt: skip


def everything_named(far: World) -> dict[str, Any]:
    """A body that names what it can of the other organisation."""
    return {
        "org_id": far.org.pk, "org": far.org.pk, "user": far.boss.pk, "user_id": far.boss.pk, "id": far.id_of("job"),
        "job_id": far.id_of("job"), "username": far.boss.username, "queue": far.text("queue"), "confirm": far.org.name,
    }  # fmt: skip


# Pages: what is posted to them. A field of a form that is in no table fails test_known.py.
FORMS: dict[str, Values] = {
    "login": lambda far: [{"username": far.boss.username, "password": "wrong horse battery", "next": "/dashboard/"}],
    "logout": lambda far: [{}],
    "page-see-as-stop": lambda far: [{}, {"org": far.org.pk}],
    "page-register": lambda far: [
        {"username": far.boss.username, "email": far.boss.email, "password": "correct horse battery", "next": "/"}
    ],
    "page-join": lambda far: [{"token": far.text("invitation-hash")}],
    "page-organisation": lambda far: [
        {"name": far.org.name, "viewers_see_content": "on"},
        {"org": far.org.pk, "name": "New"},
    ],
    "page-organisation-new": lambda far: [{"name": far.org.name}, {"name": "Another"}],
    "page-member": lambda far: [{"role": "viewer"}, {"role": "org_admin"}],
    "page-member-remove": lambda far: [{}],
    "page-invite": lambda far: [{"role": "user", "note": far.boss.username, "expires_in_h": "5"}],
    "page-invitation-revoke": lambda far: [{}],
    "page-leave": lambda far: [{}, {"org": far.org.pk}],
    "page-hand-over": lambda far: [{"member": far.boss.pk}, {"member": far.viewer.pk}],
    "page-organisation-delete": lambda far: [{"confirm": far.org.name}, {"confirm": "x"}],
    "page-organisation-restore": lambda far: [{}],
    "page-keys": lambda far: [{}],
    "page-key-new": lambda far: [
        {"name": far.text("keyname"), "scopes": ["jobs:read"], "expires_in_days": "5", "user": far.boss.pk}
    ],
    "page-key-revoke": lambda far: [{}],
    "page-jobs": lambda far: [{}],
    "page-job-new": lambda far: [
        {
            "name": far.text("job-queued"), "type": "shell", "lane": "normal", "queue": far.text("queue"),
            "tags": far.text("tag"), "delay": "0", "payload": '{"command": "true"}', "org": far.org.pk,
        }
    ],
    "page-job": lambda far: [{}],
    "page-job-cancel": lambda far: [{}],
    "page-job-replay": lambda far: [{}],
    "page-pause": lambda far: [
        {"reach": reach, "org": far.org.name, "queue": far.text("queue"), "type": "shell", "reason": "r"}
        for reach in ("own", "org", "all")
    ],
    "page-resume": lambda far: [{}],
    "page-limits": lambda far: [{}],
    "page-limit-new": lambda far: [
        {
            "org": far.org.name, "scope": scope, "name": name, "max_running": "5", "rate_count": "3",
            "rate_period_s": "60", "max_queued": "" if scope != "org" else "9",
        }
        for scope, name in (("org", ""), ("queue", far.text("queue")), ("key", far.text("key")))
    ],
    "page-limit": lambda far: [
        {
            "org": far.org.name, "scope": "queue", "name": far.text("queue"), "max_running": "5", "rate_count": "3",
            "rate_period_s": "60", "max_queued": "",
        }
    ],
    "page-limit-remove": lambda far: [{}],
    "page-replay-many": lambda far: [
        {
            "org": far.org.name, "type": "shell", "queue": far.text("queue"), "name": far.brand.word,
            "tag": far.text("tag"), "finished_after": "", "finished_before": "", "error_contains": "",
            "rate_per_s": "5",
        }
    ],
    "page-replay-cancel": lambda far: [{}],
    "page-workers": lambda far: [{}],
    "page-worker-pause": lambda far: [{}],
    "page-worker-resume": lambda far: [{}],
    "page-worker-drain": lambda far: [{}],
    "page-analytics": lambda far: [{}],
    "()": lambda far: [{}],
    "healthz": lambda far: [{}],
    "readyz": lambda far: [{}],
    "metrics": lambda far: [{}],
}  # fmt: skip
# What pages read from their address.
QUERIES: dict[str, Values] = {
    "status": lambda far: ["queued", "failed"],
    "type": lambda far: ["shell"],
    "queue": lambda far: [far.text("queue")],
    "tag": lambda far: [far.text("tag")],
    "q": lambda far: [far.brand.word, "e"],
    "name": lambda far: [far.text("key")],
    "before": lambda far: [far.brand.first + 999_999],
    "after": lambda far: [far.brand.first],
    "org": lambda far: [far.org.pk, far.org.name],
    "member": lambda far: [far.boss.pk],
    "job": lambda far: [far.id_of("job")],
    "token": lambda far: [far.text("invitation-hash")],
    "next": lambda far: ["/dashboard/"],
    "scope": lambda far: ["key"],
    "range": lambda far: ["24h"],
}


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """The OpenAPI schema by (name of the address, METHOD), with the fields of each body as `fields`."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    names = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{route.template}"): route.name for route in all_routes()}
    return {
        (names[path], method.upper()): {**asked, "fields": _fields(asked, schema)}
        for path, methods in schema["paths"].items()
        for method, asked in methods.items()
    }


def _fields(asked: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    content = asked.get("requestBody", {}).get("content", {})
    found = next(iter(content.values()), {}).get("schema", {})
    return set(_resolved(found, schema).get("properties", {}))


def _resolved(found: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in found:
        return _resolved(schema["components"]["schemas"][found["$ref"].rpartition("/")[2]], schema)
    if "oneOf" in found:
        parts = [_resolved(part, schema) for part in found["oneOf"]]
        return {"properties": {name: None for part in parts for name in part.get("properties", {})}}
    return found
