"""Locks between processes, kept by the kernel: a kill -9 gives them back, and no pid is ever trusted.

They are flock(2) locks, so they belong to the open file: a child that inherits the descriptor holds
the lock too, until the last copy is closed.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def acquire(fd: int, *, shared: bool = False) -> bool:
    """Whether `fd` now holds its lock, until it is closed; False while somebody else holds it."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """A descriptor that holds the lock of `path`; None while somebody else holds it."""
    fd = open_lock(path)
    if acquire(fd, shared=shared):
        return fd
    os.close(fd)
    return None


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock exclusively."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # Closing alone would leave the lock with a child that another thread forks just now.
        fcntl.flock(fd, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
