from __future__ import annotations

import threading

import pytest

from analytics.deadline import Deadline
from jobs import database


class NoThread(threading.Thread):
    """What CPython does when the system has no thread left."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_thread_that_cannot_start_fails_this_call_only(monkeypatch):
    deadline = Deadline(lambda: 7, "test")
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", NoThread)
        with pytest.raises(RuntimeError, match="new thread"):
            deadline.result(5)
    assert deadline.result(5) == 7


def test_the_pool_can_be_looked_through_again_after_that(monkeypatch, db):
    monkeypatch.setattr(threading, "Thread", NoThread)
    with pytest.raises(RuntimeError, match="new thread"):
        database.replace_dead_connections()
    assert not database._looking.locked()
