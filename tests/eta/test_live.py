"""The whole way: jobs come at random, real workers run them, the leader estimates, and starts are scored."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from analytics import calibration
from jobs import states
from jobs.eta_models import Eta
from jobs.models import Job, SchedulerLeader, Worker
from orgs.models import User
from tests.processes import processes
from tests.waiting import wait_until

SLOTS = 3
LOAD = 0.95
KINDS_S = {"short": 0.3, "middle": 1.0, "long": 4.0}


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.django_db(transaction=True)
def test_four_of_five_jobs_start_inside_their_interval(
    alice: User, charlie: User, submit: Callable[..., Job], tmp_path: Path
) -> None:
    dice = random.Random(5)
    mean_s = sum(KINDS_S.values()) / len(KINDS_S)
    with processes(tmp_path) as platform:
        platform.start("runworker", "--concurrency", str(SLOTS))
        platform.start("runscheduler")
        wait_until(lambda: Worker.objects.filter(status="active").exists(), 60, "the worker starts")
        wait_until(SchedulerLeader.objects.exists, 60, "a scheduler leads")
        until = time.monotonic() + 200
        while time.monotonic() < until:
            kind = dice.choice(list(KINDS_S))
            seconds = KINDS_S[kind] * dice.lognormvariate(0.0, 0.4)
            payload = {"function": "sleep", "args": [round(seconds, 3)]}
            submit(dice.choice([alice, alice, charlie]), name=kind, payload=payload)
            time.sleep(dice.expovariate(LOAD * SLOTS / mean_s))
        wait_until(lambda: not Job.objects.filter(status__in=states.ACTIVE).exists(), 120, "all have ended")
        wait_until(lambda: not Eta.objects.exists(), 20, "all are scored")
    score = calibration.coverage()
    assert score.started > 80
    assert 0.7 <= (score.share or 0.0) <= 0.9, score
