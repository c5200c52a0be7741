"""A job between its submission and its row: what is stored of it, and the `Job` that its submitter gets back.

Used by `jobs.services` and `jobs.submitting` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from jobs import states
from jobs.models import Job
from jobs.prediction import Prediction, PredictionRequest, predict
from jobs.queue_room import QueueFull
from jobs.submission import Submission
from orgs.models import Organization, User

Key = tuple[int, str]  # org id, idempotency key
FlowKey = tuple[int, str, str, str]  # org id, queue, type, concurrency key or nothing


@dataclass(frozen=True, slots=True)
class Asked:
    """A submission that `submission.parse` has checked, and whose it is; `replay_of`: the job that it repeats."""

    org: Organization
    user: User | None
    wanted: Submission
    replay_of: int | None = None


@dataclass(slots=True)
class Draft:
    """What was asked for, with advice and defaults; `request_hash` is empty without an idempotency key.

    The rank is the due time plus `head_start`, in seconds.
    """

    org_id: int
    user_id: int | None
    wanted: Submission
    advice: Prediction
    head_start: float
    max_retries: int
    timeout_s: float
    replay_of: int | None
    request_hash: str

    @property
    def key(self) -> Key | None:
        key = self.wanted.idempotency_key
        return None if key is None else (self.org_id, key)

    @property
    def flow(self) -> FlowKey:
        wanted = self.wanted
        return self.org_id, wanted.queue, wanted.type, wanted.concurrency_key or ""

    @property
    def retry_policy(self) -> dict[str, Any] | None:
        retry = self.wanted.retry
        return None if retry is None else retry.model_dump(exclude_none=True) or None


@dataclass(frozen=True, slots=True)
class Stored:
    """The job that stands for a draft. `at`: when it was made, None: it was there before.

    `same` is False when the key belongs to a job with another body: then nothing stands for the draft. Nothing does
    either when `job_id` is None: there was no room for it (`refused`), or somebody else was counting at that moment.
    """

    job_id: int | None
    at: datetime | None = None
    same: bool = True
    refused: QueueFull | None = None


def drafts_of(asked: Sequence[Asked]) -> list[Draft]:
    """With advice, which is asked for once for all of them."""
    advice = predict([_request(one) for one in asked])
    max_retries, timeout_s = int(settings.JOB_MAX_RETRIES), float(settings.JOB_TIMEOUT_S)
    return [
        Draft(
            org_id=one.org.pk,
            user_id=one.user.pk if one.user else None,
            wanted=one.wanted,
            advice=found,
            head_start=settings.ORDERING.head_start(
                lane=one.wanted.lane,
                predicted_ms=found.runtime_ms,
                low_ms=found.low_ms,
                high_ms=found.high_ms,
            ),
            max_retries=max_retries if one.wanted.max_retries is None else one.wanted.max_retries,
            timeout_s=one.wanted.timeout_s or timeout_s,
            replay_of=one.replay_of,
            request_hash=one.wanted.fingerprint() if one.wanted.idempotency_key else "",
        )
        for one, found in zip(asked, advice, strict=True)
    ]


def _request(asked: Asked) -> PredictionRequest:
    wanted = asked.wanted
    return PredictionRequest(
        org_id=asked.org.pk,
        type=wanted.type,
        name=wanted.name,
        lane=wanted.lane,
        user_id=asked.user.pk if asked.user else None,
        timeout_s=wanted.timeout_s,
        payload=wanted.payload,
    )


def as_row(draft: Draft, flows: dict[FlowKey, int]) -> dict[str, Any]:
    """One job as `submitting.STORE` takes it: what is not set is left out. Numbers its flow, from 1 on."""
    wanted, advice = draft.wanted, draft.advice
    row = {
        "org": draft.org_id,
        "author": draft.user_id,
        "flow": flows.setdefault(draft.flow, len(flows) + 1),
        "name": wanted.name,
        "type": wanted.type,
        "queue": wanted.queue,
        "payload": wanted.payload,
        "lane": wanted.lane,
        "priority": advice.priority,
        "head_start": draft.head_start,
        "predicted": advice.runtime_ms,
        "low": advice.low_ms,
        "high": advice.high_ms,
        "source": advice.source,
        "model": advice.model_version,
        "run_at": None if wanted.run_at is None else wanted.run_at.isoformat(),
        "delay": wanted.delay,
        "max_retries": draft.max_retries,
        "timeout_s": draft.timeout_s,
        "soft_timeout_s": wanted.soft_timeout_s,
        "memory_mb": wanted.memory_mb,
        "cpu_s": wanted.cpu_s,
        "retry": draft.retry_policy,
        "shares": wanted.concurrency_key,
        "tags": wanted.tags or None,
        "key": wanted.idempotency_key,
        "hash": draft.request_hash or None,
        "replay_of": draft.replay_of,
    }
    return {name: value for name, value in row.items() if value is not None}


def as_job(org: Organization, user: User | None, draft: Draft, stored: Stored) -> Job:
    """The row that was made of a draft, without asking for it again."""
    wanted, at = draft.wanted, stored.at
    assert at is not None
    due = max(wanted.run_at or at + timedelta(seconds=wanted.delay or 0.0), at)
    job = Job(
        id=stored.job_id,
        org=org,
        user=user,
        queue=wanted.queue,
        name=wanted.name,
        type=wanted.type,
        payload=wanted.payload,
        lane=wanted.lane,
        status=states.QUEUED if due <= at else states.SCHEDULED,
        priority=draft.advice.priority,
        rank=due.timestamp() + draft.head_start,
        predicted_runtime_ms=draft.advice.runtime_ms,
        predicted_low_ms=draft.advice.low_ms,
        predicted_high_ms=draft.advice.high_ms,
        prediction_source=draft.advice.source,
        model_version=draft.advice.model_version,
        created_at=at,
        run_at=due,
        queued_at=at if due <= at else None,
        max_retries=draft.max_retries,
        timeout_s=draft.timeout_s,
        soft_timeout_s=wanted.soft_timeout_s,
        memory_mb=wanted.memory_mb,
        cpu_s=wanted.cpu_s,
        retry_policy=draft.retry_policy,
        concurrency_key=wanted.concurrency_key,
        tags=list(wanted.tags),
        replay_of_id=draft.replay_of,
        idempotency_key=wanted.idempotency_key,
        request_hash=draft.request_hash,
    )
    job._state.adding, job._state.db = False, connection.alias
    for name in ("flow_id", "queued_xid"):
        job.__dict__.pop(name, None)  # read from the row when asked for
    return job
