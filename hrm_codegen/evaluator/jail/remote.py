"""What the tests hold of things that stay in the solver: functions, classes and objects of the program.

A handle asks the program only what a test asks of *it*. Where a test compares it with plain data, the answer is made
here: an object that is equal to everything, less than everything or a fixed distance from everything gets nowhere,
since its methods are never asked about an expected value. Two handles may be compared or added by the program: both
are its own.
"""

from __future__ import annotations

import opcode
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .encoder import OWN_MODULE, SHADOWED
from .exceptions import local_exception

if TYPE_CHECKING:
    from .session import Session

_FIRST_CHUNK, _LARGEST_CHUNK = 1, 1024
_VISIBLE = {"__name__", "__qualname__", "__doc__"}
# Methods of built-in types that answer yes or no about an argument of the test: on an object that is no such type,
# they would let the program approve of itself.
_PREDICATES = {
    *("startswith", "endswith", "isdigit", "isalpha", "isalnum", "isupper", "islower", "isspace", "istitle"),
    *("isdecimal", "isnumeric", "isidentifier", "isprintable", "isascii", "isdisjoint", "issubset", "issuperset"),
    *("is_integer", "is_finite", "is_nan", "is_infinite", "difference", "symmetric_difference", "compare", "rfind"),
    *("compare_total", "compare_signal", "same_quantum", "rindex", "partition", "rpartition"),
}


class Remote:
    """An object of the program.

    Attributes:
      _session: The conversation it belongs to.
      _key: What it is called there: a number, or the name of a global.
      _kind: The name of its type, for messages.
      _tainted: Whether it was made of plain data of a test by an operator: what it says of itself in plain data may
        then be an echo of the expected value, and is refused.
    """

    __slots__ = ("_key", "_kind", "_session", "_tainted")

    def __init__(self, session: Session, key: int | str, kind: str) -> None:
        set_attribute = object.__setattr__
        set_attribute(self, "_session", session)
        set_attribute(self, "_key", key)
        set_attribute(self, "_kind", kind)
        set_attribute(self, "_tainted", False)

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
        if not is_remote(other):
            return NotImplemented
        return self is other or self._session.request("eq", self, other) is True

    def __hash__(self) -> int:
        return self._asked("hash", int)

    def __bool__(self) -> bool:
        return self._session.request("bool", self) is True

    def __iter__(self) -> Iterator[Any]:
        iterator = self._session.request("iter", self)
        if type(iterator) is not RemoteIterator:
            raise TypeError(f"an object of the program's type {self._kind} is not iterable")
        return iterator

    def __contains__(self, item: object) -> bool:
        return any(each is item or each == item for each in self)

    def __instancecheck__(self, instance: object) -> bool:
        mine = is_remote(instance) or type(instance) in SHADOWS.values()
        return mine and self._session.request("isinstance", instance, self) is True

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

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        known = kind if kind is not None and kind.__module__ == "builtins" else None
        return self._session.request("exit", self, known) is True and _was_raised_on_purpose(error, trace)

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
    """A comparison: the program's business between two objects of its own, and nobody's else."""

    def ask(self: Remote, other: object) -> Any:
        return self._session.request(operation, self, other) if is_remote(other) else NotImplemented

    return ask


def _operator(operation: str, *, swapped: bool = False) -> Callable[[Remote, object], Any]:
    """An operator. With plain data on the other side it has to give an object of the program again."""

    def ask(self: Remote, other: object) -> Any:
        pair = (other, self) if swapped else (self, other)
        if is_remote(other):
            return self._session.request(operation, *pair)
        result = self._session.request(operation, *pair)
        if not is_remote(result):
            raise TypeError(f"unsupported operand types for {operation}: {self._kind} and {type(other).__name__}")
        object.__setattr__(result, "_tainted", True)
        return result

    return ask


def is_remote(value: object) -> bool:
    """Whether a value is a handle; its own `__class__` is not asked."""
    return issubclass(type(value), Remote)


def _was_raised_on_purpose(error: BaseException | None, trace: TracebackType | None) -> bool:
    """Whether a test itself raised it, by `raise`: anything else a context manager might swallow to hide a failure."""
    if error is None or trace is None or trace.tb_next is not None or isinstance(error, AssertionError):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE and not hasattr(error, "remote")


for _name in ("getitem", "setitem", "delitem", "round", "neg", "pos", "abs", "invert"):
    setattr(Remote, f"__{_name}__", _asking(_name))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _between_two(_name))
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    _operation = f"{_name}_" if _name in ("and", "or") else _name
    setattr(Remote, f"__{_name}__", _operator(_operation))
    setattr(Remote, f"__r{_name}__", _operator(_operation, swapped=True))


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
        raise local_exception(error, self._session.exception_types)


class RemoteContainer(Remote):
    """An instance of the program's own subclass of list, dict, set or bytearray.

    Its methods are the program's; compared with plain data it is what its built-in part holds at that moment.
    """

    __slots__ = ("_base",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, session: Session, key: int | str, kind: str, base: type) -> None:
        super().__init__(session, key, kind)
        object.__setattr__(self, "_base", base)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The built-in type, so that `isinstance` of a test finds it."""
        return self._base

    def _plain(self) -> Any:
        value = self._session.request("plain", self)
        if type(value) is not self._base:
            raise TypeError(f"a {self._kind} that is no {self._base.__name__}")
        return value

    def __eq__(self, other: object) -> Any:
        return Remote.__eq__(self, other) if is_remote(other) else self._plain() == other


class _Shadow:
    """An instance of the program's own subclass of an immutable type: plain data that also knows its handle."""

    _remote: Remote

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_remote":
            raise AttributeError(name)
        return getattr(self._remote, name)


def _str_there(self: Any) -> str:
    return str(self._remote)


def _repr_there(self: Any) -> str:
    return repr(self._remote)


# Text keeps its own text; how numbers and tuples are shown is a matter of their class (IntEnum, namedtuple).
SHADOWS: dict[type, type] = {
    base: type(
        base.__name__,
        (_Shadow, base),
        {"__module__": OWN_MODULE} | ({} if base in (str, bytes) else {"__str__": _str_there, "__repr__": _repr_there}),
    )
    for base in SHADOWED
}


def make_remote(session: Session, number: int, text: str) -> Remote:
    """Returns a handle of the kind that `operations.flags` says; raises KeyError for no such kind."""
    kind, _, name = text.partition(":")
    if kind[:1] == "l":
        return RemoteContainer(session, number, name, _CONTAINERS[kind[1:]])
    return _KINDS[kind](session, number, name)


_KINDS = {"o": Remote, "c": RemoteCallable, "i": RemoteIterator}
_CONTAINERS: dict[str, type] = {kind.__name__: kind for kind in (list, dict, set, bytearray)}
_RAISE = opcode.opmap["RAISE_VARARGS"]
