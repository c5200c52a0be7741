"""Every error that leaves the site: one JSON shape for programs, one plain page for people.

    {"error": {"code", "message", "fields"?}}

`problem_of` says what an exception means to the outside. The API comes in by `api_exception_handler`,
everything else by `handler400` to `handler500` (smartqueue.urls) and `render_problem` (middleware).
Nothing here may wait for the database: it may be what went wrong.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelError
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import is_valid_path
from django_ratelimit.exceptions import Ratelimited
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from jobs.database import DATABASE_AWAY, replace_dead_connections
from orgs.exceptions import NotFound, SmartQueueError

RETRY_DATABASE_S = 2
PAGES = ("/dashboard/", "/admin/")

_LONGEST_TEXT = 500
_OUR_CODES = {"permission_denied": "forbidden", "throttled": "rate_limited"}
_TITLES = {400: "Bad request", 403: "Not allowed", 404: "Not found", 409: "Conflict", 413: "Too large"}
_TITLES |= {429: "Too many requests", 500: "Something went wrong", 503: "Not available at the moment"}


@dataclass(frozen=True)
class Problem:
    """What an exception means to the outside."""

    status: int
    code: str
    message: str
    fields: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": _plain(self.message)}
        if self.fields:
            error["fields"] = {
                _plain(name): [_plain(text) for text in texts] for name, texts in self.fields.items()
            }
        return {"error": error}


_BAD_REQUEST = Problem(400, "bad_request", "The request cannot be used as it is.")
_FORBIDDEN = Problem(403, "forbidden", "You are not allowed to do this.")
_NOT_FOUND = Problem(404, "not_found", NotFound().message)
_LEFT = Problem(403, "forbidden", "You no longer belong to this organisation.")
# The constraints by which a row names somebody of its own organisation.
_OF_PEOPLE = ("_user_id_same_org", "_created_by_id_same_org")
INTERNAL = Problem(500, "internal_error", "Something went wrong on our side.")
# In the order of asking: Ratelimited is a PermissionDenied.
_OF_DJANGO: tuple[tuple[type[BaseException], Problem], ...] = (
    (Http404, _NOT_FOUND),
    (
        Ratelimited,
        Problem(429, "rate_limited", "Too many requests: try again later.", headers={"Retry-After": "60"}),
    ),
    (PermissionDenied, _FORBIDDEN),
    (SuspiciousOperation, _BAD_REQUEST),
    (BadRequest, _BAD_REQUEST),
)


def api_exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """For REST_FRAMEWORK["EXCEPTION_HANDLER"]; None leaves a programming error to `handler500`."""
    problem = problem_of(exc)
    if problem is None:
        return None
    set_rollback()
    return Response(problem.body(), status=problem.status, headers=dict(problem.headers))


def problem_of(exc: BaseException | None) -> Problem | None:
    """What `exc` means to the outside; None for an exception that nobody expected."""
    match exc:
        case SmartQueueError():
            return _of_ours(exc)
        case drf.APIException():
            return _of_drf(exc)
        case ModelError():
            detail = exc.message_dict if hasattr(exc, "error_dict") else exc.messages
            return _of_drf(drf.ValidationError(detail))
        case IntegrityError() if _names_who_left(exc):
            return _LEFT
        case _ if isinstance(exc, DATABASE_AWAY):
            replace_dead_connections()
            headers = {"Retry-After": str(RETRY_DATABASE_S)}
            return Problem(503, "database_unavailable", "The database cannot be reached.", headers=headers)
        case _:
            return _of_django(exc)


def _names_who_left(exc: IntegrityError) -> bool:
    """Whoever asked was moved out of the organisation while the request went on: see jobs.migrations.0009."""
    diagnosis = getattr(exc.__cause__, "diag", None)
    return str(getattr(diagnosis, "constraint_name", "")).endswith(_OF_PEOPLE)


def _of_ours(exc: SmartQueueError) -> Problem:
    headers = {}
    if exc.retry_after_s is not None:
        headers["Retry-After"] = str(exc.retry_after_s)
    if exc.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(exc.http_status, exc.code, exc.message, exc.fields, headers)


def _of_drf(exc: drf.APIException) -> Problem:
    if isinstance(exc, drf.ValidationError):
        return _invalid(exc.detail)
    code = exc.get_codes()
    code = code if isinstance(code, str) else exc.default_code
    headers = {}
    if header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    return Problem(exc.status_code, _OUR_CODES.get(code, code), str(exc.detail), headers=headers)


def _of_django(exc: BaseException | None) -> Problem | None:
    if isinstance(exc, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return Problem(413, "too_large", f"The body of the request is too large: at most {limit} bytes.")
    if isinstance(exc, BadRequest) and str(exc):
        return Problem(400, "bad_request", str(exc))
    found = (problem for kind, problem in _OF_DJANGO if isinstance(exc, kind))
    return next(found, None)


def _invalid(detail: Any) -> Problem:
    fields = flatten(detail)
    name, texts = next(iter(fields.items()), ("body", ["It cannot be used as it is."]))
    others = sum(len(errors) for errors in fields.values()) - 1
    more = f" ({others} more in `fields`.)" if others > 0 else ""
    return Problem(400, "invalid", f"{name}: {texts[0] if texts else 'invalid'}{more}", fields)


def flatten(detail: Any, path: str = "") -> dict[str, list[str]]:
    """DRF's nested errors as {"dotted.path": ["error", ...]}; what belongs to no field is "body"."""
    if isinstance(detail, Mapping):
        parts = [_part(key, value) for key, value in detail.items()]
    elif isinstance(detail, list | tuple):
        parts = [_part(index, value) for index, value in enumerate(detail)]
    else:
        return {path or "body": [str(detail)]}
    flat: dict[str, list[str]] = {}
    for name, value in parts:
        for key, texts in flatten(value, ".".join(filter(None, (path, name)))).items():
            flat.setdefault(key, []).extend(texts)
    return flat


def _part(key: Any, value: Any) -> tuple[str, Any]:
    """A number names an item of a list, but not one of several errors of the same field."""
    nameless = key == api_settings.NON_FIELD_ERRORS_KEY or (isinstance(key, int) and isinstance(value, str))
    return "" if nameless else str(key), value


def handler400(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render_problem(request, _of_django(exception) or _BAD_REQUEST)


def handler403(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render_problem(request, _of_django(exception) or _FORBIDDEN)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For settings.CSRF_FAILURE_VIEW."""
    message = "The form has expired or came from another site: go back, reload the page and try again."
    return render_problem(request, Problem(403, "forbidden", message))


def handler404(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    message = _NOT_FOUND.message
    if request.resolver_match is None and (path := _path_with_other_slash(request.path_info)):
        message = f"There is nothing at this path: use {path} instead."
    return render_problem(request, Problem(404, "not_found", message))


def handler500(request: HttpRequest) -> HttpResponse:
    """Django calls this while the exception is being handled, so `sys.exc_info` still has it."""
    exc = sys.exc_info()[1]
    problem = problem_of(exc) if isinstance(exc, DATABASE_AWAY) else None
    return render_problem(request, problem or INTERNAL)


def render_problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A page under /dashboard/ and /admin/, JSON everywhere else."""
    if not is_page(request.path_info):
        return JsonResponse(problem.body(), status=problem.status, headers=dict(problem.headers))
    title = _TITLES.get(problem.status, "Error")
    context = {"status": problem.status, "title": title, "message": problem.message}
    # Without the request: context processors would look for the session, and that is in the database.
    html = render_to_string("errors/error.html", context)
    return HttpResponse(html, status=problem.status, headers=dict(problem.headers))


def is_page(path: str) -> bool:
    return path.startswith(PAGES)


def _path_with_other_slash(path: str) -> str:
    other = path[:-1] if path.endswith("/") else f"{path}/"
    return other if other and is_valid_path(other) else ""


def _plain(text: str) -> str:
    """Input is quoted in errors: it may be huge, or hold halves of surrogate pairs that no encoding takes."""
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
