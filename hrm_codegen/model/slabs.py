"""Weights as bytes in slabs: how a CPU multiplies them with the one row of a sequence that is decoded alone.

Why: a token of one sequence reads every weight for a single row, so that a large model waits for memory. Bytes
(`rounding.py`) are a quarter of what float32 is. As the sum of eight slabs of the matrix, each times its part of the
row, the product is one loop, in which bytes become float32 in registers, which XLA vectorises and splits over the
cores; what is left is an eighth as large (docs/decisions.md). XLA's own products of bytes are slower than of float32.

Not for several rows, each of which would read the weights again (`tiles.py`); not for float32, which its own product
streams as well (or, with drafts, `tiles.py`); not for small weights, whose loops are too short to be split.

Letters: D inputs, F outputs.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int8

from hrm_codegen.model.matrices import LaidOut, as_matrix, first_copy, on_cpu
from hrm_codegen.model.rounding import to_bytes
from hrm_codegen.model.tiles import KERNEL

SLABS = 8  # of 16, XLA no longer vectorises the loop
LEAST_BYTES = 10 * 2**20  # of float32 weights


@functools.partial(jax.tree_util.register_dataclass, data_fields=["numbers", "steps"], meta_fields=["outputs"])
@dataclasses.dataclass(frozen=True)
class Slabs(LaidOut):
    """A matrix for products of one row.

    Attributes:
      numbers: Bytes, [D, F], possibly after an axis of layers.
      steps: What they are multiples of, [1, F].
    """

    numbers: Any
    steps: Any

    def of_rows(self, rows: Float[Array, "1 D"]) -> Float[Array, "1 F"]:
        """See `LaidOut`."""
        assert rows.shape[0] == 1
        return _of_row(rows, self.numbers) * self.steps


def bytes_pay(params: nnx.State) -> bool:
    """Says whether one row is faster with bytes: on CPUs, for weights whose loops are long enough to be split."""
    leaves = jax.tree.leaves(params)
    large = sum(leaf.nbytes for leaf in leaves) >= LEAST_BYTES
    return large and on_cpu(leaves[0].sharding) and loop_exists()


def lay_out_for_one(params: nnx.State) -> nnx.State:
    """Returns rounded parameters for decode steps of one row, on the first of their devices: matrices as `Slabs`."""
    return _laid_out(first_copy(params))


def is_for_one(params: nnx.State) -> bool:
    """Says whether these are parameters for one row."""
    leaves = jax.tree.leaves(params, is_leaf=lambda leaf: isinstance(leaf, Slabs))
    return any(isinstance(leaf, Slabs) for leaf in leaves)


@functools.cache
def loop_exists() -> bool:
    """Says whether the compiler makes a loop of such a sum: as a kernel of YNN it is ten times slower."""
    shapes = jax.ShapeDtypeStruct((1, 128), jnp.float32), jax.ShapeDtypeStruct((128, 64), jnp.int8)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        return KERNEL not in (jax.jit(_of_row).lower(*shapes).compile().as_text() or "")


@jax.jit
def _laid_out(params: nnx.State) -> nnx.State:
    def slabs(path: tuple[Any, ...], leaf: Array) -> Array | Slabs:
        found = as_matrix(path, leaf)
        if found is None or found[0].shape[-2] % SLABS:
            return leaf
        matrix, outputs = found
        return Slabs(outputs, *to_bytes(matrix))

    return jax.tree.map_with_path(slabs, params)


def _of_row(row: Float[Array, "1 D"], numbers: Int8[Array, "D F"]) -> Float[Array, "1 F"]:
    row, numbers = jax.lax.optimization_barrier((row, numbers))
    height = numbers.shape[0] // SLABS
    products = (
        row[0, start : start + height, None] * numbers[start : start + height].astype(jnp.float32)
        for start in range(0, numbers.shape[0], height)
    )
    # The rest as a product: of a sum XLA makes a kernel that takes the loop in.
    return jnp.ones((1, height)) @ jax.lax.optimization_barrier(sum(products))
