"""How jobs are run, retried, predicted and learned from: the settings of the queue.

Imported by `settings` alone, which takes over every name in capitals. Like there, each is read from the
environment through `smartqueue.env`.
"""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from jobs.payloads import JOB_TYPES
from smartqueue.env import env_bool, env_float, env_int, env_list

LEASE_S = env_float(
    "SMARTQUEUE_LEASE_S", 30, "Seconds a claimed job stays with a silent worker.", low=1, high=3600
)
HEARTBEAT_S = env_float(
    "SMARTQUEUE_HEARTBEAT_S",
    3,
    "Seconds between a worker's renewals of its leases. A worker whose process is gone and that missed two "
    "loses its jobs before their lease ends.",
    low=0.2,
    high=1200,
)
if HEARTBEAT_S * 2 >= LEASE_S:
    raise ImproperlyConfigured(
        f"SMARTQUEUE_HEARTBEAT_S={HEARTBEAT_S:g}: expected less than half of SMARTQUEUE_LEASE_S={LEASE_S:g}, "
        "so that one missed renewal does not lose the lease."
    )
POLL_S = env_float(
    "SMARTQUEUE_POLL_S", 2, "Seconds between polls when no wake-up arrives.", low=0.05, high=60
)
WORKER_CONCURRENCY = env_int(
    "SMARTQUEUE_WORKER_CONCURRENCY", 4, "Jobs that one worker runs at once.", low=1, high=256
)
WORKER_GRACE_S = env_float(
    "SMARTQUEUE_WORKER_GRACE_S",
    20,
    "Seconds a stopping worker lets its jobs go on before it hands them back. Unset, `make run` waits 5 at Ctrl-C.",
    low=0,
    high=3600,
)
JOB_TIMEOUT_S = env_int(
    "SMARTQUEUE_JOB_TIMEOUT_S", 600, "Time limit of a job that names none.", low=1, high=86_400
)
JOB_MEMORY_MB = env_int(
    "SMARTQUEUE_JOB_MEMORY_MB",
    0,
    "Memory limit in MiB of a job that names none, unless it calls a light function; 0 is no limit.",
    low=0,
    high=1_048_576,
)
JOB_CPU_S = env_float(
    "SMARTQUEUE_JOB_CPU_S",
    0,
    "Limit of CPU seconds of a job that names none, unless it calls a light function; 0 is no limit.",
    low=0,
    high=864_000,
)
JOB_MAX_RETRIES = env_int(
    "SMARTQUEUE_JOB_MAX_RETRIES", 3, "Retries of a job that names none.", low=0, high=100
)
RETRY_BASE_S = env_float(
    "SMARTQUEUE_RETRY_BASE_S",
    2,
    "First retry's largest delay in seconds; scaled by type, see deployment.md.",
    low=0.01,
    high=3600,
)
RETRY_CAP_S = env_float(
    "SMARTQUEUE_RETRY_CAP_S",
    600,
    "Largest delay between two attempts; scaled by type, see deployment.md.",
    low=0.01,
    high=86_400,
)
LEARNING = env_bool(
    "SMARTQUEUE_LEARNING",
    True,
    "Whether the leading scheduler keeps a process that learns from executions as they end.",
)
PREDICTION_FRESH_S = env_float(
    "SMARTQUEUE_PREDICTION_FRESH_S",
    1,
    "Seconds a prediction is used again for jobs that ask for the same (organisation, type, name, lane, submitter, "
    "timeout, and what of the payload counts); 0: never.",
    low=0,
    high=60,
)
PREDICTION_DEADLINE_MS = env_float(
    "SMARTQUEUE_PREDICTION_DEADLINE_MS",
    40,
    "Milliseconds a submission waits for its prediction before a fallback stands in, and 0.25 more for each job of "
    "a batch; 0: as long as it takes.",
    low=0,
    high=10_000,
)
FUNCTIONS = env_list("SMARTQUEUE_FUNCTIONS", "", "Python modules that register functions for `python` jobs.")

MAX_QUEUED_PER_ORG = env_int(
    "SMARTQUEUE_MAX_QUEUED_PER_ORG",
    0,
    "Jobs of one organisation that may wait at once, where it has no such limit of its own; 0: any number.",
    low=0,
    high=100_000_000,
)
IDEMPOTENCY_TTL_H = env_float(
    "SMARTQUEUE_IDEMPOTENCY_TTL_H",
    24,
    "Hours for which an idempotency key finds the job that it came with.",
    low=0.01,
    high=8760,
)
SNAPSHOT_WARN_S = env_float(
    "SMARTQUEUE_SNAPSHOT_WARN_S",
    60,
    "Age in seconds from which on a transaction that keeps dead rows from being removed is reported.",
    low=1,
    high=86_400,
)

# How many workers are wanted (predictor.forecast)
BACKLOG_TARGET_S = env_float(
    "SMARTQUEUE_BACKLOG_TARGET_S",
    300,
    "Seconds within which queued work should be done: smartqueue_workers_wanted is as many workers as that takes.",
    low=1,
    high=86_400,
)
WORKERS_MAX = env_int(
    "SMARTQUEUE_WORKERS_MAX",
    100,
    "The most that smartqueue_workers_wanted asks for.",
    low=1,
    high=10_000,
)

# Organisations
JOB_TYPES_FOR_ALL = env_list(
    "SMARTQUEUE_JOB_TYPES",
    "http,etl,ml,python",
    "Job types that every organisation may submit unless the platform's administrators choose others for it; "
    "shell jobs run any command as the worker's user.",
)
KNOWN_JOB_TYPES = list(JOB_TYPES)  # for orgs, which knows nothing of jobs
if unknown := set(JOB_TYPES_FOR_ALL) - set(JOB_TYPES):
    raise ImproperlyConfigured(
        f"SMARTQUEUE_JOB_TYPES: expected some of {', '.join(JOB_TYPES)}, found {', '.join(sorted(unknown))}."
    )
RETENTION_DAYS = env_int(
    "SMARTQUEUE_RETENTION_DAYS",
    0,
    "Days for which ended jobs are kept with their output, unless the organisation has a number of its own; "
    "0: for ever.",
    low=0,
    high=3650,
)
ORG_DELETE_GRACE_H = env_float(
    "SMARTQUEUE_ORG_DELETE_GRACE_H",
    7 * 24,
    "Hours between the request to delete an organisation and its end; until then its org admins take it back.",
    low=0,
    high=8760,
)
