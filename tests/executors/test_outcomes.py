"""What becomes of reports and limits before any process is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jobs.executors import etl, http, ml, outcomes, tables, usage
from jobs.executors.base import Executor, JobError, PermanentError, Snooze
from tests.executors.conftest import make_spec


def test_waiting_costs_no_cpu_time() -> None:
    assert usage.Watch(None, None).wait_s is None
    assert usage.Watch(None, 1.0).exceeded() is None


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), 10**400, "1", None, True])
def test_snoozes_that_make_no_sense(wrong: float) -> None:
    with pytest.raises((TypeError, ValueError), match="Snooze: expected"):
        Snooze(wrong)


@pytest.mark.parametrize("delay", [None, "1", [], True])
def test_a_forged_snooze(delay: object) -> None:
    assert outcomes.reported({"status": "snoozed", "retry_after_s": delay})["status"] == "crashed"


@pytest.mark.parametrize("error", ["never", "x" * 20_000])
def test_an_error_that_no_retry_mends_says_so(error: str) -> None:
    report = outcomes.failed(error, retryable=False)
    said = outcomes.reported(report)["error"]
    assert said.endswith("(Not retried: another attempt would fail the same way.)")
    assert len(said) <= outcomes.MAX_ERROR_CHARACTERS
    assert outcomes.reported({**report, "retryable": True})["error"] == report["error"]


@pytest.mark.parametrize("execute", [http.execute, etl.execute, ml.execute])
def test_a_payload_that_slipped_through_is_not_retried(execute: Executor) -> None:
    with pytest.raises(PermanentError, match=r"The payload cannot be used: \w+: Field required"):
        execute(make_spec("any", {}))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_database_on_a_full_disk_is_retried(folder: Path) -> None:
    with (
        pytest.raises(JobError, match="No space left on device") as raised,
        tables.open_database() as database,
    ):
        database.execute(
            "COPY (SELECT range FROM range(100000)) TO '/dev/full' (FORMAT csv, USE_TMP_FILE false)"
        )
    assert raised.value.retryable
