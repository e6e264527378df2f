"""Plain data as bytes, between a judge and a solver that do not share memory; `decoder.py` reads them.

Values of built-in types, by tag; nothing on the wire names code, so decoding runs none (this is not a pickle). What is
not plain stays where it is: the solver's objects travel as numbers of `Remote` handles, the judge's functions as
numbers of callbacks. Lists, dicts and other mutable values carry their number in the message, so that aliases and
cycles survive and a reply can say what a call did to its arguments.

Subclasses are sent as their built-in base: `class A(int)` with an `__eq__` of its own arrives as an int, whatever else
may be asked of it.
"""

from __future__ import annotations

import builtins
import datetime
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_DEPTH = 200
U32, I64, F64 = struct.Struct(">I"), struct.Struct(">q"), struct.Struct(">d")
_INT_LIMIT = 1 << 63

PLAIN_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice),
        *(Decimal, Fraction, Counter, OrderedDict, defaultdict, deque, type(None), object, type),
        *(datetime.date, datetime.time, datetime.datetime, datetime.timedelta),
        *(kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception)
          and kind not in (Exception, AssertionError)),  # lent to a test, they would catch its own failures
    )
}  # fmt: skip
_TYPE_NAMES = {kind: name for name, kind in PLAIN_TYPES.items()}
_BASES = (int, float, str, list, dict, tuple, set, frozenset, bytes, bytearray, complex, deque)
# Instances of the program's own subclasses keep their methods: they are handles, of immutable types with a plain value.
OWN_MODULE = "solution"
SHADOWED = (int, float, str, tuple, bytes)
_VIEWS = {type({}.keys()): b"K", type({}.values()): b"V", type({}.items()): b"W"}


class WireError(Exception):
    """Bytes that no encoder writes, or a value that cannot be sent."""


class TooDeep(WireError):
    """A value that is nested too deeply to be sent."""


class Encoder:
    """Writes one message.

    Attributes:
      numbers: Number of each mutable object in the message, by `id`; shared by a request and its reply.
    """

    def __init__(self, opaque: Callable[[Any], bytes], objects: list[Any] | None = None) -> None:
        """Makes a writer.

        Args:
          opaque: Returns the bytes of a value that is not plain, or raises WireError.
          objects: Of the request, where the message is a reply to it.
        """
        self._keep = [] if objects is None else list(objects)  # an object that was freed could lend its id to another
        self.numbers = {id(value): number for number, value in enumerate(self._keep)}
        self._opaque = opaque

    def encode(self, value: Any) -> bytes:
        """Returns the bytes of a value; raises WireError if it is nested too deeply."""
        out: list[bytes] = []
        self._write(value, out.append, 0)
        return b"".join(out)

    @property
    def objects(self) -> list[Any]:
        """The mutable objects, by number."""
        return self._keep

    def contents(self, value: Any) -> bytes:
        """Returns the bytes of a mutable value that has a number already, with what it holds now."""
        out: list[bytes] = []
        self.numbers[-1 - len(self._keep)] = len(self._keep)  # the reader numbers the copy that it makes
        self._keep.append(None)
        writer = _CONTAINERS[type(value)]
        writer(self, value, out.append, 0)
        return b"".join(out)

    def _write(self, value: Any, put: Callable[[bytes], None], depth: int) -> None:
        writer = _WRITERS.get(type(value))
        if writer is not None:
            writer(self, value, put, depth)
        elif (container := _CONTAINERS.get(type(value))) is not None:
            number = self.numbers.get(id(value))
            if number is not None:
                put(b"R" + U32.pack(number))
                return
            self.numbers[id(value)] = len(self._keep)
            self._keep.append(value)
            container(self, value, put, depth)
        else:
            self._write_other(value, put, depth)

    def _write_other(self, value: Any, put: Callable[[bytes], None], depth: int) -> None:
        kind = type(value)
        if issubclass(kind, type):  # never `isinstance`: it would ask a handle, or an object, for its `__class__`
            put(_named(b"y", _TYPE_NAMES[value]) if value in _TYPE_NAMES else self._opaque(value))
        elif kind in _VIEWS:
            put(_VIEWS[kind])
            _write_items(self, list(value), put, depth)
        elif kind.__base__ is tuple and kind.__module__ != OWN_MODULE and type(getattr(kind, "_fields", 0)) is tuple:
            put(_named(b"n", kind.__name__))
            _write_items(self, [kind._fields, tuple(value)], put, depth)
        elif kind.__module__ == "numpy" and callable(getattr(value, "item", None)) and not getattr(value, "ndim", 1):
            self._write(value.item(), put, depth + 1)
        elif not issubclass(kind, _BASES):
            put(self._opaque(value))
        elif kind.__module__ == OWN_MODULE:
            data = self._opaque(value)
            put(data)
            if data[:1] == b"p":
                self._write(_flatten(value, next(b for b in SHADOWED if issubclass(kind, b))), put, depth + 1)
        else:
            base = next(base for base in (Counter, OrderedDict, *_BASES) if issubclass(kind, base))
            self._write(_flatten(value, base), put, depth + 1)


def _flatten(value: Any, base: Any) -> Any:
    """Returns a plain copy of a subclass's instance, made by the base's own methods."""
    if base is str:
        return str.__str__(value)
    if base in (int, float):
        return base.__pos__(value) if base is float else int.__index__(value)
    if issubclass(base, dict):
        return base({key: dict.__getitem__(value, key) for key in dict.__iter__(value)})
    return base(base.__iter__(value)) if hasattr(base, "__iter__") else base(value)


def _named(tag: bytes, text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return tag + U32.pack(len(data)) + data


def _write_int(_: Encoder, value: int, put: Callable[[bytes], None], depth: int) -> None:
    if -_INT_LIMIT <= value < _INT_LIMIT:
        put(b"i" + I64.pack(value))
    else:
        data = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
        put(b"I" + U32.pack(len(data)) + data)


def _write_bytes(_: Encoder, value: bytes | bytearray, put: Callable[[bytes], None], depth: int) -> None:
    put((b"b" if isinstance(value, bytes) else b"B") + U32.pack(len(value)) + bytes(value))


def _write_items(self: Encoder, items: Any, put: Callable[[bytes], None], depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise TooDeep(f"nested more than {MAX_DEPTH} levels deep")
    put(U32.pack(len(items)))
    write = self._write
    for item in items:
        write(item, put, depth + 1)


def _items_writer(tag: bytes) -> Callable[..., None]:
    def write(self: Encoder, value: Any, put: Callable[[bytes], None], depth: int) -> None:
        put(tag)
        _write_items(self, value, put, depth)

    return write


def _pairs_writer(tag: bytes) -> Callable[..., None]:
    def write(self: Encoder, value: dict[Any, Any], put: Callable[[bytes], None], depth: int) -> None:
        put(tag)
        flat = [part for pair in value.items() for part in pair]
        _write_items(self, flat, put, depth)

    return write


def _fields_writer(tag: bytes, fields: Callable[[Any], tuple[Any, ...]]) -> Callable[..., None]:
    def write(self: Encoder, value: Any, put: Callable[[bytes], None], depth: int) -> None:
        put(tag)
        _write_items(self, fields(value), put, depth)

    return write


def _date_fields(value: Any) -> tuple[Any, ...]:
    return (value.year, value.month, value.day)


def _time_fields(value: Any) -> tuple[Any, ...]:
    zone = None if value.tzinfo is None else value.tzinfo.utcoffset(None)
    return (value.hour, value.minute, value.second, value.microsecond, zone, value.fold)


def _time_writer(tag: bytes, fields: Callable[[Any], tuple[Any, ...]]) -> Callable[..., None]:
    write = _fields_writer(tag, fields)

    def write_if_plain(self: Encoder, value: Any, put: Callable[[bytes], None], depth: int) -> None:
        if value.tzinfo is None or type(value.tzinfo) is datetime.timezone:
            write(self, value, put, depth)
        else:
            put(self._opaque(value))

    return write_if_plain


_WRITERS: dict[type, Callable[..., None]] = {
    type(None): lambda self, value, put, depth: put(b"N"),
    bool: lambda self, value, put, depth: put(b"T" if value else b"F"),
    type(...): lambda self, value, put, depth: put(b"E"),
    int: _write_int,
    float: lambda self, value, put, depth: put(b"f" + F64.pack(value)),
    complex: lambda self, value, put, depth: put(b"c" + F64.pack(value.real) + F64.pack(value.imag)),
    str: lambda self, value, put, depth: put(_named(b"s", value)),
    bytes: _write_bytes,
    tuple: _items_writer(b"t"),
    frozenset: _items_writer(b"Z"),
    range: _fields_writer(b"r", lambda value: (value.start, value.stop, value.step)),
    slice: _fields_writer(b"x", lambda value: (value.start, value.stop, value.step)),
    Decimal: lambda self, value, put, depth: put(_named(b"D", str(value))),
    Fraction: _fields_writer(b"Q", lambda value: (value.numerator, value.denominator)),
    datetime.timedelta: _fields_writer(b"1", lambda value: (value.days, value.seconds, value.microseconds)),
    datetime.date: _fields_writer(b"2", _date_fields),
    datetime.time: _time_writer(b"3", _time_fields),
    datetime.datetime: _time_writer(b"4", lambda value: (*_date_fields(value), *_time_fields(value))),
}
_CONTAINERS: dict[type, Callable[..., None]] = {
    list: _items_writer(b"l"),
    dict: _pairs_writer(b"d"),
    set: _items_writer(b"S"),
    bytearray: _write_bytes,
    deque: _fields_writer(b"q", lambda value: (value.maxlen, *value)),
    Counter: _pairs_writer(b"C"),
    OrderedDict: _pairs_writer(b"O"),
    defaultdict: _fields_writer(
        b"k", lambda value: (value.default_factory, *(part for pair in value.items() for part in pair))
    ),
}
