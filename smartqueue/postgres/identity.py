"""As whom the server runs: PostgreSQL refuses root, and an ordinary user simply is that user.

For root there are two ways, tried in this order; neither needs a new account or opens a folder up:
- NAMESPACE: a user namespace in which root carries the number of an ordinary account.
- ACCOUNT (where namespaces are refused, as in most containers): become that account, and keep the one
  capability that reaches binaries and data under folders such as /root.
The guardian alone calls this; the functions that run between fork and exec need its single thread.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from smartqueue.postgres.binaries import EmbeddedPostgresError

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT = 1, 28, 47
_PR_CAP_AMBIENT_RAISE, _SECBIT_NO_SETUID_FIXUP = 2, 4
_CAP_DAC_OVERRIDE, _CAPABILITY_VERSION_3 = 1, 0x20080522


class RunAs(StrEnum):
    SELF = "self"
    NAMESPACE = "namespace"
    ACCOUNT = "account"


def choose(postgres: Path, wanted: RunAs | None = None) -> RunAs:
    """The first way that can execute `postgres`; `wanted` leaves no choice."""
    ways = [RunAs.NAMESPACE, RunAs.ACCOUNT] if os.geteuid() == 0 else [RunAs.SELF]
    reasons = []
    for way in [wanted] if wanted else ways:
        try:
            before_exec = child_setup(way, signal.SIGKILL)
            subprocess.run([postgres, "--version"], preexec_fn=before_exec, capture_output=True, check=True)
            return way
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{way}: {error}")
    raise EmbeddedPostgresError(
        f"PostgreSQL cannot be started here ({'; '.join(reasons)}). Run as an ordinary user with "
        "SMARTQUEUE_DATA_DIR set to a folder of that user, or set DATABASE_URL to a server of your own."
    )


def owner_of_files(way: RunAs) -> int:
    """The uid that the files of the cluster must have on disk."""
    return _account().pw_uid if way is RunAs.ACCOUNT else os.geteuid()


def child_setup(way: RunAs, death_signal: signal.Signals) -> Callable[[], None]:
    """What the child does before exec: change identity, and ask for `death_signal` when we die."""
    parent = os.getpid()
    account = None if way is RunAs.SELF else _account()

    def setup() -> None:
        if account and way is RunAs.NAMESPACE:
            _enter_namespace(account)
        elif account:
            _become(account)
        if sys.platform == "linux":
            # After the change of identity, which clears it.
            _prctl(_PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:
                os._exit(1)

    return setup


def _account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to run it as: "
        "run as an ordinary user, or set DATABASE_URL to a server of your own."
    )


def _enter_namespace(account: pwd.struct_passwd) -> None:
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{account.pw_uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{account.pw_gid} {gid} 1")


def _become(account: pwd.struct_passwd) -> None:
    # Without this bit setuid drops the capability, and access(2), by which PostgreSQL finds its own
    # programs, ignores it.
    _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    only, none = 1 << _CAP_DAC_OVERRIDE, 0
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(only, only, only, none, none, none)
    _call("capset", header, sets)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE)


def _prctl(option: int, *values: int) -> None:
    _call("prctl", option, *(ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]))


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
