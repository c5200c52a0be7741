"""django-tasks-db: `python -m bench.peers.django_tasks_peer COMMAND`, run by the peers' Python."""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.management import call_command

from bench.peers import script

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "CONN_MAX_AGE": None,
        }
    },
    INSTALLED_APPS=["django_tasks", "django_tasks_db"],
    TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    USE_TZ=True,
    LOGGING_CONFIG=None,
)
django.setup()


def enqueue(count: int) -> None:
    """In bulk, which the package has no call for: rows like the one that its `enqueue` writes."""
    from django_tasks_db.models import DBTaskResult

    from bench.peers.django_task import noop

    noop.enqueue()
    first = DBTaskResult.objects.get()
    fields = ("args_kwargs", "priority", "task_path", "queue_name", "run_after", "backend_name")
    values = {name: getattr(first, name) for name in fields}
    for size in script.batches(count - 1):
        DBTaskResult.objects.bulk_create(DBTaskResult(**values) for _ in range(size))


def main() -> None:
    options = script.options()
    match options.command:
        case "install":
            call_command("migrate", verbosity=0, interactive=False)
        case "enqueue":
            enqueue(options.count)
        case "work":
            call_command("db_worker", startup_delay=False, verbosity=0)


if __name__ == "__main__":
    main()
