"""A light load generator for HTTP/1.1, in a process of its own: `python -m bench.http_load`, a Plan as JSON on stdin.

Keeps a fixed number of connections open, each with one request at a time, and counts what comes back. With
`rate` it sends at that rate instead, and a request's wait counts from the moment at which it was due.
Prints an Outcome as JSON. Called by bench.submit_api through `apply`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field

import uvloop

from bench.product import ROOT

WARM_UP_S = 1.0


@dataclass(frozen=True)
class Load:
    """What to send where: over `connections` for `seconds`; without `rate` (requests/s) as fast as answers come."""

    port: int
    path: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = 16
    seconds: float = 8.0
    rate: float | None = None
    method: str = "POST"

    def request(self) -> bytes:
        content = self.body.encode()
        head = {
            "Host": "127.0.0.1",
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **self.headers,
        }
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in head.items()),
            "",
            "",
        ]
        return "\r\n".join(lines).encode() + content


@dataclass
class Outcome:
    """Milliseconds of each answered request, the seconds that they took together, and how many were not a 2xx."""

    waits_ms: list[float]
    seconds: float
    refused: int = 0

    @property
    def per_second(self) -> float:
        return len(self.waits_ms) / self.seconds


def apply(load: Load) -> Outcome:
    """Put `load` on a server from another process, so that the caller's own work does not slow it down."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.http_load"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"bench: the load generator failed:\n{done.stderr[-2000:]}")
    return Outcome(**json.loads(done.stdout))


class _Connection(asyncio.Protocol):
    """One connection with at most one request on its way, which was due at `due`."""

    transport: asyncio.Transport

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.due = 0.0
        self._answer = b""

    def send(self, due: float) -> None:
        self.due = due
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if _is_whole(self._answer):
            ok = self._answer[9:10] == b"2"
            self._answer = b""
            self.run.answered(self, ok=ok)

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lost(exc)


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    _, has_length, rest = head.lower().partition(b"content-length:")
    if has_length:
        return len(body) >= int(rest.split(b"\r\n", 1)[0])
    return body.endswith(b"0\r\n\r\n")  # sent in chunks


class _Run:
    def __init__(self, load: Load) -> None:
        self.load, self.request = load, load.request()
        self.outcome = Outcome([], load.seconds)
        self.idle: deque[_Connection] = deque()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begins = time.perf_counter() + WARM_UP_S
        self.ends = self.begins + load.seconds

    async def go(self) -> Outcome:
        for _ in range(self.load.connections):
            self.idle.append(await self._connect())
        if self.load.rate is None:
            while self.idle:
                self.idle.popleft().send(time.perf_counter())
            await self.over
        else:
            await self._paced(self.load.rate)
        return self.outcome

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(
            lambda: _Connection(self), "127.0.0.1", self.load.port
        )
        connection.transport = transport
        return connection

    async def _paced(self, rate: float) -> None:
        due = time.perf_counter()
        while due < self.ends and not self.over.done():
            await asyncio.sleep(max(0.001, due - time.perf_counter()))
            if self.idle and time.perf_counter() >= due:
                self.idle.popleft().send(due)
                due += 1 / rate

    def answered(self, connection: _Connection, *, ok: bool) -> None:
        now = time.perf_counter()
        if self.begins <= now < self.ends:
            self.outcome.waits_ms.append((now - connection.due) * 1000)
            self.outcome.refused += not ok
        if now >= self.ends and not self.over.done():
            self.over.set_result(None)
        if self.load.rate is not None:
            self.idle.append(connection)
        elif not self.over.done():
            connection.send(now)

    def lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("The server closed a connection."))


async def _main() -> None:
    outcome = await _Run(Load(**json.load(sys.stdin))).go()
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
