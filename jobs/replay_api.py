"""The REST views of replays, of one job and of many: parse, call, render."""

from __future__ import annotations

from dataclasses import fields

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import replay_selectors, replays, selectors
from jobs.models import Replay
from jobs.replay_serializers import (
    ReplayBodySerializer,
    ReplayProgressSerializer,
    ReplaySerializer,
    wanted,
)
from jobs.serializers import JobSerializer, job_for
from orgs import roles
from orgs.api import answers
from orgs.pagination import IdCursorPagination
from orgs.queries import checked_body, refuse_no_body
from orgs.scoping import OrgAPIMixin
from orgs.selectors import organization_of


class JobReplayView(OrgAPIMixin, APIView):
    action_of_keys = {"POST": roles.JOBS_SUBMIT}

    @extend_schema(
        request=None,
        responses=answers(201, JobSerializer, 400, 401, 403, 404, 409, 429),
        summary="Submit a job again that has ended",
        description="A new job with the same submission, without the idempotency key; `replay_of_id` leads back.",
        tags=["jobs"],
        operation_id="jobs_replay",
    )
    def post(self, request: Request, job_id: int) -> Response:
        made = replays.replay(job=selectors.job(self.user, job_id), user=self.user)
        return Response(job_for(self.user, made), status=201)


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
        return replay_selectors.bulk_replays(self.user)

    @extend_schema(
        request=ReplayBodySerializer,
        responses=answers(202, ReplaySerializer, 400, 401, 403, 404),
        summary="Replay all dead letters that match, at a rate (org admins)",
        description="Replays the jobs that have ended by now, oldest first and in lane low, one bulk replay of an "
        "organisation after the other. A job that was replayed already is left out, unless that replay was "
        "cancelled: its replay stands for it, and is a dead letter of its own when it fails. The body is "
        '`{"filter": {...}, "rate_per_s": 1}`; parts of the filter: '
        f"{', '.join(f'`{part.name}`' for part in fields(replays.ReplayFilter))}; {replays.DEFAULT_RATE:g} jobs a "
        "second unless `rate_per_s` is given. Send `{}` to replay every dead letter; a request without a body is 400.",
        tags=["jobs"],
        operation_id="replays_create",
    )
    def post(self, request: Request) -> Response:
        refuse_no_body(request, "replay every dead letter")
        body = checked_body(ReplayBodySerializer, request)
        org_id = body.get("org_id")
        made = replays.start(
            org=None if org_id is None else organization_of(user=self.user, org_id=org_id),
            user=self.user,
            wanted=wanted(body),
            rate_per_s=body["rate_per_s"],
        )
        return Response(ReplaySerializer(made, context={"request": request}).data, status=202)


class ReplayView(OrgAPIMixin, APIView):
    action_needed = {"GET": roles.JOBS_READ}

    @extend_schema(
        responses=answers(200, ReplayProgressSerializer, 401, 403, 404),
        summary="One bulk replay and its progress",
        tags=["jobs"],
        operation_id="replays_get",
    )
    def get(self, request: Request, replay_id: int) -> Response:
        replay = replay_selectors.bulk_replay(self.user, replay_id)
        context = {"request": request, "ahead": replay_selectors.remaining(replay)}
        return Response(ReplayProgressSerializer(replay, context=context).data)


class ReplayCancelView(OrgAPIMixin, APIView):
    action_of_keys = {"POST": roles.JOBS_REPLAY_MANY}

    @extend_schema(
        request=None,
        responses=answers(200, ReplaySerializer, 401, 403, 404, 409),
        summary="End a bulk replay; the jobs that it has submitted stay",
        tags=["jobs"],
        operation_id="replays_cancel",
    )
    def post(self, request: Request, replay_id: int) -> Response:
        replay = replay_selectors.bulk_replay(self.user, replay_id)
        ended = replays.cancel(replay=replay, user=self.user)
        return Response(ReplaySerializer(ended, context={"request": request}).data)
