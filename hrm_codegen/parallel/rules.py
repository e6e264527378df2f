"""Sharding rules: ordered (path regex, PartitionSpec) pairs over the whole train state.

One rule covers a parameter, its average and its optimizer moments, because their paths end alike; without explicit
shardings the compiler would silently replicate the moments. Model code stays single-device. Activations need no rules:
they follow the batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

Rules = Sequence[tuple[str, P]]

# The first match wins. Specs are for the last dims of a leaf, so that stacked layers (`scan_layers`) match as well.
# Inputs of a product over `fsdp`, outputs over `tensor`, and the other way round for the product that follows.
RULES: Rules = (
    (r"(^|/)embed(/|$)", P("tensor", "fsdp")),  # [V, D]
    (r"(^|/)head(/|$)", P("fsdp", "tensor")),  # [D, V]
    (r"(^|/)attn/gqkv(/|$)", P("fsdp", None, "tensor", None)),  # [D, 4, N, H]
    (r"(^|/)attn/out(/|$)", P("tensor", "fsdp")),  # [N H, D]
    (r"(^|/)mlp/gate_up(/|$)", P("fsdp", None, "tensor")),  # [D, 2, F]
    (r"(^|/)mlp/down(/|$)", P("tensor", "fsdp")),  # [F, D]
    (r"", P()),  # vectors and counters: on every device
)


def shardings(tree: Any, mesh: Mesh, rules: Rules = RULES) -> Any:
    """Returns a sharding for each leaf.

    Args:
      tree: Arrays or `jax.ShapeDtypeStruct`s, for example `jax.eval_shape` of the train state.
      mesh: Where they go.
      rules: Pairs of a regex, searched in the leaf's path (`params/head/value`), and a spec for its last dims.

    Returns:
      The tree with a `NamedSharding` for each leaf. A mesh axis that does not divide its dim is dropped, so that the
      dim is replicated instead: small models train on any mesh.
    """

    def pick(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        spec = next((spec for regex, spec in rules if re.search(regex, name)), P())
        return NamedSharding(mesh, fit(spec, leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(pick, tree)


def fit(spec: P, shape: tuple[int, ...], mesh: Mesh) -> P:
    """Aligns `spec` with the last dims of `shape` and drops the axes that do not divide."""
    if len(spec) > len(shape):
        return P()
    aligned = (None,) * (len(shape) - len(spec)) + tuple(spec)
    return P(*(axes if _divides(axes, size, mesh) else None for axes, size in zip(aligned, shape, strict=True)))


def _divides(axes: str | tuple[str, ...] | None, size: int, mesh: Mesh) -> bool:
    names = (axes,) if isinstance(axes, str) else axes or ()
    return size % math.prod(mesh.shape[name] for name in names) == 0
