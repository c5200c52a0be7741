"""What fair shares and limits cost: a claim among 1,000 organisations to one among one, drains with limits to without.

The claims are those of `bench.growth`, on a session and with the memory of a worker. The limits are an organisation's
and a queue's, on running jobs and on a rate, none of which is ever reached: what is measured is the counting.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench import growth, product, report
from bench.drain import drain
from bench.goals import Goal
from bench.growth import Case
from bench.plan import Plan
from bench.systems import SmartQueue

ORGS = 1000
EACH = 20  # jobs that wait, per organisation
PLENTY = 1_000_000


@dataclass
class Limited(SmartQueue):
    name: str = "SmartQueue with limits"

    def prepare(self) -> None:
        super().prepare()
        limit(product.people("drain")[0].pk)


def limit(org_id: int) -> None:
    """Limits that count and never bite, on the organisation and on its default queue."""
    from jobs.models import Gate, Limit

    for scope, name in (("org", ""), ("queue", "default")):
        rate = {"rate_count": PLENTY, "rate_period_s": 1.0} if scope == "queue" else {}
        Limit.objects.create(org_id=org_id, scope=scope, name=name, max_running=PLENTY, **rate)
        Gate.objects.create(org_id=org_id, scope=scope, name=name)


def measure(plan: Plan) -> list[Goal]:
    return [*_many_organisations(plan), *_limits(plan)]


def _many_organisations(plan: Plan) -> list[Goal]:
    one, many = Case("shares_one", ORGS * EACH, 0), Case("shares_many", ORGS * EACH, 0)
    product.clear()
    product.people("growth")
    growth.fill(plan, one)
    growth.fill(plan, many)
    _spread(many)
    for _ in range(growth.TURNS):
        for case in (one, many):
            growth.take_turn(plan, case)
    product.switch(product.DATABASE)
    for case in (one, many):
        plan.server.drop_database(case.database)
    report.table(
        f"One claim, {ORGS * EACH:,} jobs queued, median ms, {growth.TURNS} turns",
        ["organisations", *(f"claim of {size}" for size in growth.SIZES)],
        [[orgs, *(case.median_ms(size) for size in growth.SIZES)] for orgs, case in ((1, one), (ORGS, many))],
    )
    return [Goal(f"claim with {ORGS:,} organisations to one", many.ratio_to(one), 3)]


def _spread(case: Case) -> None:
    """Share the waiting jobs out to as many organisations, each with a flow of its own."""
    from django.db import connection

    from bench import rows

    with connection.cursor() as cursor:
        cursor.execute(
            "WITH org AS (INSERT INTO orgs_organization (name, weight, created_at)"
            " SELECT 'org ' || g, 1 + g %% 3, now() FROM generate_series(1, %s) g RETURNING id)"
            " INSERT INTO jobs_flow (org_id, queue, type, key) SELECT id, 'default', 'python', '' FROM org",
            [ORGS],
        )
        cursor.execute(
            "WITH flow AS (SELECT id, org_id, row_number() OVER (ORDER BY id) - 1 AS place FROM jobs_flow"
            " WHERE org_id IN (SELECT id FROM orgs_organization WHERE name LIKE 'org %%'))"
            " UPDATE jobs_job SET org_id = flow.org_id, flow_id = flow.id FROM flow"
            " WHERE flow.place = jobs_job.id %% %s AND status = 'queued'",
            [ORGS],
        )
    rows.vacuum()


def _limits(plan: Plan) -> list[Goal]:
    rates: dict[str, list[float]] = {}
    for number in range(1, plan.rounds + 1):
        report.say(f"limits, round {number} of {plan.rounds}")
        for system in (SmartQueue(), Limited()):
            rates.setdefault(system.name, []).append(drain(plan, system, workers=1).rate)
    free, limited = rates.values()
    report.table(
        f"Drain of {plan.jobs:,} no-op jobs, {plan.rounds} round(s)",
        ["", "jobs/s"],
        [[name, float(statistics.median(found))] for name, found in rates.items()],
    )
    ratio = statistics.median(one / other for one, other in zip(limited, free, strict=True))
    return [Goal("drain with limits to without", ratio, 0.85, at_least=True)]
