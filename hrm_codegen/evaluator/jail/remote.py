"""What the tests hold of things that stay in the solver: functions, classes and objects of the program.

A handle asks the program only what a test asks of *it*. Where a test compares it with plain data, the answer is made
here: an object that is equal to everything, less than everything or a fixed distance from everything gets nowhere,
since its methods are never asked about an expected value. Two handles may be compared or added by the program: both
are its own.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Session

_FIRST_CHUNK, _LARGEST_CHUNK = 1, 1024
_LIST_LIMIT = 1 << 22
_VISIBLE = {"__name__", "__qualname__", "__doc__"}
# Methods of built-in types that answer yes or no about an argument of the test: on an object that is no such type,
# they would let the program approve of itself.
_PREDICATES = {
    *("startswith", "endswith", "isdigit", "isalpha", "isalnum", "isupper", "islower", "isspace", "istitle"),
    *("isdecimal", "isnumeric", "isidentifier", "isprintable", "isascii", "isdisjoint", "issubset", "issuperset"),
    *("is_integer", "is_finite", "is_nan", "is_infinite"),
}
_CONTROL_FLOW = {"StopIteration", "StopAsyncIteration", "GeneratorExit"}


class RemoteError(Exception):
    """An exception of the program that would be taken for the end of a loop or generator here."""


class Remote:
    """An object of the program.

    Attributes:
      _session: The conversation it belongs to.
      _key: What it is called there: a number, or the name of a global.
      _kind: The name of its type, for messages.
    """

    __slots__ = ("_key", "_kind", "_session")

    def __init__(self, session: Session, key: int | str, kind: str) -> None:
        set_attribute = object.__setattr__
        set_attribute(self, "_session", session)
        set_attribute(self, "_key", key)
        set_attribute(self, "_kind", kind)

    def __getattr__(self, name: str) -> Any:
        if (name.startswith("__") and name not in _VISIBLE) or name in _PREDICATES:
            raise AttributeError(
                f"an object of the program's type {self._kind} has no {name!r} that a test could trust"
            )
        return self._session.request("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._session.request("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._session.request("delattr", self, name)

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Remote):
            return NotImplemented
        return self._key == other._key or self._session.request("eq", self, other) is True

    def __hash__(self) -> int:
        return self._asked("hash", int)

    def __bool__(self) -> bool:
        return self._session.request("bool", self) is True

    def __iter__(self) -> Iterator[Any]:
        iterator = self._session.request("iter", self)
        if not isinstance(iterator, RemoteIterator):
            raise TypeError(f"an object of the program's type {self._kind} is not iterable")
        return iterator

    def __contains__(self, item: object) -> bool:
        return any(each is item or each == item for each in self)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, Remote) and self._session.request("isinstance", instance, self) is True

    def __len__(self) -> int:
        return self._asked("len", int)

    def __int__(self) -> int:
        return self._asked("int", int)

    def __index__(self) -> int:
        return self._asked("index", int)

    def __float__(self) -> float:
        return self._asked("float", float)

    def __str__(self) -> str:
        return self._asked("str", str)

    def __repr__(self) -> str:
        return self._asked("repr", str)

    def __enter__(self) -> Any:
        return self._session.request("enter", self)

    def __exit__(self, *error: object) -> bool:
        return self._session.request("exit", self) is True

    def __copy__(self) -> Any:
        return self._session.request("copy", self)

    def __deepcopy__(self, memo: object) -> Any:
        return self._session.request("deepcopy", self)

    def _asked(self, operation: str, kind: Callable[..., Any]) -> Any:
        value = self._session.request(operation, self)
        if type(value) is not kind:
            raise TypeError(
                f"{operation}() of an object of the program's type {self._kind} gave a {type(value).__name__}"
            )
        return value


def _asking(operation: str) -> Callable[..., Any]:
    return lambda self, *arguments: self._session.request(operation, self, *arguments)


def _between_two(operation: str) -> Callable[[Remote, object], Any]:
    def ask(self: Remote, other: object) -> Any:
        return self._session.request(operation, self, other) if isinstance(other, Remote) else NotImplemented

    return ask


for _name in ("getitem", "setitem", "delitem", "round", "neg", "pos", "abs", "invert"):
    setattr(Remote, f"__{_name}__", _asking(_name))
for _name in ("lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"):
    setattr(Remote, f"__{_name}__", _between_two(f"{_name}_" if _name in ("and", "or") else _name))


class RemoteCallable(Remote):
    """A function or class of the program."""

    __slots__ = ()

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        """Calls it over there."""
        return self._session.request("call", self, *arguments, **named)


class RemoteIterator(Remote):
    """An iterator of the program; items come in growing chunks, so that an endless one can be used, too."""

    __slots__ = ("_chunk", "_end", "_items")

    def __init__(self, session: Session, key: int | str, kind: str) -> None:
        super().__init__(session, key, kind)
        set_attribute = object.__setattr__
        set_attribute(self, "_chunk", _FIRST_CHUNK)
        set_attribute(self, "_end", None)
        set_attribute(self, "_items", [])

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        set_attribute = object.__setattr__
        if not self._items and self._end is None:
            items, end = self._session.take(self, self._chunk)
            set_attribute(self, "_items", items[::-1])
            set_attribute(self, "_end", end)
            set_attribute(self, "_chunk", min(2 * self._chunk, _LARGEST_CHUNK))
        if self._items:
            return self._items.pop()
        error, _ = self._end, set_attribute(self, "_end", True)
        if error is True:
            raise StopIteration
        raise local_exception(error)


def local_exception(fields: tuple[str, list[str], str, int]) -> BaseException:
    """Returns an exception to raise here for one that was raised there.

    It has the same built-in type, or the nearest one, so that a test may expect it; a type that ends loops or generators
    becomes a `RemoteError`, or a program could end a test's loop early and be praised for it.

    Args:
      fields: Name of its type, names of the type's built-in ancestors, text, line of the program (0: unknown).
    """
    name, ancestors, text, _ = fields
    kinds = [getattr(builtins, kind, None) for kind in ancestors if not _CONTROL_FLOW & set(ancestors)]
    kind = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseException)), RemoteError)
    error: BaseException = kind.__new__(kind, text)
    error.args = (text,)
    error.remote = fields  # type: ignore[attr-defined]
    return error
