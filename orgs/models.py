"""Who owns what: organisations and their users. Knows nothing of jobs."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.postgres.fields import ArrayField
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
    viewers_see_content = models.BooleanField(
        "viewers see content",
        default=False,
        db_default=False,
        help_text="Whether viewers see payloads, results and output of jobs.",
    )
    # What the platform grants; NULL stands for what settings say, or for no limit.
    job_types: ArrayField[Any, Any] = ArrayField(models.CharField(max_length=20), null=True, blank=True)
    granted_running = models.PositiveIntegerField(
        "jobs running, at most",
        null=True,
        blank=True,
        help_text="The most jobs that the organisation may let run at once; empty: any number.",
    )
    granted_queued = models.PositiveIntegerField(
        "jobs waiting, at most",
        null=True,
        blank=True,
        help_text="The most jobs that the organisation may let wait at once; empty: any number.",
    )
    retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="Days for which ended jobs are kept; empty: as long as the platform keeps them.",
    )
    suspended_at = models.DateTimeField(null=True, blank=True)
    delete_at = models.DateTimeField(null=True, blank=True)  # asked for; until then it can be taken back
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "organisation"
        constraints = [
            models.CheckConstraint(condition=Q(weight__gte=0.01, weight__lte=100), name="orgs_weight_range")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Whether its members may come in and its jobs run: neither suspended nor on its way out."""
        return self.suspended_at is None and self.delete_at is None

    def lets(self, role: str, action: str) -> bool:
        """Whether the organisation's state leaves `action` to its members of this role."""
        if self.suspended_at is not None:
            return False
        return self.delete_at is None or roles.may_while_closing(role, action)


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

    key: ApiKey | None = None  # the API key by which this request came: see orgs.authentication
    seen_as_org_id: int | None = None  # a platform admin looks at one organisation only

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
        """Whether role, organisation and API key, if one was used, allow `action`."""
        if not self.is_active or (self.key is not None and not roles.covers(self.key.scopes, action)):
            return False
        if not self.is_platform_admin and self.org is not None and not self.org.lets(self.role, action):
            return False
        return roles.may(self.role, action) or (
            roles.may_if_org_allows(self.role, action)
            and self.org is not None
            and self.org.viewers_see_content
        )

    @property
    def is_platform_admin(self) -> bool:
        return self.role == roles.ADMIN

    @property
    def acts_everywhere(self) -> bool:
        """Whether the user acts in every organisation: as a platform admin, by no key or by one that says so."""
        return self.is_platform_admin and (
            self.key is None or roles.covers(self.key.scopes, roles.PLATFORM_ADMINISTER)
        )

    @property
    def sees_all(self) -> bool:
        """Whether rows of every organisation are shown: to platform admins, unless they look at one."""
        return self.acts_everywhere and self.seen_as_org_id is None

    @property
    def seen_org_id(self) -> int | None:
        """The one organisation whose rows are shown to whoever does not see all."""
        return self.seen_as_org_id or self.org_id


class AuditEntry(models.Model):
    """What a person did, to what, and when. Rows are only added; `orgs.audit` is the one writer.

    No constraint on org and user: entries outlive both. `seq`, `prev_hash` and `hash` chain the entries of an
    organisation (of the platform for those without); a trigger fills them.
    """

    org = models.ForeignKey(
        Organization,
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    user = models.ForeignKey(
        User, null=True, on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=200, default="")
    details = models.JSONField(default=dict)
    key_id = models.BigIntegerField(null=True)  # the API key by which it was done
    ip = models.GenericIPAddressField("address", null=True)
    request_id = models.CharField(max_length=64, default="", db_default="")
    at = models.DateTimeField(db_default=Now())
    seq = models.BigIntegerField(db_default=0)
    prev_hash = models.CharField(max_length=64, default="", db_default="")
    hash = models.CharField(max_length=64, default="", db_default="")

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            # audit.entries: a page, newest first, of all actions or of one.
            models.Index(fields=["org", "-id"], name="auditentry_of_org"),
            models.Index(fields=["org", "action", "-id"], name="auditentry_of_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()  # without the actor: not every reader may know the name


class AuditHead(models.Model):
    """The end of one organisation's chain of audit entries (0: the platform's): the next one follows from it."""

    org_id = models.BigIntegerField(primary_key=True)
    seq = models.BigIntegerField()
    hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"entry {self.seq}"


from orgs.access_models import ApiKey, Invitation, RefreshToken  # noqa: E402, F401 - Django looks for models here
