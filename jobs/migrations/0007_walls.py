"""Row-level security on what jobs owns."""

from __future__ import annotations

from django.db import migrations

from orgs.wall_operations import policy, read_only


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_suspension"), ("orgs", "0006_walls")]

    operations = [
        policy("jobs_job"),
        policy("jobs_flow"),
        policy("jobs_executionlog"),
        policy("jobs_jobevent"),
        policy("jobs_logline"),
        policy("jobs_pause", shared=True),
        policy("jobs_replay"),
        policy("jobs_limit"),
        policy("jobs_gate"),
        policy("jobs_share"),
        policy("jobs_eta"),
        policy("jobs_etascore"),
        read_only("jobs_schedulerleader"),
    ]
