"""Keeps the process that learns alive, as a child of the leading scheduler and at low priority.

It ends with its parent: a pipe that only the parent holds open is its standard input. A deposed leader's child may go
on; it holds a lock of its own, so that there is never a second one.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Sequence

from django.conf import settings

logger = logging.getLogger(__name__)

AGAIN_S = 30.0  # after it ended
NOT_NEEDED, LATER_S = 3, 300.0  # its exit code when another one learns; then there is no hurry


class Learn:
    """One object per scheduler process: a child outlives the term in which it was started."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command or (
            sys.executable,
            str(settings.BASE_DIR / "manage.py"),
            "learn",
            "--with-parent",
        )
        self._child: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0

    def run(self, actor: str) -> int:
        if not settings.LEARNING or self._is_alive() or time.monotonic() < self._not_before:
            return 0
        self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE)
        self._not_before = time.monotonic() + AGAIN_S
        logger.info("action=learning pid=%s", self._child.pid)
        return 0

    def _is_alive(self) -> bool:
        if self._child is None:
            return False
        if self._child.poll() is None:
            return True
        logger.info("action=learning_ended code=%s", self._child.returncode)
        if self._child.returncode == NOT_NEEDED:
            self._not_before = time.monotonic() + LATER_S
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child = None
        return False


learn = Learn()
