from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from jobs.prediction import PredictionRequest
from orgs.models import Organization
from predictor import selectors, service
from predictor.history import DONE, Run
from predictor.models import ModelVersion
from tests.predictor.builders import NOW, alternating_history
from tests.predictor.conftest import LogRuns

pytestmark = pytest.mark.django_db


def retrain(*arguments: str) -> str:
    said = StringIO()
    call_command("retrain", *arguments, stdout=said, stderr=StringIO())
    return said.getvalue()


def metrics_in(text: str) -> dict[str, float]:
    return {
        name: float(value) for name, _, value in (line.partition(": ") for line in text.splitlines()[1:-1])
    }


def misleading_history() -> list[Run]:
    """Levels alternate while it is learned, and stay for long when it is judged."""
    rng, runs = np.random.default_rng(0), []
    for number in range(300):
        high = number % 2 if number < 255 else (number // 22) % 2
        runtime_ms = (1000.0 if high else 20_000.0) * float(np.exp(rng.normal(scale=0.05)))
        runs.append(Run(1, "etl", "nightly", "normal", DONE, runtime_ms, NOW + 600 * number))
    return runs


def test_end_to_end(cold_start: ModelVersion, acme: Organization, log_runs: LogRuns) -> None:
    history = alternating_history(400)
    log_runs(acme, history)
    said = retrain("--seed", "1")
    version = ModelVersion.objects.get(active=True)
    assert f"version {version.pk} is active" in said
    metrics = metrics_in(said)
    assert metrics["log2_network"] < 0.7 * metrics["log2_base"]
    assert {"median_ape_network", "median_ape_base", "n_train", "n_val", "epochs", "seconds"} <= set(metrics)
    assert (version.kind, version.parent, version.trained_on) == ("lstm", cold_start, 400)
    assert version.metrics["log2_network"] == pytest.approx(metrics["log2_network"], rel=1e-3)
    assert version.window_start is not None
    assert version.window_end is not None
    assert version.window_end.timestamp() == pytest.approx(history[-1].ended_at, abs=1e-3)
    (answer,) = service.predict([PredictionRequest(acme.pk, history[0].job_type, history[0].job_name)])
    assert (answer.source, answer.model_version) == ("lstm", version.pk)


def test_dry_run_stores_nothing(cold_start: ModelVersion, acme: Organization, log_runs: LogRuns) -> None:
    log_runs(acme, alternating_history(60))
    assert "dry run, nothing was stored" in retrain("--dry-run")
    assert list(ModelVersion.objects.all()) == [cold_start]


def test_what_is_worse_than_the_base_stays_inactive(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, misleading_history())
    said = retrain()
    assert "no better than the base" in said
    kept = ModelVersion.objects.get(kind="lstm")
    assert f"version {kept.pk} is stored but not active" in said
    assert list(ModelVersion.objects.filter(active=True)) == [cold_start]


def test_too_little_history_is_said_and_changes_nothing(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(49))
    assert (
        "Nothing was trained. Expected at least 50 runs that ended well, found 49. Run more jobs" in retrain()
    )
    assert list(ModelVersion.objects.all()) == [cold_start]


def test_since_leaves_older_runs_out(cold_start: ModelVersion, acme: Organization, log_runs: LogRuns) -> None:
    log_runs(acme, alternating_history(100))  # one each ten minutes, from 22:23 UTC on
    assert "found 0" in retrain("--since", "2023-11-16")
    assert "found 40" in retrain("--since", "2023-11-15T08:20")
    assert "found 40" in retrain("--since", "2023-11-15T10:20+02:00")


def test_limit_takes_the_newest_runs(cold_start: ModelVersion, acme: Organization, log_runs: LogRuns) -> None:
    history = alternating_history(100)
    log_runs(acme, history)
    said = retrain("--limit", "40")
    assert "the newest 40 runs at most (--limit)" in said
    assert "found 40" in said
    assert "the newest 200000 runs at most" in retrain("--dry-run")
    ended = [entry.ended_at for entry in selectors.newest_runs(2)]
    assert ended == pytest.approx([entry.ended_at for entry in history[-2:]], abs=1e-3)


def test_it_is_said_which_figure_decides(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(60))
    assert "(mean |log2 error|, the figure that decides)" in retrain("--dry-run")


@pytest.mark.parametrize(
    "arguments",
    [("--since", "yesterday"), ("--seed", "-1"), ("--seed", "x"), ("--limit", "0"), ("--limit", "all")],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match=f"argument {arguments[0]}: expected .*{arguments[1]}"):
        retrain(*arguments)


def test_database_error_is_one_sentence(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(60))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE predictor_modelversion RENAME TO gone")
    with pytest.raises(
        CommandError, match=r'^Retraining failed: relation "predictor_modelversion" does not exist$'
    ):
        retrain()
