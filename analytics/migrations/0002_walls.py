"""Row-level security on the samples of the queue's depth."""

from __future__ import annotations

from django.db import migrations

from orgs.wall_operations import policy


class Migration(migrations.Migration):
    dependencies = [("analytics", "0001_initial"), ("orgs", "0006_walls")]

    operations = [policy("analytics_queuesample")]
