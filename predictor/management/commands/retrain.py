"""`manage.py retrain`: learn from the execution history, and take up what was learned if it is better."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from predictor import retraining
from predictor.exceptions import PredictorError
from predictor.train import TooLittleHistory


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
        parser.add_argument("--seed", type=_seed, default=0, help="of the random start and order (default 0)")

    def handle(self, *, dry_run: bool, since: datetime | None, limit: int, seed: int, **options: Any) -> None:
        self.stdout.write(f"Learning from the newest {limit} runs at most (--limit).")
        try:
            report = retraining.retrain(
                since=since, limit=limit, seed=seed, dry_run=dry_run, progress=self._progress
            )
        except TooLittleHistory as shortage:
            self.stdout.write(f"Nothing was trained. {shortage}")
            return
        except (AnyDatabaseError, PredictorError) as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(f"Retraining failed: {reason}") from error
        for name, value in report.metrics.items():
            self.stdout.write(f"{name}: {value:.4g}")
        self.stdout.write(report.verdict)

    def _progress(self, epoch: int, loss: float, stop_loss: float) -> None:
        self.stderr.write(f"epoch {epoch}: loss {loss:.4f}, on later runs {stop_loss:.4f}")


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
