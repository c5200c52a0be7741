"""The REST views of jobs: parse, call a service or selector, render. No rule of the queue lives here."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import content, openapi, selectors, services
from jobs.models import ExecutionLog, Job, JobEvent
from jobs.serializers import (
    LARGE,
    EventSerializer,
    ExecutionSerializer,
    JobDetailSerializer,
    JobListItemSerializer,
    JobQuerySerializer,
    JobSerializer,
    LeaderSerializer,
    OutputQuerySerializer,
    OutputSerializer,
    WorkerListSerializer,
    job_for,
    job_in_detail,
)
from jobs.submission import Submission
from orgs import roles
from orgs.api import answers
from orgs.exceptions import InvalidInput, NotFound
from orgs.pagination import IdCursorPagination, OldestFirst
from orgs.queries import checked_query
from orgs.scoping import OrgAPIMixin, org_of

READ = {"GET": roles.JOBS_READ}
MOST_UNKNOWN = 20
MOST_WORKERS = 1000


class JobPages(IdCursorPagination):
    max_page_size = 100


class ContentMixin(OrgAPIMixin):
    """For lists of what holds content: their serializers hide it where the user may not see it."""

    def get_serializer_context(self) -> dict[str, Any]:
        context: dict[str, Any] = super().get_serializer_context()  # type: ignore[misc]
        return context | content.context_for(self.user)


@extend_schema_view(
    get=extend_schema(
        parameters=[JobQuerySerializer],
        responses=answers(200, JobListItemSerializer(many=True), 400, 401, 403),
        summary="The jobs of your organisation, newest first",
        description="Without `result`: GET /jobs/{id} answers it.",
        tags=["jobs"],
        operation_id="jobs_list",
    )
)
class JobListView(ContentMixin, ListAPIView[Job]):
    action_needed = {"GET": roles.JOBS_READ, "POST": roles.JOBS_SUBMIT}
    serializer_class = JobListItemSerializer
    pagination_class = JobPages

    def get_queryset(self) -> QuerySet[Job]:
        query = checked_query(JobQuerySerializer, self.request, besides=("cursor", "page_size"))
        return selectors.jobs(self.user, selectors.JobFilter(**query)).defer(*LARGE)

    @extend_schema(
        parameters=[openapi.IDEMPOTENCY_KEY],
        request=openapi.SUBMISSION,
        responses={200: JobSerializer, **answers(201, JobSerializer, 400, 401, 403, 409, 413, 415, 429)},
        examples=openapi.EXAMPLES,
        summary="Submit a job",
        description="201 with the new job; 200 with the first one when an idempotency key is repeated. 429 "
        "(`queue_full`) when as many jobs of your organisation wait as may; the message says how many that is.",
        tags=["jobs"],
        operation_id="jobs_submit",
    )
    def post(self, request: Request) -> Response:
        job = services.submit(org=org_of(self.user), user=self.user, **_submission(request))
        return Response(job_for(self.user, job), status=201 if job.was_created else 200)


class JobView(OrgAPIMixin, APIView):
    action_needed = READ

    @extend_schema(
        responses=answers(200, JobDetailSerializer, 401, 403, 404),
        summary="One job",
        description="With the times at which it is expected to start and finish, which lists do not have.",
        tags=["jobs"],
        operation_id="jobs_get",
    )
    def get(self, request: Request, job_id: int) -> Response:
        return Response(job_in_detail(self.user, selectors.job(self.user, job_id)))


class CancelView(OrgAPIMixin, APIView):
    action_of_keys = {"POST": roles.JOBS_CANCEL_OWN}

    @extend_schema(
        request=None,
        responses=answers(200, JobSerializer, 401, 403, 404, 409),
        summary="Cancel a waiting job, or ask a running one to stop",
        description="A running job has `cancel_requested` set until its worker has stopped it.",
        tags=["jobs"],
        operation_id="jobs_cancel",
    )
    def post(self, request: Request, job_id: int) -> Response:
        job = services.cancel(job=selectors.job(self.user, job_id), user=self.user)
        return Response(job_for(self.user, job))


class OutputView(OrgAPIMixin, APIView):
    action_needed = READ

    @extend_schema(
        parameters=[OutputQuerySerializer],
        responses=answers(200, OutputSerializer, 400, 401, 403, 404),
        summary="The output lines of a job",
        tags=["jobs"],
        operation_id="jobs_output",
    )
    def get(self, request: Request, job_id: int) -> Response:
        query = checked_query(OutputQuerySerializer, request)
        job = selectors.job(self.user, job_id)
        if content.hidden_from(self.user):
            place = query.get("after") or selectors.Place()
            hidden = {"lines": None, "place": place, "complete": job.is_final, "content_hidden": True}
            return Response(OutputSerializer(hidden).data)
        output = selectors.output(job, **query)
        return Response(
            OutputSerializer(
                {
                    "lines": output.lines,
                    "place": output.place,
                    "complete": output.complete,
                    "content_hidden": False,
                }
            ).data
        )


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, ExecutionSerializer(many=True), 400, 401, 403, 404),
        summary="The ended attempts of a job, first one first",
        tags=["jobs"],
        operation_id="jobs_executions",
    )
)
class ExecutionListView(ContentMixin, ListAPIView[ExecutionLog]):
    action_needed = READ
    serializer_class = ExecutionSerializer
    pagination_class = OldestFirst
    queryset = ExecutionLog.objects.none()

    def get_queryset(self) -> QuerySet[ExecutionLog]:
        return selectors.executions(selectors.job(self.user, self.kwargs["job_id"]))


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, EventSerializer(many=True), 400, 401, 403, 404),
        summary="The transitions of a job, first one first",
        tags=["jobs"],
        operation_id="jobs_events",
    )
)
class EventListView(ContentMixin, ListAPIView[JobEvent]):
    action_needed = READ
    serializer_class = EventSerializer
    pagination_class = OldestFirst
    queryset = JobEvent.objects.none()

    def get_queryset(self) -> QuerySet[JobEvent]:
        return selectors.events(selectors.job(self.user, self.kwargs["job_id"]))


class WorkerListView(OrgAPIMixin, APIView):
    action_needed = READ

    @extend_schema(
        responses=answers(200, WorkerListSerializer, 401, 403),
        summary="The worker processes of the platform",
        tags=["platform"],
        operation_id="jobs_workers",
    )
    def get(self, request: Request) -> Response:
        return Response(WorkerListSerializer({"results": selectors.workers()[:MOST_WORKERS]}).data)


class LeaderView(OrgAPIMixin, APIView):
    action_needed = READ

    @extend_schema(
        responses=answers(200, LeaderSerializer, 401, 403, 404),
        summary="The scheduler that leads",
        tags=["platform"],
        operation_id="jobs_scheduler_leader",
    )
    def get(self, request: Request) -> Response:
        leader = selectors.leader()
        if leader is None:
            raise NotFound("No scheduler has been elected yet.")
        return Response(LeaderSerializer(leader).data)


def _submission(request: Request) -> dict[str, Any]:
    """What the body and the Idempotency-Key header say, to be checked by `services.submit`.

    Unknown names are refused here already: as keyword arguments they could meet the service's own.
    """
    return submission_values(request.data, request.headers.get("Idempotency-Key"))


def submission_values(body: Any, key: str | None) -> dict[str, Any]:
    """The keyword arguments for `services.submit`; raises InvalidInput."""
    if not isinstance(body, dict):
        raise InvalidInput(fields={"body": ["Expected a JSON object."]})
    unknown = [name for name in body if name not in Submission.model_fields][:MOST_UNKNOWN]
    if unknown:
        raise InvalidInput(fields={name: ["Unknown field."] for name in unknown})
    if key is None:
        return body
    if body.get("idempotency_key") not in (None, key):
        raise InvalidInput(fields={"idempotency_key": ["Differs from the Idempotency-Key header."]})
    return {**body, "idempotency_key": key}
