"""How much one run of the bench measures, and with what."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from bench.cluster import Server


@dataclass(frozen=True)
class Plan:
    """Sizes of everything. `peers` is the Python that has them, None when they are left out."""

    server: Server
    peers: Path | None
    rounds: int  # interleaved, of drain and latency
    jobs: int  # in one drain
    raw_jobs: int
    latency_jobs: int
    idle_s: float
    queued: int  # the long queue
    history: int  # the long history
    claim_calls: int  # timed claims of ten jobs; a third of it of a hundred
    memory_jobs: int
    pressure_s: float  # each phase; a clean one at most two minutes
    contrast_jobs: int
    blocked: int  # jobs that cannot run, in front of
    ready: int  # those that can
    blocked_rounds: int


# By size, in the order of the fields: rounds to idle_s, queued to memory_jobs, then the rest.
SIZES: dict[str, tuple[float, ...]] = {
    "tiny": (1, 300, 2_000, 5, 0.5, 2_000, 2_000, 6, 400, 1, 2_000, 1_000, 200, 1),
    "quick": (1, 10_000, 40_000, 50, 3, 100_000, 100_000, 90, 20_000, 5, 30_000, 10_000, 2_000, 1),
    "usual": (3, 20_000, 60_000, 200, 5, 1_000_000, 1_000_000, 200, 100_000, 30, 60_000, 100_000, 2_000, 3),
    "full": (
        3,
        20_000,
        60_000,
        200,
        10,
        1_000_000,
        10_000_000,
        200,
        100_000,
        600,
        200_000,
        100_000,
        2_000,
        5,
    ),
}


def make(size: str, *, server: Server, peers: Path | None) -> Plan:
    names = [field.name for field in fields(Plan)][2:]
    sizes = dict(zip(names, SIZES[size], strict=True))
    return Plan(server=server, peers=peers, **sizes)  # type: ignore[arg-type]
