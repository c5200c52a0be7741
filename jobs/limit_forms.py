"""The form of limits. It checks shape only: `jobs.limits` judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from jobs.control_forms import OrganizationField
from jobs.limit_models import KEY, ORG, QUEUE
from jobs.limits import LONGEST_PERIOD_S, MOST_QUEUED, MOST_RATE, MOST_RUNNING, bounds_of
from jobs.models import Limit

SCOPES = [(ORG, "The whole organisation"), (QUEUE, "A queue"), (KEY, "A concurrency key")]
BOUNDS = ("max_running", "rate_count", "rate_period_s", "max_queued")


class LimitForm(forms.Form):
    """What to limit, and how. With `changed` only how; whose is asked of platform admins only."""

    org = OrganizationField(required=True)
    scope = forms.ChoiceField(label="Limit", choices=SCOPES)
    name = forms.CharField(
        label="Queue or key",
        max_length=200,
        required=False,
        strip=False,
        help_text="Empty for the whole organisation; * for every concurrency key that has no limit of its own.",
    )
    max_running = forms.IntegerField(
        label="Running at once",
        min_value=0,
        max_value=MOST_RUNNING,
        required=False,
        help_text="Left empty: any number. 0: none begins.",
    )
    rate_count = forms.IntegerField(
        label="Jobs that begin",
        min_value=1,
        max_value=MOST_RATE,
        required=False,
        help_text="In the seconds below. After a quiet period as many may begin at once. Left empty: any number.",
    )
    rate_period_s = forms.FloatField(
        label="In so many seconds", min_value=0.001, max_value=LONGEST_PERIOD_S, required=False
    )
    max_queued = forms.IntegerField(
        label="Waiting at once",
        min_value=0,
        max_value=MOST_QUEUED,
        required=False,
        help_text="For the whole organisation only. One job more is refused when it is submitted.",
    )

    def __init__(self, *args: Any, any_org: bool, changed: Limit | None = None, **named: Any) -> None:
        if changed is not None:
            bounds = bounds_of(changed)
            named["initial"] = {name: getattr(bounds, name) for name in BOUNDS}
        super().__init__(*args, **named)
        if changed is not None or not any_org:
            del self.fields["org"]
        if changed is not None:
            del self.fields["scope"], self.fields["name"]
            if changed.scope != ORG:
                del self.fields["max_queued"]

    def bounds(self) -> dict[str, Any]:
        return {name: self.cleaned_data.get(name) for name in BOUNDS}

    def refuse(self, fields: Mapping[str, list[str]]) -> None:
        """Show the errors of the service at the form's own fields."""
        for name, messages in fields.items():
            self.add_error(name if name in self.fields else None, messages)
