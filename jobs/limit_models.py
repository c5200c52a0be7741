"""What limits organisations, and what they have received: see jobs.claims for who counts, jobs.fairness for the shares.

A `Limit` is what people set; a `Gate` is its counter, which claims lock and count in. A concurrency key has a gate of
its own from its first job on, whether a limit names it or not.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.org_models import OrgModel, WrittenByQueue
from jobs.transactions import CurrentTransaction

ORG, QUEUE, KEY = "org", "queue", "key"
SCOPES = (ORG, QUEUE, KEY)
EVERY_KEY = "*"
KEY_RUNNING = 1  # of one concurrency key at a time, unless a limit says otherwise
EVERYTHING = 0  # GateOpening.gate_id: whatever was closed may be open


class Limit(OrgModel):
    """How much of an organisation, of one queue of it, or of one concurrency key may run, begin or wait.

    `name` is the queue or the key, `*` for each key that has no limit of its own, and empty for the organisation.
    """

    scope = models.CharField(max_length=10, choices=[(scope, scope) for scope in SCOPES])
    name = models.CharField(max_length=200, default="", blank=True)
    max_running = models.IntegerField(null=True, blank=True)
    rate_count = models.IntegerField(null=True, blank=True)  # so many jobs begin in
    rate_period_s = models.FloatField(null=True, blank=True)
    max_queued = models.IntegerField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["org", "scope", "name"], name="limit_unique"),
            models.CheckConstraint(condition=Q(scope__in=SCOPES), name="limit_scope_known"),
            models.CheckConstraint(
                condition=Q(scope=ORG, name="") | (~Q(scope=ORG) & ~Q(name="")), name="limit_names_its_scope"
            ),
            models.CheckConstraint(
                condition=Q(max_running__isnull=True) | Q(max_running__gte=0), name="limit_max_running_range"
            ),
            models.CheckConstraint(
                condition=Q(rate_count__isnull=True, rate_period_s__isnull=True)
                | Q(rate_count__gte=1, rate_period_s__gt=0),
                name="limit_rate_whole",
            ),
            models.CheckConstraint(
                condition=Q(max_queued__isnull=True) | Q(scope=ORG, max_queued__gte=0),
                name="limit_max_queued_of_org",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.name}".strip()


class Gate(OrgModel):
    """Counts what runs, and the tokens that are left, where a limit may be in force."""

    scope = models.CharField(max_length=10)
    name = models.CharField(max_length=200, default="")
    running = models.IntegerField(default=0, db_default=0)
    tokens = models.FloatField(null=True)  # at tokens_at; NULL: as many as there may be
    tokens_at = models.DateTimeField(db_default=Now())
    waiting = models.BooleanField(
        default=False, db_default=False
    )  # a claim was turned away since it last opened

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["org", "scope", "name"], name="gate_unique"),
            models.CheckConstraint(condition=Q(running__gte=0), name="gate_running_range"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.name}: {self.running} running"


class GateOpening(models.Model):
    """A gate that turned claims away lets some in again; found by the number of its transaction, like arrivals."""

    gate_id = models.BigIntegerField()
    xid = models.BigIntegerField(db_default=CurrentTransaction())
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["xid"], name="gateopening_by_xid")]

    def __str__(self) -> str:
        return f"gate {self.gate_id}"


class Share(WrittenByQueue):
    """What an organisation has received, in worker-seconds, as the workers tell once a second.

    `charged_s` since ever, by which workers tell each other; `recent_s` what is left of it as it decays, and `lead_s`
    how far the organisation is ahead of its turn, for people.
    """

    charged_s = models.FloatField(default=0.0)
    recent_s = models.FloatField(default=0.0)
    lead_s = models.FloatField(default=0.0)
    as_of = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org"], name="share_unique")]

    def __str__(self) -> str:
        return f"{self.recent_s:.1f} s"
