"""The forms of pausing and of bulk replays. They check shape only: `jobs.control` and `jobs.replays` judge."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator

from jobs import replays
from jobs.payloads import JOB_TYPES
from jobs.replays import ReplayFilter
from jobs.submission import QUEUE_NAME
from orgs.models import Organization

_TYPES = [("", "All types"), *((name, name) for name in JOB_TYPES)]
_QUEUE = RegexValidator(QUEUE_NAME, "Expected 1 to 60 letters, digits, dots, hyphens and underscores.")


class PauseForm(forms.Form):
    """What to hold back. The organisation is asked of platform admins only; for others it is their own."""

    org: forms.ModelChoiceField[Organization] = forms.ModelChoiceField(
        label="Organisation",
        queryset=Organization.objects.all(),
        required=False,
        empty_label="The whole platform",
    )
    queue = forms.CharField(
        max_length=60, required=False, validators=[_QUEUE], help_text="Left empty: all queues."
    )
    type = forms.ChoiceField(choices=_TYPES, required=False)
    reason = forms.CharField(
        max_length=200, required=False, help_text="Shown to everybody whose jobs wait for it."
    )

    def __init__(self, *args: Any, whole_platform: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not whole_platform:
            del self.fields["org"]


class ReplayForm(forms.Form):
    """Which dead letters to replay, and how fast."""

    type = forms.ChoiceField(choices=_TYPES, required=False)
    queue = forms.CharField(max_length=60, required=False)
    name = forms.CharField(label="Name contains", max_length=200, required=False)
    tag = forms.CharField(max_length=60, required=False)
    finished_after = forms.DateTimeField(
        label="Failed after (UTC)",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    finished_before = forms.DateTimeField(
        label="Failed before (UTC)",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    error_contains = forms.CharField(max_length=200, required=False)
    rate_per_s = forms.FloatField(
        label="Jobs per second",
        min_value=replays.SLOWEST,
        max_value=replays.FASTEST,
        initial=replays.DEFAULT_RATE,
        help_text="They are submitted in lane low, so that live work comes first.",
    )

    def filter(self) -> ReplayFilter:
        given = {name: value for name, value in self.cleaned_data.items() if value and name != "rate_per_s"}
        return ReplayFilter(**given)
