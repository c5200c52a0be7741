"""The axes of a report: round ticks with names that people use, which do not run into each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from predictor.report.scales import (
    LETTER,
    Axis,
    duration,
    duration_axis,
    duration_range,
    number_axis,
    share_axis,
    time_axis,
)
from tests.predictor.report_page import HOUR

MS_OF_DAY = 86_400_000


def names(axis: Axis) -> list[str]:
    return [words for _, words in axis.ticks]


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        *(
            (0.5, "0.5 ms"),
            (1, "1 ms"),
            (412.4, "412 ms"),
            (999.7, "1000 ms"),
            (1000, "1 s"),
            (1234, "1.23 s"),
        ),
        *((60_000, "1 min"), (3_600_000, "1 h"), (MS_OF_DAY, "1 d"), (5000 * MS_OF_DAY, "5,000 d")),
        (1e30, "over 10,000 d"),
    ],
)
def test_durations_are_said_in_their_own_unit(ms: float, words: str) -> None:
    assert duration(ms) == words


def test_ticks_of_durations_are_round_and_finer_where_there_is_room() -> None:
    decades = ["10 ms", "100 ms", "1 s", "10 s", "1 min", "10 min", "1 h"]
    assert names(duration_axis(8, 4e6, 0, 460)) == decades
    assert names(duration_axis(900, 11_000, 0, 460)) == ["1 s", "2 s", "5 s", "10 s"]
    assert names(duration_axis(1, 10_000 * MS_OF_DAY, 0, 300)) == [
        *("1 ms", "1 s", "1 min", "1 h", "1 d", "100 d", "10,000 d")
    ]


@pytest.mark.parametrize("decades", [1, 2, 3, 5, 7, 9, 11])
def test_labels_side_by_side_do_not_touch(decades: int) -> None:
    axis = duration_axis(0.9, 10.0**decades, 0, 460)
    assert len(axis.ticks) >= 3
    for (low, words), (high, more) in pairwise(axis.ticks):
        assert axis(high) - axis(low) > LETTER * (len(words) + len(more)) / 2


@pytest.mark.parametrize("values", [[], [1000.0], [1000.0] * 5, [1e-9], [1e300], [1.0, 1e300]])
def test_range_of_durations_is_wide_enough_to_draw(values: list[float]) -> None:
    low, high = duration_range(np.array(values))
    assert 0 < low < high < 1e13
    assert high / low >= 9.99


def test_logarithmic_axis_puts_equal_ratios_at_equal_distances() -> None:
    axis = Axis(1, 10_000, 100, 500, log=True)
    assert [axis(value) for value in (1, 10, 100, 10_000)] == pytest.approx([100, 200, 300, 500])
    assert (axis(0.001), axis(1e9)) == (100, 500)


@pytest.mark.parametrize(
    ("top", "last", "count"), [(0.9, "1", 6), (1.8, "2", 5), (0.1, "0.1", 6), (72.5, "80", 5)]
)
def test_numbers_end_at_a_round_one(top: float, last: str, count: int) -> None:
    found = names(number_axis(top, 0, 100))
    assert (found[0], found[-1], len(found)) == ("0", last, count)


def test_shares_are_percents() -> None:
    assert names(share_axis(0, 100)) == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]


@pytest.mark.parametrize(
    ("seconds", "some"),
    [
        (3600, "00:15"),
        (86_400, "06:00"),
        (3 * 86_400, "2 Jan"),
        (40 * 86_400, "8 Jan"),
        (900 * 86_400, "Oct 2026"),
    ],
)
def test_moments_are_round_and_have_room(seconds: int, some: str) -> None:
    axis = time_axis(HOUR, HOUR + seconds, 0, 660)
    assert some in names(axis)
    for (low, words), (high, _) in pairwise(axis.ticks):
        assert axis(high) - axis(low) > LETTER * len(words)
