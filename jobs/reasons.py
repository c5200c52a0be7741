"""Why a job stands where it stands: one reason in the first place, and what else would hold it. Pure, no Django.

`REASONS` is the order in which reasons are looked for. The first one that applies is the primary one: whatever
comes behind it does not matter until it is gone. Asked by `jobs.explaining`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jobs import states
from jobs.standing import KEY, ORG, Door, Hand, Held, Standing
from orgs.wording import counted, duration, shortened

LONGEST_WHY = 120
LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Reason:
    """`message` is for people. `facts` holds its numbers, times and names, for programs."""

    code: str
    message: str
    facts: dict[str, Any] = field(default_factory=dict)


Finder = Callable[[Standing], Iterator[Reason]]


def reasons(job: Standing) -> list[Reason]:
    """All that apply, the primary one first; never empty."""
    if job.status == states.RUNNING:
        return [_running(job)]
    if job.status in states.FINAL:
        return [_ended(job)]
    finders = REASONS if job.status == states.QUEUED else BEFORE_THE_QUEUE
    return [reason for find in finders for reason in find(job)] or [_next(job)]


def _not_due(job: Standing) -> Iterator[Reason]:
    if job.status != states.SCHEDULED:
        return
    facts = {"until": job.run_at, "retry": job.retry, "attempt": job.attempt + 1, "attempts": job.attempts}
    what = f"It waits for attempt {job.attempt + 1} of {job.attempts}" if job.retry else "It is not due yet"
    if job.run_at > job.around.now:
        yield Reason("not_due", f"{what}: until {_clock(job.run_at)}.", facts)
    else:
        said = f"It became due on {_clock(job.run_at)}: the leading scheduler is about to queue it."
        yield Reason("not_due", said, facts)


def _blocked(job: Standing) -> Iterator[Reason]:
    if job.status == states.BLOCKED:
        yield Reason("blocked", "It waits for the jobs that it depends on.")


def _paused(job: Standing) -> Iterator[Reason]:
    return (_of_pause(pause) for pause in job.around.pauses_of(job.place))


def _of_pause(pause: Held) -> Reason:
    by = f" by {pause.by}" if pause.by else ""
    why = f" ({shortened(pause.why, LONGEST_WHY)})" if pause.why else ""
    facts = {
        "scope": pause.scope,
        "queue": pause.queue,
        "type": pause.type,
        "by_platform": pause.by_platform,
        "by": pause.by,
        "since": pause.since,
        "why": pause.why,
    }
    return Reason("paused", f"Paused since {_clock(pause.since)}{by}: {pause.scope}{why}.", facts)


def _no_worker(job: Standing) -> Iterator[Reason]:
    if job.around.workers_of(job.place):
        return
    place, live = job.place, job.around.workers
    of_type = [worker for worker in live if place.type in worker.types]
    facts = {"type": place.type, "queue": place.queue, "live_workers": len(live)}
    if not live:
        missing, said = "all", "No worker is at work."
    elif not of_type:
        missing, said = "type", f"None of {counted(len(live), 'worker')} takes jobs of type {place.type}."
    elif not any(worker.serves(place) for worker in of_type):
        missing, said = "queue", f"No worker that takes type {place.type} serves the queue {place.queue}."
    else:
        missing, said = "held", "Every worker that could take it is paused or about to end."
    yield Reason("no_worker", said, {**facts, "missing": missing})


def _limit_running(job: Standing) -> Iterator[Reason]:
    for door in job.around.doors_of(job.place):
        if door.full:
            most, running = door.rule.max_running, door.count.running
            facts = {"scope": door.scope, "name": door.name, "running": running, "max_running": most}
            now = f"{running:,} {'is' if running == 1 else 'are'} running"
            said = f"{_subject(door, job)} may run {counted(most or 0, 'job')} at once, and {now}."
            yield Reason("limit_running", said, facts)


def _limit_rate(job: Standing) -> Iterator[Reason]:
    for door in job.around.doors_of(job.place):
        if opens_at := door.opens_at:
            most, period_s = door.rule.rate_count, door.rule.rate_period_s
            facts = {
                "scope": door.scope,
                "name": door.name,
                "rate_count": most,
                "rate_period_s": period_s,
                "until": opens_at,
            }
            period = duration((period_s or 0) * 1000)
            rate = f"{_subject(door, job)} may begin {counted(most or 0, 'job')} in {period}"
            said = f"{rate}: the next at {_clock(opens_at)}."
            yield Reason("limit_rate", said, facts)


def _subject(door: Door, job: Standing) -> str:
    if door.scope == ORG:
        return f"{job.whose.capitalize()} organisation"
    kind = "concurrency key" if door.scope == KEY else "queue"
    return f"The {kind} {shortened(door.name, LONGEST_NAME)}"


def _behind_own(job: Standing) -> Iterator[Reason]:
    position = job.position
    if position is None or position.in_the_way == 0:
        return
    ahead, capped = position.in_the_way, position.in_the_way_capped
    verb = "is" if ahead == 1 and not capped else "are"
    said = f"{counted_up_to(ahead, capped, 'job')} of {job.whose} organisation {verb} ahead of it."
    yield Reason("behind_own", said, {"ahead": ahead, "capped": capped})


def _share_used(job: Standing) -> Iterator[Reason]:
    share = job.share
    if share is None or not share.used:
        return
    others = counted_up_to(share.others, share.others_capped, "other organisation")
    verb = "has" if share.others == 1 and not share.others_capped else "have"
    said = (
        f"{others} {verb} jobs queued, and {job.whose} organisation has received more than its share: "
        f"{duration(share.received_s * 1000)} of worker time lately at weight {share.weight:g}, "
        f"which is {duration(share.lead_s * 1000)} ahead of its turn."
    )
    facts = {
        "received_s": share.received_s,
        "weight": share.weight,
        "lead_s": share.lead_s,
        "other_organisations": share.others,
        "capped": share.others_capped,
    }
    yield Reason("share_used", said, facts)


def _workers_busy(job: Standing) -> Iterator[Reason]:
    workers = job.around.workers_of(job.place)
    busy, slots = _busy(workers)
    if workers and busy >= slots:
        one = "The one slot" if slots == 1 else f"All {slots:,} slots"
        who = "the worker" if len(workers) == 1 else f"the {len(workers):,} workers"
        said = f"{one} of {who} that could take it {'is' if slots == 1 else 'are'} busy."
        yield Reason("workers_busy", said, {"busy": busy, "slots": slots, "workers": len(workers)})


def _next(job: Standing) -> Reason:
    workers = job.around.workers_of(job.place)
    busy, slots = _busy(workers)
    said = "Nothing is in its way: it begins when a worker next asks for work."
    return Reason("next", said, {"busy": busy, "slots": slots, "workers": len(workers)})


def _running(job: Standing) -> Reason:
    facts = {
        "since": job.started_at,
        "attempt": job.attempt,
        "attempts": job.attempts,
        "worker": job.worker,
        "predicted_runtime_ms": job.predicted_ms,
        "cancel_requested": job.cancel_requested,
    }
    since = _clock(job.started_at) if job.started_at else "a moment ago"
    said = f"A worker has it since {since}: attempt {job.attempt} of {job.attempts}"
    if job.predicted_ms is not None:
        said += f", predicted to take {duration(job.predicted_ms)}"
    asked = " It was asked to stop." if job.cancel_requested else ""
    return Reason("running", f"{said}.{asked}", facts)


def _ended(job: Standing) -> Reason:
    words = {states.DONE: "It is done", states.FAILED: "It failed", states.CANCELLED: "It was cancelled"}
    facts = {"status": job.status, "finished_at": job.finished_at, "attempts": job.attempt}
    when = f" on {_clock(job.finished_at)}" if job.finished_at else ""
    after = f"after {counted(job.attempt, 'attempt')}" if job.attempt else "before it began"
    return Reason("ended", f"{words[job.status]}{when}, {after}.", facts)


def _busy(workers: list[Hand]) -> tuple[int, int]:
    return sum(worker.busy for worker in workers), sum(worker.slots for worker in workers)


def counted_up_to(number: int, capped: bool, noun: str) -> str:
    """12 jobs; where counting stopped there, More than 1,000 jobs."""
    return f"More than {counted(number, noun)}" if capped else counted(number, noun)


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%d %b %H:%M:%S} UTC"


# What holds a job whether or not it is in the queue, and what does in the queue.
BEFORE_THE_QUEUE: tuple[Finder, ...] = (_not_due, _blocked, _paused, _no_worker)
REASONS: tuple[Finder, ...] = (
    *BEFORE_THE_QUEUE,
    _limit_running,
    _limit_rate,
    _behind_own,
    _share_used,
    _workers_busy,
)
CODES = (
    *("not_due", "blocked", "paused", "no_worker", "limit_running", "limit_rate", "behind_own", "share_used"),
    *("workers_busy", "next", "running", "ended"),
)
