"""How people and programs come in beside their password: invitations, API keys, refresh tokens.

Of each secret only its SHA-256 is kept. Written by orgs.invitations, orgs.api_keys and orgs.refresh only.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from orgs import roles
from orgs.models import Organization, User


class Invitation(models.Model):
    """A link that makes whoever opens it first a member, until it expires."""

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    role = models.CharField(max_length=20, choices=list(roles.ROLES.items()), default=roles.USER)
    note = models.CharField(max_length=200, default="", blank=True)  # whom it is for
    secret_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=(roles.ORG_ADMIN, roles.USER, roles.VIEWER)),
                name="invitation_role_known",
            )
        ]
        indexes = [models.Index(fields=["org", "-id"], name="invitation_of_org")]

    def __str__(self) -> str:
        return f"invitation {self.pk}"


class ApiKey(models.Model):
    """A program's key. It acts for `user`, within the user's role and `scopes`, as long as the user is in `org`."""

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20)  # the beginning of the key, by which people recognise it
    secret_hash = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=30))
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        indexes = [models.Index(fields=["org", "-id"], name="apikey_of_org")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


class RefreshToken(models.Model):
    """One link of a login's chain. Each is used once; one that is used again ends its whole `family`."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    family = models.UUIDField(db_index=True)
    secret_hash = models.CharField(max_length=64, unique=True)
    issued_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"refresh token {self.pk}"
