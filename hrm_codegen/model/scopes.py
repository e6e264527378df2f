"""A context variable with another value for a while: how the code around the network says how it is to be traced.

Why context variables: what they say (a mesh, a compiler, a rounding) is not the network's business, and would be an
argument of everything in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TypeVar

_Value = TypeVar("_Value")


@contextlib.contextmanager
def scope(variable: ContextVar[_Value], value: _Value) -> Iterator[None]:
    """Gives the variable this value inside, and afterwards the one it had."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
