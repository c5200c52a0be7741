from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from jobs.models import ExecutionLog
from jobs.ordering import LANES as QUEUE_LANES
from predictor import features
from predictor.features import FEATURES, KEY_STEPS, STEPS, Example, Sequences, example, name_bucket
from predictor.history import Base
from tests.predictor.builders import NOW, ask, past, run

BASE = Base(log_ms=math.log(1000), spread=0.25, runs=3, of_key=True)


def rows_of(entry: Example) -> list[dict[str, float]]:
    x, lengths = Sequences([entry]).batch(np.array([0]))
    return [dict(zip(FEATURES, map(float, x[step, 0]), strict=True)) for step in range(lengths[0])]


def marked(row: dict[str, float], group: str) -> list[str]:
    return [
        name.removeprefix(f"{group}:")
        for name, value in row.items()
        if name.startswith(f"{group}:") and value
    ]


def test_a_run_is_described_relative_to_the_ask() -> None:
    entry = run(2000, ago_s=99, lane="high", outcome="timeout")
    first, last = rows_of(example(ask(), past([entry]), BASE))
    assert first["residual"] == pytest.approx(math.log(2))
    assert first["log_age"] == pytest.approx(math.log(100) / 4, abs=1e-5)
    assert (first["same_key"], first["same_type"], first["is_ask"]) == (1, 1, 0)
    assert [marked(first, group) for group in ("outcome", "lane", "type")] == [["timeout"], ["high"], ["etl"]]
    assert last["is_ask"] == last["base_of_key"] == 1
    assert last["base_spread"] == 0.25
    assert last["base_log_runs"] == pytest.approx(math.log(4))
    assert (marked(last, "outcome"), last["residual"]) == ([], 0)


def test_other_keys_are_told_apart() -> None:
    runs = [run(job_name="other", ago_s=3), run(job_name="other", job_type="ml", ago_s=2), run(ago_s=1)]
    shared = [(row["same_key"], row["same_type"]) for row in rows_of(example(ask(), past(runs), BASE))[:-1]]
    assert shared == [(0, 1), (0, 0), (1, 1)]


def test_a_wild_runtime_is_bounded() -> None:
    assert rows_of(example(ask(), past([run(1e12)]), BASE))[0]["residual"] == 6


def test_calendar_turns_with_the_day_and_the_week() -> None:
    midnight_thursday = 86_400.0 * 7 * 100  # the first of January 1970 was a Thursday
    at = [rows_of(Example(ask(at=midnight_thursday + hours * 3600), BASE, ()))[0] for hours in (0, 6, 24, 84)]
    assert [round(row["hour_sin"], 5) for row in at] == [0, 1, 0, 0]
    assert [round(row["hour_cos"], 5) for row in at] == [1, 0, 1, -1]
    assert round(at[3]["weekday_cos"], 5) == -1
    assert at[2]["weekday_sin"] == pytest.approx(math.sin(2 * math.pi / 7), abs=1e-5)


def test_runs_of_the_key_come_first_and_others_fill_the_rest() -> None:
    runs = [run(ago_s=1000 - 10 * number, job_name=("nightly", "other")[number % 2]) for number in range(60)]
    chosen = example(ask(), past(runs), BASE).runs
    assert len(chosen) == STEPS - 1
    assert sum(entry.job_name == "nightly" for entry in chosen) == KEY_STEPS
    assert list(chosen) == sorted(chosen, key=lambda entry: entry.ended_at)
    assert {runs[-1], runs[-2]} <= set(chosen)


def test_a_new_key_reads_the_organisation_only() -> None:
    runs = [run(ago_s=100 - number, job_name="other") for number in range(40)]
    assert list(example(ask(), past(runs), BASE).runs) == runs[-(STEPS - 1) :]


def test_a_batch_is_its_examples_padded() -> None:
    examples = [
        example(
            ask(at=NOW + count),
            past([run(100.0 * number, ago_s=50 - number) for number in range(1, count)]),
            BASE,
        )
        for count in (1, 4, 9, 30)
    ]
    x, lengths = Sequences(examples).batch(np.array([2, 0, 3]))
    assert list(lengths) == [9, 1, KEY_STEPS + 1]
    for column, number in enumerate((2, 0, 3)):
        alone, _ = Sequences([examples[number]]).batch(np.array([0]))
        np.testing.assert_array_equal(x[: lengths[column], column], alone[:, 0])
        assert not x[lengths[column] :, column].any()


DIGEST = """
import hashlib, math
import numpy as np
from predictor.features import Sequences, example
from predictor.history import Base
from tests.predictor.builders import ask, past, run
runs = [run(5, job_name="größe", job_type="shell"), run(70), run(9, org_id=2, job_name="x")]
x, _ = Sequences([example(ask(), past(runs), Base(6.9, 0.25, 3, True))]).batch(np.array([0]))
print(hashlib.sha256(x.tobytes()).hexdigest())
"""


def test_features_are_the_same_in_every_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_names_are_hashed_to_buckets_that_stay() -> None:
    names = [("shell", "nightly"), ("etl", "nightly"), ("etl", "a")]
    assert [name_bucket(*name) for name in names] == [14, 0, 1]


def test_what_is_unknown_marks_no_category() -> None:
    (row,) = rows_of(Example(ask(job_type="fortran", lane="express"), BASE, ()))
    assert marked(row, "type") == marked(row, "lane") == []


def test_categories_are_those_of_the_queue() -> None:
    assert set(features.OUTCOMES) == set(ExecutionLog.OUTCOMES)
    assert set(features.LANES) == set(QUEUE_LANES)
    assert len(set(FEATURES)) == len(FEATURES)
