"""Where named arrays inside the network go: the counterpart of `rules.py` for what is computed, not kept.

Rows of activations are split over `data` and `fsdp`, heads and feed-forward columns over `tensor`. A weight is gathered
over `fsdp` where it is used (ZeRO-3, arXiv 1910.02054, section 5), which is cheaper than summing partial activations
of the whole batch, the compiler's own choice.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from hrm_codegen.model.names import placing
from hrm_codegen.parallel.mesh import BATCH_AXES
from hrm_codegen.parallel.rules import fit

ACTIVATIONS: dict[str, P] = {
    "embed": P("tensor", None),  # [V, D], as it is looked up in
    "head": P(None, "tensor"),  # [D, V], as it is multiplied with
    "gqkv": P(None, None, "tensor", None),  # [D, 4, N, H]
    "out": P("tensor", None, None),  # [N, H, D]
    "gate_up": P(None, None, "tensor"),  # [D, 2, F]
    "down": P("tensor", None),  # [F, D]
    "residual": P(BATCH_AXES, None, None),  # [B, T, D]: the embedding, and what each block returns
    "logits": P(BATCH_AXES, None, "tensor"),  # [B, T, V]
}


def constrained(mesh: Mesh | None) -> AbstractContextManager[None]:
    """Returns a context in which the network's named arrays are placed on `mesh`.

    Axes that do not divide a dim are dropped, as in `shardings`. None, or a mesh of one device: nothing is placed.
    """
    if mesh is None or mesh.size == 1:
        return contextlib.nullcontext()

    def meaning(x: jax.Array, name: str) -> jax.Array:
        return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, fit(ACTIVATIONS[name], x.shape, mesh)))

    return placing(meaning)


def mesh_of(tree: Any) -> Mesh | None:
    """Returns the mesh that a tree of shardings is on; None for None."""
    leaves = jax.tree.leaves(tree)
    return leaves[0].mesh if leaves else None


def compiler_options(mesh: Mesh | None) -> dict[str, str]:
    """Returns how XLA should compile a train step for the devices of a mesh; None: those of the default backend."""
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    if platform != "cpu":
        return {}
    # Operations in an order that needs little memory, instead of one that keeps many of them ready to run: a device is
    # one thread, and results that wait are a third more memory.
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
