"""Times and numbers in words, for pages. Pure; the template library `show` hands these to templates."""

from __future__ import annotations

import textwrap

NOTHING = "\N{EN DASH}"

_MORE = "\N{HORIZONTAL ELLIPSIS}"

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration(ms: float | None) -> str:
    """52 ms, 1.5 s, 2 min 5 s, 1 h 3 min or 2 d 4 h; a dash for None."""
    if ms is None:
        return NOTHING
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_500:
        return f"{ms / 1000:.{1 if ms < 9_950 else 0}f} s"
    seconds = round(ms / 1000)
    if seconds < _HOUR:
        return _two_parts(seconds, _MINUTE, "min", 1, "s")
    if seconds < _DAY:
        return _two_parts(seconds, _HOUR, "h", _MINUTE, "min")
    return _two_parts(seconds, _DAY, "d", _HOUR, "h")


def age(seconds: float) -> str:
    """How long ago, coarse on purpose: a fragment is sent again whenever its words change."""
    if seconds < 5:
        return "just now"
    if seconds < _MINUTE:
        return f"{int(seconds) // 5 * 5} s ago"
    if seconds < _HOUR:
        return f"{int(seconds) // _MINUTE} min ago"
    if seconds < _DAY:
        return f"{int(seconds) // _HOUR} h ago"
    return f"{int(seconds) // _DAY} d ago"


def until(seconds: float) -> str:
    """How long from now, as coarse as `age`."""
    if seconds < _MINUTE:
        return f"in {(int(seconds) // 5 + 1) * 5} s"
    return f"in {duration(int(seconds) // _MINUTE * _MINUTE * 1000)}"


def percent(ratio: float | None) -> str:
    """0.123 as "12 %"; a dash for None."""
    return NOTHING if ratio is None else f"{ratio * 100:.0f} %"


def counted(number: int, noun: str) -> str:
    """1 job, 2 jobs, 1,000 jobs."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def role_name(role: str) -> str:
    """A role as people say it: "org admin"."""
    return role.replace("_", " ")


def shortened(text: str, most: int) -> str:
    """`text` on one line of at most `most` characters, cut behind a word if there is one to cut behind."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    short = textwrap.shorten(line, most, placeholder=f" {_MORE}")
    return short if short != _MORE else line[: most - 1] + _MORE


def _two_parts(seconds: int, unit: int, name: str, part: int, part_name: str) -> str:
    whole, rest = seconds // unit, seconds % unit // part
    return f"{whole} {name} {rest} {part_name}" if rest else f"{whole} {name}"
