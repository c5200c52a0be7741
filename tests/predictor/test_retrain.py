from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from jobs.prediction import PredictionRequest
from orgs.models import Organization
from predictor import selectors, service, store
from predictor.history import Run
from predictor.models import ModelVersion, Trust
from predictor.retraining import KEEP_REJECTED
from tests.predictor.builders import alternating_history, model, run
from tests.predictor.conftest import LogRuns

pytestmark = pytest.mark.django_db


def retrain(*arguments: str) -> str:
    said, _ = retrain_told(*arguments)
    return said


def retrain_told(*arguments: str) -> tuple[str, str]:
    """What it said to standard output and to standard error."""
    said, told = StringIO(), StringIO()
    call_command("retrain", *arguments, stdout=said, stderr=told)
    return said.getvalue(), told.getvalue()


def metrics_in(text: str) -> dict[str, float]:
    pairs = (line.partition(": ") for line in text.splitlines()[1:] if line.count(" ") == 1)
    return {name: float(value) for name, _, value in pairs}


def misleading_history() -> list[Run]:
    """Levels alternate while it is learned, and stay for long when it is judged."""
    rng, runs = np.random.default_rng(0), []
    for number in range(300):
        high = number % 2 if number < 255 else (number // 22) % 2
        runtime_ms = (1000.0 if high else 20_000.0) * float(np.exp(rng.normal(scale=0.05)))
        runs.append(run(runtime_ms, ago_s=-600.0 * number))
    return runs


def test_end_to_end(cold_start: ModelVersion, acme: Organization, log_runs: LogRuns) -> None:
    history = alternating_history(400)
    log_runs(acme, history)
    said = retrain("--seed", "1")
    version = ModelVersion.objects.get(active=True)
    assert f"version {version.pk} is active" in said
    metrics = metrics_in(said)
    assert metrics["log2_network"] < 0.7 * metrics["log2_base"]
    assert metrics["median_ape_network"] < metrics["median_ape_base"]
    assert {"n_runs", "n_lessons", "n_val"} <= set(metrics)
    assert "log2_champion" not in metrics
    assert (version.kind, version.parent, version.trained_on) == ("lstm", cold_start, 400)
    assert version.origin == ModelVersion.RETRAIN
    assert version.metrics["log2_network"] == pytest.approx(metrics["log2_network"], rel=1e-3)
    assert version.window_start is not None
    assert version.window_end is not None
    assert version.window_end.timestamp() == pytest.approx(history[-1].ended_at, abs=1e-3)


def test_what_earned_its_place_answers_at_once(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    """On the word of the newest runs, which it was not taught: not only after others have ended."""
    history = alternating_history(400)
    log_runs(acme, history)
    retrain("--seed", "1")
    version = ModelVersion.objects.get(active=True)
    ask = history[0].ask
    (answer,) = service.predict([PredictionRequest(acme.pk, ask.job_type, ask.job_name)])
    assert (answer.source, answer.model_version) == ("lstm", version.pk)
    assert selectors.overall_trust().share > 0
    assert set(Trust.objects.values_list("org", "job_type")) == {
        (None, ""),
        (acme.pk, "etl"),
        (acme.pk, "shell"),
    }


def test_the_second_one_has_to_beat_the_first(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(400))
    retrain("--seed", "1")
    first = ModelVersion.objects.get(active=True)
    said = retrain("--seed", "2")
    metrics = metrics_in(said)
    assert f"log2_champion {metrics['log2_champion']:.4g}" in said
    assert metrics["log2_champion"] < metrics["log2_base"]
    second = ModelVersion.objects.exclude(pk=first.pk).get(kind="lstm")
    assert second.parent == first
    assert second.active == (metrics["log2_network"] < metrics["log2_champion"])
    assert first.pk != second.pk
    assert ModelVersion.objects.filter(active=True).count() == 1


def test_what_was_learned_online_stays(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    """Of those learning keeps some itself, more than of what was rejected."""
    made = [
        ModelVersion(kind="lstm", weights=b"x", origin=ModelVersion.ONLINE) for _ in range(KEEP_REJECTED + 1)
    ]
    ModelVersion.objects.bulk_create(made)
    log_runs(acme, alternating_history(60))
    retrain("--seed", "1")
    assert ModelVersion.objects.filter(origin=ModelVersion.ONLINE).count() == KEEP_REJECTED + 1
    assert ModelVersion.objects.filter(origin=ModelVersion.RETRAIN).count() == 1


def test_dry_run_stores_nothing(cold_start: ModelVersion, acme: Organization, log_runs: LogRuns) -> None:
    log_runs(acme, alternating_history(60))
    assert "dry run, nothing was stored" in retrain("--dry-run")
    assert list(ModelVersion.objects.all()) == [cold_start]
    assert not Trust.objects.exists()


def test_what_is_worse_than_the_base_stays_inactive(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, misleading_history())
    said = retrain()
    assert "no better than what it has to beat" in said
    kept = ModelVersion.objects.get(kind="lstm")
    assert f"version {kept.pk} is stored but not active" in said
    assert list(ModelVersion.objects.filter(active=True)) == [cold_start]
    assert not Trust.objects.exists()


def test_too_little_history_is_said_and_changes_nothing(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(49))
    assert "Nothing was trained. Expected at least 50 ended runs, found 49. Run more jobs" in retrain()
    assert list(ModelVersion.objects.all()) == [cold_start]


def test_runs_that_nothing_is_known_of_are_nothing_to_learn_from(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    """All were asked for before the first had ended."""
    log_runs(acme, [run(3_600_000, ago_s=-float(number)) for number in range(80)])
    assert "Nothing was trained. Of 80 runs too few were asked for after another run" in retrain()
    assert list(ModelVersion.objects.all()) == [cold_start]


def test_of_one_organisation(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(60))
    log_runs(globex, alternating_history(30))
    assert "found 30" in retrain("--org", "Globex")
    assert "n_runs: 60" in retrain("--org", "Acme", "--dry-run")
    with pytest.raises(CommandError, match="--org: there is no organisation 'Initech'; expected the name"):
        retrain("--org", "Initech")


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
    assert "the newest 100000 runs at most" in retrain("--dry-run")
    ended = [entry.ended_at for entry in selectors.newest_runs(2)]
    assert ended == pytest.approx([entry.ended_at for entry in history[-2:]], abs=1e-3)


def test_it_is_said_which_figure_decides(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(60))
    assert "(mean |log2 error|, the figure that decides)" in retrain("--dry-run")


def test_progress_is_told_aside(cold_start: ModelVersion, acme: Organization, log_runs: LogRuns) -> None:
    log_runs(acme, alternating_history(60))
    said, told = retrain_told("--dry-run")
    reading, learning = told.splitlines()
    assert reading.split()[0] == "reading"
    assert reading.endswith("100% 60 of 60 runs")
    assert (learning.split()[0], "100% epoch 4: loss " in learning) == ("learning", True)
    assert "reading" not in said


def test_a_terminal_sees_it_move(cold_start: ModelVersion, acme: Organization, log_runs: LogRuns) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    log_runs(acme, alternating_history(60))
    told = Terminal()
    call_command("retrain", "--dry-run", stdout=StringIO(), stderr=told)
    assert [line.split()[0] for line in told.getvalue().split("\r")[1:]] == ["reading"] + ["learning"] * 4


def test_the_report_is_a_page(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns, tmp_path: Path
) -> None:
    log_runs(acme, alternating_history(100))
    path = tmp_path / "report.html"
    said = retrain("--dry-run", "--report", str(path))
    assert f"The report is in {path}." in said
    page = path.read_text()
    assert page.startswith("<!doctype html>")
    assert "nothing was stored" in page
    assert "n_runs" in page
    with pytest.raises(CommandError, match="no-such-folder"):
        retrain("--dry-run", "--report", str(tmp_path / "no-such-folder" / "report.html"))


@pytest.mark.parametrize("weights", [b"rubbish", store.pack(model(), {}, schema={"version": 1})])
def test_a_broken_model_in_force_is_replaced(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns, weights: bytes
) -> None:
    ModelVersion.objects.update(active=False)
    broken = ModelVersion.objects.create(kind="lstm", weights=weights, active=True)
    log_runs(acme, alternating_history(400))
    said = retrain("--seed", "1")
    assert "log2_champion" not in said
    assert ModelVersion.objects.get(active=True).parent == broken


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
