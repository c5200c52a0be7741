"""The REST views of pauses, of telling workers what to do, and of replays: parse, call, render."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import control, control_selectors, replays, selectors
from jobs.control_serializers import (
    PauseBodySerializer,
    PauseSerializer,
    ReplayBodySerializer,
    ReplayProgressSerializer,
    ReplaySerializer,
    wanted,
)
from jobs.models import Pause, Replay, Worker
from jobs.serializers import JobSerializer, WorkerSerializer
from orgs import roles
from orgs.api import answers
from orgs.pagination import IdCursorPagination
from orgs.scoping import OrgAPIMixin, org_of
from orgs.selectors import organization_of
from orgs.serializers import StrictSerializer


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
        responses={200: PauseSerializer, **answers(201, PauseSerializer, 400, 401, 403, 404)},
        summary="Pause a queue, a job type, or everything (org admins)",
        description="In force at once: no worker takes such jobs until the pause is deleted; those that run go on. "
        "201 with the pause; 200 with the first one when the same is paused already.",
        tags=["control"],
        operation_id="pauses_create",
    )
    def post(self, request: Request) -> Response:
        body = checked(PauseBodySerializer, request)
        org_id = body.get("org_id")
        pause, new = control.pause_once(
            user=self.user,
            org=None if org_id is None else organization_of(user=self.user, org_id=org_id),
            queue=body.get("queue"),
            type=body.get("type"),
            reason=body.get("reason", ""),
        )
        return Response(PauseSerializer(pause).data, status=201 if new else 200)


class PauseView(OrgAPIMixin, APIView):
    @extend_schema(
        responses=answers(204, None, 401, 403, 404),
        summary="End a pause",
        tags=["control"],
        operation_id="pauses_delete",
    )
    def delete(self, request: Request, pause_id: int) -> Response:
        control.resume(user=self.user, pause=control_selectors.pause(self.user, pause_id))
        return Response(status=204)


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


class JobReplayView(OrgAPIMixin, APIView):
    @extend_schema(
        request=None,
        responses=answers(201, JobSerializer, 400, 401, 403, 404, 409),
        summary="Submit a job again that has ended",
        description="A new job with the same submission, without the idempotency key; `replay_of` leads back.",
        tags=["jobs"],
        operation_id="jobs_replay",
    )
    def post(self, request: Request, job_id: int) -> Response:
        made = replays.replay(job=selectors.job(self.user, job_id), user=self.user)
        return Response(JobSerializer(made).data, status=201)


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, ReplaySerializer(many=True), 400, 401, 403),
        summary="The bulk replays of your organisation, newest first",
        tags=["jobs"],
        operation_id="replays_list",
    )
)
class ReplayListView(OrgAPIMixin, ListAPIView[Replay]):
    action_needed = {"GET": roles.JOBS_READ, "POST": roles.JOBS_REPLAY_MANY}
    serializer_class = ReplaySerializer
    pagination_class = IdCursorPagination
    queryset = Replay.objects.none()

    def get_queryset(self) -> QuerySet[Replay]:
        return control_selectors.bulk_replays(self.user)

    @extend_schema(
        request=ReplayBodySerializer,
        responses=answers(202, ReplaySerializer, 400, 401, 403),
        summary="Replay all dead letters that match, at a rate (org admins)",
        description="Replays the jobs that have ended by now, oldest first and in lane low, one bulk replay of an "
        "organisation after the other. A job that was replayed already is left out, unless that replay was "
        "cancelled: its replay stands for it, and is a dead letter of its own when it fails.",
        tags=["jobs"],
        operation_id="replays_create",
    )
    def post(self, request: Request) -> Response:
        body = checked(ReplayBodySerializer, request)
        made = replays.start(
            org=org_of(self.user), user=self.user, wanted=wanted(body), rate_per_s=body["rate_per_s"]
        )
        return Response(ReplaySerializer(made).data, status=202)


class ReplayView(OrgAPIMixin, APIView):
    action_needed = {"GET": roles.JOBS_READ}

    @extend_schema(
        responses=answers(200, ReplayProgressSerializer, 401, 403, 404),
        summary="One bulk replay and its progress",
        tags=["jobs"],
        operation_id="replays_get",
    )
    def get(self, request: Request, replay_id: int) -> Response:
        return Response(ReplayProgressSerializer(control_selectors.bulk_replay(self.user, replay_id)).data)


class ReplayCancelView(OrgAPIMixin, APIView):
    @extend_schema(
        request=None,
        responses=answers(200, ReplaySerializer, 401, 403, 404, 409),
        summary="End a bulk replay; the jobs that it has submitted stay",
        tags=["jobs"],
        operation_id="replays_cancel",
    )
    def post(self, request: Request, replay_id: int) -> Response:
        replay = control_selectors.bulk_replay(self.user, replay_id)
        return Response(ReplaySerializer(replays.cancel(replay=replay, user=self.user)).data)


def checked(shape: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """The body of a request; none at all is an empty one. Raises ValidationError."""
    body = shape(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)
