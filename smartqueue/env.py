"""Typed reading of the environment; the only place that touches `os.environ` for settings.

Every name that is read is recorded in `READ` with its type, default and meaning: the table in
docs/configuration.md and the ConfigMap in k8s/ are held equal to it by tests. A value that cannot
be used raises ImproperlyConfigured, naming the variable and what was expected.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Variable:
    """One environment variable: what it accepts, what it is without a value, what it means."""

    name: str
    accepts: str
    default: str
    meaning: str
    secret: bool = False


READ: dict[str, Variable] = {}


def is_given(name: str) -> bool:
    """Whether somebody has set the variable, be it to its default."""
    return bool(os.environ.get(name, ""))


def env_str(name: str, default: str, meaning: str, *, shown: str | None = None) -> str:
    _record(name, "text", default if shown is None else shown, meaning)
    return os.environ.get(name, "") or default


def env_choice(name: str, default: str, choices: tuple[str, ...], meaning: str) -> str:
    _record(name, "one of " + ", ".join(choices), default, meaning)
    value = os.environ.get(name, "") or default
    if value not in choices:
        raise _wrong(name, value, "one of " + ", ".join(choices))
    return value


def env_bool(name: str, default: bool, meaning: str) -> bool:
    _record(name, "true or false", str(default).lower(), meaning)
    value = os.environ.get(name, "").lower() or str(default).lower()
    if value not in ("true", "false"):
        raise _wrong(name, value, "true or false")
    return value == "true"


def env_int(name: str, default: int, meaning: str, *, low: int, high: int) -> int:
    accepts = f"a whole number from {low} to {high}"
    _record(name, accepts, str(default), meaning)
    return _number(name, str(default), int, accepts, low, high)


def env_float(name: str, default: float, meaning: str, *, low: float, high: float) -> float:
    accepts = f"a number from {low:.10g} to {high:.10g}"
    _record(name, accepts, f"{default:g}", meaning)
    return _number(name, str(default), float, accepts, low, high)


def env_rate(name: str, default: str, meaning: str, *, or_off: bool = False) -> str:
    """The rate; empty for "off", where that is accepted."""
    accepts = "number/period with period s, m, h or d, as in 5/m" + (", or off" if or_off else "")
    _record(name, accepts, default, meaning)
    value = os.environ.get(name, "") or default
    if or_off and value == "off":
        return ""
    if not re.fullmatch(r"[1-9][0-9]{0,8}/[smhd]", value):
        raise _wrong(name, value, accepts)
    return value


def env_list(name: str, default: str, meaning: str) -> list[str]:
    _record(name, "a comma-separated list", default, meaning)
    value = os.environ.get(name, "") or default
    return [item.strip() for item in value.split(",") if item.strip()]


def env_path(name: str, default: Path, meaning: str, *, shown: str) -> Path:
    _record(name, "a folder", shown, meaning)
    value = os.environ.get(name, "")
    return Path(value).expanduser().resolve() if value else default


def env_secret(name: str, meaning: str, *, default: str = "", shown: str = "") -> str:
    """The value of NAME, or the content of the file that NAME_FILE names (for mounted secrets)."""
    _record(name, f"text; or {name}_FILE, the path of a file that holds it", shown, meaning, secret=True)
    value, path = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if value and path:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: set only one of them.")
    if not path:
        return value or default
    try:
        content = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(
            f"{name}_FILE={path!r}: expected a readable text file ({error})."
        ) from error
    if not content:
        raise ImproperlyConfigured(
            f"{name}_FILE={path!r}: expected a file with the secret in it, it is empty."
        )
    return content


def _record(name: str, accepts: str, default: str, meaning: str, *, secret: bool = False) -> None:
    READ[name] = Variable(name, accepts, default, meaning, secret)


def _number(name: str, default: str, cast: Callable[[str], T], accepts: str, low: T, high: T) -> T:
    raw = os.environ.get(name, "") or default
    try:
        value = cast(raw)
    except ValueError:
        raise _wrong(name, raw, accepts) from None
    if not low <= value <= high:
        raise _wrong(name, raw, accepts)
    return value


def _wrong(name: str, value: str, expected: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name}={value!r}: expected {expected}.")
