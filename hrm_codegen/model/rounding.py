"""Weights of eight bits: matrices rounded to 255 values an output.

Why: a token of one sequence reads every weight, and a CPU reads bytes in less than half the time of float32. The
weights are rounded once and for all, so that every path of the program computes with the same ones; that decode steps
read them as bytes (`slabs.py`) changes nothing more.

Not trained with, not smaller on disk.

Letters: D inputs, F outputs.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int8

from hrm_codegen.model.matrices import as_matrix

LARGEST = 127  # of a byte, used symmetrically


@jax.jit
def round_matrices(params: nnx.State) -> nnx.State:
    """Returns a model's parameters with all matrices rounded, in float32 as before.

    The embedding stays: one row of it is read for a token.
    """

    def of(path: tuple[Any, ...], leaf: Array) -> Array:
        found = as_matrix(path, leaf)
        return leaf if found is None else rounded(found[0]).reshape(leaf.shape)

    return jax.tree.map_with_path(of, params)


def rounded(matrix: Float[Array, "*L D F"]) -> Float[Array, "*L D F"]:
    """Returns the matrix with each output's weights at the nearest of 255 evenly spaced values."""
    numbers, steps = to_bytes(matrix)
    return numbers * steps


def to_bytes(matrix: Float[Array, "*L D F"]) -> tuple[Int8[Array, "*L D F"], Float[Array, "*L 1 F"]]:
    """Returns the nearest whole numbers, and what they are multiples of: a step for each output.

    A rounded matrix gives the same numbers again.
    """
    steps = jnp.max(jnp.abs(matrix), axis=-2, keepdims=True) / LARGEST
    numbers = jnp.round(matrix / jnp.where(steps == 0, 1.0, steps))
    return numbers.astype(jnp.int8), steps
