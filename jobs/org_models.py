"""What the models of the queue have in common: whose a row is."""

from __future__ import annotations

from django.db import models

from orgs.models import Organization
from orgs.scoping import OrgManager


class OrgModel(models.Model):
    """A row that belongs to an organisation."""

    # No index on org alone: each model has those that its queries read, and a second one tempts the planner.
    org = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)

    objects = OrgManager()

    class Meta:
        abstract = True


class WrittenByQueue(OrgModel):
    """A row that only the queue's own statements write, with the job and org of the job that they move.

    No foreign key in the database: its check would cost each of three rows per job as much as the row.
    """

    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )

    class Meta:
        abstract = True
