"""Jobs that wait for this and that. `explain(user, job)` is what GET /jobs/{id}/explain answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.models import Job, Worker
from orgs.models import User
from smartqueue.explain_docs import REASONS

Explain = Callable[[User, Job], dict[str, Any]]
Submit = Callable[..., Job]
DOCUMENTED = {code: set(facts.split()) for code, _, facts in REASONS}


@pytest.fixture
def explain(api: Any) -> Explain:
    def ask(user: User, job: Job) -> dict[str, Any]:
        answer = api(user).get(f"/jobs/{job.pk}/explain")
        assert answer.status_code == 200, answer.content
        found = answer.json()
        for reason in (found["reason"], *found["also"]):
            assert set(reason["facts"]) == DOCUMENTED[reason["code"]], reason
        return found

    return ask


@pytest.fixture
def worker(db: None) -> Worker:
    """One that is live, takes `python` and `shell` of every queue, and has two free slots."""
    return Worker.objects.create(
        worker_id="w1", hostname="node-7", pid=42, concurrency=2, types=["python", "shell"]
    )


def codes(answer: dict[str, Any]) -> list[str]:
    """Of all reasons, the primary one first."""
    return [one["code"] for one in (answer["reason"], *answer["also"])]
