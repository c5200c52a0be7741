"""The REST views of pauses and of telling workers what to do: parse, call, render."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import api, control, control_selectors, selectors
from jobs.control_serializers import PauseBodySerializer, PauseSerializer
from jobs.models import Pause, Worker
from jobs.serializers import WorkerListSerializer, WorkerSerializer
from orgs import roles
from orgs.api import answers
from orgs.exceptions import InvalidInput
from orgs.pagination import IdCursorPagination
from orgs.queries import checked_body, refuse_no_body
from orgs.scoping import OrgAPIMixin
from orgs.selectors import organization_of


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, PauseSerializer(many=True), 400, 401, 403),
        summary="What is paused, newest first",
        tags=["control"],
        operation_id="pauses_list",
    )
)
class PauseListView(OrgAPIMixin, ListAPIView[Pause]):
    action_needed = {"GET": roles.JOBS_READ, "POST": roles.QUEUES_PAUSE}
    serializer_class = PauseSerializer
    pagination_class = IdCursorPagination
    queryset = Pause.objects.none()

    def get_queryset(self) -> QuerySet[Pause]:
        return control_selectors.pauses(self.user)

    @extend_schema(
        request=PauseBodySerializer,
        responses={200: PauseSerializer, **answers(201, PauseSerializer, 400, 401, 403, 404, 409)},
        summary="Pause a queue, a job type, or everything (org admins)",
        description="In force at once: no worker takes such jobs until the pause is deleted; those that run go on. "
        "201 with the pause; 200 with the first one when the same is paused already. An organisation has at most "
        f"{control.MOST_PAUSES} pauses: 409. Send `{{}}` to pause everything of it; a request without a body is 400.",
        tags=["control"],
        operation_id="pauses_create",
    )
    def post(self, request: Request) -> Response:
        refuse_no_body(request, "pause everything")
        body = checked_body(PauseBodySerializer, request)
        if self.user.acts_everywhere and "org_id" not in body:
            message = "Say which organisation to pause; null is the whole platform."
            raise InvalidInput(fields={"org_id": [message]})
        org_id = body.get("org_id")
        pause, new = control.pause_once(
            user=self.user,
            org=None if org_id is None else organization_of(user=self.user, org_id=org_id),
            queue=body.get("queue"),
            type=body.get("type"),
            reason=body.get("reason", ""),
        )
        shown = PauseSerializer(pause, context={"request": request})
        return Response(shown.data, status=201 if new else 200)


class PauseView(OrgAPIMixin, APIView):
    action_of_keys = {"DELETE": roles.QUEUES_PAUSE}

    @extend_schema(
        responses=answers(204, None, 401, 403, 404),
        summary="End a pause",
        tags=["control"],
        operation_id="pauses_delete",
    )
    def delete(self, request: Request, pause_id: int) -> Response:
        control.resume(user=self.user, pause=control_selectors.pause(self.user, pause_id))
        return Response(status=204)


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, WorkerListSerializer, 401, 403),
        summary="The worker processes of the platform",
        tags=["platform"],
        operation_id="workers_list",
    )
)
class WorkerListView(api.WorkerListView):
    """The list beside what it is for: telling workers what to do."""


class WorkerControlView(OrgAPIMixin, APIView):
    action_needed = {"POST": roles.WORKERS_CONTROL}
    wanted = ""

    def post(self, request: Request, worker_id: str) -> Response:
        control.set_wanted(user=self.user, worker_id=worker_id, wanted=self.wanted)
        return Response(WorkerSerializer(selectors.workers().get(pk=worker_id)).data)


def _told(summary: str, name: str) -> Any:
    operation = extend_schema(
        request=None,
        responses=answers(200, WorkerSerializer, 401, 403, 404, 409),
        summary=summary,
        tags=["platform"],
        operation_id=f"workers_{name}",
    )
    return extend_schema_view(post=operation)


@_told("Let a worker take no more jobs; those that run go on (platform admins)", "pause")
class WorkerPauseView(WorkerControlView):
    wanted = Worker.PAUSE


@_told("Let a paused worker take jobs again (platform admins)", "resume")
class WorkerResumeView(WorkerControlView):
    wanted = Worker.RUN


@_told("Let a worker take no more jobs and end after those that run (platform admins)", "drain")
class WorkerDrainView(WorkerControlView):
    wanted = Worker.DRAIN
