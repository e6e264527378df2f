"""Weights in tiles: how a CPU multiplies them with the few rows of a decode step.

Why: XLA hands a product of a few rows to a kernel for large matrices, which first packs all weights, for every token.
A sum of products over a matrix that is packed already, in tiles of 64 columns, becomes one kernel of the library XLA
calls YNN, which only streams the weights: two to three times as fast for 2 to 8 rows on one core (docs/decisions.md).
What is computed is the same, in float32.

Not for one row (`slabs.py`), not for training or prompts, where packing is a small part, and not for accelerators.

Letters: B rows, D inputs, F outputs, J tiles, W columns of a tile.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hrm_codegen.model.matrices import LaidOut, as_matrix, first_copy, on_cpu, share

WIDTHS = (64, 32)  # columns of a tile: the first that divides a matrix
KERNEL = "__ynn_fusion"  # what the compiled program calls such a kernel


@functools.partial(jax.tree_util.register_dataclass, data_fields=["tiles"], meta_fields=["outputs"])
@dataclasses.dataclass(frozen=True)
class Tiled(LaidOut):
    """A matrix for products of few rows, at least two: of one XLA would make another product, and a slow one.

    Attributes:
      tiles: [J, D, W], possibly after an axis of layers.
    """

    tiles: Any

    def of_rows(self, rows: Float[Array, "B D"]) -> Float[Array, "B F"]:
        """See `LaidOut`."""
        assert rows.shape[0] > 1
        return _of_rows(rows, self.tiles)


def lay_out(params: nnx.State) -> nnx.State:
    """Returns a model's parameters for decode steps of several rows: matrices as `Tiled` on CPUs where that pays.

    The result is where the parameters are; CPU devices of one process share one copy.
    """
    sharding = jax.tree.leaves(params)[0].sharding
    if not on_cpu(sharding) or not kernel_exists():
        return params
    return share(_laid_out(first_copy(params)), sharding)


@functools.cache
def kernel_exists() -> bool:
    """Says whether the compiler makes one kernel of such a product: without, it is 20 times slower than a plain one."""
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2, 128), (2, 128, WIDTHS[0]))]
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        return KERNEL in (jax.jit(_of_rows).lower(*shapes).compile().as_text() or "")


def _of_rows(rows: Float[Array, "B D"], tiles: Float[Array, "J D W"]) -> Float[Array, "B F"]:
    # Without the barriers the broadcast rows of two products are one array in memory, and what uses the result takes
    # the sum into its own loop: no kernel in either case.
    rows, tiles = jax.lax.optimization_barrier((rows, tiles))
    out = jnp.sum(rows[:, None, :, None] * tiles[None], axis=2)
    return jax.lax.optimization_barrier(out.reshape(rows.shape[0], -1))


@jax.jit
def _laid_out(params: nnx.State) -> nnx.State:
    return jax.tree.map_with_path(_tiled, params)


def _tiled(path: tuple[Any, ...], leaf: Array) -> Array | Tiled:
    found = as_matrix(path, leaf)
    if found is None:
        return leaf
    matrix, outputs = found
    width = next((width for width in WIDTHS if matrix.shape[-1] % width == 0), None)
    if width is None:
        return leaf
    return Tiled(outputs, jnp.swapaxes(matrix.reshape(*matrix.shape[:-1], -1, width), -3, -2))
