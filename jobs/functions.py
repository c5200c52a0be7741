"""The functions that `python` jobs may call: nothing else can be called by name.

A module registers its own with `@register` and is named in SMARTQUEUE_FUNCTIONS; every process that
submits or runs jobs calls `load` with those names once. Functions get and return plain JSON values.
They run in a process of their own, in an empty working folder, with the worker's environment; one that
needs Django calls `django.setup()` itself. No Django here.
"""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from jobs.executors.base import JobError

Function = TypeVar("Function", bound=Callable[..., Any])

_functions: dict[str, Callable[..., Any]] = {}
_loaded: list[str] = []


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
def register(name: Function) -> Function: ...
@overload
def register(name: str | None = None) -> Callable[[Function], Function]: ...
def register(name: Any = None) -> Any:
    """Decorator: let `python` jobs call this function, under its own name or under the one given.

    Raises ValueError when another function has the name already, TypeError for a coroutine function.
    """
    if callable(name):
        return _add(name.__name__, name)
    return lambda function: _add(name or function.__name__, function)


def get(name: str) -> Callable[..., Any]:
    """The function registered as `name`; raises UnknownFunction."""
    try:
        return _functions[name]
    except KeyError:
        raise UnknownFunction(name) from None


def names() -> tuple[str, ...]:
    """All registered names, in alphabetical order."""
    return tuple(sorted(_functions))


def check_arguments(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise TypeError, in words, when the function cannot be called with these arguments."""
    try:
        signature = inspect.signature(get(name))
    except ValueError:  # some built-in callables have none
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


def _add(name: str, function: Function) -> Function:
    if inspect.iscoroutinefunction(function):
        raise TypeError(f'"{name}" is a coroutine function; python jobs call plain functions.')
    known = _functions.get(name)
    if known is not None and _where(known) != _where(function):
        raise ValueError(f'"{name}" is registered already, by {_where(known)}.')
    _functions[name] = function
    return function


def _where(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _plain(signature: inspect.Signature) -> inspect.Signature:
    """Without annotations: what a person who calls it needs to see."""
    parameters = [part.replace(annotation=part.empty) for part in signature.parameters.values()]
    return inspect.Signature(parameters)


@register
def noop() -> None:
    """Return at once."""


@register
def echo(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the arguments."""
    return {"args": list(args), "kwargs": kwargs}


@register
def sleep(seconds: float) -> float:
    """Sleep, and return for how long."""
    time.sleep(seconds)
    return seconds


@register
def fail(message: str = "failed on request") -> None:
    """Fail with this message."""
    raise JobError(message)


@register
def add(a: float, b: float) -> float:
    """The sum of two numbers."""
    return a + b
