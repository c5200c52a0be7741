"""The shapes of what the API of limits and shares reads and answers. They check shape only: `jobs.limits` judges."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs.limit_selectors import MOST_WAITING
from jobs.limits import MOST_QUEUED, MOST_RATE, MOST_RUNNING
from jobs.models import Limit
from orgs.serializers import StrictSerializer

_WHOSE = "For platform admins: of this organisation; without it the own one."


class BoundsSerializer(StrictSerializer):
    """What may run and begin. It replaces what was set before: what is left out or null is not limited."""

    max_running = serializers.IntegerField(
        min_value=0,
        max_value=MOST_RUNNING,
        required=False,
        allow_null=True,
        help_text="Jobs that run at once; 0: none begins.",
    )
    rate_count = serializers.IntegerField(
        min_value=1,
        max_value=MOST_RATE,
        required=False,
        allow_null=True,
        help_text="So many jobs begin in rate_period_s; as many may begin at once after a quiet period.",
    )
    rate_period_s = serializers.FloatField(
        required=False, allow_null=True, help_text="Seconds, up to 31 days; goes with rate_count."
    )


class OrgBoundsSerializer(BoundsSerializer):
    """Of a whole organisation also how many jobs may wait."""

    max_queued = serializers.IntegerField(
        min_value=0,
        max_value=MOST_QUEUED,
        required=False,
        allow_null=True,
        help_text="Jobs that wait at once (scheduled, blocked or queued); one more is answered with 429.",
    )


class WhoseSerializer(StrictSerializer):
    org_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False, help_text=_WHOSE)


class WhoseKeySerializer(WhoseSerializer):
    name = serializers.CharField(
        max_length=200,
        trim_whitespace=False,
        help_text="The concurrency key, URL-encoded; * is every key that has no limit of its own.",
    )


class UseSerializer(serializers.Serializer[Any]):
    """What a limit meets now; null where it cannot be said of one thing, as for `*`."""

    running = serializers.IntegerField(allow_null=True, help_text="Jobs that run and count in it.")
    tokens_left = serializers.FloatField(
        allow_null=True, help_text="Jobs that may begin now as far as the rate is concerned; null: no rate."
    )
    waiting = serializers.IntegerField(
        allow_null=True,
        help_text="Of the organisation scheduled, blocked and queued jobs, else queued ones; "
        f"counted up to {MOST_WAITING:,}.",
    )


class LimitSerializer(serializers.ModelSerializer[Limit]):
    """A limit and its use. `name` is the queue or the concurrency key, and empty for the organisation."""

    use = UseSerializer()

    class Meta:
        model = Limit
        fields = [
            "org_id",
            "scope",
            "name",
            "max_running",
            "rate_count",
            "rate_period_s",
            "max_queued",
            "updated_at",
            "use",
        ]
        read_only_fields = fields


class OwnShareSerializer(serializers.Serializer[Any]):
    """What an organisation has received of the workers' time."""

    org_id = serializers.IntegerField()
    weight = serializers.FloatField(
        help_text="Its part of the workers' time where organisations compete, relative to the others'."
    )
    recent_s = serializers.FloatField(
        help_text="Worker-seconds that it received lately; they halve every SMARTQUEUE_SHARE_HALF_LIFE_S."
    )
    lead_s = serializers.FloatField(
        help_text="Worker-seconds, divided by its weight, by which it is ahead of its turn."
    )
    as_of = serializers.DateTimeField(allow_null=True, help_text="When workers told last; null: never.")
