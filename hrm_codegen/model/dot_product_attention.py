"""Scaled dot-product attention with a backward pass of its own, and attention to keys in two places.

Why not autodiff's: it keeps scores and probabilities of every layer and pass. docs/decisions.md has what that cost.
What is computed is the same; only reverse mode is supported. The layer around it, with its weights, is `attention.py`.

Letters: B batch, T query positions, S key positions, H head size.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.ad_checkpoint
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hrm_codegen.model.apart import apart

HIDDEN = -1e30  # added to the scores of keys that a query may not see: their weight is exactly 0
ATTENTION = "attention"  # the name that checkpoint policies know its results by


@jax.custom_vjp
def attend(
    q: Float[Array, "*G T H"], k: Float[Array, "*G S H"], v: Float[Array, "*G S H"], mask: Bool[Array, "... T S"]
) -> Float[Array, "*G T H"]:
    """Scaled dot-product attention with a float32 softmax; every query must see a key.

    The leading axes are rows and heads, apart or as one; those of the mask broadcast to them.

    The backward pass computes the weights anew from q, k and the logarithm of each query's sum (as FlashAttention-2
    does, arXiv 2307.08691, section 3.1, but in one tile), so that no array of T times S is kept.
    """
    return _attend_forward(q, k, v, mask)[0]


def _attend_forward(q: Array, k: Array, v: Array, mask: Array) -> tuple[Array, Any]:
    q = q * q.shape[-1] ** -0.5
    out, largest, total = _softmax_sums(q, k, v, mask)
    out = (out / total).astype(v.dtype)
    out, log_total = (jax.ad_checkpoint.checkpoint_name(x, ATTENTION) for x in (out, largest + jnp.log(total)))
    return out, (q, k, v, mask, log_total, out)


def _attend_backward(kept: Any, grad: Array) -> tuple[Array, Array, Array, None]:
    q, k, v, mask, log_total, out = kept
    weights = jnp.exp(_scores(q, k, mask) - log_total)
    grad_v = _over_queries(weights.astype(v.dtype), grad)
    from_weights = jnp.einsum("...TH,...SH->...TS", grad, v, preferred_element_type=jnp.float32)
    along = jnp.sum(grad * out, axis=-1, keepdims=True, dtype=jnp.float32)
    grad_scores = (weights * (from_weights - along)).astype(q.dtype)
    grad_q = jnp.einsum("...TS,...SH->...TH", grad_scores, k) * q.shape[-1] ** -0.5
    grad_k = _over_queries(grad_scores, q)
    return grad_q, grad_k, grad_v, None


attend.defvjp(_attend_forward, _attend_backward)


def attend_to_two(
    q: Float[Array, "RN 1 H"],
    own: tuple[Array, Array],
    own_mask: Bool[Array, "RN 1 C"],
    prompt: tuple[Array, Array],
    prompt_mask: Bool[Array, "PN 1 S"],
    *,
    heads: int,
) -> Float[Array, "RN 1 H"]:
    """Attention of rows to their own keys and to those of a prompt that several rows have in common.

    As over all keys at once: the two softmaxes are merged by their largest scores and sums. The keys of a prompt are
    read once for all of its rows, as a matrix product (arXiv 2402.05099, section 3.1). Forward only.

    Args:
      q: One query for each of R rows and N heads.
      own: Keys and values, [RN, C, H].
      own_mask: True where a row may see its own key.
      prompt: Keys and values, [PN, S, H]; rows of a prompt follow each other.
      prompt_mask: True where its rows may see a prompt's key.
      heads: N.
    """
    prompts = prompt_mask.shape[0] // heads
    q = q * q.shape[-1] ** -0.5

    def by_prompt(x: Array) -> Array:
        grouped = x.reshape(prompts, -1, heads, x.shape[-1])
        return jnp.swapaxes(grouped, 1, 2).reshape(prompts * heads, -1, x.shape[-1])

    def by_row(x: Array) -> Array:
        grouped = x.reshape(prompts, heads, -1, x.shape[-1])
        return jnp.swapaxes(grouped, 1, 2).reshape(q.shape[0], 1, x.shape[-1])

    own_out, own_largest, own_total = _softmax_sums(q, *own, own_mask)
    parts = _softmax_sums(by_prompt(q), *prompt, prompt_mask)
    out, largest, total = (by_row(part) for part in parts)
    most = jnp.maximum(largest, own_largest)
    share, own_share = jnp.exp(largest - most), jnp.exp(own_largest - most)
    return ((out * share + own_out * own_share) / (total * share + own_total * own_share)).astype(q.dtype)


def _softmax_sums(q: Array, k: Array, v: Array, mask: Array) -> tuple[Array, Array, Array]:
    """Returns the values' sum weighted by `exp(score - largest)`, the largest score, and the sum of the weights."""
    scores = _scores(q, k, mask)
    largest = jnp.max(scores, axis=-1, keepdims=True)
    weights = jnp.exp(scores - largest)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    return jnp.einsum("...TS,...SH->...TH", weights.astype(v.dtype), v), largest, total


def _scores(q: Array, k: Array, mask: Array) -> Array:
    scores = jnp.einsum("...TH,...SH->...TS", q, k, preferred_element_type=jnp.float32)
    return scores + jnp.where(mask, 0.0, HIDDEN)


def _over_queries(wide: Array, x: Array) -> Array:
    """Returns `einsum("...TS,...TH->...SH", wide, x)`; of the two, `x` is turned around, which is smaller."""
    return _swapped(jnp.einsum("...HT,...TS->...HS", _swapped(x), wide))


@apart
def _swapped(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)
