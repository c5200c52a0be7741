"""`manage.py verify_audit`: find edited and deleted entries of the audit log."""

from __future__ import annotations

import argparse
import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orgs import audit_chain
from orgs.models import AuditHead, Organization

Expected = tuple[int, int, str]


class Command(BaseCommand):
    help = (
        "Verify the chain of audit entries of each organisation. Prints ORG:SEQ:HASH of each last entry: kept "
        "elsewhere and given to --expect later, it tells also that a whole chain was rewritten."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--org",
            metavar="NAME_OR_ID",
            help=f"this organisation only ({audit_chain.PLATFORM}: what concerns the whole platform)",
        )
        parser.add_argument(
            "--expect",
            action="append",
            default=[],
            type=_expected,
            metavar="ORG:SEQ:HASH",
            help="an entry that must be there as it was when this command printed it; may be repeated",
        )

    def handle(self, *, org: str | None, expect: list[Expected], **options: Any) -> None:
        chain = None if org is None else _chain(org)
        if strangers := [one for one in expect if chain not in (None, one[0])]:
            raise CommandError(f"--expect names organisation {strangers[0][0]}, --org another one.")
        names = dict(Organization.objects.values_list("pk", "name"))
        broken = seen = 0
        for verdict in audit_chain.verify(chain, expected=expect):
            seen += 1
            name = (
                "the platform"
                if verdict.chain == audit_chain.PLATFORM
                else names.get(verdict.chain, "deleted")
            )
            broken += bool(verdict.problems)
            self._tell(verdict, f"{verdict.chain} ({name})")
        if broken:
            raise CommandError(f"{broken} of {seen} chains are broken.")
        if not seen:
            self.stdout.write("There are no audit entries.")

    def _tell(self, verdict: audit_chain.Verdict, org: str) -> None:
        for problem in verdict.problems:
            self.stderr.write(f"organisation {org}: {problem}.")
        if not verdict.problems:
            head = f"{verdict.chain}:{verdict.seq}:{verdict.hash}"
            self.stdout.write(f"organisation {org}: unbroken; last entry {head}")


def _chain(name_or_id: str) -> int:
    """Of an organisation that is gone, its chain is still there."""
    if name_or_id == str(audit_chain.PLATFORM):
        return audit_chain.PLATFORM
    if found := Organization.objects.filter(name=name_or_id).values_list("pk", flat=True).first():
        return found
    if re.fullmatch(r"[1-9][0-9]{0,17}", name_or_id):
        known = AuditHead.objects.filter(pk=name_or_id) or Organization.objects.filter(pk=name_or_id)
        if known:
            return int(name_or_id)
    raise CommandError(f"--org: there is no organisation {name_or_id!r}; expected a name or an id.")


def _expected(text: str) -> Expected:
    found = re.fullmatch(r"([0-9]{1,18}):([1-9][0-9]{0,17}):([0-9a-f]{64})", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: expected ORG:SEQ:HASH as verify_audit prints it")
    return int(found[1]), int(found[2]), found[3]
