"""The functions that `python` jobs may call: nothing else can be called by name.

A module registers its own with `@register` and is named in SMARTQUEUE_FUNCTIONS; every process that
submits or runs jobs calls `load` with those names once. Functions get and return plain JSON values.
They run in a process of their own, in an empty working folder, with the worker's environment; one that
needs Django calls `django.setup()` itself. No Django here.

Light functions are the exception: coroutine functions, and those registered with `isolated=False`. They
run in one process that a worker keeps for all of them (see `jobs.executors.kept`), without the names of
SmartQueue and its database in their environment. A plain one holds up the others while it runs.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from jobs.executors.base import JobError, PermanentError, Snooze, SoftTimeout
from jobs.executors.kept_wire import current

__all__ = [
    "About",
    "JobError",
    "LoadError",
    "PermanentError",
    "Snooze",
    "SoftTimeout",
    "UnknownFunction",
    "about",
    "check_arguments",
    "echo",
    "get",
    "is_coroutine",
    "is_light",
    "load",
    "loaded",
    "names",
    "noop",
    "register",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_functions: dict[str, Callable[..., Any]] = {}
_light: set[str] = set()
_coroutines: set[str] = set()
_loaded: list[str] = []


@dataclass(frozen=True)
class About:
    """`idempotency_id` is the same for every attempt of a job."""

    job_id: int
    attempt: int
    idempotency_id: str


class UnknownFunction(LookupError):
    """No function of this name is registered."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f'No function is registered as "{name}"; registered are {", ".join(names())}. To add one, put '
            f'@jobs.functions.register("{name}") on it in a module that SMARTQUEUE_FUNCTIONS names.'
        )


class LoadError(ImportError):
    """A module of SMARTQUEUE_FUNCTIONS cannot be imported."""


@overload
def register(name: Function, /) -> Function: ...
@overload
def register(name: str | None = None, *, isolated: bool = True) -> Callable[[Function], Function]: ...
def register(name: Any = None, *, isolated: bool = True) -> Any:
    """Decorator: let `python` jobs call this function, under its own name or under the one given.

    `isolated=False` makes it light: for functions that end within milliseconds. A coroutine function is
    always light. Raises ValueError when another function has the name already.
    """
    if callable(name):
        return _add(name.__name__, name, isolated)
    return lambda function: _add(name or function.__name__, function, isolated)


def get(name: str) -> Callable[..., Any]:
    """The function registered as `name`; raises UnknownFunction."""
    try:
        return _functions[name]
    except KeyError:
        raise UnknownFunction(name) from None


def is_light(name: str) -> bool:
    """Whether the function runs in the process that a worker keeps, not in one of its own."""
    return name in _light


def is_coroutine(name: str) -> bool:
    """Whether a function of this name is registered and is a coroutine function."""
    return name in _coroutines


def about() -> About:
    """The job that the calling function runs for; raises LookupError where there is none."""
    if (call := current.get()) is not None:
        return About(*call[1:4])
    if "SMARTQUEUE_JOB_ID" not in os.environ:
        raise LookupError("No job runs here.")
    names = ("JOB_ID", "ATTEMPT", "IDEMPOTENCY_ID")
    job_id, attempt, idempotency_id = (os.environ[f"SMARTQUEUE_{name}"] for name in names)
    return About(int(job_id), int(attempt), idempotency_id)


def names() -> tuple[str, ...]:
    """All registered names, in alphabetical order."""
    return tuple(sorted(_functions))


def check_arguments(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise TypeError, in words, when the function cannot be called with these arguments."""
    function = get(name)
    try:
        signature = _signature(function)
    except ValueError:  # some built-in callables have none
        return
    if _plainly_fits(function, args, kwargs):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}{_plain(signature)} cannot be called like this: {error}") from None


def load(modules: Sequence[str]) -> None:
    """Import modules that register functions; raises LoadError naming the first one that fails."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise LoadError(
                f'SMARTQUEUE_FUNCTIONS names the module "{module}", which cannot be imported: '
                f"{type(error).__name__}: {error}"
            ) from error
        if module not in _loaded:
            _loaded.append(module)


def loaded() -> tuple[str, ...]:
    """The modules that `load` has imported in this process: a job's process imports the same ones."""
    return tuple(_loaded)


def _add(name: str, function: Function, isolated: bool) -> Function:
    known = _functions.get(name)
    if known is not None and _where(known) != _where(function):
        raise ValueError(f'"{name}" is registered already, by {_where(known)}.')
    _functions[name] = function
    if inspect.iscoroutinefunction(function):
        _coroutines.add(name)
    if not isolated or name in _coroutines:
        _light.add(name)
    return function


@functools.lru_cache(maxsize=1024)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _plainly_fits(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """True: the call is sound; False: only `Signature.bind` can tell, which takes ten times as long."""
    names, needed = _named(function)
    by_place = names[: len(args)]
    given = kwargs.keys()
    return (
        len(by_place) == len(args)
        and given <= set(names[len(args) :])
        and all(name in given for name in needed if name not in by_place)
    )


@functools.lru_cache(maxsize=1024)
def _named(function: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Parameters that are given by place or by name, up to the first of another kind; those that have no default,
    of any kind."""
    parameters = _signature(function).parameters.values()
    either = itertools.takewhile(lambda one: one.kind is one.POSITIONAL_OR_KEYWORD, parameters)
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = (one.name for one in parameters if one.default is one.empty and one.kind not in optional)
    return tuple(one.name for one in either), tuple(needed)


def _where(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _plain(signature: inspect.Signature) -> inspect.Signature:
    """Without annotations: what a person who calls it needs to see."""
    parameters = [part.replace(annotation=part.empty) for part in signature.parameters.values()]
    return inspect.Signature(parameters)


@register(isolated=False)
def noop() -> None:
    """Return at once."""


@register(isolated=False)
def echo(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the arguments."""
    return {"args": list(args), "kwargs": kwargs}


@register
async def sleep(seconds: float) -> float:
    """Sleep, and return for how long."""
    import asyncio

    await asyncio.sleep(seconds)
    return seconds


@register(isolated=False)
def fail(message: str = "failed on request") -> None:
    """Fail with this message."""
    raise JobError(message)


@register(isolated=False)
def add(a: float, b: float) -> float:
    """The sum of two numbers."""
    return a + b
