"""Which environment variables a job's process gets.

The worker's environment holds the database address and the secret key. Only `python` jobs, which run
functions that the operator registered, get it whole; commands and SQL come from users.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from jobs.executors.base import JobSpec

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_NETWORK = (*_PROXIES, *(name.lower() for name in _PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR")
_ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # jobs run side by side
_INTERPRETER = ("PATH", "LANG", "TZ", "PYTHONHOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


def job_environment(spec: JobSpec, folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a job of this type that works in `folder`."""
    if spec.type == "python":
        return {**inherited, **_about(spec)}
    more = {} if spec.type == "shell" else {**_ONE_CORE, **_only(inherited, (*_NETWORK, *_ONE_CORE))}
    return {**more, **command_environment(spec, folder, inherited)}


def command_environment(spec: JobSpec, folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command that a user wrote: nothing of the worker's but its PATH and language."""
    return {
        "PATH": inherited.get("PATH", os.defpath),
        "LANG": inherited.get("LANG", "C.UTF-8"),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        **_about(spec),
    }


def kept_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What light functions see: the worker's environment without the database and without SmartQueue's settings."""
    return {
        name: value
        for name, value in inherited.items()
        if name != "DATABASE_URL" and not name.startswith(("SMARTQUEUE_", "PG"))
    }


def fork_server_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What the interpreter needs to start and to find the same modules, and no secrets.

    One core also means that no library starts threads, which would not survive a fork.
    """
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    return {**_ONE_CORE, **_only(inherited, (*_INTERPRETER, *_ONE_CORE)), "PYTHONPATH": path}


def _about(spec: JobSpec) -> dict[str, str]:
    return {
        "SMARTQUEUE_JOB_ID": str(spec.id),
        "SMARTQUEUE_ATTEMPT": str(spec.attempt),
        "SMARTQUEUE_IDEMPOTENCY_ID": spec.idempotency_id,
    }


def _only(inherited: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: inherited[name] for name in names if name in inherited}
