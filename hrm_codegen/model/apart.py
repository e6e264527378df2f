"""Elementwise work as programs of its own: how a CPU is kept from fusing loops into a slow one.

Why: XLA on CPU fuses elementwise operations into whatever reads them, transpositions and reshapes included. The loop
that comes out runs over the reader's shape, works out every element's indices with divisions and reads across the
layout of its operands: up to ten times as slow as one loop after another, each along its own layout. Barriers do not
help, it drops them before it fuses. A call that may not be inlined does. docs/decisions.md has what that gains.

Accelerators fuse well: there it does nothing. Small arrays are not worth a call.
"""

from __future__ import annotations

import contextvars
import functools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from hrm_codegen.model.scopes import scope

_LEAST = 1 << 14  # elements of the largest argument: below, a call costs what it saves
_FUSED: contextvars.ContextVar[bool] = contextvars.ContextVar("fused", default=False)
_Function = TypeVar("_Function", bound=Callable[..., Any])


def apart(function: _Function) -> _Function:
    """Returns the function, of arrays, as a program of its own where that is faster: large arrays on a CPU.

    For forward and backward passes of `jax.custom_vjp`: differentiated by jax, the parts would be fused again.
    """

    @jax.jit
    @functools.wraps(function)
    def program(*args: Any) -> Any:
        with set_xla_metadata(inlineable=None):  # not for what it calls itself
            return function(*args)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if not is_apart(args):
            return function(*args)
        with set_xla_metadata(inlineable="false"):
            return program(*args)

    return cast(_Function, call)


def fused() -> AbstractContextManager[None]:
    """Leaves all that is traced inside to the compiler, as accelerators do: for programs that are compiled for one."""
    return scope(_FUSED, True)


def for_cpu() -> bool:
    """Says whether what is traced is for a CPU."""
    return jax.default_backend() == "cpu" and not _FUSED.get()


def is_apart(args: Any) -> bool:
    """Says whether a function of these arrays, in any structure, is a program of its own."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(args)]
    # Exported programs have shapes that are not known yet.
    known = all(isinstance(size, int) for shape in shapes for size in shape)
    return for_cpu() and known and max(map(math.prod, shapes)) >= _LEAST
