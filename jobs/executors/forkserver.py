"""A process that job processes are forked from: `python -m jobs.executors.forkserver FD FOLDER [MODULE...]`.

It has imported the modules named and runs nothing but the loop below, in one thread, with nothing of
the worker's open: a fork from here is cheap and carries no database connection, no other job's pipe and
no secret. (The fork server of `multiprocessing` was measured first: it takes several times as long, as
each process runs the worker's main module again; and it has the worker's environment.)

Started by `process.ForkServer`; FD is one end of a socket pair. It ends on the byte END. It also ends
when the other end closes without that: the worker was killed, and nobody but the fork servers is left to
remove FOLDER, which they share, with the working folders of all jobs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence

from jobs.executors import guard, prctl

FORK, END = b"j", b"q"


def main(descriptor: int, folder: str, modules: Sequence[str]) -> None:
    """Serve until the worker is gone, and leave nothing behind."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(ignored, signal.SIG_IGN)
    prctl.hide_process()
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    with socket.socket(fileno=descriptor) as worker:
        worker_is_gone = not _serve(worker)
    # Guards end when their job does, or when the worker lets go of them. As SIGCHLD is ignored, wait()
    # returns when all of them are gone.
    with contextlib.suppress(ChildProcessError):
        os.wait()
    if worker_is_gone:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(worker: socket.socket) -> bool:
    """Fork once for each FORK, with which come three descriptors: control, stdout, stderr.

    True when END came, False when the other end closed without it.
    """
    while True:
        request, descriptors, _, _ = socket.recv_fds(worker, 1, 3)
        if request != FORK:
            return request == END
        if os.fork() == 0:
            worker.close()
            guard.run(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
