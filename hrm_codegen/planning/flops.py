"""FLOPs of matrix products, counted where they are certain: in the traced program, loops times their length.

XLA's cost analysis counts the body of a scan once, and is not there at all without a device; a formula would have to
know every option of the model. The jaxpr has both the recomputation of `gradient_checkpointing` and exactly the
backward passes of K. Elementwise work is not counted: it is bound by memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax


def matmul_flops(function: Callable[..., Any], *args: Any, while_trips: int = 1, **static: Any) -> float:
    """Counts two FLOPs for each multiply-add of each matrix product, over all devices.

    Args:
      function: A jitted function.
      *args: Arrays or shapes.
      while_trips: Rounds of a loop whose length the program does not know.
      **static: Static keyword arguments.
    """
    return _count(function.trace(*args, **static).jaxpr.jaxpr, while_trips)  # type: ignore[attr-defined]


def _count(jaxpr: Any, while_trips: int) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            total += _dot(equation)
        elif name == "cond":
            total += max(_count(branch.jaxpr, while_trips) for branch in params["branches"])
        else:
            times = params["length"] if name == "scan" else while_trips if name == "while" else 1
            total += times * sum(_count(inner, while_trips) for inner in _inner(params))
    return total


def _dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    lhs, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    return 2.0 * math.prod(out) * math.prod(lhs[axis] for axis in contracted)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    for leaf in jax.tree.leaves(params, is_leaf=lambda value: hasattr(value, "jaxpr") or hasattr(value, "eqns")):
        if hasattr(leaf, "jaxpr"):
            yield leaf.jaxpr
        elif hasattr(leaf, "eqns"):
            yield leaf
