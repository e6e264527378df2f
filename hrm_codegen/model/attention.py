"""Gated multi-head attention, its masks, and the one code path for training, prefill and cached decoding.

A call without a cache attends within its own row and returns its keys and values (prefill keeps them, training drops
them); a call with a cache writes one more position into it first. Not a flash kernel: plain einsums, softmax in
float32.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from hrm_codegen.config.schema import MaskKind, ModelConfig
from hrm_codegen.model.layers import matrix_init, rotate
from hrm_codegen.model.names import place


class KeyValue(NamedTuple):
    """Keys (already rotated) and values of one layer in one pass."""

    k: Float[Array, "B S N H"]
    v: Float[Array, "B S N H"]


class Context(NamedTuple):
    """What every attention layer of a forward pass shares.

    Attributes:
      cos: Rotary cosines of the queries' positions.
      sin: Rotary sines.
      mask: True where a query may see a key.
      slot: Where in the cache the new keys go; None without a cache.
    """

    cos: Float[Array, "B T 1 H"]
    sin: Float[Array, "B T 1 H"]
    mask: Bool[Array, "B T S"]
    slot: Int[Array, ""] | None = None


def attention_mask(
    segment_ids: Int[Array, "B T"], prefix_mask: Bool[Array, "B T"], *, kind: MaskKind
) -> Bool[Array, "B T T"]:
    """Returns who sees whom in packed rows.

    Under `prefix_lm` query i sees key j of its own segment if `j <= i`, or if j is in the prompt: prompts come first in
    a segment, so for answers this adds nothing, and for prompts it makes attention bidirectional. `causal` ignores
    `prefix_mask`.
    """
    length = segment_ids.shape[1]
    visible = jnp.tril(jnp.ones((length, length), dtype=bool))[None]
    if kind == "prefix_lm":
        visible = visible | prefix_mask[:, None, :]
    return visible & (segment_ids[:, :, None] == segment_ids[:, None, :])


def attend(
    q: Float[Array, "B T N H"], k: Float[Array, "B S N H"], v: Float[Array, "B S N H"], mask: Bool[Array, "B T S"]
) -> Float[Array, "B T N H"]:
    """Scaled dot-product attention with a float32 softmax."""
    scores = jnp.einsum("BTNH,BSNH->BNTS", q, k, preferred_element_type=jnp.float32) * q.shape[-1] ** -0.5
    scores = jnp.where(mask[:, None, :, :], scores, jnp.finfo(jnp.float32).min)
    return jnp.einsum("BNTS,BSNH->BTNH", jax.nn.softmax(scores, axis=-1).astype(v.dtype), v)


class Attention(nnx.Module):
    """Multi-head attention whose output is gated per head channel: `(sigmoid(g) * attend(q, k, v)) W_out`."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.num_heads, self.head_dim = config.num_heads, config.resolved_head_dim
        width = self.num_heads * self.head_dim
        # One product for gate, query, key and value, in the order of hrm_text's packed `gqkv_proj`.
        # Their axis and the heads' are axes of the leaf, so that a mesh can split the heads of all four alike.
        gqkv = matrix_init(rngs.params(), (config.hidden_dim, 4 * width), jnp.float32)
        self.gqkv = nnx.Param(gqkv.reshape(config.hidden_dim, 4, self.num_heads, self.head_dim))
        self.out = nnx.Param(matrix_init(rngs.params(), (width, config.hidden_dim), jnp.float32))

    def __call__(
        self, x: Float[Array, "B T D"], context: Context, cache: KeyValue | None = None
    ) -> tuple[Float[Array, "B T D"], KeyValue]:
        """Returns the layer's output, and its keys and values including those of the cache."""
        packed = jnp.einsum("BTD,DCNH->BTCNH", x, place(self.gqkv[...].astype(x.dtype), "gqkv"))
        gate, q, k, v = jnp.moveaxis(packed, 2, 0)
        q, k = rotate(q, context.cos, context.sin), rotate(k, context.cos, context.sin)
        if cache is not None:
            assert context.slot is not None, "a cache needs a slot"
            k = jax.lax.dynamic_update_slice_in_dim(cache.k, k, context.slot, axis=1)
            v = jax.lax.dynamic_update_slice_in_dim(cache.v, v, context.slot, axis=1)
        mixed = jax.nn.sigmoid(gate) * attend(q, k, v, context.mask)
        weight = place(self.out[...].astype(x.dtype).reshape(self.num_heads, self.head_dim, -1), "out")
        return jnp.einsum("BTNH,NHD->BTD", mixed, weight), KeyValue(k, v)
