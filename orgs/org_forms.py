"""The forms of the organisation's page, of joining and of registering. They check shape only: services judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from orgs import invitations, roles
from orgs.models import User
from orgs.serializers import LONGEST_PASSWORD

ROLE_CHOICES = [(role, roles.ROLES[role]) for role in roles.GRANTED_BY_ORG_ADMINS]


class ServiceForm(forms.Form):
    """A form that shows the errors of a service at its own fields."""

    def refuse(self, fields: Mapping[str, list[str]], message: str = "") -> None:
        for name, messages in fields.items():
            self.add_error(name if name in self.fields else None, messages)
        if not fields:
            self.add_error(None, message)


class SettingsForm(ServiceForm):
    name = forms.CharField(max_length=100)
    viewers_see_content = forms.BooleanField(
        label="Viewers see content",
        required=False,
        help_text="Payloads, results, output and error texts of jobs. Everybody else in the organisation sees them.",
    )


class RoleForm(ServiceForm):
    role = forms.ChoiceField(choices=ROLE_CHOICES)


class InvitationForm(ServiceForm):
    role = forms.ChoiceField(choices=ROLE_CHOICES, initial=roles.USER)
    note = forms.CharField(
        max_length=invitations.LONGEST_NOTE,
        required=False,
        help_text="Whom it is for; only org admins see this.",
    )
    expires_in_h = forms.IntegerField(
        label="Good for so many hours",
        min_value=1,
        max_value=invitations.LONGEST_H,
        initial=invitations.USUAL_H,
        help_text="The link works once, for whoever opens it first.",
    )


class HandOverForm(ServiceForm):
    member = forms.ModelChoiceField(User.objects.none(), empty_label=None)

    def __init__(self, *args: Any, heirs: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        field = self.fields["member"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = heirs


class DeleteForm(ServiceForm):
    confirm = forms.CharField(label="Name of the organisation", max_length=100, strip=False)


class CreateForm(ServiceForm):
    name = forms.CharField(
        max_length=100, help_text="It is unique on this platform; you can change it later."
    )


class RegisterForm(ServiceForm):
    username = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "username"}))
    email = forms.EmailField(
        max_length=254,
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        help_text="Optional.",
    )
    password = forms.CharField(
        max_length=LONGEST_PASSWORD,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 8 characters, and none of the common ones.",
    )
