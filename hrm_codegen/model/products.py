"""Weights times activations, with a backward pass of its own.

Why not autodiff's: its gradient of a weight comes out transposed, so that XLA turns the largest operand around first.
docs/decisions.md has what that cost. What is computed is the same; only reverse mode is supported. The other product
of a block is `dot_product_attention.py`.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from hrm_codegen.model.apart import apart
from hrm_codegen.model.matrices import LaidOut
from hrm_codegen.model.operands import as_multiplied, rounds_on_cpu


def project(equation: str, x: Array, weight: Any, dtype: Any = None) -> Array:
    """Returns `einsum(equation, x, weight)`.

    Args:
      equation: As "BTD,DF->BTF": every letter in two of its three parts.
      x: Activations; the first two axes are rows.
      weight: A matrix, possibly with more axes (numpy's where parameters are constants), or `LaidOut` for few rows.
      dtype: Of the result; None: that of the operands.
    """
    if isinstance(weight, LaidOut):
        return weight.times(x.reshape(*x.shape[:2], -1), dtype=dtype)
    return _project(equation, x, weight, dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def _project(equation: str, x: Array, weight: Array, dtype: Any) -> Array:
    return contract(equation, x, weight, dtype)


def _project_forward(equation: str, x: Array, weight: Array, dtype: Any) -> tuple[Array, tuple[Array, Array]]:
    # Not by calling `_project`: a checkpoint policy sees no product inside a call of it.
    return contract(equation, x, weight, dtype), (x, weight)


def _project_backward(equation: str, dtype: Any, kept: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    del dtype
    x, weight = kept
    return gradient_of_rows(equation, weight, grad).astype(x.dtype), gradient_of_weight(equation, x, grad, weight.dtype)


_project.defvjp(_project_forward, _project_backward)


def contract(equation: str, left: Array, right: Array, dtype: Any = None) -> Array:
    """Returns the einsum of two operands without letters of a batch, with their letters in the order they are given.

    `jnp.einsum` sums over several letters in an order of its own, which turns both operands around first.
    """
    operands, out = equation.split("->")
    first, second = operands.split(",")
    summed = [letter for letter in first if letter in second]
    assert out == "".join(letter for letter in first + second if letter not in summed)
    axes = (tuple(first.index(letter) for letter in summed), tuple(second.index(letter) for letter in summed))
    dtype = dtype or jnp.result_type(left, right)
    return jax.lax.dot_general(*as_multiplied(left, right), (axes, ((), ())), preferred_element_type=dtype)


def gradient_of_rows(equation: str, weight: Array, grad: Array) -> Array:
    """Returns the gradient of the first operand of `project`."""
    operands, out = equation.split("->")
    rows, matrix = operands.split(",")
    return contract(f"{out},{matrix}->{rows}", grad, weight)


def gradient_of_weight(equation: str, x: Array, grad: Array, dtype: Any) -> Array:
    """Returns the gradient of the second operand of `project`.

    A product over rows turns its first operand around: the smaller one, whatever XLA would rather do. But with rounded
    operands on a CPU always `x`: XLA would take the turned result for a product with its left operand turned, which has
    no kernel in bfloat16 (`operands.py`).
    """
    operands, out = equation.split("->")
    rows, matrix = operands.split(",")
    inner, outer = rows[2:], out[2:]
    if x.size <= grad.size or rounds_on_cpu():
        product = contract(f"{inner}{rows[:2]},{out}->{inner}{outer}", _rows_last(x), grad)
        return product.astype(dtype)
    product = contract(f"{outer}{rows[:2]},{rows}->{outer}{inner}", _rows_last(grad), x)
    axes = tuple((outer + inner).index(letter) for letter in matrix)
    return jnp.transpose(product, axes).astype(dtype)


@apart
def _rows_last(x: Array) -> Array:
    return jnp.moveaxis(x, (0, 1), (-2, -1))
