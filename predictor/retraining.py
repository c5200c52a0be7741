"""One retraining: read the history, train, store the version, put it in force if it earned it.

Called by `manage.py retrain` and, when enough has ended since or predictions got worse, by
predictor.learning.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from django.db import transaction

from predictor import keeping, report, selectors, store
from predictor.estimate import in_ms
from predictor.exceptions import FailedTraining
from predictor.history import Run
from predictor.learner import Judged, Learner, Verdict
from predictor.lstm import Array
from predictor.models import ModelVersion
from predictor.shadow import Shadows
from predictor.train import Progress

DEFAULT_LIMIT = 100_000
MIN_RUNS = 50
KEEP_REJECTED = 5
CONTEXT = 5_000  # runs before the ones that are judged


class TooLittleHistory(Exception):
    """There is not enough history to learn from; the message says how much there is and what to do."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}. Run more jobs over time and try again.")


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it: the metrics, the stored version (None on a dry run), a sentence, and the newest runs."""

    metrics: dict[str, float]
    version: ModelVersion | None
    verdict: str
    judged: Sequence[report.Judged] = field(default=(), repr=False)


def retrain(
    *,
    since: datetime | None = None,
    limit: int = DEFAULT_LIMIT,
    org_id: int | None = None,
    seed: int = 0,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Learn from the newest `limit` runs since `since`. Of one organisation only to see what comes of it: nothing
    is stored, as the model is everybody's. Raises TooLittleHistory, a PredictorError or a database error; then
    nothing has changed."""
    runs = selectors.newest_runs(limit, since, org_id)
    if len(runs) < MIN_RUNS:
        raise TooLittleHistory(f"Expected at least {MIN_RUNS} ended runs, found {len(runs)}")
    learner = Learner(np.random.default_rng(seed), model=store.active().network)
    learner.online = False  # the model in force is compared as it is
    tell(learner, runs, progress)
    verdict = learner.retrain(progress)
    if verdict is None:
        raise TooLittleHistory(
            f"Of {len(runs)} runs too few were asked for after another run of their type had ended, and the "
            "rest cannot be predicted from another"
        )
    _check_finite(verdict)
    metrics, judged = _metrics(verdict, runs), [_for_report(one, verdict) for one in verdict.judged]
    if dry_run or org_id is not None:
        why = "dry run" if dry_run else "of one organisation"
        return Report(metrics, None, f"{_sentence(verdict)}; {why}, nothing was stored.", judged)
    version = _stored(learner, verdict, metrics, runs)
    return Report(
        metrics, version, f"{_sentence(verdict)}; version {version.pk} is {_state(version)}.", judged
    )


def tell(learner: Learner, runs: Sequence[Run], progress: Progress | None = None) -> None:
    """Each run in the order of time: asked for when it was, ended when it did."""
    for number, _ in enumerate(telling(learner, runs), start=1):
        if progress and (number % 1000 == 0 or number == len(runs)):
            progress("reading", number / len(runs), f"{number:,} of {len(runs):,} runs")


def telling(learner: Learner, runs: Sequence[Run]) -> Iterator[Run]:
    """As `tell`; yields each run after its end was told. Retries were never asked for: they only end."""
    going: list[tuple[float, int, Run]] = []
    for number, run in enumerate(sorted(runs, key=lambda run: run.ask.at)):
        while going and going[0][0] <= run.ask.at:
            yield _end(learner, *heapq.heappop(going)[1:])
        ticket = learner.ask(run.ask) if run.ask.attempt == 1 else -number
        heapq.heappush(going, (run.ended_at, ticket, run))
    while going:
        yield _end(learner, *heapq.heappop(going)[1:])


def _end(learner: Learner, ticket: int, run: Run) -> Run:
    if ticket > 0:
        learner.ended(ticket, run)
        learner.forget(ticket)
    else:
        learner.seen(run)
    return run


def _stored(
    learner: Learner, verdict: Verdict, metrics: dict[str, float], runs: Sequence[Run]
) -> ModelVersion:
    times = [datetime.fromtimestamp(run.ended_at, UTC) for run in runs]
    with transaction.atomic():
        version = store.save(
            store.pack(verdict.model, learner.levels),
            origin=ModelVersion.RETRAIN,
            metrics=metrics,
            trained_on=len(runs),
            window=(min(times), max(times)),
        )
        if verdict.accepted and not store.is_pinned():
            store.activate(version)
            keeping.keep_trust(_believed(verdict, runs).changed)
        store.prune_rejected(KEEP_REJECTED)
    return version


def _believed(verdict: Verdict, runs: Sequence[Run]) -> Shadows:
    """How far the new version is believed from its first prediction on: as if it had served the newest runs,
    which it was judged by and not taught. What came before them only fills the windows."""
    learner = Learner(np.random.default_rng(0), model=verdict.model)
    learner.online = False
    judged = len(verdict.judged)
    newest = sorted(runs, key=lambda run: run.ended_at)[-(judged + CONTEXT) :]
    for number, _ in enumerate(telling(learner, newest), start=1):
        if number == len(newest) - judged:
            learner.shadows = Shadows()
    return learner.shadows


def _state(version: ModelVersion) -> str:
    if version.active:
        return "active"
    why = ": another one was put in force by hand (`rollback_model --release`)" if store.is_pinned() else ""
    return f"stored but not active{why}"


def _metrics(verdict: Verdict, runs: Sequence[Run]) -> dict[str, float]:
    truths = np.array([one.run.log_ms for one in verdict.judged])
    metrics = {
        "log2_network": verdict.challenger,
        "log2_base": verdict.base,
        "median_ape_network": _median_ape(
            np.array([one.challenger.median for one in verdict.judged]) - truths
        ),
        "median_ape_base": _median_ape(np.array([one.base for one in verdict.judged]) - truths),
        "n_runs": len(runs),
        "n_lessons": verdict.lessons,
        "n_val": len(verdict.judged),
    }
    if math.isfinite(verdict.champion):
        metrics["log2_champion"] = verdict.champion
    return metrics


def _median_ape(off: Array) -> float:
    return float(np.median(np.abs(np.expm1(off))))


def _check_finite(verdict: Verdict) -> None:
    if not math.isfinite(verdict.challenger):
        raise FailedTraining(
            f"expected a finite error on the newest runs, got {verdict.challenger}; try another --seed"
        )


def _sentence(verdict: Verdict) -> str:
    outcome = "better than" if verdict.accepted else "no better than"
    against = f"log2_base {verdict.base:.4g}"
    if math.isfinite(verdict.champion):
        against += f", log2_champion {verdict.champion:.4g}"
    return (
        f"On the newest {len(verdict.judged)} runs the network is {outcome} what it has to beat: "
        f"log2_network {verdict.challenger:.4g}, {against} (mean |log2 error|, the figure that decides)"
    )


def _for_report(one: Judged, verdict: Verdict) -> report.Judged:
    ask, challenger = one.run.ask, one.challenger
    return report.Judged(
        at=ask.at,
        org_id=ask.org_id,
        job_type=ask.job_type,
        actual_ms=one.run.runtime_ms,
        predicted_ms=in_ms(challenger.median),
        low_ms=in_ms(challenger.low),
        high_ms=in_ms(challenger.high),
        baseline_ms=in_ms(one.base),
        champion_ms=in_ms(one.served.median) if math.isfinite(verdict.champion) else None,
        censored=one.run.censored,
    )
