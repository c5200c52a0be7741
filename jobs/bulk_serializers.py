"""What POST /jobs/bulk takes and answers, for the OpenAPI schema; `jobs.submission` checks the jobs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from jobs.openapi import SUBMISSION


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name=SUBMISSION.component_name,
        serializers=SUBMISSION.serializers,
        resource_type_field_name=SUBMISSION.resource_type_field_name,
        many=True,
    )
)
class _JobsField(serializers.ListField):
    pass


class BulkSubmissionSerializer(serializers.Serializer[Any]):
    """Jobs to submit together."""

    jobs = _JobsField(help_text="1 to 10,000 jobs, each as for POST /jobs/.")
    all_or_nothing = serializers.BooleanField(
        default=False, help_text="Store nothing when one of the jobs is refused."
    )


class BulkErrorSerializer(serializers.Serializer[Any]):
    """Why one of many jobs was refused."""

    code = serializers.CharField()
    message = serializers.CharField()
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()), help_text="What was expected, by field."
    )


class BulkItemSerializer(serializers.Serializer[Any]):
    """What became of one of the jobs."""

    index = serializers.IntegerField(help_text="Its place in the request, from 0 on.")
    id = serializers.IntegerField(allow_null=True, help_text="Its job; null when it was refused.")
    status = serializers.ChoiceField(
        choices=["created", "existing", "refused"],
        help_text="existing: the job that an earlier request made with the same key and body.",
    )
    error = BulkErrorSerializer(required=False, help_text="Only when it was refused.")


class BulkResultSerializer(serializers.Serializer[Any]):
    """What became of the jobs, in the order of the request."""

    created = serializers.IntegerField()
    existing = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BulkItemSerializer(many=True)
