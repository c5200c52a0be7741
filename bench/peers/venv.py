"""Virtual environments of the benches' own, under .bench/ beside the sources, made when they are first needed.

Nothing that SmartQueue is only measured against is a requirement of SmartQueue. Called by bench and bench.predict.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CACHE = Path(__file__).resolve().parents[2] / ".bench"
INSTALL_S = 600


class PeersMissing(RuntimeError):
    """The peers cannot be installed here; the message says why."""


def peers_python() -> Path:
    """The Python that has the queues and servers that the bench measures against. Raises PeersMissing."""
    return python_with(REQUIREMENTS, "peers")


def python_with(requirements: Path, name: str) -> Path:
    """A Python that has `requirements`; installs them unless that was done for these versions. Raises PeersMissing."""
    pinned = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{pinned}"
    if not (folder / "complete").exists():
        _install(folder, requirements)
    return folder / "bin" / "python"


def _install(folder: Path, requirements: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([*pip, "-r", str(requirements)])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / "complete").touch()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise PeersMissing(f"installing them took longer than {INSTALL_S} s") from None
    if done.returncode:
        raise PeersMissing((done.stderr or done.stdout).strip().splitlines()[-1])
