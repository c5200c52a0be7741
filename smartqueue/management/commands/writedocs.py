"""`manage.py writedocs`: write the generated files of docs/ again (make docs)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Write the generated parts of docs/ again."

    def handle(self, *args: Any, **options: Any) -> None:
        from smartqueue.generated_docs import drawn

        for path, text in drawn().items():
            path.write_text(text, encoding="utf-8")
            self.stdout.write(f"wrote {path.name}")
