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

_CHECK = """
    IF EXISTS (SELECT FROM {rows} {parent} named ON named.id = {row}.{column} WHERE {whose}) THEN
        RAISE foreign_key_violation USING CONSTRAINT = '{table}_{column}_same_org',
            MESSAGE = '{table}.{column} names a row of another organisation';
    END IF;"""
_LINKS = """
CREATE FUNCTION {table}_same_org() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_LEVEL = 'ROW' THEN{of_row}
        RETURN NEW;
    END IF;{of_statement}
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION {table}_same_org() FROM PUBLIC;
CREATE TRIGGER same_org_inserted AFTER INSERT ON {table} REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION {table}_same_org();
CREATE TRIGGER same_org_updated BEFORE UPDATE OF org_id, {columns} ON {table}
    FOR EACH ROW EXECUTE FUNCTION {table}_same_org();
"""


def same_org(table: str, **links: str) -> migrations.RunSQL:
    """What the columns of a row of `table` name, each in the table given for it, is of the row's own organisation."""
    raised = _LINKS.format(
        table=table,
        columns=", ".join(links),
        of_row="".join(
            _check(table, column, parent, "NEW", "(SELECT) one JOIN") for column, parent in links.items()
        ),
        of_statement="".join(
            _check(table, column, parent, "added", "added JOIN") for column, parent in links.items()
        ),
    )
    lowered = f"""
        DROP TRIGGER same_org_inserted ON {table};
        DROP TRIGGER same_org_updated ON {table};
        DROP FUNCTION {table}_same_org();
    """
    return migrations.RunSQL(raised, lowered)


def _check(table: str, column: str, parent: str, row: str, rows: str) -> str:
    whose = (_WHOSE_USER if parent == "orgs_user" else _WHOSE).format(row=row)
    return _CHECK.format(table=table, column=column, parent=parent, row=row, rows=rows, whose=whose)
