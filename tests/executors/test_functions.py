from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs import functions
from jobs.executors.base import JobError


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_functions", dict(functions._functions))
    monkeypatch.setattr(functions, "_light", set(functions._light))
    monkeypatch.setattr(functions, "_coroutines", set(functions._coroutines))
    monkeypatch.setattr(functions, "_loaded", list(functions._loaded))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "billing_functions.py"


def test_the_built_in_ones() -> None:
    assert {"noop", "echo", "sleep", "fail", "add"} <= set(functions.names())
    assert functions.get("noop")() is None
    assert functions.get("echo")(1, a=2) == {"args": [1], "kwargs": {"a": 2}}
    assert functions.get("add")(1, 2) == 3
    assert asyncio.run(functions.get("sleep")(0)) == 0
    with pytest.raises(JobError, match="boo"):
        functions.get("fail")("boo")


def test_register_with_and_without_a_name() -> None:
    @functions.register
    def plain() -> str:
        return "plain"

    @functions.register("billing.close")
    def close() -> str:
        return "closed"

    assert functions.get("plain")() == "plain"
    assert functions.get("billing.close") is close


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match=r"registered already, by jobs\.functions\.noop"):
        functions.register("noop")(lambda: None)


def test_which_functions_are_light() -> None:
    @functions.register("t.later")
    async def later() -> None: ...

    @functions.register("t.quick", isolated=False)
    def quick() -> None: ...

    @functions.register("t.heavy")
    def heavy() -> None: ...

    assert [functions.is_light(f"t.{name}") for name in ("later", "quick", "heavy")] == [True, True, False]
    assert [functions.is_coroutine(f"t.{name}") for name in ("later", "quick", "none")] == [
        True,
        False,
        False,
    ]


def test_an_unknown_name_says_how_to_register() -> None:
    with pytest.raises(
        functions.UnknownFunction, match=r'@jobs\.functions\.register\("nope"\).*SMARTQUEUE_FUNCTIONS'
    ):
        functions.get("nope")


def test_arguments_are_checked_in_words() -> None:
    functions.check_arguments("add", [1], {"b": 2})
    with pytest.raises(TypeError, match=r"^add\(a, b\) cannot be called like this: missing"):
        functions.check_arguments("add", [1], {})


def by_place(a: int, /, b: int = 0) -> None: ...
def by_name(a: int, b: int = 0, *, c: int, d: int = 0) -> None: ...
def by_either(a: int, b: int, c: int = 0) -> None: ...
def anything(a: int, *rest: int, b: int = 0, **more: int) -> None: ...


@pytest.mark.parametrize("function", [by_place, by_name, by_either, anything])
def test_a_call_is_accepted_where_python_accepts_it(
    function: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(functions._functions, "probe", function)
    names = ("a", "b", "c", "d", "e")
    for count, chosen in itertools.product(range(5), itertools.product((False, True), repeat=len(names))):
        args, kwargs = [1] * count, dict.fromkeys(itertools.compress(names, chosen), 1)
        assert sound(functions.check_arguments, "probe", args, kwargs) == sound(function, *args, **kwargs)


def sound(function: Callable[..., None], *args: Any, **kwargs: Any) -> bool:
    try:
        function(*args, **kwargs)
    except TypeError:
        return False
    return True


def test_load_imports_modules_and_remembers_them(module: Path) -> None:
    module.write_text("from jobs.functions import register\n@register\ndef invoice(): return 42\n")
    functions.load(["billing_functions"])
    functions.load(["billing_functions"])
    assert functions.get("invoice")() == 42
    assert functions.loaded().count("billing_functions") == 1


def test_load_names_the_module_that_fails(module: Path) -> None:
    with pytest.raises(
        functions.LoadError, match='"no_such_module", which cannot be imported: ModuleNotFoundError'
    ):
        functions.load(["no_such_module"])
    module.with_name("broken_functions.py").write_text("1 / 0\n")
    with pytest.raises(functions.LoadError, match=r'names the module "broken_functions".*ZeroDiv'):
        functions.load(["broken_functions"])
