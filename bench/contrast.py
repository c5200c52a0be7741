"""How raw SQL and the fastest peer do under a held snapshot: the rate of each quarter of one drain.

Not a goal; it shows what the product's figures are to be held against.
"""

from __future__ import annotations

import time
from contextlib import nullcontext

import psycopg

from bench import product, raw_sql, report, starts, systems
from bench.plan import Plan
from bench.snapshots import idle_in_transaction
from bench.systems import System

RAW = "raw SQL, batches of 100"


def measure(plan: Plan) -> None:
    rows = []
    for held in (False, True):
        kind = "snapshot held" if held else "clean"
        rows.append([RAW, kind, *_raw_quarters(plan, held)])
        for system in systems.drained(plan.server, plan.peers)[1:2]:
            rows.append([system.name, kind, *_quarters(plan, system, held)])
    quarters = ["1st quarter", "2nd", "3rd", "4th"]
    report.table("Contrast: jobs/s of each quarter of one drain", ["system", "session", *quarters], rows)


def _raw_quarters(plan: Plan, held: bool) -> list[float]:
    dsn = plan.server.fresh_database("raw")
    quarter = plan.contrast_jobs // 4
    rates = []
    with psycopg.connect(dsn, autocommit=True) as session:
        raw_sql.make_table(session)
        session.execute(raw_sql.INSERT, [quarter * 4])
        session.execute("VACUUM ANALYZE bench_raw")
        with idle_in_transaction(plan.server, "raw") if held else nullcontext():
            for _ in range(4):
                done, started = 0, time.perf_counter()
                while done < quarter:
                    done += raw_sql.work_off(session, 100)
                rates.append(done / (time.perf_counter() - started))
    return rates


def _quarters(plan: Plan, system: System, held: bool) -> list[float]:
    assert isinstance(system, systems.Peer)
    system.prepare()
    system.enqueue(plan.contrast_jobs)
    holder = idle_in_transaction(plan.server, system.script) if held else nullcontext()
    with holder, product.processes() as processes:
        system.start_workers(processes, 1)
        product.wait_until(lambda: processes.count() >= plan.contrast_jobs, f"{system.name}: jobs start")
        times = [at for _, at in starts.read(processes.starts)]
    size = len(times) // 4
    return [size / (times[(i + 1) * size - 1] - times[i * size]) for i in range(4)]
