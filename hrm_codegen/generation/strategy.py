"""Sampling strategies: from logits to the next token, one random key a row."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


def keep_top_k(logits: Float[Array, "B V"], *, top_k: int) -> Float[Array, "B V"]:
    """Removes all but the k likeliest tokens (ties with the k-th stay)."""
    smallest = jax.lax.top_k(logits, min(top_k, logits.shape[-1]))[0][:, -1:]
    return jnp.where(logits < smallest, -jnp.inf, logits)


def keep_top_p(logits: Float[Array, "B V"], *, top_p: Float[Array, ""]) -> Float[Array, "B V"]:
    """Keeps the smallest set of likeliest tokens whose probability is at least `top_p` (arXiv 1904.09751)."""
    descending = -jnp.sort(-logits, axis=-1)
    probabilities = jax.nn.softmax(descending, axis=-1)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    smallest = jnp.min(jnp.where(before < top_p, descending, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits < smallest, -jnp.inf, logits)


def first_largest(x: Float[Array, "B V"]) -> Int[Array, "B"]:
    """Returns `argmax(x, axis=-1)` by two reductions, which a CPU vectorises; it does not vectorise XLA's own.

    A row with NaN gets the last position.
    """
    # The barrier keeps what computes x out of both.
    x = jax.lax.optimization_barrier(x)
    positions = jnp.arange(x.shape[-1], dtype=jnp.int32)[None, :]
    is_largest = x == jnp.max(x, axis=-1, keepdims=True)
    return jnp.min(jnp.where(is_largest, positions, x.shape[-1] - 1), axis=-1)


def draw(
    logits: Float[Array, "B V"],
    keys: Key[Array, "B"],
    *,
    temperature: Float[Array, ""],
    top_p: Float[Array, ""],
    greedy: bool,
    top_k: int,
    nucleus: bool,
) -> Int[Array, "B"]:
    """Returns the next token of each row.

    Args:
      logits: Unnormalised log-probabilities.
      keys: One key a row, so that a row's draw does not depend on its batch mates.
      temperature: Divides the logits; above 0.
      top_p: Used if `nucleus`.
      greedy: Take the likeliest token (static).
      top_k: Keep so many; 0: all (static).
      nucleus: Whether top_p applies (static): its sort is paid only when needed.
    """
    if greedy:
        return first_largest(logits)
    logits = logits / temperature
    if top_k:
        logits = keep_top_k(logits, top_k=top_k)
    if nucleus:
        logits = keep_top_p(logits, top_p=top_p)
    noise = jax.vmap(lambda key: jax.random.gumbel(key, logits.shape[-1:]))(keys)
    return first_largest(logits + noise)
