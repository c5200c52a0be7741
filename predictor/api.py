"""The REST views of the predictor: what a job would take, the models, and how good predictions were."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs import roles
from orgs.api import answers
from orgs.pagination import IdCursorPagination
from orgs.queries import checked_query
from orgs.scoping import OrgAPIMixin
from orgs.serializers import ErrorSerializer
from predictor import accuracy, service, versions
from predictor.models import ModelVersion
from predictor.serializers import (
    AccuracyQuerySerializer,
    AccuracyReportSerializer,
    ModelVersionSerializer,
    PredictRequestSerializer,
    PredictResponseSerializer,
)


class PredictView(OrgAPIMixin, APIView):
    action_of_keys = {"POST": roles.JOBS_READ}

    @extend_schema(
        request=PredictRequestSerializer,
        responses={200: PredictResponseSerializer, **dict.fromkeys((400, 401, 503), ErrorSerializer)},
        summary="What would a job be predicted to take after the given history?",
        description=(
            "With runtimes of this job type in `history`: their median, recent ones weighing more, corrected "
            "by the network when one is in force. Without any: base (http 400, shell 1500, etl 3000, "
            "python 3000, ml 12000 ms) x context factor in [0.7, 1.3], which is 1 plus, for each of the last "
            "three job types, http -0.1, shell -0.05, python 0, etl +0.05, ml +0.1. "
            "Jobs stored in the queue are not consulted."
        ),
        tags=["predictor"],
        operation_id="predictor_predict",
    )
    def post(self, request: Request) -> Response:
        body = PredictRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        answer = service.predict_for_history(**body.validated_data)
        shown = {
            "predicted_runtime_ms": answer.runtime_ms,
            "predicted_priority": answer.priority,
            "job_type": body.validated_data["job_type"],
        }
        return Response(PredictResponseSerializer(shown).data)


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, ModelVersionSerializer(many=True), 400, 401),
        summary="The versions of the model, newest first",
        description="One model serves all organisations; no version belongs to one. What it was trained on and how it "
        "did is of all of them together, so only platform admins see it; for others it is null.",
        tags=["predictor"],
        operation_id="predictor_models",
    )
)
class ModelListView(OrgAPIMixin, ListAPIView[ModelVersion]):
    action_of_keys = {"GET": roles.JOBS_READ}
    serializer_class = ModelVersionSerializer
    pagination_class = IdCursorPagination

    def get_queryset(self) -> QuerySet[ModelVersion]:
        return versions.versions()


class AccuracyView(OrgAPIMixin, APIView):
    action_needed = {"GET": roles.JOBS_READ}

    @extend_schema(
        parameters=[AccuracyQuerySerializer],
        responses=answers(200, AccuracyReportSerializer, 400, 401, 403, 404),
        summary="How good the predictions were that your jobs were submitted with",
        description="Of attempts that ended by themselves, done or failed, among the newest "
        f"{accuracy.SAMPLE:,} of the organisation; platform admins see all organisations together, or one. "
        "MAPE comes as the mean (`mape`), which a few short jobs can dominate, and as the median (`median_ape`).",
        tags=["predictor"],
        operation_id="predictor_accuracy",
    )
    def get(self, request: Request) -> Response:
        query = checked_query(AccuracyQuerySerializer, request)
        report = accuracy.accuracy(self.user, days=query["days"], org_id=query.get("org"))
        return Response(AccuracyReportSerializer(report).data)
