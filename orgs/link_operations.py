"""Migration operations that keep rows of one organisation from naming rows of another.

Triggers and not composite foreign keys: those would lock the named row, which all of an organisation's submissions
share, and forbid a user to leave while rows name them (decisions 6 and 11). What is inserted is checked once for a
statement, however many rows; an update is checked where it writes one of the columns. The functions run as the owner
of the tables, so that a row behind the wall counts as well.
"""

from __future__ import annotations

from django.db import migrations

_WHOSE = "named.org_id IS DISTINCT FROM {row}.org_id"
# Users come and go, so it counts where they belong when the row is written; platform admins act everywhere.
_WHOSE_USER = f"{_WHOSE} AND named.role <> 'admin'"

_LINK = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        IF EXISTS (SELECT FROM {parent} named WHERE named.id = NEW.{column} AND {whose_new}) THEN
            RAISE foreign_key_violation USING MESSAGE = '{message}', CONSTRAINT = '{name}';
        END IF;
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT FROM added JOIN {parent} named ON named.id = added.{column} WHERE {whose_added}) THEN
        RAISE foreign_key_violation USING MESSAGE = '{message}', CONSTRAINT = '{name}';
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC;
CREATE TRIGGER {name}_inserted AFTER INSERT ON {table} REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION {name}();
CREATE TRIGGER {name}_updated BEFORE UPDATE OF org_id, {column} ON {table}
    FOR EACH ROW EXECUTE FUNCTION {name}();
"""


def same_org(table: str, column: str, parent: str) -> migrations.RunSQL:
    """What `column` of a row of `table` names, in `parent`, is of the row's own organisation."""
    name = f"{table}_{column}_same_org"
    whose = _WHOSE_USER if parent == "orgs_user" else _WHOSE
    raised = _LINK.format(
        name=name,
        table=table,
        column=column,
        parent=parent,
        message=f"{table}.{column} names a row of another organisation",
        whose_new=whose.format(row="NEW"),
        whose_added=whose.format(row="added"),
    )
    lowered = f"""
        DROP TRIGGER {name}_inserted ON {table};
        DROP TRIGGER {name}_updated ON {table};
        DROP FUNCTION {name}();
    """
    return migrations.RunSQL(raised, lowered)
