"""`manage.py retrain`: learn from the execution history, and take up what was learned if it is better."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from orgs.models import Organization
from predictor import report, retraining
from predictor.exceptions import PredictorError
from predictor.retraining import TooLittleHistory

_BAR = 30  # characters


class Command(BaseCommand):
    help = "Train the predictor on the execution history; the new version goes live if it beats the base."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="train and measure, store nothing")
        parser.add_argument("--since", type=_moment, metavar="TIME", help="only runs from this ISO time on")
        parser.add_argument(
            "--limit",
            type=_limit,
            default=retraining.DEFAULT_LIMIT,
            metavar="RUNS",
            help="only the newest so many runs (default %(default)s)",
        )
        parser.add_argument("--org", metavar="NAME", help="only runs of this organisation")
        parser.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page on how it went")
        parser.add_argument("--seed", type=_seed, default=0, help="of the random start and order (default 0)")

    def handle(
        self, *, dry_run: bool, since: datetime | None, limit: int, seed: int, org: str | None,
        report: Path | None, **options: Any,
    ) -> None:  # fmt: skip
        self.stdout.write(f"Learning from the newest {limit} runs at most (--limit).")
        try:
            done = retraining.retrain(
                since=since,
                limit=limit,
                org_id=_org_id(org),
                seed=seed,
                dry_run=dry_run,
                progress=self._progress,
            )
        except TooLittleHistory as shortage:
            self.stdout.write(f"Nothing was trained. {shortage}")
            return
        except (AnyDatabaseError, PredictorError) as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(f"Retraining failed: {reason}") from error
        for name, value in done.metrics.items():
            self.stdout.write(f"{name}: {value:.4g}")
        self.stdout.write(done.verdict)
        if report:
            self._write_report(report, done)

    def _progress(self, stage: str, share: float, said: str) -> None:
        """On a terminal a bar that moves; elsewhere a line when a stage is over."""
        filled = round(share * _BAR)
        line = f"{stage:<9} [{'#' * filled}{' ' * (_BAR - filled)}] {share:4.0%} {said}"
        if self.stderr.isatty():
            self.stderr.write(f"\r{line}", ending="\n" if share >= 1 else "")
        elif share >= 1:
            self.stderr.write(line)

    def _write_report(self, path: Path, done: retraining.Report) -> None:
        try:
            report.write(
                path, title="Retraining", summary=dict(done.metrics), verdict=done.verdict, runs=done.judged
            )
        except OSError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The report is in {path}.")


def _org_id(name: str | None) -> int | None:
    if name is None:
        return None
    found = Organization.objects.filter(name=name).values_list("pk", flat=True).first()
    if found is None:
        raise CommandError(f"--org: there is no organisation {name!r}; expected the name of one.")
    return found


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a date such as 2026-01-31, got {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _limit(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got {text!r}")
    return int(text)
