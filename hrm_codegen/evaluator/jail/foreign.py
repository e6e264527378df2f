"""What a test may hand to the program besides plain data: functions, iterators, and instances of its own classes.

Each travels as the number of a function that the program may have called. A function can only be called; an iterator
only advanced; of an instance only public attributes are given: from none of them is there a way to the tests.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from .encoder import WireError

_MODULE = "__main__"


class Foreign:
    """An instance of a class that the tests define.

    Attributes:
      value: The instance.
    """

    def __init__(self, value: Any) -> None:
        """Takes the instance."""
        self.value = value

    def __call__(self, operation: str, *arguments: Any, **named: Any) -> Any:
        """Does what the program wants done with it."""
        if operation in ("getattr", "setattr") and (type(arguments[0]) is not str or arguments[0].startswith("_")):
            raise AttributeError(f"{type(self.value).__name__} object has no such public attribute")
        return _OPERATIONS[operation](self.value, *arguments, **named)


def as_function(value: Any) -> tuple[str, Callable[..., Any]]:
    """Returns how a value is to be presented (`f`unction, `i`terator or `o`bject), and the function behind it.

    Raises:
      WireError: For a value of any other kind.
    """
    if hasattr(type(value), "__next__") and not isinstance(value, io.IOBase):
        return "i", _advance(value)
    if type(value).__module__ == _MODULE or isinstance(value, io.StringIO | io.BytesIO):
        return "o", Foreign(value)
    if callable(value):
        return "f", value
    raise WireError(f"a {type(value).__name__} of the tests")


def _advance(iterator: Iterator[Any]) -> Callable[[], list[Any]]:
    def advance() -> list[Any]:
        for item in iterator:
            return [item]
        return []

    return advance


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "getattr": getattr,
    "setattr": setattr,
    "eq": lambda value, other: bool(value == other),
    "len": len,
    "iter": list,
    "getitem": lambda value, key: value[key],
    "str": str,
    "bool": bool,
    "call": lambda value, *arguments, **named: value(*arguments, **named),
}
