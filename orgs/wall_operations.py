"""Migration operations of the second wall: the role, its rights, and the policy of each tenant table.

`orgs.walls` says who uses the role. The owner of the tables is not held by policies: workers, schedulers and
migrations log in as the owner. tests/orgs/test_walls.py finds tables that carry an organisation and have no policy.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.db import migrations
from django.db.utils import ProgrammingError

from orgs.walls import ROLE, SETTING

# Sub-selects, so that each is worked out once for a statement and not once for each row; with a cast around it, the
# second is an array and not a list of rows.
_ALL = f"(SELECT current_setting('{SETTING}', true) = '*')"
_REACHED = f"(SELECT string_to_array(nullif(current_setting('{SETTING}', true), '*'), ','))::bigint[]"

_RIGHTS = f"""
GRANT USAGE ON SCHEMA public TO {ROLE};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {ROLE};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {ROLE};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {ROLE};
REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {ROLE};
"""  # noqa: S608 - constants
_NO_RIGHTS = f"""
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM {ROLE};
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM {ROLE};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {ROLE};
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE};
REVOKE USAGE ON SCHEMA public FROM {ROLE};
"""


class NoRole(CommandError):
    """The role for web requests is missing, and this login may not make it."""


def grant_role() -> migrations.operations.base.Operation:
    """The role exists, this login may take it, and it may use what is in the schema now and later."""
    return migrations.RunPython(_grant_role, _revoke_role)


def reached(column: str) -> str:
    """SQL: whether the statement's settings reach the organisation that `column` names."""
    return f"({_ALL} OR {column} = ANY ({_REACHED}))"


def policy(
    table: str, column: str = "org_id", *, shared: bool = False, only_all_write: str = "false"
) -> migrations.RunSQL:
    """Rows of `table` are reached by the organisation that `column` names; with `shared`, everybody may read those
    that name none. `only_all_write`: rows, by an SQL condition, that only who reaches everything may write."""
    rows = reached(column)
    more = f"CREATE POLICY shared ON {table} FOR SELECT TO {ROLE} USING ({column} IS NULL);" if shared else ""
    return _policy(table, rows, more, f"{rows} AND ({_ALL} OR NOT ({only_all_write}))")


def policy_through(table: str, column: str, parent: str) -> migrations.RunSQL:
    """Rows of `table` are reached with the organisation of the row of `parent` that `column` names."""
    mine = f"parent.id = {column} AND {reached('parent.org_id')}"
    rows = f"{_ALL} OR EXISTS (SELECT FROM {parent} parent WHERE {mine})"  # nosec B608 - our own names
    return _policy(table, rows, "", rows)


def read_only(table: str) -> migrations.RunSQL:
    """Web requests never write `table`."""
    return migrations.RunSQL(
        f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM {ROLE}",
        f"GRANT INSERT, UPDATE, DELETE ON {table} TO {ROLE}",
    )


def definer(signature: str, *, for_web: bool) -> migrations.RunSQL:
    """A function that runs as the owner is for web requests, or for triggers alone; by default it is for everybody."""
    grant = f"GRANT EXECUTE ON FUNCTION {signature} TO {ROLE};" if for_web else ""
    return migrations.RunSQL(
        f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC; {grant}",
        f"GRANT EXECUTE ON FUNCTION {signature} TO PUBLIC",
    )


def _policy(table: str, rows: str, more: str, written: str) -> migrations.RunSQL:
    raised = f"""
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON {table} TO {ROLE} USING ({rows}) WITH CHECK ({written});
        {more}
    """
    lowered = f"""
        DROP POLICY IF EXISTS shared ON {table};
        DROP POLICY tenant ON {table};
        ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
    """
    return migrations.RunSQL(raised, lowered)


def _grant_role(apps: Any, editor: Any) -> None:
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        [login] = cursor.fetchone()
        remedy = (
            f"{login} may not make the role {ROLE}, or act as it. A superuser of the server has to run, once: "
            f'CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO "{login}";'
        )
        _make_role(editor, cursor, remedy)
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [ROLE])
        if cursor.fetchone()[0]:
            raise NoRole(f"The role {ROLE} is a superuser or has BYPASSRLS: no policy would hold it.")
        cursor.execute(_RIGHTS)


def _make_role(editor: Any, cursor: Any, remedy: str) -> None:
    try:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE])
        if not cursor.rowcount:
            cursor.execute(f"CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO CURRENT_USER")
        cursor.execute(f"SET LOCAL ROLE {ROLE}")
        cursor.execute("RESET ROLE")
    except ProgrammingError as error:
        raise NoRole(remedy) from error


def _revoke_role(apps: Any, editor: Any) -> None:
    """The role itself stays: other databases of the server may use it."""
    with editor.connection.cursor() as cursor:
        cursor.execute(_NO_RIGHTS)
