"""Holding work back: pauses of what is queued, and what a worker is to do. Called by API, pages and admin.

A pause is a row that every claim reads (`jobs.claims`), so it is in force with its commit; what workers
have claimed but not begun they give back when CONTROL_CHANNEL calls. Jobs that run go on.
"""

from __future__ import annotations

from django.db import transaction

from jobs import gate_counts, notify
from jobs.limit_models import EVERYTHING
from jobs.models import Pause, Worker
from orgs import audit, roles
from orgs.acting import still_may
from orgs.exceptions import Conflict, Forbidden, InvalidInput, NotFound
from orgs.models import Organization, User
from orgs.scoping import org_of, require

_DONE_TO_WORKERS = {Worker.RUN: "worker.resume", Worker.PAUSE: "worker.pause", Worker.DRAIN: "worker.drain"}
# Every claim reads the pauses of the organisations that it takes from.
MOST_PAUSES = 200


class TooManyPauses(Conflict):
    """The organisation has as many pauses as it may have."""

    code = "too_many_pauses"


class WorkerEnding(Conflict):
    """This worker has ended, or takes no more jobs until it ends."""

    code = "worker_ending"


def pause(
    *,
    user: User,
    org: Organization | None = None,
    queue: str | None = None,
    type: str | None = None,
    reason: str = "",
) -> Pause:
    """Hold back the queued jobs of `org`, of one queue or job type of it; None stands for any.

    An org admin pauses in the own organisation whatever `org` says; for a platform admin None is the whole
    platform. A second pause of the same returns the first. Raises Forbidden, NotFound, NoOrganization and
    TooManyPauses.
    """
    return pause_once(user=user, org=org, queue=queue, type=type, reason=reason)[0]


def pause_once(
    *, user: User, org: Organization | None, queue: str | None, type: str | None, reason: str
) -> tuple[Pause, bool]:
    """As `pause`, and whether it is a new one."""
    require(user, roles.QUEUES_PAUSE)
    org = _pausable(user, org)
    with transaction.atomic():
        _check_room(org, queue, type)
        _pausable(still_may(user, roles.QUEUES_PAUSE), org)
        made, new = Pause.objects.get_or_create(
            org=org,
            queue=queue,
            type=type,
            suspension=False,
            defaults={"reason": reason, "created_by": user},
        )
        if new:
            audit.record(
                org=org, user=user, action="queue.pause", target=scope_of(made), details=_details(made)
            )
    if new:
        notify.paused(org_id=made.org_id, queue=made.queue, type=made.type)
        _tell_pages(made)
    return made, new


def resume(*, user: User, pause: Pause) -> None:
    """End a pause; one that somebody else has ended meanwhile is no error.

    Raises Forbidden when the role does not allow it, and for an org admin also when the pause is the platform's.
    """
    require(user, roles.QUEUES_PAUSE)
    if not may_resume(user, pause):
        raise Forbidden("The whole platform was paused: only a platform admin resumes it.")
    with transaction.atomic():
        _hold(pause.org)
        if not may_resume(still_may(user, roles.QUEUES_PAUSE), pause):
            raise NotFound
        ended, _ = Pause.objects.filter(pk=pause.pk).delete()
        if ended:
            gate_counts.open_again(EVERYTHING)
            details = _details(pause)
            audit.record(
                org=pause.org, user=user, action="queue.resume", target=scope_of(pause), details=details
            )
    if ended:
        _tell_pages(pause)


def may_resume(user: User, pause: Pause) -> bool:
    """Whether the user's role allows it; pages ask before they offer it."""
    own = user.org_id is not None and pause.org_id == user.org_id
    return user.may(roles.QUEUES_PAUSE) and not pause.suspension and (own or user.acts_everywhere)


def scope_of(pause: Pause) -> str:
    """What is paused, in words: "queue mail, type http"."""
    parts = [f"{name} {value}" for name, value in (("queue", pause.queue), ("type", pause.type)) if value]
    return ", ".join(parts) or ("the whole organisation" if pause.org_id else "the whole platform")


def set_wanted(*, user: User, worker_id: str, wanted: str) -> Worker:
    """Tell a worker to `run`, to `pause`, or to `drain`: finish what it has, then end.

    A worker that is told what it does already is left alone. Raises Forbidden, NotFound, InvalidInput, and
    WorkerEnding for a worker that has ended or, unless it is to drain, is about to.
    """
    require(user, roles.WORKERS_CONTROL)
    if wanted not in Worker.WANTED:
        raise InvalidInput(fields={"wanted": [f"Expected one of {', '.join(Worker.WANTED)}."]})
    with transaction.atomic():
        worker = Worker.objects.select_for_update(no_key=True).filter(pk=worker_id).first()
        if worker is None:
            raise NotFound(f"There is no worker {worker_id}.")
        if worker.wanted == wanted and worker.status in (Worker.ACTIVE, Worker.STOPPING):
            return worker
        _check_listens(worker)
        before, worker.wanted = worker.wanted, wanted
        worker.save(update_fields=["wanted"])
        audit.record(
            org=None,
            user=user,
            action=_DONE_TO_WORKERS[wanted],
            target=str(worker),
            details={"worker_id": worker.pk, "from": before, "to": wanted},
        )
    notify.control_changed(worker.pk)
    notify.everybody_changed()
    if wanted == Worker.RUN:
        notify.changed([], ready=True)
    return worker


def may_be_told(worker: Worker) -> bool:
    """Whether the worker still heeds what it is told."""
    return worker.status == Worker.ACTIVE and worker.wanted != Worker.DRAIN


def _check_listens(worker: Worker) -> None:
    if worker.status in (Worker.STOPPED, Worker.LOST):
        raise WorkerEnding(f"This worker is {worker.status}.")
    if not may_be_told(worker):
        raise WorkerEnding("This worker takes no more jobs and ends; start another one.")


def _pausable(user: User, org: Organization | None) -> Organization | None:
    if user.acts_everywhere:
        return org
    own = org_of(user)
    if org is not None and org.pk != own.pk:
        raise NotFound
    return own


def _check_room(org: Organization | None, queue: str | None, type: str | None) -> None:
    """Holds the organisation's row, so that two pauses at once cannot both be the last one."""
    _hold(org)
    others = Pause.objects.filter(org=org, suspension=False)
    if others.count() < MOST_PAUSES or others.filter(queue=queue, type=type).exists():
        return
    raise TooManyPauses(
        f"There are {MOST_PAUSES} pauses already, and no room for more: end some of them first."
    )


def _hold(org: Organization | None) -> None:
    if org is not None:
        Organization.objects.select_for_update(no_key=True).get(pk=org.pk)


def _details(pause: Pause) -> dict[str, str | None]:
    return {"queue": pause.queue, "type": pause.type, "reason": pause.reason}


def _tell_pages(pause: Pause) -> None:
    if pause.org_id is None:
        notify.everybody_changed()
    else:
        notify.changed([pause.org_id])
