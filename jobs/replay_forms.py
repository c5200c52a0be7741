"""The form of bulk replays. It checks shape only: `jobs.replays` judges."""

from __future__ import annotations

from typing import Any

from django import forms

from jobs import replays
from jobs.control_forms import ALL_TYPES, OrganizationField
from jobs.replays import ReplayFilter


class ReplayForm(forms.Form):
    """Which dead letters to replay, and how fast. Whose is asked of platform admins only."""

    FILTER = ("type", "queue", "name", "tag", "finished_after", "finished_before", "error_contains")

    org = OrganizationField(required=True)
    type = forms.ChoiceField(choices=ALL_TYPES, required=False)
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

    def __init__(self, *args: Any, any_org: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not any_org:
            del self.fields["org"]

    def filter(self) -> ReplayFilter:
        given: dict[str, Any] = {name: self.cleaned_data[name] or None for name in self.FILTER}
        return ReplayFilter(**given)
