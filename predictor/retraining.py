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
from predictor.train import Progress, train


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it: the metrics, the stored version (None on a dry run) and a sentence."""

    metrics: dict[str, float]
    version: ModelVersion | None
    verdict: str


def retrain(
    *, since: datetime | None = None, seed: int = 0, dry_run: bool = False, progress: Progress | None = None
) -> Report:
    """Raises TooLittleHistory, UnusableModel or a database error; then nothing has changed."""
    runs = selectors.all_runs(since)
    trained = train(runs, rng=np.random.default_rng(seed), progress=progress)
    outcome = "better than the base or equal" if trained.beats_base else "worse than the base"
    judgement = f"On the newest runs the network is {outcome}"
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
