from __future__ import annotations

import math
from typing import Any

import pytest

from jobs.models import ExecutionLog
from predictor import history
from predictor.history import (
    CIRCLES,
    CUT_SHORT,
    KNOWN,
    MOST_OPEN,
    NO_CIRCLE,
    WINDOW,
    Base,
    Book,
    Open,
    Run,
    Window,
    log_timeout_ms,
    recent_median,
    robust_base,
    seen,
)
from predictor.traits import traits_of
from tests.predictor.builders import NOW, ask, past, run

CENSORED = sorted(CUT_SHORT)


def base_of(runs: list[Run], **fields: object) -> Base:
    base = robust_base(ask(**fields), past(runs, ask(**fields)), {})
    assert base is not None
    return base


def base_ms(runs: list[Run], **fields: object) -> float:
    return math.exp(base_of(runs, **fields).log_ms)


def window_of(runs: list[Run]) -> Window:
    return Window([seen(entry) for entry in runs])


def test_base_is_the_median_of_the_last_runs() -> None:
    runs = [run(runtime) for runtime in (900, 1000, 1100, 1000, 60_000)]
    assert base_ms(runs) == pytest.approx(1000, rel=0.12)


def test_base_follows_a_new_level() -> None:
    assert base_ms([run(1000)] * 12 + [run(3000)] * 4) == pytest.approx(3000)


def test_base_looks_no_further_back_than_a_window_reaches() -> None:
    base = base_ms([run(50_000)] * 40 + [run(1000)] * WINDOW)
    assert base == pytest.approx(1000)


@pytest.mark.parametrize(
    ("known", "circle"),
    [
        ({"job_name": "nightly", "user_id": 7}, "own"),
        ({"job_name": "nightly", "user_id": 8}, "name"),
        ({"job_name": "other", "user_id": 7}, "user"),
        ({"job_name": "other", "user_id": 8}, "type"),
    ],
)
def test_base_is_made_of_the_narrowest_circle_that_has_runs(known: dict[str, Any], circle: str) -> None:
    base = base_of([run(5000, **known), run(10, job_type="http", user_id=7)], user_id=7)
    assert (base.log_ms, CIRCLES[base.circle]) == (pytest.approx(math.log(5000)), circle)


def test_base_backs_off_to_the_level_of_the_type_and_then_to_nothing() -> None:
    elsewhere = past([run(10, job_type="http"), run(10, org_id=2)])
    assert robust_base(ask(), elsewhere, {"etl": 9.0}) == Base(9.0, NO_CIRCLE)
    assert robust_base(ask(), elsewhere, {"shell": 9.0}) is None


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_runs_that_ended_by_themselves_give_runtimes(outcome: str) -> None:
    assert not run(outcome=outcome).censored
    assert base_ms([run(70, outcome=outcome)]) == pytest.approx(70)


@pytest.mark.parametrize("outcome", CENSORED)
def test_runs_that_were_cut_short_say_nothing_of_the_level(outcome: str) -> None:
    assert run(outcome=outcome).censored
    assert window_of([run(outcome=outcome)]).summary() is None


@pytest.mark.parametrize("outcome", CENSORED)
def test_where_all_were_cut_short_the_base_is_at_least_what_they_outlasted(outcome: str) -> None:
    """Against the cold start, which is 3000 for this type, against the level of the type, and a wider circle."""
    short, long = past([run(5, outcome=outcome)]), past([run(90_000, outcome=outcome)])
    assert robust_base(ask(), short, {}) is None
    assert robust_base(ask(), long, {}) == Base(math.log(90_000), NO_CIRCLE)
    assert robust_base(ask(), short, {"etl": 9.0}) == Base(9.0, NO_CIRCLE)
    assert robust_base(ask(), long, {"etl": 9.0}) == Base(math.log(90_000), NO_CIRCLE)
    wider = [run(10_000, job_name="other"), run(5, outcome=outcome), run(90_000, outcome=outcome)]
    assert base_of(wider[:2]) == Base(math.log(10_000), CIRCLES.index("user"))
    assert base_ms([wider[0], wider[2]]) == pytest.approx(90_000)


def test_runs_that_took_no_time_count_as_known() -> None:
    window = window_of([run(0.0, outcome="timeout")])
    assert window.at_least() == 0
    assert window_of([run(0.0, outcome="timeout"), run(5)]).at_least() is None
    assert window_of([]).at_least() is None


@pytest.mark.parametrize("outcome", CENSORED)
def test_censored_runs_raise_the_base_and_never_pull_it_down(outcome: str) -> None:
    known = [run(1000), run(1100), run(1200)]
    before = base_ms(known)
    assert base_ms([*known, run(5, outcome=outcome)]) == before
    assert base_ms([*known, run(9000, outcome=outcome)]) > before


def test_a_window_in_numbers() -> None:
    runs = [run(100, ago_s=30), run(200, ago_s=20, outcome="failed"), run(400, ago_s=10)]
    summary = window_of(runs).summary()
    assert summary is not None
    assert [math.exp(log) for log in summary.last] == pytest.approx([400, 200, 100])
    assert (summary.log_count, summary.ended_at) == (math.log1p(3), NOW - 10)
    assert summary.done_share == pytest.approx(2 / 3)
    weights = (0.75**2, 0.75, 1.0)
    mean = sum(weight * math.log(ms) for weight, ms in zip(weights, (100, 200, 400), strict=True))
    assert summary.mean == pytest.approx(mean / sum(weights))
    assert summary.spread > 0
    assert math.log(100) < summary.median < math.log(400)


def test_a_window_of_one_run_says_it_three_times() -> None:
    summary = window_of([run(100)]).summary()
    assert summary is not None
    assert summary.last == (math.log(100),) * 3
    assert summary.spread == 0


def test_a_window_is_summed_up_anew_when_a_run_is_added() -> None:
    window = window_of([run(100)])
    first = window.summary()
    window.add(seen(run(900)))
    assert window.summary() != first
    assert window.count == 2


def test_a_window_counts_what_it_no_longer_holds() -> None:
    window = Window([seen(run(number)) for number in range(1, 5)], count=1000)
    for number in range(WINDOW):
        window.add(seen(run(10 + number)))
    assert (len(window.runs), window.count) == (WINDOW, 1000 + WINDOW)
    summary = window.summary()
    assert summary is not None
    assert summary.log_count == math.log1p(1000 + WINDOW)


def test_a_run_is_kept_as_numbers() -> None:
    traits = traits_of("nightly", {"rows": 3})
    entry = seen(run(500, outcome="timeout", user_id=4, timeout_s=0.5, traits=traits))
    assert all(type(value) is float for value in entry)
    assert (entry.ended, entry.done, entry.user_id) == (0, 0, 4)
    assert entry.log_ms == entry.log_timeout_ms == math.log(500)
    assert (entry.ended_at, entry.asked_at) == (NOW - 60, NOW - 60.5)
    assert (entry.volume, entry.digest) == (traits.volume, traits.digest)


def test_without_a_time_limit_there_is_none() -> None:
    assert log_timeout_ms(ask()) == log_timeout_ms(ask(timeout_s=0.0005)) == 0
    assert log_timeout_ms(ask(timeout_s=2)) == math.log(2000)


def test_runtimes_below_a_millisecond_count_as_one() -> None:
    assert run(0.0).log_ms == run(0.4).log_ms == 0


@pytest.mark.parametrize("runtime_ms", [math.nan, math.inf, -math.inf, 1e300])
def test_a_runtime_that_cannot_be_spoils_no_sum(runtime_ms: float) -> None:
    odd = Run(ask(), "done", runtime_ms, NOW)
    assert 0 <= odd.log_ms < 30
    assert math.isfinite(base_of([odd, run(1000), run(1000)]).log_ms)


def test_every_outcome_of_an_execution_is_known_or_left_out() -> None:
    assert set(ExecutionLog.OUTCOMES) - KNOWN == {"lost"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5.0], 5.0), ([1.0, 1.0, 1.0], 1.0), ([0.0, 1.0], (7 / 8 - 3 / 8) / (7 / 8)), ([1.0, 0.0], 1 - 4 / 7)],
)
def test_recent_median(values: list[float], expected: float) -> None:
    assert recent_median(values) == pytest.approx(expected)


def test_recent_median_stays_between_the_values() -> None:
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0]
    for count in range(1, len(values) + 1):
        assert min(values[:count]) <= recent_median(values[:count]) <= max(values[:count])


def test_circles_go_from_narrow_to_wide() -> None:
    assert ask(user_id=7).circles == (
        (1, "etl", "nightly", 7),
        (1, "etl", "nightly", 0),
        (1, "etl", "", 7),
        (1, "etl", "", 0),
        (1, "", "", 0),
    )


def test_a_run_without_a_submitter_counts_once_in_each_circle() -> None:
    own, name, user, kind, org = past([run()]).windows
    assert own is name
    assert user is kind
    assert [window.count for window in (own, user, org) if window] == [1, 1, 1]


def test_book_keeps_the_last_runs_of_each_circle() -> None:
    runs = [run(number, job_name=f"job-{number % 5}") for number in range(1, 201)]
    asked = ask(job_name="job-0")
    known = past([*runs, run(1, org_id=2)], asked)
    own, org = known.windows[0], known.windows[-1]
    assert own is not None
    assert org is not None
    assert list(own.runs) == [seen(entry) for entry in runs[4::5]][-WINDOW:]
    assert list(org.runs) == [seen(entry) for entry in runs[-WINDOW:]]
    assert (own.count, org.count) == (40, 200)
    assert past(runs, ask(org_id=3)).windows == (None,) * len(CIRCLES)


def test_book_counts_what_is_open() -> None:
    asks = [ask(at=NOW - 30, user_id=7), ask(at=NOW - 20, user_id=7, job_name="x"), ask(at=NOW - 10)]
    elsewhere = ask(at=NOW - 5, org_id=2, user_id=7)
    known = past([], ask(user_id=7), still_open=[*asks, elsewhere])
    assert known.open == (
        Open(1, NOW - 30, NOW - 30),
        Open(2, NOW - 30, NOW - 20),
        Open(3, NOW - 30, NOW - 10),
    )


def test_what_is_closed_is_open_no_more() -> None:
    book, first, second = Book(), ask(at=NOW - 30), ask(at=NOW - 20)
    book.note(1, first)
    book.note(2, second)
    book.close(1, first)
    assert book.past(ask()).open[0] == Open(1, NOW - 20, NOW - 20)
    book.close(2, second)
    book.close(2, second)
    assert book.past(ask()).open == (Open(),) * 3


def test_no_more_open_jobs_are_counted_than_the_database_would() -> None:
    asks = [ask() for _ in range(MOST_OPEN + 1)]
    assert past([], still_open=asks).open[0].jobs == MOST_OPEN


def test_book_keeps_the_windows_that_were_added_to_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_WINDOWS", 3)
    book = Book()
    for name in ("x", "y"):
        book.add(run(job_name=name))
    assert list(book.windows) == [(1, "etl", "y", 0), (1, "etl", "", 0), (1, "", "", 0)]
    own, kind = (window for window in book.past(ask(job_name="y")).windows[1:3])
    assert own is not None
    assert kind is not None
    assert (own.count, kind.count) == (1, 2)
