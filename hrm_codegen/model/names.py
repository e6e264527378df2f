"""Names for the few arrays inside the network whose place on a mesh matters.

Why: the network is single-device code, and the compiler guesses where activations go; under `fsdp` it guesses wrong
(it splits their width instead of their rows). So the network names these arrays, and `parallel.activations` says
outside what each name means. Without such a meaning `place` is the identity: nothing is traced.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax

from hrm_codegen.model.scopes import scope

Place = Callable[[jax.Array, str], jax.Array]
_PLACE: contextvars.ContextVar[Place | None] = contextvars.ContextVar("place", default=None)


def place(x: Any, name: str) -> Any:
    """Returns the array `x` (numpy's where parameters are constants), on a mesh with the sharding of its name."""
    meaning = _PLACE.get()
    return x if meaning is None else meaning(x, name)


def placing(meaning: Place) -> AbstractContextManager[None]:
    """Gives names their meaning for all that is traced inside."""
    return scope(_PLACE, meaning)
