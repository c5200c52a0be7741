"""Learning online: what the process that learns does as jobs are submitted and end, and `manage.py learn`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest
from django.db.models import F

from jobs.models import ExecutionLog, Job
from orgs.models import Organization, User
from predictor import selectors, store
from predictor.history import Run
from predictor.learning import Learning, Policy
from predictor.management.commands import learn as command
from predictor.models import ModelVersion, RunHistory, Trust
from tests.predictor.builders import NOW, alternating_history, model, run
from tests.predictor.conftest import LogRuns
from tests.processes import ROOT, Processes, database_url, processes
from tests.queue.claiming import claim, end
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db
NEVER = 10**9
QUIET = Policy(publish_after=NEVER, retrain_first=NEVER, retrain_after=NEVER)


def in_force(seed: int = 0, log2_network: float = 20.0) -> ModelVersion:
    """A version that was trained, whose predictions were off by this much when it was."""
    version = store.save(
        store.pack(model(seed), {}),
        origin=ModelVersion.RETRAIN,
        metrics={"log2_network": log2_network},
        trained_on=0,
        window=(datetime.fromtimestamp(NOW, UTC), datetime.fromtimestamp(NOW, UTC)),
    )
    store.activate(version)
    return version


def served(predicted_ms: float) -> None:
    """All that has ended and has no prediction yet was predicted so, by the version in force."""
    version = ModelVersion.objects.get(active=True).pk
    ExecutionLog.objects.filter(predicted_runtime_ms=None).update(predicted_runtime_ms=predicted_ms)
    Job.objects.filter(model_version=None).update(model_version=version)


def later(runs: Sequence[Run]) -> list[Run]:
    """The same a hundred days later."""
    shift = 100 * 86_400.0
    return [
        replace(one, ask=replace(one.ask, at=one.ask.at + shift), ended_at=one.ended_at + shift)
        for one in runs
    ]


def without_digests(runs: list[float]) -> list[float]:
    """The jobs of a history have payloads, the runs that it was made of have none."""
    return [number for seen in selectors.window_of(runs, 0).runs for number in seen[:-2]]


def versions(origin: str) -> list[int]:
    return list(ModelVersion.objects.filter(origin=origin).order_by("pk").values_list("pk", flat=True))


def test_nothing_new_nothing_done(cold_start: ModelVersion) -> None:
    learning = Learning(QUIET)
    assert [learning.step(now) for now in (0.0, 5.0)] == [[], []]
    assert not Trust.objects.exists()


def test_an_empty_table_is_filled_from_the_history(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(40))
    kept = list(RunHistory.objects.order_by("pk").values_list("job_name", "user_id", "runs", "count"))
    RunHistory.objects.all().delete()
    Learning(QUIET)
    rows = RunHistory.objects.order_by("pk").values_list("job_name", "user_id", "runs", "count")
    for (*names, runs, count), (*others, found, number) in zip(kept, rows, strict=True):
        assert (others, number) == (names, count)
        assert without_digests(found) == pytest.approx(without_digests(runs), abs=1e-3)
    Learning(QUIET)
    assert RunHistory.objects.get(job_name="job-0").count == 20


def test_submissions_and_endings_are_followed_in_order(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    """What was submitted before another had ended did not know of it."""
    log_runs(acme, [run(1000, ago_s=500)])
    learning = Learning(QUIET)
    early = run(64_000, ago_s=300, job_name="early")  # asked 364 s ago
    blind = run(9_000, ago_s=299, wait_ms=30_000, job_name="early")  # asked before `early` had ended
    seeing = run(9_000, ago_s=200, job_name="early")
    log_runs(acme, [blind, seeing, early])
    assert learning.step(0.0) == []
    lessons = learning._learner._came
    assert [round(np.exp(asked.log_base)) for asked, _ in lessons] == [
        1000,
        1000,
        pytest.approx(18_000, rel=0.6),
    ]
    assert [one.runtime_ms for _, one in lessons] == [64_000, 9_000, 9_000]
    assert learning._tickets == {}


def test_the_comparison_is_written_per_organisation_and_type(
    cold_start: ModelVersion, acme: Organization, globex: Organization, log_runs: LogRuns
) -> None:
    learning = Learning(QUIET)
    log_runs(acme, alternating_history(20))
    log_runs(globex, [run(1000)])
    learning.step(0.0)
    rows = {(row.org_id, row.job_type): row.runs for row in Trust.objects.all()}
    assert rows == {(None, ""): 21, (acme.pk, "etl"): 10, (acme.pk, "shell"): 10, (globex.pk, "etl"): 1}
    log_runs(globex, [run(1000, ago_s=1)])
    learning.step(5.0)
    assert Trust.objects.get(org=globex).runs == 2
    assert Trust.objects.get(org=None).runs == 22


def test_a_running_platform_is_followed(
    cold_start: ModelVersion, alice: User, submit: Callable[..., Job]
) -> None:
    """Jobs as the queue stores them; a retry is seen, but was never asked for."""
    learning = Learning(QUIET)
    jobs = [submit(alice, name=f"job-{number}", max_retries=1) for number in range(3)]
    learning.step(0.0)
    assert set(learning._tickets) == {job.pk for job in jobs}
    first, second, third = claim(limit=3)
    end(first)
    end(second, "failed", retry_delay_s=0.0)
    learning.step(1.0)
    assert set(learning._tickets) == {third.id}
    ExecutionLog.objects.create(
        org=alice.org, job_id=second.id, attempt=2, outcome="done", final=True, runtime_ms=5.0, wait_ms=0.0,
        worker_id="w1", job_type="python", job_name=second.name, lane="normal",
    )  # fmt: skip
    learning.step(2.0)
    assert Trust.objects.get(org=None).runs == 2
    assert len(learning._learner.book.windows[alice.org_id, "", "", 0].runs) == 3


def test_a_version_goes_live_only_when_it_predicted_better(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    trained = in_force()
    log_runs(acme, [run(1000, ago_s=NOW)])
    learning = Learning(Policy(publish_after=64, retrain_first=NEVER, retrain_after=NEVER, publish_s=60.0))
    history = alternating_history(200)
    log_runs(acme, history[:70])
    ExecutionLog.objects.update(predicted_runtime_ms=F("runtime_ms"))
    served(1.0)
    assert learning.step(0.0) == [], "what was served was perfect"
    log_runs(acme, history[70:])
    served(1.0)
    (said,) = learning.step(1.0)
    live = ModelVersion.objects.get(active=True)
    assert said.startswith(f"version {live.pk} went live: learned online")
    assert (live.origin, live.parent) == (ModelVersion.ONLINE, trained)
    assert live.metrics["log2_live"] < live.metrics["log2_before"]
    assert learning.step(2.0) == [], "it is followed as the version in force"
    log_runs(acme, later(history))
    served(1.0)
    assert learning.step(30.0) == [], "so soon after the last it waits"
    assert [line.partition(" went live")[0] for line in learning.step(61.5)] == [f"version {live.pk + 1}"]


def test_without_a_network_there_is_nothing_to_publish(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    learning = Learning(Policy(publish_after=5, retrain_first=NEVER))
    log_runs(acme, alternating_history(80))
    served(1.0)
    assert learning.step(0.0) == []
    assert list(ModelVersion.objects.all()) == [cold_start]


def test_old_versions_learned_online_are_removed(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predictor.learning.KEEP_ONLINE", 2)
    in_force()
    learning = Learning(Policy(publish_s=0.0, publish_after=1, retrain_after=NEVER))
    history = alternating_history(60)
    for turn in range(6):
        log_runs(acme, history[10 * turn : 10 * turn + 10])
        served(1.0)
        assert "went live" in learning.step(float(turn))[0]
    online = versions(ModelVersion.ONLINE)
    assert len(online) == 3
    assert ModelVersion.objects.get(active=True).pk == online[-1]


def test_it_retrains_once_enough_has_ended(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    learning = Learning(Policy(retrain_first=100, retrain_after=150, retrain_s=600.0))
    history = alternating_history(600)
    log_runs(acme, history[:99])
    assert learning.step(0.0) == []
    log_runs(acme, history[99:300])
    (said,) = learning.step(5.0)
    assert "(mean |log2 error|, the figure that decides)" in said
    trained = ModelVersion.objects.get(origin=ModelVersion.RETRAIN)
    assert trained.trained_on == 300
    assert trained.active
    assert learning.step(10.0) == []
    assert learning._learner.model is not None
    log_runs(acme, history[300:470])
    assert learning.step(604.0) == [], "so soon after the last it waits"
    assert "figure that decides" in learning.step(605.0)[0]
    assert len(versions(ModelVersion.RETRAIN)) == 2


@pytest.mark.parametrize(("log2_before", "retrains"), [(0.01, True), (9.0, False)])
def test_it_retrains_when_predictions_got_worse(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns, log2_before: float, retrains: bool
) -> None:
    in_force(log2_network=log2_before)
    learning = Learning(Policy(publish_after=NEVER, retrain_first=NEVER, retrain_after=NEVER))
    log_runs(acme, alternating_history(199))
    served(4000.0)
    assert learning.step(0.0) == [], "too few tell"
    log_runs(acme, later(alternating_history(10)))
    served(4000.0)
    assert [("figure that decides" in line) for line in learning.step(1.0)] == [True] * retrains


def test_without_enough_to_learn_from_it_says_so_and_waits(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    learning = Learning(Policy(retrain_first=5, retrain_s=600.0))
    log_runs(acme, alternating_history(10))
    (said,) = learning.step(0.0)
    assert said.startswith("no retraining: Expected at least 50 ended runs, found 10")
    log_runs(acme, later(alternating_history(10)))
    assert learning.step(599.0) == []
    assert learning.step(600.0) != []


def test_it_takes_up_what_was_put_in_force_behind_its_back(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    log_runs(acme, alternating_history(40))
    trained, newer = in_force(seed=1), in_force(seed=2)
    learning = Learning(QUIET)
    assert learning.step(0.0) == []
    store.activate(trained)
    assert learning.step(1.0) == ["took up the version in force"]
    assert learning.step(2.0) == []
    of_learner, of_version = learning._learner.model, store.load(trained.pk).network
    assert of_learner is not None
    assert of_version is not None
    np.testing.assert_array_equal(of_learner.params["embedding"], of_version.params["embedding"])
    store.activate(cold_start)
    assert learning.step(3.0) == ["took up the version in force"]
    assert learning._learner.model is None
    ModelVersion.objects.update(active=False)
    assert learning.step(4.0) == ["took up the version in force"]
    store.activate(newer)
    assert learning.step(5.0) == ["took up the version in force"]


def test_a_version_that_was_put_in_force_by_hand_stays(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    chosen = in_force()
    store.activate(chosen, pinned=True)
    learning = Learning(Policy(publish_s=0.0, publish_after=1, retrain_after=1, retrain_first=1))
    log_runs(acme, alternating_history(80))
    served(1.0)
    assert learning.step(0.0) == []
    assert ModelVersion.objects.get(active=True) == chosen
    assert Trust.objects.get(org=None).runs == 80, "how far it is believed is followed nevertheless"


def test_a_version_that_cannot_be_used_is_followed_without_a_network(
    cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
) -> None:
    ModelVersion.objects.update(active=False)
    ModelVersion.objects.create(kind="lstm", weights=b"rubbish", active=True)
    learning = Learning(QUIET)
    log_runs(acme, alternating_history(10))
    assert learning.step(0.0) == []
    assert Trust.objects.get(org=None).runs == 10


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path) as made:
        yield made


def is_learning() -> bool:
    with psycopg.connect(database_url(), autocommit=True) as session:
        row = session.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0"
            " AND objid = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [command.LOCK],
        ).fetchone()
    return row == (1,)


@pytest.mark.django_db(transaction=True)
class TestCommand:
    def test_only_one_learns(self, platform: Processes) -> None:
        first = platform.start("learn")
        wait_until(is_learning, 60, "the first learns")
        second = platform.start("learn")
        assert second.wait(timeout=60) == command.NOT_NEEDED
        assert "Another process learns already; this one is not needed." in platform.output_of(second)
        assert first.poll() is None
        assert platform.stop(first) == 0, platform.output_of(first)
        assert not is_learning()

    def test_it_follows_what_ends(
        self, platform: Processes, cold_start: ModelVersion, acme: Organization, log_runs: LogRuns
    ) -> None:
        process = platform.start("learn")
        wait_until(is_learning, 60, "it learns")

        def followed() -> bool:
            """The lock is held before the first look: what ended until then is history."""
            log_runs(acme, [run()])
            return Trust.objects.filter(org=acme).exists()

        wait_until(followed, 30, "the comparison is written")
        assert platform.stop(process) == 0, platform.output_of(process)

    def test_it_ends_with_its_parent(self, platform: Processes) -> None:
        child = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "learn", "--with-parent"],
            env=platform.environment,
            stdin=subprocess.PIPE,
        )
        platform.started.append(child)
        wait_until(is_learning, 60, "it learns")
        assert child.poll() is None
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(timeout=20) == 0
        wait_until(lambda: not is_learning(), 10, "the lock is free")

    def test_it_learns_again_after_the_database_was_away(
        self, platform: Processes, cold_start: ModelVersion
    ) -> None:
        """Without the session that holds its lock it ends: another may have begun to learn."""
        process = platform.start("learn")
        wait_until(is_learning, 60, "it learns")
        with psycopg.connect(database_url(), autocommit=True) as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s",
                [command.LOCK],
            )
        assert process.wait(timeout=30) == 1
        assert "The database is away" in platform.output_of(process)

    def test_without_a_database_it_says_so(self, platform: Processes) -> None:
        process = platform.start("learn", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
        assert process.wait(timeout=60) == 1
        assert "The database is away" in platform.output_of(process)
