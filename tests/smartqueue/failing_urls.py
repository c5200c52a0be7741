"""Paths that fail in every way, under the API and under the pages. For test_errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django_ratelimit.exceptions import Ratelimited
from psycopg_pool import PoolTimeout
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs.exceptions import Conflict, Forbidden, InvalidCredentials, InvalidInput, NoOrganization, RateLimited
from smartqueue.errors import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500"]

FAULTS: dict[str, Callable[[], BaseException]] = {
    "bad-request": lambda: BadRequest("The query is odd."),
    "suspicious": lambda: SuspiciousOperation("secret detail"),
    "too-big": lambda: RequestDataTooBig("secret detail"),
    "denied": lambda: PermissionDenied("secret detail"),
    "drf-denied": lambda: drf.PermissionDenied("No."),
    "http404": lambda: Http404("secret detail"),
    "drf-404": drf.NotFound,
    "throttled": lambda: drf.Throttled(wait=7.2),
    "ratelimited": Ratelimited,
    "our-limit": lambda: RateLimited(retry_after_s=9),
    "forbidden": Forbidden,
    "no-org": NoOrganization,
    "conflict": lambda: Conflict("It is so already.", fields={"name": ["taken"]}),
    "credentials": InvalidCredentials,
    "invalid": lambda: InvalidInput(fields={"payload.url": ["Expected a URL."]}),
    "model": lambda: ModelError({"name": ["Too long.", "Too odd."]}),
    "model-flat": lambda: ModelError("Contradictory."),
    "nested": lambda: drf.ValidationError(
        {"a": {"b": ["x"]}, "items": [{}, {"c": ["y", "z"]}], "non_field_errors": ["n"]}
    ),
    "flat": lambda: drf.ValidationError("whole"),
    "quoting": lambda: drf.ValidationError({"\ud800": ["\ud800" + "long" * 1000]}),
    "operational": lambda: OperationalError("password=secret"),
    "interface": lambda: InterfaceError("connection already closed"),
    "pool": lambda: PoolTimeout("no connection after 3 s"),
    "bug": lambda: KeyError("secret detail"),
}


class FailingView(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, fault: str) -> Response:
        raise FAULTS[fault]()

    def post(self, request: Request, fault: str) -> Response:
        return Response(request.data)


def failing_page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    raise FAULTS[kwargs["fault"]]()


def fine(request: HttpRequest) -> HttpResponse:
    return HttpResponse("fine")


urlpatterns = [
    path("api/with/", fine),
    path("api/without", fine),
    path("api/fail/<str:fault>", FailingView.as_view()),
    path("dashboard/with/", fine),
    path("dashboard/fail/<str:fault>", failing_page),
    path("plain/<str:fault>", failing_page),
]
