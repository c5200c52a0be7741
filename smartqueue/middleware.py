"""What is done to every request beside Django's own: facts for the audit log, bad characters refused, slashes, errors
of pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponseBase
from django.middleware.common import CommonMiddleware

from orgs import request_facts
from orgs.exceptions import SmartQueueError
from orgs.limits import address_of
from smartqueue.errors import DATABASE_AWAY, Problem, is_page, problem_of, render_problem

_NO_LENGTH = Problem(
    411, "length_required", "Send the body with a Content-Length; Transfer-Encoding: chunked is not accepted."
)
EXPECTED = (SmartQueueError, PermissionDenied, BadRequest, IntegrityError, *DATABASE_AWAY)


class FactsMiddleware:
    """Has `orgs.request_facts` know the request; answers its id as `X-Request-ID`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_facts.request_id(request.headers.get("X-Request-ID", ""))
        with request_facts.during(request_facts.RequestFacts(ip=address_of(request), request_id=request_id)):
            response = self._get_response(request)
        response["X-Request-ID"] = request_id
        return response


class SiteMiddleware(CommonMiddleware):
    """Takes the place of Django's CommonMiddleware."""

    def process_request(self, request: HttpRequest) -> Any:
        if _has_nul(request):
            raise BadRequest("NUL characters are not accepted.")
        if not is_page(request.path_info) and _has_body_without_length(request):
            return render_problem(request, _NO_LENGTH)
        return super().process_request(request)

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        """Only people are redirected; a redirect would lose a program's body (see errors.handler404)."""
        return is_page(f"{request.path_info}/") and super().should_redirect_with_slash(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Errors that the API's own handler has not seen: those of pages. Django would log a traceback."""
        if isinstance(exception, EXPECTED) and (problem := problem_of(exception)):
            return render_problem(request, problem)
        return None


def _has_nul(request: HttpRequest) -> bool:
    """PostgreSQL stores no NUL, so one that reached a query would end in a server error.

    Bodies are checked by the fields of serializers and forms. Quoted cookies may hold one as an octal escape.
    """
    if "%00" in request.META.get("QUERY_STRING", ""):
        return True
    return any("\0" in text for text in (request.path_info, *request.COOKIES.values()))


def _has_body_without_length(request: HttpRequest) -> bool:
    """REST framework reads such a body as an empty one."""
    return "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH")
