"""What a solver can be asked, and what stands there for things that stay with the judge. Runs beside hostile code."""

from __future__ import annotations

import builtins
import copy
import operator
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .encoder import OWN_MODULE

if TYPE_CHECKING:
    from .solver import Solver

_TEXT_LIMIT = 500
_CONTAINERS = (list, dict, set, bytearray)


class CallBack:
    """A function of the tests, as the program gets it."""

    def __init__(self, solver: Solver, number: int, name: str) -> None:
        self.number = number
        self.__name__ = name
        self._solver = solver

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Calls it where it lives."""
        return self._solver.call_back(self.number, arguments, named)


class ForeignIterator(CallBack):
    """An iterator of the tests."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        found = self()
        if not found:
            raise StopIteration
        return found[0]


class ForeignObject(CallBack):
    """An instance of a class that the tests define: its public attributes and methods, one request each."""

    _own = frozenset(("number", "_solver", "__name__"))

    def __getattr__(self, name: str) -> Any:
        return self._ask("getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            object.__setattr__(self, name, value)
        else:
            self._ask("setattr", name, value)

    def __eq__(self, other: object) -> bool:
        return bool(self._ask("eq", other))

    def __hash__(self) -> int:
        return hash(self.number)

    def __len__(self) -> int:
        return int(self._ask("len"))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ask("iter"))

    def __getitem__(self, key: Any) -> Any:
        return self._ask("getitem", key)

    def __str__(self) -> str:
        return str(self._ask("str"))

    def __bool__(self) -> bool:
        return bool(self._ask("bool"))

    def _ask(self, operation: str, *arguments: Any) -> Any:
        return self._solver.call_back(self.number, (operation, *arguments), {})

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Calls it where it lives."""
        return self._solver.call_back(self.number, ("call", *arguments), named)


def kind_of(value: Any) -> str:
    """Returns what the judge has to know of a name: a module's name, an exception's ancestors, whether it is called."""
    if type(value) is types.ModuleType:
        return f"module:{value.__name__}"
    if isinstance(value, type) and issubclass(value, BaseException):
        return f"exception:{','.join(_ancestors(value))}"
    return "callable" if callable(value) else "value"


def flags(value: Any) -> str:
    """Returns what kind of handle a value needs (a letter), and the names of its built-in base and of its type."""
    kind = type(value)
    if kind is types.CoroutineType:
        return "a:coroutine"
    if hasattr(kind, "__next__"):
        return f"i:{kind.__name__}"
    if kind.__module__ == OWN_MODULE and isinstance(value, _CONTAINERS):
        return f"l{next(base for base in _CONTAINERS if isinstance(value, base)).__name__}:{kind.__name__}"
    return f"{'c' if callable(value) else 'o'}:{kind.__name__}"


def describe(error: BaseException, file: str) -> tuple[Any, ...]:
    """Returns name, ancestors, text, line, arguments and, for a type of the program's own, the exception itself.

    Whatever the exception's class does when it is asked.
    """
    try:
        text = "".join((str(error),))[:_TEXT_LIMIT]
    except BaseException as inner:
        text = f"<str() raised {type(inner).__name__}>"
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    own = type(error).__module__ == OWN_MODULE
    return type(error).__name__, _ancestors(type(error)), text, line, tuple(error.args), error if own else None


def local_exception(fields: Any) -> BaseException:
    """Returns the exception to raise for one that a function of the tests has raised."""
    name, ancestors, text, *_ = fields
    kinds = [getattr(builtins, kind, None) for kind in (name, *ancestors)]
    kind = next((k for k in kinds if isinstance(k, type) and issubclass(k, Exception)), Exception)
    error = kind.__new__(kind, text)
    error.args = (text,)
    return error


def _ancestors(kind: type) -> list[str]:
    named = {"builtins": "", OWN_MODULE: f"{OWN_MODULE}:"}
    return [named[base.__module__] + base.__name__ for base in kind.__mro__ if base.__module__ in named]


def _take(solver: Solver, iterator: Iterator[Any], count: int) -> tuple[list[Any], Any]:
    """Returns up to so many items, and what ended them: None, True for the end, or the exception's fields."""
    items: list[Any] = []
    try:
        for _ in range(count):
            items.append(next(iterator))
    except StopIteration:
        return items, True
    except BaseException as error:
        return items, solver.describe(error)
    return items, None


def _as_plain(value: Any) -> Any:
    """Returns a copy of the built-in part of a container of the program's own type."""
    base: Any = next(base for base in _CONTAINERS if isinstance(value, base))
    if base is dict:
        return {key: dict.__getitem__(value, key) for key in dict.__iter__(value)}
    return base(base.__iter__(value))


def _run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda solver, *arguments: function(*arguments)


def _define(solver: Solver, names: dict[str, Any]) -> None:
    for name, value in names.items():
        solver.namespace.setdefault(name, value)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "define": _define,
    "global": lambda solver, name: solver.namespace[name],
    "take": _take,
    "plain": _plain(_as_plain),
    "run": _plain(_run),
    "getattr": _plain(getattr),
    "copy": _plain(copy.copy),
    "deepcopy": _plain(copy.deepcopy),
    "setattr": _plain(setattr),
    "delattr": _plain(delattr),
    "len": _plain(len),
    "iter": _plain(iter),
    "type": _plain(type),
    "repr": _plain(lambda value: "".join((repr(value),))),
    "str": _plain(lambda value: "".join((str(value),))),
    "bool": _plain(bool),
    "int": _plain(int),
    "float": _plain(float),
    "index": _plain(operator.index),
    "hash": _plain(hash),
    "round": _plain(round),
    "isinstance": _plain(isinstance),
    "enter": _plain(lambda value: value.__enter__()),
    "exit": _plain(lambda value, kind: bool(value.__exit__(kind, None if kind is None else kind(), None))),
    **{
        name: _plain(getattr(operator, name))
        for name in (
            *("getitem", "setitem", "delitem", "eq", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv"),
            *("floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "neg", "pos", "abs", "invert"),
        )
    },
}
