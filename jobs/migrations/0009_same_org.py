"""No row of jobs names a row of another organisation."""

from __future__ import annotations

from django.db import migrations

from orgs.link_operations import same_org


class Migration(migrations.Migration):
    dependencies = [("jobs", "0008_dead_letters"), ("orgs", "0006_walls")]

    operations = [
        same_org("jobs_job", user_id="orgs_user", flow_id="jobs_flow", replay_of_id="jobs_job"),
        same_org("jobs_executionlog", job_id="jobs_job"),
        same_org("jobs_jobevent", job_id="jobs_job"),
        same_org("jobs_logline", job_id="jobs_job"),
        same_org("jobs_pause", created_by_id="orgs_user"),
        same_org("jobs_replay", user_id="orgs_user"),
        same_org("jobs_eta", job_id="jobs_job"),
    ]
