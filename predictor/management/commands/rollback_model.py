"""`manage.py rollback_model`: put an earlier version of the model in force."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from orgs.exceptions import SmartQueueError
from predictor import versions
from predictor.models import ModelVersion

MOST_LISTED = 50


class Command(BaseCommand):
    help = "Put the parent of the model version in force, or the given version, in force again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "version",
            nargs="?",
            type=_version,
            metavar="VERSION",
            help="number of the version (default: the parent of the one in force)",
        )
        parser.add_argument(
            "--list", action="store_true", help=f"show the newest {MOST_LISTED} versions, change nothing"
        )

        parser.add_argument(
            "--release",
            action="store_true",
            help="let better versions take the place of the one that was put in force by hand",
        )

    def handle(self, *, version: int | None, list: bool, release: bool, **options: Any) -> None:
        try:
            if list:
                self._list()
            elif release:
                self._release()
            else:
                self._put_in_force(version)
        except (AnyDatabaseError, SmartQueueError) as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(f"Nothing was changed. {reason}") from error

    def _put_in_force(self, version_id: int | None) -> None:
        wanted = versions.parent_of_active() if version_id is None else versions.version(version_id)
        changed = versions.put_in_force(wanted, user=None)
        stays = "is in force and stays so; `rollback_model --release` lets better ones replace it."
        said = stays if changed else "was in force already; nothing was changed."
        self.stdout.write(f"{str(wanted).capitalize()} {said}")

    def _release(self) -> None:
        self.stdout.write(f"Better versions may replace {versions.release(user=None)}.")

    def _list(self) -> None:
        for version in versions.versions()[:MOST_LISTED]:
            self.stdout.write(_line(version))


def _line(version: ModelVersion) -> str:
    parent = "" if version.parent_id is None else f", after version {version.parent_id}"
    trained = f", trained on {version.trained_on} attempts" if version.trained_on else ""
    kind = f"{version.kind} ({version.origin})" if version.origin else version.kind
    mark = "*" if version.active else " "
    return f"{mark} {version.pk}: {kind}, {version.created_at:%Y-%m-%d %H:%M} UTC{trained}{parent}"


def _version(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"expected the number of a version, got {text!r}")
    return int(text)
