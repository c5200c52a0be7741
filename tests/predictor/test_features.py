from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from jobs.ordering import LANES as QUEUE_LANES
from predictor import features
from predictor.features import (
    ASK_FEATURES,
    KINDS,
    LANES,
    RUN_FEATURES,
    SCHEMA,
    STEPS,
    Example,
    batch,
    example,
)
from predictor.history import NO_CIRCLE, Ask, Base, Past, Run, Window
from predictor.traits import SLOTS, WORDS, traits_of
from tests.predictor.builders import NOW, ask, past, run

BASE = Base(math.log(1000), 0)
UNKNOWN = Past((None,) * 5)


def ask_row(known: Past = UNKNOWN, base: Base = BASE, **fields: Any) -> dict[str, float]:
    read = example(ask(**fields), known, base)
    return dict(zip(ASK_FEATURES, read.ask.tolist(), strict=True))


def run_rows(read: Example) -> list[dict[str, float]]:
    return [dict(zip(RUN_FEATURES, row, strict=True)) for row in read.runs.tolist()]


def rows_of(runs: list[Run], **fields: Any) -> list[dict[str, float]]:
    return run_rows(example(ask(**fields), past(runs, ask(**fields)), BASE))


def test_a_run_is_described_relative_to_the_ask() -> None:
    traits = traits_of("nightly", {"rows": 10})
    runs = [
        run(500, ago_s=149, outcome="failed"),
        run(2000, ago_s=99, outcome="timeout", wait_ms=48_000, timeout_s=4, traits=traits),
    ]
    first, second = rows_of(runs, timeout_s=1, traits=traits)
    assert first["residual"] == pytest.approx(-math.log(2))
    assert second["residual"] == pytest.approx(math.log(2))
    assert (first["log_gap"], second["log_gap"]) == (0, pytest.approx(math.log(51) / 6))
    assert second["log_age"] == pytest.approx(math.log(100) / 6)
    assert second["log_asked_age"] == pytest.approx(math.log(150) / 6)
    assert [(row["done"], row["censored"]) for row in (first, second)] == [(0, 0), (0, 1)]
    assert [(row["timeout"], row["headroom"]) for row in (first, second)] == [
        (0, 0),
        (pytest.approx(math.log(4)), pytest.approx(math.log(2))),
    ]
    assert [(row["same_payload"], row["volume"]) for row in (first, second)] == [
        (0, pytest.approx(-math.log(11))),
        (1, 0),
    ]


def test_other_jobs_are_told_apart() -> None:
    runs = [
        run(job_name="other", user_id=7, ago_s=4),
        run(job_type="ml", user_id=7, ago_s=3),
        run(user_id=8, ago_s=2),
        run(user_id=7, ago_s=1),
    ]
    names = ("same_own", "same_name", "same_user", "same_type")
    shared = [tuple(row[name] for name in names) for row in rows_of(runs, user_id=7)]
    assert shared == [(0, 0, 1, 1), (0, 0, 1, 0), (0, 1, 0, 1), (1, 1, 1, 1)]


def test_a_wild_run_is_bounded() -> None:
    wild = run(1e15, timeout_s=1e-2, traits=traits_of("x", {str(number): 10**20 for number in range(60)}))
    (row,) = rows_of([wild], timeout_s=1e12)
    assert [row["residual"], row["timeout"], row["headroom"], row["volume"]] == [6, -6, -6, 6]
    circles = ask_row(past([wild]))
    assert circles["own:median"] == 6
    assert all(np.isfinite(list(circles.values())))


def test_a_clock_that_runs_behind_gives_no_negative_age() -> None:
    (row,) = rows_of([run(1000, ago_s=-50)])
    assert (row["log_age"], row["log_asked_age"]) == (0, 0)


def test_circles_are_described_relative_to_the_base() -> None:
    runs = [run(2000, ago_s=99), run(4000, ago_s=9, job_name="other", outcome="failed")]
    row = ask_row(past(runs))
    assert [row[f"{circle}:known"] for circle in ("own", "name", "user", "type", "org")] == [1] * 5
    assert row["own:mean"] == row["own:median"] == row["own:third"] == pytest.approx(math.log(2))
    assert (row["own:spread"], row["own:done"], row["type:done"]) == (0, 1, 0.5)
    assert row["own:log_age"] == pytest.approx(math.log(100) / 6)
    assert (row["type:last"], row["type:second"]) == (pytest.approx(math.log(4)), pytest.approx(math.log(2)))
    assert row["type:log_count"] == pytest.approx(math.log(3) / 4)


def test_an_unknown_circle_is_marked_so() -> None:
    assert not any(value for name, value in ask_row().items() if name.partition(":")[0] in ("own", "org"))
    timed_out = ask_row(past([run(outcome="timeout")]))
    assert timed_out["own:known"] == 0


@pytest.mark.parametrize(("circle", "marked"), [(0, "own"), (3, "type"), (NO_CIRCLE, None)])
def test_what_the_base_was_made_of_is_marked(circle: int, marked: str | None) -> None:
    row = ask_row(base=Base(BASE.log_ms, circle))
    found = [name for name, value in row.items() if name.startswith("base_of:") and value]
    assert found == ([f"base_of:{marked}"] if marked else [])


def test_an_ask_is_described() -> None:
    traits = traits_of("x", {"rows": 99, "text": "y" * 9})
    row = ask_row(timeout_s=2, attempt=3, lane="high", traits=traits)
    assert row["base"] == pytest.approx((math.log(1000) - 8) / 3)
    assert (row["has_timeout"], row["timeout"]) == (1, pytest.approx(math.log(2)))
    assert row["attempt"] == pytest.approx(math.log(3))
    assert row["volume"] == pytest.approx(math.log(100) / 6)
    assert row["size"] == pytest.approx(math.log(10) / 6)
    assert [row[f"lane:{lane}"] for lane in LANES] == [1, 0, 0]
    assert sum(row[f"number:{slot}"] for slot in range(SLOTS)) == pytest.approx(math.log(100) / 6)
    without = ask_row()
    assert (without["has_timeout"], without["timeout"]) == (0, 0)


def test_what_is_open_is_described() -> None:
    row = ask_row(past([], still_open=[ask(at=NOW - 99), ask(at=NOW - 9, job_name="other")]))
    assert row["open:own:log_count"] == pytest.approx(math.log(2) / 3)
    assert row["open:org:log_count"] == pytest.approx(math.log(3) / 3)
    assert (row["open:own:first"], row["open:own:last"]) == (pytest.approx(math.log(100) / 6),) * 2
    assert row["open:org:last"] == pytest.approx(math.log(10) / 6)
    assert not any(value for name, value in ask_row().items() if name.startswith("open:"))


def test_calendar_turns_with_the_day_and_the_week() -> None:
    midnight_thursday = 86_400.0 * 7 * 100  # the first of January 1970 was a Thursday
    at = [ask_row(at=midnight_thursday + hours * 3600) for hours in (0, 6, 24, 84)]
    assert [round(row["hour_sin"], 5) for row in at] == [0, 1, 0, 0]
    assert [round(row["hour_cos"], 5) for row in at] == [1, 0, 1, -1]
    assert round(at[3]["weekday_cos"], 5) == -1
    assert at[2]["weekday_sin"] == pytest.approx(math.sin(2 * math.pi / 7), abs=1e-5)


def test_an_unknown_lane_marks_none() -> None:
    row = ask_row(lane="express")
    assert [row[f"lane:{lane}"] for lane in LANES] == [0] * len(LANES)


def test_runs_of_the_own_circle_come_first_and_others_fill_the_rest() -> None:
    runs = [run(ago_s=1000 - 10 * number, job_name=("nightly", "other")[number % 2]) for number in range(60)]
    rows = rows_of(runs)
    assert len(rows) == STEPS - 1
    ages = [row["log_age"] for row in rows]
    assert ages == sorted(ages, reverse=True)
    assert sum(row["same_own"] for row in rows) >= 6
    assert [row["same_own"] for row in rows[-2:]] == [1, 0]


def test_a_new_name_reads_what_else_the_organisation_runs() -> None:
    runs = [run(ago_s=100 - number, job_type="ml", job_name="other") for number in range(40)]
    rows = rows_of(runs)
    assert len(rows) == STEPS - 1
    assert [row["log_age"] for row in rows] == pytest.approx(
        [math.log1p(61 + STEPS - 2 - place) / 6 for place in range(STEPS - 1)]
    )


def test_a_run_that_stands_in_several_windows_is_read_once() -> None:
    assert len(rows_of([run(ago_s=2), run(ago_s=1)])) == 2


def test_nothing_known_is_an_example_without_runs() -> None:
    read = example(ask(), UNKNOWN, Base(7.0, NO_CIRCLE))
    assert read.runs.shape == (0, len(RUN_FEATURES))
    assert (read.log_base, read.log_cap) == (7.0, math.inf)
    assert example(ask(timeout_s=3), UNKNOWN, BASE).log_cap == math.log(3000)


def words_of(**fields: Any) -> list[int]:
    words: list[int] = example(ask(**fields), UNKNOWN, BASE).words.tolist()
    return words


def test_each_kind_has_its_place_among_the_words() -> None:
    before = words_of(user_id=7)
    assert before[len(KINDS) :] == [-1] * WORDS
    for kind, fields in (("user", {"user_id": 8}), ("type", {"job_type": "ml"}), ("name", {"job_name": "x"})):
        after = words_of(**{"user_id": 7, **fields})
        assert [place for place in range(len(KINDS)) if after[place] != before[place]] == [KINDS.index(kind)]
    elsewhere = words_of(user_id=7, org_id=2)
    assert all(ours != theirs for ours, theirs in zip(before, elsewhere, strict=True) if ours >= 0)


def test_words_of_the_job_come_after_the_kinds() -> None:
    traits = traits_of("nightly report", {"a": "b"})
    assert words_of(traits=traits)[len(KINDS) :] == [*traits.words, *[-1] * (WORDS - len(traits.words))]


def test_no_name_is_kept() -> None:
    fields = {"job_name": "secret-name", "traits": traits_of("secret-name", {"secret": "value"})}
    read = example(ask(**fields), past([run(**fields)], ask(**fields)), BASE)
    assert {type(part) for part in (read.ask, read.words, read.runs)} == {np.ndarray}
    assert {part.dtype.kind for part in (read.ask, read.words, read.runs)} == {"f", "i"}


def test_a_batch_is_its_examples_padded() -> None:
    examples = []
    for count in (1, 4, 9, 30):
        asked = ask(at=NOW + count, traits=traits_of(f"job {count}", {"rows": count}))
        runs = [run(100.0 * number, ago_s=50 - number) for number in range(1, count)]
        examples.append(example(asked, past(runs, asked), BASE))
    chosen = [examples[number] for number in (2, 0, 3)]
    together = batch(chosen)
    assert len(together) == 3
    assert list(together.lengths) == [9, 1, STEPS]
    assert together.runs.shape == (STEPS, 3, len(RUN_FEATURES))
    for column, one in enumerate(chosen):
        length = together.lengths[column] - 1
        np.testing.assert_array_equal(together.runs[:length, column], one.runs)
        assert not together.runs[length:, column].any()
        np.testing.assert_array_equal(together.ask[column], one.ask)
        np.testing.assert_array_equal(together.words[column], one.words)
    assert together.ask.dtype == together.runs.dtype == np.float32


def digest() -> str:
    """Of everything the network reads of one job."""
    traits = traits_of("größe", {"rows": 5, "path": "a/b"})
    asked = ask(job_name="größe", user_id=3, timeout_s=60, traits=traits)
    runs = [run(5, job_name="größe", job_type="shell"), run(70), run(9, job_name="größe", user_id=3)]
    read = example(asked, past(runs, asked, still_open=[ask(at=NOW - 5)]), BASE)
    parts = [np.ascontiguousarray(part).tobytes() for part in (read.ask, read.words, read.runs)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_features_are_the_same_in_every_process() -> None:
    script = "from tests.predictor.test_features import digest; print(digest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "2")
    }
    assert digests == {digest()}


def test_the_schema_names_what_is_read() -> None:
    assert set(features.LANES) == set(QUEUE_LANES)
    assert len(set(ASK_FEATURES)) == len(ASK_FEATURES)
    assert len(set(RUN_FEATURES)) == len(RUN_FEATURES)
    read = example(ask(), past([run()]), BASE)
    assert read.ask.shape == (len(SCHEMA["ask"]),)
    assert read.runs.shape == (1, len(SCHEMA["run"]))
    assert read.words.shape == (len(KINDS) + SCHEMA["words"],)


def test_making_an_example_changes_no_window() -> None:
    asked: Ask = ask()
    known = past([run(ago_s=3), run(ago_s=2)], asked)
    windows = [list(window.runs) for window in known.windows if isinstance(window, Window)]
    example(asked, known, BASE)
    assert [list(window.runs) for window in known.windows if window] == windows
