"""Goal 4, second half: a worker's memory after a tenth of its jobs and after all of them."""

from __future__ import annotations

from bench import product, report, usage
from bench.goals import Goal
from bench.plan import Plan


def measure(plan: Plan) -> list[Goal]:
    from bench import rows

    product.clear()
    org, user = product.people("memory")
    rows.copy(rows.waiting(org, user), plan.memory_jobs, rows.QUEUED)
    tenth = plan.memory_jobs // 10
    with product.processes() as processes:
        processes.workers(1)
        product.wait_until(lambda: processes.count() >= tenth, f"{tenth:,} jobs start")
        early = _tree_mb(processes.pids[0])
        product.wait_until(lambda: processes.count() >= plan.memory_jobs, f"{plan.memory_jobs:,} jobs start")
        late = _tree_mb(processes.pids[0])
    report.table(
        "Growth: resident memory of one worker, MiB, summed over its processes",
        ["jobs done", "MiB"],
        [[tenth, early], [plan.memory_jobs, late]],
    )
    return [Goal(f"worker memory, {plan.memory_jobs:,} jobs to {tenth:,}", late / early, 1.1)]


def _tree_mb(pid: int) -> float:
    return sum(usage.resident_mb(one) for one in usage.tree_of(pid))
