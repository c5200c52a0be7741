"""The ledger finds what it is there for; the scenarios themselves should never show it."""

from __future__ import annotations

import pytest

from bench.chaos.ledger import Entry, Ledger

RUN = [("", "queued"), ("queued", "running"), ("running", "done")]


def job(**known: object) -> Entry:
    values = {"id": 1, "key": "a", "kind": "light", "status": "done", "attempt": 1,
              "logs": [(1, "done", True)], "events": RUN}  # fmt: skip
    return Entry(**(values | known))  # type: ignore[arg-type]


def book(*entries: Entry) -> Ledger:
    return Ledger({"a": "light"}, {entry.key: entry for entry in entries})


def test_an_ordinary_job_is_no_violation() -> None:
    found = book(job())
    assert (found.lost, found.twice, found.wrong, found.robbed) == ([], [], [], [])


def test_a_job_that_is_gone_or_unfinished_is_lost() -> None:
    assert book().lost == ["job a (light): gone"]
    waiting = job(status="queued", attempt=0, logs=[], events=RUN[:1])
    assert book(waiting).lost == ["job a (light): queued"]


@pytest.mark.parametrize("logs", [[], [(1, "done", True), (2, "done", True)]])
def test_a_job_without_exactly_one_final_record_counts(logs: list[tuple[int, str, bool]]) -> None:
    assert len(book(job(logs=logs)).twice) == 1


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"status": "failed", "events": [*RUN[:2], ("running", "failed")]}, "expected done"),
        ({"attempt": 2}, "attempt 2, but 1 claims"),
        ({"logs": [(2, "done", True)]}, "but records of [2]"),
        ({"events": [RUN[0], RUN[2]]}, "event running -> done while queued"),
        ({"events": RUN[:2]}, "its last event says running"),
    ],
)
def test_a_history_that_does_not_fit_is_wrong(known: dict[str, object], says: str) -> None:
    assert any(says in sentence for sentence in book(job(**known)).wrong)


def test_a_second_attempt_of_a_job_that_never_fails_is_a_robbery() -> None:
    logs = [(1, "lost", False), (2, "done", True)]
    assert book(job(attempt=2, logs=logs)).robbed == ["job 1 (light): ['lost', 'done']"]


def test_a_job_that_was_handed_back_is_not_robbed() -> None:
    handed_back = [*RUN[:2], ("running", "queued"), *RUN[1:]]
    found = book(job(attempt=2, logs=[(2, "done", True)], events=handed_back))
    assert (found.wrong, found.robbed) == ([], [])
