"""Row-level security on what orgs owns, and on the admin's own log."""

from __future__ import annotations

from django.db import migrations

from orgs.wall_operations import definer, grant_role, policy, policy_through

# What a platform admin did is shown to members as done by the platform (orgs.actors), whose rows they do not reach.
_IS_PLATFORM_ADMIN = """
CREATE FUNCTION orgs_is_platform_admin(bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$ SELECT EXISTS (SELECT FROM orgs_user WHERE id = $1 AND role = 'admin') $$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0005_access"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        grant_role(),
        policy("orgs_organization", "id"),
        policy("orgs_user", only_all_write="role = 'admin'"),
        policy("orgs_auditentry"),
        policy("orgs_audithead"),
        policy("orgs_invitation"),
        policy("orgs_apikey"),
        policy_through("orgs_refreshtoken", "user_id", "orgs_user"),
        policy_through("orgs_user_groups", "user_id", "orgs_user"),
        policy_through("orgs_user_user_permissions", "user_id", "orgs_user"),
        policy_through("django_admin_log", "user_id", "orgs_user"),
        migrations.RunSQL(_IS_PLATFORM_ADMIN, "DROP FUNCTION orgs_is_platform_admin(bigint)"),
        definer("orgs_is_platform_admin(bigint)", for_web=True),
    ]
