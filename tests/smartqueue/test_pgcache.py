"""The cache on PostgreSQL: a cache like Django's others, and atomic across processes."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.cache import InvalidCacheBackendError, cache, caches
from django.core.cache.backends.base import InvalidCacheKey
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from smartqueue import pgcache
from smartqueue.models import CacheEntry
from smartqueue.pgcache import PostgresCache
from tests.processes import database_url, processes
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db

VALUES: list[Any] = [
    0, 1, -5, 2**63 - 1, -(2**63), 2**63, 10**30, True, False, None, "", "a\0é", b"\x00", 1.5, [1, {"a": (2,)}],
]  # fmt: skip


def expire(key: str) -> None:
    """Let the time of `key` be over. On the cache's connection: the test's would keep the row locked."""
    with pgcache._cursor() as cursor:
        cursor.execute("UPDATE smartqueue_cache SET expires_at = '2000-01-01' WHERE key = %s", [f":1:{key}"])


@pytest.mark.parametrize("value", VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    cache.set("k", value)
    assert cache.get("k", "missing") == value
    assert type(cache.get("k")) is type(value)


def test_what_is_missing_is_the_default() -> None:
    assert cache.get("k") is None
    assert cache.get("k", 7) == 7
    assert "k" not in cache


def test_set_replaces_whatever_was_there() -> None:
    for value in (1, "text", 2):
        cache.set("k", value)
        assert cache.get("k") == value


def test_add_only_when_there_is_nothing() -> None:
    assert cache.add("k", 1) is True
    assert cache.add("k", 2) is False
    assert cache.get("k") == 1


def test_add_takes_the_place_of_what_is_expired() -> None:
    cache.set("k", "old")
    expire("k")
    assert cache.add("k", "new") is True
    assert cache.get("k") == "new"


def test_add_respects_what_never_expires() -> None:
    cache.set("k", "old", timeout=None)
    assert cache.add("k", "new") is False


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_to_live_is_expired_at_once(timeout: int) -> None:
    cache.set("k", 1, timeout=timeout)
    assert cache.get("k") is None
    assert cache.add("k", 2)


def test_expired_is_missing_to_every_method() -> None:
    cache.set("k", 1)
    expire("k")
    assert cache.get("k") is None
    assert cache.touch("k") is False
    assert cache.delete("k") is False
    cache.set("k", 1)
    expire("k")
    with pytest.raises(ValueError, match="no number"):
        cache.incr("k")


def test_times_to_live() -> None:
    cache.set("default", 1)
    cache.set("long", 1, timeout=3600.5)
    cache.set("ever", 1, timeout=None)
    left = {
        name: seconds and round(float(seconds), -2)
        for name, seconds in sql(
            "SELECT key, extract(epoch FROM expires_at - clock_timestamp()) FROM smartqueue_cache"
        )
    }
    assert left == {":1:default": 300, ":1:long": 3600, ":1:ever": None}


def test_touch_prolongs() -> None:
    cache.set("k", 1, timeout=10)
    assert cache.touch("k", None) is True
    assert sql("SELECT expires_at FROM smartqueue_cache") == [(None,)]


def test_incr_and_decr_keep_the_time_to_live() -> None:
    cache.set("k", 5, timeout=None)
    assert (cache.incr("k"), cache.incr("k", 10), cache.decr("k", 2)) == (6, 16, 14)
    assert sql("SELECT expires_at FROM smartqueue_cache") == [(None,)]


@pytest.mark.parametrize("value", ["text", True, None, 2**70])
def test_incr_needs_a_whole_number(value: Any) -> None:
    cache.set("k", value)
    with pytest.raises(ValueError, match="no number"):
        cache.incr("k")


def test_many() -> None:
    cache.set_many({"a": 1, "b": "x"})
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": "x"}
    cache.delete_many(["a", "c"])
    assert cache.get_many(["a", "b"]) == {"b": "x"}
    assert cache.get_many([]) == {}


def test_delete_and_clear() -> None:
    cache.set_many({"a": 1, "b": 1})
    assert cache.delete("a") is True
    assert cache.delete("a") is False
    cache.clear()
    assert cache.get("b") is None


def test_versions_are_apart() -> None:
    cache.set("k", 1, version=1)
    cache.set("k", 2, version=2)
    assert (cache.get("k", version=1), cache.get("k", version=2)) == (1, 2)


@pytest.mark.parametrize("key", ["a\0b", "x" * 1001])
def test_keys_that_the_table_cannot_hold_are_refused(key: str) -> None:
    with pytest.raises(InvalidCacheKey):
        cache.set(key, 1)


def test_cull_removes_what_is_expired_and_no_more_than_asked() -> None:
    cache.set_many({f"k{number}": 1 for number in range(5)})
    cache.set("ever", 1, timeout=None)
    for number in range(4):
        expire(f"k{number}")
    backend = caches["default"]
    assert isinstance(backend, PostgresCache)
    assert [backend.cull(limit=3), backend.cull(limit=3), backend.cull(limit=3)] == [3, 1, 0]
    assert cache.get_many(["k4", "ever"]) == {"k4": 1, "ever": 1}


def test_writes_cull_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgcache, "_CULL_ONE_IN", 1)
    cache.set("old", 1)
    expire("old")
    cache.set("new", 1)
    assert sql("SELECT key FROM smartqueue_cache") == [(":1:new",)]


def test_the_table_is_the_models_and_unlogged() -> None:
    assert CacheEntry._meta.db_table == pgcache.TABLE
    assert sql("SELECT relpersistence FROM pg_class WHERE relname = %s", pgcache.TABLE) == [("u",)]


def test_another_table_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="LOCATION"):
        PostgresCache("other", {})


def test_it_is_the_cache_in_force() -> None:
    assert isinstance(caches["default"], PostgresCache)
    with pytest.raises(InvalidCacheBackendError):
        caches["other"]


def test_a_rollback_of_the_caller_takes_nothing_back() -> None:
    cache.set("k", 1)
    with transaction.atomic():
        cache.incr("k")
        transaction.set_rollback(True)
    assert cache.get("k") == 2


def test_a_broken_transaction_of_the_caller_does_not_matter() -> None:
    with transaction.atomic():
        transaction.set_rollback(True)
        cache.set("k", 1)
    assert cache.get("k") == 1


def test_borrowed_connections_go_back() -> None:
    with transaction.atomic():
        for number in range(3 * connection.settings_dict["OPTIONS"]["pool"]["max_size"]):
            cache.set("k", number)
    assert cache.get("k") == number


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_no_connection_is_borrowed() -> None:
    cache.set("k", 1)
    assert connection.pool
    before = connection.pool.get_stats()["requests_num"]
    for _ in range(10):
        cache.incr("k")
    assert connection.pool.get_stats()["requests_num"] == before


@pytest.fixture
def rival() -> Iterator[psycopg.Connection[Any]]:
    """Another session that is in the middle of its own statement."""
    with psycopg.connect(database_url()) as session:
        yield session


@pytest.mark.parametrize(("ending", "added"), [("commit", False), ("rollback", True)])
def test_add_waits_for_whoever_adds_the_same_key(
    rival: psycopg.Connection[Any], ending: str, added: bool
) -> None:
    rival.execute("INSERT INTO smartqueue_cache (key, number) VALUES (':1:k', 1)")
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(_add_and_close()))
    thread.start()
    wait_until(_somebody_waits_for_a_lock, message="the add waits for the rival")
    getattr(rival, ending)()
    thread.join(timeout=10)
    assert outcome == [added]


def _add_and_close() -> bool:
    try:
        return cache.add("k", 2)
    finally:
        connection.close()


def _somebody_waits_for_a_lock() -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(sql(waiting))


def sql(query: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


# Each process counts and adds beside the others, then asks the limiter in their name; all start together.
RACER = """
import json, time, django
django.setup()
from django.core.cache import cache
from django.test import RequestFactory
from orgs.exceptions import RateLimited
from orgs.limits import count_request

def passes():
    try:
        count_request(RequestFactory().post("/"), group="race", rate="50/365d")
    except RateLimited:
        return False
    return True

cache.incr("ready")
deadline = time.monotonic() + 60
while cache.get("ready") < PROCESSES:
    assert time.monotonic() < deadline
    time.sleep(0.01)
counts = [cache.incr("count") for _ in range(150)]
added = sum(cache.add(f"add-{number}", 1) for number in range(50))
passed = sum(passes() for _ in range(40))
print(json.dumps([counts, added, passed]))
"""


def test_atomic_across_processes(tmp_path: Path) -> None:
    number = 4
    cache.set_many({"ready": 0, "count": 0}, timeout=None)
    code = RACER.replace("PROCESSES", str(number))
    with processes(tmp_path, DJANGO_SETTINGS_MODULE="tests.settings") as started:
        racers = [started.spawn([sys.executable, "-c", code]) for _ in range(number)]
        assert [racer.wait(timeout=90) for racer in racers] == [0] * number, started.output_of(racers[0])
        results = [json.loads(started.output_of(racer).splitlines()[-1]) for racer in racers]
    counts = sorted(count for result in results for count in result[0])
    assert counts == list(range(1, number * 150 + 1)), "each count is given out once"
    assert cache.get("count") == number * 150
    assert sum(result[1] for result in results) == 50, "each key is added by one process"
    assert sum(result[2] for result in results) == 50, "the limiter lets exactly the allowed number pass"
