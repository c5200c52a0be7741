"""`shell` jobs: a command run by `/bin/sh -c` in the job's empty working folder.

The command comes from a user: it gets a clean environment, never the worker's.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from jobs.executors.base import JobError, JobSpec, PermanentError, signal_name
from jobs.executors.environment import command_environment

_CANNOT_RUN = {126: "a command was found that cannot be executed", 127: "a command was not found"}


def execute(spec: JobSpec) -> dict[str, Any]:
    """Run the command; {"exit_code": 0}, or JobError with its exit code. Its output is the job's."""
    environment = command_environment(spec, Path.cwd(), os.environ)
    # A SIGTERM reaches the whole group. The command decides what to do about it; this process waits for it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    code = subprocess.run(["/bin/sh", "-c", spec.payload["command"]], env=environment, check=False).returncode
    if code == 0:
        return {"exit_code": 0}
    if code in _CANNOT_RUN:
        raise PermanentError(f"The command ended with exit code {code}: {_CANNOT_RUN[code]}.")
    if code < 0:
        raise JobError(f"The command was killed by {signal_name(-code)}.")
    raise JobError(f"The command ended with exit code {code}.")
