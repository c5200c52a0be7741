"""Light functions under test; the kept process imports this module by name."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import functions
from jobs.executors.base import JobError, PermanentError, Snooze
from jobs.functions import register

if TYPE_CHECKING:
    import pytest

MODULE = __name__


def load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processes of one test import this module; those of the next must not."""
    monkeypatch.setattr(functions, "_loaded", [*functions.loaded()])
    functions.load([MODULE])


@register("light.pid", isolated=False)
def pid() -> int:
    return os.getpid()


@register("light.about")
async def about_later() -> list[Any]:
    await asyncio.sleep(0)
    return list(vars(functions.about()).values())


@register("light.leave", isolated=False)
def leave() -> None:
    os._exit(3)


@register("light.segfault", isolated=False)
def segfault() -> None:
    ctypes.string_at(0)


@register("light.block", isolated=False)
def block(seconds: float, pid_file: str = "") -> str:
    if pid_file:
        Path(pid_file).write_text(str(os.getpid()))
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))  # keeps the interpreter lock
    return "blocked"


@register("light.give", isolated=False)
def give(what: str) -> Any:
    return {"nan": float("nan"), "nul": "x\x00y", "set": {1}, "text": "text", "false": False, "zero": 0}[what]


@register("light.fail", isolated=False)
def fail(how: str) -> None:
    errors: dict[str, BaseException] = {
        "job": JobError("try later", retry_after_s=7.0),
        "permanent": PermanentError("never"),
        "snooze": Snooze(5.0),
        "exit": SystemExit(1),
        "bug": TypeError("a bug"),
    }
    raise errors[how]


@register("light.say", isolated=False)
def say(text: str) -> None:
    sys.stdout.write(text)


@register("light.environment", isolated=False)
def environment(*names: str) -> list[str]:
    return [name for name in names if name in os.environ]


@register("light.forge", isolated=False)
def forge(message: str) -> None:
    """Write this on every socket that is open here."""
    for descriptor in range(3, 32):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
                os.write(descriptor, message.encode() + b"\n")
        except OSError:
            continue


@register("light.hang_up", isolated=False)
def hang_up(pid_file: str) -> None:
    """Close all sockets, and go on."""
    Path(pid_file).write_text(str(os.getpid()))
    for descriptor in range(3, 32):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
                os.close(descriptor)
        except OSError:
            continue
    time.sleep(60)


@register("light.wait")
async def wait(seconds: float, pid_file: str = "") -> str:
    if pid_file:
        Path(pid_file).write_text(str(os.getpid()))
    await asyncio.sleep(seconds)
    return "waited"


@register("light.take_turns")
async def take_turns(name: str, turns: int) -> None:
    for turn in range(turns):
        print(f"{name} {turn}")  # noqa: T201 - what is tested
        await asyncio.to_thread(print, f"{name} {turn} in a thread")
        await asyncio.sleep(0)


@register("light.limit_itself")
async def limit_itself() -> str:
    assert asyncio.current_task() is not None
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)
    except TimeoutError:
        return "timed out inside"
    return "not reached"


@register("light.refuse_to_end")
async def refuse_to_end(pid_file: str) -> None:
    Path(pid_file).write_text(str(os.getpid()))
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


@register("light.swallow_cancel")
async def swallow_cancel() -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "as if nothing had happened"
    return "slept"


@register("light.hog", isolated=False)
def hog(seconds: float) -> float:
    time.sleep(seconds)
    return seconds
