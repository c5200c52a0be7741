"""The scheduler process: waits to be elected, then carries out the leader's duties until it is not."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid

import psycopg
from django.conf import settings
from django.db import connection

from jobs.database import AWAY_S, DATABASE_AWAY, lost_the_session, replace_dead_connections
from scheduler import metrics
from scheduler.duties import BATCH, Duty, duties_of_a_term
from scheduler.leader import Leadership, LeadershipLost, acting
from scheduler.stopping import Stop

logger = logging.getLogger(__name__)

CONFIRM_S = 1.0
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, *DATABASE_AWAY)


class Scheduler:
    """`run()` returns after `stop.set()`, which signal handlers call."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.name = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.leadership = Leadership(settings.DATABASE_DIRECT_DSN, self.name)

    def run(self) -> None:
        logger.info("action=start scheduler=%s", self.name)
        while not self.stop.is_set():
            try:
                self._campaign_and_lead()
            except AWAY as error:
                logger.warning("action=database_away scheduler=%s error=%s", self.name, str(error).strip())
                replace_dead_connections()
                self.stop.wait(AWAY_S)
            finally:
                connection.close()
        logger.info("action=stopped scheduler=%s", self.name)

    def _campaign_and_lead(self) -> None:
        """One try for the lock; when it is won, the whole term. However a term ends, its session ends too."""
        term = None
        try:
            term = self.leadership.campaign()
            if term is None:
                self.leadership.wait(self.stop)
            else:
                self._lead(term)
        except LeadershipLost as lost:
            logger.warning("action=deposed scheduler=%s term=%s reason=%s", self.name, term, lost)
        finally:
            metrics.IS_LEADER.set(0)
            if term is not None or self.stop.is_set():
                self.leadership.resign()

    def _lead(self, term: int) -> None:
        metrics.IS_LEADER.set(1)
        duties = duties_of_a_term()
        due_at = {duty.name: 0.0 for duty in duties}
        confirmed_at = 0.0
        while not self.stop.is_set():
            now = time.monotonic()
            if now - confirmed_at >= CONFIRM_S:
                self.leadership.confirm(term)
                confirmed_at = now
            for duty in duties:
                if due_at[duty.name] <= now and not self.stop.is_set():
                    rows = self._carry_out(duty, term)
                    # A full batch left more behind: it is due again, after the others have had their turn.
                    due_at[duty.name] = now if rows >= BATCH else now + duty.every_s
            self.stop.wait(min(due_at.values()) - time.monotonic())

    def _carry_out(self, duty: Duty, term: int) -> int:
        """One run of one duty; the rows that it changed. One that fails is logged and does not hold up the others."""
        try:
            with metrics.DUTY_SECONDS.labels(duty.name).time(), acting(term):
                rows = duty.run(f"leader:{self.name}")
        except LeadershipLost:
            raise
        except Exception as error:
            if isinstance(error, AWAY) and lost_the_session(error):
                raise
            logger.exception("action=duty_failed duty=%s term=%s", duty.name, term)
            return 0
        if rows:
            metrics.DUTY_ROWS.labels(duty.name).inc(rows)
            logger.info("action=duty duty=%s rows=%s term=%s", duty.name, rows, term)
        return rows
