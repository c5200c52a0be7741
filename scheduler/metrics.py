"""What a worker or scheduler process says about itself on a port of its own."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from django.conf import settings
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)


class Durations(Collector):
    """A histogram by job type that takes batches: a worker ends thousands of jobs in a second."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name, self._documentation = name, documentation
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        REGISTRY.register(self)

    def observe(self, type: str, seconds: Sequence[float]) -> None:
        if type not in self._counts:
            self._counts[type], self._sums[type] = [0] * (len(SECONDS) + 1), 0.0
        counts = self._counts[type]
        for one in seconds:
            counts[bisect_left(SECONDS, one)] += 1
        self._sums[type] += sum(seconds)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=["type"])
        for type, counts in list(self._counts.items()):
            seen, buckets = 0, []
            for bound, count in zip([*map(float, SECONDS), float("inf")], counts, strict=True):
                seen += count
                buckets.append((str(bound) if bound != float("inf") else "+Inf", float(seen)))
            family.add_metric([type], buckets, self._sums[type])
        yield family


ATTEMPTS = Counter("smartqueue_worker_attempts_total", "Attempts that ended here.", ["type", "outcome"])
WAIT = Durations("smartqueue_worker_wait_seconds", "From queued to started.")
RUN = Durations("smartqueue_worker_run_seconds", "Run time of attempts.")
SLOTS = Gauge("smartqueue_worker_slots", "Jobs that this worker can run at once.")
SLOTS_BUSY = Gauge("smartqueue_worker_slots_busy", "Jobs that this worker runs now.")
IS_LEADER = Gauge("smartqueue_scheduler_is_leader", "1 while this scheduler leads.")
DUTY_SECONDS = Histogram("smartqueue_scheduler_duty_seconds", "Time of one run of a duty.", ["duty"])
DUTY_ROWS = Counter("smartqueue_scheduler_duty_rows_total", "Rows that a duty changed.", ["duty"])


def serve() -> None:
    """Start /metrics on SMARTQUEUE_METRICS_PORT; nothing when it is 0."""
    if settings.METRICS_PORT == 0:
        return
    start_http_server(settings.METRICS_PORT, addr=settings.METRICS_HOST)
    logger.info("action=metrics address=%s:%s", settings.METRICS_HOST, settings.METRICS_PORT)
