"""The REST view of the predictor: what would a job be predicted to take?"""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs.serializers import ErrorSerializer
from predictor import service
from predictor.serializers import PredictRequestSerializer, PredictResponseSerializer


class PredictView(APIView):
    @extend_schema(
        request=PredictRequestSerializer,
        responses={200: PredictResponseSerializer, **dict.fromkeys((400, 401, 503), ErrorSerializer)},
        summary="Predict the runtime and priority of a job",
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
