"""The form of API keys. It checks shape only: `orgs.api_keys` judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from django.conf import settings

from orgs import api_keys, roles
from orgs.models import User

USUAL_DAYS = 90


class KeyForm(forms.Form):
    """What a key is for, what it may do, how long it lasts."""

    name = forms.CharField(
        max_length=api_keys.LONGEST_NAME, help_text="What it is for, as in: nightly report of the data team."
    )
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    expires_in_days = forms.IntegerField(label="Lasts for so many days", min_value=1, required=False)

    def __init__(self, *args: Any, user: User, **named: Any) -> None:
        super().__init__(*args, **named)
        self._user = user
        allowed = api_keys.scopes_for(user)
        self.fields["scopes"].choices = [(scope, scope) for scope in allowed]  # type: ignore[attr-defined]
        days, most = self.fields["expires_in_days"], settings.API_KEY_MAX_DAYS
        days.initial = min(USUAL_DAYS, most) if most else USUAL_DAYS
        days.help_text = (
            f"At most {most:,}, which it is when left empty." if most else "Left empty: for ever."
        )

    def scopes_with_meaning(self) -> Iterator[tuple[Any, str]]:
        """Each box with what it allows the user's role."""
        for box in self["scopes"]:
            covered = roles.SCOPES[box.data["value"]]
            yield (
                box,
                "; ".join(text for action, text in roles.MEANING.items() if self._allows(action, covered)),
            )

    def _allows(self, action: str, covered: frozenset[str]) -> bool:
        role = self._user.role
        return action in covered and (roles.may(role, action) or roles.may_if_org_allows(role, action))

    def refuse(self, fields: Mapping[str, list[str]]) -> None:
        """Show the errors of the service at the form's own fields."""
        for name, messages in fields.items():
            self.add_error(name if name in self.fields else None, messages)
