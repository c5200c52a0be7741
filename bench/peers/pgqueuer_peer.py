"""pgqueuer on asyncpg: `python -m bench.peers.pgqueuer_peer COMMAND`, run by the peers' Python (see peers.script)."""

from __future__ import annotations

import asyncio
import signal

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench import starts
from bench.peers import script


async def install() -> None:
    connection = await asyncpg.connect()
    await Queries.from_asyncpg_connection(connection).install()
    await connection.close()


async def enqueue(count: int, delay_s: float = 0) -> None:
    connection = await asyncpg.connect()
    queries = Queries.from_asyncpg_connection(connection)
    after = script.delay(delay_s)
    for size in script.batches(count):
        await queries.enqueue(["noop"] * size, [None] * size, [0] * size, [after] * size)
    await connection.close()


async def trickle(count: int) -> None:
    connection = await asyncpg.connect()
    queries = Queries.from_asyncpg_connection(connection)
    await script.trickle(count, lambda key: queries.enqueue("noop", str(key).encode()))
    await connection.close()


async def work(batch: int) -> None:
    manager = PgQueuer.from_asyncpg_connection(await asyncpg.connect())

    @manager.entrypoint("noop")
    async def noop(job: Job) -> None:
        starts.note(int(job.payload or 0))

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, manager.shutdown.set)
    await manager.run(batch_size=batch)


def main() -> None:
    options = script.options()
    match options.command:
        case "install":
            asyncio.run(install())
        case "enqueue":
            asyncio.run(enqueue(options.count, options.delay))
        case "trickle":
            asyncio.run(trickle(options.count))
        case "work":
            (uvloop.run if options.uvloop else asyncio.run)(work(options.batch))


if __name__ == "__main__":
    main()
