"""The folder of a clone's own data, and the secret key that is kept there for the embedded set-up."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path


def default_dir(clone: Path) -> Path:
    """One folder per clone, so that two clones of one user never share a database by accident."""
    root = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return root / "smartqueue" / f"{clone.name}-{hashlib.sha256(str(clone).encode()).hexdigest()[:8]}"


def kept_secret_key(data_dir: Path) -> str:
    """The secret key in `data_dir`, made at the first call.

    Two processes may start at once: the key is written aside and linked into place, so that both
    read the same, whole file.
    """
    path = data_dir / "secret_key"
    if not path.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = data_dir / f".secret_key.{os.getpid()}.{secrets.token_hex(4)}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48), encoding="utf-8")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="utf-8").strip()
