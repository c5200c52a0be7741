"""Functions for `python` jobs under test; job processes import this module by name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from jobs.functions import JobError, PermanentError, Snooze, SoftTimeout, register

MODULE = __name__


@register("t.give")
def give(what: str) -> Any:
    values = {
        "nan": float("nan"),
        "set": {1, 2},
        "nul": {"a": ["x\x00y"]},
        "surrogate": "\ud800",
        "large": "x" * (256 * 1024),
        "just fits": "x" * (256 * 1024 - 2),
        "tuple": {"a": (1, 2)},
    }
    return values[what]


@register("t.raise_later")
def raise_later(seconds: str) -> None:
    wrong_or_right: Any = "soon" if seconds == "soon" else float(seconds)
    raise JobError("try later", retry_after_s=wrong_or_right)


@register("t.raise_text")
def raise_text(text: str) -> None:
    raise JobError(text)


@register("t.forge")
def forge(report: str) -> None:
    """Say what this job likes on the socket that its process reports through, and nothing more."""
    for descriptor in range(3, 32):
        with contextlib.suppress(OSError), socket.socket(fileno=descriptor) as control:
            control.sendall(b"\n" + report.encode() + b"\n")
    os._exit(0)


@register("t.raise_for_good")
def raise_for_good() -> None:
    raise PermanentError("never")


@register("t.divide")
def divide(a: float, b: float) -> float:
    return a / b


@register("t.leave")
def leave(code: int) -> None:
    os._exit(code)


@register("t.segfault")
def segfault() -> None:
    ctypes.string_at(0)


@register("t.pids")
def pids() -> dict[str, int]:
    return {"job": os.getpid(), "guard": os.getppid(), "session": os.getsid(0), "group": os.getpgrp()}


@register("t.descriptors")
def descriptors() -> dict[str, str]:
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    open_now = {}
    for name in os.listdir(folder):
        try:
            open_now[name] = os.readlink(f"{folder}/{name}")
        except OSError:
            continue
    return open_now


@register("t.environment")
def environment(name: str) -> str | None:
    return os.environ.get(name)


@register("t.threads")
def threads() -> int:
    return threading.active_count()


@register("t.modules")
def modules(*names: str) -> list[str]:
    return [name for name in names if name in sys.modules]


@register("t.dumpable")
def dumpable() -> int:
    return int(ctypes.CDLL(None).prctl(3))


@register("t.read_stdin")
def read_stdin() -> str:
    return sys.stdin.read()


@register("t.write")
def write(text: str, times: int = 1) -> None:
    for _ in range(times):
        sys.stdout.write(text)


@register("t.hold_the_interpreter")
def hold_the_interpreter(pid_file: str) -> None:
    """Nothing else in this process runs Python from here on, signal handlers included."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(pid_file).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(1000)


@register("t.leave_a_daemon")
def leave_a_daemon() -> int:
    """A process in a session of its own, that keeps the job's output open."""
    return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid


@register("t.wait_with_output")
def wait_with_output() -> None:
    sys.stdout.write("waiting\n")
    time.sleep(1000)


@register("t.take_memory")
def take_memory(mib: int, seconds: float) -> int:
    """Touch this much memory, a little at a time, and keep it for a while."""
    kept = [bytearray(os.urandom(1024)) * 1024 for _ in range(mib)]
    time.sleep(seconds)
    return len(kept)


@register("t.take_memory_at_once")
def take_memory_at_once(mib: int) -> int:
    return len(b"x" * (mib * 1024 * 1024))


@register("t.share_memory")
def share_memory(mib: int, forks: int) -> None:
    """Several processes that all see the same memory."""
    kept = bytearray(os.urandom(1024)) * 1024 * mib
    for _ in range(forks):
        if os.fork() == 0:
            time.sleep(1000)
    time.sleep(0.6)
    del kept


@register("t.burn")
def burn(forks: int = 0) -> None:
    """Compute for ever, in this process and in others that left the group."""
    for _ in range(forks):
        if os.fork() == 0:
            os.setsid()
            break
    while True:
        pass


@register("t.burn_in_turns")
def burn_in_turns() -> None:
    """One short process after the other."""
    while True:
        subprocess.run([sys.executable, "-c", "sum(range(1_000_000))"], check=True)


@register("t.clean_up")
def clean_up() -> str:
    try:
        time.sleep(1000)
    except SoftTimeout:
        return "cleaned up"
    return "slept"


@register("t.do_not_listen")
def do_not_listen() -> None:
    while True:
        with contextlib.suppress(SoftTimeout):
            time.sleep(1000)


@register("t.log_and_go_on")
def log_and_go_on() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(1000)


@register("t.snooze")
def snooze(delay_s: float) -> None:
    raise Snooze(delay_s)


@register("t.fill_the_disk")
def fill_the_disk() -> None:
    Path("/dev/full").write_text("x")


@register("t.spread")
def spread() -> None:
    """Processes in sessions of their own, three deep, none of which listens to SIGTERM."""
    script = 'trap \'\' TERM HUP; echo $$; [ $1 = 0 ] || setsid sh -c "$0" "$0" $(($1 - 1)) & sleep 1000 & wait; wait'
    subprocess.Popen(["sh", "-c", script, script, "3"], start_new_session=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)
