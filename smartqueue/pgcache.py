"""Django's cache on PostgreSQL: shared by all processes, with atomic `add` and `incr`.

The rate limiter counts here, so each operation is one statement that commits by itself. Outside of a
transaction that is the thread's own connection in autocommit. Inside of one, a second connection is
borrowed for the moment: a count must neither vanish with a rollback of the caller, nor keep its row
locked, and with it every other client of that row, until the caller commits.

Expiry is judged by the database's clock. The table is UNLOGGED: after a crash of the server it is empty,
which a cache must always allow for.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache, InvalidCacheKey
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.utils import CursorWrapper

TABLE = "smartqueue_cache"
LONGEST_KEY = 1000

_CULL_ONE_IN = 256
_CULL_AT_ONCE = 1000

_GET = """
SELECT key, number, value FROM smartqueue_cache
WHERE key = ANY(%s) AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
_SET = """
INSERT INTO smartqueue_cache AS old (key, number, value, expires_at)
VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (key) DO UPDATE
SET number = excluded.number, value = excluded.value, expires_at = excluded.expires_at
"""
# Of two adds at once the second waits for the first's row and then finds it alive: one of them returns a row.
_ADD = f"{_SET} WHERE old.expires_at <= clock_timestamp() RETURNING key"
_INCR = """
UPDATE smartqueue_cache SET number = number + %s
WHERE key = %s AND number IS NOT NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
RETURNING number
"""
_TOUCH = """
UPDATE smartqueue_cache SET expires_at = clock_timestamp() + make_interval(secs => %s)
WHERE key = %s AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
_DELETE = """
WITH gone AS (DELETE FROM smartqueue_cache WHERE key = ANY(%s) RETURNING expires_at)
SELECT count(*) FROM gone WHERE expires_at IS NULL OR expires_at > clock_timestamp()
"""
_CULL = """
WITH expired AS MATERIALIZED (
    SELECT key FROM smartqueue_cache WHERE expires_at <= clock_timestamp() LIMIT %s FOR UPDATE SKIP LOCKED
)
DELETE FROM smartqueue_cache WHERE key = ANY (ARRAY(SELECT key FROM expired))
"""


class PostgresCache(BaseCache):
    """`BACKEND` of settings.CACHES; `LOCATION` must be the one table that there is."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        if location != TABLE:
            raise ImproperlyConfigured(f"CACHES: LOCATION={location!r}: expected {TABLE!r}.")

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self.get_many([key], version).get(key, default)

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        names = {self.make_and_validate_key(key, version=version): key for key in keys}
        with _cursor() as cursor:
            cursor.execute(_GET, [list(names)])
            return {names[name]: _decoded(number, value) for name, number, value in cursor.fetchall()}

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._write(_SET, key, value, timeout, version)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._write(_ADD, key, value, timeout, version)

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """The value after adding `delta`; raises ValueError when there is no whole number under `key`."""
        name = self.make_and_validate_key(key, version=version)
        with _cursor() as cursor:
            cursor.execute(_INCR, [delta, name])
            row = cursor.fetchone()
        if row is None:
            raise ValueError(f"There is no number under the key {key!r}.")
        return int(row[0])

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name = self.make_and_validate_key(key, version=version)
        with _cursor() as cursor:
            cursor.execute(_TOUCH, [self._seconds(timeout), name])
            return bool(cursor.rowcount)

    def delete(self, key: str, version: int | None = None) -> bool:
        return bool(self._delete([key], version))

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        self._delete(keys, version)

    def clear(self) -> None:
        with _cursor() as cursor:
            cursor.execute("DELETE FROM smartqueue_cache")

    def cull(self, limit: int = _CULL_AT_ONCE) -> int:
        """Remove at most `limit` expired rows and return how many; reads never see them anyway."""
        with _cursor() as cursor:
            cursor.execute(_CULL, [limit])
            return int(cursor.rowcount)

    def validate_key(self, key: str) -> None:
        if "\0" in key or len(key) > LONGEST_KEY:
            raise InvalidCacheKey(f"Expected at most {LONGEST_KEY} characters, without NUL: {key[:80]!r}.")
        super().validate_key(key)

    def _write(self, sql: str, key: str, value: Any, timeout: Any, version: int | None) -> bool:
        name = self.make_and_validate_key(key, version=version)
        with _cursor() as cursor:
            cursor.execute(sql, [name, *_encoded(value), self._seconds(timeout)])
            written = bool(cursor.rowcount)
        if random.randrange(_CULL_ONE_IN) == 0:  # noqa: S311 - chooses when to tidy up, no secret
            self.cull()
        return written

    def _delete(self, keys: Iterable[str], version: int | None) -> int:
        names = [self.make_and_validate_key(key, version=version) for key in keys]
        with _cursor() as cursor:
            cursor.execute(_DELETE, [names])
            return int(cursor.fetchone()[0])

    def _seconds(self, timeout: Any) -> float | None:
        """Seconds from now until expiry; None for never."""
        return self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout


@contextmanager
def _cursor() -> Iterator[CursorWrapper]:
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.get_autocommit():
        with connection.cursor() as cursor:
            yield cursor
        return
    borrowed = connection.copy()
    try:
        with borrowed.cursor() as cursor:
            yield cursor
    finally:
        borrowed.close()


def _encoded(value: Any) -> tuple[int | None, bytes | None]:
    """(number, value): a bool is an int to Python, but must come back as a bool."""
    if type(value) is int and -(2**63) <= value < 2**63:
        return value, None
    return None, pickle.dumps(value)


def _decoded(number: int | None, value: bytes | None) -> Any:
    # Whoever can write this table can write every other one as well.
    return number if value is None else pickle.loads(value)  # noqa: S301
