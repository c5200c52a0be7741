"""The shape of what GET /jobs/{id}/explain answers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs import ordering, states
from jobs.reasons import CODES

_CAPPED = "Counting stopped there: there are more."


class ExplainedReasonSerializer(serializers.Serializer[Any]):
    """Why a job stands where it stands."""

    code = serializers.ChoiceField(choices=CODES)
    message = serializers.CharField(help_text="The same in a sentence.")
    facts = serializers.DictField(
        help_text="The numbers, times and names in it; which ones depends on the code."
    )


class ExplainedPositionSerializer(serializers.Serializer[Any]):
    """The queued jobs of its organisation that rank before it."""

    queue = serializers.CharField()
    lane = serializers.ChoiceField(choices=ordering.LANES)
    in_the_way = serializers.IntegerField(
        help_text="They need a worker that it needs as well, and wait for nothing that it does not wait for too."
    )
    in_the_way_capped = serializers.BooleanField(help_text=_CAPPED)
    held_back = serializers.IntegerField(help_text="The others: they do not keep it from beginning.")
    held_back_capped = serializers.BooleanField(help_text=_CAPPED)


class ExplainedShareSerializer(serializers.Serializer[Any]):
    """What its organisation has received of the workers' time."""

    received_s = serializers.FloatField(help_text="Worker-seconds, those of long ago counting less.")
    weight = serializers.FloatField(
        help_text="Its part where organisations compete, relative to the others'."
    )
    lead_s = serializers.FloatField(
        help_text="How far it is ahead of its turn, in worker-seconds for its weight."
    )
    others = serializers.IntegerField(help_text="Other organisations that have jobs queued.")
    others_capped = serializers.BooleanField(help_text=_CAPPED)


class ExplainedTermSerializer(serializers.Serializer[Any]):
    """One of the parts that add up to a rank."""

    name = serializers.ChoiceField(choices=["due", "predicted", "interval", "lane", "cap", "earlier"])
    seconds = serializers.FloatField()
    meaning = serializers.CharField()


class ExplainedRankSerializer(serializers.Serializer[Any]):
    """Its place in the order of its organisation: the smallest goes first."""

    total = serializers.FloatField(help_text="In seconds: the sum of the terms.")
    due_at = serializers.DateTimeField(help_text="The first term as a time.")
    terms = ExplainedTermSerializer(many=True)


class PredictedNowSerializer(serializers.Serializer[Any]):
    """What would be predicted at this moment; `low_ms` to `high_ms` is the 80 % interval."""

    runtime_ms = serializers.FloatField(allow_null=True)
    low_ms = serializers.FloatField(allow_null=True)
    high_ms = serializers.FloatField(allow_null=True)
    prediction_source = serializers.CharField(source="source")
    model_version = serializers.IntegerField(allow_null=True)


class ExplainedHistorySerializer(serializers.Serializer[Any]):
    """Which runs a prediction made at this moment comes from."""

    circle = serializers.CharField(help_text="Which runs, in words.")
    runs = serializers.IntegerField(help_text="How many of them there have been.")
    recent = serializers.IntegerField(help_text="The last so many count.")
    median_ms = serializers.FloatField(allow_null=True, help_text="Of those.")
    newest_at = serializers.DateTimeField(allow_null=True, help_text="When the last of them ended.")
    base_ms = serializers.FloatField(allow_null=True, help_text="What they make: recent ones weigh more.")
    correction = serializers.FloatField(help_text="The factor by which the network would change that.")
    trust = serializers.FloatField(
        help_text="How far it is let, from 0 to 1: the factor to this power is used."
    )
    now = PredictedNowSerializer()


class PredictedSerializer(PredictedNowSerializer):
    """What was predicted of it, and is in its rank; `low_ms` to `high_ms` is the 80 % interval."""

    changed = serializers.BooleanField(help_text="Something else would be predicted by now: see history.now.")
    history = ExplainedHistorySerializer(
        allow_null=True, help_text="null: the predictor has no answer, or the job has ended."
    )


class ExplanationSerializer(serializers.Serializer[Any]):
    """Where a job stands and why, as of `as_of`."""

    job_id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=states.STATUSES)
    as_of = serializers.DateTimeField()
    reason = ExplainedReasonSerializer(help_text="What keeps it from beginning before anything else does.")
    also = ExplainedReasonSerializer(
        many=True, help_text="What would keep it from beginning once that is gone."
    )
    position = ExplainedPositionSerializer(allow_null=True, help_text="null unless the job is queued.")
    share = ExplainedShareSerializer(allow_null=True, help_text="null unless the job is queued.")
    rank = ExplainedRankSerializer()
    prediction = PredictedSerializer()
