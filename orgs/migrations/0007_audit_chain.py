"""The audit log is chained by the database, which takes no change and no deletion of its entries.

`orgs.audit_chain` verifies the chains with the function that made them.
"""

from __future__ import annotations

from django.db import migrations

from orgs.wall_operations import definer
from orgs.walls import ROLE

# Every column but the hash itself, in one form whatever the session's settings are: `details` as jsonb writes it,
# times in UTC with microseconds.
_HASH = """
CREATE FUNCTION orgs_audit_hash(entry orgs_auditentry) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp
AS $$
    SELECT encode(sha256(convert_to(jsonb_build_array(
        entry.id, entry.org_id, entry.user_id, entry.actor, entry.action, entry.target, entry.details,
        entry.key_id, entry.ip::text, entry.request_id,
        to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        entry.seq, entry.prev_hash
    )::text, 'UTF8')), 'hex')
$$;
"""
# The head is locked until the transaction ends: entries of one organisation are added one after the other, so a
# chain has no gap and no fork. It runs as the owner: nobody else may write heads.
_CHAIN = """
CREATE FUNCTION orgs_audit_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    chain bigint := coalesce(NEW.org_id, 0);
    head orgs_audithead;
BEGIN
    SELECT * INTO head FROM orgs_audithead WHERE org_id = chain FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO orgs_audithead (org_id, seq, hash) VALUES (chain, 0, '') ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM orgs_audithead WHERE org_id = chain FOR UPDATE;
    END IF;
    NEW.seq := head.seq + 1;
    NEW.prev_hash := head.hash;
    NEW.hash := orgs_audit_hash(NEW);
    UPDATE orgs_audithead SET seq = NEW.seq, hash = NEW.hash WHERE org_id = chain;
    RETURN NEW;
END
$$;
"""
_REFUSE = """
CREATE FUNCTION orgs_audit_refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    -- Heads are moved by the trigger that chains a new entry, and by nothing else.
    IF TG_TABLE_NAME = 'orgs_audithead' AND pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'The audit log takes new entries only: % on % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
"""
_CHAIN_WHAT_IS_THERE = """
DO $$
DECLARE
    entry orgs_auditentry;
BEGIN
    -- Until the triggers are there: a process of the version before must not add one in between.
    LOCK TABLE orgs_auditentry IN SHARE ROW EXCLUSIVE MODE;
    FOR entry IN SELECT * FROM orgs_auditentry ORDER BY coalesce(org_id, 0), id LOOP
        INSERT INTO orgs_audithead (org_id, seq, hash) VALUES (coalesce(entry.org_id, 0), 0, '') ON CONFLICT DO NOTHING;
        SELECT seq + 1, hash INTO entry.seq, entry.prev_hash
            FROM orgs_audithead WHERE org_id = coalesce(entry.org_id, 0);
        entry.hash := orgs_audit_hash(entry);
        UPDATE orgs_auditentry SET seq = entry.seq, prev_hash = entry.prev_hash, hash = entry.hash WHERE id = entry.id;
        UPDATE orgs_audithead SET seq = entry.seq, hash = entry.hash WHERE org_id = coalesce(entry.org_id, 0);
    END LOOP;
END
$$;
"""
# TRUNCATE stays with the owner: it empties test databases.
_TRIGGERS = f"""
CREATE UNIQUE INDEX auditentry_of_chain ON orgs_auditentry (coalesce(org_id, 0), seq);
CREATE TRIGGER chain BEFORE INSERT ON orgs_auditentry FOR EACH ROW EXECUTE FUNCTION orgs_audit_chain();
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON orgs_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION orgs_audit_refuse();
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON orgs_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION orgs_audit_refuse();
REVOKE UPDATE, DELETE, TRUNCATE ON orgs_auditentry FROM {ROLE};
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON orgs_audithead FROM {ROLE};
"""
_NO_TRIGGERS = f"""
DROP TRIGGER chain ON orgs_auditentry;
DROP TRIGGER refuse ON orgs_auditentry;
DROP TRIGGER refuse ON orgs_audithead;
DROP INDEX auditentry_of_chain;
GRANT UPDATE, DELETE ON orgs_auditentry TO {ROLE};
GRANT INSERT, UPDATE, DELETE ON orgs_audithead TO {ROLE};
"""


class Migration(migrations.Migration):
    dependencies = [("orgs", "0006_walls")]

    operations = [
        migrations.RunSQL(_HASH, "DROP FUNCTION orgs_audit_hash(orgs_auditentry)"),
        migrations.RunSQL(_CHAIN, "DROP FUNCTION orgs_audit_chain()"),
        definer("orgs_audit_chain()", for_web=False),
        migrations.RunSQL(_REFUSE, "DROP FUNCTION orgs_audit_refuse()"),
        migrations.RunSQL(_CHAIN_WHAT_IS_THERE, "DELETE FROM orgs_audithead"),
        migrations.RunSQL(_TRIGGERS, _NO_TRIGGERS),
    ]
