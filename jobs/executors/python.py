"""`python` jobs: a call of a function registered in `jobs.functions`."""

from __future__ import annotations

from typing import Any

from jobs import functions
from jobs.executors.base import JobSpec, PermanentError


def execute(spec: JobSpec) -> Any:
    """Call the function and return what it returns; its exceptions fail the attempt."""
    name, args, kwargs = (
        spec.payload["function"],
        spec.payload.get("args", []),
        spec.payload.get("kwargs", {}),
    )
    try:
        functions.check_arguments(name, args, kwargs)
    except (functions.UnknownFunction, TypeError) as error:
        raise PermanentError(str(error)) from None
    result = functions.get(name)(*args, **kwargs)
    if functions.is_coroutine(name):
        import asyncio

        return asyncio.run(result)
    return result
