"""A model's matrices by themselves: which parameters they are, and what takes their place in a decode step on a CPU.

Why: decode steps multiply the same matrices with one row or a few, for every token, and a CPU does that best with the
matrices laid out for it (`slabs.py` for one row, `tiles.py` for several). The network does not know: it takes what
`read` gives it to `products.project`.

Letters: B rows, D inputs, F outputs.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Sharding
from jaxtyping import Array, Float

from hrm_codegen.model.names import place

_AXES = {"gqkv": 4, "out": 2, "gate_up": 3, "down": 2, "head": 2}  # of the matrices, without an axis of layers


@dataclasses.dataclass(frozen=True)
class LaidOut(abc.ABC):
    """A matrix in another layout.

    Attributes:
      outputs: The shape of a product's last axes, F in all.
    """

    outputs: tuple[int, ...]

    @abc.abstractmethod
    def of_rows(self, rows: Float[Array, "B D"]) -> Float[Array, "B F"]:
        """Returns the product of each row with the matrix, in float32."""

    def times(self, x: Float[Array, "B T D"], *, dtype: Any = None) -> Float[Array, "B T *outputs"]:
        """Returns the product of each row with the matrix.

        Args:
          x: Rows, as many as the layout is for.
          dtype: Of the result; None: that of the rows.
        """
        rows = x.reshape(-1, x.shape[-1]).astype("float32")
        return self.of_rows(rows).astype(dtype or x.dtype).reshape(*x.shape[:-1], *self.outputs)


def read(param: nnx.Param, dtype: Any, name: str, shape: tuple[int, ...] | None = None) -> Any:
    """Returns a matrix as `project` takes it.

    Args:
      param: What a layer holds.
      dtype: Of the product.
      name: Of the matrix on a mesh (`names.place`).
      shape: To give it first; None: its own.
    """
    value = param.get_value()
    if isinstance(value, LaidOut):
        return value
    value = value.astype(dtype)
    return place(value if shape is None else value.reshape(shape), name)


def as_matrix(path: tuple[Any, ...], leaf: Any) -> tuple[Any, tuple[int, ...]] | None:
    """Returns a matrix as [D, F], possibly after an axis of layers, and the shape of F; None for other parameters."""
    parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
    name = next((part for part in parts if part in _AXES), None)
    if name is None:
        return None
    first = leaf.ndim - _AXES[name]
    outputs = leaf.shape[first + 1 :]
    return leaf.reshape(*leaf.shape[: first + 1], math.prod(outputs)), outputs


def first_copy(tree: Any) -> Any:
    """Returns whole arrays on the first of their devices alone."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def share(tree: Any, sharding: Sharding) -> Any:
    """Puts whole arrays of one device on all of a sharding's. CPU devices take the host's memory as it is, uncopied.

    Why: weights in several copies push each other out of the processor's cache.
    """
    return jax.device_put(jax.tree.map(np.asarray, tree) if on_cpu(sharding) else tree, sharding)


def on_cpu(sharding: Any) -> bool:
    """Says whether all devices of a sharding are CPUs."""
    return all(device.platform == "cpu" for device in sharding.device_set)
