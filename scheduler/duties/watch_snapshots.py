"""Says in the log who keeps PostgreSQL from removing dead rows: once when it begins, once when it is over."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.db import connection

from analytics.snapshots import Holder, oldest_holder

logger = logging.getLogger(__name__)


class SnapshotWatch:
    """The duty, and who held the oldest snapshot at its last run."""

    def __init__(self) -> None:
        self._holder: Holder | None = None
        self._since = 0.0

    def run(self, actor: str) -> int:
        with connection.cursor() as cursor:
            found = oldest_holder(cursor, settings.SNAPSHOT_WARN_S)
        if self._holder is not None and (found is None or found.identity != self._holder.identity):
            logger.info(
                "action=snapshot_released %s seen_s=%.0f", self._holder, time.monotonic() - self._since
            )
        if found is not None and (self._holder is None or found.identity != self._holder.identity):
            self._since = time.monotonic()
            logger.warning("action=snapshot_held %s: dead rows of the queue cannot be removed", found)
        self._holder = found
        return 0
