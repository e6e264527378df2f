"""The key-value cache of the recurrence: one (k, v) pair for each pass and layer.

The states z_h and z_l need no cache: each token restarts from its embedding, and information crosses tokens only
through the keys and values of the same pass (hrm_text's slot order: pass after pass, layers within). A flat tuple of
arrays rather than one array, so that XLA updates each in place.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool

from hrm_codegen.model.attention import KeyValue, Memory

Cache = tuple[tuple[KeyValue, ...], ...]  # [pass][layer]
Memories = tuple[tuple[Memory, ...], ...]


class Prompt(NamedTuple):
    """The prompts of rows that are decoded together, each for R / P rows that follow each other.

    Attributes:
      cache: Of P prompts.
      mask: True for the positions that a prompt has.
    """

    cache: Cache
    mask: Bool[jax.Array, "P S"]


def grow(cache: Cache, *, length: int) -> Cache:
    """Pads the key axis with zeros to `length` positions."""

    def pad(leaf: jax.Array) -> jax.Array:
        return jnp.pad(leaf, ((0, 0), (0, length - leaf.shape[1]), (0, 0)))

    return jax.tree.map(pad, cache)


def empty(cache: Cache, *, factor: int, length: int) -> Cache:
    """Returns an empty cache of `length` positions for `factor` times as many rows."""

    def blank(leaf: jax.Array) -> jax.Array:
        return jnp.zeros((factor * leaf.shape[0], length, leaf.shape[2]), leaf.dtype)

    return jax.tree.map(blank, cache)


def memories(own: Cache, prompt: Cache | None) -> Memories:
    """Returns what each layer remembers in each pass: a row's own, and of its prompt."""
    if prompt is None:
        return tuple(tuple(Memory(pair) for pair in layers) for layers in own)
    return tuple(tuple(map(Memory, *layers)) for layers in zip(own, prompt, strict=True))


def take(cache: Cache, rows: jax.Array, *, num_rows: int) -> Cache:
    """Returns the cache of some of its rows, in their order: reorders beams.

    Args:
      cache: Of `num_rows` rows.
      rows: Which of them.
      num_rows: How many the cache has.
    """

    def pick(leaf: jax.Array) -> jax.Array:
        by_row = leaf.reshape(num_rows, -1, *leaf.shape[1:])
        return jnp.take(by_row, rows, axis=0).reshape(-1, *leaf.shape[1:])

    return jax.tree.map(pick, cache)
