"""What row-level security costs: the same requests to the product, and to the product without its second wall.

`python -m bench --only walls`. Two servers with one process each on one database; one at a time gets the load, in
interleaved rounds whose ratios count. While the open one is measured, the triggers that check links between
organisations are off as well, so that their cost is in the figure.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from django.db import connection

from bench import product, report
from bench.goals import Goal
from bench.http_load import Load, apply
from bench.plan import Plan
from bench.submit_api import BODY, free_port, our_token

LISTED = 2_000
ROUNDS = 5
SECONDS = {True: 4.0, False: 2.0}  # usual, quick
CONNECTIONS = 4
WALLED, OPEN = "with the wall", "without"
_SITES = {WALLED: "smartqueue.asgi:application", OPEN: "bench.open_site:application"}
_TRIGGERS = ("jobs_job", "jobs_jobevent")


@dataclass(frozen=True)
class Case:
    """A kind of request; `goal`: the most that the wall may cost."""

    name: str
    load: Callable[[Load], Load]


CASES = (
    Case("submit, the short way", lambda load: load),
    Case(
        "submit, the view", lambda load: replace(load, headers=load.headers | {"X-Requested-With": "bench"})
    ),
    Case("list, a page of 50", lambda load: replace(load, method="GET", path="/jobs/?page_size=50", body="")),
    Case("one job", lambda load: replace(load, method="GET", path="/jobs/1", body="")),
)
MOST = 1.1  # times as long, for submissions and lists


def measure(plan: Plan) -> list[Goal]:
    token = our_token()
    seconds = SECONDS[plan.rounds > 1]
    with product.processes() as processes:
        loads = {name: _serve(processes, site, token) for name, site in _SITES.items()}
        ratios = {case.name: _ratios(case, loads, seconds) for case in CASES}
    _print(ratios)
    return [
        Goal(f"the wall at {case.name}, times as long", statistics.median(ratios[case.name]), MOST)
        for case in CASES[:3]
    ]


def _serve(processes: product.Processes, site: str, token: str) -> Load:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", site, "--port", str(port), "--no-access-log"]
    processes.start([*command, "--log-level", "warning", "--no-proxy-headers", "--no-server-header"])
    load = Load(
        port, "/jobs/", json.dumps(BODY), {"Authorization": f"Bearer {token}"}, connections=CONNECTIONS
    )
    product.wait_until(lambda: _answers(load), f"{site} answers", 90)
    return load


def _answers(load: Load) -> bool:
    try:
        return apply(replace(load, seconds=0.2)).refused == 0
    except SystemExit:
        return False


def _ratios(case: Case, loads: dict[str, Load], seconds: float) -> list[float]:
    """Times as long with the wall as without, round by round; the order of the two alternates."""
    found = []
    for number in range(ROUNDS):
        report.say(f"walls: {case.name}, round {number + 1} of {ROUNDS}")
        rates = {}
        for name in (WALLED, OPEN) if number % 2 else (OPEN, WALLED):
            _refill(triggers=name == WALLED)
            outcome = apply(replace(case.load(loads[name]), seconds=seconds))
            if outcome.refused or not outcome.waits_ms:
                raise SystemExit(
                    f"bench: {outcome.refused} of {len(outcome.waits_ms)} requests were refused."
                )
            rates[name] = outcome.per_second
        found.append(rates[OPEN] / rates[WALLED])
    return found


def _refill(*, triggers: bool) -> None:
    """As many jobs for each measurement, and new tables for each: those before have left their rows."""
    from bench import rows

    product.clear()
    org, user = product.people("submit")
    rows.copy(rows.finished(org, user), LISTED, {})
    with connection.cursor() as cursor:
        for table in _TRIGGERS:
            cursor.execute(f"ALTER TABLE {table} {'ENABLE' if triggers else 'DISABLE'} TRIGGER USER")
        cursor.execute("ANALYZE jobs_job")


def _print(ratios: dict[str, list[float]]) -> None:
    lines = [[name, statistics.median(found), min(found), max(found)] for name, found in ratios.items()]
    report.table(f"time {WALLED} / {OPEN}", ["request", "median", "least", "most"], lines)
