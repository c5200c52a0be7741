"""The form of pausing. It checks shape only: `jobs.control` judges."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator

from jobs.payloads import JOB_TYPES
from jobs.submission import QUEUE_NAME
from orgs.models import Organization

ALL_TYPES = [("", "All types"), *((name, name) for name in JOB_TYPES)]
PLATFORM, ONE = "platform", "one"

_QUEUE = RegexValidator(QUEUE_NAME, "Expected 1 to 60 letters, digits, dots, hyphens and underscores.")


class OrganizationField(forms.CharField):
    """An organisation by its name: there may be too many to list."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**{"label": "Organisation", "max_length": 100, "required": False, **named})

    def clean(self, value: Any) -> Organization | None:
        name = super().clean(value)
        org = Organization.objects.filter(name=name).first() if name else None
        if name and org is None:
            raise forms.ValidationError("There is no organisation of this name.")
        return org


class PauseForm(forms.Form):
    """What to hold back. Whose jobs is asked of platform admins only; for others they are their own."""

    reach = forms.ChoiceField(
        label="Whose jobs",
        choices=[
            ("", "Choose \N{HORIZONTAL ELLIPSIS}"),
            (ONE, "One organisation"),
            (PLATFORM, "The whole platform"),
        ],
    )
    org = OrganizationField(help_text="The name of the one organisation.")
    queue = forms.CharField(
        max_length=60, required=False, validators=[_QUEUE], help_text="Left empty: all queues."
    )
    type = forms.ChoiceField(choices=ALL_TYPES, required=False)
    reason = forms.CharField(
        max_length=200, required=False, help_text="Shown to everybody whose jobs wait for it."
    )

    def __init__(self, *args: Any, whole_platform: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not whole_platform:
            del self.fields["reach"], self.fields["org"]

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        reach, org = data.get("reach"), data.get("org")
        if reach == ONE and org is None and "org" not in self.errors:
            self.add_error("org", "Expected the name of an organisation.")
        if reach == PLATFORM and org is not None:
            self.add_error("org", "Leave this empty, or choose one organisation.")
        return data
