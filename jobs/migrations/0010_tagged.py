"""Jobs with a tag, by the index on tags: behind a policy no plan can begin there (see jobs.tagged)."""

from __future__ import annotations

from django.db import migrations

from orgs.wall_operations import definer, reached

_TAGGED = f"""
CREATE FUNCTION jobs_tagged(tag text, most int) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Planned for this tag at each call: a frequent one is found quickest without the index.
    RETURN QUERY EXECUTE $query$
        SELECT id FROM jobs_job
        WHERE tags @> ARRAY[$1]::varchar[] AND tags <> '{{}}' AND ({reached("org_id")})
        ORDER BY id DESC LIMIT $2
    $query$ USING tag, most;
END $$
"""  # nosec B608 - a condition of ours


class Migration(migrations.Migration):
    dependencies = [("jobs", "0009_same_org")]

    operations = [
        migrations.RunSQL(_TAGGED, "DROP FUNCTION jobs_tagged(text, int)"),
        definer("jobs_tagged(text, int)", for_web=True),
    ]
