"""Weights in tiles: how a CPU multiplies them with the few rows of a decode step.

Why: XLA hands a product of a few rows to a kernel for large matrices, which first packs all weights, for every token.
A sum of products over a matrix that is packed already, in tiles of 64 columns, becomes one kernel of the library XLA
calls YNN, which only streams the weights: two to three times as fast for 2 to 8 rows on one core (docs/decisions.md).
What is computed is the same, in float32.

Not for one row (a plain product streams the weights too), not for training or prompts, where packing is a small part,
and not for accelerators.

Letters: B rows, D inputs, F outputs, J tiles, W columns of a tile.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Sharding
from jaxtyping import Array, Float

from hrm_codegen.model.names import place

WIDTHS = (64, 32)  # columns of a tile: the first that divides a matrix
KERNEL = "__ynn_fusion"  # what the compiled program calls such a kernel
_AXES = {"gqkv": 4, "out": 2, "gate_up": 3, "down": 2, "head": 2}  # of the matrices, without an axis of layers


@functools.partial(jax.tree_util.register_dataclass, data_fields=["tiles"], meta_fields=["outputs"])
@dataclasses.dataclass(frozen=True)
class Tiled:
    """A matrix for products of few rows.

    Attributes:
      tiles: [J, D, W], possibly after an axis of layers.
      outputs: The shape of a product's last axes, J * W in all.
    """

    tiles: Any
    outputs: tuple[int, ...]


def lay_out(params: nnx.State) -> nnx.State:
    """Returns a model's parameters for decode steps of several rows: matrices as `Tiled` on CPUs where that pays.

    The result is where the parameters are; CPU devices of one process share one copy.
    """
    sharding = jax.tree.leaves(params)[0].sharding
    if not on_cpu(sharding) or not kernel_exists():
        return params
    return share(_laid_out(first_copy(params)), sharding)


def first_copy(tree: Any) -> Any:
    """Returns whole arrays on the first of their devices alone."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def share(tree: Any, sharding: Sharding) -> Any:
    """Puts whole arrays of one device on all of a sharding's. CPU devices take the host's memory as it is, uncopied.

    Why: weights in several copies push each other out of the processor's cache.
    """
    return jax.device_put(jax.tree.map(np.asarray, tree) if on_cpu(sharding) else tree, sharding)


def times(x: Float[Array, "B T D"], weight: Tiled, *, dtype: Any = None) -> Float[Array, "B T *outputs"]:
    """Returns the product of each row with the matrix, computed in float32.

    Args:
      x: At least two rows: XLA would turn a vector's sum into another product, and a slow one.
      weight: The matrix.
      dtype: Of the result; None: that of the rows.
    """
    rows = x.reshape(-1, x.shape[-1]).astype(jnp.float32)
    assert rows.shape[0] > 1
    out = _of_rows(rows, weight.tiles).astype(dtype or x.dtype)
    return out.reshape(*x.shape[:-1], *weight.outputs)


def read(param: nnx.Param, dtype: Any, name: str, shape: tuple[int, ...] | None = None) -> Any:
    """Returns a matrix as `project` takes it.

    Args:
      param: What a layer holds.
      dtype: Of the product.
      name: Of the matrix on a mesh (`names.place`).
      shape: To give it first; None: its own.
    """
    value = param.get_value()
    if isinstance(value, Tiled):
        return value
    value = value.astype(dtype)
    return place(value if shape is None else value.reshape(shape), name)


@functools.cache
def kernel_exists() -> bool:
    """Says whether the compiler makes one kernel of such a product: without, it is 20 times slower than a plain one."""
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2, 128), (2, 128, WIDTHS[0]))]
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        return KERNEL in (jax.jit(_of_rows).lower(*shapes).compile().as_text() or "")


def on_cpu(sharding: Any) -> bool:
    """Says whether all devices of a sharding are CPUs."""
    return all(device.platform == "cpu" for device in sharding.device_set)


def _of_rows(rows: Float[Array, "B D"], tiles: Float[Array, "J D W"]) -> Float[Array, "B F"]:
    # Without the barriers the broadcast rows of two products are one array in memory, and what uses the result takes
    # the sum into its own loop: no kernel in either case.
    rows, tiles = jax.lax.optimization_barrier((rows, tiles))
    out = jnp.sum(rows[:, None, :, None] * tiles[None], axis=2)
    return jax.lax.optimization_barrier(out.reshape(rows.shape[0], -1))


@jax.jit
def _laid_out(params: nnx.State) -> nnx.State:
    return jax.tree.map_with_path(lambda path, leaf: _tiled(path, leaf), params)


def _tiled(path: tuple[Any, ...], leaf: Array) -> Array | Tiled:
    name = next(
        (part for part in jax.tree_util.keystr(path, simple=True, separator="/").split("/") if part in _AXES), ""
    )
    if not name:
        return leaf
    layers, (inputs, *outputs) = leaf.shape[: leaf.ndim - _AXES[name]], leaf.shape[leaf.ndim - _AXES[name] :]
    width = next((width for width in WIDTHS if math.prod(outputs) % width == 0), None)
    if width is None:
        return leaf
    tiles = leaf.reshape(*layers, inputs, -1, width)
    return Tiled(jnp.swapaxes(tiles, -3, -2), tuple(outputs))
