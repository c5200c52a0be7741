"""Times in words."""

from __future__ import annotations

import pytest

from orgs import wording


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (None, wording.NOTHING),
        (0, "0 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (9_949, "9.9 s"),
        (9_950, "10 s"),
        (59_499, "59 s"),
        (59_500, "1 min"),
        (125_000, "2 min 5 s"),
        (3_600_000, "1 h"),
        (86_399_000, "23 h 59 min"),
        (187_200_000, "2 d 4 h"),
    ],
)
def test_duration(ms: float | None, words: str) -> None:
    assert wording.duration(ms) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (5, "5 s ago"),
        (59.9, "55 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (172_800, "2 d ago"),
    ],
)
def test_age(seconds: float, words: str) -> None:
    assert wording.age(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "in 5 s"), (57, "in 60 s"), (150, "in 2 min"), (5400, "in 1 h 30 min")]
)
def test_until(seconds: float, words: str) -> None:
    assert wording.until(seconds) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("short", "short"),
        ("two\n  lines", "two lines"),
        ("one two three four", "one two …"),
        ("x" * 20, "x" * 11 + "…"),
        ("", ""),
    ],
)
def test_shortened(text: str, words: str) -> None:
    assert wording.shortened(text, 12) == words


def test_counted() -> None:
    assert [wording.counted(number, "job") for number in (0, 1, 1200)] == ["0 jobs", "1 job", "1,200 jobs"]
