"""The key-value cache of the recurrence: one (k, v) pair for each pass and layer.

The states z_h and z_l need no cache: each token restarts from its embedding, and information crosses tokens only
through the keys and values of the same pass (hrm_text's slot order: pass after pass, layers within). A flat tuple of
arrays rather than one array, so that XLA updates each in place.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hrm_codegen.model.attention import KeyValue

Cache = tuple[tuple[KeyValue, ...], ...]  # [pass][layer]


def grow(cache: Cache, *, length: int) -> Cache:
    """Pads the key axis with zeros to `length` positions."""

    def pad(leaf: jax.Array) -> jax.Array:
        return jnp.pad(leaf, ((0, 0), (0, length - leaf.shape[1]), (0, 0)))

    return jax.tree.map(pad, cache)


def take(cache: Cache, rows: jax.Array, *, num_rows: int) -> Cache:
    """Returns the cache of some of its rows, in their order: repeats a prompt for its samples, reorders beams.

    Args:
      cache: Of `num_rows` rows.
      rows: Which of them.
      num_rows: How many the cache has.
    """

    def pick(leaf: jax.Array) -> jax.Array:
        by_row = leaf.reshape(num_rows, -1, *leaf.shape[1:])
        return jnp.take(by_row, rows, axis=0).reshape(-1, *leaf.shape[1:])

    return jax.tree.map(pick, cache)
