"""Jobs and flows under the names that the Django admin shows them by. No tables of their own."""

from __future__ import annotations

from jobs.models import Flow, Job


class DeadLetter(Job):
    """A job whose last attempt failed or was lost."""

    class Meta:
        proxy = True
        verbose_name = "dead letter"


class Queue(Flow):
    """One queue of an organisation, under the first of its flows."""

    class Meta:
        proxy = True
        verbose_name = "queue"

    def __str__(self) -> str:
        return self.queue
