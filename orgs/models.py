"""Who owns what: organisations and their users. Knows nothing of jobs."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from orgs import roles


class Organization(models.Model):
    """One tenant. Everything that a tenant owns carries its id."""

    name = models.CharField(max_length=100, unique=True)
    weight = models.FloatField(
        default=1.0,
        db_default=1.0,
        validators=[MinValueValidator(0.01), MaxValueValidator(100.0)],
        help_text="Part of the workers' time where organisations compete, relative to the others' (0.01 to 100).",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "organisation"
        constraints = [
            models.CheckConstraint(condition=Q(weight__gte=0.01, weight__lte=100), name="orgs_weight_range")
        ]

    def __str__(self) -> str:
        return self.name


class Users(UserManager["User"]):
    """Makes users. `manage.py createsuperuser` makes a platform admin: roles decide, not Django's flags."""

    use_in_migrations = False

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **fields: Any
    ) -> User:
        return super().create_superuser(username, email, password, **{"role": roles.ADMIN, **fields})


class User(AbstractUser):
    """One person or program. Belongs to at most one organisation; platform admins to none or one."""

    role = models.CharField(max_length=20, choices=list(roles.ROLES.items()), default=roles.USER)
    org = models.ForeignKey(
        Organization, null=True, blank=True, on_delete=models.PROTECT, related_name="members"
    )

    objects: ClassVar[Users] = Users()

    class Meta:
        ordering = ["username"]
        constraints = [
            models.CheckConstraint(condition=Q(role__in=list(roles.ROLES)), name="orgs_user_role_known"),
            models.CheckConstraint(
                condition=~Q(role=roles.ORG_ADMIN) | Q(org__isnull=False),
                name="orgs_user_org_admin_has_org",
                violation_error_message="An org admin needs an organisation.",
            ),
        ]

    def __str__(self) -> str:
        return self.username

    def may(self, action: str) -> bool:
        return self.is_active and roles.may(self.role, action)

    @property
    def is_platform_admin(self) -> bool:
        return self.role == roles.ADMIN


class AuditEntry(models.Model):
    """What a person did, to what, and when. Rows are only added; `orgs.audit` is the one writer."""

    org = models.ForeignKey(
        Organization, null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=200, default="")
    details = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            # audit.entries: a page, newest first, of all actions or of one.
            models.Index(fields=["org", "-id"], name="auditentry_of_org"),
            models.Index(fields=["org", "action", "-id"], name="auditentry_of_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()  # without the actor: not every reader may know the name
