#!/usr/bin/env python
"""Entry point of every role: web tools, `up`, `runscheduler`, `runworker`, `retrain`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartqueue.settings")
    from smartqueue.startup import run_command

    run_command(sys.argv)


if __name__ == "__main__":
    main()
