"""Row-level security on what orgs owns, and on the admin's own log."""

from __future__ import annotations

from django.db import migrations

from orgs.wall_operations import grant_role, policy, policy_through

# What a platform admin did is shown to members as done by the platform (orgs.actors): who is one must be known.
_PLATFORM_ADMINS = "CREATE POLICY platform ON orgs_user FOR SELECT TO smartqueue_web USING (role = 'admin')"


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0005_access"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        grant_role(),
        policy("orgs_organization", "id"),
        policy("orgs_user"),
        policy("orgs_auditentry"),
        policy("orgs_audithead"),
        policy("orgs_invitation"),
        policy("orgs_apikey"),
        policy_through("orgs_refreshtoken", "user_id", "orgs_user"),
        policy_through("orgs_user_groups", "user_id", "orgs_user"),
        policy_through("orgs_user_user_permissions", "user_id", "orgs_user"),
        policy_through("django_admin_log", "user_id", "orgs_user"),
        migrations.RunSQL(_PLATFORM_ADMINS, "DROP POLICY platform ON orgs_user"),
    ]
