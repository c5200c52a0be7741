"""Two things that Linux lets a process decide about itself; elsewhere these functions do nothing."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def hide_process() -> None:
    """Other processes of this user can no longer read this one's environment and memory in /proc.

    Inherited by forks, ended by exec. Root is not stopped by it, so workers should not run as root.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process, also those that left its group."""
    if sys.platform == "linux" and _children_file().exists():
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> list[int]:
    """The children of this process, which must have a single thread; none where that cannot be told."""
    try:
        return [int(pid) for pid in _children_file().read_text().split()]
    except FileNotFoundError:
        return []


def _children_file() -> Path:
    return Path(f"/proc/self/task/{os.getpid()}/children")
