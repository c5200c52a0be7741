"""What a worker or scheduler process says about itself on a port of its own."""

from __future__ import annotations

import logging

from django.conf import settings
from prometheus_client import Counter, Gauge, Histogram, start_http_server

logger = logging.getLogger(__name__)

SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)

ATTEMPTS = Counter("smartqueue_worker_attempts_total", "Attempts that ended here.", ["type", "outcome"])
WAIT = Histogram("smartqueue_worker_wait_seconds", "From queued to started.", ["type"], buckets=SECONDS)
RUN = Histogram("smartqueue_worker_run_seconds", "Run time of attempts.", ["type"], buckets=SECONDS)
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
