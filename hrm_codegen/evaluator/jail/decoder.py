"""Bytes of `encoder.py` as plain data again, from a hostile process maybe: any bytes are a value or a WireError.

No byte names code to run, and no count is believed beyond the length of the message. Not safe against values that are
slow to *use*: whoever compares them needs a deadline.
"""

from __future__ import annotations

import datetime
import struct
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .encoder import F64, I64, MAX_DEPTH, PLAIN_TYPES, U32, WireError


class Decoder:
    """Reads one message; whatever the bytes are, it raises nothing but WireError.

    Attributes:
      objects: Mutable objects by number; those of the request come first in its reply.
      opaque_bytes: How handles and callbacks were written, by `id` of what they became.
    """

    def __init__(self, data: bytes, opaque: Callable[..., Any], objects: list[Any] | None = None) -> None:
        """Makes a reader.

        Args:
          data: The whole message.
          opaque: Returns what a handle or callback stands for: of its tag, number and description, and of the plain
            value where it has one.
          objects: Of the request, where the message is a reply to it.
        """
        self._data, self._place = data, 0
        self._opaque = opaque
        self.objects = [] if objects is None else objects
        self.opaque_bytes: dict[int, bytes] = {}

    @property
    def ended(self) -> bool:
        """Whether all has been read."""
        return self._place == len(self._data)

    def decode(self) -> Any:
        """Reads a value."""
        try:
            return self._read(0)
        except (WireError, MemoryError):
            raise
        except Exception as error:
            raise WireError(f"no value at byte {self._place}: {type(error).__name__}") from error

    def decode_contents(self) -> None:
        """Reads a numbered object's new contents, and gives them to it."""
        try:
            target = self.objects[self.number()]
            known = len(self.objects)
            fresh = self._read(0)
            if type(fresh) is not type(target):
                raise WireError("an argument that became another type")
            if isinstance(target, list | bytearray):
                target[:] = fresh
            else:
                target.clear()
                (target.extend if isinstance(target, deque) else target.update)(fresh)
            # The copy had a number of its own; nothing may refer to it.
            self.objects[known] = None
        except (WireError, MemoryError):
            raise
        except Exception as error:
            raise WireError(f"no contents at byte {self._place}: {type(error).__name__}") from error

    def count(self, limit: int) -> int:
        """Reads a number of at most `limit`."""
        try:
            count = self.number()
        except struct.error as error:
            raise WireError("cut short") from error
        if count > limit:
            raise WireError(f"{count} of {limit} objects")
        return count

    def number(self) -> int:
        """Reads a number of 32 bits."""
        self._place += 4
        return int(U32.unpack_from(self._data, self._place - 4)[0])

    def _take(self, count: int) -> bytes:
        start = self._place
        self._place = end = start + count
        if end > len(self._data):
            raise WireError("cut short")
        return self._data[start:end]

    def _text(self) -> str:
        return self._take(self.number()).decode("utf-8", "surrogatepass")

    def _items(self, depth: int) -> list[Any]:
        count = self.number()
        if depth >= MAX_DEPTH or count > len(self._data) - self._place:
            raise WireError("nested too deeply, or longer than the message")
        read = self._read
        return [read(depth + 1) for _ in range(count)]

    def _read(self, depth: int) -> Any:
        tag = self._data[self._place]
        self._place += 1
        return _READERS[tag](self, depth)

    def _container(self, empty: Any, fill: Callable[[Any, list[Any]], Any], depth: int) -> Any:
        self.objects.append(empty)
        fill(empty, self._items(depth))
        return empty


def _read_number(unpack: struct.Struct) -> Callable[[Decoder, int], Any]:
    def read(self: Decoder, depth: int) -> Any:
        self._place += 8
        return unpack.unpack_from(self._data, self._place - 8)[0]

    return read


def _read_bytearray(self: Decoder, depth: int) -> bytearray:
    value = bytearray(self._take(self.number()))
    self.objects.append(value)
    return value


def _read_deque(self: Decoder, depth: int) -> deque[Any]:
    number = len(self.objects)
    self.objects.append(None)
    maxlen, *items = self._items(depth)
    self.objects[number] = value = deque(items, maxlen)
    return value


def _read_defaultdict(self: Decoder, depth: int) -> Any:
    value: defaultdict[Any, Any] = defaultdict()
    self.objects.append(value)
    value.default_factory, *flat = self._items(depth)
    value.update(_pairs(flat))
    return value


def _read_named_tuple(self: Decoder, depth: int) -> Any:
    name = self._text()
    fields, values = self._items(depth)
    if not all(type(field) is str and field.isascii() for field in (name, *fields)):
        raise WireError("a field without a name")  # or one that the compiler would read as another
    kind: Any = namedtuple(name, fields)  # type: ignore[misc]
    return kind(*values)


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _as_time(kind: type) -> Callable[[list[Any]], Any]:
    def make(items: list[Any]) -> Any:
        *fields, zone, fold = items
        return kind(*fields, None if zone is None else datetime.timezone(zone), fold=fold)

    return make


def _made(make: Callable[[list[Any]], Any]) -> Callable[[Decoder, int], Any]:
    return lambda self, depth: make(self._items(depth))


def _pair_container(make: Callable[[], Any]) -> Callable[[Decoder, int], Any]:
    return lambda self, depth: self._container(make(), lambda value, items: value.update(_pairs(items)), depth)


def _read_opaque(tag: bytes) -> Callable[[Decoder, int], Any]:
    def read(self: Decoder, depth: int) -> Any:
        start = self._place - 1
        value = self._opaque(tag, self.number(), self._text())
        self.opaque_bytes[id(value)] = self._data[start : self._place]
        return value

    return read


def _read_shadowed(self: Decoder, depth: int) -> Any:
    """An instance of the program's own subclass of an immutable type: its plain value, and what it is there."""
    number, text = self.number(), self._text()
    return self._opaque(b"p", number, text, self._read(depth + 1))


_READERS: dict[int, Callable[[Decoder, int], Any]] = {
    ord("N"): lambda self, depth: None,
    ord("T"): lambda self, depth: True,
    ord("F"): lambda self, depth: False,
    ord("E"): lambda self, depth: ...,
    ord("i"): _read_number(I64),
    ord("I"): lambda self, depth: int.from_bytes(self._take(self.number()), "big", signed=True),
    ord("f"): _read_number(F64),
    ord("c"): lambda self, depth: complex(_read_number(F64)(self, depth), _read_number(F64)(self, depth)),
    ord("s"): lambda self, depth: self._text(),
    ord("b"): lambda self, depth: self._take(self.number()),
    ord("B"): _read_bytearray,
    ord("l"): lambda self, depth: self._container([], list.extend, depth),
    ord("t"): _made(tuple),
    ord("S"): lambda self, depth: self._container(set(), set.update, depth),
    ord("Z"): _made(frozenset),
    ord("d"): _pair_container(dict),
    ord("C"): _pair_container(Counter),
    ord("O"): _pair_container(OrderedDict),
    ord("k"): _read_defaultdict,
    ord("q"): _read_deque,
    ord("r"): _made(lambda items: range(*items)),
    ord("x"): _made(lambda items: slice(*items)),
    ord("D"): lambda self, depth: Decimal(self._text()),
    ord("Q"): _made(lambda items: Fraction(*items)),
    ord("1"): _made(lambda items: datetime.timedelta(*items)),
    ord("2"): _made(lambda items: datetime.date(*items)),
    ord("3"): _made(_as_time(datetime.time)),
    ord("4"): _made(_as_time(datetime.datetime)),
    ord("n"): _read_named_tuple,
    ord("K"): _made(lambda items: dict.fromkeys(items).keys()),
    ord("V"): _made(lambda items: dict(enumerate(items)).values()),
    ord("W"): _made(lambda items: dict(items).items()),
    ord("y"): lambda self, depth: PLAIN_TYPES[self._text()],
    ord("R"): lambda self, depth: self.objects[self.number()],
    ord("h"): _read_opaque(b"h"),
    ord("u"): _read_opaque(b"u"),
    ord("g"): _read_opaque(b"g"),
    ord("p"): _read_shadowed,
}
