"""The task of django_tasks_peer: in a module of its own, because it is found by its import path."""

from __future__ import annotations

from django_tasks import task

from bench import starts


@task()
def noop() -> None:
    starts.note()
