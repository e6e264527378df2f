"""Rows of a batch over devices: each device of `data` x `fsdp` gets its share, `tensor` devices get the same rows."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hrm_codegen.parallel.mesh import BATCH_AXES

T = TypeVar("T", bound=Any)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of any array with rows first."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def put_batch(batch: T, mesh: Mesh) -> T:
    """Moves each device's rows to it.

    Args:
      batch: A pytree of numpy arrays [rows of all processes, ...], the same in each of them: which rows are a
        process's own depends on the mesh (with `tensor` across processes, several need the same ones).
      mesh: Of all processes.

    Returns:
      The same tree of global arrays, sharded by `batch_sharding`.
    """
    sharding = batch_sharding(mesh)

    return jax.tree.map(lambda x: _place(x, sharding), batch)


def put_tree(tree: T, shardings: Any) -> T:
    """Places arrays of this process, which all processes have alike, over the devices of all.

    Args:
      tree: Arrays; they stay usable.
      shardings: A tree of shardings.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)
    return jax.tree.map(_place, tree, shardings)  # device_put would want a transfer between processes


def _place(x: Any, sharding: NamedSharding) -> jax.Array:
    local = np.asarray(x)
    return jax.make_array_from_callback(local.shape, sharding, local.__getitem__)
