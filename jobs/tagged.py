"""Jobs that have a tag, found by their index although a policy stands before the table.

PostgreSQL applies a policy before any operator that is not declared leakproof, as `@>` is not, so behind the wall no
plan begins at the index on tags. The function of migration 0010 may, and holds itself to the same wall. Called by
jobs.selectors.
"""

from __future__ import annotations

from django.db.models import QuerySet

from jobs.models import Job
from orgs import walls

MOST = 1000  # a tag of more jobs is frequent: reading the newest first soon fills a page


def with_tag(found: QuerySet[Job], tag: str) -> QuerySet[Job]:
    if walls.reach() is not None:
        parameters = {"tag": tag, "most": MOST}
        ids = [pk for (pk,) in walls.rows_of("SELECT jobs_tagged(%(tag)s, %(most)s)", parameters)]
        if len(ids) < MOST:
            return found.filter(pk__in=ids)
    return found.filter(tags__contains=[tag]).exclude(tags=[])  # as the partial index job_tags has it
