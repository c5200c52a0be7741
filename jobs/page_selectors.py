"""What the jobs pages show, in the shape of their fragments. Reads through `jobs.selectors` only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, QuerySet
from django.db.models.functions import Left
from django.urls import reverse
from django.utils import timezone

from jobs import content, selectors, states
from jobs.forms import ListFilter
from jobs.models import Job, Worker
from jobs.selectors import Counted
from orgs import roles, wording
from orgs.models import User

PAGE_SIZE = 25
COUNT_CAP = 10_000
LONGEST_ECHO = 40
LONGEST_ERROR = 240

TABS = (
    states.QUEUED,
    states.RUNNING,
    states.SCHEDULED,
    states.BLOCKED,
    states.DONE,
    states.FAILED,
    states.CANCELLED,
)
_SELDOM = {states.BLOCKED}
_HEAVY = ("payload", "result", "error_msg")


@dataclass(frozen=True)
class Tab:
    """One state with its count; `capped`: there may be more than were counted."""

    key: str
    label: str
    count: int
    capped: bool
    query: str
    current: bool


@dataclass(frozen=True)
class Row:
    """A job in the list; see `runtime_ms` and `attempts_total` for the numbers.

    `error` and `replay`, the job that replays it, are there for dead letters.
    """

    job: Job
    runtime_ms: float | None
    total: int
    worker: str
    org_name: str
    error: str = ""
    replay: Job | None = None


@dataclass(frozen=True)
class Table:
    """A page of the list; `older` and `newer` are query strings, None where there is no such page.

    `homeless`: the reader belongs to no organisation. `replay_all`: the address of the form that replays all
    dead letters that match; None for who may not, and for lists of other jobs.
    """

    rows: list[Row]
    older: str | None
    newer: str | None
    status: str
    filtered: bool
    homeless: bool
    left_out: list[str]
    replay_all: str | None = None
    content_hidden: bool = False

    @property
    def dead_letters(self) -> bool:
        return self.status == states.FAILED


@dataclass(frozen=True)
class Wanted:
    """The list's address, taken apart; parts that cannot be used are named in `left_out`."""

    status: str
    type: str
    queue: str
    tag: str
    q: str
    before: int | None
    after: int | None
    left_out: list[str]

    @property
    def filtered(self) -> bool:
        return bool(self.type or self.queue or self.tag or self.q)

    def query(self, **changes: Any) -> str:
        """The query string of the same list with `changes`, without its place in the pages."""
        return _query({"status": self.status, **self.labels, "q": self.q, **changes})

    @property
    def labels(self) -> dict[str, str]:
        return {"type": self.type, "queue": self.queue, "tag": self.tag}


def wanted_from(form: ListFilter) -> Wanted:
    form.is_valid()
    data = form.cleaned_data
    return Wanted(
        status=data.get("status", ""),
        type=data.get("type", ""),
        queue=data.get("queue", ""),
        tag=data.get("tag", ""),
        q=data.get("q", ""),
        before=data.get("before"),
        after=data.get("after"),
        left_out=[_echo(name, form.data.get(name, "")) for name in form.errors],
    )


def tabs(user: User, wanted: Wanted) -> list[Tab]:
    """One tab per state. What is counted is bounded: a long history must not slow the page."""
    counts = _filtered_counts(user, wanted) if wanted.filtered else _counts(user, wanted)
    shown = [
        status for status in TABS if status not in _SELDOM or counts[status].number or status == wanted.status
    ]
    return [
        _tab("", sum(counts.values(), Counted(0, False)), wanted),
        *(_tab(status, counts[status], wanted) for status in shown),
    ]


def table(user: User, wanted: Wanted, *, now: datetime | None = None) -> Table:
    """One page of the list, newest first, by id: new jobs do not shift the pages behind them."""
    jobs = _matching(user, wanted, wanted.status).defer(*_HEAVY)
    hidden = content.hidden_from(user)
    if wanted.status == states.FAILED and not hidden:
        jobs = jobs.annotate(error_start=Left("error_msg", LONGEST_ERROR))
    if user.sees_all:
        jobs = jobs.select_related("org")
    page, has_newer, has_older = _page(jobs, before=wanted.before, after=wanted.after)
    workers = worker_names(job.worker_id for job in page)
    replays = _replays_of(user, page) if wanted.status == states.FAILED else {}
    now = now or timezone.now()
    return Table(
        rows=[_row(job, workers, now, replays, with_org=user.sees_all) for job in page],
        older=wanted.query(before=page[-1].pk) if has_older else None,
        newer=wanted.query(after=page[0].pk if page else None) if has_newer else None,
        status=wanted.status,
        filtered=wanted.filtered,
        homeless=user.seen_org_id is None and not user.sees_all,
        left_out=wanted.left_out,
        replay_all=_replay_all(user, wanted) if page else None,
        content_hidden=hidden,
    )


def runtime_ms(job: Job, now: datetime) -> float | None:
    """Of the attempt that runs now or ended the job; None before the first one and between attempts."""
    end = now if job.status == states.RUNNING else job.finished_at
    if job.started_at is None or end is None:
        return None
    return max((end - job.started_at).total_seconds() * 1000, 0.0)


def attempts_total(job: Job) -> int:
    """Attempts that the job may take; one that a stopping worker handed back does not count against it."""
    return max(job.attempt, job.max_retries + 1)


def worker_names(worker_ids: Iterable[str | None]) -> dict[str, str]:
    """host:pid by worker id."""
    ids = {worker_id for worker_id in worker_ids if worker_id}
    return {worker.pk: str(worker) for worker in Worker.objects.filter(pk__in=ids)} if ids else {}


def _matching(user: User, wanted: Wanted, status: str) -> QuerySet[Job]:
    parts: dict[str, Any] = {"status": status, "name": wanted.q, **wanted.labels}
    return selectors.jobs(user, selectors.JobFilter(**{name: value or None for name, value in parts.items()}))


def _counts(user: User, wanted: Wanted) -> dict[str, Counted]:
    """Up to COUNT_CAP of each state, each from the index of its state."""
    found = {status: _matching(user, wanted, status).values("pk")[: COUNT_CAP + 1].count() for status in TABS}
    return {status: Counted(min(number, COUNT_CAP), number > COUNT_CAP) for status, number in found.items()}


def _filtered_counts(user: User, wanted: Wanted) -> dict[str, Counted]:
    """Of the newest COUNT_CAP jobs, those that match: no index finds them, so the reach is what is bounded."""
    behind = selectors.jobs(user).order_by("-pk").values_list("pk", flat=True)[COUNT_CAP : COUNT_CAP + 1]
    last_left_out = next(iter(behind), 0)
    matching = _matching(user, wanted, "").filter(pk__gt=last_left_out)
    found = dict(matching.order_by().values_list("status").annotate(Count("pk")))
    return {status: Counted(found.get(status, 0), bool(last_left_out)) for status in TABS}


def _echo(name: str, value: str) -> str:
    printable = "".join(character for character in value if character.isprintable())
    short = wording.shortened(printable, LONGEST_ECHO)
    return f"{name} \N{LEFT DOUBLE QUOTATION MARK}{short}\N{RIGHT DOUBLE QUOTATION MARK}"


def _tab(status: str, count: Counted, wanted: Wanted) -> Tab:
    return Tab(
        key=status or "all",
        label=status.capitalize() or "All",
        count=count.number,
        capped=count.capped,
        query=wanted.query(status=status),
        current=status == wanted.status,
    )


def _page(jobs: QuerySet[Job], *, before: int | None, after: int | None) -> tuple[list[Job], bool, bool]:
    """The jobs of a page, and whether there are newer and older ones."""
    if after is not None:
        newer = list(jobs.filter(pk__gt=after).order_by("pk")[: PAGE_SIZE + 1])
        if len(newer) > PAGE_SIZE:
            return newer[:PAGE_SIZE][::-1], True, True
    if before is not None:
        jobs = jobs.filter(pk__lt=before)
    found = list(jobs.order_by("-pk")[: PAGE_SIZE + 1])
    return found[:PAGE_SIZE], before is not None, len(found) > PAGE_SIZE


def _replays_of(user: User, page: list[Job]) -> dict[int, Job]:
    """The latest replay of each job that has one."""
    found = Job.objects.for_user(user).filter(replay_of__in=[job.pk for job in page])
    latest = found.order_by("replay_of_id", "-pk").distinct("replay_of_id").only("status", "replay_of_id")
    return {job.replay_of_id: job for job in latest if job.replay_of_id}


def _replay_all(user: User, wanted: Wanted) -> str | None:
    if wanted.status != states.FAILED or not user.may(roles.JOBS_REPLAY_MANY):
        return None
    return f"{reverse('page-replay-many')}?{_query({**wanted.labels, 'name': wanted.q})}"


def _query(parts: Mapping[str, Any]) -> str:
    return urlencode({name: value for name, value in parts.items() if value})


def _row(job: Job, workers: dict[str, str], now: datetime, replays: dict[int, Job], *, with_org: bool) -> Row:
    worker_id = job.worker_id or ""
    return Row(
        job=job,
        runtime_ms=runtime_ms(job, now),
        total=attempts_total(job),
        worker=workers.get(worker_id, worker_id[:8]),
        org_name=job.org.name if with_org else "",
        error=wording.shortened(getattr(job, "error_start", ""), LONGEST_ERROR),
        replay=replays.get(job.pk),
    )
