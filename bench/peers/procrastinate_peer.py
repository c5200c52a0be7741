"""Procrastinate on psycopg 3: `python -m bench.peers.procrastinate_peer COMMAND`, run by the peers' Python."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from procrastinate import App, PsycopgConnector

from bench import starts
from bench.peers import script

app = App(connector=PsycopgConnector(min_size=2, max_size=20))


@app.task(name="noop")
async def noop(key: int = 0) -> None:
    starts.note(key)


async def run(command: str, count: int, concurrency: int, delay_s: float) -> None:
    async with app.open_async():
        match command:
            case "install":
                await app.schema_manager.apply_schema_async()
            case "enqueue":
                after = script.delay(delay_s)
                task = noop.configure(schedule_at=datetime.now(UTC) + after if after else None)
                for size in script.batches(count):
                    await task.batch_defer_async(*[{}] * size)
            case "trickle":
                await script.trickle(count, lambda key: noop.defer_async(key=key))
            case "work":
                await app.run_worker_async(concurrency=concurrency)


def main() -> None:
    options = script.options()
    asyncio.run(run(options.command, options.count, options.concurrency, options.delay))


if __name__ == "__main__":
    main()
