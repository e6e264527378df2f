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
    """Moves this process's rows to its devices.

    Args:
      batch: A pytree of numpy arrays [rows of this process, ...].
      mesh: Of all processes.

    Returns:
      The same tree of global arrays [rows of all processes, ...], sharded by `batch_sharding`.
    """
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)
