from __future__ import annotations

import math

import pytest

from predictor.history import KEY_RUNS, ORG_RUNS, Book, recent_median, replay, robust_base
from tests.predictor.builders import ask, past, run


def test_base_is_the_median_of_the_keys_runs() -> None:
    runs = [run(runtime) for runtime in (900, 1000, 1100, 1000, 60_000)]
    base = robust_base(ask(), past(runs))
    assert base is not None
    assert math.exp(base.log_ms) == pytest.approx(1000, rel=0.12)
    assert (base.runs, base.of_key) == (5, True)


def test_base_follows_a_new_level() -> None:
    base = robust_base(ask(), past([run(1000)] * 12 + [run(3000)] * 4))
    assert base is not None
    assert math.exp(base.log_ms) == pytest.approx(3000)


def test_base_backs_off_to_the_type_and_then_to_nothing() -> None:
    others = [run(5000, job_name="other"), run(10, job_name="ping", job_type="http")]
    base = robust_base(ask(), past(others))
    assert base is not None
    assert (math.exp(base.log_ms), base.runs, base.of_key) == (pytest.approx(5000), 1, False)
    assert robust_base(ask(), past(others[1:])) is None


@pytest.mark.parametrize("outcome", ["failed", "timeout", "cancelled", "crashed", "lost"])
def test_only_runs_that_ended_well_give_runtimes(outcome: str) -> None:
    assert robust_base(ask(), past([run(outcome=outcome)])) is None


def test_base_looks_no_further_back_than_it_reads() -> None:
    base = robust_base(ask(), past([run(50_000)] * 40 + [run(1000)] * KEY_RUNS))
    assert base is not None
    assert (base.runs, base.spread) == (KEY_RUNS, 0)


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


def test_replay_shows_only_what_had_ended_when_a_job_was_asked_for() -> None:
    slow = run(100_000, ago_s=0)
    during = run(1000, ago_s=50, wait_ms=500)
    after = run(2000, ago_s=-10)
    seen = {
        id(entry): [id(known) for known in before.of_key]
        for _, before, entry in replay([after, slow, during])
    }
    assert seen == {id(slow): [], id(during): [], id(after): [id(during), id(slow)]}


def test_replay_asks_at_the_moment_the_wait_began() -> None:
    entry = run(2000, ago_s=0, wait_ms=3000)
    ((asked, _, _),) = replay([entry])
    assert asked.at == pytest.approx(entry.ended_at - 5)
    assert asked.key == entry.key


def test_book_keeps_the_last_runs_of_each_key_and_organisation() -> None:
    book = Book()
    runs = [run(number, job_name=f"job-{number % 5}") for number in range(1, 201)]
    for entry in [*runs, run(1, org_id=2)]:
        book.add(entry)
    known = book.past(ask(job_name="job-0"))
    assert [entry.runtime_ms for entry in known.of_key] == [
        200.0 - 5 * back for back in reversed(range(KEY_RUNS))
    ]
    assert list(known.of_org) == runs[-ORG_RUNS:]
    assert not book.past(ask(org_id=3)).of_org
