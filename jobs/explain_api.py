"""The REST view that says where a job stands and why."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import explaining, selectors
from jobs.explain_serializers import ExplanationSerializer
from orgs import roles
from orgs.api import answers
from orgs.scoping import OrgAPIMixin


class ExplainView(OrgAPIMixin, APIView):
    action_needed = {"GET": roles.JOBS_READ}

    @extend_schema(
        responses=answers(200, ExplanationSerializer, 401, 403, 404),
        summary="Where a job stands, and why",
        description="One reason, in this order: `not_due`, `blocked`, `paused`, `no_worker`, `limit_running`, "
        "`limit_rate`, `behind_own`, `share_used`, `workers_busy`, or `next` when nothing is in its way; `running` "
        "and `ended` for the others. What else applies is in `also`.",
        tags=["jobs"],
        operation_id="jobs_explain",
    )
    def get(self, request: Request, job_id: int) -> Response:
        job = selectors.job(self.user, job_id)
        return Response(ExplanationSerializer(explaining.explain(self.user, job)).data)
