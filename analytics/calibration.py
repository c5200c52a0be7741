"""How well starts are estimated: of the jobs that started, how many did so inside their first 80 % interval, by day.

Reads what the leader's duty wrote (`jobs.eta_models.EtaScore`); days are in UTC, today included. Called by API, page
and the live replay of the benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import Sum
from django.utils import timezone

from analytics.shared import shared
from jobs.eta_models import EtaScore
from orgs.models import User

DAYS = 14
EXPECTED = 0.8


@dataclass(frozen=True)
class Score:
    """Jobs that started with an estimate, and those that did so inside its interval."""

    started: int = 0
    inside: int = 0

    @property
    def share(self) -> float | None:
        return self.inside / self.started if self.started else None


@dataclass(frozen=True)
class DayScore(Score):
    day: date = date.min


@shared
def by_day(user: User, now: datetime | None = None) -> list[DayScore]:
    """The last DAYS days, oldest first; days without a start are there with zeros."""
    today = (now or timezone.now()).astimezone(UTC).date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    rows = EtaScore.objects.for_user(user).filter(day__gte=days[0]).values("day")
    sums = rows.annotate(all=Sum("started"), hits=Sum("inside")).values_list("day", "all", "hits")
    found = {day: DayScore(started, inside, day) for day, started, inside in sums}
    return [found.get(day) or DayScore(day=day) for day in days]


def overall(days: list[DayScore]) -> Score:
    return Score(sum(day.started for day in days), sum(day.inside for day in days))


def coverage(since: date | None = None) -> Score:
    """Over all organisations, since a day (UTC; None: ever). For benchmarks and operators."""
    rows = EtaScore.objects.all() if since is None else EtaScore.objects.filter(day__gte=since)
    sums = rows.aggregate(started=Sum("started"), inside=Sum("inside"))
    return Score(sums["started"] or 0, sums["inside"] or 0)
