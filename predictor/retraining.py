"""One retraining: read the history, train, store the version, put it in force if it earned it.

Called by `manage.py retrain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from django.db import transaction

from predictor import selectors, store
from predictor.models import ModelVersion
from predictor.train import Progress, Trained, train

DEFAULT_LIMIT = 200_000


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it: the metrics, the stored version (None on a dry run) and a sentence."""

    metrics: dict[str, float]
    version: ModelVersion | None
    verdict: str


def retrain(
    *,
    since: datetime | None = None,
    limit: int = DEFAULT_LIMIT,
    seed: int = 0,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Learn from the newest `limit` runs since `since`. Raises TooLittleHistory, a PredictorError or a
    database error; then nothing has changed."""
    runs = selectors.newest_runs(limit, since)
    trained = train(runs, rng=np.random.default_rng(seed), progress=progress)
    judgement = _judgement(trained)
    if dry_run:
        return Report(trained.metrics, None, f"{judgement}; dry run, nothing was stored.")
    times = [datetime.fromtimestamp(run.ended_at, UTC) for run in runs]
    with transaction.atomic():
        version = store.save(
            trained.network, metrics=trained.metrics, trained_on=len(runs), window=(min(times), max(times))
        )
        if trained.beats_base:
            store.activate(version)
    state = "active" if version.active else "stored but not active"
    return Report(trained.metrics, version, f"{judgement}; version {version.pk} is {state}.")


def _judgement(trained: Trained) -> str:
    network, base = trained.metrics["log2_network"], trained.metrics["log2_base"]
    outcome = "better than" if trained.beats_base else "no better than"
    return (
        f"On the newest runs the network is {outcome} the base: log2_network {network:.4g}, "
        f"log2_base {base:.4g} (mean |log2 error|, the figure that decides)"
    )
