"""The forms of the jobs pages. They check shape only: `jobs.services.submit` judges the job itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from django import forms
from django.conf import settings

from jobs import ordering, states
from jobs.payloads import JOB_TYPES
from jobs.submission import QUEUE_NAME
from orgs.wording import duration

LARGEST_ID = 2**63 - 1


def lanes_explained(rules: ordering.Ordering) -> str:
    """What the lanes do to a job, for people."""
    high, low = rules.lanes[ordering.HIGH], rules.lanes[ordering.LOW]
    text = f"Lane high starts {duration(high.credit_s * 1000)} ahead in the queue"
    if math.isfinite(high.max_wait_s):
        text += f" and is passed by no job that comes {duration(high.max_wait_s * 1000)} later"
    return f"{text}; lane low starts {duration(-low.credit_s * 1000)} behind."


class ListFilter(forms.Form):
    """Which jobs the list shows: everything comes from the address, so that it can be shared and reloaded."""

    status = forms.ChoiceField(
        choices=[("", "All"), *((status, status) for status in states.STATUSES)],
        required=False,
        widget=forms.HiddenInput,
    )
    type = forms.ChoiceField(
        choices=[("", "All types"), *((name, name) for name in JOB_TYPES)], required=False
    )
    queue = forms.RegexField(QUEUE_NAME, max_length=60, required=False)
    tag = forms.CharField(max_length=60, required=False)
    q = forms.CharField(label="Name contains", max_length=200, required=False, widget=forms.SearchInput)
    before = forms.IntegerField(min_value=1, max_value=LARGEST_ID, required=False, widget=forms.HiddenInput)
    after = forms.IntegerField(min_value=1, max_value=LARGEST_ID, required=False, widget=forms.HiddenInput)


class NewJob(forms.Form):
    """A job to submit; the type is chosen by a link, which brings an example of its payload."""

    ADVANCED = ("queue", "tags", "delay")

    name = forms.CharField(
        max_length=200, help_text="Runs of the same name are compared with each other to predict runtimes."
    )
    type = forms.ChoiceField(choices=[(name, name) for name in JOB_TYPES], widget=forms.HiddenInput)
    lane = forms.ChoiceField(
        choices=[(lane, lane) for lane in ordering.LANES],
        initial=ordering.NORMAL,
        help_text=lanes_explained(settings.ORDERING),
    )
    queue = forms.CharField(
        max_length=60,
        required=False,
        help_text="Workers may serve only some queues; nothing here means default.",
    )
    tags = forms.CharField(
        max_length=2000, required=False, help_text="Labels to find the job by, separated by commas."
    )
    delay = forms.FloatField(
        label="Delay in seconds", min_value=0, required=False, help_text="The job does not start before."
    )
    payload = forms.CharField(
        label="Payload (JSON)",
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false", "class": "code"}),
    )

    def clean_payload(self) -> Any:
        try:
            return json.loads(self.cleaned_data["payload"], parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(
                f"This is not JSON: {error.msg.lower()} (line {error.lineno}, column {error.colno})."
            ) from None
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This JSON cannot be used: {error}.") from None

    def clean_tags(self) -> list[str]:
        return [tag.strip() for tag in self.cleaned_data["tags"].split(",") if tag.strip()]

    def values(self) -> dict[str, Any]:
        """What to submit: advanced fields that were left empty are left out."""
        return {
            name: value for name, value in self.cleaned_data.items() if value or name not in self.ADVANCED
        }

    def advanced(self) -> list[forms.BoundField]:
        """Fields that most jobs do without."""
        return [self[name] for name in self.ADVANCED]

    def advanced_is_used(self) -> bool:
        return any(field.value() or field.errors for field in self.advanced())

    def refuse(self, fields: Mapping[str, list[str]]) -> None:
        """Show errors of the service, {dotted path: messages}, at the form's own fields."""
        for path, messages in fields.items():
            name, _, inside = path.partition(".")
            for message in messages:
                if name in self.fields:
                    self.add_error(name, f"{inside}: {message}" if inside else message)
                else:
                    self.add_error(None, f"{path}: {message}" if path else message)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
