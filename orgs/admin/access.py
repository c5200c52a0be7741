"""Invitations and API keys in the Django admin. Their secrets are shown once, when they are made, and never again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Case, CharField, F, Model, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from orgs import actors, api_keys, invitations, roles
from orgs.admin_base import (
    Question,
    ReadOnlyAdmin,
    ToldAdmin,
    actor,
    ask,
    chosen,
    do_each,
    is_confirmed,
    named,
)
from orgs.admin_scoping import OrgRelatedFilter
from orgs.admin_shown import moment, state
from orgs.admin_site import site
from orgs.models import ApiKey, Invitation
from orgs.wording import NOTHING, role_name

_COLOURS = {
    "open": "queued",
    "accepted": "done",
    "revoked": "cancelled",
    "expired": "cancelled",
    "in force": "done",
}


class InvitationForm(forms.ModelForm):
    """Whom to invite as what; the organisation is the own one."""

    role = forms.ChoiceField(
        choices=[(role, roles.ROLES[role]) for role in roles.GRANTED_BY_ORG_ADMINS],
        initial=roles.USER,
        widget=UnfoldAdminSelectWidget,
    )
    note = forms.CharField(
        max_length=invitations.LONGEST_NOTE,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Whom it is for: only org admins see this.",
    )
    expires_in_h = forms.IntegerField(
        label="Good for (hours)",
        min_value=1,
        max_value=invitations.LONGEST_H,
        initial=invitations.USUAL_H,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=f"1 to {invitations.LONGEST_H} hours; the link works once.",
    )

    class Meta:
        model = Invitation
        fields = ("role", "note")


@admin.register(Invitation, site=site)
class InvitationAdmin(ToldAdmin, ReadOnlyAdmin):
    view_needs = add_needs = roles.MEMBERS_MANAGE
    form = InvitationForm
    list_display = ("note_shown", "role_shown", "state_shown", "made_by", "made", "expires", "used_by", "org")
    list_display_links = ("note_shown",)
    list_select_related = ("org",)
    list_filter = ("role", ("org", OrgRelatedFilter))
    search_fields = ("note",)
    search_help_text = "Whom it is for"
    ordering = ("-id",)
    actions = ("revoke_selected",)
    readonly_fields = ("note_shown", "role_shown", "state_shown", "made_by", "made", "expires", "used_by")
    empty_list = (
        "Nobody has been invited yet. Add an invitation to get a link that makes one person a member."
    )

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return list(self.readonly_fields if obj else ("role", "note", "expires_in_h"))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return super().get_readonly_fields(request, obj) if obj else []

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Into the own organisation only: a platform admin without one invites nobody."""
        return self._may(request, self.add_needs, None) and actor(request).org_id is not None

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """The service makes the row; the form only holds what was asked for."""
        return form.instance

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        data = form.cleaned_data
        made, token = invitations.invite(
            actor=actor(request), role=data["role"], note=data["note"], expires_in_h=data["expires_in_h"]
        )
        obj.pk, obj._state.adding = made.pk, False
        link = invitations.link(request, token)
        text = f"Send this link to one person. It is shown only now, and works once: {link}"
        self.message_user(request, text, messages.WARNING)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """An invitation has none."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit log has it."""

    @admin.display(description="for", empty_value="nobody in particular")
    def note_shown(self, invitation: Invitation) -> str:
        return invitation.note or "nobody in particular"

    @admin.display(description="role", ordering="role")
    def role_shown(self, invitation: Invitation) -> str:
        return role_name(invitation.role)

    @admin.display(description="state")
    def state_shown(self, invitation: Invitation) -> str:
        text = invitations.state_of(invitation)
        return state(text, _COLOURS[text])

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        known = {name: _name(request, name) for name in ("created_by", "accepted_by")}
        return (
            super().get_queryset(request).annotate(**{f"{name}_name": case for name, case in known.items()})
        )

    @admin.display(description="invited by")
    def made_by(self, invitation: Any) -> str:
        return str(invitation.created_by_name)

    @admin.display(description="used by")
    def used_by(self, invitation: Any) -> str:
        return str(invitation.accepted_by_name)

    @admin.display(description="invited (UTC)", ordering="id")
    def made(self, invitation: Invitation) -> str:
        return moment(invitation.created_at)

    @admin.display(description="expires (UTC)", ordering="expires_at")
    def expires(self, invitation: Invitation) -> str:
        return moment(invitation.expires_at)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self._may(request, roles.MEMBERS_MANAGE, None)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> HttpResponse | None:
        user = actor(request)
        still_open = queryset.filter(accepted_at=None, revoked_at=None, expires_at__gt=Now())
        rows, _ = chosen(still_open)
        if not is_confirmed(request):
            text = "Their links stop working. Whoever has become a member stays one."
            return ask(self, request, _revoking("Revoke invitations", text, rows, "None of them is open."))
        do_each(
            self,
            request,
            rows,
            lambda row: invitations.revoke(actor=user, invitation_id=row.pk),
            "{} revoked.",
        )
        return None


@admin.register(ApiKey, site=site)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys are made on the dashboard, by those who use them; here org admins see and end them."""

    view_needs = roles.KEYS_MANAGE
    list_display = (
        "name", "prefix_shown", "state_shown", "owner", "scopes_shown", "used", "made", "expires", "org",
    )  # fmt: skip
    list_select_related = ("org",)
    list_filter = (("user", OrgRelatedFilter), ("org", OrgRelatedFilter))
    search_fields = ("name", "prefix")
    search_help_text = "Name or beginning of the key"
    ordering = ("-id",)
    actions = ("revoke_selected",)
    fields = (
        "name", "prefix_shown", "state_shown", "owner", "scopes_shown", "used", "made", "expires", "revoked", "org",
    )  # fmt: skip
    readonly_fields = fields[:-1]
    actions_list = ("own_keys",)
    empty_list = "No program has an API key yet. Members make their own on the dashboard."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        in_force = Case(
            When(revoked_at__isnull=False, then=Value("revoked")),
            When(expires_at__lte=Now(), then=Value("expired")),
            default=Value("in force"),
            output_field=CharField(),
        )
        known = {"owner_name": actors.shown_name(request.user), "standing": in_force}
        return super().get_queryset(request).defer("secret_hash").annotate(**known)

    @action(description="Your own keys", icon="key")
    def own_keys(self, request: HttpRequest) -> HttpResponse:
        return redirect("page-keys")

    @admin.display(description="key")
    def prefix_shown(self, key: ApiKey) -> str:
        return f"{key.prefix}\N{HORIZONTAL ELLIPSIS}"

    @admin.display(description="owner")
    def owner(self, key: Any) -> str:
        return str(key.owner_name)

    @admin.display(description="scopes")
    def scopes_shown(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="state")
    def state_shown(self, key: Any) -> str:
        return state(key.standing, _COLOURS[key.standing])

    @admin.display(description="last used (UTC)", ordering=F("last_used_at").desc(nulls_last=True))
    def used(self, key: ApiKey) -> str:
        return "never" if key.last_used_at is None else moment(key.last_used_at)

    @admin.display(description="made (UTC)", ordering="id")
    def made(self, key: ApiKey) -> str:
        return moment(key.created_at)

    @admin.display(description="expires (UTC)", ordering="expires_at")
    def expires(self, key: ApiKey) -> str:
        return "never" if key.expires_at is None else moment(key.expires_at)

    @admin.display(description="revoked (UTC)")
    def revoked(self, key: ApiKey) -> str:
        return moment(key.revoked_at)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self._may(request, roles.KEYS_MANAGE, None)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        user = actor(request)
        rows, _ = chosen(queryset.filter(revoked_at=None))
        if not is_confirmed(request):
            text = "Programs that use them are refused from the next request on. It cannot be taken back."
            return ask(
                self, request, _revoking("Revoke API keys", text, rows, "All of them are revoked already.")
            )
        do_each(self, request, rows, lambda row: api_keys.revoke(user=user, key=row), "{} revoked.")
        return None


def _name(request: HttpRequest, column: str) -> Case:
    """The name of the user in `column`, as the reader may know it (see orgs.actors); a dash for nobody."""
    user = actor(request)
    known = Q() if user.sees_all else Q(**{f"{column}__org_id": user.seen_org_id})
    return Case(
        When(Q(**{column: None}), then=Value(NOTHING)),
        When(known & Q(**{f"{column}__isnull": False}), then=F(f"{column}__username")),
        When(Q(**{f"{column}__role": roles.ADMIN}), then=Value(actors.PLATFORM)),
        default=Value(actors.FORMER_MEMBER),
        output_field=CharField(),
    )


def _revoking(title: str, text: str, rows: list[Any], none: str) -> Question:
    ids, notes = [row.pk for row in rows], [] if rows else [none]
    return Question(title, text, "Revoke", danger=True, ids=ids, named=named(rows), notes=notes)
