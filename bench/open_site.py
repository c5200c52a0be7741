"""The site without its second wall, for bench.walls to compare with. Nothing else may serve it."""

from __future__ import annotations

from contextlib import nullcontext

from orgs import walls

walls.request = nullcontext  # type: ignore[assignment]
walls.close_by_default = lambda: None

from smartqueue.asgi import application  # noqa: E402

__all__ = ["application"]
