"""Verifies the chains of the audit log; called by `manage.py verify_audit`.

The database chains entries and refuses to change them (migration 0007). Who can switch that off can still rewrite a
chain from some entry to its end and its head: only a head that was kept elsewhere tells that (`expected`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from django.db import connection, transaction

PLATFORM = 0  # the chain of entries without an organisation

_BATCH = 1000
# Entries and heads in one statement, which sees one state of the log: entries are added meanwhile.
_LINKS = """
SELECT * FROM (
    SELECT coalesce(org_id, 0) AS chain, id, seq, prev_hash, hash, orgs_audit_hash(entry) FROM orgs_auditentry AS entry
    UNION ALL
    SELECT org_id, NULL, seq, '', hash, hash FROM orgs_audithead
) AS link
WHERE %(chain)s::bigint IS NULL OR chain = %(chain)s
ORDER BY chain, id IS NULL, seq
"""


class Link(NamedTuple):
    """An entry; or, as the last one of its chain and without an id, the head."""

    chain: int
    id: int | None
    seq: int
    prev_hash: str
    hash: str
    right_hash: str


@dataclass(slots=True)
class Verdict:
    """What is to say of one chain: its last entry, and what is wrong with it in sentences."""

    chain: int
    seq: int
    hash: str
    problems: list[str]


def verify(chain: int | None = None, *, expected: Iterable[tuple[int, int, str]] = ()) -> Iterator[Verdict]:
    """A verdict of each chain, or of one; `expected` names (chain, seq, hash) of entries as they were before."""
    kept: dict[int, dict[int, str]] = {}
    for of, seq, value in expected:
        kept.setdefault(of, {})[seq] = value
    for of, links in groupby(_links(chain), key=lambda link: link.chain):
        yield judge(of, links, kept.pop(of, {}))
    for of, missing in kept.items():
        yield judge(of, (), missing)


def judge(chain: int, links: Iterable[Link], kept: dict[int, str]) -> Verdict:
    """Read a chain once from its first entry; `kept` has hashes by seq, as they were before."""
    seq, hash, head, problems = 0, "", None, list[str]()
    expected = dict(kept)
    for link in links:
        if link.id is None:
            head = link
            break
        problems += _problems(link, seq, hash)
        if expected.pop(link.seq, link.hash) != link.hash:
            problems.append(f"entry {link.seq} is not the one that is expected")
        seq, hash = link.seq, link.hash
    problems += _problems_of_head(head, seq, hash)
    problems += [f"entry {at} is expected and missing" for at in expected]
    return Verdict(chain, seq, hash, problems)


def _problems(link: Link, last: int, last_hash: str) -> Iterator[str]:
    if link.seq != last + 1:
        gap = str(last + 1) if link.seq == last + 2 else f"{last + 1} to {link.seq - 1}"
        yield f"entry {gap} is missing" if link.seq > last else f"entry {link.seq} is there more than once"
    elif link.prev_hash != last_hash:
        yield f"entry {link.seq} (id {link.id}) does not follow from the one before it: one of them was replaced"
    if link.hash != link.right_hash:
        yield f"entry {link.seq} (id {link.id}) was edited"


def _problems_of_head(head: Link | None, last: int, last_hash: str) -> Iterator[str]:
    if head is None:
        if last:
            yield "the head of the chain is missing"
    elif head.seq > last:
        gap = str(head.seq) if head.seq == last + 1 else f"{last + 1} to {head.seq}"
        yield f"entry {gap} is missing at the end"
    elif (head.seq, head.hash) != (last, last_hash):
        yield f"the head of the chain names entry {head.seq}, which is not the last one"


def _links(chain: int | None) -> Iterator[Link]:
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(_LINKS, {"chain": chain})
        while rows := cursor.fetchmany(_BATCH):
            yield from map(Link._make, rows)
