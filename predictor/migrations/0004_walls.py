"""Row-level security on what is known of each organisation's runs."""

from __future__ import annotations

from django.db import migrations

from orgs.wall_operations import policy


class Migration(migrations.Migration):
    dependencies = [("predictor", "0003_history_and_trust"), ("orgs", "0006_walls")]

    operations = [policy("predictor_runhistory"), policy("predictor_trust", shared=True)]
