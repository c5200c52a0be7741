"""POST /jobs/bulk: many jobs in one request."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import services
from jobs.bulk_serializers import BulkResultSerializer, BulkSubmissionSerializer
from jobs.executors import jsonvalue
from orgs import roles
from orgs.api import answers
from orgs.exceptions import InvalidInput, SmartQueueError
from orgs.scoping import OrgAPIMixin, org_of

MOST_JOBS = 10_000
LARGEST_BODY = 16 * 1024 * 1024
_LONGEST_TEXT = 500


class BulkView(OrgAPIMixin, APIView):
    action_needed = {"POST": roles.JOBS_SUBMIT}
    largest_body = LARGEST_BODY

    @extend_schema(
        request=BulkSubmissionSerializer,
        responses={
            200: BulkResultSerializer,
            **answers(201, BulkResultSerializer, 400, 401, 403, 413, 415, 429),
        },
        summary="Submit up to 10,000 jobs",
        description="201 when at least one job is new. A job that is refused does not hold up the others; with "
        "`all_or_nothing` it does: the answer is then 400, its `fields` name the jobs by their place "
        "(`jobs.3.name`), and nothing is stored. Where only some find room in your organisation's queue, the first "
        "ones do, the others are refused with `queue_full`; with `all_or_nothing` that is 429.",
        tags=["jobs"],
        operation_id="jobs_bulk",
    )
    def post(self, request: Request) -> Response:
        org = org_of(self.user)
        jobs, all_or_nothing = _asked(request)
        results = services.submit_many(
            org=org, user=self.user, submissions=jobs, all_or_nothing=all_or_nothing
        )
        counts = dict.fromkeys(("created", "existing", "refused"), 0)
        for result in results:
            counts[result.status] += 1
        shown = [_shown(index, result) for index, result in enumerate(results)]
        return Response({**counts, "results": shown}, status=201 if counts["created"] else 200)


def _asked(request: Request) -> tuple[list[Any], bool]:
    """The jobs, unchecked, and `all_or_nothing`. Raises InvalidInput."""
    body = request.data
    if not isinstance(body, dict):
        raise InvalidInput(fields={"body": ["Expected a JSON object."]})
    wrong = {name: ["Unknown field."] for name in body if name not in ("jobs", "all_or_nothing")}
    jobs, all_or_nothing = body.get("jobs"), body.get("all_or_nothing", False)
    if not isinstance(jobs, list) or not 1 <= len(jobs) <= MOST_JOBS:
        given = f", not {len(jobs):,}" if isinstance(jobs, list) else ""
        wrong["jobs"] = [f"Expected a list of 1 to {MOST_JOBS:,} jobs{given}."]
    if not isinstance(all_or_nothing, bool):
        wrong["all_or_nothing"] = ["Expected true or false."]
    if "Idempotency-Key" in request.headers:
        wrong["idempotency_key"] = ["Give each job its own `idempotency_key` in place of the header."]
    if wrong:
        raise InvalidInput(fields=dict(list(wrong.items())[-20:]))
    assert isinstance(jobs, list)
    return jobs, bool(all_or_nothing)


def _shown(index: int, result: services.Submitted) -> dict[str, Any]:
    shown = {"index": index, "id": result.job_id, "status": result.status}
    return shown if result.error is None else {**shown, "error": _error(result.error)}


def _error(error: SmartQueueError) -> dict[str, Any]:
    """As in an answer that is an error as a whole."""
    fields = {_plain(name): [_plain(text) for text in texts] for name, texts in error.fields.items()}
    return {"code": error.code, "message": _plain(error.message), "fields": fields}


def _plain(text: str) -> str:
    return jsonvalue.clean_text(text[:_LONGEST_TEXT])
